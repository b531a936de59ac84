/* Task states, and tasks that catch faults (task.h). */
#include "task.h"

/* On a catching task's stack lies the error code; saved_esp is protected.S's. */
#define CATCH(vector) "catch_" #vector ": pushl $" #vector "; jmp catch\n"
#define TEXT(number)  #number
#define AT(offset)    TEXT(offset)
__asm__(".pushsection .text\n" CATCH(10) CATCH(11) CATCH(12) CATCH(13) "catch: popl " AT(
    STATE_OUT) "+" AT(STATE_VECTOR) "\n"
                                    "       popl " AT(STATE_OUT) "+" AT(
                                        STATE_ERROR) "\n"
                                                     "       mov saved_esp, %esp\n"
                                                     "       pushl $2\n"
                                                     "       popfl\n"
                                                     "       popal\n"
                                                     "       ret\n"
                                                     ".popsection");
extern const uint8_t catch_10[], catch_11[], catch_12[], catch_13[];

enum { FIRST = VECTOR_TS, LAST = VECTOR_GP, CATCH_BYTES = 0x80 };

/* Offsets of the fields, by size. */
static const struct layout {
    unsigned stacks, ip, flags, gpr, segments, ldt, unit;
} layouts[2] = {{2, 14, 16, 18, 34, 42, 2}, {4, 32, 36, 40, 72, 96, 4}};

struct task task_at(const struct snippet *snippet, unsigned cpl)
{
    struct task task = {.ip = (uint32_t)snippet->end - LOW_BASE, .flags = FLAG_FIXED | 0xd5};

    for (unsigned i = 0; i < 8; i++)
        task.gpr[i] = 0x1210 * (i + 1);
    task.gpr[RSP] = STACK_16;
    for (unsigned i = 0; i < TASK_SEGMENTS; i++)
        task.segments[i] = SEL_DATA16(cpl);
    task.segments[TASK_CS] = SEL_CODE16(cpl);
    return task;
}

static void put(uint32_t at, unsigned unit, uint32_t value)
{
    if (unit == 2)
        *word_at(at) = value;
    else
        *dword_at(at) = value;
}

static uint32_t get(uint32_t at, unsigned unit)
{
    return unit == 2 ? *word_at(at) : *dword_at(at);
}

void task_put(uint32_t at, bool is_32, const struct task *task, unsigned link)
{
    const struct layout *layout = &layouts[is_32];
    unsigned unit = layout->unit;

    for (uint32_t i = 0; i <= (is_32 ? TSS32_LIMIT : TSS16_LIMIT); i++)
        *byte_at(at + i) = 0;
    *word_at(at) = link;
    for (unsigned cpl = 0; cpl <= 2; cpl++) {
        /* 16 bits name only stacks in the first 64 KiB. */
        put(at + layout->stacks + 2 * unit * cpl, unit,
            is_32 ? RING_TOP(cpl) : 0xc000 + 0x400 * cpl);
        put(at + layout->stacks + 2 * unit * cpl + unit, unit, SEL_DATA32(cpl));
    }
    put(at + layout->ip, unit, task->ip);
    put(at + layout->flags, unit, task->flags);
    for (unsigned i = 0; i < 8; i++)
        put(at + layout->gpr + unit * i, unit, task->gpr[i]);
    for (unsigned i = 0; i < (is_32 ? TASK_SEGMENTS : TASK_FS); i++)
        put(at + layout->segments + unit * i, unit, task->segments[i]);
    put(at + layout->ldt, unit, task->ldt);
    if (is_32)
        *word_at(at + TSS_MAP) = TSS32_LIMIT + 1;
}

struct task task_get(uint32_t at, bool is_32)
{
    const struct layout *layout = &layouts[is_32];
    unsigned unit = layout->unit;
    struct task task = {.ip = get(at + layout->ip, unit), .flags = get(at + layout->flags, unit)};

    for (unsigned i = 0; i < 8; i++)
        task.gpr[i] = get(at + layout->gpr + unit * i, unit);
    for (unsigned i = 0; i < (is_32 ? TASK_SEGMENTS : TASK_FS); i++)
        task.segments[i] = get(at + layout->segments + unit * i, 2);
    task.ldt = get(at + layout->ldt, 2);
    return task;
}

static void catch_faults(void)
{
    static const uint8_t *const entries[] = {catch_10, catch_11, catch_12, catch_13};

    for (unsigned vector = FIRST; vector <= LAST; vector++) {
        unsigned i = vector - FIRST, selector = SEL_TASK_CATCH + 8 * i;
        uint32_t at = TASK_CATCH_AT + CATCH_BYTES * i;
        struct task task = {.ip = (uint32_t)entries[i], .flags = FLAG_FIXED};
        for (unsigned segment = 0; segment < TASK_SEGMENTS; segment++)
            task.segments[segment] = segment == TASK_CS ? SEL_CODE : SEL_DATA;
        task.gpr[RSP] = FREE_BASE + 0x1000;
        task_put(at, true, &task, 0);
        gdt_set(selector, descriptor(at, TSS32_LIMIT, TSS_FREE, 0));
        idt_set(vector, gate(0, selector, 0x80 | KIND_TASK_GATE));
    }
}

void task_reset(bool is_32)
{
    tables_reset();
    catch_faults();
    if (is_32)
        return;
    task_put(TASK_OLD_AT, false, &(struct task){0}, 0);
    gdt_set(SEL_TASK_OLD, descriptor(TASK_OLD_AT, TSS16_LIMIT, 0x80 | KIND_TSS16, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TASK_OLD) : "memory");
}

static unsigned task_register(void)
{
    uint32_t selector;

    __asm__ volatile("str %0" : "=r"(selector));
    return selector & 0xffff;
}

static uint32_t base_of(unsigned selector)
{
    uint64_t value = gdt_get(selector);

    return (value >> 16 & 0xffffff) | (value >> 56) << 24;
}

struct state task_attempt(const struct state *start)
{
    struct state end = attempt(start);
    unsigned selector = task_register(), i = (selector - SEL_TASK_CATCH) / 8;

    if (selector < SEL_TASK_CATCH || i > LAST - FIRST)
        return end;
    unsigned faulting = *word_at(TASK_CATCH_AT + CATCH_BYTES * i);
    struct task task = task_get(base_of(faulting), kind_of(gdt_get(faulting)).kind & 8);
    end.ip = task.ip;
    end.cs = task.segments[TASK_CS];
    end.flags = task.flags;
    return end;
}
