/* SPDX-License-Identifier: Apache-2.0
 *
 * weir.h - run a graph of stream operators, checkpoint it while it runs, restart it from the last
 * checkpoint with every record counted exactly once. This header is the manual; read it from top to
 * bottom.
 *
 * WHAT IT IS
 *   You describe a *graph*: nodes are operators, edges carry *records* (key, value, event time). A
 *   *job* is a graph in motion: each node runs as one or more *tasks*, a thread each. Now and then
 *   weir lets a *marker* into the stream at the sources; where it passes, a task saves itself.
 *   When it has passed everyone, what was saved is a *checkpoint*: a consistent picture of the
 *   whole job, durable in one directory, the *store*. After a crash the job starts again from the
 *   newest one.
 *
 * WHAT IT PROMISES
 *   - State: after any crash, kill -9 and power cut included, the effect of each record on operator
 *     state is there exactly once.
 *   - Output: a sink that publishes in two phases (prepare, commit) shows each record's output
 *     exactly once, never early, never partly. A sink that can't says at-least-once.
 *   - A checkpoint is all or nothing; damage to it is found and named, and never loaded.
 *   - weir never falls back to an older checkpoint, and never starts afresh, without being told to.
 *   - The library touches no signal, umask, environment, standard stream or process exit, and keeps
 *     no global variable.
 *
 * CAVEATS
 *   - Sources must be able to go back to a position they saved. One that can't is at-least-once at
 *     best.
 *   - An operator must be a function of its state and its input: a callback that asks the clock,
 *     the network or random() may answer differently when records are processed again after a
 *     restart.
 *   - Output appears after the checkpoint that covers it: half an interval later on average.
 *   - User values are stored in the machine's byte order; a store does not move between byte
 *     orders.
 *   - A callback that never returns can't be interrupted; no checkpoint can pass its task.
 *   - A process that is forked from one that runs a job is not part of it. It may call exec or
 *     _exit. In it weir_job_close, _status and _dump do nothing, what asks a job is refused,
 *     weir_file_write and the store refuse to write, and a copy of a task's thread that returns
 *     from its callback is ended, with exit code 255. (Until it has called exec or ended it has the
 *     store's LOCK open: should its parent be killed meanwhile, the store is in use until then.)
 *   - Only the order of records within one channel (one writer task to one reader task) is kept.
 *
 * THREADS
 *   A graph belongs to one thread at a time. Operator callbacks run on their task's thread, and the
 *   functions that take a struct weir_context may be called there only, inside a callback.
 *   Functions that take a struct weir_job may be called from any thread but those of the job
 *   itself, unless said otherwise; weir_job_close from one.
 *
 * OWNERSHIP
 *   Strings and option structs you pass are copied, but for what is called *borrowed*: that must
 *   stay valid until the graph is freed. Views (struct weir_bytes, struct weir_record) handed to a
 *   callback live until it returns.
 */
#ifndef WEIR_H
#define WEIR_H

#include "weir_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------- types -- */

struct weir_graph;     /* a description; start it as often as you like */
struct weir_job;       /* a graph in motion */
struct weir_context;   /* the task a callback runs in */
struct weir_saver;     /* where save puts operator state */
struct weir_loader;    /* where load takes it from */
struct weir_migration; /* where migrate puts a value */

/* Event time: nanoseconds since 1970-01-01 UTC. */
#define WEIR_NO_TIME INT64_MIN
#define WEIR_END_OF_TIME INT64_MAX

/* One record. Keys and values are any bytes, 16 MiB each at most; both views are 8-byte aligned
 * when handed to a callback. An absent key is empty. */
struct weir_record {
    struct weir_bytes key;
    struct weir_bytes value;
    int64_t time; /* or WEIR_NO_TIME */
};
#define WEIR_KEY_LIMIT ((size_t)16 << 20)   /* bytes */
#define WEIR_VALUE_LIMIT ((size_t)16 << 20) /* bytes */

/* How an edge's records find the reader's subtask. */
enum weir_routing {
    WEIR_FORWARD, /* subtask i to subtask i; equal parallelism; may run in one task, by a plain call
                   */
    WEIR_SPREAD,  /* to all in turn */
    WEIR_BY_KEY,  /* equal keys to the same subtask; what keyed state needs */
    WEIR_BROADCAST, /* each record to every subtask */
};

/* What resumable callbacks answer. */
enum weir_progress {
    WEIR_MORE, /* call again soon; other things may happen in between, a cut among them */
    WEIR_IDLE, /* nothing now: see weir_idle */
    WEIR_END,  /* never again */
};

/* How an item of operator state is shared out when a job is restored with another parallelism. With
 * the same parallelism each subtask gets back its own items. */
enum weir_item {
    WEIR_ITEM_SPLIT,     /* to any one subtask (positions of source splits): about as many to each,
                            to some perhaps none, and items of several that were others before */
    WEIR_ITEM_UNION,     /* all subtasks' items to every subtask */
    WEIR_ITEM_BROADCAST, /* the same in all subtasks; every subtask gets those of the first */
    WEIR_ITEM_KEYED,     /* to the subtask that records of a key go to: the item's first 8 bytes are
                            weir_hash of the key, as an uint64_t */
};

/* What a source or sink can promise over a restart; shown by `plan`. */
enum weir_guarantee { WEIR_EXACTLY_ONCE, WEIR_AT_LEAST_ONCE };

enum weir_timer { WEIR_TIMER_EVENT, WEIR_TIMER_CLOCK };

/* An operator is a const table of functions. All slots may be NULL but one of process, process_many
 * and poll. For each task the runtime allocates self_size zeroed bytes, `self`, and calls every
 * slot on the task's thread, one at a time:
 *
 *   open, load (when restored), commit* (handles the checkpoint holds);
 *   then, in any order: process, poll, timer, wake; prepare and save at cuts; commit, aborted
 *   after rounds; finish when all input has ended; close last, also after a failed open.
 *
 * No instance gets a record, and none is closed, before all instances of the job are open, unless
 * one of them fails. Only process, poll, timer, wake and finish may emit.
 *
 * A callback fails by `return weir_fail(context, ...)`: the run ends and can be restarted from the
 * last checkpoint. Callbacks must not emit without bound in one call: the more they emit, the later
 * a marker passes. */
struct weir_operator {
    size_t size;      /* WEIR_SIZED(struct weir_operator) */
    const char *kind; /* "line_source"; for plans and messages; borrowed */
    size_t self_size; /* bytes of the private struct */
    uint32_t version; /* of what save writes; load is told the version that saved */
    enum weir_guarantee guarantee;

    /* Once, before anything else. `config` is the node's. May block. */
    enum weir_result (*open)(void *self, struct weir_context *context, const void *config);
    /* One record of input number `input`. Must not block for long: markers wait. */
    enum weir_result (*process)(void *self, struct weir_context *context, unsigned input,
                                const struct weir_record *record);
    /* Optional, preferred to process when set: a span of 1 or more records of one input; returns
     * how many it has consumed, from the front: at least 1, unless it fails. */
    size_t (*process_many)(void *self, struct weir_context *context, unsigned input,
                           const struct weir_record *records, size_t count);
    /* Sources (nodes without input): emit some records. Resumable. Must not block: answer
     * weir_idle. */
    enum weir_progress (*poll)(void *self, struct weir_context *context);
    /* A timer set by weir_timer_set is due. */
    enum weir_result (*timer)(void *self, struct weir_context *context, enum weir_timer kind,
                              int64_t time, uint64_t tag);
    /* All input has ended, the watermark stands at WEIR_END_OF_TIME: emit what is left. Resumable;
     * a cut may fall between two calls, so what is done must be visible in state. Called until
     * WEIR_END; WEIR_IDLE waits. NULL: nothing to do. */
    enum weir_progress (*finish)(void *self, struct weir_context *context);

    /* First phase, at the cut of checkpoint `id`, before save: make everything staged since the
     * last prepare durable, and describe it by weir_handle (none: nothing staged). Nothing may
     * become visible. May block for a sync. */
    enum weir_result (*prepare)(void *self, struct weir_context *context, uint64_t id);
    /* Second phase, after the round (this or a later one) is durable, and again after a restart:
     * publish what the handle names. Idempotent. Returns after it is durable: the handle is then
     * forgotten. In order of preparation. May block. */
    enum weir_result (*commit)(void *self, struct weir_context *context, struct weir_bytes handle);
    /* Checkpoint `id` came to nothing. What was prepared for it stays staged: its handle goes into
     * the next. */
    void (*aborted)(void *self, struct weir_context *context, uint64_t id);

    /* At the cut: put operator state into the saver as items; a large one by weir_save_later. Must
     * not change anything, emit or block. */
    enum weir_result (*save)(void *self, struct weir_context *context, struct weir_saver *saver);
    /* After open, when the job was restored: take the items of a save of `version`. */
    enum weir_result (*load)(void *self, struct weir_context *context, struct weir_loader *loader,
                             uint32_t version);
    /* Last; also after failures. Release what self holds. Nothing may be published here. */
    void (*close)(void *self, struct weir_context *context);
    /* For operators with input that wait for something outside their input as well: a clock, a pool
     * of threads. Called when what weir_wake asked for has come, and now and then for no reason;
     * like process, not while the output is blocked. When all input has ended, finish takes its
     * place (with weir_idle), and it is never called again. An operator that has it always begins a
     * task of its own. Must not block. */
    enum weir_result (*wake)(void *self, struct weir_context *context);
    /* Why its parallelism can't be another after a restart, in a few words ("it reads one stream");
     * such a start is refused with them. NULL: it can, and what it saves as items is shared out as
     * enum weir_item says. Static. */
    const char *fixed;
    /* Its timers say when to look, and not what at: with another parallelism every subtask gets all
     * of them, and those that find nothing to do are harmless. false: timers belong to their
     * subtask, and as long as one is set, another parallelism is refused. */
    bool timers_shared;
    /* A timer of a key, set by weir_timer_set_key, is due. The key counts as the one in hand. As
     * the timers are keyed state, an operator that has this takes all its input BY_KEY. */
    enum weir_result (*key_timer)(void *self, struct weir_context *context, enum weir_timer kind,
                                  const struct weir_bytes *key, int64_t time, uint64_t tag);
};

/* The simple case: one callback, no private struct. `config` is the node's. */
typedef enum weir_result (*weir_function)(struct weir_context *context, unsigned input,
                                          const struct weir_record *record, const void *config);

/* What a keyed state has for each key. */
enum weir_state_kind {
    WEIR_STATE_VALUE, /* a value: weir_cell, weir_get ... */
    WEIR_STATE_LIST,  /* values by index: weir_list_append ... */
    WEIR_STATE_MAP,   /* values by sub key, in the order of their bytes: weir_map_put ... */
};

/* A keyed state: a value, a list or a map per key, in the subtask that owns the key. Every input of
 * its node must be BY_KEY. */
struct weir_state {
    size_t size;         /* WEIR_SIZED(struct weir_state) */
    const char *name;    /* unique in the node, not "_timers"; the identity of the state */
    uint32_t version;    /* change it when the meaning of values changes */
    uint32_t value_size; /* bytes of a fixed-size cell; 0: values of any size */
    const char *format;  /* for people and tools, see FORMATS; may be NULL */
    /* For values of older versions than `version`: called for each of them when the job is restored
     * from a checkpoint that has such, before any operator is opened, on the thread that starts the
     * job. Puts what the value is in this version into weir_migrate_room; if it does not ask for
     * room, the key is dropped. Of a map it gets each value with the record's key; of a list each
     * element, none of which may be dropped. An answer but WEIR_OK fails the start, with `error` as
     * it was filled. NULL: values of another version are refused. */
    enum weir_result (*migrate)(const void *config, uint32_t version, struct weir_bytes key,
                                struct weir_bytes value, struct weir_migration *to,
                                struct weir_error *error);
    const void *migrate_config; /* borrowed; its `config` */
    enum weir_state_kind kind;
    /* TIME TO LIVE. A value expires that long after it was written last - put, or its cell asked
     * for; reading does not count - and is absent from then on: a cell of it is new, a scan passes
     * it over. Each value of a map for itself; a list as a whole, that long after anything of it
     * was written. Time is the watermark as weir_watermark shows it (EVENT, the default), or
     * weir_wall_time, read once for a span of records (CLOCK); it never goes back, over restarts
     * neither, so a key expires at the same time whether or not the job was restarted. By event
     * time, what is written for a record is written at the record's time if the watermark has not
     * come so far: what a fast input brings does not die early behind a slow one. (process_many is
     * given records of one time at once, then.) Event time stands still when all input has ended,
     * so that `finish` finds what lives then; before the first watermark nothing expires, and what
     * is written then, not for a record with a time, does so only when it is written again. 0:
     * values live until they are removed. It may be changed between two runs, but not from or to
     * 0: what has been written keeps the time at which it expires. */
    uint64_t ttl_ns;
    enum weir_timer ttl_clock;
};
/* In migrate: room for the new value, zeroed, 8-byte aligned; of value_size bytes, or, where that
 * is 0, of any size up to WEIR_VALUE_LIMIT. NULL: too large, or no memory: give up. */
WEIR_API void *weir_migrate_room(struct weir_migration *to, size_t size);

/* FORMATS: how values look to people, in the tool `weir` for one: `utf8`, `json`, `hex`; a number,
 * `u8` `u16` `u32` `u64` `i8` `i16` `i32` `i64` `f32` `f64`; a struct of numbers in C layout, with
 * arrays of them or without, "{u64 count; f64 sum; u32 bins[8]}"; or an array of numbers or of
 * structs, `u64[4]`, or as many as there are: `u64[]`. Kept in the manifest; weir does not look
 * inside values. */

/* ---------------------------------------------------------------------------------- graph -- */

typedef struct weir_node {
    uint32_t index;
} weir_node;

/* Names (nodes, states, inputs, outputs): [A-Za-z0-9_][A-Za-z0-9_-]{0,63}. */
struct weir_node_options {
    size_t size;      /* WEIR_SIZED(struct weir_node_options) */
    const char *name; /* unique in the graph; the identity of its state over restarts */
    const struct weir_operator *table; /* borrowed; or: */
    weir_function function;
    const void *config;   /* borrowed; given to open or function. weir_graph_keep can hold it */
    uint32_t parallelism; /* tasks; 0: the job's */
    const struct weir_state *states; /* their indexes are how callbacks name them */
    size_t state_count;
    const char *const *inputs; /* names; none: one input, "in" */
    size_t input_count;
    const char *const *outputs; /* names; none: one output, "out" */
    size_t output_count;
};

struct weir_edge_options {
    size_t size; /* WEIR_SIZED(struct weir_edge_options) */
    weir_node from;
    const char *output; /* NULL: the first */
    weir_node to;
    const char *input; /* NULL: the first; several edges may meet in one input */
    enum weir_routing routing;
    const char *key_format; /* may be NULL */
    const char *value_format;
    bool feedback; /* it closes a cycle: see weir_feedback */
};

/* NULL only without memory. allocator is borrowed and may be NULL. */
WEIR_API struct weir_graph *weir_graph_new(const struct weir_allocator *allocator);
/* Frees it and sets *graph to NULL. Not while a job of it lives. */
WEIR_API void weir_graph_free(struct weir_graph **graph);

/* The first error sticks: later calls change nothing, and weir_graph_check (or the start of the
 * job) reports it. */
WEIR_API weir_node weir_graph_add(struct weir_graph *graph,
                                  const struct weir_node_options *options);
WEIR_API void weir_graph_connect(struct weir_graph *graph, const struct weir_edge_options *options);
/* Shorthand: first output to first input. */
WEIR_API void weir_connect(struct weir_graph *graph, weir_node from, weir_node to,
                           enum weir_routing routing);
/* The same for an edge that leads back: it closes a cycle, of which exactly the edges that lead
 * back are declared so. What travels on it is part of every checkpoint, in every mode, so records
 * in a cycle are counted exactly once like all others. It is never blocked: what its reader has not
 * taken yet waits in memory up to the window, and beyond that in a file (weir_job_options.scratch).
 * Not BROADCAST. Event time does not travel on it: when all that comes into a cycle from outside
 * has ended, time in it stands at WEIR_END_OF_TIME. Its operators finish when, besides, nothing is
 * on its way in it any more, no CLOCK timer of theirs is set and none has asked to be woken; what
 * `finish` emits then must not come back over it: that fails the run. */
WEIR_API void weir_feedback(struct weir_graph *graph, weir_node from, weir_node to,
                            enum weir_routing routing);
/* A copy of `size` bytes that lives as long as the graph, 16-byte aligned; for operators' configs.
 * NULL without memory (the error sticks). data may be NULL: zeros. */
WEIR_API void *weir_graph_keep(struct weir_graph *graph, const void *data, size_t size);
/* The same for a zero-terminated text. */
WEIR_API const char *weir_graph_keep_text(struct weir_graph *graph, const char *text);
/* Lets a constructor of ready-made operators report bad options as the graph's sticky error. */
WEIR_API void weir_graph_fail(struct weir_graph *graph, const char *format, ...) WEIR_PRINTF(2, 3);
/* Checks the whole graph: WEIR_OK, or the first error with the node named. */
WEIR_API enum weir_result weir_graph_check(struct weir_graph *graph,
                                           struct weir_error *error) WEIR_MUST_USE;

enum weir_plan_format {
    WEIR_PLAN_TEXT, /* for people */
    WEIR_PLAN_DOT,  /* a drawing: give it to Graphviz, `dot -Tsvg` */
    WEIR_PLAN_JSON, /* for programs: one object, documented in EVENTS.md of weir's runtime folder */
};

/* The graph, its tasks, and the guarantee of each source and sink. Calls `line` for each line,
 * without newline. parallelism as in struct weir_job_options. */
WEIR_API enum weir_result weir_graph_plan(struct weir_graph *graph, uint32_t parallelism,
                                          enum weir_plan_format format,
                                          void (*line)(void *context, const char *text),
                                          void *context, struct weir_error *error) WEIR_MUST_USE;

struct weir_job_options;
/* How the checkpoint that a start with these options would go on from (`restore`; a savepoint too)
 * is laid onto the graph: a line for each node, state and edge, for what is gone, what would be
 * lost and what does not fit. WEIR_PLAN_JSON: an object `restore` of EVENTS.md instead; there is no
 * drawing. Reads the store, and changes nothing there; a job may be running on it. WEIR_OK: such a
 * start would not be refused for its graph; WEIR_MISMATCH: it would, `error` says with what, and
 * all is told the same. Any other error is one of the options or of reading the checkpoint -
 * key_groups that are not the store's (WEIR_REFUSED), a parallelism with too many tasks or channels
 * (WEIR_INVALID) - and nothing is told. No operator is opened: what one thinks of its items
 * (`load`), or finds at its output (`open`; a sink, say, files that were published after the
 * checkpoint), shows at the start alone. Any thread; `line` is called on it. */
WEIR_API enum weir_result
weir_graph_restore_plan(struct weir_graph *graph, const struct weir_job_options *options,
                        enum weir_plan_format format, void (*line)(void *context, const char *text),
                        void *context, struct weir_error *error) WEIR_MUST_USE;

/* ------------------------------------------------------------------- inside a callback -- */

WEIR_API const char *weir_node_name(const struct weir_context *context);
WEIR_API uint32_t weir_subtask(const struct weir_context *context);     /* 0 .. parallelism-1 */
WEIR_API uint32_t weir_parallelism(const struct weir_context *context); /* of this node */
/* The store's 32 hex digits, "" without a store; constant over restarts. Lives as long as the task.
 */
WEIR_API const char *weir_store_id(const struct weir_context *context);
/* The number of this start of the job: grows with every start on a store. 1 without a store. */
WEIR_API uint32_t weir_epoch(const struct weir_context *context);
/* True when the job was restored from a checkpoint that knows this node: load is called. */
WEIR_API bool weir_restored(const struct weir_context *context);
WEIR_API int64_t weir_now(const struct weir_context *context);       /* monotonic, ns */
WEIR_API int64_t weir_wall_time(const struct weir_context *context); /* since 1970, ns */
WEIR_API uint64_t weir_random(struct weir_context *context); /* not repeated after a restart */
/* The least of the inputs that have neither ended nor fallen idle; WEIR_NO_TIME: none yet. When all
 * have ended it passes the highest that any of them has said, and then is WEIR_END_OF_TIME: in
 * whichever order they end, the same timers fire before that. */
WEIR_API int64_t weir_watermark(const struct weir_context *context);
WEIR_API const struct weir_allocator *
weir_memory(const struct weir_context *context); /* may be NULL */
WEIR_API void weir_log(struct weir_context *context, const char *format, ...) WEIR_PRINTF(2, 3);

/* Marks the run as failed, once; the first one sticks. Returns `code`, so that `return
 * weir_fail(...)` reads well. From poll, finish and process_many: call it and return anything. */
WEIR_API enum weir_result weir_fail(struct weir_context *context, enum weir_result code,
                                    const char *format, ...) WEIR_PRINTF(3, 4);
/* The same with an error that a call has filled. */
WEIR_API enum weir_result weir_fail_with(struct weir_context *context,
                                         const struct weir_error *error);
/* For poll and finish: `return weir_idle(context, deadline, fd);` - call again at `deadline` (as
 * weir_now; INT64_MAX: never) or when `fd` is readable (-1: none), whichever is first. */
WEIR_API enum weir_progress weir_idle(struct weir_context *context, int64_t deadline_ns, int fd);

/* For operators with `wake`: call it at `deadline` (as weir_now; INT64_MAX: never) or when `fd` is
 * readable (-1: none), whichever is first. Replaces the wish before it; a call of wake, for
 * whatever reason, uses the wish up: wake has to wish again (an operator that has nothing to wait
 * for should not: a cycle is not at rest while one of its operators wishes). The fd is borrowed,
 * and must stay open while it is wished for. From open, load, process, process_many, timer and
 * wake. A task that is busy keeps to it within a millisecond or one callback, whichever is longer.
 * Without `wake`, it fails the run. */
WEIR_API void weir_wake(struct weir_context *context, int64_t deadline_ns, int fd);
/* For operators with `wake`. true: after the record in hand the task takes no more input until the
 * operator says false, from timer, wake, commit or aborted; all of these are still called, and
 * process_many should return. It is back-pressure: markers in their turn behind the input wait too,
 * so a hold should be short; and so does the end of input, which calls finish. Watermarks wait as
 * well; for records that an operator keeps without a hold, see weir_watermark_limit. Not kept over
 * a restart. From wherever weir_wake is. Without `wake`, it fails the run. */
WEIR_API void weir_hold(struct weir_context *context, bool held);
/* For operators with `wake` that emit later what they have taken now: the watermark does not pass
 * `time` on its way behind this operator, until the operator names another one; WEIR_END_OF_TIME:
 * it goes through, as at first. A limit below what has passed already changes nothing. The operator
 * itself, its timers and its weir_watermark see the watermark that came in; what lies behind it, in
 * this task and others, sees the limited one, and is not told that this task is idle. Ends with
 * finish's WEIR_END; not kept over a restart. From wherever weir_wake is, and finish. Without
 * `wake`, it fails the run. */
WEIR_API void weir_watermark_limit(struct weir_context *context, int64_t time);
/* How far a source with an end is, in any one unit: bytes, records. For people: the live line shows
 * the sum over subtasks. total 0: unknown. From load, poll and open; of sources, else it fails the
 * run. */
WEIR_API void weir_progress_set(struct weir_context *context, uint64_t done, uint64_t total);
/* A folder of this node's own inside the store, the same for all its subtasks and runs, made when
 * missing; for what must live as long as the checkpoints do, a journal of input that can't be asked
 * for twice, say. weir never looks into it and never deletes it. WEIR_INVALID without a store. May
 * block; from open, load and later. `path` gets at most `room` bytes with the zero (WEIR_TOO_LARGE:
 * it needs more), relative if the store's path was. */
WEIR_API enum weir_result weir_store_folder(struct weir_context *context, char *path, size_t room,
                                            struct weir_error *error) WEIR_MUST_USE;

/* Sends a copy of the record to every edge of output number `output`. Never blocks: what has no
 * credit waits in the outlet. WEIR_TOO_LARGE, WEIR_NO_MEMORY and a wrong output number fail the
 * run, so the answer may be ignored. */
WEIR_API enum weir_result weir_emit(struct weir_context *context, unsigned output,
                                    const struct weir_record *record);
/* In place: room for value_size bytes, 8-byte aligned, to be filled before weir_emit_commit sends
 * the record with the first `used` of them. Another emit or reserve, or the callback's return,
 * drops it. NULL: the run has failed. */
WEIR_API void *weir_emit_reserve(struct weir_context *context, unsigned output,
                                 struct weir_bytes key, size_t value_size, int64_t time);
WEIR_API enum weir_result weir_emit_commit(struct weir_context *context, size_t used);
/* All later records of this task have times >= `time`, on every output. Goes with the records, in
 * order; readers take the minimum over their inputs. Going back is ignored. Other tasks forward
 * watermarks by themselves. */
WEIR_API void weir_emit_watermark(struct weir_context *context, int64_t time);
/* Readers shall not wait for this task's watermark until its next record or watermark. */
WEIR_API void weir_emit_idle(struct weir_context *context);

/* Keyed state. `state` is the index in weir_node_options.states. The key should be the one of the
 * record in hand (pass &record->key: its hash is known then); any other must belong to this
 * subtask, else the run fails. Use it in process, process_many, timer and finish: in open the
 * checkpoint's state is not there yet, and what commit changed it would change again when it is
 * repeated. */

/* The fixed-size cell of the key, in place, 8-byte aligned; zeroed when the key is new. Valid until
 * the next state call or the callback's return. NULL: the run has failed. */
WEIR_API void *weir_cell(struct weir_context *context, unsigned state,
                         const struct weir_bytes *key);
/* In process_many: the cells of the keys of `count` records it was given, in order; faster than one
 * by one. Equal keys have the same cell. Valid until the next state call or the callback's return.
 * NULL: the run has failed. */
WEIR_API void *const *weir_cells(struct weir_context *context, unsigned state,
                                 const struct weir_record *records, size_t count);
/* False when the key has no value. Fixed or variable size; valid as weir_cell. */
WEIR_API bool weir_get(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                       struct weir_bytes *value);
WEIR_API enum weir_result weir_put(struct weir_context *context, unsigned state,
                                   const struct weir_bytes *key, struct weir_bytes value);
WEIR_API bool weir_remove(struct weir_context *context, unsigned state,
                          const struct weir_bytes *key);
/* All keys of this task, a few at a time - of a list or map those that have something, each with an
 * empty value: the position is part of the state, so a scan that a cut or a crash interrupts goes
 * on where it was. False at the end. In the order of the keys' hashes; keys created meanwhile may
 * be visited or not. The views are read only (weir_cell is there to change a value), and valid as
 * weir_cell's; a list's or map's key until the next scan. */
WEIR_API bool weir_scan_next(struct weir_context *context, unsigned state, struct weir_bytes *key,
                             struct weir_bytes *value);
WEIR_API void weir_scan_rewind(struct weir_context *context, unsigned state);

/* Maps, in the same way: a value for each sub key of a key. Sub keys are any bytes up to 16 MiB,
 * and come in the order of their bytes, a shorter one before what it begins. Each call is O(log n)
 * of all entries at worst. */
WEIR_API bool weir_map_get(struct weir_context *context, unsigned state,
                           const struct weir_bytes *key, struct weir_bytes sub,
                           struct weir_bytes *value);
WEIR_API enum weir_result weir_map_put(struct weir_context *context, unsigned state,
                                       const struct weir_bytes *key, struct weir_bytes sub,
                                       struct weir_bytes value);
/* As weir_cell. */
WEIR_API void *weir_map_cell(struct weir_context *context, unsigned state,
                             const struct weir_bytes *key, struct weir_bytes sub);
WEIR_API bool weir_map_remove(struct weir_context *context, unsigned state,
                              const struct weir_bytes *key, struct weir_bytes sub);
/* The key's first entry behind the sub key `after`, which need not be there; NULL: its first. False
 * when there is none. Views are valid as weir_cell's, so this walks a map that is not written to:
 *     for (after = NULL; weir_map_next(context, 0, key, after, &sub, &value); after = &sub)
 * In one that is, or over several callbacks, `after` must be a copy; what is written or removed
 * meanwhile is seen or not, by where it is. */
WEIR_API bool weir_map_next(struct weir_context *context, unsigned state,
                            const struct weir_bytes *key, const struct weir_bytes *after,
                            struct weir_bytes *sub, struct weir_bytes *value);
/* How many entries the key has. With a time to live, they are counted one by one. */
WEIR_API uint64_t weir_map_count(struct weir_context *context, unsigned state,
                                 const struct weir_bytes *key);
/* Removes the key's first entries, at most `most`, and answers how many those were. Each costs what
 * a weir_map_remove does, so that a large map should go over several callbacks. */
WEIR_API uint64_t weir_map_clear(struct weir_context *context, unsigned state,
                                 const struct weir_bytes *key, uint64_t most);

/* Lists: values by index, from 0, for each key. Each call is O(1), of lists of any length. */
WEIR_API enum weir_result weir_list_append(struct weir_context *context, unsigned state,
                                           const struct weir_bytes *key, struct weir_bytes value);
WEIR_API uint64_t weir_list_count(struct weir_context *context, unsigned state,
                                  const struct weir_bytes *key);
/* False when the list is not so long. The view is valid as weir_cell's. */
WEIR_API bool weir_list_get(struct weir_context *context, unsigned state,
                            const struct weir_bytes *key, uint64_t index, struct weir_bytes *value);
/* Replaces an element; false when the list is not so long. */
WEIR_API bool weir_list_put(struct weir_context *context, unsigned state,
                            const struct weir_bytes *key, uint64_t index, struct weir_bytes value);
/* Leaves the first `count` elements; 0 removes the list. */
WEIR_API void weir_list_truncate(struct weir_context *context, unsigned state,
                                 const struct weir_bytes *key, uint64_t count);

/* The operator's timer callback will be called once with (kind, time, tag): EVENT when the
 * watermark reaches `time`, CLOCK when weir_wall_time does. Saved in checkpoints. The same triple
 * set twice is one timer, also when one comes from the checkpoint and one from open. At the end of
 * all input every EVENT timer fires; CLOCK timers still pending then do not. */
WEIR_API enum weir_result weir_timer_set(struct weir_context *context, enum weir_timer kind,
                                         int64_t time, uint64_t tag);

/* The same for a key, as in keyed state: the operator's key_timer callback will be called with it.
 * There may be many millions: setting one costs O(log n) and about 100 bytes, and a checkpoint
 * writes what has changed. Due ones fire in the order of time, then key, then tag, one at a time:
 * markers and commands go between. The same four set twice are one timer. Of timers of one time,
 * those without a key come first. They go with their keys to another parallelism, and count in
 * cycles, as others do. Without `key_timer`, it fails the run. */
WEIR_API enum weir_result weir_timer_set_key(struct weir_context *context, enum weir_timer kind,
                                             const struct weir_bytes *key, int64_t time,
                                             uint64_t tag);
/* False when it was not set. */
WEIR_API bool weir_timer_cancel_key(struct weir_context *context, enum weir_timer kind,
                                    const struct weir_bytes *key, int64_t time, uint64_t tag);

/* In save: one item of operator state, at most 16 MiB; copied. The saver's error is sticky. */
WEIR_API void weir_save(struct weir_saver *saver, enum weir_item kind, struct weir_bytes item);
/* In save: what this task's position is, for people; lands in the manifest. At most 200 bytes are
 * kept. */
WEIR_API void weir_save_note(struct weir_saver *saver, const char *format, ...) WEIR_PRINTF(2, 3);
/* In save: an item put together value by value, between begin and end; at most 16 MiB. Numbers are
 * little-endian; bytes and texts (without their zero) have a u32 with their size before them; raw
 * bytes are as they are. Only one item is open at a time, and no weir_save comes between. */
WEIR_API void weir_save_begin(struct weir_saver *saver, enum weir_item kind);
WEIR_API void weir_save_u32(struct weir_saver *saver, uint32_t value);
WEIR_API void weir_save_u64(struct weir_saver *saver, uint64_t value);
WEIR_API void weir_save_i64(struct weir_saver *saver, int64_t value);
WEIR_API void weir_save_f64(struct weir_saver *saver, double value);
WEIR_API void weir_save_bytes(struct weir_saver *saver, struct weir_bytes bytes);
WEIR_API void weir_save_text(struct weir_saver *saver, const char *text);
WEIR_API void weir_save_raw(struct weir_saver *saver, struct weir_bytes bytes);
WEIR_API void weir_save_end(struct weir_saver *saver);

/* For state too large to be copied at the cut: an item that is written a moment later, on another
 * thread, while the stream goes on. save only prepares: it shares, references or marks as
 * copy-on-write what `write` will read, and from then on the operator must not change that. (The
 * idea is IBM Streams' non-blocking checkpoint: prepare under the cut, serialise outside of it.) */
struct weir_later {
    size_t size; /* WEIR_SIZED(struct weir_later) */
    void *data;
    /* Once, or never when the checkpoint comes to nothing before. Appends the item by
     * weir_save_raw, weir_save_u32 and the like - as much as there is memory for, it has no limit
     * of 16 MiB - between no weir_save_begin and weir_save_end. Any other answer than WEIR_OK gives
     * the checkpoint up, with it as the reason. May take long: only checkpoints wait. */
    enum weir_result (*write)(void *data, struct weir_saver *saver);
    /* Once, whatever became of the checkpoint: after write, or instead of it. May be NULL. */
    void (*release)(void *data);
    uint64_t
        bytes; /* what data keeps in memory until release, besides what the operator has anyway:
                       counts in memory_max and memory_saved */
};
/* In save: as weir_save, for such an item; it comes after all others of this save, later ones in
 * their order. `write` and `release` are called on a thread of the job's that is no operator's, or
 * release inside save or on the thread of weir_job_close; one at a time for one job, but together
 * with callbacks of any operator, and even after `close` of this one: so data lives by itself, and
 * what it shares with `self` needs atomics or a lock. They get no context, and must not call
 * anything that takes one, nor the job's functions. The item is in memory once more while it is
 * compressed and written. */
WEIR_API void weir_save_later(struct weir_saver *saver, enum weir_item kind,
                              const struct weir_later *later);

/* In load: the next item, in the order saved; false at the end. The view lives until load returns.
 */
WEIR_API bool weir_load_next(struct weir_loader *loader, enum weir_item *kind,
                             struct weir_bytes *item);
/* The same for who takes the item value by value: it becomes the current one (weir_load_next's does
 * as well). `kind` may be NULL. False at the end, and once the loader has failed. What was not
 * taken of the item before is passed over: weir_load_done is there to find that wrong. */
WEIR_API bool weir_load_item(struct weir_loader *loader, enum weir_item *kind);
/* The next value of the current item, as weir_save_* has put it there. The loader's error is
 * sticky: what asks for more than is left fails it, and from then on all answers are 0, empty,
 * false. When load returns, whatever it answers, a loader that has failed fails the start with
 * WEIR_DAMAGED, by a text that names the operator, the item and the byte: so check once, before
 * what was loaded is believed. Views live until load returns. */
WEIR_API uint32_t weir_load_u32(struct weir_loader *loader);
WEIR_API uint64_t weir_load_u64(struct weir_loader *loader);
WEIR_API int64_t weir_load_i64(struct weir_loader *loader);
WEIR_API double weir_load_f64(struct weir_loader *loader);
WEIR_API struct weir_bytes weir_load_bytes(struct weir_loader *loader);
/* A text and its zero into `text`, which has `room` bytes, at least 1; fails when it is longer, or
 * has a zero in it. False: the loader has failed, and `text` is "". */
WEIR_API bool weir_load_text(struct weir_loader *loader, char *text, size_t room);
/* The next `size` bytes, as weir_save_raw or weir_save has put them there. */
WEIR_API struct weir_bytes weir_load_raw(struct weir_loader *loader, size_t size);
WEIR_API size_t weir_load_left(const struct weir_loader *loader); /* bytes of the current item */
/* Fails the loader when anything is left of the current item. */
WEIR_API void weir_load_done(struct weir_loader *loader);
/* Fails it because of what was found: "a count of %u". Item and byte are added. */
WEIR_API void weir_load_fail(struct weir_loader *loader, const char *format, ...) WEIR_PRINTF(2, 3);
WEIR_API bool weir_load_failed(const struct weir_loader *loader);
/* In prepare: names what was staged. Copied; at most 64 KiB. */
WEIR_API enum weir_result weir_handle(struct weir_context *context, struct weir_bytes handle);

/* XXH3-64 of the bytes: the hash that keys are routed by, and good for fingerprints. Any thread. */
WEIR_API uint64_t weir_hash(struct weir_bytes bytes);

/* ---------------------------------------------------------------- files, for sources and sinks --
 * The file calls that weir's own tests can fail, shorten and kill at every step. Blocking; any
 * thread. Short counts and EINTR are handled inside. `error` is filled with path and reason. */

struct weir_file;

enum weir_open {
    WEIR_OPEN_READ,   /* an existing file; links are followed */
    WEIR_OPEN_CREATE, /* a new file, mode 0600; WEIR_REFUSED when the name is taken */
};
struct weir_file_status {
    bool folder;
    bool regular;
    uint64_t size; /* bytes */
    uint64_t device, inode;
    int64_t modified_ns;
};

WEIR_API enum weir_result weir_file_open(const struct weir_allocator *allocator, const char *path,
                                         enum weir_open how, struct weir_file **file,
                                         struct weir_error *error) WEIR_MUST_USE;
/* Closes and frees; *file becomes NULL. NULL is accepted. An error of close is reported. */
WEIR_API enum weir_result weir_file_close(struct weir_file **file, struct weir_error *error);
/* Reads up to `size` bytes at `offset`; *got < size only at the end of the file. */
WEIR_API enum weir_result weir_file_read(struct weir_file *file, uint64_t offset, void *data,
                                         size_t size, size_t *got,
                                         struct weir_error *error) WEIR_MUST_USE;
/* Appends all of it. */
WEIR_API enum weir_result weir_file_write(struct weir_file *file, struct weir_bytes data,
                                          struct weir_error *error) WEIR_MUST_USE;
/* After a failure the file's content is unknown for good: do not sync it again, stage it anew. */
WEIR_API enum weir_result weir_file_sync(struct weir_file *file,
                                         struct weir_error *error) WEIR_MUST_USE;
/* WEIR_NOT_FOUND when there is none. Links are followed. */
WEIR_API enum weir_result weir_file_status(const char *path, struct weir_file_status *status,
                                           struct weir_error *error) WEIR_MUST_USE;
/* Never replaces: WEIR_REFUSED when `to` is there, WEIR_NOT_FOUND when `from` is not. */
WEIR_API enum weir_result weir_file_rename(const char *from, const char *to,
                                           struct weir_error *error) WEIR_MUST_USE;
WEIR_API enum weir_result weir_file_remove(const char *path,
                                           struct weir_error *error) WEIR_MUST_USE;
/* WEIR_OK too when the folder is there already. */
WEIR_API enum weir_result weir_folder_make(const char *path,
                                           struct weir_error *error) WEIR_MUST_USE;
WEIR_API enum weir_result weir_folder_sync(const char *path,
                                           struct weir_error *error) WEIR_MUST_USE;
/* Calls `each` for every entry but "." and "..", in no order, until it answers false. */
WEIR_API enum weir_result weir_folder_list(const char *path,
                                           bool (*each)(void *context, const char *name),
                                           void *context, struct weir_error *error) WEIR_MUST_USE;

/* ------------------------------------------------------------------------------------ job -- */

enum weir_level { WEIR_LOG_ERROR, WEIR_LOG_WARNING, WEIR_LOG_INFO, WEIR_LOG_DEBUG };

enum weir_event_kind {
    /* id: the checkpoint it was restored from, or 0; duration_ns: since weir_job_start was called;
     * bytes: read from the store */
    WEIR_EVENT_STARTED,
    /* Before any sink publishes what the checkpoint holds. All members; text: what for */
    WEIR_EVENT_COMMITTED,
    WEIR_EVENT_ABORTED, /* id, duration_ns, text: why; who had not answered, what it waited for */
    WEIR_EVENT_ENDED,   /* text: how */
    WEIR_EVENT_SAVED,   /* a savepoint: id of the checkpoint that was copied, text: where to */
    WEIR_EVENT_UNSAVED, /* one that came to nothing: text: why; id, 0: it was not even begun */
    /* A callback, or work on the store's files, has not come back for hang_after: text: whose,
     * which, for how long. duration_ns: since it began; id: the checkpoint, of work on the store.
     * Told again when it has lasted twice as long, and so on. Before STARTED too; and while
     * weir_job_close waits for who has not come back yet, by its own thread. */
    WEIR_EVENT_HUNG,
    WEIR_EVENT_RETURNED, /* it has come back; the same members. What is gone was told by ENDED */
};
struct weir_event {
    enum weir_event_kind kind;
    uint64_t id;
    int64_t duration_ns; /* trigger to commit */
    uint64_t bytes;      /* in the store, of this checkpoint */
    const char *text;    /* never NULL; lives until the callback returns */
    int64_t cut_ns;      /* the longest time this round's cut held a task, */
    int64_t cut_cpu_ns;  /* and the most processor time: less where other work had the cores */
    int64_t align_ns;    /* from the trigger until all tasks had cut, and their markers were in */
    int64_t write_ns;    /* from there to the commit */
    uint32_t tasks;      /* of the job */
    uint32_t overtook;   /* tasks that cut before the marker was reached, or moved theirs ahead */
    uint64_t channel_bytes; /* of records in flight that it holds: what lay on the readers' side, */
    uint64_t outlet_bytes;  /* and what had waited on the writers' and was overtaken */
    /* Who was last, and on which channel: "count.0, by the marker of split.1". Never NULL; lives
     * until the callback returns. */
    const char *last;
    /* Of SAVED and UNSAVED: the savepoint's directory, as it was asked for; otherwise "". Lives
     * until the callback returns. */
    const char *path;
    /* Of HUNG and RETURNED. `node`: whose callback it is; "": it is the store's files that do not
     * answer, or work of weir's own between two callbacks. Lives until weir_job_close. */
    const char *node;
    uint32_t subtask;
    const char *doing; /* "process", "commit" ..., or "syncing" ...; static; "": between two */
    uint64_t position; /* of the record that this task's first operator was given last, as far as it
                          has told: see weir_failure; 0: none */
    int thread;        /* the system's number of the thread; for tools, and for who takes its stack:
                          see open_signal */
};

/* How a checkpoint's marker passes what is queued before it. */
enum weir_mode {
    /* Aligned; a checkpoint that is older than alignment_max goes on as an unaligned one. */
    WEIR_ADAPTIVE,
    /* In its turn. A task reads nothing behind a marker before the markers of all its inputs have
     * come: nothing in flight is saved, and a checkpoint waits for the slowest operator. */
    WEIR_ALIGNED,
    /* Ahead of it. Every task saves itself at the first notice, what is in flight is saved with it,
     * and a checkpoint waits for one record of the slowest operator. */
    WEIR_UNALIGNED,
};

enum weir_restore {
    WEIR_RESTORE_LATEST,
    WEIR_RESTORE_NONE,
    WEIR_RESTORE_ID,
    /* The savepoint in the directory restore_path: for the first start on a store of its own, which
     * must hold no checkpoint. Nothing is changed there, ever. */
    WEIR_RESTORE_PATH,
};

/* A record that is not to be given to its operator any more: see weir_failure, from which it is
 * filled. Instead it becomes a dead letter. It counts as given: positions do not change. */
struct weir_poison {
    const char *node; /* of the graph, and one of its subtasks; else the start is refused */
    uint32_t subtask;
    uint64_t position;    /* 0: wherever it comes, when the order of records is not repeatable */
    uint64_t fingerprint; /* must fit as well */
    const char *cause;    /* one line, for the letter; may be NULL */
};

/* Zero means the default, everywhere. */
struct weir_job_options {
    size_t size;       /* WEIR_SIZED(struct weir_job_options) */
    const char *name;  /* of the job, kept in manifests; default "job" */
    const char *store; /* directory; NULL: no checkpoints */
    enum weir_restore restore;
    uint64_t restore_id;  /* for WEIR_RESTORE_ID */
    uint32_t parallelism; /* of nodes that leave it open; default 1; at most 1024 */
    int64_t interval_ns;  /* between checkpoints; default 1 s; negative: only on request */
    int64_t min_pause_ns; /* least time from one's end to the next's trigger; default none */
    int64_t timeout_ns;   /* a round older than this is aborted; default 60 s */
    uint32_t tolerated;   /* consecutive failed rounds before the run fails; default: any number */
    uint32_t retain;      /* checkpoints kept; default 3 */
    uint32_t batch_bytes; /* of one message between tasks; default 32 KiB; 1 KiB .. 1 MiB */
    uint32_t window_batches; /* un-acknowledged batches a channel; default 8 */
    uint32_t window_bytes; /* and bytes; default window_batches * batch_bytes; one batch may always
                              travel */
    const char *endpoint;  /* "inproc" (default), or "tcp://127.0.0.1": how channels travel. (Over
                              tcp libzmq takes numbers from the process's rand().) */
    void *zmq_context;     /* borrowed; NULL: the job's own */
    const struct weir_allocator *allocator; /* borrowed; NULL: malloc */
    /* Both are called from the job's own threads, one at a time; must not call back into the job.
     */
    void (*log)(void *context, enum weir_level level, const char *text);
    void *log_context;
    void (*event)(void *context, const struct weir_event *event);
    void *event_context;
    /* Both are called by weir_job_poll instead, and for the rest by weir_job_close or the failing
     * weir_job_start, on the caller's thread: for hosts with an event loop. At most 1,000 messages
     * are kept; the oldest go first, and a warning says how many. ENDED always comes. */
    bool polled;
    /* Give operators one record at a time until this run's first checkpoint is committed: slower,
     * but a failure then names its record exactly. For a start after a failure. */
    bool careful;
    /* These records become dead letters: files in the directory `dead_letters` (made when missing),
     * published with the checkpoint that covers them, exactly once (without a store, when the job
     * ends); their layout is in README.md of weir's runtime folder. A file of a letter's name that
     * holds another one fails the run. A checkpoint that holds unpublished letters is refused
     * without the directory, and so is poison. */
    const struct weir_poison *poison; /* copied */
    size_t poison_count;
    const char *dead_letters;
    const char *restore_path; /* for WEIR_RESTORE_PATH: what weir_job_savepoint has written */
    enum weir_mode mode;
    int64_t alignment_max_ns; /* of WEIR_ADAPTIVE; since the trigger; default 50 ms */
    /* Memory that checkpoints may hold in batches in flight that they record, over all of them that
     * are not written yet; default 64 MiB, or what all windows hold together when that is more.
     * When it is used up, tasks stop reading what is still to be recorded; an adaptive checkpoint
     * becomes unaligned first. At twice that, a checkpoint that still waits for markers is given
     * up. What is recorded of feedback edges goes to `scratch` then. */
    uint64_t recording_max;
    /* Of batches in flight, recorded ones, keyed state (up to twice what lives of it), and what
     * operators save, until it is written. Default no limit. At nine tenths of it a
     * warning says who holds what. Beyond it no task does anything that takes more, and checkpoints
     * are given up for what they hold, the newest first; when that is not enough, or it is the
     * job's last one, the run fails.
     *
     * A task looks after each batch. So there may be more by what its operator emits and keeps for
     * one batch, a record of 16 MiB say; by the table of a state that grows, until the new one has
     * taken the place of the old; and beside it there are batches that are kept to be used again,
     * up to a window a channel; a few MiB in which the writer compresses; manifests; what the
     * libraries take, and what operators do by themselves. A start reads a part at a time for each
     * processor. */
    uint64_t memory_max;
    /* Unfinished checkpoints: one is being cut, the others written; default 2, at most 8. With a
     * minimum pause it is 1. */
    uint32_t rounds_at_once;
    /* A directory for what waits on feedback edges beyond the window, and for keyed state beyond
     * state_memory, made when missing; default: "scratch" in the store. Without either records of
     * cycles wait in memory. Files there have no names. A job without a feedback edge or
     * state_memory is refused with it. */
    const char *scratch;
    /* Bytes of keyed state that are to be in memory at most, over all tasks; default no limit. What
     * is too much moves to files in `scratch`, the part that was not changed for longest first, and
     * is read there when it is needed: state may be many times larger than this. Pages of these
     * files that the system keeps in memory are its own, and it gives them up when it must; on a
     * tmpfs that saves nothing. The files are never larger than the state (up to twice what lives
     * of it), and go with the process.
     *
     * Not in it: the indexes of each state, 21 to 43 bytes a key and more where it is ordered
     * (memory_max counts them); what was changed since the last checkpoint, where that is more than
     * the limit but less than one part in 32 of the state; and where a start takes a checkpoint
     * over to another parallelism, or migrates values, one state of one subtask as it was, at a
     * time. At least 4 KiB for each state of each subtask; refused without `scratch` and `store`,
     * where no node has keyed state, and where the file system can't reserve space and map files.
     * When the disk is full later, state stays in memory, and a warning says so; at twice the limit
     * the run fails. */
    uint64_t state_memory;
    /* Every so manyth checkpoint is full: it writes all keyed state and names nothing that older
     * ones wrote, so that its files alone are enough, and no bad sector in an old one is carried
     * on. The first of a run is one, unless the checkpoint that it went on from was. 1: all are; 0:
     * the default, none need be. (A savepoint is a copy, and always full.) */
    uint32_t full_every;
    /* Keys are shared out by group: a key's group is its hash, and a subtask owns a range of
     * groups. 1 to 32768, for the first start on a store, which keeps it; default 128. Later starts
     * may leave it out, and are refused with another number. A node of more subtasks than there are
     * groups has idle ones. */
    uint32_t key_groups;
    /* A start whose graph has no place for something that the checkpoint holds - a node, a state or
     * an edge was taken out, or renamed - is refused, naming it; true: it is dropped. A sink's
     * output that is not published yet is never dropped. */
    bool allow_dropped_state;
    /* After so long without progress a callback, or work on the store's files, is told of by the
     * HUNG event, up to a quarter later; default 30 s, at least 100 ms; negative: never. Who waits
     * - for input, a time, credit, or since its operator holds - does not hang; a batch of records
     * that are given one by one makes progress with each. Nothing else is done about it: it may be
     * one long record. A thread can't be ended, only its process can. */
    int64_t hang_after_ns;
    /* A signal that the job's threads do not block, which a program has a handler for: so that it
     * can look at the stack of a thread that hangs (pthread_kill's like for threads known by number
     * is tgkill). weir never sends it. A system call in which an operator waits may be cut short by
     * it (EINTR). 0: they block all but those of faults. */
    int open_signal;
    /* A restart: the job has run on `store` before. A store that is gone is refused (WEIR_REFUSED)
     * then, rather than made anew as at a first start; and with WEIR_RESTORE_LATEST one whose
     * newest checkpoint is older than `again_from`, which is known to have been there (0: none is).
     */
    bool again;
    uint64_t again_from;
    /* TIME TRAVEL: an earlier stretch once more, under a debugger say. The start goes on from what
     * `restore` names as ever, but `store` is only read - no lock, no new file, a job may be
     * running on it - and the job itself has no store: it takes no checkpoint. Where a branch of
     * the graph ends, in a sink or whatever is there, its operator is not opened, and what it is
     * given is discarded: nothing is staged, sent or committed, neither what the checkpoint holds
     * of that, nor dead letters. A node that publishes in two phases and leads on is refused, a
     * source that has `commit` too, and so is what keeps a folder in the store (weir_store_folder).
     * What operators in the middle write by themselves, outside weir, they write. */
    bool no_publish;
    /* Of such a job: it ends by itself when each subtask of each source has given so many records,
     * counted from this start; 0: no limit. */
    uint64_t until_records;
    /* The same by event time: no record later than this goes on, nor does the watermark; a source
     * ends at its first such record, or when an operator in its chain says that time has passed it.
     * Where nobody gives event times it limits nothing: a warning says so at the end.
     * 0: no limit. With either limit all that was given is processed, also what travels in cycles,
     * but the input is not at its end, whatever ends the run: the end of time is not reached, and
     * `finish` is called of operators alone that have `wake`, which give what they hold. So what
     * operators have been given does not depend on when the job was stopped. */
    int64_t until_time;
};

enum weir_outcome {
    WEIR_OUTCOME_RUNNING,
    WEIR_OUTCOME_ENDED,         /* all input was processed, all output published */
    WEIR_OUTCOME_ALREADY_ENDED, /* it had ended in an earlier run; nothing was left to do */
    WEIR_OUTCOME_STOPPED,       /* by weir_job_stop */
    WEIR_OUTCOME_FAILED,        /* see the error; start again to go on from the last checkpoint */
    WEIR_OUTCOME_UNKNOWN, /* the disk failed at the commit point; only weir_job_close is legal now
                           */
};

enum weir_stop {
    WEIR_STOP_SUSPEND, /* one last checkpoint, then stop: a later start goes on exactly there */
    /* Sources end now, for good: everything they gave is processed and published, and the job has
     * ended. A restart in the middle of it goes on draining. */
    WEIR_STOP_DRAIN,
    WEIR_STOP_NOW, /* at once; a later start goes on from the last checkpoint */
};

struct weir_status {
    size_t size; /* WEIR_SIZED(struct weir_status), set before the call */
    enum weir_outcome outcome;
    uint32_t epoch;
    uint32_t tasks;
    uint64_t restored_from;         /* 0: a first start */
    uint64_t records_in;            /* taken from input queues, over all tasks */
    uint64_t records_emitted;       /* by sources */
    uint64_t checkpoint;            /* newest committed id of this run, 0: none */
    int64_t checkpoint_age_ns;      /* since its trigger; -1: none */
    int64_t checkpoint_duration_ns; /* trigger to commit */
    uint64_t checkpoint_bytes;
    uint64_t committed, aborted; /* rounds of this run */
    int64_t cut_max_ns;          /* longest time a cut has held a task, this run */
    uint64_t progress_done;      /* sums of what sources say by weir_progress_set; */
    uint64_t progress_total;     /* 0: one of them does not know */
    int64_t running_ns;          /* from the operators' first record until now, or until the job
                                    was over; 0: not yet */
    uint64_t round;              /* the checkpoint being taken, 0: none */
    int64_t round_age_ns;        /* since its trigger; -1: none */
    uint64_t aborted_id;         /* newest that came to nothing in this run, 0: none */
    int64_t aborted_age_ns;      /* since its trigger; -1: none */
    char aborted_reason[200];    /* as the ABORTED event said it, shortened */
    uint64_t dead_letters;       /* published in this run; again, those of which an earlier run did
                                    not know whether they were */
    uint64_t saved, unsaved;     /* savepoints of this run that were written, and could not be */
    uint64_t saved_id;           /* checkpoint of the newest that was, 0: none */
    char unsaved_reason[200];    /* of the newest that was not, shortened */
    uint64_t memory_flight;      /* bytes: of batches in queues, over all tasks, as each saw them
                                    when it last took records or waited, */
    uint64_t memory_recorded;    /* of batches that checkpoints hold until they are written, */
    uint64_t memory_state;       /* of keyed state, its indexes too, but not disk_state, */
    uint64_t memory_saved;       /* of what checkpoints have not written yet, beyond that */
    uint64_t disk_flight;        /* bytes of what waits on feedback edges in `scratch` */
    uint64_t disk_state;         /* and of keyed state that was moved there: see state_memory */
    uint32_t hung; /* tasks, and the store's files, that HUNG was told of, and RETURNED
                                    was not */
};

/* Where an operator stood. */
struct weir_failure {
    size_t size; /* WEIR_SIZED(struct weir_failure), set before the call */
    char node[72];
    uint32_t subtask;
    const char *doing;    /* "process", "commit" ...; static */
    uint64_t position;    /* of the record: the how-manieth this subtask was given since the job's
                             first start; 0: it was not at a record */
    uint64_t count;       /* 1: at that record; more: at one of so many from there on */
    uint64_t fingerprint; /* of key, value and time, when count is 1 */
    unsigned input;
    char preview[200]; /* of key and value, printable, when count is 1 */
};

/* Opens the store, restores, opens every operator; when it returns WEIR_OK the job runs. On failure
 * everything is undone and *job is NULL. The graph is borrowed until weir_job_close. */
WEIR_API enum weir_result weir_job_start(struct weir_graph *graph,
                                         const struct weir_job_options *options,
                                         struct weir_job **job,
                                         struct weir_error *error) WEIR_MUST_USE;
/* Waits until the job is over, or timeout_ns has passed (negative: for ever): WEIR_TIMEOUT, job
 * running. Otherwise WEIR_OK, *outcome, and for failed runs *error. Close callbacks may still be
 * under way then: weir_job_close waits for them. */
WEIR_API enum weir_result weir_job_wait(struct weir_job *job, int64_t timeout_ns,
                                        enum weir_outcome *outcome,
                                        struct weir_error *error) WEIR_MUST_USE;
/* Asks; does not wait. A second call may be more urgent than the first. WEIR_STOP_SUSPEND without a
 * store is WEIR_STOP_NOW. */
WEIR_API enum weir_result weir_job_stop(struct weir_job *job, enum weir_stop mode,
                                        struct weir_error *error) WEIR_MUST_USE;
/* Asks for a checkpoint soon; the COMMITTED event or weir_job_status tell. WEIR_INVALID without a
 * store. */
WEIR_API enum weir_result weir_job_checkpoint(struct weir_job *job,
                                              struct weir_error *error) WEIR_MUST_USE;
/* Asks for a savepoint: a checkpoint soon, which is then copied to `path`, a directory that is not
 * there yet, or is empty, outside of the store; its parent must be there. It stands for itself, is
 * readable like a store, and weir never changes or removes it. The SAVED or UNSAVED event tells, or
 * ENDED when the job was over before it had heard of it; an UNSAVED one, a full disk say, does the
 * job no harm. The end of the job waits for one that is being written. At most 8 at a time.
 * WEIR_INVALID without a store. */
WEIR_API enum weir_result weir_job_savepoint(struct weir_job *job, const char *path,
                                             struct weir_error *error) WEIR_MUST_USE;
/* Stops by SUSPEND or DRAIN, with the last checkpoint copied to `path` as weir_job_savepoint does.
 * If it can't be, a job that was to be suspended goes on, and says so. */
WEIR_API enum weir_result weir_job_stop_at(struct weir_job *job, enum weir_stop mode,
                                           const char *path,
                                           struct weir_error *error) WEIR_MUST_USE;
WEIR_API void weir_job_status(struct weir_job *job, struct weir_status *status);
/* For event loops: a descriptor that is readable when weir_job_poll has something to do. It stays
 * the same until weir_job_close, and is the job's: poll it, do not read or close it. -1 when the
 * job was not started with `polled`. */
WEIR_API int weir_job_fd(const struct weir_job *job);
/* Never blocks: calls the log and event hooks for what has happened since the last call (polled
 * jobs), then answers like weir_job_wait with timeout 0: the job is over when ENDED has been told,
 * not before. One thread at a time. */
WEIR_API enum weir_result weir_job_poll(struct weir_job *job, enum weir_outcome *outcome,
                                        struct weir_error *error) WEIR_MUST_USE;
/* Who waits for what, as text for people: a line for each task - its operator, what it does and
 * since when, the last input position, queues, credits - one for the open round, and with a store
 * one for who writes it. For jobs that
 * stand still, so it takes no lock that a task could hold; the figures of a moving job do not fit
 * each other exactly. Any thread. */
WEIR_API void weir_job_dump(struct weir_job *job, void (*line)(void *context, const char *text),
                            void *context);
/* After WEIR_OUTCOME_FAILED: what the operator that failed was at. WEIR_NOT_FOUND: no operator's
 * callback failed. */
WEIR_API enum weir_result weir_job_failure(struct weir_job *job, struct weir_failure *failure);
/* For a program's own crash handler: what the calling thread is at. False: it is in no operator's
 * callback. Async-signal-safe. weir_job_start sets *job before any thread of the job is there, so
 * that even a crash in `open` can be located. */
WEIR_API bool weir_job_here(struct weir_job *job, struct weir_failure *failure);
/* Stops at once if need be, joins every thread, frees everything; *job becomes NULL. NULL is
 * accepted. */
WEIR_API void weir_job_close(struct weir_job **job);

/* -------------------------------------------------------------------- testing operators -- */

/* One thing an operator under torture is fed. */
struct weir_torture_step {
    unsigned input;
    bool watermark; /* no record: record.time is a watermark of this input */
    struct weir_record record;
};

struct weir_torture_options {
    size_t size; /* WEIR_SIZED(struct weir_torture_options) */
    /* The operator, with config, states, inputs, outputs; it runs as one task. */
    const struct weir_node_options *node;
    /* Or: the node `at` of a graph, as a constructor has added it; what it is connected to does not
     * matter. */
    const struct weir_graph *graph;
    weir_node at;
    const struct weir_torture_step *steps; /* in this order, that of different inputs too */
    size_t step_count;                     /* 0 for sources, which must end by themselves */
    uint32_t trials;   /* besides the plain run; default 100. Half of them go to single positions,
                          one each, if that is enough for all */
    uint32_t only;     /* this trial alone, after the plain run; 0: all */
    uint64_t seed;     /* of the trials; 0: 1 */
    bool unordered;    /* its output may come in another order after a restart */
    const char *store; /* a directory to play the store: weir_store_folder answers a folder in it;
                          NULL: there is no store folder */
    /* For sinks, and others with effects outside: brings the outside (the store's folder too) back
     * to the beginning before each run; and fingerprints what is visible outside, which must be
     * after each run as after the plain one, and may change in a run only by commit (unless the
     * operator says WEIR_AT_LEAST_ONCE). Both may be NULL. */
    enum weir_result (*begin)(void *context, struct weir_error *error);
    enum weir_result (*visible)(void *context, uint64_t *fingerprint, struct weir_error *error);
    void *context;
};

/* Runs an operator alone, on the calling thread, in a task as a job would give it, and tries to
 * make it lose or double something: feeds it the steps, saves it and goes on in a fresh instance
 * between any two of them and between any two calls of finish (of more than a hundred steps, at
 * about a hundred places), refuses its output now and then, aborts rounds, tells of commits late or
 * never, drops what came after a checkpoint and feeds it again. What it sends, as a reader has it
 * that restarts from the same checkpoint, and what is visible outside, must each time be what it is
 * in a run without any of this; and what it took of weir_memory must be given back by close.
 *
 * WEIR_OK; WEIR_FAILED: the failed trial in words, with the seed and the number that repeat it;
 * WEIR_INVALID: the options; any other: the operator's own failure, or that of `begin` or
 * `visible`, likewise with its trial. Borrows all it is given until it returns. Must not be called
 * from a callback.
 *
 * What it can't see: what the operator would do with other records; state outside `self` that
 * opening an instance resets (a static variable that open clears, in a process of several
 * subtasks); kill -9, for each instance is closed. Time is the real one: event timers follow the
 * steps' watermarks, but whether a CLOCK timer fires, and before which record, is up to the clock,
 * so the output must not depend on it; a trial waits for one as long as a job would. Ten seconds
 * without a sign of life are a failure. (The idea is Hazelcast Jet's TestSupport.) */
WEIR_API enum weir_result weir_operator_torture(const struct weir_torture_options *options,
                                                struct weir_error *error) WEIR_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
