/* Numbers in the monitor: 0x7c00, 4096, $rip, $cs, $esp+8. */
#include "ui/monitor_priv.h"

#include "cpu/flags.h"

#include <ctype.h>
#include <stdlib.h>

static const char *const general_names[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
static const char *const segment_names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

static bool is_name(const char *name, size_t length, const char *other)
{
    return strlen(other) == length && !memcmp(name, other, length);
}

/* rax (all bits), eax (32), ax (16) and r8..r15, by the letter before the 16-bit name. */
static bool general_register(const struct cpu *cpu, const char *name, size_t length,
                             uint64_t *value)
{
    uint64_t mask = UINT16_MAX;

    if (length >= 2 && length <= 3 && name[0] == 'r' && isdigit((unsigned char)name[1])) {
        int number = atoi(name + 1);
        if (number < 8 || number > 15)
            return false;
        *value = cpu->regs[number];
        return true;
    }
    if (length == 3 && (name[0] == 'r' || name[0] == 'e')) {
        mask = name[0] == 'r' ? UINT64_MAX : UINT32_MAX;
        name++;
        length--;
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(general_names); i++) {
        if (is_name(name, length, general_names[i])) {
            *value = cpu->regs[i] & mask;
            return true;
        }
    }
    return false;
}

static bool special_register(const struct cpu *cpu, const char *name, size_t length,
                             uint64_t *value)
{
    const struct {
        const char *name;
        uint64_t value;
    } specials[] = {
        {"rip", cpu->rip},
        {"eip", cpu->rip},
        {"ip", cpu->rip},
        {"pc", cpu->segs[CS].base + cpu->rip},
        {"eflags", cpu_eflags(cpu)},
        {"rflags", cpu_eflags(cpu)},
        {"cr0", cpu->mmu.registers.cr0},
        {"cr2", cpu->cr2},
        {"cr3", cpu->mmu.registers.cr3},
        {"cr4", cpu->mmu.registers.cr4},
        {"efer", cpu->mmu.registers.efer},
        {"gdt", cpu->gdt.base},
        {"idt", cpu->idt.base},
        {"fs.base", cpu->segs[FS].base},
        {"gs.base", cpu->segs[GS].base},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(specials); i++) {
        if (is_name(name, length, specials[i].name)) {
            *value = specials[i].value;
            return true;
        }
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(segment_names); i++) {
        if (is_name(name, length, segment_names[i])) {
            *value = cpu->segs[i].selector;
            return true;
        }
    }
    return false;
}

static bool term(struct monitor_call *call, const char **text, uint64_t *value)
{
    const struct cpu *cpu = machine_cpu(call->monitor->machine, 0);
    const char *at = *text;
    size_t length = 0;

    if (*at == '$') {
        at++;
        while (isalnum((unsigned char)at[length]) || at[length] == '.')
            length++;
        if (!general_register(cpu, at, length, value) &&
            !special_register(cpu, at, length, value)) {
            fprintf(call->out,
                    "no register '%.*s'; there are $rax ... $r15, $rip, $pc, $eflags, "
                    "$cs ... $gs, $cr0 ... $cr4\n",
                    (int)length, at);
            return false;
        }
        *text = at + length;
        return true;
    }
    char *end;
    *value = strtoull(at, &end, at[0] == '0' && (at[1] | 0x20) == 'x' ? 16 : 10);
    if (!isdigit((unsigned char)*at) || end == at) {
        fprintf(call->out, "'%s' is no number; write 4096, 0x1000 or $rip\n", at);
        return false;
    }
    *text = end;
    return true;
}

bool monitor_value(struct monitor_call *call, const char **text, uint64_t *value)
{
    if (!term(call, text, value))
        return false;
    while (**text == '+' || **text == '-') {
        bool minus = **text == '-';
        uint64_t next;
        ++*text;
        if (!term(call, text, &next))
            return false;
        *value += minus ? -next : next;
    }
    while (**text == ' ')
        ++*text;
    return true;
}
