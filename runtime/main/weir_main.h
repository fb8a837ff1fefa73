/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_main.h - turns a graph into a program: `run` starts it and starts it again after failures,
 * `plan` shows it, and `status`, `checkpoint`, `savepoint`, `stop` and `dump` ask one that runs.
 * Link libweir_main for it; the library itself does without. A whole program:
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
    WEIR_REAL,     /* a decimal number, finite; the point is a point in every locale */
    WEIR_FLAG,     /* yes or no */
    WEIR_DURATION, /* 250ms, 10s, 5min: a number and its unit, without which it is refused; us, ms,
                      s, min, h; 0s is allowed */
    WEIR_BYTES,    /* 4096B, 64KiB, 10GB: the same; B, or kB MB GB TB of 1000, or KiB MiB GiB TiB of
                      1024 */
};

/* One `--set name=value`, or `set name = value` in a --config file. Arrays of it end with a zeroed
 * element; at most 64. Defaults are checked like values: a wrong one is the program's mistake, and
 * refused whenever it is started. */
struct weir_parameter {
    const char *name; /* letters, digits, and _ . - */
    enum weir_parameter_type type;
    const char *standard; /* the default; NULL: must be given */
    const char *help;     /* one line; may be NULL */
    const char *choices;  /* WEIR_CHOICE: "final|updates" */
};

struct weir_parameters; /* the values, checked */

/* The value by name; weir_parameter_text also of a WEIR_CHOICE. Asking for a name or type that was
 * not declared is a mistake in the program: "" and 0. Texts live until weir_main returns. */
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

/* Does what the command line asks for - `--help` lists it - and returns the exit code:
 *
 *   0  run: the input has ended, all output is published; other verbs: done
 *   2  the command line, the --config file or the graph is wrong: change that
 *   3  the store is locked, damaged or unusable, so is the savepoint or the directory of dead
 *      letters, or a commit's outcome is unknown; of the asking verbs: there is nobody to ask
 *   4  the checkpoint is of another graph: the old program, or another store
 *   5  the run failed, and was not started again or in vain; of the asking verbs: the program says
 *      no, or could not: a checkpoint came to nothing, a savepoint can't be written
 *   6  stopped on request: the same command goes on there
 *
 * `run` writes sentences to standard error; with --json, events to standard output, one JSON object
 * a line: see EVENTS.md of weir's runtime folder.
 *
 * A run with a store that fails is started again from its newest checkpoint, --max-restarts times
 * in a row, with the same graph: `build` is called once in a process. With --supervise the job runs
 * in a child process, which is replaced when it dies; the parent does nothing but watch, and
 * weir_main returns in the parent alone. What the program does before it calls weir_main is done
 * once, but for atexit, whose functions each process calls; `build` and the operators run in the
 * children.
 *
 * While `run` runs, SIGINT and SIGTERM stop it, SIGUSR1 asks for a checkpoint and SIGUSR2 for what
 * its tasks are doing, unless they were ignored. A supervised child also has handlers of SIGSEGV,
 * SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP and SIGSYS, where there were none. At the end all is as
 * it was.
 *
 * `argv` is borrowed, and so is *program. Once a process, from its first thread, before there are
 * others. */
WEIR_API int weir_main(int argc, char **argv, const struct weir_program *program);

#ifdef __cplusplus
}
#endif

#endif
