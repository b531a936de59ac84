#include "ui/option_value.h"

#include <criterion/criterion.h>

Test(option_value, sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } rows[] = {
        {"1", 1 << 20},
        {"512", UINT64_C(512) << 20},
        {"512M", UINT64_C(512) << 20},
        {"512m", UINT64_C(512) << 20},
        {"4096b", 4096},
        {"8K", 8192},
        {"2G", UINT64_C(2) << 30},
        {"1T", UINT64_C(1) << 40},
        {"0x10", UINT64_C(16) << 20},
        {"", 0},
        {"M", 0},
        {"-1", 0},
        {"+1", 0},
        {"1.5G", 0},
        {"1MB", 0},
        {" 1", 0},
        {"1 ", 0},
        {"0x", 0},
        {"16777216T", 0},
        {"18446744073709551616", 0},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct error error = {.text = ""};
        uint64_t bytes = 0;
        int result = option_size("-m", rows[i].text, 1 << 20, &bytes, &error);
        cr_expect_eq(result == 0, rows[i].bytes != 0, "'%s': %d %s", rows[i].text, result,
                     error.text);
        cr_expect_eq(bytes, rows[i].bytes, "'%s': %#llx", rows[i].text, (unsigned long long)bytes);
        cr_expect(result == 0 || !strncmp(error.text, "-m: ", 4), "'%s'", error.text);
    }
}

Test(option_value, numbers)
{
    uint64_t value;
    cr_expect_eq(option_number("n", "0x3f8", 0, 0xffff, &value, NULL), 0);
    cr_expect_eq(value, 0x3f8);
    cr_expect_eq(option_number("n", "010", 0, 0xffff, &value, NULL), 0);
    cr_expect_eq(value, 10);
    static const char *const bad[] = {"", "x", "65536", "-1", "1x", "0x", "0xg"};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        cr_expect_neq(option_number("n", bad[i], 0, 0xffff, &value, NULL), 0, "%s", bad[i]);
    cr_expect_neq(option_number("n", "0", 1, 4, &value, NULL), 0);
}

Test(option_value, lists)
{
    static const struct {
        const char *text, *implied;
        unsigned count;
        const char *keys[3], *values[3];
    } rows[] = {
        {"a.img", "file", 1, {"file"}, {"a.img"}},
        {"a.img,if=ide", "file", 2, {"file", "if"}, {"a.img", "ide"}},
        {"file=a,,b.img,snapshot", NULL, 2, {"file", "snapshot"}, {"a,b.img", "on"}},
        {"file=a=b", NULL, 1, {"file"}, {"a=b"}},
        {"file=,if=ide", NULL, 2, {"file", "if"}, {"", "ide"}},
        {"dir/a=b.img,x=1", "file", 2, {"file", "x"}, {"dir/a=b.img", "1"}},
        {"server,nowait", "path", 2, {"path", "nowait"}, {"server", "on"}},
        {"x=1,,", NULL, 1, {"x"}, {"1,"}},
        {"x=1,", NULL, 1, {"x"}, {"1"}},
        {"", "size", 0, {NULL}, {NULL}},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct suboptions list;
        struct error error = {.text = ""};
        cr_expect_eq(suboptions_parse(&list, "-x", rows[i].text, rows[i].implied, &error), 0,
                     "%s: %s", rows[i].text, error.text);
        cr_expect_eq(list.count, rows[i].count, "%s: %u", rows[i].text, list.count);
        for (unsigned n = 0; n < list.count && n < rows[i].count; n++) {
            cr_expect_str_eq(list.items[n].key, rows[i].keys[n], "%s", rows[i].text);
            cr_expect_str_eq(list.items[n].value, rows[i].values[n], "%s", rows[i].text);
        }
        suboptions_free(&list);
    }
    struct suboptions list;
    cr_expect_neq(suboptions_parse(&list, "-x", "=1", NULL, NULL), 0);
    cr_expect_neq(suboptions_parse(&list, "-x", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
                                   NULL, NULL),
                  0);
}

Test(option_value, switches_and_dates)
{
    bool on = false;
    int64_t seconds;
    cr_expect_eq(option_switch("x", "yes", &on, NULL), 0);
    cr_expect(on);
    cr_expect_eq(option_switch("x", "off", &on, NULL), 0);
    cr_expect(!on);
    cr_expect_neq(option_switch("x", "ON", &on, NULL), 0);
    cr_expect_eq(option_datetime("x", "1980-01-01", &seconds, NULL), 0);
    cr_expect_eq(seconds, 315532800);
    cr_expect_eq(option_datetime("x", "2024-02-29T23:59:59", &seconds, NULL), 0);
    cr_expect_eq(seconds, 1709251199);
    static const char *const bad[] = {"",
                                      "now",
                                      "2023-02-29",
                                      "1979-12-31",
                                      "2100-01-01",
                                      "2024-01-01T25:00:00",
                                      "2024-01-01x",
                                      "2024-13-01"};
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        cr_expect_neq(option_datetime("x", bad[i], &seconds, NULL), 0, "%s", bad[i]);
}
