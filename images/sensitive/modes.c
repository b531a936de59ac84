/* The modes, each with its own selectors, so that a mixed-up one shows. */
#include "sensitive.h"

enum { IOPL3 = 3 << 12, CR4_VME = 1 };

#define SEGMENTS(cs_, ss_, ds_)                                                                    \
    .cs = (cs_), .ss = (ss_), .ds = (ds_), .es = SEL_ES + 3, .fs = SEL_FS + 3, .gs = SEL_GS + 3
#define KERNEL(code, data, other)                                                                  \
    .cpl = 0, SEGMENTS(code##_0, data##_0, data##_0), .other_ss = (other),                         \
    .bad_ss = SEL_FLAT_3 + 3, .outer_cs = code##_3 + 3, .outer_ss = data##_3 + 3
#define USER(code, data, other)                                                                    \
    .cpl = 3, SEGMENTS(code##_3 + 3, data##_3 + 3, data##_3 + 3), .other_ss = (other) + 3,         \
    .bad_ss = SEL_FLAT_0, .outer_cs = code##_0, .outer_ss = data##_0
/* Real and virtual-8086 mode: paragraphs. */
#define PARAGRAPHS                                                                                 \
    .cs = LOW_BASE >> 4, .ss = DATA_BASE >> 4, .ds = DATA_BASE >> 4, .es = EXTRA_BASE >> 4,        \
    .fs = FS_BASE >> 4, .gs = GS_BASE >> 4, .other_ss = (DATA_BASE >> 4) + 0x100
#define V86(iopl, cr4_)                                                                            \
    .bits = 16, .cpl = 3, .flags = FLAG_VM | (iopl), .cr4 = (cr4_), PARAGRAPHS, .base = LOW_BASE,  \
    .enter = enter_protected

const struct mode modes[] = {
    {"real", MODE_REAL, .bits = 16, PARAGRAPHS, .base = LOW_BASE, .enter = enter_real},
    {"pm16/0", MODE_PM16_0, .bits = 16, KERNEL(SEL_CODE16, SEL_DATA16, SEL_FLAT_0),
     .base = LOW_BASE, .enter = enter_protected},
    {"pm16/3", MODE_PM16_3, .bits = 16, USER(SEL_CODE16, SEL_DATA16, SEL_FLAT_3), .base = LOW_BASE,
     .enter = enter_protected},
    {"pm32/0", MODE_PM32_0, .bits = 32, KERNEL(SEL_CODE32, SEL_DATA32, SEL_FLAT_0),
     .base = LOW_BASE, .enter = enter_protected},
    {"pm32/3", MODE_PM32_3, .bits = 32, USER(SEL_CODE32, SEL_DATA32, SEL_FLAT_3), .base = LOW_BASE,
     .enter = enter_protected},
    {"v86/iopl3", MODE_V86_IOPL3, V86(IOPL3, 0)},
    {"v86/iopl0", MODE_V86_IOPL0, V86(0, 0)},
    {"vme/iopl3", MODE_VME_IOPL3, V86(IOPL3, CR4_VME)},
    {"vme/iopl0", MODE_VME_IOPL0, V86(0, CR4_VME)},
    {"compat/0", MODE_COMPAT_0, .bits = 32, KERNEL(SEL_CODE32, SEL_DATA32, SEL_FLAT_0),
     .base = LOW_BASE, .enter = enter_long},
    {"compat/3", MODE_COMPAT_3, .bits = 32, USER(SEL_CODE32, SEL_DATA32, SEL_FLAT_3),
     .base = LOW_BASE, .enter = enter_long},
    {"long/0", MODE_LONG_0, .bits = 64, KERNEL(SEL_CODE64, SEL_FLAT, SEL_DATA16_0),
     .enter = enter_long},
    {"long/3", MODE_LONG_3, .bits = 64, USER(SEL_CODE64, SEL_FLAT, SEL_FLAT2_3),
     .enter = enter_long},
};
const unsigned mode_count = sizeof modes / sizeof modes[0];

uint32_t mode_cr0(const struct mode *mode)
{
    enum { PE = 1, ET_NE = 0x30 };
    const uint32_t pg = 1u << 31;

    return ET_NE | (mode->bit == MODE_REAL ? 0 : PE) | (mode_is_long(mode) ? pg : 0);
}

uint32_t mode_cr4(const struct mode *mode)
{
    enum { PAE = 0x20 };

    return USUAL_CR4 | mode->cr4 | (mode_is_long(mode) ? PAE : 0);
}
