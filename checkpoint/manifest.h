/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest: one committed checkpoint, as JSON. It names the graph it was taken of and every blob
 * with place, sizes and checksum; the rename of this file *is* the commit. The text is one JSON
 * object; its last member, "seal", is the XXH3-64 (16 hex digits) of all bytes before the comma
 * that precedes it, so that a cut or a flipped byte is found before anything is believed. At most
 * 16 MiB; duplicate keys and trailing bytes are refused; 64-bit checksums are hex strings.
 *
 * Numbers are ids and sizes below 2^63. Names keep to NAME_PATTERN and never become paths: a file
 * is named by two numbers, epoch and n.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include "blob.h"

#define MANIFEST_LIMIT ((size_t)16 << 20)
#define MANIFEST_VERSION 1
#define STORE_ID_SIZE 16
#define MANIFEST_NONE UINT32_MAX /* no such edge, subtask or task; -1 in the text */

/* --- the graph, as far as a checkpoint depends on it -------------------------------------- */

struct manifest_state {
    char *name;
    char *format; /* "" when not declared */
    uint32_t version;
    uint32_t value_size; /* bytes of a fixed-size cell, 0 for variable size */
    uint32_t kind;       /* enum state_kind: "value" "list" "map" "timers" */
    bool expires;        /* its values have a time to live, so 8 bytes stand before each */
};

struct manifest_node {
    char *name;
    char *kind;       /* of operator, for people */
    uint32_t version; /* of the operator's own save format */
    uint32_t parallelism;
    struct manifest_state *states;
    uint32_t state_count;
};

struct manifest_edge {
    uint32_t from, to; /* nodes */
    char *output, *input;
    char *routing; /* "forward" "spread" "by_key" "broadcast" */
    char *key_format, *value_format;
    bool feedback; /* leads back to where its records come from */
};

struct manifest_graph {
    uint32_t key_groups;
    struct manifest_node *nodes;
    uint32_t node_count;
    struct manifest_edge *edges;
    uint32_t edge_count;
};

/* --- one checkpoint ----------------------------------------------------------------------- */

/* Where a blob lies: STORE/data/<epoch>-<number>.seg, from offset on. */
struct manifest_blob {
    struct blob blob;
    uint32_t file_epoch;
    uint64_t file_number;
    uint64_t offset; /* bytes; of the header */
    /* Of state: the upper halves of its keys' hashes, which choose the group, lie between these.
     * Two blobs of a segment have one in common only where the keys of that one hash fill more than
     * a blob. */
    uint32_t first, last;
};

/* A segment of the log of a keyed state: one blob, or a list that names its blobs (list.h), so that
 * a manifest is no longer when there is more state. What has a list has containers of its own,
 * numbered one after the other: they are known without a look at the list. */
struct manifest_segment {
    struct manifest_blob place; /* BLOB_STATE or BLOB_LIST; its range is that of all keys */
    uint32_t state;             /* of the node's states */
    /* Of its blobs of state: */
    uint32_t blob_count;
    uint64_t from_number;           /* they lie in containers from_number .. place.file_number */
    uint64_t raw_size, stored_size; /* of all of them, as in struct blob; headers not counted */
};

/* Where the time of one task's share of the round went. */
struct manifest_phases {
    int64_t wait_ns;   /* the round's trigger to the cut */
    int64_t align_ns;  /* the first marker reached to the cut */
    int64_t record_ns; /* the cut to the last marker's arrival */
    int64_t write_ns;  /* sealing and writing its blobs */
};

struct manifest_task {
    uint32_t node;       /* index into graph.nodes */
    uint32_t subtask;    /* 0 .. parallelism-1 */
    bool ended;          /* had sent END on all its outputs */
    uint64_t handles;    /* pending sink handles inside */
    uint64_t letters;    /* pending dead letters inside */
    uint64_t cut_ns;     /* how long the cut held the task, */
    uint64_t cut_cpu_ns; /* and how much processor time it took */
    char *note;          /* what its operators say of their position, for people; "" when nothing */
    struct manifest_blob part;
    /* What was on its way, in the order of each channel; of the instance at the head of a chain. */
    struct manifest_blob *inflight;
    uint32_t inflight_count;
    /* The segments of its keyed states' logs, in the order of the states and of each log. Shared
     * with other checkpoints: this round wrote them or an earlier one, this task or another. */
    struct manifest_segment *state;
    uint32_t state_count;
    uint64_t channel_bytes, outlet_bytes; /* raw, of the items in them: snapshot.h, the two sides */
    bool overtook;                        /* it cut before the last marker was reached */
    struct manifest_phases phases;
    uint32_t last_edge, last_from; /* the channel whose marker came last: edge, writer's subtask */
};

/* When tasks cut. */
enum manifest_mode {
    MANIFEST_ALIGNED,   /* at the last marker */
    MANIFEST_UNALIGNED, /* at the first notice of the round */
    MANIFEST_ADAPTIVE,  /* at the last marker, unless that takes too long */
};

struct manifest {
    unsigned char store_id[STORE_ID_SIZE];
    char *job;
    uint32_t epoch;
    uint64_t id;
    uint64_t restored_from; /* id this run started from; 0: a first start */
    bool final;             /* all input had ended: nothing is left to run */
    char *reason;           /* "interval" "loop" "request" "savepoint" "stop" "final" */
    enum manifest_mode mode;
    bool overtaken;       /* tasks were told to cut at once: OVERTAKE was sent, or unaligned */
    int64_t triggered_ns; /* wall clock, since 1970 */
    int64_t duration_ns;  /* trigger to durable parts */
    int64_t sealed_ns;    /* trigger to the last task's seal */
    uint32_t last_task;   /* the one that sealed last */
    struct manifest_graph graph;
    struct manifest_task *tasks;
    uint32_t task_count;
    const struct weir_allocator *allocator; /* owns every pointer above */
};

/* Frees what the manifest holds and zeroes it. */
void manifest_free(struct manifest *manifest);

/* The text, zero-terminated; *text is released with memory_release(manifest->allocator). */
enum weir_result manifest_print(const struct manifest *manifest, char **text, size_t *size,
                                struct weir_error *error) WEIR_MUST_USE;

/* Trusts nothing: seal, version, shape, types, ranges, names; counts agree with each other (tasks
 * are each node's subtasks in order, each task's part and pieces are of that task, this id and this
 * epoch, its state of no later ones, the content in flight is no more than its blobs hold). */
enum weir_result manifest_parse(const char *text, size_t size,
                                const struct weir_allocator *allocator, struct manifest *manifest,
                                struct weir_error *error) WEIR_MUST_USE;

/* One blob of state, as a segment. */
struct manifest_segment manifest_single(uint32_t state, const struct manifest_blob *place);
/* All that the store keeps for it, headers and list included: bytes. */
uint64_t manifest_segment_bytes(const struct manifest_segment *segment);

/* Is all of its state of its own round? Then nothing older is named. */
bool manifest_is_full(const struct manifest *manifest);

/* "aligned" "unaligned" "adaptive"; "?" for other numbers. */
const char *manifest_mode_text(enum manifest_mode mode);

/* [A-Za-z0-9_][A-Za-z0-9_-]{0,63} */
bool manifest_name_ok(const char *name);

#endif
