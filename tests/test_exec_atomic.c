/* CMPXCHG and its double-width forms; LOCK between two processors. */
#include "tests/exec_alone.h"

#include <pthread.h>

static struct rig rig;
static struct cpu *cpu;

static void setup(void)
{
    rig_init(&rig);
    cpu = rig.cpu;
    rig_long(&rig, 0x20000, 0);
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(atomic, .init = setup, .fini = teardown);

enum { CODE = 0x20000, DATA = 0x30000 };

static void poke(uint64_t address, uint64_t value)
{
    physmem_write(&rig.physmem, GPA(address), &value, 8);
}

GUEST_CODE(cmpxchg8b, ".code64\nlock cmpxchg8b [rdi]\n");
GUEST_CODE(cmpxchg16b, ".code64\nlock cmpxchg16b [rdi]\n");

Test(atomic, cmpxchg8b_and_16b)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        for (unsigned equal = 0; equal < 2; equal++) {
            uint64_t low = UINT64_C(0x8877665544332211), high = UINT64_C(0x0102030405060708);
            poke(DATA, low);
            poke(DATA + 8, high);
            cpu->regs[RDI] = DATA;
            cpu->regs[RAX] = wide ? low : (uint32_t)low;
            cpu->regs[RDX] = (wide ? high : low >> 32) ^ !equal;
            cpu->regs[RBX] = UINT64_C(0x1111111122222222);
            cpu->regs[RCX] = UINT64_C(0x3333333344444444);
            flags_set_arithmetic(cpu, F_CF | F_SF | F_OF | (equal ? 0 : F_ZF));
            cpu->rip = CODE;
            cr_assert_eq(wide ? alone(cpu, cmpxchg16b) : alone(cpu, cmpxchg8b), EXEC_STOP);
            cr_assert_eq(flags_arithmetic(cpu), F_CF | F_SF | F_OF | (equal ? F_ZF : 0u));
            uint64_t desired = wide ? cpu->regs[RBX] : UINT64_C(0x4444444422222222);
            cr_assert_eq(rig_peek(&rig, DATA, 8), equal ? desired : low);
            cr_assert_eq(rig_peek(&rig, DATA + 8, 8), equal && wide ? cpu->regs[RCX] : high);
            cr_assert_eq(cpu->regs[RAX], wide ? low : (uint32_t)low);
            cr_assert_eq(cpu->regs[RDX], wide ? high : low >> 32);
        }
    }
    cpu->regs[RDI] = DATA + 8;
    cpu->rip = CODE;
    cr_assert_eq(alone(cpu, cmpxchg16b), EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_GP);
}

GUEST_CODE(cmpxchg, ".code64\ncmpxchg [rdi], ecx\n");

/* The destination is written even when the comparison fails, so a read-only page faults. */
Test(atomic, cmpxchg_always_writes)
{
    uint64_t entry = DATA | 0x61;
    poke(DATA, 5);
    poke(rig_pte(DATA), entry);
    cpu->regs[RDI] = DATA;
    cpu->regs[RAX] = 6;
    cr_assert_eq(alone(cpu, cmpxchg), EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_PF);
    cr_assert_eq(cpu->fault.error, PF_PRESENT | PF_WRITE);
    cr_assert_eq(cpu->regs[RAX], 6);
}

/* --- two processors */

GUEST_CODE(lock_inc, ".code64\nlock inc dword ptr [rdi]\n");
GUEST_CODE(lock_xadd, ".code64\nlock xadd [rdi + 8], rax\n");
GUEST_CODE(lock_sub, ".code64\nlock sub word ptr [rdi + 18], 1\n");
GUEST_CODE(xchg, ".code64\nxchg [rdi + 24], rbx\n");
GUEST_CODE(lock_btc, ".code64\nlock btc dword ptr [rdi + 32], ecx\n");

enum { TURNS = 400000 };

static pthread_barrier_t together;

struct worker {
    struct cpu *cpu;
    struct alone inc, xadd, sub, xchg, btc;
    uint64_t bit, tokens;
};

#define prepare(alone, cpu, name)                                                                  \
    alone_decode(alone, cpu, name##_start, (size_t)(name##_end - name##_start))

static void turn(struct worker *worker, struct alone *alone)
{
    worker->cpu->rip = CODE;
    if (alone_run(alone, worker->cpu) != EXEC_STOP)
        worker->tokens += UINT64_C(1) << 32; /* found by the check of the sum */
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;
    struct cpu *own = worker->cpu;
    own->regs[RDI] = DATA;
    own->regs[RCX] = worker->bit;
    own->regs[RBX] = 1;
    pthread_barrier_wait(&together);
    for (unsigned i = 0; i < TURNS; i++) {
        own->regs[RAX] = 3;
        turn(worker, &worker->inc);
        turn(worker, &worker->xadd);
        turn(worker, &worker->sub);
        turn(worker, &worker->btc);
        turn(worker, &worker->xchg);
        if (i & 1) { /* what was put in by someone, once */
            worker->tokens += own->regs[RBX];
            own->regs[RBX] = 1;
        }
    }
    worker->tokens += own->regs[RBX];
    return NULL;
}

Test(atomic, lock_loses_nothing_between_two_processors)
{
    struct worker workers[2] = {{.cpu = cpu, .bit = 3}, {.bit = 7}};
    poke(DATA + 16, UINT64_C(0xffffffff));
    workers[1].cpu = cpu_new(1, &rig.model, &rig.physmem, &rig_ops, &rig);
    struct rig second = rig;
    second.cpu = workers[1].cpu;
    rig_long(&second, CODE, 0);
    for (unsigned i = 0; i < 2; i++) {
        struct worker *worker = &workers[i];
        prepare(&worker->inc, worker->cpu, lock_inc);
        prepare(&worker->xadd, worker->cpu, lock_xadd);
        prepare(&worker->sub, worker->cpu, lock_sub);
        prepare(&worker->xchg, worker->cpu, xchg);
        prepare(&worker->btc, worker->cpu, lock_btc);
        /* the shadows are filled before the threads meet */
        cr_assert_not(mem_check_write(worker->cpu, SEG_FLAT, DATA, 64));
    }
    pthread_t threads[2];
    cr_assert_eq(pthread_barrier_init(&together, NULL, 2), 0);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(rig_peek(&rig, DATA, 4), 2 * TURNS);
    cr_assert_eq(rig_peek(&rig, DATA + 8, 8), 2 * 3 * TURNS);
    cr_assert_eq(rig_peek(&rig, DATA + 16, 2), 0xffff);
    cr_assert_eq(rig_peek(&rig, DATA + 18, 2), (uint16_t)(0xffff - 2 * TURNS));
    cr_assert_eq(rig_peek(&rig, DATA + 32, 4), 0); /* each bit turned an even number of times */
    /* every 1 that was put in came out once or is still there */
    cr_assert_eq(workers[0].tokens + workers[1].tokens + rig_peek(&rig, DATA + 24, 8),
                 2 + 2 * (TURNS / 2));
    cpu_free(workers[1].cpu);
}
