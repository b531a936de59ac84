/* A run over files: what was asked for, and the counts. */
#ifndef CONFORM_SUITE_H
#define CONFORM_SUITE_H

#include "conform/differences.h"
#include "conform/state_runner.h"

#include <stdio.h>

enum { SUITE_FIRST_TEXT = 160, SUITE_MODEL_TEXT = 96, EXCUSES_MAX = 2 * DIFFERENCES_MAX };

/* What ring3's own cases run on unless told: all that there is. */
#define SUITE_MODEL "max,+monitor"

struct suite_options {
    const struct processor *processor; /* --cpu; NULL: as each file says */
    unsigned engines;                  /* bit n: enum engine n */
    const char *only;
    unsigned shard, shards; /* 1 of 1: all */
    bool strict, fail_fast;
    bool tap, json, merge, coverage;
    uint64_t number; /* --case: only this one of each file, from 1; 0: all */
    const char *junit;
    const char *model; /* of ring3's own cases, as -cpu takes it */
    bool host; /* generated cases, with the host's processor as oracle, in place of files: */
    uint64_t seed, count;
    const char *rows; /* names and patterns of rows, apart by commas; NULL: all */
    const char *save; /* folder for what differs */
};

/* The cases of one opcode of one processor: cases = passed + excused + failed + lacking. */
struct tally {
    uint64_t cases, passed, excused, failed;
    uint64_t lacking;      /* not run: the processor lacks a feature that the case needs */
    uint64_t first_number; /* of the case that failed first, counted from 1 over all shards */
    char first[SUITE_FIRST_TEXT]; /* "FILE case N: NAME" */
};

/* All of one processor; tallies NULL: no file was its. */
struct section {
    const struct processor *processor;
    struct cpu_model model;
    struct runner *runners[ENGINES]; /* made when first needed, of captured processors */
    struct state_runner *state_runners[ENGINES]; /* of the others */
    struct tally *tallies;                       /* by key */
};

struct suite {
    struct suite_options options;
    char model_text[SUITE_MODEL_TEXT]; /* options.model of the run whose reports are merged */
    FILE *out, *err;
    struct section sections[PROCESSORS];
    uint64_t number; /* of the present case in its file, from 1 */
    uint64_t reached[ENGINES]
                    [OPCODE_COUNT]; /* cases whose first instruction is of the row, not failed */
    uint64_t seen;                  /* cases that --only lets through: what shards are dealt from */
    uint64_t by_excuse[EXCUSES_MAX];
    uint64_t by_feature[FEATURE_COUNT]; /* cases that lacked it */
    struct tally total;                 /* a case counts once, as the worst of its engines */
    struct tally by_engine[ENGINES];    /* only the counts */
    unsigned files, files_damaged;
    unsigned host_rows; /* of the opcode table, that the host's cases are of */
    bool stop;          /* --fail-fast */
    double last_progress;
};

/* What reports call the section's processor. */
static inline const char *section_name(const struct section *section)
{
    return section->processor == processor_modern() ? section->model.name
                                                    : section->processor->name;
}

/* From good to bad. */
enum verdict { VERDICT_PASSED, VERDICT_EXCUSED, VERDICT_LACKING, VERDICT_FAILED };

/* A case as reports name it. */
struct suite_label {
    const char *path, *name;
    int name_length;
    uint64_t index;
};

/* Runs one file; complaints go to suite->err. */
void suite_file(struct suite *suite, const char *path, unsigned number, unsigned count);
void suite_free(struct suite *suite);
/* "interp", "translate", "both" of a set of engines, and back; 0: no such name. */
const char *engines_name(unsigned engines);
unsigned engines_by_name(const char *name);
/* What may excuse a case: the captured processors' differences, then what the manuals leave to the
 * host (host_freedoms). */
struct excuse {
    const char *name, *cause;
};
unsigned suite_excuses(void);
struct excuse suite_excuse(unsigned n);

void suite_count(struct tally *tally, enum verdict verdict);
/* Counts a case, whatever has become of it; `problem`: why it could not be run, or NULL. */
void suite_settle(struct suite *suite, struct tally *tally, const struct suite_label *label,
                  enum verdict verdict, const struct error *problem);
/* Notes that an engine has run the row. */
void suite_reach(struct suite *suite, enum engine engine, unsigned row, bool translated);
/* Where failing cases are shown. */
FILE *suite_report_stream(struct suite *suite);
/* The processor's section, begun if need be; NULL, and the line, when out of memory. */
struct section *suite_section(struct suite *suite, const struct processor *processor,
                              struct error *error);

/* --- merge.c */
/* Adds up the --json reports of all shards of one run.  Negative errno, and the line, when one is
 * none, or they are not each shard once. */
int merge_reports(struct suite *suite, char *const paths[], unsigned count, struct error *error);

/* --- report.c */
/* "[====    ] file 3 of 8", at most ten times a second, on a terminal only. */
void report_progress(struct suite *suite, unsigned file, unsigned files, double part);
void report_progress_end(struct suite *suite);
/* The case as its file has it, expected, got. */
void report_state_case(FILE *to, const char *path, enum engine engine, const struct state_case *c,
                       const struct state_outcome *outcome);
/* Instruction, initial state, expected, got. */
void report_case(FILE *to, const char *path, enum engine engine,
                 const struct occurrence *occurrence, const char *mnemonic);
/* The command that runs the present case alone, with its code listed. */
void report_command(FILE *to, const struct suite *suite, const char *path, enum engine engine);
/* … that runs a generated case alone. */
void report_host_command(FILE *to, const struct suite *suite, enum engine engine, uint64_t number);
void report_table(const struct suite *suite);
/* Every row of the opcode table with the cases that reached it, and those that none did. */
void report_coverage(const struct suite *suite);
void report_tap(const struct suite *suite);
void report_json(const struct suite *suite);
int report_junit(const struct suite *suite, struct error *error);

#endif
