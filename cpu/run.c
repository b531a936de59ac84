/* The run loop: events, blocks, faults and traps, in the order of SDM 3A table 6-2.
 *
 * Between blocks the loop looks at what wants attention; threaded code stays out of it as long as
 * nothing does and the jump cache knows the way.  Single-step, breakpoints, RF and the shadow after
 * STI or MOV SS run in blocks of one instruction (MODE_SINGLE), so that blocks need know nothing of
 * them.
 */
#include "base/log.h"
#include "cpu/block.h"
#include "cpu/exec.h"
#include "cpu/system.h"

/* --- what handlers end in */

bool cpu_fault(struct cpu *cpu, unsigned vector, uint32_t error)
{
    const uint32_t with_error = 1u << VECTOR_DF | 1u << VECTOR_TS | 1u << VECTOR_NP |
                                1u << VECTOR_SS | 1u << VECTOR_GP | 1u << VECTOR_PF |
                                1u << VECTOR_AC;
    cpu->fault = (struct cpu_fault){.vector = (uint8_t)vector,
                                    .has_error = vector < 32 && with_error >> vector & 1,
                                    .error = error};
    return true;
}

/* The block was counted whole on entry; take back what `insn` and its followers did not do. */
static void uncount_from(struct cpu *cpu, const struct insn *insn)
{
    const struct block *block = cpu->block;
    if (block && insn >= block->insns && insn < block->insns + block->count)
        cpu->instructions -= (uint64_t)(block->insns + block->count - insn);
}

int exec_fault(struct cpu *cpu, const struct insn *insn)
{
    cpu->rip = insn_rip(cpu, insn);
    cpu->rmw.pending = false;
    uncount_from(cpu, insn);
    return EXEC_FAULT;
}

int exec_raise(struct cpu *cpu, const struct insn *insn, unsigned vector, uint32_t error)
{
    cpu_fault(cpu, vector, error);
    return exec_fault(cpu, insn);
}

int exec_branch_fault(struct cpu *cpu, const struct insn *insn)
{
    return exec_raise(cpu, insn, VECTOR_GP, 0);
}

int exec_end(struct cpu *cpu, const struct insn *insn)
{
    cpu->rip = insn_next_rip(cpu, insn);
    return EXEC_LEAVE;
}

EXEC(undefined)
{
    RAISE_UD();
}

EXEC(device_not_available)
{
    RAISE(VECTOR_NM, 0);
}

EXEC(too_long)
{
    RAISE_GP0();
}

EXEC(stop)
{
    cpu->rip = insn_rip(cpu, insn);
    return EXEC_STOP;
}

EXEC(stale)
{
    cpu->rip = insn_rip(cpu, insn);
    uncount_from(cpu, insn);
    return EXEC_LEAVE;
}

EXEC(continue)
{
    cpu->rip = insn_rip(cpu, insn);
    return BLOCK_GO(cpu);
}

/* --- events */

enum run_verdict { RUN_ON, RUN_HALTED, RUN_KICKED, RUN_SHUTDOWN };

/* How far one call of run() goes. */
enum run_pace { PACE_FREE, PACE_TURN, PACE_STEP };

static bool deliver_fault(struct cpu *cpu)
{
    if (log_enabled(LOG_INT)) {
        fprintf(log_stream(), "exception %u error %x cr2 %llx\n", cpu->fault.vector,
                cpu->fault.error, (unsigned long long)cpu->fault.cr2);
        cpu_describe(cpu, log_stream());
    }
    cpu->count.exceptions[cpu->fault.vector & 31]++;
    cpu->count.exceptions_all++;
    if (cpu->ops->exception && cpu->ops->exception(cpu->machine, cpu))
        return true;
    return fault_deliver(cpu);
}

static bool deliver_interrupt(struct cpu *cpu, unsigned vector)
{
    if (log_enabled(LOG_INT)) {
        fprintf(log_stream(), "interrupt %u\n", vector);
        cpu_describe(cpu, log_stream());
    }
    cpu->count.interrupts++;
    cpu->halted = false;
    return interrupt_deliver(cpu, vector, INTERRUPT_EXTERNAL, false, 0) && deliver_fault(cpu);
}

/* Takes what is due at an instruction boundary, and tells it.  INIT before NMI before INTR. */
static enum run_verdict take_events(struct cpu *cpu, enum cpu_event *event)
{
    *event = EVENT_NONE;
    if (atomic_load_explicit(&cpu->attention, memory_order_relaxed))
        atomic_store(&cpu->attention, 0); /* before the lines are read: raising sets it after */
    unsigned lines = atomic_load(&cpu->lines);
    if (lines & LINE_EXIT) {
        cpu_lower_line(cpu, LINE_EXIT);
        return RUN_KICKED;
    }
    if (lines & LINE_INIT) {
        cpu_lower_line(cpu, LINE_INIT);
        cpu_reset(cpu, true);
        *event = EVENT_INIT;
        return RUN_ON;
    }
    if (cpu->wait_for_sipi) {
        if (!(lines & LINE_SIPI))
            return RUN_HALTED;
        cpu_lower_line(cpu, LINE_SIPI);
        cpu->wait_for_sipi = false;
        segment_load_real(cpu, CS, (uint16_t)(cpu->sipi_vector << 8));
        cpu->rip = 0;
        cpu_mode_changed(cpu);
        *event = EVENT_SIPI;
        return RUN_ON;
    }
    bool faulted = false;
    if (lines & LINE_NMI && !cpu->nmi_blocked && !cpu->inhibit) {
        cpu_lower_line(cpu, LINE_NMI);
        *event = EVENT_NMI;
        faulted = deliver_interrupt(cpu, VECTOR_NMI);
        cpu->nmi_blocked = true;
    } else if (lines & LINE_INTR && cpu->eflags & F_IF && !cpu->inhibit) {
        int vector = cpu->ops->acknowledge(cpu->machine, cpu);
        if (vector >= 0) {
            *event = EVENT_INTERRUPT;
            faulted = deliver_interrupt(cpu, (unsigned)vector);
        }
    }
    if (faulted)
        return RUN_SHUTDOWN;
    return cpu->halted ? RUN_HALTED : RUN_ON;
}

/* --- one stretch of code */

#ifdef RING3_THREADED
static int run_block(struct cpu *cpu, struct block *block)
{
    return block->insns[0].exec(cpu, block->insns);
}
#else
static int run_block(struct cpu *cpu, struct block *block)
{
    const struct insn *insn = block->insns;
    int result;
    while ((result = insn->exec(cpu, insn)) == EXEC_NEXT)
        insn++;
    return result;
}
#endif

static struct block *jump_recall(struct cpu *cpu)
{
    uint64_t linear = cpu->code_base + cpu->rip;
    const struct jump_entry *entry = block_jump_entry(cpu, linear);
    return entry->linear == linear && block_context_holds(cpu, entry->context) &&
                   !entry->block->dead
               ? entry->block
               : NULL;
}

static void log_entered(const struct cpu *cpu)
{
    const uint64_t linear = (cpu->code_base + cpu->rip) & cpu->linear_mask;
    if (log_wants(linear))
        log_line(LOG_EXEC, "exec %0*llx %s", cpu_is_64(cpu) ? 16 : 8, (unsigned long long)linear,
                 cpu_mode_name(cpu->mode));
}

/* Runs from cpu->rip until something leads out; true on a triple fault. */
static bool run_blocks(struct cpu *cpu)
{
    block_update_context(cpu);
    struct block *block = jump_recall(cpu);
    if (!block) {
        block = block_find(cpu, cpu->rip);
        if (!block)
            return deliver_fault(cpu);
        cpu->count.jump_misses++;
        block_update_context(cpu); /* finding it may have killed others */
        if (!block->dead)
            block_remember(cpu, cpu->code_base + cpu->rip, block);
    }
    cpu->block = block;
    cpu->block_rip = cpu->rip;
    cpu->instructions += block->count;
    if (log_enabled(LOG_EXEC))
        log_entered(cpu);
    return run_block(cpu, block) == EXEC_FAULT && deliver_fault(cpu);
}

/* Raises the #DB that instruction breakpoints, single-step and data breakpoints call for. */
static bool debug_trap(struct cpu *cpu, uint64_t dr6)
{
    cpu_fault(cpu, VECTOR_DB, 0);
    cpu->fault.dr6 = dr6;
    cpu->halted = false; /* the trap after HLT */
    return deliver_fault(cpu);
}

/* Was the instruction that has just run a REP with more to do? */
static bool is_repeating(const struct cpu *cpu, const struct insn *insn)
{
    return opcode_rows[insn->row].attributes & (A_REP | A_REPZ) && cpu->rip == insn_rip(cpu, insn);
}

/* Is TF's trap due after this instruction?
 * LIMIT: a branch to the instruction behind it counts as not taken for IA32_DEBUGCTL.BTF. */
static bool is_stepped(const struct cpu *cpu, const struct insn *insn)
{
    if (cpu->delivered)
        return false;
    if (likely(!(cpu->msr.debugctl & DEBUGCTL_BTF)))
        return true;
    return opcode_rows[insn->row].attributes & A_BRANCH && cpu->rip != insn_next_rip(cpu, insn);
}

/* One instruction, with all that blocks do not look at. */
static bool run_single(struct cpu *cpu)
{
    uint64_t dr6;
    bool stepping = cpu->eflags & F_TF;
    if (!cpu->inhibit_debug && cpu->dr[7] & DR7_ENABLES &&
        debug_instruction_hit(cpu, cpu->code_base + cpu->rip, &dr6))
        return debug_trap(cpu, dr6);

    cpu->inhibit = cpu->inhibit_debug = cpu->delivered = false;
    uint32_t resume = cpu->eflags & F_RF;
    cpu->eflags &= ~(uint32_t)F_RF;
    cpu->mode |= MODE_SINGLE;
    atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed); /* back after one */
    block_update_context(cpu);
    struct block *block = block_find(cpu, cpu->rip);
    int result = EXEC_FAULT;
    if (block) {
        cpu->block = block;
        cpu->block_rip = cpu->rip;
        cpu->instructions += block->count;
        if (log_enabled(LOG_EXEC))
            log_entered(cpu);
        result = run_block(cpu, block);
    }
    cpu->mode &= ~(uint32_t)MODE_SINGLE;
    if (result == EXEC_FAULT) {
        cpu->eflags |= resume;
        debug_take_pending(cpu);
        return deliver_fault(cpu);
    }
    /* SDM: RF is as if set between the iterations of a string. */
    if ((stepping || cpu->dr[7] & DR7_ENABLES) && is_repeating(cpu, block->insns))
        cpu->eflags |= F_RF;
    if (cpu->inhibit_debug) /* SDM: data breakpoints wait for the next instruction's end */
        return false;
    dr6 = debug_take_pending(cpu) | (stepping && is_stepped(cpu, block->insns) ? DR6_BS : 0);
    return dr6 && debug_trap(cpu, dr6);
}

static bool wants_single(const struct cpu *cpu)
{
    return cpu->eflags & (F_TF | F_RF) || cpu->inhibit || cpu->dr[7] & DR7_ENABLES;
}

/* One event or one stretch of code; false: the run ends for *reason. */
static bool run_turn(struct cpu *cpu, enum run_pace pace, enum cpu_event *event,
                     enum cpu_exit *reason)
{
    switch (take_events(cpu, event)) {
    case RUN_KICKED:
        *reason = CPU_EXIT_KICKED;
        return false;
    case RUN_HALTED:
        *reason = CPU_EXIT_HALTED;
        return cpu_has_wakeup(cpu);
    case RUN_SHUTDOWN:
        *reason = CPU_EXIT_SHUTDOWN;
        return false;
    case RUN_ON:
        break;
    }
    if (*event != EVENT_NONE) /* another may be due at once */
        return true;
    block_reap(cpu);
    if (pace == PACE_TURN || log_enabled(LOG_EXEC))
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed); /* back after a block */
    *reason = CPU_EXIT_SHUTDOWN;
    return !(pace == PACE_STEP || unlikely(wants_single(cpu)) ? run_single(cpu) : run_blocks(cpu));
}

enum cpu_exit cpu_run(struct cpu *cpu)
{
    enum cpu_event event;
    enum cpu_exit reason;
    sse_enter(cpu);
    while (run_turn(cpu, PACE_FREE, &event, &reason))
        continue;
    sse_leave(cpu);
    return reason;
}

bool cpu_run_turn(struct cpu *cpu, enum cpu_event *event, enum cpu_exit *reason)
{
    sse_enter(cpu);
    bool goes_on = run_turn(cpu, PACE_TURN, event, reason);
    sse_leave(cpu);
    return goes_on;
}

enum cpu_exit cpu_step(struct cpu *cpu)
{
    enum cpu_event event;
    enum cpu_exit reason;
    sse_enter(cpu);
    bool goes_on = run_turn(cpu, PACE_STEP, &event, &reason);
    sse_leave(cpu);
    if (!goes_on)
        return reason;
    return event == EVENT_NONE && cpu->halted && !cpu_has_wakeup(cpu) ? CPU_EXIT_HALTED
                                                                      : CPU_EXIT_KICKED;
}

/* The whole block at cpu->rip if it has at most `limit` instructions, else its first one. */
static bool run_part(struct cpu *cpu, uint64_t limit)
{
    struct block *block = block_find(cpu, cpu->rip);
    if (!block)
        return deliver_fault(cpu);
    /* A dead one came from a device and is not to be fetched again. */
    if (block->count > limit && !block->dead)
        return run_single(cpu);
    cpu->fetch_context = cpu->global_context = ~UINT64_C(0); /* no cached jump leads on */
    cpu->block = block;
    cpu->block_rip = cpu->rip;
    cpu->instructions += block->count;
    return run_block(cpu, block) == EXEC_FAULT && deliver_fault(cpu);
}

bool cpu_follow(struct cpu *cpu, uint64_t limit)
{
    sse_enter(cpu);
    cpu->block = NULL;
    atomic_store_explicit(&cpu->attention, 0, memory_order_relaxed);
    bool shutdown = wants_single(cpu) ? run_single(cpu) : run_part(cpu, limit);
    sse_leave(cpu);
    return !shutdown;
}
