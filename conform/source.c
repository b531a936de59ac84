#include "conform/source.h"

#include <errno.h>

static int open_json(struct source *source, struct error *error)
{
    source->kind = SOURCE_JSON;
    return json_cases_open(&source->json, &source->file, error);
}

static int open_moo(struct source *source, struct error *error)
{
    source->kind = SOURCE_MOO;
    return moo_open(&source->moo, &source->file, error);
}

static int open_kind(struct source *source, struct error *error)
{
    const struct file_bytes *file = &source->file;

    if (!file->size)
        return error_set(error, EINVAL, "%s: empty; a set of vectors begins with 'MOO ' or '['",
                         file->path);
    const char *text = (const char *)file->bytes;
    if (text[strspn(text, " \t\r\n")] == '[')
        return open_json(source, error);
    if (!strncmp(text, "MOO ", 4))
        return open_moo(source, error);
    return error_set(error, EINVAL,
                     "%s: not a set of vectors: it does not begin with 'MOO ' or '['", file->path);
}

int source_open(struct source *source, const char *path, struct error *error)
{
    *source = (struct source){0};
    int result = file_bytes_load(&source->file, path, error);
    if (!result)
        result = open_kind(source, error);
    if (result)
        file_bytes_free(&source->file);
    return result;
}

void source_close(struct source *source)
{
    if (source->kind == SOURCE_JSON)
        json_cases_close(&source->json);
    file_bytes_free(&source->file);
}

enum read_result source_next(struct source *source, struct test_case *test, struct error *error)
{
    source->cases++;
    return source->kind == SOURCE_JSON ? json_cases_next(&source->json, test, error)
                                       : moo_next(&source->moo, test, error);
}

const char *source_cpu(const struct source *source)
{
    return source->kind == SOURCE_JSON ? source->json.cpu : source->moo.cpu;
}

double source_progress(const struct source *source)
{
    size_t next = source->kind == SOURCE_JSON ? source->json.next : source->moo.next;
    return (double)next / (double)source->file.size;
}
