/* Model-specific registers by number: SDM 4 table 2-2, AMD APM vol. 2 app. A. */
#ifndef CPU_MSR_H
#define CPU_MSR_H

enum {
    MSR_P5_MC_ADDR = 0x0,
    MSR_P5_MC_TYPE = 0x1,
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_BIOS_UPDATE = 0x79,
    MSR_BIOS_SIGN_ID = 0x8b,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MCG_CTL = 0x17b,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_PHYS_BASE0 = 0x200,
    MSR_MTRR_PHYS_MASK7 = 0x20f,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K_80000 = 0x258,
    MSR_MTRR_FIX16K_A0000 = 0x259,
    MSR_MTRR_FIX4K_C0000 = 0x268,
    MSR_MTRR_FIX4K_F8000 = 0x26f,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC0_CTL = 0x400,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC_FIRST = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
    MSR_XSS = 0xda0,
};

/* Above INT_MAX: not for an enum. */
#define MSR_EFER                  0xc0000080u
#define MSR_STAR                  0xc0000081u
#define MSR_LSTAR                 0xc0000082u
#define MSR_CSTAR                 0xc0000083u
#define MSR_SFMASK                0xc0000084u
#define MSR_FS_BASE               0xc0000100u
#define MSR_GS_BASE               0xc0000101u
#define MSR_KERNEL_GS_BASE        0xc0000102u
#define MSR_TSC_AUX               0xc0000103u
#define MSR_AMD_SYSCFG            0xc0010010u
#define MSR_AMD_HWCR              0xc0010015u
#define MSR_AMD_NB_CFG            0xc001001fu
#define MSR_AMD_INTERRUPT_PENDING 0xc0010055u
#define MSR_AMD_DC_CFG            0xc0011022u
#define MSR_AMD_DE_CFG            0xc0011029u

#endif
