/* Runs one instruction on the host's own processor: the oracle for integer semantics.
 *
 * Only on x86-64 hosts.  The instruction sees the registers and flags of `struct host_state`, all
 * sixteen of them (RSP too).  Code and data lie at fixed addresses that a guest can have as well.
 */
#ifndef TESTS_HOST_ORACLE_H
#define TESTS_HOST_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#define HOST_ORACLE 1

enum { HOST_BASE = 0x200000, HOST_DATA = HOST_BASE + 0x2000, HOST_STATE = HOST_BASE + 0x3000 };

struct host_state {
    uint64_t regs[16];
    uint64_t flags; /* CF PF AF ZF SF OF DF matter */
    uint64_t host_rsp;
};

/* The stub as it is written: `at` is the address of its next byte. */
struct host_oracle {
    uintptr_t at;
};

static inline struct host_state *host_state(void)
{
    return (struct host_state *)HOST_STATE;
}
static inline uint8_t *host_data(void)
{
    return (uint8_t *)HOST_DATA;
}

static inline void host_emit(struct host_oracle *oracle, const void *bytes, size_t length)
{
    memcpy((void *)oracle->at, bytes, length);
    oracle->at += length;
}
/* Opcode bytes with a RIP-relative operand in the state. */
static inline void host_emit_state(struct host_oracle *oracle, const void *opcode, size_t length,
                                   size_t field)
{
    host_emit(oracle, opcode, length);
    int32_t displacement = (int32_t)(HOST_STATE + field - (oracle->at + 4));
    host_emit(oracle, &displacement, 4);
}
static inline void host_emit_move(struct host_oracle *oracle, unsigned reg, size_t field, int store)
{
    uint8_t bytes[3] = {(uint8_t)(0x48 | (reg > 7 ? 4 : 0)), store ? 0x89 : 0x8b,
                        (uint8_t)(5 | (reg & 7) << 3)};
    host_emit_state(oracle, bytes, 3, field);
}

/* False when the host does not grant the addresses. */
static inline bool host_map(void)
{
    return mmap((void *)HOST_BASE, 0x4000, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)HOST_BASE;
}

/* Lays the stub around an instruction, which begins at the address returned. */
static inline uintptr_t host_build_before(struct host_oracle *oracle)
{
    static const uint8_t pushes[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    static const uint8_t push_memory[] = {0xff, 0x35}, popf[] = {0x9d};
    oracle->at = HOST_BASE;
    host_emit(oracle, pushes, sizeof pushes);
    host_emit_move(oracle, 4, offsetof(struct host_state, host_rsp), 1);
    host_emit_state(oracle, push_memory, 2, offsetof(struct host_state, flags));
    host_emit(oracle, popf, 1);
    for (unsigned reg = 0; reg < 16; reg++)
        host_emit_move(oracle, reg, reg * 8, 0);
    return oracle->at;
}
static inline void host_build_after(struct host_oracle *oracle, const uint8_t *insn, size_t length)
{
    static const uint8_t pops[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b};
    static const uint8_t pop_memory[] = {0x8f, 0x05}, pushf[] = {0x9c}, cld_ret[] = {0xfc, 0xc3};
    host_emit(oracle, insn, length);
    for (unsigned reg = 0; reg < 16; reg++)
        host_emit_move(oracle, reg, reg * 8, 1);
    host_emit_move(oracle, 4, offsetof(struct host_state, host_rsp), 0);
    host_emit(oracle, pushf, 1);
    host_emit_state(oracle, pop_memory, 2, offsetof(struct host_state, flags));
    host_emit(oracle, pops, sizeof pops);
    host_emit(oracle, cld_ret, 2);
}
static inline void host_call(void)
{
    ((void (*)(void))HOST_BASE)();
}

#endif
#endif
