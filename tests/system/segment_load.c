/* Topic: loads of segment registers. */
#include "system.h"

SNIPPET(32, mov_ds_32, "mov %ax, %ds");
SNIPPET(16, mov_ds_16, "mov %ax, %ds");
SNIPPET(64, mov_ds_64, "mov %ax, %ds");

static void null_selector(const struct snippet *snippet, const char *name)
{
    case_begin("3A 5.4.1", name);
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        for (unsigned selector = 0; selector <= 3; selector++) {
            struct state start = start_at(snippet, cpl);
            start.gpr[RAX] = selector;
            struct state end = case_attempt(snippet, &start, ENDS, "CPL %u, %04x", cpl, selector);
            case_check(end.ds == selector, "DS is %04llx", end.ds);
        }
    }
    case_end();
}

static void protected_mode(void)
{
    null_selector(&mov_ds_32, "a null selector can be loaded into DS, 32-bit code");
    null_selector(&mov_ds_16, "a null selector can be loaded into DS, 16-bit code");
    struct state start = start_v86(&mov_ds_16);
    start.gpr[RAX] = 0x1234;
    expect("3A 21.2", "virtual-8086 mode loads paragraphs", &mov_ds_16, &start, ENDS);
    case_begin("3A 21.1", "real mode loads paragraphs");
    start = start_v86(&mov_ds_16);
    start.flags = FLAG_FIXED;
    start.gpr[RAX] = 0x1234;
    struct state end = attempt_real(&start);
    case_compare(&mov_ds_16, &start, &end, ENDS, "real mode");
    case_check(end.ds == 0x1234, "DS is %llx", end.ds);
    case_end();
}

static void long_mode(void)
{
    null_selector(&mov_ds_32, "a null selector can be loaded into DS, compatibility mode");
    null_selector(&mov_ds_64, "a null selector can be loaded into DS, 64-bit code");
    null_selector(&mov_ds_16, "a null selector can be loaded into DS, 16-bit compatibility mode");
}

const struct topic topic = {"segment-load", protected_mode, long_mode};
