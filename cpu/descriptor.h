/* Segment, gate and system descriptors as they lie in the GDT, the LDT and the IDT.
 *
 * Private to the privileged architecture (segment, far, iret, interrupt, task).  Sources: SDM 3A
 * §3.4.5 (segment descriptors), §3.5 (system descriptors), §5.8.3 (call gates), §6.11 (IDT),
 * §7.2 (TSS).
 */
#ifndef CPU_DESCRIPTOR_H
#define CPU_DESCRIPTOR_H

#include "cpu/system.h"

/* Types of system descriptors (S clear): SDM 3A table 3-2. */
enum {
    SYSTEM_TSS16 = 1,
    SYSTEM_LDT = 2,
    SYSTEM_TSS16_BUSY = 3,
    SYSTEM_CALL16 = 4,
    SYSTEM_TASK_GATE = 5,
    SYSTEM_INTERRUPT16 = 6,
    SYSTEM_TRAP16 = 7,
    SYSTEM_TSS32 = 9,
    SYSTEM_TSS32_BUSY = 11,
    SYSTEM_CALL32 = 12,
    SYSTEM_INTERRUPT32 = 14,
    SYSTEM_TRAP32 = 15,
    SYSTEM_BUSY = 2, /* the bit that tells a busy TSS from an available one */
    SYSTEM_32 = 8,   /* the bit that tells 32-bit gates and TSSs from 16-bit ones */
};

enum { SELECTOR_RPL = 3, SELECTOR_TI = 4 };
#define SELECTOR_ERROR(selector) (0xfffcu & (selector)) /* as an error code holds it */

static inline bool selector_is_null(uint16_t selector)
{
    return SELECTOR_ERROR(selector) == 0;
}

struct descriptor {
    uint64_t address; /* linear, of its eight bytes */
    uint64_t raw;
    uint16_t selector;
};

static inline uint16_t descriptor_attributes(const struct descriptor *descriptor)
{
    return (uint16_t)(descriptor->raw >> 40 & 0xf0ff);
}
static inline unsigned descriptor_type(const struct descriptor *descriptor)
{
    return descriptor->raw >> 40 & 15;
}
static inline unsigned descriptor_dpl(const struct descriptor *descriptor)
{
    return descriptor->raw >> 45 & 3;
}
static inline bool descriptor_is_present(const struct descriptor *descriptor)
{
    return descriptor->raw >> 47 & 1;
}
static inline bool descriptor_is_system(const struct descriptor *descriptor)
{
    return !(descriptor->raw >> 44 & 1);
}
static inline bool descriptor_is_code(const struct descriptor *descriptor)
{
    return (descriptor_attributes(descriptor) & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}
static inline bool descriptor_is_conforming(const struct descriptor *descriptor)
{
    return descriptor_type(descriptor) & SEG_CONFORMING;
}
static inline bool descriptor_is_writable_data(const struct descriptor *descriptor)
{
    return (descriptor_attributes(descriptor) & (SEG_S | SEG_CODE | SEG_WRITABLE)) ==
           (SEG_S | SEG_WRITABLE);
}
/* Data, or code that may be read. */
static inline bool descriptor_is_readable(const struct descriptor *descriptor)
{
    unsigned attributes = descriptor_attributes(descriptor);
    return (attributes & SEG_S) && (attributes & (SEG_CODE | SEG_READABLE)) != SEG_CODE;
}
static inline uint32_t descriptor_base(const struct descriptor *descriptor)
{
    return (uint32_t)(descriptor->raw >> 16 & 0xffffff) |
           (uint32_t)(descriptor->raw >> 32 & 0xff000000);
}
static inline uint32_t descriptor_limit(const struct descriptor *descriptor)
{
    uint32_t limit =
        (uint32_t)(descriptor->raw & 0xffff) | (uint32_t)(descriptor->raw >> 32 & 0xf0000);
    return descriptor->raw >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

/* Gates: selector and offset of the target; the count of parameters of a call gate. */
static inline uint16_t gate_selector(const struct descriptor *gate)
{
    return (uint16_t)(gate->raw >> 16);
}
static inline uint32_t gate_offset(const struct descriptor *gate)
{
    uint32_t low = gate->raw & 0xffff;
    return descriptor_type(gate) & SYSTEM_32 ? low | (uint32_t)(gate->raw >> 32 & 0xffff0000) : low;
}
static inline unsigned gate_parameters(const struct descriptor *gate)
{
    return gate->raw >> 32 & 31;
}

/* Linear address of the selector's descriptor; false when the table (GDT or LDT) ends before
 * `bytes` bytes of it. */
bool descriptor_locate(const struct cpu *cpu, uint16_t selector, unsigned bytes, uint64_t *address);
/* Reads the selector's descriptor; beyond the table's limit: `vector` with the selector. */
must_check bool descriptor_fetch(struct cpu *cpu, uint16_t selector, unsigned vector,
                                 struct descriptor *descriptor);
/* The second half of a 16-byte system descriptor (long mode): base bits 63:32, or the offset's.
 * Beyond the limit or with its type bits not 0: `vector` with the selector. */
must_check bool descriptor_fetch_high(struct cpu *cpu, const struct descriptor *descriptor,
                                      unsigned vector, uint32_t *high);
/* Sets the accessed bit in the table if it is clear, and in *descriptor. */
must_check bool descriptor_set_accessed(struct cpu *cpu, struct descriptor *descriptor);
/* Replaces the type's low four bits in the table: busy and available TSS. */
must_check bool descriptor_set_type(struct cpu *cpu, struct descriptor *descriptor, unsigned type);

/* The segment that a code or data descriptor describes. */
struct segment segment_from(const struct descriptor *descriptor, uint16_t selector);
/* A null segment register that holds `selector`. */
struct segment segment_null(uint16_t selector);
/* A virtual-8086 segment. */
struct segment segment_v86(uint16_t selector);
/* May [offset, offset + length) be reached, by limit alone (expand-down minded)? */
bool segment_contains(const struct segment *segment, uint64_t offset, unsigned length);
/* Re-derives the fast ends of one segment. */
void segment_update(struct cpu *cpu, unsigned seg);
/* The checks that loading a stack segment for privilege `cpl` makes (SDM 3A §5.7): all but P are
 * `vector` with the selector, P is #SS. */
must_check bool segment_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl,
                                    unsigned vector, struct descriptor *descriptor);
/* Is `offset` where execution in the code segment may go on?  #GP(0) if not. */
must_check bool segment_check_target(struct cpu *cpu, const struct segment *code, uint64_t offset);
/* Goes on at `rip` of the code segment with privilege `cpl`; SS must be in place already. */
void segment_enter_code(struct cpu *cpu, const struct segment *code, unsigned cpl, uint64_t rip);
/* The same in real and virtual-8086 mode; #GP(0) beyond CS's limit. */
must_check bool segment_jump_real(struct cpu *cpu, uint16_t selector, uint64_t offset);
/* On return to an outer privilege: data segments that the new CPL may not hold become null. */
void segment_drop_inaccessible(struct cpu *cpu);

/* --- return.c: what far RET and IRET check alike */
/* The code segment to return to, its RPL being the new CPL: #GP, #NP. */
must_check bool return_check_code(struct cpu *cpu, uint16_t selector, struct segment *code);
/* The stack segment of the outer (or in 64-bit mode, any) privilege `cpl`: #GP, #SS. */
must_check bool return_check_stack(struct cpu *cpu, uint16_t selector, unsigned cpl,
                                   const struct segment *code, struct segment *stack);
/* Makes both current: CS:RIP, SS:RSP and the CPL; data segments are dropped if that is outward. */
void return_commit(struct cpu *cpu, const struct segment *code, uint64_t rip,
                   const struct segment *stack, uint64_t sp);

/* --- stacks that are written before they become the program's own (inner_stack.c) */
struct inner_stack {
    struct segment segment;
    uint64_t sp, mask;
    uint32_t error; /* of #SS: the selector, for a stack newly chosen */
    bool flat;      /* 64-bit: no limit */
};
/* The stack for privilege `cpl` out of the present TSS, checked (SDM 3A §5.8.5): #TS, #SS. */
must_check bool inner_stack_from_tss(struct cpu *cpu, unsigned cpl, struct inner_stack *stack);
/* In long mode: RSP0..2, or IST 1..7 when `ist` is not 0. */
must_check bool inner_stack_from_tss64(struct cpu *cpu, unsigned cpl, unsigned ist,
                                       struct inner_stack *stack);
must_check bool inner_stack_push(struct cpu *cpu, struct inner_stack *stack, enum op_size size,
                                 uint64_t value);
/* SS:RSP become the stack's. */
void inner_stack_commit(struct cpu *cpu, const struct inner_stack *stack);

/* --- task.c */
enum task_switch { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_RETURN };
/* Switches to the task of `tss`, a TSS descriptor whose type, DPL and presence the caller has
 * checked.  `rip` is saved as the old task's.  On a fault cpu->rip is the instruction's of the old
 * task (as the caller left it), or of the new one when the fault belongs there. */
must_check bool task_switch(struct cpu *cpu, struct descriptor *tss, enum task_switch kind,
                            uint64_t rip);
/* Fetches and checks the TSS that a task gate names. */
must_check bool task_gate_fetch(struct cpu *cpu, const struct descriptor *gate,
                                struct descriptor *tss);
/* IRET with NT set. */
must_check bool task_return(struct cpu *cpu, uint64_t rip);

/* --- interrupt.c: as interrupt_deliver(), with another return address than cpu->rip. */
must_check bool interrupt_enter(struct cpu *cpu, unsigned vector, enum interrupt_kind kind,
                                bool has_error, uint32_t error, uint64_t rip);

/* The far pointer that ModRM names: an offset of the operand's size, then the selector. */
static always_inline must_check bool far_pointer_load(struct cpu *cpu, const struct insn *insn,
                                                      uint64_t *offset, uint16_t *selector)
{
    uint64_t at = insn_address(cpu, insn);
    uint64_t second = (at + (UINT64_C(1) << insn->size)) & address_mask(insn);
    uint16_t word = 0;
    uint32_t dword = 0;
    bool fault = insn->size == SIZE_16   ? mem_load16(cpu, insn->seg, at, &word)
                 : insn->size == SIZE_32 ? mem_load32(cpu, insn->seg, at, &dword)
                                         : mem_load64(cpu, insn->seg, at, offset);
    if (unlikely(fault))
        return true;
    if (insn->size != SIZE_64)
        *offset = word | dword;
    return mem_load16(cpu, insn->seg, second, selector);
}

/* The end of a handler that transferred control, or that faulted doing so: cpu->rip tells where
 * (after a task switch a fault belongs to the new task).
 * WHY never_inline: what runs before it has locals whose addresses are passed on; kept out of the
 * handler, they do not stand in the way of its tail call. */
static inline int exec_transferred(struct cpu *cpu, const struct insn *insn, bool fault)
{
    if (likely(!fault)) {
        block_update_context(cpu);
        return BLOCK_GO(cpu);
    }
    uint64_t rip = cpu->rip;
    int result = exec_fault(cpu, insn);
    cpu->rip = rip;
    return result;
}

#endif
