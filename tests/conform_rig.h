/* Files in a folder of the test's own, and `ring3 conform` on them, in this process. */
#ifndef TESTS_CONFORM_RIG_H
#define TESTS_CONFORM_RIG_H

#include "conform/conform.h"

#include <criterion/criterion.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    int status;
    char *out, *err;
    unsigned complaints;
};

static char folder[] = "/tmp/test_conform.XXXXXX";
static bool folder_made;

static inline const char *path_of(const char *name)
{
    static char path[64];
    if (!folder_made)
        cr_assert_not_null(mkdtemp(folder));
    folder_made = true;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline int remove_one(const char *path, const struct stat *status, int type,
                             struct FTW *where)
{
    return remove(path);
}

static inline void remove_folder(void)
{
    if (folder_made)
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void save(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(path_of(name), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* `arguments`: apart by spaces; %s-free: @ stands for the folder. */
static inline struct run run(const char *arguments)
{
    char text[512] = "", *argv[16] = {"conform"}, *rest = text;
    int argc = 1;
    size_t out_size, err_size;
    struct run result = {0};

    path_of("");
    for (const char *at = arguments; *at; at++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s",
                 *at == '@' ? (int)sizeof folder : 1, *at == '@' ? folder : at);
    for (char *word; (word = strtok_r(rest, " ", &rest));)
        argv[argc++] = word;
    FILE *out = open_memstream(&result.out, &out_size);
    FILE *err = open_memstream(&result.err, &err_size);
    result.status = conform_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    for (const char *at = result.err; (at = strchr(at, '\n')); at++)
        result.complaints++;
    return result;
}

static inline void done(struct run *run)
{
    free(run->out);
    free(run->err);
}

static inline void expect(const char *arguments, int status, const char *in_out,
                          unsigned complaints)
{
    struct run result = run(arguments);
    cr_expect_eq(result.status, status, "%s: status %d: %s", arguments, result.status, result.err);
    cr_expect_not_null(strstr(result.out, in_out), "%s: no '%s' in:\n%s", arguments, in_out,
                       result.out);
    cr_expect_eq(result.complaints, complaints, "%s: %s", arguments, result.err);
    done(&result);
}

#endif
