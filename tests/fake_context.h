/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_context: a task without a job. It implements what operators use of weir.h, so that one can
 * be opened, fed, cut, crashed and restored by hand, step by step, in microseconds: emitted records
 * are kept, saved items stay in memory, time stands still unless moved, files are POSIX ones with a
 * counter that can break every call from the n-th on. What an operator wishes of its task (to be
 * woken, to be held) is only noted: the test calls it. Linked instead of the runtime, never with
 * it. One thread.
 */
#ifndef FAKE_CONTEXT_H
#define FAKE_CONTEXT_H

#include "operator_item.h"
#include "weir.h"

#include <stdio.h>

/* ---- graph: remembers what constructors add ---- */

#define FAKE_STATES 4

struct fake_node {
    struct weir_node_options options;
    struct weir_state state;               /* the first of options.states */
    struct weir_state states[FAKE_STATES]; /* all of them */
};
struct weir_graph {
    struct fake_node nodes[8];
    uint32_t count;
    void **kept;
    size_t kept_count;
    char error[512]; /* the first; empty: none */
};

/* ---- saved items and handles ---- */

struct fake_item {
    enum weir_item kind;
    void *data; /* ours */
    size_t size;
};
struct weir_saver {
    struct fake_item *items;
    size_t count;
    char note[201];
    bool open; /* the last item is not complete */
};
struct weir_loader {
    struct item_cursor item;
    const struct weir_saver *from;
    size_t next;
};

void fake_items_add(struct weir_saver *items, enum weir_item kind, struct weir_bytes item);
/* Appends copies of what `from` holds. */
void fake_items_copy(struct weir_saver *items, const struct weir_saver *from);
void fake_items_free(struct weir_saver *items);

/* ---- a task ---- */

struct fake_run {
    uint32_t subtask, parallelism;  /* parallelism 0: 1 */
    uint32_t epoch;                 /* 0: 1 */
    const char *store;              /* 32 hex digits; NULL: none */
    const struct weir_saver *saved; /* NULL: a first start */
    int64_t now_ns;
    const struct weir_allocator *allocator;
    const char *folder; /* what weir_store_folder answers; NULL: there is no store */
};

struct fake_cell {
    unsigned state;
    bool removed;
    void *key, *value;
    size_t key_size, value_size;
};

struct fake_timer {
    enum weir_timer kind;
    int64_t time;
    uint64_t tag;
};

struct weir_context {
    struct fake_run run;
    const struct weir_operator *table;
    weir_function function;
    const void *config;
    const char *name;
    void *self;
    struct weir_state states[FAKE_STATES];
    size_t state_count;
    struct fake_cell *cells; /* of all states, removed ones too */
    size_t cell_count, scanned[FAKE_STATES];
    struct fake_timer *timers;
    size_t timer_count;
    int64_t event_time;          /* what weir_watermark answers: see fake_watermark */
    struct weir_record *emitted; /* copies */
    unsigned *outputs;           /* where each of them went */
    size_t emitted_count;
    int64_t watermark;   /* the last emitted */
    int64_t deadline_ns; /* of the last weir_idle */
    int idle_fd;
    int64_t wake_ns; /* of the last weir_wake; INT64_MAX: none, or fake_wake has used it up */
    int wake_fd;
    bool held;
    int64_t limit; /* of the watermark behind it */
    uint64_t progress_done, progress_total;
    struct weir_saver handles; /* since the last fake_cut */
    struct weir_error failed;  /* code WEIR_OK: not */
    char log[512];             /* the last line */
};

/* Opens the operator of a node and, when run->saved is set, loads it. The answer is the first
 * failure's. fake_end closes and frees, whatever happened. */
enum weir_result fake_start(struct weir_context *task, struct weir_graph *graph, weir_node node,
                            const struct fake_run *run);
void fake_end(struct weir_context *task);
enum weir_result fake_process(struct weir_context *task, const char *key, const char *value);
/* Any record of any input. */
enum weir_result fake_take(struct weir_context *task, unsigned input,
                           const struct weir_record *record);
/* The watermark of the input rises to `time`: fires the event timers that are due by then. */
enum weir_result fake_watermark(struct weir_context *task, int64_t time);
/* A cut, and the operator anew from it, in a fresh private struct; keyed state and timers are the
 * runtime's and are kept. What was emitted is kept as well. */
enum weir_result fake_restart(struct weir_context *task);
/* Calls finish until it has ended; at most `steps` calls. The answer is the run's. */
enum weir_result fake_finish(struct weir_context *task, unsigned steps);
/* prepare and save; `snapshot` takes the items, task->handles the new handles (it is emptied
 * before). */
enum weir_result fake_cut(struct weir_context *task, struct weir_saver *snapshot);
enum weir_result fake_commit(struct weir_context *task, const struct weir_saver *handles);
/* Calls wake, whatever it wished for. */
enum weir_result fake_wake(struct weir_context *task);
void fake_forget_emitted(struct weir_context *task);

/* ---- files ---- */

/* Every weir_file_* and weir_folder_* counts one. Calls above the limit do nothing and fail, as if
 * the process had died; the first of them, if it is a write, leaves half of its bytes behind. */
extern unsigned fake_file_calls;
extern unsigned fake_file_limit; /* UINT32_MAX: none */
/* One letter a call that changed something, oldest first: c create, w write, s sync, S folder sync,
 * r rename, x remove, m make folder. */
extern char fake_file_trace[4096];
void fake_files_reset(void);

#endif
