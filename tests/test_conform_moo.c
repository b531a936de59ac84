/* Damaged and compressed MOO files: the reader says what it finds, and runs what is whole. */
#include "tests/moo_rig.h"

#include "conform/source.h"

#include <zlib.h>

TestSuite(conform_moo, .fini = remove_folder);

/* Unknown chunks on every level are passed over. */
static void put_sample(struct craft *craft)
{
    put_head(craft, "C286", 2);
    chunk_open(craft, "WHAT");
    put(craft, "ever", 4);
    chunk_close(craft);
    put_mask(craft, 0xffff);
    case_open(craft, "add al,1", add_al_1, 2, NULL, 0);
    chunk_open(craft, "NEW ");
    chunk_close(craft);
    put_ax_flags(craft, AX + 1, CODE + 3, PF);
    chunk_close(craft);
    chunk_open(craft, "HASH");
    put(craft, "01234567890123456789", 20);
    chunk_close(craft);
    chunk_close(craft);
    put_add(craft, AX + 1);
}

Test(conform_moo, truncated)
{
    struct craft craft;

    put_sample(&craft);
    expect_craft(&craft, "", 0, "2 passed", 0);
    for (size_t size = 0; size < craft.size; size++) {
        save("a.MOO", craft.bytes, size);
        struct run result = run("@/a.MOO");
        cr_expect_eq(result.status, 1, "%zu bytes", size);
        cr_expect_eq(result.complaints, 1, "%zu bytes: %s", size, result.err);
        done(&result);
    }
}

/* A second, whole file is run all the same. */
Test(conform_moo, damaged_lengths)
{
    static const uint32_t lengths[] = {0xffffffff, 0x7fffffff, 0x80000000};
    struct craft craft, whole;

    put_head(&whole, "C286", 1);
    put_add(&whole, AX + 1);
    save("b.MOO", whole.bytes, whole.size);
    put_sample(&craft);
    for (size_t at = 0; at + 8 <= craft.size; at++) {
        static const char types[] = "MOO METAWHATRMSKTESTNAMEBYTSINITREGSRAM FINANEW HASH";
        char type[5] = "";
        memcpy(type, craft.bytes + at, 4);
        if (!memchr("MWRTNBIFH", type[0], 9) || strlen(type) < 4 || !strstr(types, type))
            continue;
        for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
            struct craft damaged = craft;
            memcpy(damaged.bytes + at + 4, &lengths[i], 4);
            save("a.MOO", damaged.bytes, damaged.size);
            struct run result = run("@/a.MOO @/b.MOO");
            cr_expect_eq(result.status, 1, "%s at %zu", type, at);
            cr_expect_eq(result.complaints, 1, "%s at %zu: %s", type, at, result.err);
            cr_expect_not_null(strstr(result.err, "offset "), "%s", result.err);
            cr_expect_not_null(strstr(result.out, " in 2 files"), "%s", result.out);
            cr_expect_not_null(strstr(result.out, "; 1 files damaged"), "%s", result.out);
            done(&result);
        }
    }
}

/* Damage within one case costs that case only. */
Test(conform_moo, damaged_case)
{
    struct craft craft;

    put_sample(&craft);
    uint8_t *name = memmem(craft.bytes, craft.size, "NAME", 4);
    memset(name + 8, 0xff, 4);
    expect_craft(&craft, "", 1, "1 cases in 1 files: 1 passed", 1);
}

/* Any byte may be anything: the reader neither crashes nor hangs, and says what it finds. */
Test(conform_moo, any_byte)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct craft craft;
    struct source source;
    struct error error;
    struct test_case test;

    put_sample(&craft);
    for (size_t at = 0; at < craft.size; at++)
        for (unsigned i = 0; i < ARRAY_LENGTH(values); i++) {
            struct craft damaged = craft;
            unsigned results = 0;
            damaged.bytes[at] = values[i];
            save("a.MOO", damaged.bytes, damaged.size);
            if (source_open(&source, path_of("a.MOO"), &error))
                continue;
            while (source_next(&source, &test, &error) != READ_END)
                cr_assert_lt(results++, 100);
            source_close(&source);
        }
}

Test(conform_moo, compressed)
{
    struct craft craft;
    uint8_t packed[8192];
    char path[64];

    put_sample(&craft);
    snprintf(path, sizeof path, "%s", path_of("a.MOO.gz"));
    gzFile file = gzopen(path, "wb");
    cr_assert_eq(gzwrite(file, craft.bytes, (unsigned)craft.size), (int)craft.size);
    gzclose(file);
    expect("@/a.MOO.gz", 0, "2 passed", 0);

    FILE *in = fopen(path, "rb");
    size_t size = fread(packed, 1, sizeof packed, in);
    fclose(in);
    for (size_t cut = 3; cut < size; cut += 5) {
        save("cut.gz", packed, cut);
        struct run result = run("@/cut.gz");
        cr_expect_eq(result.status, 1, "%zu bytes", cut);
        cr_expect_eq(result.complaints, 1, "%zu bytes: %s", cut, result.err);
        done(&result);
    }
}
