/* One instruction by the interpreter, in the middle of translated code. */
#include "cpu/sse_env.h"
#include "translate/flags.h"
#include "translate/native_x87.h"
#include "translate/translated.h"
#include "translate/window_fault.h"

enum { SEEN_EVERY = 64 };

/* The block was counted whole when it was entered; `done` of its instructions were. */
static void uncount(struct cpu *cpu, const struct block *block, unsigned done)
{
    if (translator_of(cpu)->options.count)
        cpu->instructions -= block->count - done;
}

/* The instruction, followed by one that stops.
 * WHY: the block's own handler may be one for two instructions, or exec_stale. */
static void alone(const struct insn *insn, struct insn insns[2])
{
    insns[0] = *insn;
    insns[0].exec = opcode_exec[insn->row][insn->memory][insn->size];
    insns[1] = (struct insn){.exec = exec_stop, .offset = (uint16_t)(insn->offset + insn->length)};
}

int translate_interp(struct cpu *cpu, uint32_t place)
{
    struct translator *translator = translator_of(cpu);
    const struct translated *translation = place_translation(translator, place);
    struct block *block = translation->block;
    const unsigned index = place & PLACE_NUMBER;
    struct insn insns[2];
    alone(&block->insns[index], insns);
    const uint64_t start = cpu->native.code_page + (block->gpa & PAGE_OFFSET_MASK);
    translator->count.interp++;
    cpu->callouts[insns->row]++;
    native_flags_settle(cpu);
    cpu->block = block;
    cpu->block_rip = start;
    const bool x87 = cpu->native.x87_live && native_x87_concerns(insns);
    if (x87)
        native_x87_store(cpu);
    if (translator->count.interp % SEEN_EVERY == 0) /* else code without interrupts never is */
        translation_seen(translator, cpu);
    const bool window = cpu->native.window_fault != 0;
    if (unlikely(window))
        window_fault_note(cpu, insns);
    int result = insns->exec(cpu, insns);
    if (cpu->native.vectors)
        cpu->native.vectors =
            (uint8_t)vectors_of(!sse_is_checked(cpu), cpu->native.vectors & VECTORS_UPPER);
    if (result == EXEC_NEXT)
        cpu->rip = insn_next_rip(cpu, insns);
    if (unlikely(window) && (result == EXEC_STOP || result == EXEC_NEXT) && !window_fault_fill(cpu))
        translation_trapped(cpu, block, index);
    if (likely(result == EXEC_STOP || result == EXEC_NEXT)) {
        /* WHY: a dropped translation's exits are no longer known to those that they lead to. */
        if (likely(!translation->dead && !block->dead && cpu->mode == block->mode &&
                   (!x87 || native_x87_load(cpu))))
            return 0;
        uncount(cpu, block, index + 1);
        return EXEC_LEAVE;
    }
    const bool again = cpu->rip == insn_rip(cpu, insns); /* a fault, or a REP that was left */
    uncount(cpu, block, index + !again);
    return result;
}
