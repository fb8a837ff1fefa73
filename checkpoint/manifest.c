/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest: the only file that knows jansson. The text, members in this order:
 *
 *   { "weir": 1,                       format version
 *     "store": "<32 hex digits>", "job": text, "epoch": n, "id": n, "restored_from": n,
 *     "final": bool, "reason": text, "mode": text, "overtaken": bool,
 *     "triggered_ns": n, "duration_ns": n, "sealed_ns": n, "last_task": n, "key_groups": n,
 *     "nodes": [{"name", "kind", "version", "parallelism",
 *                "states": [{"name", "format", "version", "value_size", "kind",
 *                            "expires"}]}],
 *     "edges": [{"from", "to", "output", "input", "routing", "key_format", "value_format",
 *                "feedback"}],
 *     "tasks": [{"node", "subtask", "ended", "handles", "letters", "cut_ns", "cut_cpu_ns", "note",
 *                "part": {"epoch", "number", "offset", "raw", "stored", "checksum"},
 *                "inflight": [{as a part}],
 *                "state": ["state epoch number offset raw stored by_epoch by_id by_task first last
 *                           checksum" and of a list " from blobs blobs_raw blobs_stored"],
 *                "channel_bytes", "outlet_bytes", "overtook",
 *                "phases": {"wait_ns", "align_ns", "record_ns", "write_ns"},
 *                "last_edge", "last_from"}],
 *     "seal": "<16 hex digits>"
 *   }
 *
 * "from", "to" and "node" count nodes from 0, "last_edge" edges and "last_task" tasks: -1 is none.
 * A blob lies in data/<epoch>-<number>.seg at `offset`. All members are always there.
 *
 * A part and what was in flight were written in this round: `epoch` is the checkpoint's. Segments
 * of state may have been written in an earlier one: by_epoch, by_id and by_task say in which, and
 * by whom. There may be dozens of them a state, so each is one text, on one line: numbers as they
 * are, the checksum in 16 hex digits, one space between. `state` counts the node's states; all
 * upper halves of the hashes of its keys lie in first .. last. What has four more numbers is a list
 * (list.h): of `blobs` blobs, in containers `from` .. `number`, and how large they are together.
 *
 * M1  the tail from the comma before "seal" on has one spelling: any other byte is refused.
 * M2  nothing of the text is parsed before its seal holds.
 * M3  nor when it holds more than a manifest of its size has: of what is as short as "[]," jansson
 *     would make a hundred times as many bytes.
 */
#include "manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "error.h"
#include "list.h"
#include "memory.h"
#include "name.h"
#include "state.h"

#define NODE_LIMIT 4096u
#define PARALLELISM_LIMIT 65536u
#define GROUP_LIMIT 65536u
#define VALUE_LIMIT ((uint64_t)16 << 20)
#define INFLIGHT_LIMIT 65536u     /* blobs of one task */
#define STATE_LIMIT 65536u        /* segments of one task */
#define STATE_NAMES NODE_LIMIT    /* states of a node */
#define BLOBS_LIMIT 65536u        /* of a segment; a log has 32 GiB, a blob of a list half a MiB */
#define CONTAINERS_LIMIT 1048576u /* that all lists of a checkpoint name together */
#define STATE_TEXT_SIZE 320       /* bytes, with the zero: 16 numbers at their longest */

#define SEAL_BEFORE ",\n \"seal\": \""
#define SEAL_AFTER "\"\n}\n"
#define SEAL_DIGITS 16
#define SEAL_SIZE (sizeof SEAL_BEFORE - 1 + SEAL_DIGITS + sizeof SEAL_AFTER - 1)

bool manifest_name_ok(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    static const char later[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = name == NULL ? 0 : strnlen(name, 65);
    return size >= 1 && size <= 64 && strspn(name, first) >= 1 && strspn(name, later) == size;
}

static const char *const mode_texts[] = {"aligned", "unaligned", "adaptive"};
#define MODES (sizeof mode_texts / sizeof mode_texts[0])

const char *manifest_mode_text(enum manifest_mode mode)
{
    return (size_t)mode < MODES ? mode_texts[mode] : "?";
}

/* --------------------------------------------------------------------------------- freeing -- */

static void free_graph(struct manifest_graph *graph, const struct weir_allocator *allocator)
{
    for (uint32_t i = 0; graph->nodes != NULL && i < graph->node_count; i++) {
        struct manifest_node *node = &graph->nodes[i];
        for (uint32_t j = 0; node->states != NULL && j < node->state_count; j++) {
            memory_release(allocator, node->states[j].name);
            memory_release(allocator, node->states[j].format);
        }
        memory_release(allocator, node->states);
        memory_release(allocator, node->name);
        memory_release(allocator, node->kind);
    }
    for (uint32_t i = 0; graph->edges != NULL && i < graph->edge_count; i++) {
        struct manifest_edge *edge = &graph->edges[i];
        memory_release(allocator, edge->output);
        memory_release(allocator, edge->input);
        memory_release(allocator, edge->routing);
        memory_release(allocator, edge->key_format);
        memory_release(allocator, edge->value_format);
    }
    memory_release(allocator, graph->nodes);
    memory_release(allocator, graph->edges);
}

void manifest_free(struct manifest *manifest)
{
    const struct weir_allocator *allocator = manifest->allocator;
    free_graph(&manifest->graph, allocator);
    for (uint32_t i = 0; manifest->tasks != NULL && i < manifest->task_count; i++) {
        memory_release(allocator, manifest->tasks[i].note);
        memory_release(allocator, manifest->tasks[i].inflight);
        memory_release(allocator, manifest->tasks[i].state);
    }
    memory_release(allocator, manifest->tasks);
    memory_release(allocator, manifest->job);
    memory_release(allocator, manifest->reason);
    *manifest = (struct manifest){0};
}

/* ------------------------------------------------------------------------ what a blob may be -- */

/* What the text does not repeat of a blob must be what a reader takes for granted. */
static bool blob_fits(const struct manifest *manifest, uint32_t task, enum blob_kind kind,
                      const struct manifest_blob *place)
{
    const struct blob *blob = &place->blob;
    return blob->task == task && blob->id == manifest->id && blob->epoch == manifest->epoch &&
           place->file_epoch == manifest->epoch && blob->kind == kind;
}

/* Of an earlier round or this one. Its container may be of a later run than the blob (a copy), but
 * of none after the checkpoint's. */
static bool blob_of_state_fits(const struct manifest *manifest, const struct manifest_blob *place)
{
    const struct blob *blob = &place->blob;
    bool earlier = blob->id < manifest->id;
    bool own = blob->id == manifest->id && blob->epoch == manifest->epoch;
    return (earlier || own) && blob->id > 0 && blob->epoch > 0 &&
           blob->epoch <= place->file_epoch && place->file_epoch <= manifest->epoch &&
           place->file_number <= NAME_NUMBER_LIMIT && place->offset <= NAME_NUMBER_LIMIT &&
           blob->raw_size <= BLOB_RAW_LIMIT && blob->stored_size <= 2 * BLOB_RAW_LIMIT &&
           place->first <= place->last;
}

/* A list has more than one blob, and no more containers than blobs but the one that it lies in. */
static bool list_fits(const struct manifest_segment *segment)
{
    uint64_t number = segment->place.file_number;
    return segment->place.blob.raw_size == (uint64_t)segment->blob_count * LIST_ENTRY_SIZE &&
           segment->blob_count > 1 && segment->blob_count <= BLOBS_LIMIT &&
           segment->from_number <= number && number - segment->from_number <= segment->blob_count &&
           segment->raw_size <= NAME_NUMBER_LIMIT && segment->stored_size <= NAME_NUMBER_LIMIT;
}

static bool state_fits(const struct manifest *manifest, const struct manifest_segment *segment)
{
    const struct manifest_blob *place = &segment->place;
    if (segment->state >= STATE_NAMES || !blob_of_state_fits(manifest, place))
        return false;
    return place->blob.kind == BLOB_LIST
               ? list_fits(segment)
               : place->blob.kind == BLOB_STATE && segment->blob_count == 1 &&
                     segment->from_number == place->file_number;
}

/* In the order of the states; and who counts the containers, or removes them, comes to an end. */
static const char *logs_fit(const struct manifest_task *task, uint64_t *containers)
{
    for (uint32_t i = 0; i < task->state_count; i++) {
        const struct manifest_segment *segment = &task->state[i];
        if (i > 0 && segment->state < segment[-1].state)
            return "is not in the order of the states";
        *containers += segment->place.file_number - segment->from_number;
        if (*containers > CONTAINERS_LIMIT)
            return "names too many containers";
    }
    return NULL;
}

struct manifest_segment manifest_single(uint32_t state, const struct manifest_blob *place)
{
    return (struct manifest_segment){.place = *place,
                                     .state = state,
                                     .blob_count = 1,
                                     .from_number = place->file_number,
                                     .raw_size = place->blob.raw_size,
                                     .stored_size = place->blob.stored_size};
}

bool manifest_is_full(const struct manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->task_count; i++)
        for (uint32_t k = 0; k < manifest->tasks[i].state_count; k++)
            if (manifest->tasks[i].state[k].place.blob.id != manifest->id)
                return false;
    return true;
}

uint64_t manifest_segment_bytes(const struct manifest_segment *segment)
{
    uint64_t headers = (uint64_t)segment->blob_count * BLOB_HEADER_SIZE;
    bool list = segment->place.blob.kind == BLOB_LIST;
    return segment->stored_size + headers +
           (list ? segment->place.blob.stored_size + BLOB_HEADER_SIZE : 0);
}

/* -------------------------------------------------------------------------------- printing -- */

/* Sticky: what can't be printed is remembered, and the caller looks once at the end. */
struct printer {
    bool no_memory;
    const char *invalid; /* a value no reader would accept */
    uint64_t containers; /* that lists have named so far */
};

static void put(struct printer *printer, json_t *object, const char *name, json_t *value)
{
    if (value == NULL || json_object_set_new(object, name, value) < 0)
        printer->no_memory = true;
}

static void put_number(struct printer *printer, json_t *object, const char *name, uint64_t value)
{
    if (value > NAME_NUMBER_LIMIT)
        printer->invalid = name;
    put(printer, object, name, json_integer((json_int_t)(value & NAME_NUMBER_LIMIT)));
}

/* A clock that somebody set wrong is no reason to lose a checkpoint. */
static void put_ns(struct printer *printer, json_t *object, const char *name, int64_t ns)
{
    put_number(printer, object, name, ns < 0 ? 0 : (uint64_t)ns);
}

static void put_index(struct printer *printer, json_t *object, const char *name, uint32_t index)
{
    put(printer, object, name, json_integer(index == MANIFEST_NONE ? -1 : (json_int_t)index));
}

static void put_bool(struct printer *printer, json_t *object, const char *name, bool value)
{
    put(printer, object, name, json_boolean(value));
}

/* A position in a text that came from users: JSON takes UTF-8 only, so other bytes become '?'. */
static json_t *ascii_only(const char *text)
{
    char *copy = memory_text(NULL, text, strlen(text));
    if (copy == NULL)
        return NULL;
    for (char *at = copy; *at != 0; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    json_t *value = json_string(copy);
    memory_release(NULL, copy);
    return value;
}

static void put_text(struct printer *printer, json_t *object, const char *name, const char *text)
{
    if (text == NULL)
        text = "";
    json_t *value = json_string(text);
    if (value == NULL)
        value = ascii_only(text);
    put(printer, object, name, value);
}

static void put_name(struct printer *printer, json_t *object, const char *name, const char *text)
{
    if (!manifest_name_ok(text))
        printer->invalid = name;
    put_text(printer, object, name, text);
}

static void put_hex(struct printer *printer, json_t *object, const char *name,
                    const unsigned char *bytes, size_t size)
{
    char text[2 * STORE_ID_SIZE + 1];
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    put_text(printer, object, name, text);
}

/* A new member that is an array; NULL when there is no memory (json_array_append_new takes that).
 */
static json_t *put_array(struct printer *printer, json_t *object, const char *name)
{
    json_t *array = json_array();
    put(printer, object, name, array);
    return printer->no_memory ? NULL : array;
}

/* A new member that is an object; NULL when there is no memory (json_object_set_new takes that). */
static json_t *put_object(struct printer *printer, json_t *object, const char *name)
{
    json_t *value = json_object();
    put(printer, object, name, value);
    return printer->no_memory ? NULL : value;
}

static json_t *add_object(struct printer *printer, json_t *array)
{
    json_t *object = json_object();
    if (array == NULL || object == NULL || json_array_append(array, object) < 0)
        printer->no_memory = true;
    json_decref(object); /* the array keeps it */
    return printer->no_memory ? NULL : object;
}

static void print_nodes(struct printer *printer, json_t *root, const struct manifest_graph *graph)
{
    json_t *nodes = put_array(printer, root, "nodes");
    for (uint32_t i = 0; i < graph->node_count && !printer->no_memory; i++) {
        const struct manifest_node *node = &graph->nodes[i];
        json_t *object = add_object(printer, nodes);
        put_name(printer, object, "name", node->name);
        put_text(printer, object, "kind", node->kind);
        put_number(printer, object, "version", node->version);
        put_number(printer, object, "parallelism", node->parallelism);
        json_t *states = put_array(printer, object, "states");
        for (uint32_t j = 0; j < node->state_count && !printer->no_memory; j++) {
            json_t *state = add_object(printer, states);
            put_name(printer, state, "name", node->states[j].name);
            put_text(printer, state, "format", node->states[j].format);
            put_number(printer, state, "version", node->states[j].version);
            put_number(printer, state, "value_size", node->states[j].value_size);
            put_text(printer, state, "kind", state_kind_text(node->states[j].kind));
            put_bool(printer, state, "expires", node->states[j].expires);
        }
    }
}

static void print_edges(struct printer *printer, json_t *root, const struct manifest_graph *graph)
{
    json_t *edges = put_array(printer, root, "edges");
    for (uint32_t i = 0; i < graph->edge_count && !printer->no_memory; i++) {
        const struct manifest_edge *edge = &graph->edges[i];
        json_t *object = add_object(printer, edges);
        put_number(printer, object, "from", edge->from);
        put_number(printer, object, "to", edge->to);
        put_name(printer, object, "output", edge->output);
        put_name(printer, object, "input", edge->input);
        put_text(printer, object, "routing", edge->routing);
        put_text(printer, object, "key_format", edge->key_format);
        put_text(printer, object, "value_format", edge->value_format);
        put_bool(printer, object, "feedback", edge->feedback);
    }
}

static void print_blob(struct printer *printer, json_t *object, const struct manifest_blob *place)
{
    unsigned char checksum[8];
    for (int i = 0; i < 8; i++)
        checksum[i] = (unsigned char)(place->blob.checksum >> (56 - 8 * i));
    put_number(printer, object, "epoch", place->file_epoch);
    put_number(printer, object, "number", place->file_number);
    put_number(printer, object, "offset", place->offset);
    put_number(printer, object, "raw", place->blob.raw_size);
    put_number(printer, object, "stored", place->blob.stored_size);
    put_hex(printer, object, "checksum", checksum, sizeof checksum);
}

static void print_phases(struct printer *printer, json_t *task,
                         const struct manifest_phases *phases)
{
    json_t *object = put_object(printer, task, "phases");
    put_ns(printer, object, "wait_ns", phases->wait_ns);
    put_ns(printer, object, "align_ns", phases->align_ns);
    put_ns(printer, object, "record_ns", phases->record_ns);
    put_ns(printer, object, "write_ns", phases->write_ns);
}

static void print_state(struct printer *printer, json_t *array,
                        const struct manifest_segment *segment)
{
    char text[STATE_TEXT_SIZE];
    const struct manifest_blob *place = &segment->place;
    const struct blob *blob = &place->blob;
    int size = snprintf(text, sizeof text,
                        "%" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                        " %" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %016" PRIx64,
                        segment->state, place->file_epoch, place->file_number, place->offset,
                        blob->raw_size, blob->stored_size, blob->epoch, blob->id, blob->task,
                        place->first, place->last, blob->checksum);
    if (blob->kind == BLOB_LIST)
        snprintf(text + size, sizeof text - (size_t)size,
                 " %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64, segment->from_number,
                 segment->blob_count, segment->raw_size, segment->stored_size);
    if (array == NULL || json_array_append_new(array, json_string(text)) < 0)
        printer->no_memory = true;
}

static void print_blobs(struct printer *printer, json_t *object, const struct manifest *manifest,
                        uint32_t index)
{
    const struct manifest_task *task = &manifest->tasks[index];
    if (!blob_fits(manifest, index, BLOB_SNAPSHOT, &task->part))
        printer->invalid = "part";
    print_blob(printer, put_object(printer, object, "part"), &task->part);
    json_t *pieces = put_array(printer, object, "inflight");
    for (uint32_t i = 0; i < task->inflight_count && !printer->no_memory; i++) {
        if (!blob_fits(manifest, index, BLOB_INFLIGHT, &task->inflight[i]))
            printer->invalid = "inflight";
        print_blob(printer, add_object(printer, pieces), &task->inflight[i]);
    }
    json_t *state = put_array(printer, object, "state");
    for (uint32_t i = 0; i < task->state_count && !printer->no_memory; i++) {
        if (!state_fits(manifest, &task->state[i]))
            printer->invalid = "state";
        print_state(printer, state, &task->state[i]);
    }
    if (logs_fit(task, &printer->containers) != NULL)
        printer->invalid = "state";
}

static void print_tasks(struct printer *printer, json_t *root, const struct manifest *manifest)
{
    json_t *tasks = put_array(printer, root, "tasks");
    for (uint32_t i = 0; i < manifest->task_count && !printer->no_memory; i++) {
        const struct manifest_task *task = &manifest->tasks[i];
        json_t *object = add_object(printer, tasks);
        put_number(printer, object, "node", task->node);
        put_number(printer, object, "subtask", task->subtask);
        put_bool(printer, object, "ended", task->ended);
        put_number(printer, object, "handles", task->handles);
        put_number(printer, object, "letters", task->letters);
        put_number(printer, object, "cut_ns", task->cut_ns);
        put_number(printer, object, "cut_cpu_ns", task->cut_cpu_ns);
        put_text(printer, object, "note", task->note);
        print_blobs(printer, object, manifest, i);
        put_number(printer, object, "channel_bytes", task->channel_bytes);
        put_number(printer, object, "outlet_bytes", task->outlet_bytes);
        put_bool(printer, object, "overtook", task->overtook);
        print_phases(printer, object, &task->phases);
        put_index(printer, object, "last_edge", task->last_edge);
        put_index(printer, object, "last_from", task->last_from);
    }
}

static void print_head(struct printer *printer, json_t *root, const struct manifest *manifest)
{
    put_number(printer, root, "weir", MANIFEST_VERSION);
    put_hex(printer, root, "store", manifest->store_id, STORE_ID_SIZE);
    put_name(printer, root, "job", manifest->job);
    put_number(printer, root, "epoch", manifest->epoch);
    put_number(printer, root, "id", manifest->id);
    put_number(printer, root, "restored_from", manifest->restored_from);
    put_bool(printer, root, "final", manifest->final);
    put_text(printer, root, "reason", manifest->reason);
    if ((size_t)manifest->mode >= MODES)
        printer->invalid = "mode";
    put_text(printer, root, "mode", manifest_mode_text(manifest->mode));
    put_bool(printer, root, "overtaken", manifest->overtaken);
    put_ns(printer, root, "triggered_ns", manifest->triggered_ns);
    put_ns(printer, root, "duration_ns", manifest->duration_ns);
    put_ns(printer, root, "sealed_ns", manifest->sealed_ns);
    put_index(printer, root, "last_task", manifest->last_task);
    put_number(printer, root, "key_groups", manifest->graph.key_groups);
}

/* The object's text with its closing brace replaced by the sealed tail (M1). */
static enum weir_result seal(const struct manifest *manifest, const json_t *root, char **text,
                             size_t *size, struct weir_error *error)
{
    const size_t flags = JSON_INDENT(1);
    size_t open = json_dumpb(root, NULL, 0, flags); /* the size alone */
    if (open < 2)
        return error_memory(error, "printing a manifest", 0);
    char *out = memory_take(manifest->allocator, open + SEAL_SIZE + 1);
    if (out == NULL)
        return error_memory(error, "printing a manifest", open + SEAL_SIZE + 1);
    if (json_dumpb(root, out, open, flags) != open) {
        memory_release(manifest->allocator, out);
        return error_memory(error, "printing a manifest", open);
    }
    open -= 2; /* newline and brace */
    snprintf(out + open, SEAL_SIZE + 1, SEAL_BEFORE "%016" PRIx64 SEAL_AFTER,
             (uint64_t)XXH3_64bits(out, open));
    if (open + SEAL_SIZE > MANIFEST_LIMIT) {
        memory_release(manifest->allocator, out);
        return error_set(error, WEIR_TOO_LARGE, 0,
                         "the manifest would have %zu bytes; the limit is %zu", open + SEAL_SIZE,
                         MANIFEST_LIMIT);
    }
    *text = out;
    *size = open + SEAL_SIZE;
    return WEIR_OK;
}

enum weir_result manifest_print(const struct manifest *manifest, char **text, size_t *size,
                                struct weir_error *error)
{
    struct printer printer = {0};
    json_t *root = json_object();
    if (root == NULL)
        return error_memory(error, "printing a manifest", 0);
    print_head(&printer, root, manifest);
    print_nodes(&printer, root, &manifest->graph);
    print_edges(&printer, root, &manifest->graph);
    print_tasks(&printer, root, manifest);
    enum weir_result result;
    if (printer.no_memory)
        result = error_memory(error, "printing a manifest", 0);
    else if (printer.invalid != NULL)
        result = error_set(error, WEIR_INVALID, 0, "the manifest's \"%s\" can't be written",
                           printer.invalid);
    else
        result = seal(manifest, root, text, size, error);
    json_decref(root);
    return result;
}

/* --------------------------------------------------------------------------------- parsing -- */

/* Sticky too: the first thing that is wrong is kept, and everything after it reads as zero. */
struct parser {
    const struct weir_allocator *allocator;
    enum weir_result result;
    struct weir_error *error;
    uint64_t containers; /* that lists have named so far */
};

static void wrong(struct parser *parser, const char *name, const char *what)
{
    if (parser->result == WEIR_OK)
        parser->result = error_set(parser->error, WEIR_DAMAGED, 0, "\"%s\" %s", name, what);
}

static void *take(struct parser *parser, size_t count, size_t size)
{
    void *memory = memory_zeroed(parser->allocator, count, size);
    if (memory == NULL && parser->result == WEIR_OK)
        parser->result = error_memory(parser->error, "a manifest", count * size);
    return memory;
}

/* The member, when it is there and of this type. */
static json_t *get(struct parser *parser, const json_t *object, const char *name, json_type type)
{
    json_t *value = json_object_get(object, name);
    if (value == NULL)
        wrong(parser, name, "is missing");
    else if (json_typeof(value) != type)
        wrong(parser, name, "is of another type");
    else
        return value;
    return NULL;
}

static uint64_t get_number(struct parser *parser, const json_t *object, const char *name,
                           uint64_t least, uint64_t most)
{
    const json_t *value = get(parser, object, name, JSON_INTEGER);
    json_int_t number = value == NULL ? 0 : json_integer_value(value);
    if (value == NULL)
        return 0;
    if (number < 0 || (uint64_t)number < least || (uint64_t)number > most) {
        wrong(parser, name, "is out of range");
        return 0;
    }
    return (uint64_t)number;
}

static uint32_t get_u32(struct parser *parser, const json_t *object, const char *name,
                        uint32_t least, uint32_t most)
{
    return (uint32_t)get_number(parser, object, name, least, most);
}

/* -1 reads as MANIFEST_NONE. */
static uint32_t get_index(struct parser *parser, const json_t *object, const char *name,
                          uint32_t count)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_integer(value) && json_integer_value(value) == -1)
        return MANIFEST_NONE;
    uint64_t index = get_number(parser, object, name, 0, MANIFEST_NONE - 1);
    if (index >= count)
        wrong(parser, name, "is out of range");
    return (uint32_t)index;
}

static int64_t get_ns(struct parser *parser, const json_t *object, const char *name)
{
    return (int64_t)get_number(parser, object, name, 0, NAME_NUMBER_LIMIT);
}

static bool get_bool(struct parser *parser, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value))
        wrong(parser, name, "is missing or not a boolean");
    return json_is_true(value);
}

static char *get_text(struct parser *parser, const json_t *object, const char *name)
{
    const json_t *value = get(parser, object, name, JSON_STRING);
    if (value == NULL)
        return NULL;
    char *text =
        memory_text(parser->allocator, json_string_value(value), json_string_length(value));
    if (text == NULL && parser->result == WEIR_OK)
        parser->result = error_memory(parser->error, "a manifest", json_string_length(value));
    return text;
}

static char *get_name(struct parser *parser, const json_t *object, const char *name)
{
    char *text = get_text(parser, object, name);
    if (text != NULL && !manifest_name_ok(text))
        wrong(parser, name, "is not a name");
    return text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 2 * size lower-case digits. */
static bool read_hex(const char *text, size_t length, unsigned char *bytes, size_t size)
{
    if (length != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static void get_hex(struct parser *parser, const json_t *object, const char *name,
                    unsigned char *bytes, size_t size)
{
    const json_t *value = get(parser, object, name, JSON_STRING);
    if (value != NULL &&
        !read_hex(json_string_value(value), json_string_length(value), bytes, size))
        wrong(parser, name, "is not a hexadecimal number of its size");
}

/* All its elements are `of` one type; *count is 0 once anything is wrong, so that loops end. */
static const json_t *get_array(struct parser *parser, const json_t *object, const char *name,
                               json_type of, uint32_t most, uint32_t *count)
{
    *count = 0;
    const json_t *array = get(parser, object, name, JSON_ARRAY);
    if (array == NULL)
        return NULL;
    size_t size = json_array_size(array);
    if (size > most)
        wrong(parser, name, "has too many elements");
    for (size_t i = 0; i < size && parser->result == WEIR_OK; i++)
        if (json_typeof(json_array_get(array, i)) != of)
            wrong(parser, name, "holds something of another type");
    if (parser->result == WEIR_OK)
        *count = (uint32_t)size;
    return array;
}

static uint32_t parse_kind(struct parser *parser, const json_t *object)
{
    char *text = get_text(parser, object, "kind");
    uint32_t kind = 0;
    while (text != NULL && kind < STATE_KINDS && strcmp(text, state_kind_text(kind)) != 0)
        kind++;
    if (text != NULL && kind == STATE_KINDS)
        wrong(parser, "kind", "is no kind of state");
    memory_release(parser->allocator, text);
    return kind;
}

static void parse_states(struct parser *parser, const json_t *object, struct manifest_node *node)
{
    uint32_t count;
    const json_t *array = get_array(parser, object, "states", JSON_OBJECT, NODE_LIMIT, &count);
    node->states = count == 0 ? NULL : take(parser, count, sizeof *node->states);
    if (node->states == NULL)
        return;
    node->state_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *from = json_array_get(array, i);
        struct manifest_state *state = &node->states[i];
        state->name = get_name(parser, from, "name");
        state->format = get_text(parser, from, "format");
        state->version = get_u32(parser, from, "version", 0, UINT32_MAX);
        state->value_size = get_u32(parser, from, "value_size", 0, VALUE_LIMIT);
        state->kind = parse_kind(parser, from);
        state->expires = get_bool(parser, from, "expires");
    }
}

static void parse_nodes(struct parser *parser, const json_t *root, struct manifest_graph *graph)
{
    uint32_t count;
    const json_t *array = get_array(parser, root, "nodes", JSON_OBJECT, NODE_LIMIT, &count);
    graph->nodes = count == 0 ? NULL : take(parser, count, sizeof *graph->nodes);
    if (graph->nodes == NULL)
        return;
    graph->node_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *from = json_array_get(array, i);
        struct manifest_node *node = &graph->nodes[i];
        node->name = get_name(parser, from, "name");
        node->kind = get_text(parser, from, "kind");
        node->version = get_u32(parser, from, "version", 0, UINT32_MAX);
        node->parallelism = get_u32(parser, from, "parallelism", 1, PARALLELISM_LIMIT);
        parse_states(parser, from, node);
    }
}

static bool routing_ok(const char *text)
{
    return text != NULL && (strcmp(text, "forward") == 0 || strcmp(text, "spread") == 0 ||
                            strcmp(text, "by_key") == 0 || strcmp(text, "broadcast") == 0);
}

static void parse_edges(struct parser *parser, const json_t *root, struct manifest_graph *graph)
{
    uint32_t count;
    const json_t *array = get_array(parser, root, "edges", JSON_OBJECT, NODE_LIMIT, &count);
    graph->edges = count == 0 ? NULL : take(parser, count, sizeof *graph->edges);
    if (graph->edges == NULL)
        return;
    graph->edge_count = count;
    if (graph->node_count == 0)
        wrong(parser, "edges", "has ends that are no nodes");
    uint32_t last = graph->node_count == 0 ? 0 : graph->node_count - 1;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *from = json_array_get(array, i);
        struct manifest_edge *edge = &graph->edges[i];
        edge->from = get_u32(parser, from, "from", 0, last);
        edge->to = get_u32(parser, from, "to", 0, last);
        edge->output = get_name(parser, from, "output");
        edge->input = get_name(parser, from, "input");
        edge->routing = get_text(parser, from, "routing");
        edge->key_format = get_text(parser, from, "key_format");
        edge->value_format = get_text(parser, from, "value_format");
        edge->feedback = get_bool(parser, from, "feedback");
        if (!routing_ok(edge->routing))
            wrong(parser, "routing", "is none that this version knows");
    }
}

static void parse_blob(struct parser *parser, const json_t *from, const struct manifest *manifest,
                       const struct blob *of, struct manifest_blob *place)
{
    unsigned char checksum[8] = {0};
    place->file_epoch = get_u32(parser, from, "epoch", manifest->epoch, manifest->epoch);
    place->file_number = get_number(parser, from, "number", 0, NAME_NUMBER_LIMIT);
    place->offset = get_number(parser, from, "offset", 0, NAME_NUMBER_LIMIT);
    get_hex(parser, from, "checksum", checksum, sizeof checksum);
    place->blob = *of;
    place->blob.epoch = place->file_epoch;
    place->blob.raw_size = get_number(parser, from, "raw", 0, BLOB_RAW_LIMIT);
    place->blob.stored_size = get_number(parser, from, "stored", 0, 2 * BLOB_RAW_LIMIT);
    for (int i = 0; i < 8; i++)
        place->blob.checksum = place->blob.checksum << 8 | checksum[i];
}

/* As it is printed, and no other spelling: no sign, no leading zero, and `behind` behind it. After
 * anything else *at is NULL. */
static uint64_t next_number(const char **at, uint64_t most, char behind)
{
    const char *from = *at;
    uint64_t number = 0;
    size_t digits = 0;
    if (from == NULL)
        return 0;
    for (; digits < 19 && from[digits] >= '0' && from[digits] <= '9'; digits++)
        number = number * 10 + (uint64_t)(from[digits] - '0');
    bool plain = digits == 1 || (digits > 1 && from[0] != '0');
    *at = plain && from[digits] == behind && number <= most ? from + digits + 1 : NULL;
    return number;
}

/* The end of the text: its checksum, and of a list what it names. False: neither. */
static bool parse_tail(const char *at, size_t size, struct manifest_segment *segment)
{
    unsigned char checksum[8];
    struct blob *blob = &segment->place.blob;
    bool list = size > 2 * sizeof checksum;
    if (!read_hex(at, list ? 2 * sizeof checksum : size, checksum, sizeof checksum))
        return false;
    for (int i = 0; i < 8; i++)
        blob->checksum = blob->checksum << 8 | checksum[i];
    blob->kind = list ? BLOB_LIST : BLOB_STATE;
    if (!list) {
        *segment = manifest_single(segment->state, &segment->place);
        return true;
    }
    const char *next = at + 2 * sizeof checksum, *end = at + size + 1; /* its zero is taken too */
    next = *next == ' ' ? next + 1 : NULL;
    segment->from_number = next_number(&next, NAME_NUMBER_LIMIT, ' ');
    segment->blob_count = (uint32_t)next_number(&next, BLOBS_LIMIT, ' ');
    segment->raw_size = next_number(&next, NAME_NUMBER_LIMIT, ' ');
    segment->stored_size = next_number(&next, NAME_NUMBER_LIMIT, 0);
    return next == end;
}

static void parse_state(struct parser *parser, const json_t *from, const struct manifest *manifest,
                        struct manifest_segment *segment)
{
    const char *at = json_string_value(from), *end = at + json_string_length(from);
    struct manifest_blob *place = &segment->place;
    struct blob *blob = &place->blob;
    segment->state = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    place->file_epoch = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    place->file_number = next_number(&at, NAME_NUMBER_LIMIT, ' ');
    place->offset = next_number(&at, NAME_NUMBER_LIMIT, ' ');
    blob->raw_size = next_number(&at, BLOB_RAW_LIMIT, ' ');
    blob->stored_size = next_number(&at, 2 * BLOB_RAW_LIMIT, ' ');
    blob->epoch = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    blob->id = next_number(&at, NAME_NUMBER_LIMIT, ' ');
    blob->task = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    place->first = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    place->last = (uint32_t)next_number(&at, UINT32_MAX, ' ');
    if (at == NULL || !parse_tail(at, (size_t)(end - at), segment)) {
        wrong(parser, "state", "holds something that names no blob");
        return;
    }
    if (!state_fits(manifest, segment))
        wrong(parser, "state", "holds a blob that this checkpoint can't have");
}

static void parse_log(struct parser *parser, const json_t *from, const struct manifest *manifest,
                      struct manifest_task *task)
{
    uint32_t count;
    const json_t *array = get_array(parser, from, "state", JSON_STRING, STATE_LIMIT, &count);
    task->state = count == 0 ? NULL : take(parser, count, sizeof *task->state);
    task->state_count = task->state == NULL ? 0 : count;
    for (uint32_t i = 0; i < task->state_count && parser->result == WEIR_OK; i++)
        parse_state(parser, json_array_get(array, i), manifest, &task->state[i]);
    const char *unfit = parser->result == WEIR_OK ? logs_fit(task, &parser->containers) : NULL;
    if (unfit != NULL)
        wrong(parser, "state", unfit);
}

/* The part, the blobs of content in flight, and how much of it there is. */
static void parse_blobs(struct parser *parser, const json_t *from, const struct manifest *manifest,
                        uint32_t index, struct manifest_task *task)
{
    struct blob of = {.kind = BLOB_SNAPSHOT, .task = index, .id = manifest->id};
    uint32_t count;
    uint64_t raw = 0; /* at most INFLIGHT_LIMIT * BLOB_RAW_LIMIT */
    const json_t *part = get(parser, from, "part", JSON_OBJECT);
    if (part != NULL)
        parse_blob(parser, part, manifest, &of, &task->part);
    const json_t *array = get_array(parser, from, "inflight", JSON_OBJECT, INFLIGHT_LIMIT, &count);
    task->inflight = count == 0 ? NULL : take(parser, count, sizeof *task->inflight);
    task->inflight_count = task->inflight == NULL ? 0 : count;
    of.kind = BLOB_INFLIGHT;
    for (uint32_t i = 0; i < task->inflight_count; i++) {
        parse_blob(parser, json_array_get(array, i), manifest, &of, &task->inflight[i]);
        raw += task->inflight[i].blob.raw_size;
    }
    task->channel_bytes = get_number(parser, from, "channel_bytes", 0, raw);
    task->outlet_bytes = get_number(parser, from, "outlet_bytes", 0, raw - task->channel_bytes);
}

static void parse_phases(struct parser *parser, const json_t *from, struct manifest_phases *phases)
{
    const json_t *object = get(parser, from, "phases", JSON_OBJECT);
    if (object == NULL)
        return;
    phases->wait_ns = get_ns(parser, object, "wait_ns");
    phases->align_ns = get_ns(parser, object, "align_ns");
    phases->record_ns = get_ns(parser, object, "record_ns");
    phases->write_ns = get_ns(parser, object, "write_ns");
}

/* An edge and a subtask of the node it comes from; or neither. */
static void parse_last(struct parser *parser, const json_t *from, const struct manifest *manifest,
                       struct manifest_task *task)
{
    const struct manifest_graph *graph = &manifest->graph;
    task->last_edge = get_index(parser, from, "last_edge", graph->edge_count);
    task->last_from = get_index(parser, from, "last_from", PARALLELISM_LIMIT);
    if (parser->result != WEIR_OK)
        return;
    bool none = task->last_edge == MANIFEST_NONE;
    if (none != (task->last_from == MANIFEST_NONE) ||
        (!none && task->last_from >= graph->nodes[graph->edges[task->last_edge].from].parallelism))
        wrong(parser, "last_from", "is no subtask of the edge's writer");
}

static void parse_tasks(struct parser *parser, const json_t *root, struct manifest *manifest)
{
    uint32_t count;
    const json_t *array = get_array(parser, root, "tasks", JSON_OBJECT, UINT32_MAX, &count);
    manifest->tasks = count == 0 ? NULL : take(parser, count, sizeof *manifest->tasks);
    if (manifest->tasks == NULL)
        return;
    manifest->task_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *from = json_array_get(array, i);
        struct manifest_task *task = &manifest->tasks[i];
        task->node = get_u32(parser, from, "node", 0, NODE_LIMIT - 1);
        task->subtask = get_u32(parser, from, "subtask", 0, PARALLELISM_LIMIT - 1);
        task->ended = get_bool(parser, from, "ended");
        task->handles = get_number(parser, from, "handles", 0, NAME_NUMBER_LIMIT);
        task->letters = get_number(parser, from, "letters", 0, NAME_NUMBER_LIMIT);
        task->cut_ns = get_number(parser, from, "cut_ns", 0, NAME_NUMBER_LIMIT);
        task->cut_cpu_ns = get_number(parser, from, "cut_cpu_ns", 0, NAME_NUMBER_LIMIT);
        task->note = get_text(parser, from, "note");
        parse_blobs(parser, from, manifest, i, task);
        parse_log(parser, from, manifest, task);
        task->overtook = get_bool(parser, from, "overtook");
        parse_phases(parser, from, &task->phases);
        parse_last(parser, from, manifest, task);
    }
}

/* The tasks are each node's subtasks, all of them, in order, those too that are chained: readers
 * count on it (mapping_instance). */
static void check_tasks(struct parser *parser, const struct manifest *manifest)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < manifest->graph.node_count; i++) {
        uint32_t subtasks = manifest->graph.nodes[i].parallelism;
        for (uint32_t j = 0; j < subtasks; j++, at++) {
            if (at < manifest->task_count && manifest->tasks[at].node == i &&
                manifest->tasks[at].subtask == j)
                continue;
            wrong(parser, "tasks", "does not agree with the nodes");
            return;
        }
    }
    if (at != manifest->task_count)
        wrong(parser, "tasks", "has more than the nodes have");
}

static void check_names(struct parser *parser, const struct manifest_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct manifest_node *node = &graph->nodes[i];
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(node->name, graph->nodes[j].name) == 0)
                wrong(parser, "nodes", "has the same name twice");
        for (uint32_t j = 0; j < node->state_count; j++)
            for (uint32_t k = 0; k < j; k++)
                if (strcmp(node->states[j].name, node->states[k].name) == 0)
                    wrong(parser, "states", "has the same name twice");
    }
}

static enum manifest_mode get_mode(struct parser *parser, const json_t *root)
{
    const json_t *value = get(parser, root, "mode", JSON_STRING);
    for (size_t i = 0; value != NULL && i < MODES; i++)
        if (strcmp(json_string_value(value), mode_texts[i]) == 0)
            return (enum manifest_mode)i;
    wrong(parser, "mode", "is none that this version knows");
    return MANIFEST_ALIGNED;
}

static void parse_head(struct parser *parser, const json_t *root, struct manifest *manifest)
{
    get_hex(parser, root, "store", manifest->store_id, STORE_ID_SIZE);
    manifest->job = get_name(parser, root, "job");
    manifest->epoch = get_u32(parser, root, "epoch", 1, UINT32_MAX);
    manifest->id = get_number(parser, root, "id", 1, NAME_NUMBER_LIMIT);
    manifest->restored_from = get_number(parser, root, "restored_from", 0, NAME_NUMBER_LIMIT);
    manifest->final = get_bool(parser, root, "final");
    manifest->reason = get_text(parser, root, "reason");
    manifest->mode = get_mode(parser, root);
    manifest->overtaken = get_bool(parser, root, "overtaken");
    manifest->triggered_ns = get_ns(parser, root, "triggered_ns");
    manifest->duration_ns = get_ns(parser, root, "duration_ns");
    manifest->sealed_ns = get_ns(parser, root, "sealed_ns");
    manifest->graph.key_groups = get_u32(parser, root, "key_groups", 1, GROUP_LIMIT);
    if (parser->result == WEIR_OK && manifest->restored_from >= manifest->id)
        wrong(parser, "restored_from", "is not older than the checkpoint itself");
}

static enum weir_result check_seal(const char *text, size_t size, struct weir_error *error)
{
    char expected[SEAL_SIZE + 1];
    if (size > MANIFEST_LIMIT)
        return error_set(error, WEIR_DAMAGED, 0, "%zu bytes are over the limit of %zu", size,
                         MANIFEST_LIMIT);
    if (size <= SEAL_SIZE)
        return error_set(error, WEIR_DAMAGED, 0, "it is cut short: there is no seal");
    size_t body = size - SEAL_SIZE;
    snprintf(expected, sizeof expected, SEAL_BEFORE "%016" PRIx64 SEAL_AFTER,
             (uint64_t)XXH3_64bits(text, body));
    if (memcmp(text + body, expected, SEAL_SIZE) != 0) /* M1 */
        return error_set(error, WEIR_DAMAGED, 0,
                         "its seal does not match: bytes were changed or cut off");
    return WEIR_OK;
}

/* M3. No object of ours is shorter than 32 bytes, no array than 12 with its name, no member than 6
 * with its comma. */
static enum weir_result check_density(const char *text, size_t size, struct weir_error *error)
{
    size_t objects = 0, arrays = 0, commas = 0;
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted && text[i] == '\\')
            i++;
        else if (!quoted) {
            objects += text[i] == '{';
            arrays += text[i] == '[';
            commas += text[i] == ',';
        }
    }
    if (objects > size / 32 + 1 || arrays > size / 12 || commas > size / 6)
        return error_set(error, WEIR_DAMAGED, 0,
                         "its %zu bytes hold %zu values or more, which no manifest has", size,
                         objects + arrays + commas);
    return WEIR_OK;
}

static void parse_root(struct parser *parser, const json_t *root, struct manifest *manifest)
{
    uint64_t version = get_number(parser, root, "weir", 0, UINT32_MAX);
    if (parser->result == WEIR_OK)
        parser->result = error_unless_version(parser->error, "manifest", version, MANIFEST_VERSION);
    if (parser->result != WEIR_OK)
        return;
    parse_head(parser, root, manifest);
    parse_nodes(parser, root, &manifest->graph);
    parse_edges(parser, root, &manifest->graph);
    parse_tasks(parser, root, manifest);
    manifest->last_task = get_index(parser, root, "last_task", manifest->task_count);
    if (parser->result == WEIR_OK)
        check_names(parser, &manifest->graph);
    if (parser->result == WEIR_OK)
        check_tasks(parser, manifest);
}

enum weir_result manifest_parse(const char *text, size_t size,
                                const struct weir_allocator *allocator, struct manifest *manifest,
                                struct weir_error *error)
{
    struct parser parser = {.allocator = allocator, .error = error};
    json_error_t reason;
    enum weir_result result = check_seal(text, size, error); /* M2 */
    if (result == WEIR_OK)
        result = check_density(text, size, error);
    if (result != WEIR_OK)
        return result;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &reason);
    /* jansson gives no reason, and so no line, when its own objects get no memory. */
    if (root == NULL && (json_error_code(&reason) == json_error_out_of_memory || reason.line < 0))
        return error_memory(error, "a manifest", size);
    if (root == NULL)
        return error_set(error, WEIR_DAMAGED, 0, "it is not JSON, line %d: %s", reason.line,
                         reason.text);
    *manifest = (struct manifest){.allocator = allocator};
    parse_root(&parser, root, manifest); /* what ends as M1 says is an object, or no JSON */
    json_decref(root);
    if (parser.result != WEIR_OK)
        manifest_free(manifest);
    return parser.result;
}
