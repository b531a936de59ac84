/* One instruction by the interpreter, in the middle of translated code. */
#include "cpu/sse_env.h"
#include "translate/flags.h"
#include "translate/native_x87.h"
#include "translate/translated.h"

/* The block was counted whole when it was entered; `done` of its instructions were. */
static void uncount(struct cpu *cpu, const struct block *block, unsigned done)
{
    if (translator_of(cpu)->options.count)
        cpu->instructions -= block->count - done;
}

int translate_interp(struct cpu *cpu, void *executable)
{
    struct translator *translator = translator_of(cpu);
    struct site *site = code_writable(&translator->cache, executable);
    struct block *block = site->from->block;
    const uint64_t start = cpu->native.code_page + (block->gpa & PAGE_OFFSET_MASK);
    translator->count.interp++;
    cpu->callouts[site->insn.row]++;
    native_flags_settle(cpu);
    cpu->block = block;
    cpu->block_rip = start;
    const bool x87 = cpu->native.x87_live && native_x87_concerns(&site->insn);
    if (x87)
        native_x87_store(cpu);
    int result = site->insn.exec(cpu, &site->insn);
    if (cpu->native.vectors)
        cpu->native.vectors = sse_is_checked(cpu) ? VECTORS_LIVE : VECTORS_FLOAT;
    if (result == EXEC_NEXT)
        cpu->rip = insn_next_rip(cpu, &site->insn);
    if (likely(result == EXEC_STOP || result == EXEC_NEXT)) {
        if (likely(!block->dead && cpu->mode == block->mode && (!x87 || native_x87_load(cpu))))
            return 0;
        uncount(cpu, block, site->index + 1u);
        return EXEC_LEAVE;
    }
    const bool again = cpu->rip == insn_rip(cpu, &site->insn); /* a fault, or a REP that was left */
    uncount(cpu, block, site->index + !again);
    return result;
}
