/* x, xp, print, memsave, pmemsave, gva2gpa: looks into guest memory without side effects. */
#include "ui/monitor_priv.h"

#include <capstone/capstone.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { COUNT_MAX = 65536, INSN_BYTES = 15, STRING_MAX = 1024 };

/* /COUNT FORMAT SIZE, as in /8xb; what is missing is as the last time. */
struct memory_format {
    unsigned count;
    char format; /* x d u o c i s */
    char size;   /* b w h g; for instructions 0: by the processor's mode */
};

static unsigned size_bytes(char size)
{
    return size == 'b' ? 1 : size == 'h' ? 2 : size == 'w' ? 4 : 8;
}

static bool parse_format(struct monitor_call *call, struct memory_format *format)
{
    struct monitor *monitor = call->monitor;
    const char *at = call->format ? call->format : "";
    bool has_size = false;

    *format = (struct memory_format){1, monitor->memory_format, monitor->memory_size};
    if (isdigit((unsigned char)*at))
        format->count = strtoul(at, (char **)&at, 10);
    for (; *at; at++) {
        if (strchr("xduocis", *at)) {
            format->format = *at;
        } else if (strchr("bhwg", *at)) {
            format->size = *at;
            has_size = true;
        } else {
            fprintf(call->out,
                    "/%s: no such format; write a count, one of x d u o c i s, and one of "
                    "b h w g\n",
                    call->format);
            return false;
        }
    }
    if (format->count < 1 || format->count > COUNT_MAX) {
        fprintf(call->out, "/%s: the count is out of range; give 1 to %d\n", call->format,
                COUNT_MAX);
        return false;
    }
    monitor->memory_format = format->format;
    if (has_size)
        monitor->memory_size = format->size;
    if (format->format == 'i' && !has_size)
        format->size = 0;
    if (format->format == 'c')
        format->size = 'b';
    return true;
}

/* Reads guest memory at a linear or physical address; returns how much of it is there. */
static size_t read_memory(struct machine *machine, bool physical, uint64_t address, uint8_t *to,
                          size_t length)
{
    struct cpu *cpu = machine_cpu(machine, 0);
    size_t done = 0;

    while (done < length) {
        uint64_t at = address + done;
        size_t part = PAGE_BYTES - (at & PAGE_OFFSET_MASK);
        struct translation found = {.gpa = GPA(at)};
        if (part > length - done)
            part = length - done;
        if (!physical && !mmu_probe(&cpu->mmu, GVA(at), &found))
            break;
        if (!physmem_read(machine_physmem(machine), found.gpa, to + done, part))
            break;
        done += part;
    }
    return done;
}

static void print_number(FILE *out, char format, unsigned bytes, uint64_t value)
{
    /* Digits of the widest number of each size, so that columns line up. */
    static const uint8_t octal[] = {0, 3, 6, 0, 11, 0, 0, 0, 22};
    static const uint8_t decimal[] = {0, 3, 5, 0, 10, 0, 0, 0, 20};

    switch (format) {
    case 'd':
        fprintf(out, "%*" PRId64, decimal[bytes] + 1, bits_sign_extend(value, 8 * bytes));
        break;
    case 'u':
        fprintf(out, "%*" PRIu64, decimal[bytes], value);
        break;
    case 'o':
        fprintf(out, "%#0*" PRIo64, octal[bytes] + 1, value);
        break;
    case 'c':
        if (value >= ' ' && value < 0x7f && value != '\'' && value != '\\')
            fprintf(out, "'%c'", (char)value);
        else
            fprintf(out, "'\\x%02x'", (unsigned)value);
        break;
    default:
        fprintf(out, "0x%0*" PRIx64, 2 * bytes, value);
    }
}

static void dump_numbers(struct monitor_call *call, const struct memory_format *format,
                         bool physical, uint64_t address)
{
    unsigned bytes = size_bytes(format->size);
    unsigned a_line = (bytes == 1 ? 8 : 16) / bytes;

    for (unsigned i = 0; i < format->count; i++, address += bytes) {
        uint8_t raw[8] = {0};
        if (i % a_line == 0)
            fprintf(call->out, "%s%016" PRIx64 ":", i ? "\n" : "", address);
        if (read_memory(call->monitor->machine, physical, address, raw, bytes) < bytes) {
            fprintf(call->out, " no memory at %#" PRIx64 "\n", address);
            return;
        }
        fputc(' ', call->out);
        print_number(call->out, format->format, bytes, load_le64(raw));
    }
    fputc('\n', call->out);
}

static void dump_strings(struct monitor_call *call, const struct memory_format *format,
                         bool physical, uint64_t address)
{
    for (unsigned i = 0; i < format->count; i++) {
        char text[STRING_MAX + 1];
        size_t got =
            read_memory(call->monitor->machine, physical, address, (uint8_t *)text, STRING_MAX);
        if (!got) {
            fprintf(call->out, "no memory at %#" PRIx64 "\n", address);
            return;
        }
        size_t length = strnlen(text, got);
        fprintf(call->out, "%016" PRIx64 ": \"", address);
        for (size_t at = 0; at < length; at++)
            fprintf(call->out, isprint((unsigned char)text[at]) ? "%c" : "\\x%02x",
                    (unsigned char)text[at]);
        fprintf(call->out, "\"%s\n", length == got ? " (cut off)" : "");
        if (length == got)
            return;
        address += length + 1;
    }
}

static cs_mode code_mode(const struct cpu *cpu, char size)
{
    static const cs_mode modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};

    switch (size) {
    case 'h':
        return CS_MODE_16;
    case 'w':
        return CS_MODE_32;
    case 'g':
        return CS_MODE_64;
    default:
        return modes[cpu_code_size(cpu)];
    }
}

static void print_insn(FILE *out, const cs_insn *insn)
{
    fprintf(out, "%016" PRIx64 ": ", insn->address);
    for (unsigned i = 0; i < insn->size; i++)
        fprintf(out, " %02x", insn->bytes[i]);
    fprintf(out, "%*s  %s %s\n", insn->size < 10 ? 3 * (10 - insn->size) : 0, "", insn->mnemonic,
            insn->op_str);
}

static void dump_code(struct monitor_call *call, const struct memory_format *format, bool physical,
                      uint64_t address)
{
    struct machine *machine = call->monitor->machine;
    csh capstone;

    if (cs_open(CS_ARCH_X86, code_mode(machine_cpu(machine, 0), format->size), &capstone)) {
        fprintf(call->out, "the disassembler does not start: out of memory\n");
        return;
    }
    for (unsigned i = 0; i < format->count; i++) {
        uint8_t bytes[INSN_BYTES];
        cs_insn *insn = NULL;
        size_t got = read_memory(machine, physical, address, bytes, sizeof bytes);
        if (!got) {
            fprintf(call->out, "no memory at %#" PRIx64 "\n", address);
            break;
        }
        if (cs_disasm(capstone, bytes, got, address, 1, &insn)) {
            print_insn(call->out, insn);
            address += insn->size;
            cs_free(insn, 1);
        } else {
            fprintf(call->out, "%016" PRIx64 ":  %02x%*s  (bad)\n", address, bytes[0], 27, "");
            address++;
        }
    }
    cs_close(&capstone);
}

static void examine(struct monitor_call *call, bool physical)
{
    struct memory_format format;
    const char *at = call->arguments;
    uint64_t address;

    if (!parse_format(call, &format) || !monitor_value(call, &at, &address))
        return;
    if (*at)
        fprintf(call->out, "'%s' stands after the address; leave it out\n", at);
    else if (format.format == 'i')
        dump_code(call, &format, physical, address);
    else if (format.format == 's')
        dump_strings(call, &format, physical, address);
    else
        dump_numbers(call, &format, physical, address);
}

void monitor_x(struct monitor_call *call)
{
    examine(call, false);
}

void monitor_xp(struct monitor_call *call)
{
    examine(call, true);
}

void monitor_print(struct monitor_call *call)
{
    const char *format = call->format ? call->format : "x", *at = call->arguments;
    uint64_t value;

    if (strlen(format) != 1 || !strchr("xduoc", *format)) {
        fprintf(call->out, "/%s: no such format; write one of x d u o c\n", format);
        return;
    }
    if (!monitor_value(call, &at, &value))
        return;
    switch (*format) {
    case 'd':
        fprintf(call->out, "%" PRId64 "\n", (int64_t)value);
        break;
    case 'u':
        fprintf(call->out, "%" PRIu64 "\n", value);
        break;
    case 'o':
        fprintf(call->out, "%#" PRIo64 "\n", value);
        break;
    case 'c':
        print_number(call->out, 'c', 1, value & 0xff);
        fputc('\n', call->out);
        break;
    default:
        fprintf(call->out, "%#" PRIx64 "\n", value);
    }
}

/* ADDRESS LENGTH FILE */
static void save(struct monitor_call *call, bool physical)
{
    const char *at = call->arguments;
    uint64_t address, length, done = 0;
    uint8_t bytes[PAGE_BYTES];

    if (!monitor_value(call, &at, &address) || !monitor_value(call, &at, &length))
        return;
    if (!*at) {
        fprintf(call->out, "the file is missing; write %s ADDRESS LENGTH FILE\n", call->name);
        return;
    }
    FILE *file = fopen(at, "we");
    if (!file) {
        fprintf(call->out, "%s: %s\n", at, strerror(errno));
        return;
    }
    while (done < length) {
        size_t part = length - done < sizeof bytes ? length - done : sizeof bytes;
        size_t got = read_memory(call->monitor->machine, physical, address + done, bytes, part);
        fwrite(bytes, 1, got, file);
        done += got;
        if (got < part) {
            fprintf(call->out, "no memory at %#" PRIx64 ": %" PRIu64 " bytes written\n",
                    address + done, done);
            break;
        }
    }
    if (ferror(file) | fclose(file))
        fprintf(call->out, "%s: %s\n", at, strerror(errno));
}

void monitor_save_memory(struct monitor_call *call)
{
    save(call, false);
}

void monitor_save_physical(struct monitor_call *call)
{
    save(call, true);
}

void monitor_address(struct monitor_call *call)
{
    struct cpu *cpu = machine_cpu(call->monitor->machine, 0);
    const char *at = call->arguments;
    struct translation found;
    uint64_t address;

    if (!monitor_value(call, &at, &address))
        return;
    if (mmu_probe(&cpu->mmu, GVA(address), &found))
        fprintf(call->out, "gpa: %#" PRIx64 "\n", found.gpa.v);
    else
        fprintf(call->out, "not mapped\n");
}
