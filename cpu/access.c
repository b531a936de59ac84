/* Guest memory the long way: everything that access.h's fast path leaves over. */
#include "cpu/access.h"
#include "cpu/exec.h"
#include "cpu/system.h"

/* The parts of an access in at most two pages. */
struct parts {
    gpa_t gpa[2];
    unsigned length[2];
};

enum { DEBUG_WRITE = 1, DEBUG_READ_WRITE = 3 };

/* --- segment checks: SDM 3A §5.3 (limits), §5.5 (types), SDM 1 §3.3.7.1 (canonical) */

static bool is_stack_segment(unsigned seg)
{
    return seg == SS || seg == SEG_FLAT_STACK;
}

static bool segment_fault(struct cpu *cpu, unsigned seg)
{
    return cpu_fault(cpu, is_stack_segment(seg) ? VECTOR_SS : VECTOR_GP, 0);
}

static bool is_canonical(uint64_t linear)
{
    return (uint64_t)bits_sign_extend(linear, 48) == linear;
}

static bool segment_allows(const struct segment *segment, uint64_t offset, unsigned length,
                           bool write)
{
    unsigned attributes = segment->attributes;
    if (!(attributes & SEG_P))
        return false;
    if (attributes & SEG_CODE ? write || !(attributes & SEG_READABLE)
                              : write && !(attributes & SEG_WRITABLE))
        return false;
    uint64_t last = offset + length - 1;
    if (attributes & SEG_CODE || !(attributes & SEG_EXPAND_DOWN))
        return last >= offset && last <= segment->limit;
    uint64_t top = attributes & SEG_DB ? UINT32_MAX : UINT16_MAX;
    return offset > segment->limit && last <= top;
}

/* What the address of an operand of `length` bytes is a multiple of, less one.  SDM 3A table 6-7;
 * APM 2 §8.2.18: of vectors 16, of an x87 environment or state its words' size. */
static unsigned alignment_mask(unsigned length)
{
    switch (length) {
    case 10:
        return 7;
    case 14:
    case 94:
        return 1;
    case 28:
    case 108:
        return 3;
    case 16:
    case 32:
        return 15;
    default:
        return length <= 8 && (length & (length - 1)) == 0 ? length - 1 : 0;
    }
}

/* Finds the linear address; true with #GP or #SS pending. */
static bool segment_check(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length,
                          unsigned alignment, bool write, uint64_t *linear)
{
    const struct segment *segment = &cpu->segs[seg];
    *linear = (segment->base + offset) & cpu->linear_mask;
    if (cpu_is_64(cpu)) {
        if (!is_canonical(*linear) || !is_canonical(*linear + length - 1))
            return segment_fault(cpu, seg);
    } else if (!segment_allows(segment, offset, length, write)) {
        return segment_fault(cpu, seg);
    }
    bool misaligned = *linear & alignment;
    if (unlikely(misaligned && cpu->cpl == 3 && cpu->eflags & F_AC &&
                 cpu->mmu.registers.cr0 & CR0_AM))
        return cpu_fault(cpu, VECTOR_AC, 0);
    return false;
}

/* --- translation of both pages before the first byte moves */

static bool page_fault(struct cpu *cpu, uint64_t linear, uint32_t error)
{
    cpu_fault(cpu, VECTOR_PF, error);
    cpu->fault.cr2 = linear;
    return true;
}

static uint64_t linear_next_page(const struct cpu *cpu, uint64_t linear)
{
    uint64_t next = (linear | PAGE_OFFSET_MASK) + 1;
    return cpu_is_long(cpu) ? next : (uint32_t)next;
}

static bool translate_parts(struct cpu *cpu, enum shadow_view_id view, uint64_t linear,
                            unsigned length, enum mmu_access access, struct parts *parts)
{
    struct translation found;
    uint32_t error = 0;
    uint64_t left = PAGE_BYTES - (linear & PAGE_OFFSET_MASK);
    parts->length[0] = length <= left ? length : (unsigned)left;
    parts->length[1] = length - parts->length[0];
    if (!mmu_translate(&cpu->mmu, view, GVA(linear), access, &found, &error))
        return page_fault(cpu, linear, error);
    parts->gpa[0] = found.gpa;
    if (parts->length[1]) {
        uint64_t next = linear_next_page(cpu, linear);
        if (!mmu_translate(&cpu->mmu, view, GVA(next), access, &found, &error))
            return page_fault(cpu, next, error);
        parts->gpa[1] = found.gpa;
    }
    return false;
}

/* --- bytes of one page, be it RAM, ROM or a device */

/* The next access to a device of `length` bytes at `address`: of the program's own size; only odd
 * ones are split. */
static unsigned device_chunk(uint64_t address, unsigned length)
{
    unsigned size = length >= 8 ? 8 : length >= 4 ? 4 : length >= 2 ? 2 : 1;
    if (!(length & (length - 1)))
        return size;
    while (address & (size - 1))
        size >>= 1;
    return size;
}

static void part_load(struct cpu *cpu, gpa_t gpa, uint8_t *to, unsigned length)
{
    const uint8_t *page = physmem_page_read(cpu->mmu.physmem, gpa_ppn(gpa));
    if (likely(page != NULL)) {
        memcpy(to, page + (gpa.v & PAGE_OFFSET_MASK), length);
        return;
    }
    cpu->count.mmio++;
    while (length) {
        const unsigned size = device_chunk(gpa.v, length);
        uint64_t value = cpu->ops->mmio_read(cpu->machine, cpu, gpa, size);
        memcpy(to, &value, size);
        gpa.v += size;
        to += size;
        length -= size;
    }
}

static void part_store(struct cpu *cpu, gpa_t gpa, const uint8_t *from, unsigned length)
{
    bool exhausted = false;
    uint8_t *page = physmem_page_write(cpu->mmu.physmem, gpa_ppn(gpa), &exhausted);
    BUG_ON(exhausted); /* the budget covers all of RAM */
    if (likely(page != NULL)) {
        memcpy(page + (gpa.v & PAGE_OFFSET_MASK), from, length);
        physmem_note_write(cpu->mmu.physmem, gpa, length);
        return;
    }
    cpu->count.mmio++;
    while (length) {
        const unsigned size = device_chunk(gpa.v, length);
        uint64_t value = 0;
        memcpy(&value, from, size);
        cpu->ops->mmio_write(cpu->machine, cpu, gpa, size, value);
        gpa.v += size;
        from += size;
        length -= size;
    }
}

static void parts_load(struct cpu *cpu, const struct parts *parts, void *to)
{
    part_load(cpu, parts->gpa[0], to, parts->length[0]);
    if (parts->length[1])
        part_load(cpu, parts->gpa[1], (uint8_t *)to + parts->length[0], parts->length[1]);
}

static void parts_store(struct cpu *cpu, const struct parts *parts, const void *from)
{
    part_store(cpu, parts->gpa[0], from, parts->length[0]);
    if (parts->length[1])
        part_store(cpu, parts->gpa[1], (const uint8_t *)from + parts->length[0], parts->length[1]);
}

/* --- the program's accesses */

static bool access_begin(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length,
                         unsigned alignment, bool write, struct parts *parts)
{
    uint64_t linear;
    if (segment_check(cpu, seg, offset, length, alignment, write, &linear) ||
        translate_parts(cpu, cpu_view_id(cpu), linear, length, write ? ACCESS_WRITE : ACCESS_READ,
                        parts))
        return true;
    if (unlikely(cpu->dr[7] & 0xff))
        debug_note_access(cpu, linear, length, write ? DEBUG_WRITE : DEBUG_READ_WRITE);
    return false;
}

static bool load_aligned(struct cpu *cpu, unsigned seg, uint64_t offset, void *to, unsigned length,
                         unsigned alignment)
{
    struct parts parts;
    if (access_begin(cpu, seg, offset, length, alignment, false, &parts))
        return true;
    parts_load(cpu, &parts, to);
    return false;
}

static bool store_aligned(struct cpu *cpu, unsigned seg, uint64_t offset, const void *from,
                          unsigned length, unsigned alignment)
{
    struct parts parts;
    if (access_begin(cpu, seg, offset, length, alignment, true, &parts))
        return true;
    parts_store(cpu, &parts, from);
    return false;
}

bool mem_load_bytes(struct cpu *cpu, unsigned seg, uint64_t offset, void *to, unsigned length)
{
    return load_aligned(cpu, seg, offset, to, length, alignment_mask(length));
}

bool mem_store_bytes(struct cpu *cpu, unsigned seg, uint64_t offset, const void *from,
                     unsigned length)
{
    return store_aligned(cpu, seg, offset, from, length, alignment_mask(length));
}

bool mem_load_part(struct cpu *cpu, unsigned seg, uint64_t offset, void *to, unsigned length)
{
    return load_aligned(cpu, seg, offset, to, length, 0);
}

bool mem_store_part(struct cpu *cpu, unsigned seg, uint64_t offset, const void *from,
                    unsigned length)
{
    return store_aligned(cpu, seg, offset, from, length, 0);
}

bool mem_load_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size)
{
    cpu->count.slow_loads++;
    cpu->load_value = 0;
    return mem_load_bytes(cpu, seg, offset, &cpu->load_value, size);
}

bool mem_store_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size, uint64_t value)
{
    cpu->count.slow_stores++;
    return mem_store_bytes(cpu, seg, offset, &value, size);
}

void *mem_rmw_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size)
{
    cpu->count.slow_stores++;
    struct parts parts;
    if (access_begin(cpu, seg, offset, size, alignment_mask(size), true, &parts))
        return NULL;
    /* What is plain RAM now can be changed in place. */
    void *host = mem_fast(cpu, seg, offset, size, true);
    if (host)
        return host;
    parts_load(cpu, &parts, cpu->rmw.bytes);
    for (unsigned i = 0; i < 2; i++) {
        cpu->rmw.gpa[i] = parts.gpa[i];
        cpu->rmw.length[i] = (uint8_t)parts.length[i];
    }
    cpu->rmw.pending = true;
    return cpu->rmw.bytes;
}

void mem_rmw_commit(struct cpu *cpu)
{
    struct parts parts = {.gpa = {cpu->rmw.gpa[0], cpu->rmw.gpa[1]},
                          .length = {cpu->rmw.length[0], cpu->rmw.length[1]}};
    cpu->rmw.pending = false;
    parts_store(cpu, &parts, cpu->rmw.bytes);
}

static bool check(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length,
                  unsigned alignment, bool write)
{
    struct parts parts;
    uint64_t linear;
    return segment_check(cpu, seg, offset, length, alignment, write, &linear) ||
           translate_parts(cpu, cpu_view_id(cpu), linear, length,
                           write ? ACCESS_WRITE : ACCESS_READ, &parts);
}

bool mem_check_write(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length)
{
    return check(cpu, seg, offset, length, alignment_mask(length), true);
}

bool mem_check_write_part(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length)
{
    return check(cpu, seg, offset, length, 0, true);
}

bool mem_check_read(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length)
{
    return check(cpu, seg, offset, length, alignment_mask(length), false);
}

unsigned mem_run(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size, uint64_t count,
                 bool write, uint8_t **host)
{
    *host = mem_fast(cpu, seg, offset, size, write);
    if (!*host)
        return 0;
    const struct segment *segment = &cpu->segs[seg];
    uint64_t linear = (segment->base + offset) & cpu->linear_mask;
    uint64_t in_page = PAGE_BYTES - (linear & PAGE_OFFSET_MASK);
    uint64_t in_segment = (write ? segment->write_end : segment->read_end) - offset;
    uint64_t elements = (in_page < in_segment ? in_page : in_segment) / size;
    return (unsigned)(elements < count ? elements : count);
}

/* --- implicit supervisor accesses */

static uint64_t system_linear(const struct cpu *cpu, uint64_t linear)
{
    return cpu_is_long(cpu) ? linear : (uint32_t)linear;
}

static bool system_translate(struct cpu *cpu, uint64_t linear, unsigned length, bool write,
                             struct parts *parts)
{
    return translate_parts(cpu, VIEW_SUPERVISOR, system_linear(cpu, linear), length,
                           write ? ACCESS_WRITE : ACCESS_READ, parts);
}

/* WHY: a copy of a length that is not known when this is compiled is a call. */
static uint64_t load_sized(const void *host, unsigned size)
{
    switch (size) {
    case 1:
        return *(const uint8_t *)host;
    case 2:
        return load_le16(host);
    case 4:
        return load_le32(host);
    default:
        return load_le64(host);
    }
}

static void store_sized(void *host, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *(uint8_t *)host = (uint8_t)value;
        break;
    case 2:
        store_le16(host, (uint16_t)value);
        break;
    case 4:
        store_le32(host, (uint32_t)value);
        break;
    default:
        store_le64(host, value);
    }
}

bool mem_system_load(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t *value)
{
    struct parts parts;
    const void *host = mem_system_fast(cpu, system_linear(cpu, linear), size, false);
    if (likely(host != NULL)) {
        *value = load_sized(host, size);
        return false;
    }
    if (system_translate(cpu, linear, size, false, &parts))
        return true;
    *value = 0;
    parts_load(cpu, &parts, value);
    return false;
}

bool mem_system_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value)
{
    struct parts parts;
    void *host = mem_system_fast(cpu, system_linear(cpu, linear), size, true);
    if (likely(host != NULL)) {
        store_sized(host, size, value);
        return false;
    }
    if (system_translate(cpu, linear, size, true, &parts))
        return true;
    parts_store(cpu, &parts, &value);
    return false;
}

bool mem_system_check(struct cpu *cpu, uint64_t linear, unsigned length, bool write)
{
    while (length) {
        struct parts parts;
        unsigned chunk = length < PAGE_BYTES ? length : (unsigned)PAGE_BYTES;
        if (system_translate(cpu, linear, chunk, write, &parts))
            return true;
        linear += chunk;
        length -= chunk;
    }
    return false;
}
