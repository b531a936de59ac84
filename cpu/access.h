/* Guest memory as handlers see it: segment and offset in, value or pending fault out.
 *
 * Every function that can fault returns false when all is well and true when a fault is pending in
 * cpu->fault (so `TRY(mem_load32(...))` reads as it should).  The fast path is in line: a segment
 * limit compare and a look into the shadow; all else (page crossing, misses, MMIO, watched pages,
 * limits of odd segments, code pages) is in access.c.
 *
 * INV-1: no function takes the address of a handler's local on a path that is not inlined away:
 *        slow loads answer in cpu->load_value, so handlers stay eligible for tail calls.
 * INV-2: a store that returns false has been done whole; one that returns true has changed nothing.
 */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include "cpu/cpu.h"

/* The privilege of an access that is not the program's own: descriptor tables, TSS. */
must_check bool mem_load_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size);
must_check bool mem_store_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size,
                               uint64_t value);
void *mem_rmw_slow(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size);
void mem_rmw_commit(struct cpu *cpu);

/* Host address of the access if the shadow allows it at once, else NULL.  A segment known to be
 * flat when this is compiled costs nothing. */
static always_inline void *mem_fast(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size,
                                    bool write)
{
    const bool flat = __builtin_constant_p(seg) && (seg == SEG_FLAT || seg == SEG_FLAT_STACK);
    const struct segment *segment = &cpu->segs[seg];
    uint64_t linear = flat ? offset : (segment->base + offset) & cpu->linear_mask;
    struct shadow_entry *entry = &cpu->view->entries[linear >> PAGE_SHIFT & (SHADOW_ENTRIES - 1)];
    uint64_t end = write ? segment->write_end : segment->read_end;
    uint64_t tag = write ? entry->write_tag : entry->read_tag;
    if (likely((flat || offset + size <= end) && ((linear + (size - 1)) & PAGE_MASK) == tag)) {
        void *host = (void *)(entry->addend + linear);
        if (!host)
            __builtin_unreachable();
        return host;
    }
    return NULL;
}

#define ACCESS_DEFINE(bits)                                                                        \
    static always_inline must_check bool mem_load##bits(struct cpu *cpu, unsigned seg,             \
                                                        uint64_t offset, uint##bits##_t *value)    \
    {                                                                                              \
        void *host = mem_fast(cpu, seg, offset, bits / 8, false);                                  \
        if (likely(host != NULL)) {                                                                \
            memcpy(value, host, bits / 8);                                                         \
            return false;                                                                          \
        }                                                                                          \
        if (mem_load_slow(cpu, seg, offset, bits / 8))                                             \
            return true;                                                                           \
        *value = (uint##bits##_t)cpu->load_value;                                                  \
        return false;                                                                              \
    }                                                                                              \
    static always_inline must_check bool mem_store##bits(struct cpu *cpu, unsigned seg,            \
                                                         uint64_t offset, uint##bits##_t value)    \
    {                                                                                              \
        void *host = mem_fast(cpu, seg, offset, bits / 8, true);                                   \
        if (likely(host != NULL)) {                                                                \
            memcpy(host, &value, bits / 8);                                                        \
            return false;                                                                          \
        }                                                                                          \
        return mem_store_slow(cpu, seg, offset, bits / 8, value);                                  \
    }
ACCESS_DEFINE(8)
ACCESS_DEFINE(16)
ACCESS_DEFINE(32)
ACCESS_DEFINE(64)

/* Any length up to 64 bytes; `to` must not be a local of a handler (use a field of cpu, e.g.
 * cpu->xmm[n] or cpu->rmw.bytes).  All bytes are checked before the first is transferred. */
must_check bool mem_load_bytes(struct cpu *cpu, unsigned seg, uint64_t offset, void *to,
                               unsigned length);
must_check bool mem_store_bytes(struct cpu *cpu, unsigned seg, uint64_t offset, const void *from,
                                unsigned length);

/* The same without a look at the alignment: of an operand's parts, and of operands that need none
 * (SDM 2A table 2-20: a masked move or gather raises no #AC). */
must_check bool mem_load_part(struct cpu *cpu, unsigned seg, uint64_t offset, void *to,
                              unsigned length);
must_check bool mem_store_part(struct cpu *cpu, unsigned seg, uint64_t offset, const void *from,
                               unsigned length);
must_check bool mem_check_write_part(struct cpu *cpu, unsigned seg, uint64_t offset,
                                     unsigned length);

/* Read-modify-write.  mem_rmw() checks for writing and returns where the operand lies: guest memory
 * itself, or a copy that mem_rmw_done() writes back; NULL with a fault pending.
 *
 *     uint32_t *p = mem_rmw(cpu, insn->seg, offset, 4);
 *     if (unlikely(!p)) return exec_fault(cpu, insn);
 *     old = *p; … ; *p = new;
 *     mem_rmw_done(cpu);
 */
static always_inline void *mem_rmw(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size)
{
    void *host = mem_fast(cpu, seg, offset, size, true);
    return likely(host != NULL) ? host : mem_rmw_slow(cpu, seg, offset, size);
}
static always_inline void mem_rmw_done(struct cpu *cpu)
{
    if (unlikely(cpu->rmw.pending))
        mem_rmw_commit(cpu);
}

/* Would a write of `length` bytes succeed?  Raises the fault it would; changes only A and D
 * bits. */
must_check bool mem_check_write(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length);
must_check bool mem_check_read(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned length);

/* Implicit supervisor accesses at linear addresses, whatever the CPL: GDT, LDT, IDT, TSS, and the
 * program's own accesses without a segment.  `size` 1, 2, 4, 8. */
must_check bool mem_system_load(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t *value);
must_check bool mem_system_store(struct cpu *cpu, uint64_t linear, unsigned size, uint64_t value);
/* Host address of `length` bytes of one page if the supervisor's view allows the access at once,
 * else NULL: for those that would use mem_system_load or _store several times over. */
static always_inline void *mem_system_fast(struct cpu *cpu, uint64_t linear, unsigned length,
                                           bool write)
{
    const struct shadow_view *view = cpu->mmu.space->views[VIEW_SUPERVISOR];
    if (unlikely(!view))
        return NULL;
    const struct shadow_entry *entry = &view->entries[linear >> PAGE_SHIFT & (SHADOW_ENTRIES - 1)];
    uint64_t tag = write ? entry->write_tag : entry->read_tag;
    return ((linear + (length - 1)) & PAGE_MASK) == tag ? (void *)(entry->addend + linear) : NULL;
}
/* Supervisor write check of a range (task switch: all faults before the first change). */
must_check bool mem_system_check(struct cpu *cpu, uint64_t linear, unsigned length, bool write);

/* How many elements of `size` bytes from (seg, offset) upwards lie in one page that the shadow
 * reaches directly, at most `count`; *host is where.  0: go element by element.  For REP
 * strings. */
unsigned mem_run(struct cpu *cpu, unsigned seg, uint64_t offset, unsigned size, uint64_t count,
                 bool write, uint8_t **host);

/* Stack at SS:(E)SP; RSP itself is changed only by the caller's *sp, so that an instruction with
 * several pushes commits at its end:
 *     uint64_t sp = cpu->regs[RSP];
 *     TRY(stack_push(cpu, &sp, SIZE_32, a)); TRY(stack_push(cpu, &sp, SIZE_32, b));
 *     stack_commit(cpu, sp);
 */
static always_inline unsigned stack_seg(const struct cpu *cpu)
{
    return cpu_is_64(cpu) ? SEG_FLAT_STACK : SS;
}
static always_inline must_check bool stack_push(struct cpu *cpu, uint64_t *sp, enum op_size size,
                                                uint64_t value)
{
    uint64_t at = (*sp - (UINT64_C(1) << size)) & cpu->stack_mask;
    bool fault = size == SIZE_16   ? mem_store16(cpu, stack_seg(cpu), at, (uint16_t)value)
                 : size == SIZE_32 ? mem_store32(cpu, stack_seg(cpu), at, (uint32_t)value)
                                   : mem_store64(cpu, stack_seg(cpu), at, value);
    if (unlikely(fault))
        return true;
    *sp = at;
    return false;
}
static always_inline must_check bool stack_pop(struct cpu *cpu, uint64_t *sp, enum op_size size,
                                               uint64_t *value)
{
    uint64_t at = *sp & cpu->stack_mask;
    bool fault;
    if (size == SIZE_16) {
        uint16_t v = 0;
        fault = mem_load16(cpu, stack_seg(cpu), at, &v);
        *value = v;
    } else if (size == SIZE_32) {
        uint32_t v = 0;
        fault = mem_load32(cpu, stack_seg(cpu), at, &v);
        *value = v;
    } else {
        fault = mem_load64(cpu, stack_seg(cpu), at, value);
    }
    if (unlikely(fault))
        return true;
    *sp = (at + (UINT64_C(1) << size)) & cpu->stack_mask;
    return false;
}
/* RSP's bits above the stack's width stay. */
static always_inline void stack_commit(struct cpu *cpu, uint64_t sp)
{
    uint64_t mask = cpu->stack_mask;
    cpu->regs[RSP] = mask == 0xffff ? (cpu->regs[RSP] & ~mask) | (sp & mask) : sp & mask;
}

#endif
