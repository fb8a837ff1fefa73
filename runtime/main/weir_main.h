/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_main.h - turns a graph into a program with the verbs `run` and `plan`. Link libweir_main for
 * it; the library itself does without. A whole program:
 */
/* clang-format off
 *
 *     static enum weir_result build(struct weir_graph *graph,
 *                                   const struct weir_parameters *parameters)
 *     {
 *         ...
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         static const struct weir_parameter parameters[] = {
 *             {"input", WEIR_TEXT, NULL, "file or directory of text", NULL},
 *             {"rate", WEIR_COUNT, "0", "lines a second; 0: no limit", NULL},
 *             {0}};
 *         return weir_main(argc, argv,
 *                          &(struct weir_program){WEIR_SIZED(struct weir_program),
 *                                                 .name = "word_count",
 *                                                 .about = "counts words",
 *                                                 .parameters = parameters,
 *                                                 .build = build});
 *     }
 */
/* clang-format on */
#ifndef WEIR_MAIN_H
#define WEIR_MAIN_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

enum weir_parameter_type {
    WEIR_TEXT,     /* any text */
    WEIR_COUNT,    /* a whole number >= 0 */
    WEIR_CHOICE,   /* one of `choices` */
    WEIR_WHOLE,    /* a whole number, of either sign */
    WEIR_REAL,     /* a decimal number */
    WEIR_FLAG,     /* yes or no */
    WEIR_DURATION, /* 250ms, 10s, 5min: a number and its unit, without which it is refused */
    WEIR_BYTES,    /* 4096B, 64KiB, 1MiB, 10GB: the same */
};

/* One `--set name=value`. Arrays of it end with a zeroed element. */
struct weir_parameter {
    const char *name;
    enum weir_parameter_type type;
    const char *standard; /* the default; NULL: must be given */
    const char *help;
    const char *choices; /* WEIR_CHOICE: "final|updates" */
};

struct weir_parameters; /* the values, checked */

/* The value by name. Asking for a name or type that was not declared is a mistake in the program:
 * "" and 0. */
WEIR_API const char *weir_parameter_text(const struct weir_parameters *parameters,
                                         const char *name);
WEIR_API uint64_t weir_parameter_count(const struct weir_parameters *parameters, const char *name);
WEIR_API int64_t weir_parameter_whole(const struct weir_parameters *parameters, const char *name);
WEIR_API double weir_parameter_real(const struct weir_parameters *parameters, const char *name);
WEIR_API bool weir_parameter_flag(const struct weir_parameters *parameters, const char *name);
/* ns */
WEIR_API int64_t weir_parameter_duration(const struct weir_parameters *parameters,
                                         const char *name);
WEIR_API uint64_t weir_parameter_bytes(const struct weir_parameters *parameters, const char *name);

struct weir_program {
    size_t size; /* WEIR_SIZED(struct weir_program) */
    const char *name;
    const char *version; /* of the program; may be NULL */
    const char *about;   /* one line */
    const struct weir_parameter *parameters;
    /* Adds nodes and edges. Errors of the graph are sticky, so returning WEIR_OK is fine. */
    enum weir_result (*build)(struct weir_graph *graph, const struct weir_parameters *parameters);
};

/* Parses the command line, runs, prints, and returns the exit code:
 * 0 input ended; 2 usage; 3 store locked, damaged or unusable; 4 graph mismatch; 5 the run failed;
 * 6 stopped on request (SIGINT, SIGTERM). It does not start a failed run again. `argv` is borrowed.
 * Installs handlers for SIGINT and SIGTERM while it runs. */
WEIR_API int weir_main(int argc, char **argv, const struct weir_program *program);

#ifdef __cplusplus
}
#endif

#endif
