/* A command of ring3 run in this process, on files of folder_rig.h. */
#ifndef TESTS_COMMAND_RIG_H
#define TESTS_COMMAND_RIG_H

#include "tests/folder_rig.h"

#include <string.h>

typedef int command_main(int argc, char *const *argv, FILE *out, FILE *err);

struct run {
    int status;
    char *out, *err;     /* done() frees them */
    unsigned complaints; /* lines of err */
};

/* `arguments`: apart by spaces; @ stands for the folder. */
static inline struct run run_command(command_main *command, char *name, const char *arguments)
{
    char text[1024] = "", *argv[16] = {name}, *rest = text;
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
    result.status = command(argc, argv, out, err);
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

#endif
