/* The words of the table of probes: pairs of a tag and a value, for the assembly and for C. */
/* clang-format off */
#ifndef SENSITIVE_PROBE_TAGS_H
#define SENSITIVE_PROBE_TAGS_H

/* --- tags */
#define TAG_END     0 /* of the table */
#define TAG_PROBE   1 /* its name's address */
#define TAG_MODES   2
#define TAG_SLOT    3 /* its code's address */
#define TAG_START   4 /* the instruction's, if others come first */
#define TAG_NEXT    5 /* what follows it, if that is not the end */
#define TAG_DONE    6 /* the UD2; the probe's last pair */
#define TAG_STACK   7 /* one slot more on the stack */
#define TAG_DATA    8 /* one 16-bit word more in the data window */
#define TAG_EAX     9 /* registers */
#define TAG_ECX     10
#define TAG_EDX     11
#define TAG_R11     12
#define TAG_FLAGS   13 /* bits that are set besides the mode's */
#define TAG_CR0     14 /* bits that differ from the usual ones */
#define TAG_CR4     15
#define TAG_DR7     16
#define TAG_NO_SCE  17 /* EFER.SCE is clear */
#define TAG_NO_SEP  18 /* SYSENTER_CS is 0 */
#define TAG_IRQ     19 /* the timer's interrupt is pending */
#define TAG_PATCH   20 /* the far pointer's selector, the last two bytes of the instruction */
#define TAG_ODD_GS  21 /* GS base is not what the descriptor says */
#define TAG_VALUES  22

/* --- modes */
#define MODE_REAL         0x0001
#define MODE_PM16_0       0x0002
#define MODE_PM16_3       0x0004
#define MODE_PM32_0       0x0008
#define MODE_PM32_3       0x0010
#define MODE_V86_IOPL3    0x0020
#define MODE_V86_IOPL0    0x0040
#define MODE_VME_IOPL3    0x0080
#define MODE_VME_IOPL0    0x0100
#define MODE_COMPAT_0     0x0200
#define MODE_COMPAT_3     0x0400
#define MODE_LONG_0       0x0800
#define MODE_LONG_3       0x1000
#define MODES_V86         0x01e0
#define MODES_LONG        0x1e00
#define MODES_USER        (MODE_PM16_3 | MODE_PM32_3 | MODE_COMPAT_3 | MODE_LONG_3)
#define MODES_PROTECTED_0 (MODE_PM16_0 | MODE_PM32_0 | MODE_COMPAT_0 | MODE_LONG_0)
#define MODES_KERNEL      (MODE_REAL | MODES_PROTECTED_0)
#define MODES_PROTECTED   (MODES_PROTECTED_0 | MODES_USER)
#define MODES_ALL         0x1fff

/* --- values that depend on the mode */
#define T_FIRST     0x7e570000
#define T_CS        0x7e570000 /* the probe's own code segment */
#define T_IP_LOW    0x7e570001 /* TARGET, its lower and its upper 16 bits, or all */
#define T_IP_HIGH   0x7e570002
#define T_IP        0x7e570003
#define T_SP        0x7e570004 /* where the stack starts */
#define T_SS        0x7e570005
#define T_OTHER_SS  0x7e570006
#define T_BAD_SS    0x7e570007
#define T_OUTER_CS  0x7e570008
#define T_OUTER_SS  0x7e570009
#define T_DATA      0x7e57000a /* offset of the data window */
#define T_TR        0x7e57000b /* the present TSS */
#define T_CR0       0x7e57000c /* CR0 with TS and WP; with NW */
#define T_BAD_CR0   0x7e57000d
#define T_CR4       0x7e57000e /* CR4 with TSD; with a reserved bit */
#define T_BAD_CR4   0x7e57000f

/* The ports that IN and OUT use: the DMA controller's page registers, plain latches.  The TSS's
 * permission bitmap allows the first half. */
#define PROBE_PORT  0x84
#define DENIED_PORT 0x88
#define PROBE_PORTS 8

#define PROBE_MSR   0x175 /* IA32_SYSENTER_ESP */
#define TSC_AUX     0x00a5c31d

#endif
