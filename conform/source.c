#include "conform/source.h"

#include "conform/processor.h"

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

static int open_r3v(struct source *source, struct error *error)
{
    source->kind = SOURCE_R3V;
    return r3v_open(&source->r3v, &source->file, error);
}

static int open_kind(struct source *source, struct error *error)
{
    const struct file_bytes *file = &source->file;

    if (!file->size)
        return error_set(error, EINVAL,
                         "%s: empty; a set of vectors begins with 'MOO ', '[' or 'r3v 1'",
                         file->path);
    const char *text = (const char *)file->bytes;
    if (text[strspn(text, " \t\r\n")] == '[')
        return open_json(source, error);
    if (!strncmp(text, "MOO ", 4))
        return open_moo(source, error);
    if (!strncmp(text, "r3v", 3))
        return open_r3v(source, error);
    return error_set(error, EINVAL,
                     "%s: not a set of vectors: it begins with none of 'MOO ', '[', 'r3v 1'",
                     file->path);
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
    else if (source->kind == SOURCE_R3V)
        r3v_close(&source->r3v);
    file_bytes_free(&source->file);
}

enum read_result source_next(struct source *source, struct test_case *test, struct error *error)
{
    source->cases++;
    switch (source->kind) {
    case SOURCE_JSON:
        return json_cases_next(&source->json, test, error);
    case SOURCE_R3V:
        return r3v_next(&source->r3v, error);
    default:
        return moo_next(&source->moo, test, error);
    }
}

const char *source_cpu(const struct source *source)
{
    return source->kind == SOURCE_JSON  ? source->json.cpu
           : source->kind == SOURCE_MOO ? source->moo.cpu
                                        : processor_modern()->name;
}

double source_progress(const struct source *source)
{
    size_t next = source->kind == SOURCE_JSON  ? source->json.next
                  : source->kind == SOURCE_MOO ? source->moo.next
                                               : source->r3v.next;
    return (double)next / (double)source->file.size;
}
