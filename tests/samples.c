/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "little.h"
#include "lock.h"
#include "memory.h"
#include "name.h"
#include "sim.h"
#include "store.h"

#define BLOBS 64u     /* of the newest checkpoint, at most */
#define EDITS 64u     /* of an input, at most */
#define SEAL_SIZE 32u /* of a manifest: ,\n "seal": "0123456789abcdef"\n}\n */
#define OBJECT_LIMIT ((size_t)256 << 10)

/* ---- the stores, and what is in them ---- */

struct sample {
    struct rich rich;
    struct manifest manifest; /* the newest */
    struct fuzz_bytes raw[BLOBS];
    uint32_t blob_count;
    uint32_t text, locks[2]; /* files */
};

/* The number-th blob that the manifest names: of each task its part, what was in flight, and its
 * state. NULL: there are no more. A segment's is told by *segment. */
static struct manifest_blob *blob_of(struct manifest *manifest, uint32_t number,
                                     struct manifest_segment **segment)
{
    *segment = NULL;
    for (uint32_t t = 0; t < manifest->task_count; t++) {
        struct manifest_task *task = &manifest->tasks[t];
        if (number == 0)
            return &task->part;
        number--;
        if (number < task->inflight_count)
            return &task->inflight[number];
        number -= task->inflight_count;
        if (number < task->state_count) {
            *segment = &task->state[number];
            return &(*segment)->place;
        }
        number -= task->state_count;
    }
    return NULL;
}

static uint32_t task_of(const struct manifest *manifest, const struct manifest_blob *place)
{
    for (uint32_t t = 0; t < manifest->task_count; t++) {
        const struct manifest_task *task = &manifest->tasks[t];
        if (place == &task->part)
            return t;
        for (uint32_t k = 0; k < task->inflight_count; k++)
            if (place == &task->inflight[k])
                return t;
        for (uint32_t k = 0; k < task->state_count; k++)
            if (place == &task->state[k].place)
                return t;
    }
    return 0;
}

/* A copy that outlives the simulation, whose end takes all memory of weir's with it. */
static void *keep(const void *from, size_t size)
{
    void *copy = malloc(size + 1);

    fuzz_must(copy != NULL, "no memory");
    return size > 0 ? memcpy(copy, from, size) : copy;
}

static char *keep_text(const char *text)
{
    return keep(text, strlen(text) + 1);
}

static void keep_graph(struct manifest_graph *graph)
{
    graph->nodes = keep(graph->nodes, graph->node_count * sizeof *graph->nodes);
    for (uint32_t n = 0; n < graph->node_count; n++) {
        struct manifest_node *node = &graph->nodes[n];
        node->name = keep_text(node->name);
        node->kind = keep_text(node->kind);
        node->states = keep(node->states, node->state_count * sizeof *node->states);
        for (uint32_t i = 0; i < node->state_count; i++) {
            node->states[i].name = keep_text(node->states[i].name);
            node->states[i].format = keep_text(node->states[i].format);
        }
    }
    graph->edges = keep(graph->edges, graph->edge_count * sizeof *graph->edges);
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        struct manifest_edge *edge = &graph->edges[e];
        edge->output = keep_text(edge->output);
        edge->input = keep_text(edge->input);
        edge->routing = keep_text(edge->routing);
        edge->key_format = keep_text(edge->key_format);
        edge->value_format = keep_text(edge->value_format);
    }
}

static void keep_manifest(struct manifest *manifest)
{
    manifest->job = keep_text(manifest->job);
    manifest->reason = keep_text(manifest->reason);
    keep_graph(&manifest->graph);
    manifest->tasks = keep(manifest->tasks, manifest->task_count * sizeof *manifest->tasks);
    for (uint32_t t = 0; t < manifest->task_count; t++) {
        struct manifest_task *task = &manifest->tasks[t];
        task->note = keep_text(task->note);
        task->inflight = keep(task->inflight, task->inflight_count * sizeof *task->inflight);
        task->state = keep(task->state, task->state_count * sizeof *task->state);
    }
}

static void read_blobs(struct sample *sample, struct store *store)
{
    struct manifest_segment *segment;
    struct manifest_blob *place;
    struct blob_buffer stored = {0}, raw = {0};
    struct weir_error error = {0};

    while ((place = blob_of(&sample->manifest, sample->blob_count, &segment)) != NULL) {
        uint32_t task = task_of(&sample->manifest, place);
        fuzz_must(sample->blob_count < BLOBS, "too many blobs");
        enum weir_result result =
            store_fetch(store, &sample->manifest, task, place, &stored, &raw, &error);
        fuzz_must(result == WEIR_OK, "%s", error.text);
        fuzz_put(&sample->raw[sample->blob_count++], raw.data, raw.size);
    }
    blob_buffer_free(&stored, NULL);
    blob_buffer_free(&raw, NULL);
}

static uint32_t file_at(const struct rich *rich, const char *path)
{
    uint32_t i = 0;
    while (i < rich->file_count && strcmp(rich->files[i].path, path) != 0)
        i++;
    fuzz_must(i < rich->file_count, "no %s", path);
    return i;
}

static struct sample *sample_of(bool large)
{
    static struct sample samples[2];
    struct sample *sample = &samples[large];
    struct store *store = NULL;
    struct weir_error error = {0};
    char id[NAME_ID_SIZE], path[96];

    if (sample->rich.file_count > 0)
        return sample;
    rich_make(&sample->rich, large);
    rich_put_back(&sample->rich);
    sim_start(1);
    enum weir_result result = store_view(RICH_STORE, NULL, &store, &error);
    if (result == WEIR_OK)
        result = store_manifest(store, sample->rich.newest, &sample->manifest, &error);
    fuzz_must(result == WEIR_OK, "%s", error.text);
    read_blobs(sample, store);
    store_close(&store);
    struct manifest read = sample->manifest;
    keep_manifest(&sample->manifest);
    manifest_free(&read);
    (void)sim_end();
    name_of_id(sample->rich.newest, id);
    snprintf(path, sizeof path, RICH_STORE "/" NAME_CHECKPOINTS "/%s/" NAME_MANIFEST, id);
    sample->text = file_at(&sample->rich, path);
    sample->locks[0] = file_at(&sample->rich, RICH_STORE "/" NAME_LOCK);
    sample->locks[1] = file_at(&sample->rich, RICH_SAVED "/" NAME_LOCK);
    return sample;
}

const struct rich *samples_store(bool large)
{
    return &sample_of(large)->rich;
}

const struct manifest *samples_manifest(bool large)
{
    return &sample_of(large)->manifest;
}

const struct rich_file *samples_file(const char *ending, uint32_t n)
{
    for (int large = 0; large < 2; large++) {
        const struct rich *rich = samples_store(large > 0);
        for (uint32_t i = 0; i < rich->file_count; i++) {
            size_t size = strlen(rich->files[i].path), end = strlen(ending);
            if (size >= end && strcmp(rich->files[i].path + size - end, ending) == 0 && n-- == 0)
                return &rich->files[i];
        }
    }
    return NULL;
}

bool samples_blob(bool large, enum blob_kind kind, uint32_t n, struct fuzz_bytes *raw)
{
    struct sample *sample = sample_of(large);
    struct manifest_segment *segment;

    for (uint32_t i = 0; i < sample->blob_count; i++)
        if (blob_of(&sample->manifest, i, &segment)->blob.kind == kind && n-- == 0) {
            fuzz_put(raw, sample->raw[i].data, sample->raw[i].size);
            return true;
        }
    return false;
}

/* ---- seals ---- */

size_t samples_seal(unsigned char *text, size_t size, size_t room)
{
    static const char begins[] = ",\n \"seal\": \"";
    char seal[SEAL_SIZE + 1];

    for (size_t at = 0; at + sizeof begins - 1 <= size; at++)
        if (memcmp(text + at, begins, sizeof begins - 1) == 0) {
            size = at;
            break;
        }
    if (size + SEAL_SIZE > room)
        return size;
    snprintf(seal, sizeof seal, "%s%016llx\"\n}\n", begins,
             (unsigned long long)XXH3_64bits(text, size));
    memcpy(text + size, seal, SEAL_SIZE);
    return size + SEAL_SIZE;
}

void samples_seal_lock(unsigned char *bytes, size_t size)
{
    const size_t at = LOCK_RECORD_SIZE - 8; /* of the checksum */

    for (size_t from = 0; from + LOCK_RECORD_SIZE <= size; from += LOCK_RECORD_SIZE)
        little_put_u64(bytes + from + at, XXH3_64bits(bytes + from, at));
}

/* ---- the desk ---- */

/* What is being edited; what is further inside is sealed. */
enum stage { STAGE_BLOBS, STAGE_TEXT, STAGE_LOCKS, STAGE_FILES };

struct samples_desk {
    const struct sample *sample;
    enum stage stage;
    struct fuzz_bytes files[RICH_FILES], blobs[BLOBS], text, locks[2];
    struct fuzz_bytes stored[BLOBS]; /* in a blob's place, as it is */
    uint64_t raw_size[BLOBS];        /* of these */
    bool blob_changed[BLOBS], text_changed;
};

static void take_over(struct fuzz_bytes *to, const struct fuzz_bytes *from)
{
    fuzz_clear(to);
    fuzz_put(to, from->data, from->size);
}

struct samples_desk *samples_desk(bool large)
{
    struct samples_desk *desk = calloc(1, sizeof *desk);
    const struct sample *sample = sample_of(large);

    fuzz_must(desk != NULL, "no memory");
    desk->sample = sample;
    for (uint32_t i = 0; i < sample->rich.file_count; i++)
        fuzz_put(&desk->files[i], sample->rich.files[i].bytes, sample->rich.files[i].size);
    for (uint32_t i = 0; i < sample->blob_count; i++)
        fuzz_put(&desk->blobs[i], sample->raw[i].data, sample->raw[i].size);
    take_over(&desk->text, &desk->files[sample->text]);
    return desk;
}

static struct fuzz_bytes *container_of(struct samples_desk *desk, const struct manifest_blob *place)
{
    char name[NAME_SEGMENT_SIZE], path[96];

    name_of_segment(place->file_epoch, place->file_number, name);
    snprintf(path, sizeof path, RICH_STORE "/" NAME_DATA "/%s", name);
    return &desk->files[file_at(&desk->sample->rich, path)];
}

/* Behind all that is in its container. */
static void seal_blob(struct samples_desk *desk, uint32_t number, struct manifest *manifest)
{
    struct manifest_segment *segment;
    struct manifest_blob *place = blob_of(manifest, number, &segment);
    struct fuzz_bytes *container = container_of(desk, place), *stored = &desk->stored[number];
    struct blob_buffer sealed = {0};
    struct weir_error error = {0};
    struct weir_bytes raw = {desk->blobs[number].data, desk->blobs[number].size};

    place->offset = container->size;
    if (stored->size > 0) {
        place->blob.raw_size = desk->raw_size[number];
        place->blob.stored_size = stored->size - BLOB_HEADER_SIZE;
        place->blob.checksum = little_u64(stored->data + 48);
        fuzz_put(container, stored->data, stored->size);
    } else {
        enum weir_result result = blob_seal(&place->blob, raw, &sealed, NULL, &error);
        fuzz_must(result == WEIR_OK, "%s", error.text);
        fuzz_put(container, sealed.data, sealed.size);
        blob_buffer_free(&sealed, NULL);
    }
    if (segment != NULL && place->blob.kind == BLOB_STATE) {
        segment->raw_size = place->blob.raw_size;
        segment->stored_size = place->blob.stored_size;
    }
}

/* What no manifest can say is not said: then the blobs stay as they were. */
static void seal_blobs(struct samples_desk *desk)
{
    struct manifest manifest = {0};
    struct weir_error error = {0};
    char *text = NULL;
    size_t size = 0;

    enum weir_result result =
        manifest_parse((const char *)desk->text.data, desk->text.size, NULL, &manifest, &error);
    fuzz_must(result == WEIR_OK, "%s", error.text);
    for (uint32_t i = 0; i < desk->sample->blob_count; i++)
        if (desk->blob_changed[i])
            seal_blob(desk, i, &manifest);
    if (manifest_print(&manifest, &text, &size, &error) == WEIR_OK) {
        fuzz_clear(&desk->text);
        fuzz_put(&desk->text, text, size);
        memory_release(NULL, text);
    }
    manifest_free(&manifest);
}

static void seal_text(struct samples_desk *desk)
{
    static const char room[SEAL_SIZE];

    fuzz_put(&desk->text, room, sizeof room);
    desk->text.size = samples_seal(desk->text.data, desk->text.size - sizeof room, desk->text.size);
    take_over(&desk->files[desk->sample->text], &desk->text);
}

static void advance(struct samples_desk *desk, enum stage to)
{
    for (; desk->stage < to; desk->stage++) {
        bool changed = false;
        for (uint32_t i = 0; i < BLOBS; i++)
            changed |= desk->blob_changed[i];
        if (desk->stage == STAGE_BLOBS && changed)
            seal_blobs(desk);
        desk->text_changed |= changed;
        if (desk->stage == STAGE_TEXT && desk->text_changed)
            seal_text(desk);
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t file = desk->sample->locks[i];
            if (desk->stage == STAGE_TEXT)
                take_over(&desk->locks[i], &desk->files[file]);
            if (desk->stage != STAGE_LOCKS)
                continue;
            samples_seal_lock(desk->locks[i].data, desk->locks[i].size);
            take_over(&desk->files[file], &desk->locks[i]);
        }
    }
    fuzz_must(desk->stage == to, "from the inside to the outside");
}

/* BLOBS: there is none. */
static uint32_t number_of(const struct samples_desk *desk, enum blob_kind kind, uint32_t n)
{
    struct manifest_segment *segment;
    struct manifest *manifest = (struct manifest *)(uintptr_t)&desk->sample->manifest;

    for (uint32_t i = 0; i < desk->sample->blob_count; i++)
        if (blob_of(manifest, i, &segment)->blob.kind == kind && n-- == 0)
            return i;
    return BLOBS;
}

struct fuzz_bytes *samples_edit_blob(struct samples_desk *desk, enum blob_kind kind, uint32_t n)
{
    uint32_t number = number_of(desk, kind, n);

    advance(desk, STAGE_BLOBS);
    if (number == BLOBS)
        return NULL;
    desk->blob_changed[number] = true;
    return &desk->blobs[number];
}

void samples_replace_blob(struct samples_desk *desk, enum blob_kind kind, uint32_t n,
                          const unsigned char *stored, size_t size, uint64_t raw_size)
{
    uint32_t number = number_of(desk, kind, n);

    fuzz_must(number < BLOBS && size >= BLOB_HEADER_SIZE, "no such blob");
    (void)samples_edit_blob(desk, kind, n);
    fuzz_put(&desk->stored[number], stored, size);
    desk->raw_size[number] = raw_size;
}

struct fuzz_bytes *samples_edit_text(struct samples_desk *desk)
{
    advance(desk, STAGE_TEXT);
    desk->text_changed = true;
    return &desk->text;
}

struct fuzz_bytes *samples_edit_lock(struct samples_desk *desk, bool savepoint)
{
    advance(desk, STAGE_LOCKS);
    return &desk->locks[savepoint];
}

struct fuzz_bytes *samples_edit_file(struct samples_desk *desk, const char *path)
{
    advance(desk, STAGE_FILES);
    return &desk->files[file_at(&desk->sample->rich, path)];
}

static void clear_away(struct samples_desk *desk)
{
    for (uint32_t i = 0; i < RICH_FILES; i++)
        fuzz_drop(&desk->files[i]);
    for (uint32_t i = 0; i < BLOBS; i++) {
        fuzz_drop(&desk->blobs[i]);
        fuzz_drop(&desk->stored[i]);
    }
    fuzz_drop(&desk->text);
    fuzz_drop(&desk->locks[0]);
    fuzz_drop(&desk->locks[1]);
    free(desk);
}

void samples_put(struct samples_desk *desk)
{
    struct rich edited = desk->sample->rich;

    advance(desk, STAGE_FILES);
    for (uint32_t i = 0; i < edited.file_count; i++) {
        edited.files[i].bytes = desk->files[i].data;
        edited.files[i].size = desk->files[i].size;
    }
    rich_put_back(&edited);
    clear_away(desk);
}

/* ---- edits that an input describes ---- */

enum edit_kind {
    EDIT_WRITE,  /* over what is there; takes bytes */
    EDIT_INSERT, /* takes bytes */
    EDIT_DELETE,
    EDIT_CUT, /* what is behind */
    EDIT_DOUBLE,
    EDIT_XOR,  /* one byte, with `many` */
    EDIT_SWAP, /* with the whole of another; takes its number, a byte */
    EDIT_ONES,
    EDIT_KINDS,
};

struct edit {
    enum edit_kind how;
    uint8_t which;
    size_t where, many;
    struct weir_bytes bytes;
};

static struct edit next_edit(struct fuzz_input *input)
{
    struct edit edit = {.how = (enum edit_kind)(fuzz_u8(input) % EDIT_KINDS)};

    edit.which = fuzz_u8(input);
    edit.where = fuzz_u16(input);
    edit.many = fuzz_u8(input);
    if (edit.how == EDIT_WRITE || edit.how == EDIT_INSERT)
        edit.bytes = fuzz_take(input, edit.many);
    else if (edit.how == EDIT_SWAP)
        edit.bytes = fuzz_take(input, 1);
    return edit;
}

static void insert(struct fuzz_bytes *to, size_t at, const void *data, size_t size)
{
    unsigned char copy[256];

    if (size == 0 || to->size + size > OBJECT_LIMIT)
        return;
    memcpy(copy, data, size);
    fuzz_put(to, copy, size); /* room for it */
    memmove(to->data + at + size, to->data + at, to->size - size - at);
    memcpy(to->data + at, copy, size);
}

static void change(struct fuzz_bytes *to, const struct edit *edit)
{
    size_t at = to->size == 0 ? 0 : edit->where % to->size;
    size_t many = edit->many < to->size - at ? edit->many : to->size - at;

    switch (edit->how) {
    case EDIT_WRITE:
        many = many < edit->bytes.size ? many : edit->bytes.size;
        if (many > 0)
            memcpy(to->data + at, edit->bytes.data, many);
        break;
    case EDIT_INSERT:
        insert(to, at, edit->bytes.data, edit->bytes.size);
        break;
    case EDIT_DELETE:
        if (many > 0)
            memmove(to->data + at, to->data + at + many, to->size - at - many);
        to->size -= many;
        break;
    case EDIT_CUT:
        to->size = at;
        break;
    case EDIT_DOUBLE:
        if (many > 0)
            insert(to, at, to->data + at, many);
        break;
    case EDIT_XOR:
        if (to->size > 0)
            to->data[at] ^= (unsigned char)edit->many;
        break;
    case EDIT_ONES:
        if (many > 0)
            memset(to->data + at, 0xff, many);
        break;
    default:
        break;
    }
}

/* What `which` counts, and where it lies; *number is a blob's. */
static struct fuzz_bytes *on_desk(struct samples_desk *desk, uint32_t which, enum stage *stage,
                                  uint32_t *number)
{
    uint32_t files = desk->sample->rich.file_count, blobs = desk->sample->blob_count;

    which %= files + blobs + 3;
    *number = which - files;
    *stage = STAGE_FILES;
    if (which < files)
        return &desk->files[which];
    *stage = STAGE_BLOBS;
    if (which < files + blobs)
        return &desk->blobs[*number];
    *stage = which == files + blobs ? STAGE_TEXT : STAGE_LOCKS;
    return *stage == STAGE_TEXT ? &desk->text : &desk->locks[which - files - blobs - 1];
}

static void swap(struct samples_desk *desk, struct fuzz_bytes *object, const struct edit *edit)
{
    enum stage stage;
    uint32_t number;
    struct fuzz_bytes *with = on_desk(
        desk, edit->bytes.size > 0 ? *(const uint8_t *)edit->bytes.data : 0, &stage, &number);

    if (stage != desk->stage)
        return;
    if (stage == STAGE_BLOBS)
        desk->blob_changed[number] = true;
    struct fuzz_bytes kept = *object;
    *object = *with;
    *with = kept;
}

/* Those of one stage. */
static void apply(struct samples_desk *desk, struct fuzz_input edits)
{
    for (uint32_t i = 0; i < EDITS && edits.size > 0; i++) {
        enum stage stage;
        uint32_t number;
        struct edit edit = next_edit(&edits);
        struct fuzz_bytes *object = on_desk(desk, edit.which, &stage, &number);
        if (stage != desk->stage)
            continue;
        if (stage == STAGE_BLOBS)
            desk->blob_changed[number] = true;
        desk->text_changed |= stage == STAGE_TEXT;
        if (edit.how == EDIT_SWAP)
            swap(desk, object, &edit);
        else
            change(object, &edit);
    }
}

void samples_put_edited(bool large, struct fuzz_input edits)
{
    struct samples_desk *desk = samples_desk(large);

    for (enum stage stage = STAGE_BLOBS; stage <= STAGE_FILES; stage++) {
        advance(desk, stage);
        apply(desk, edits);
    }
    samples_put(desk);
}

/* None; and of each kind one, of something else each time. */
bool samples_edits(uint32_t n, struct fuzz_bytes *edits)
{
    unsigned char edit[] = {0, 0, 0, 0, 4, 1, 2, 3, 4};

    if (n > 3 * EDIT_KINDS)
        return false;
    if (n == 0)
        return true;
    edit[0] = (unsigned char)(n % EDIT_KINDS);
    edit[1] = (unsigned char)(n * 3);
    edit[2] = (unsigned char)(n * 16);
    fuzz_put(edits, edit, edit[0] <= EDIT_INSERT ? 9 : edit[0] == EDIT_SWAP ? 6 : 5);
    return true;
}
