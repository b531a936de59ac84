/* The turns of lockstep: the leader takes an event or runs a block, the twin does the same, both
 * are compared.  Invariants: lockstep.h. */
#include "machine/lockstep_priv.h"

#include <errno.h>
#include <inttypes.h>

/* A line that nothing takes: cpu_follow() wants one. */
#define LINE_NEVER (1u << 31)

enum { TURNS_BETWEEN_MEMORIES = 1 << 23 };

void *lockstep_grow(void *items, size_t count, size_t more, size_t *room, size_t item_bytes)
{
    if (count + more <= *room)
        return items;
    while (*room < count + more)
        *room = *room ? 2 * *room : 64;
    items = realloc(items, *room * item_bytes);
    BUG_ON(!items);
    return items;
}

void lockstep_note(struct lockstep *lockstep, const char *field, const char *of_leader,
                   const char *of_twin)
{
    if (lockstep->differs)
        return;
    lockstep->differs = true;
    snprintf(lockstep->field, sizeof lockstep->field, "%s", field);
    snprintf(lockstep->of_leader, sizeof lockstep->of_leader, "%s", of_leader);
    snprintf(lockstep->of_twin, sizeof lockstep->of_twin, "%s", of_twin);
}

void lockstep_note_path(struct lockstep *lockstep, const char *field, const char *of_leader,
                        const char *of_twin)
{
    lockstep->path_differs = true;
    lockstep_note(lockstep, field, of_leader, of_twin);
}

/* --- making */

int lockstep_new(struct lockstep **made, struct cpu *leader, uint64_t seed, FILE *out,
                 struct error *error)
{
    struct lockstep *lockstep = calloc(1, sizeof *lockstep);
    if (!lockstep)
        return error_set(error, ENOMEM, "--lockstep: out of host memory; free some");
    lockstep->leader = leader;
    lockstep->memory = leader->mmu.physmem;
    lockstep->ops = leader->ops;
    lockstep->machine = leader->machine;
    lockstep->seed = seed;
    lockstep->out = out;
    int result = lockstep_memory_init(lockstep, error);
    if (result < 0) {
        free(lockstep);
        return result;
    }
    lockstep->twin =
        cpu_new(leader->index, leader->model, &lockstep->copy, &lockstep_twin_ops, lockstep);
    if (!lockstep->twin) {
        lockstep_memory_free(lockstep);
        free(lockstep);
        return error_set(error, ENOMEM, "--lockstep: out of host memory; free some");
    }
    atomic_store(&lockstep->twin->lines, LINE_NEVER);
    leader->ops = &lockstep_leader_ops;
    leader->machine = lockstep;
    *made = lockstep;
    return 0;
}

void lockstep_free(struct lockstep *lockstep)
{
    if (!lockstep)
        return;
    lockstep->leader->ops = lockstep->ops;
    lockstep->leader->machine = lockstep->machine;
    cpu_free(lockstep->twin);
    lockstep->twin = NULL;
    lockstep_memory_free(lockstep);
    free(lockstep->records.items);
    free(lockstep->bytes.items);
    free(lockstep->marks.items);
    free(lockstep->stores.items);
    free(lockstep->ran.items);
    free(lockstep);
}

void lockstep_watch(struct lockstep *lockstep, const struct lockstep_probe *probe)
{
    lockstep->probe = *probe;
}

const char *lockstep_difference(const struct lockstep *lockstep)
{
    return lockstep->line[0] ? lockstep->line : NULL;
}

const struct lockstep_count *lockstep_counts(const struct lockstep *lockstep)
{
    return &lockstep->count;
}

/* --- the twin's part of a turn */

static bool exceptions_agree(const struct lockstep *lockstep)
{
    return lockstep->leader->count.exceptions_all == lockstep->twin->count.exceptions_all;
}

/* The leader's event; false: a triple fault. */
static bool twin_takes(struct lockstep *lockstep)
{
    static const unsigned lines[] = {[EVENT_INIT] = LINE_INIT,
                                     [EVENT_SIPI] = LINE_SIPI,
                                     [EVENT_NMI] = LINE_NMI,
                                     [EVENT_INTERRUPT] = LINE_INTR};
    struct cpu *twin = lockstep->twin;
    enum cpu_event event;
    enum cpu_exit reason;
    twin->sipi_vector = lockstep->leader->sipi_vector;
    atomic_store(&twin->lines, lines[lockstep->event] | LINE_NEVER);
    bool alive = cpu_run_turn(twin, &event, &reason);
    atomic_store(&twin->lines, LINE_NEVER);
    if (event != lockstep->event)
        lockstep_note_path(lockstep, "event", "taken", "refused");
    return alive;
}

/* One block or instruction of the twin's; false: a triple fault. */
static bool twin_runs(struct lockstep *lockstep, uint64_t limit)
{
    struct cpu *twin = lockstep->twin;
    bool alive = cpu_follow(twin, limit);
    size_t count = lockstep->ran.count;
    if (twin->block && (!count || lockstep->ran.items[count - 1].block != twin->block))
        *LOCKSTEP_APPEND(&lockstep->ran) =
            (struct lockstep_ran){.block = twin->block, .rip = twin->block_rip};
    return alive;
}

/* Has the leader gone further in a repeated string instruction that both are in? */
static bool is_behind_in_string(const struct lockstep *lockstep)
{
    const struct cpu *leader = lockstep->leader;
    struct cpu *twin = lockstep->twin;
    if (likely(leader->rip != twin->rip || leader->regs[RCX] == twin->regs[RCX]))
        return false;
    const struct block *block = block_find(twin, twin->rip);
    return block && block->insns[0].rep && leader->regs[RCX] < twin->regs[RCX] &&
           opcode_rows[block->insns[0].row].attributes & (A_REP | A_REPZ);
}

/* As many instructions as the leader, and its exception if it met one; false: a triple fault. */
static bool twin_follows(struct lockstep *lockstep, uint64_t begin)
{
    struct cpu *twin = lockstep->twin;
    const uint64_t end = begin + lockstep->instructions;
    bool alive = true, met_none = !lockstep->faulted;
    while (alive && twin->instructions < end && !(met_none && !exceptions_agree(lockstep)))
        alive = twin_runs(lockstep, end - twin->instructions);
    while (alive && lockstep->faulted && twin->instructions == end && !exceptions_agree(lockstep))
        alive = twin_runs(lockstep, 0);
    while (alive && !lockstep->faulted && twin->instructions == end &&
           is_behind_in_string(lockstep))
        alive = twin_runs(lockstep, 0);
    if (twin->instructions != end) {
        char texts[2][LOCKSTEP_TEXT];
        snprintf(texts[0], LOCKSTEP_TEXT, "%" PRIu64, lockstep->instructions);
        snprintf(texts[1], LOCKSTEP_TEXT, "%" PRIu64, twin->instructions - begin);
        lockstep_registers_agree(lockstep, true); /* which tells more */
        lockstep_note_path(lockstep, "instructions", texts[0], texts[1]);
    }
    return alive;
}

/* --- comparison */

static void count_turn(struct lockstep *lockstep)
{
    struct lockstep_count *count = &lockstep->count;
    if (lockstep->event == EVENT_NONE)
        count->blocks++;
    else
        count->interrupts++;
    count->instructions += lockstep->instructions;
    count->exceptions += lockstep->faulted;
}

static void compare(struct lockstep *lockstep, bool leader_alive, bool twin_alive)
{
    if (lockstep->next_record < lockstep->records.count)
        lockstep_note_path(lockstep, "device access", "one more", "none");
    lockstep_marks_apply(lockstep);
    if (leader_alive != twin_alive)
        lockstep_note_path(lockstep, "processor",
                           leader_alive ? "runs" : "shut down by a triple fault",
                           twin_alive ? "runs" : "shut down by a triple fault");
    if (leader_alive)
        lockstep_registers_agree(lockstep, true);
    lockstep_compare_stores(lockstep);
    if (unlikely(lockstep->differs) && lockstep_excuse(lockstep)) {
        lockstep->differs = false;
        lockstep->count.flags_undefined++;
    }
    if (++lockstep->turns - lockstep->compared_memories_at >= TURNS_BETWEEN_MEMORIES)
        lockstep_compare_memories(lockstep);
}

static void forget_turn(struct lockstep *lockstep)
{
    lockstep->records.count = lockstep->next_record = 0;
    lockstep->bytes.count = lockstep->stores.count = lockstep->marks.count = 0;
    lockstep->ran.count = 0;
    lockstep->path_differs = false;
    lockstep->written_differ = 0;
}

/* True: and on. */
static bool take_turn(struct lockstep *lockstep, enum cpu_exit *reason)
{
    struct cpu *leader = lockstep->leader, *twin = lockstep->twin;
    const uint64_t begin = leader->instructions, twin_begin = twin->instructions;
    lockstep->rip = leader->rip;
    block_reap(twin); /* nobody asks for the last turn's blocks any more */
    lockstep->running = true;
    bool alive = cpu_run_turn(leader, &lockstep->event, reason);
    lockstep->running = false;
    if (!alive && *reason != CPU_EXIT_SHUTDOWN)
        return false;
    if (lockstep->probe.leader_ran)
        lockstep->probe.leader_ran(lockstep->probe.opaque, leader, lockstep->turns);
    lockstep->instructions = leader->instructions - begin;
    lockstep->faulted = !exceptions_agree(lockstep);
    lockstep_apply_records(lockstep);
    bool twin_alive =
        lockstep->event != EVENT_NONE ? twin_takes(lockstep) : twin_follows(lockstep, twin_begin);
    compare(lockstep, alive, twin_alive);
    if (unlikely(lockstep->differs))
        lockstep_report(lockstep);
    count_turn(lockstep);
    forget_turn(lockstep);
    return alive && !lockstep->differs;
}

enum cpu_exit lockstep_run(struct lockstep *lockstep)
{
    enum cpu_exit reason = CPU_EXIT_KICKED;
    if (lockstep->differs)
        return CPU_EXIT_KICKED;
    if (!lockstep->synced)
        lockstep_memory_sync(lockstep);
    lockstep->a20_mask = lockstep->leader->mmu.a20_mask;
    if (!lockstep_registers_agree(lockstep, false))
        lockstep_adopt_registers(lockstep);
    while (take_turn(lockstep, &reason))
        continue;
    return lockstep->differs ? CPU_EXIT_KICKED : reason;
}

bool lockstep_finish(struct lockstep *lockstep)
{
    if (!lockstep->differs && lockstep->synced) {
        lockstep_compare_memories(lockstep);
        if (lockstep->differs)
            lockstep_report(lockstep);
    }
    return lockstep->differs;
}
