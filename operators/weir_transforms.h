/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_transforms.h - ready-made operators between sources and sinks. See
 * weir_operators.h for what holds for all.
 */
#ifndef WEIR_TRANSFORMS_H
#define WEIR_TRANSFORMS_H

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Any number of records out for one in: the callback emits to output 0. (The plain record callback
 * under its usual name.) */
WEIR_API weir_node weir_flat_map(struct weir_graph *graph, const char *name, weir_function function,
                                 const void *config);
/* One out for one in: the callback changes *record (a copy it may point elsewhere: to static bytes,
 * or to parts of the input). */
typedef void (*weir_map_function)(struct weir_record *record, const void *config);
WEIR_API weir_node weir_map(struct weir_graph *graph, const char *name, weir_map_function function,
                            const void *config);
/* Lets through what the callback answers true for. */
typedef bool (*weir_filter_function)(const struct weir_record *record, const void *config);
WEIR_API weir_node weir_filter(struct weir_graph *graph, const char *name,
                               weir_filter_function function, const void *config);

/* Folds the records of a key into a cell; needs BY_KEY input. */
enum weir_reduce_emit {
    WEIR_REDUCE_FINAL,   /* one record per key (value: the cell) when all input has ended */
    WEIR_REDUCE_UPDATES, /* one after every record */
};
struct weir_reduce_options {
    size_t size;         /* WEIR_SIZED(struct weir_reduce_options) */
    uint32_t value_size; /* bytes of the cell, > 0; zeroed when a key is new */
    uint32_t version;    /* of its meaning */
    const char *format;  /* "u64"; may be NULL */
    void (*fold)(void *cell, const struct weir_record *record, const void *config);
    const void *config;
    enum weir_reduce_emit emit;
    uint32_t parallelism;
};
WEIR_API weir_node weir_reduce(struct weir_graph *graph, const char *name,
                               const struct weir_reduce_options *options);

/* -------------------------------------------------------------------- aggregates of a key --
 * All need BY_KEY input, keep what they know of a key in keyed state, and emit either once per key
 * when all input has ended (WEIR_REDUCE_FINAL, in no order, without time) or after every record
 * that was counted (WEIR_REDUCE_UPDATES, with that record's time). A key whose records were all
 * left out does not appear. */

/* How a record's number is found. The first two are 8 bytes in the machine's order. A text is a
 * decimal number without blanks around it, nothing before or behind it: -17 for an integer, -17,
 * 0.5, 1e-3 for a real one. A value that is not of its form fails the run, naming the value. */
enum weir_number {
    WEIR_NUMBER_I64,
    WEIR_NUMBER_F64,
    WEIR_NUMBER_INTEGER_TEXT, /* counted as i64 */
    WEIR_NUMBER_REAL_TEXT,    /* counted as f64 */
};
/* Instead of a form: callbacks that take it from anywhere in the record. False: the record has no
 * number and is left out. */
typedef bool (*weir_integer_of)(const struct weir_record *record, int64_t *number,
                                const void *config);
typedef bool (*weir_real_of)(const struct weir_record *record, double *number, const void *config);

enum weir_aggregate_kind {
    WEIR_AGGREGATE_COUNT,   /* of records; no number is looked for. Value: u64 */
    WEIR_AGGREGATE_SUM,     /* i64, exact; or f64, with what rounding lost carried along */
    WEIR_AGGREGATE_MIN,     /* i64 or f64 */
    WEIR_AGGREGATE_MAX,     /* i64 or f64 */
    WEIR_AGGREGATE_AVERAGE, /* {i64 sum; u64 count} or {f64 sum; u64 count}: sum / count is for the
                               reader, so that averages can be added up further on */
};
/* A sum that leaves its type's range fails the run, naming the key; or, with `saturate`, is given
 * as the end of the range that it has reached. Integers are added up in 128 bits, and the range is
 * that of the sums emitted: one that comes back into it is right again. A sum of f64 stays at the
 * largest finite number for good; its last digits depend on the order of the records. An f64 that
 * is infinite or no number fails the run. */
struct weir_aggregate_options {
    size_t size; /* WEIR_SIZED(struct weir_aggregate_options) */
    enum weir_aggregate_kind kind;
    enum weir_number number; /* of the record's value; or one of: */
    weir_integer_of integer;
    weir_real_of real;
    const void *config; /* of the callback */
    bool saturate;
    enum weir_reduce_emit emit;
    uint32_t parallelism;
};
WEIR_API weir_node weir_aggregate(struct weir_graph *graph, const char *name,
                                  const struct weir_aggregate_options *options);

/* A part of the record: a view into its key or value. */
typedef struct weir_bytes (*weir_part_of)(const struct weir_record *record, const void *config);

/* The `count` records of a key with the largest numbers. Of equal numbers the one with the smaller
 * bytes comes first (then which of them came first makes no difference, and a restart neither). A
 * key's list is one record, largest first; weir_top_next reads it. A record costs a copy of the
 * list when it gets into it, and else one comparison. */
struct weir_top_options {
    size_t size;             /* WEIR_SIZED(struct weir_top_options) */
    uint32_t count;          /* default 10, at most 1,000 */
    bool smallest;           /* the smallest numbers instead, smallest first */
    enum weir_number number; /* of the record's value; or one of: */
    weir_integer_of integer;
    weir_real_of real;
    weir_part_of part;          /* what is kept of a record, at most 4 KiB; NULL: its value */
    const void *config;         /* of the callbacks */
    enum weir_reduce_emit emit; /* updates: after a record that got into the list */
    uint32_t parallelism;
};
WEIR_API weir_node weir_top(struct weir_graph *graph, const char *name,
                            const struct weir_top_options *options);

/* A list's layout: per entry {i64 or f64 number; u64 size}, then `size` bytes, padded with zeros to
 * a multiple of 8. Fills the entry at *at (0 at first) and moves *at behind it; false at the end of
 * the list, or when it is none. */
struct weir_top_entry {
    int64_t integer; /* the number as the node took it: this one, */
    double real;     /* or this one: the other view of the same 8 bytes is of no use */
    struct weir_bytes part;
};
WEIR_API bool weir_top_next(struct weir_bytes list, size_t *at, struct weir_top_entry *entry);

/* How many different values a key has, exactly. Value: u64. All of them are kept in the key's
 * state, `limit` bytes of them at most; a key with more fails the run. A new value costs a copy of
 * the key's set, a known one a search in it. So it is for small sets; where a key has many values,
 * let a map put the value into the key, then weir_dedup, then a map that takes it out again, and
 * then an aggregate that counts: two exchanges, and any size. */
struct weir_distinct_options {
    size_t size;        /* WEIR_SIZED(struct weir_distinct_options) */
    weir_part_of part;  /* what is told apart; NULL: the record's value */
    const void *config; /* of the callback */
    uint32_t limit;     /* bytes of a key's set, with 16 for each value; default 64 KiB, at most
                           8 MiB */
    enum weir_reduce_emit emit; /* updates: after a new value */
    uint32_t parallelism;
};
WEIR_API weir_node weir_distinct(struct weir_graph *graph, const char *name,
                                 const struct weir_distinct_options *options);

/* ------------------------------------------------------------------------ streams in and out -- */

/* Several streams into one: connect as many edges to its input as there are. Keeps each one's order
 * and promises none between them; its watermark is the least of theirs. (A node of its own is not
 * needed for that: several edges may meet in any input. It gives the joined stream a name.) */
WEIR_API weir_node weir_union(struct weir_graph *graph, const char *name, uint32_t parallelism);

/* Each record to the output that the callback names by its number, or to none. */
#define WEIR_SPLIT_DROP UINT32_MAX
struct weir_split_options {
    size_t size; /* WEIR_SIZED(struct weir_split_options) */
    uint32_t (*choose)(const struct weir_record *record, const void *config);
    const void *config;
    const char *const *outputs; /* names */
    size_t output_count;        /* a number that is not below it fails the run */
    uint32_t parallelism;
};
WEIR_API weir_node weir_split(struct weir_graph *graph, const char *name,
                              const struct weir_split_options *options);

/* Lets through a fixed choice of the records: the same in every run, and not bound up with the
 * subtask that a key belongs to. */
enum weir_sample_by {
    WEIR_SAMPLE_KEYS,    /* all records of a key, or none */
    WEIR_SAMPLE_RECORDS, /* by key, value and time: equal records share their fate */
};
struct weir_sample_options {
    size_t size;     /* WEIR_SIZED(struct weir_sample_options) */
    double fraction; /* of what is let through: above 0, at most 1 */
    enum weir_sample_by by;
    uint64_t seed; /* another seed, another choice */
    uint32_t parallelism;
};
WEIR_API weir_node weir_sample(struct weir_graph *graph, const char *name,
                               const struct weir_sample_options *options);

/* The first record of each key; the others are dropped. Needs BY_KEY input. Which one is first
 * among those of several channels is a matter of arrival.
 *
 * With a time to live, records need event time, and one is dropped when it is less than ttl_ns
 * younger than its key's last kept one and the watermark has not reached that one's end either;
 * else it is kept, and the key's time begins anew. What has lived long enough is removed from the
 * state in small steps, as records and watermarks come: the state holds at most about twice what
 * is alive. */
struct weir_dedup_options {
    size_t size;    /* WEIR_SIZED(struct weir_dedup_options) */
    int64_t ttl_ns; /* of event time; 0: for ever */
    uint32_t parallelism;
};
WEIR_API weir_node weir_dedup(struct weir_graph *graph, const char *name,
                              const struct weir_dedup_options *options);

/* Records of input "in", each with the latest row of its key from input "table". Both need BY_KEY.
 * The latest row is the one with the highest time, of equal times (or none) the last to come;
 * there is no waiting for one input before the other is read, so a record meets the table as it is
 * just then. */
enum weir_enrich_unmatched {
    WEIR_ENRICH_DROP,
    WEIR_ENRICH_PASS, /* emitted as it is */
    WEIR_ENRICH_CALL, /* combine gets it with `row` NULL */
    /* Kept until the row comes, at most `wait_limit` of a key; when one more comes, or the
     * watermark is wait_ns past its time, the oldest is handled as `late` says (by time: within an
     * eighth of wait_ns). What has waited is emitted with its own time, which the watermark may
     * have passed by as much: give windows further on that much lateness. */
    WEIR_ENRICH_WAIT,
};
struct weir_enrich_options {
    size_t size; /* WEIR_SIZED(struct weir_enrich_options) */
    /* Emits to output 0 what becomes of a record and the row's value. */
    enum weir_result (*combine)(struct weir_context *context, const struct weir_record *record,
                                const struct weir_bytes *row, const void *config);
    const void *config;
    enum weir_enrich_unmatched unmatched;
    bool empty_removes;              /* a row with an empty value removes the key's row, and its
                                        time too: an older row that comes later is the latest */
    uint32_t wait_limit;             /* records of a key, which all together have less than 16
                                        MiB, else the run fails; default 16, at most 1,000 */
    int64_t wait_ns;                 /* of event time; 0: no end but the stream's */
    enum weir_enrich_unmatched late; /* DROP, PASS or CALL */
    uint32_t parallelism;
};
WEIR_API weir_node weir_enrich(struct weir_graph *graph, const char *name,
                               const struct weir_enrich_options *options);

/* Lets through so many records a second, evenly: `rate` over all subtasks, each of them its share.
 * It keeps nothing: what is too early waits in the queues before it, and holds up what is before
 * them. After a pause, at most 20 ms worth comes at once. A marker waits behind the queued records
 * as well, so a checkpoint takes up to (window_bytes / bytes of a record) / rate longer; at a low
 * rate give the job small windows. Needs no event time, and starts anew after a restart. */
struct weir_throttle_options {
    size_t size;   /* WEIR_SIZED(struct weir_throttle_options) */
    uint64_t rate; /* records per second, 1 .. 10^9 */
    uint32_t parallelism;
};
WEIR_API weir_node weir_throttle(struct weir_graph *graph, const char *name,
                                 const struct weir_throttle_options *options);

/* ------------------------------------------------------------------------------ slow calls --
 * A pool of threads for calls that block: a lookup in a database, a request over the network. Each
 * record becomes a request, the call's answer the record that is emitted.
 *
 * Requests in flight - given to the node, their answers not emitted yet - are in the checkpoint,
 * and are issued again after a restart: state and output count each once, but the call may be made
 * more than once, so it should change nothing, or the same twice. Each subtask has its own threads;
 * they run until the node is closed, with all signals blocked but those of faults.
 *
 * At most `capacity` requests are in flight; then no more input is taken until an answer is
 * emitted, and a marker waits with it. Watermarks do not overtake the requests before them. When
 * the run ends, calls under way are waited for: one that never returns can't be interrupted, and
 * weir_job_close does not return then; weir_reply_stopping tells a call that it may give up. */
struct weir_reply; /* what a call answers; lives until the call returns */

/* Runs on a thread of the pool, several at once with the same config; may block. The record lives
 * until it returns. Nothing that takes a struct weir_context may be called. WEIR_OK: the reply is
 * emitted. Anything else: the call has failed, and is made again later, or fails the run with what
 * weir_reply_fail said. */
typedef enum weir_result (*weir_async_call)(const struct weir_record *record,
                                            struct weir_reply *reply, const void *config);
/* Appends to the reply's value, which is empty at first. WEIR_TOO_LARGE: over reply_limit;
 * WEIR_NO_MEMORY; the reply is then as it was. */
WEIR_API enum weir_result weir_reply_append(struct weir_reply *reply,
                                            struct weir_bytes bytes) WEIR_MUST_USE;
/* The key to emit it with, instead of the record's. The time is the record's. */
WEIR_API enum weir_result weir_reply_key(struct weir_reply *reply,
                                         struct weir_bytes key) WEIR_MUST_USE;
/* Nothing is emitted for this record. */
WEIR_API void weir_reply_none(struct weir_reply *reply);
/* Says why the call failed, for `return weir_reply_fail(...)`: returns `code`. */
WEIR_API enum weir_result weir_reply_fail(struct weir_reply *reply, enum weir_result code,
                                          const char *format, ...) WEIR_PRINTF(3, 4);
/* True once the run is ending: the answer will not be used any more. */
WEIR_API bool weir_reply_stopping(const struct weir_reply *reply);

struct weir_async_options {
    size_t size; /* WEIR_SIZED(struct weir_async_options) */
    weir_async_call call;
    const void *config;
    uint32_t threads;  /* of each subtask; default 8, at most 256 */
    uint32_t capacity; /* requests in flight, of each subtask; default 4 a thread, at most 65,536 */
    bool unordered;    /* emit each answer when it is there; else in the order of the requests */
    uint32_t retries;  /* of a failed call; default none: it fails the run */
    int64_t retry_pause_ns; /* before the first; doubles up to 64 times as much; default 100 ms */
    /* A call that takes longer fails the run, within an eighth of it. The thread stays with the
     * call: better let the call itself give up in time, with WEIR_TIMEOUT, so that it is repeated.
     * 0: none. */
    int64_t timeout_ns;
    size_t reply_limit; /* bytes of an answer; default 1 MiB, at most 16 MiB */
    uint32_t parallelism;
};
WEIR_API weir_node weir_async(struct weir_graph *graph, const char *name,
                              const struct weir_async_options *options);

/* ------------------------------------------------------------------------ lines into fields --
 * For records whose value is one line, as line sources emit them. The callback gets the fields and
 * emits what it likes to output 0. */

/* What becomes of a line that is malformed, or longer than line_limit. */
enum weir_bad_line {
    WEIR_BAD_LINE_FAIL,   /* the run fails, naming the line's number in its subtask, the reason and
                             how the line begins */
    WEIR_BAD_LINE_DROP,   /* it is counted; the first, the tenth, the hundredth ... are logged, and
                             all of them at the end. The count is in the checkpoint's note */
    WEIR_BAD_LINE_OUTPUT, /* the record goes to output "bad", number 1, as it is */
};
#define WEIR_LINE_LIMIT ((size_t)1 << 20) /* bytes; the default of line_limit */

/* CSV as in RFC 4180, each record one row: fields between separators; one in quotes may hold
 * separators and, doubled, quotes; blanks belong to their field. A CR at the end of the line is not
 * part of the row, an empty line is skipped. A row with a line break in it has been cut in two by
 * the line source, and both halves are malformed. (On libcsv; its buffers do not come from the
 * job's allocator.) */
struct weir_csv_row {
    const struct weir_record *line;  /* key and time are those to emit with */
    const struct weir_bytes *fields; /* live until the callback returns; not aligned; data is NULL
                                        where the row is too short to have the column */
    size_t field_count;              /* of columns; without columns, of the row's fields */
};
struct weir_csv_options {
    size_t size; /* WEIR_SIZED(struct weir_csv_options) */
    enum weir_result (*row)(struct weir_context *context, const struct weir_csv_row *row,
                            const void *config);
    const void *config;
    /* Names, in the order of the file; fields come in it. A row with another number of fields is
     * malformed. NULL: rows of any number of fields. */
    const char *const *columns;
    size_t column_count;
    bool header;    /* rows that equal the names are skipped, a byte order mark before them too */
    bool ragged;    /* rows may be shorter than the names, and what is longer is ignored */
    char separator; /* default ',' */
    char quote;     /* default '"' */
    enum weir_bad_line bad;
    size_t line_limit; /* bytes, at most 16 MiB */
    uint32_t parallelism;
};
WEIR_API weir_node weir_csv(struct weir_graph *graph, const char *name,
                            const struct weir_csv_options *options);

/* JSON, each record one document. Blank lines are skipped. Integers beyond 64 bits, names that come
 * twice in an object and text that is not UTF-8 are malformed. (On jansson; its memory does not
 * come from the job's allocator.) */
enum weir_json_type {
    WEIR_JSON_MISSING, /* there is no such path in the document */
    WEIR_JSON_NULL,
    WEIR_JSON_BOOL,    /* integer is 0 or 1 */
    WEIR_JSON_INTEGER, /* integer, and real as near as it gets */
    WEIR_JSON_REAL,
    WEIR_JSON_STRING,
    WEIR_JSON_OTHER, /* an object or an array */
};
struct weir_json_field {
    enum weir_json_type type;
    struct weir_bytes
        text; /* a string's bytes, decoded; of others their JSON, without blanks, reals
                               with 17 digits; empty when missing. Not aligned */
    int64_t integer;
    double real;
};
struct weir_json_row {
    const struct weir_record *line;       /* key and time are those to emit with */
    const struct weir_json_field *fields; /* one a path; live until the callback returns */
    size_t field_count;
};
struct weir_json_lines_options {
    size_t size; /* WEIR_SIZED(struct weir_json_lines_options) */
    enum weir_result (*row)(struct weir_context *context, const struct weir_json_row *row,
                            const void *config);
    const void *config;
    /* Where fields are: names joined by dots, "user.id"; a number is a place in an array,
     * "items.0.price"; a dot in a name has a backslash before it, and so has a backslash; "" is the
     * whole document. */
    const char *const *paths;
    size_t path_count; /* at most 1,000 */
    enum weir_bad_line bad;
    size_t line_limit;    /* bytes, at most 16 MiB */
    uint32_t depth_limit; /* of objects and arrays in each other; default 64, at most 1,000 */
    uint32_t parallelism;
};
WEIR_API weir_node weir_json_lines(struct weir_graph *graph, const char *name,
                                   const struct weir_json_lines_options *options);

#ifdef __cplusplus
}
#endif

#endif
