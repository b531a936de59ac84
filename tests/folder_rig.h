/* Files in a folder of the test's own: TestSuite(name, .fini = remove_folder). */
#ifndef TESTS_FOLDER_RIG_H
#define TESTS_FOLDER_RIG_H

#include <criterion/criterion.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/test_ring3.XXXXXX";
static bool folder_made;

/* Good until four more have been asked for. */
static inline const char *path_of(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];

    if (!folder_made)
        cr_assert_not_null(mkdtemp(folder));
    folder_made = true;
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
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

#endif
