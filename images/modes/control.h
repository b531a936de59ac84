/* Control registers and MSRs, as seen from 32-bit code. */
#ifndef MODES_CONTROL_H
#define MODES_CONTROL_H

#include <stdint.h>

#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SFMASK         0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103

enum {
    MSR_TSC = 0x10,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    CR0_PE = 1,
    CR4_OSXSAVE = 1 << 18,
    EFER_SCE = 1,
    DR6_RESET = (int)0xffff0ff0,
    DR7_RESET = 0x400,
};

static inline uint64_t rdmsr(uint32_t number)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

#define READ(name)                                                                                 \
    static inline uint32_t read_##name(void)                                                       \
    {                                                                                              \
        uint32_t value;                                                                            \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value));                                     \
        return value;                                                                              \
    }
#define WRITE(name)                                                                                \
    static inline void write_##name(uint32_t value)                                                \
    {                                                                                              \
        __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                            \
    }
#define READ_WRITE(name) READ(name) WRITE(name)
READ_WRITE(cr0)
READ_WRITE(cr2)
READ_WRITE(cr3)
READ_WRITE(cr4)
READ_WRITE(dr0)
READ_WRITE(dr1)
READ_WRITE(dr2)
READ_WRITE(dr3)
READ_WRITE(dr6)
READ_WRITE(dr7)
#undef READ_WRITE
#undef WRITE
#undef READ

/* GDTR or IDTR. */
struct table_register {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

static inline void load_gdtr(uint32_t base, uint16_t limit)
{
    const struct table_register gdtr = {limit, base};

    __asm__ volatile("lgdt %0" : : "m"(gdtr));
}

static inline void load_idtr(uint32_t base, uint16_t limit)
{
    const struct table_register idtr = {limit, base};

    __asm__ volatile("lidt %0" : : "m"(idtr));
}

#endif
