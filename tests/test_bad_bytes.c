/* links: sim rich_store samples fuzz_bytes */
/* SPDX-License-Identifier: Apache-2.0
 *
 * A store with one of everything in it, and a savepoint, whose bytes are not what was written: both
 * readers - weir_checkpoint.h, and a job that starts on it - refuse what was changed and name file
 * and reason, or it is shown that nothing has become of it. And what was sealed by whoever means
 * harm: it is refused, and takes no memory.
 *
 * With WEIR_FULL in the environment nothing is passed over.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "exercised.h"
#include "explore.h"
#include "files.h"
#include "item.h"
#include "little.h"
#include "name.h"
#include "samples.h"
#include "sim.h"
#include "snapshot.h"
#include "store.h"
#include "weir_checkpoint.h"

#define MEMORY ((size_t)24 << 20) /* bytes; the small store takes 3 MB, and the large one 9 */
#define ROWS 100000u

TestSuite(bad_bytes, .timeout = 3000);

/* ---- what weir_checkpoint.h sees ---- */

struct look {
    enum weir_result opened;   /* the store */
    enum weir_result verified; /* its newest checkpoint */
    enum weir_result walked;   /* all rows there are, and some keys found */
    struct weir_error error;   /* of the first of these that failed */
    struct weir_error walk_error;
    uint64_t rows; /* a fingerprint of them */
};

static void add(uint64_t *sum, struct weir_bytes bytes)
{
    *sum = XXH3_64bits_withSeed(bytes.data, bytes.size, *sum + bytes.size);
}

static void walk_rows(struct look *look, struct weir_checkpoint *checkpoint, enum weir_rows rows,
                      const char *node, const char *state)
{
    struct weir_cursor *cursor = NULL;
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    enum weir_result result = weir_cursor_open(checkpoint, rows, node, state, &cursor, &error);

    for (uint32_t i = 0; result == WEIR_OK && weir_cursor_next(cursor, &row); i++) {
        cr_assert_lt(i, ROWS);
        add(&look->rows, row.key);
        add(&look->rows, row.sub);
        add(&look->rows, row.value);
        look->rows += row.id * 3 + (uint64_t)row.time * 5 + row.subtask * 7 + row.kind;
    }
    if (result == WEIR_OK)
        result = weir_cursor_close(&cursor, &error);
    if (look->walked == WEIR_OK && result != WEIR_OK) {
        look->walked = result;
        look->walk_error = error;
    }
}

/* Each key of `state`, found by itself. */
static void find_keys(struct look *look, struct weir_checkpoint *checkpoint, const char *state)
{
    for (uint64_t key = 0; key < RICH_KEYS + 2; key++) {
        struct weir_bytes value;
        struct weir_error error = {0};
        enum weir_result result = weir_checkpoint_find(
            checkpoint, "work", state, (struct weir_bytes){&key, sizeof key}, &value, &error);
        if (result == WEIR_OK)
            add(&look->rows, value);
        else if (result == WEIR_NOT_FOUND)
            look->rows++;
        if (look->walked == WEIR_OK && result != WEIR_OK && result != WEIR_NOT_FOUND) {
            look->walked = result;
            look->walk_error = error;
        }
    }
}

static void walk_all(struct look *look, struct weir_checkpoint *checkpoint)
{
    static const char *const nodes[] = {"numbers", "work", "sink"};
    static const char *const states[] = {"total", "words", "trail", "recent", "bulk", "_timers"};

    for (uint32_t i = 0; i < 3; i++) {
        walk_rows(look, checkpoint, WEIR_ROWS_ITEMS, nodes[i], NULL);
        walk_rows(look, checkpoint, WEIR_ROWS_HANDLES, nodes[i], NULL);
    }
    walk_rows(look, checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL);
    for (uint32_t i = 0; i < 6; i++)
        walk_rows(look, checkpoint, WEIR_ROWS_STATE, "work", states[i]);
    find_keys(look, checkpoint, "total");
    find_keys(look, checkpoint, "recent");
}

/* Of the newest checkpoint at `path`. */
static struct look look_at(const char *path)
{
    struct look look = {0};
    struct weir_store *store = NULL;
    struct weir_checkpoint *checkpoint = NULL;
    const uint64_t *ids = NULL;
    size_t count = 0;

    sim_start(1);
    look.opened = weir_store_open(path, fuzz_memory(MEMORY), &store, &look.error);
    if (look.opened == WEIR_OK)
        look.opened = weir_store_list(store, &ids, &count, &look.error);
    if (look.opened == WEIR_OK) {
        cr_assert_gt(count, 0);
        look.verified = weir_store_verify(store, ids[count - 1], &look.error);
        look.walked = weir_checkpoint_open(store, ids[count - 1], &checkpoint, &look.walk_error);
        if (look.walked == WEIR_OK)
            walk_all(&look, checkpoint);
    }
    weir_checkpoint_close(&checkpoint);
    weir_store_close(&store);
    cr_assert_eq(fuzz_memory_taken(), 0);
    cr_assert_eq(sim_end(), 0);
    return look;
}

static bool is_refusal(enum weir_result result)
{
    return result == WEIR_DAMAGED || result == WEIR_UNSUPPORTED;
}

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

/* ---- damage that nobody meant, to the view ---- */

struct tally {
    uint32_t cases, refused, harmless;
};

static void tell(const char *what, const struct tally *tally)
{
    printf("figure: bad_bytes %s=%u refused=%u harmless=%u\n", what, tally->cases, tally->refused,
           tally->harmless);
    cr_assert(tally->refused > 0 && tally->harmless > 0);
    exercised(tally->cases);
}

/* `well` is what is seen of the store as it was. */
static void judge_look(const struct rich_file *file, const char *what, size_t at,
                       const struct look *well, struct tally *tally)
{
    const char *name = base_of(file->path);
    bool saved = strncmp(file->path, RICH_SAVED "/", sizeof RICH_SAVED) == 0;
    struct look look = look_at(saved ? RICH_SAVED : RICH_STORE);

    tally->cases++;
    if (look.opened == WEIR_OK && look.verified == WEIR_OK) {
        cr_assert(look.walked == WEIR_OK && look.rows == well[saved].rows,
                  "%s %s at %zu: verified, and not what it was: %s", file->path, what, at,
                  look.walk_error.text);
        tally->harmless++;
        return;
    }
    enum weir_result result = look.opened != WEIR_OK ? look.opened : look.verified;
    cr_assert(is_refusal(result) || (result == WEIR_NOT_FOUND && look.opened != WEIR_OK),
              "%s %s at %zu: %s: %s", file->path, what, at, weir_result_name(result),
              look.error.text);
    cr_assert(strstr(look.error.text, name) != NULL, "%s %s at %zu: \"%s\"", file->path, what, at,
              look.error.text);
    if (look.opened == WEIR_OK && look.walked == WEIR_OK)
        cr_assert_eq(look.rows, well[saved].rows, "%s %s at %zu: other rows, and nothing is said",
                     file->path, what, at);
    else if (look.opened == WEIR_OK)
        cr_assert(is_refusal(look.walked) && strstr(look.walk_error.text, name) != NULL,
                  "%s %s at %zu: \"%s\"", file->path, what, at, look.walk_error.text);
    tally->refused++;
}

static struct file_node *node_of(const char *path)
{
    struct file_node *node = files_root();
    char name[96];

    while (*path == '/') {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(path + 1, "/"), path + 1);
        node = files_find(node, name);
        cr_assert_not_null(node, "%s", name);
        path += 1 + strlen(name);
    }
    return node;
}

/* All of LOCK and of a container's first header, unless full a part of the rest: the tests of blobs
 * and of manifests leave nothing out. */
static size_t next_byte(const struct rich_file *file, size_t byte, size_t part)
{
    bool container = strstr(file->path, ".seg") != NULL;
    bool all = strstr(file->path, NAME_MANIFEST) == NULL && (!container || byte < 64);
    return byte + (explore_full() ? 1 : (all ? 1 : 9) * part * explore_share());
}

static void put_well(const struct rich *rich, struct look well[2])
{
    rich_put_back(rich);
    for (int saved = 0; saved < 2; saved++) {
        well[saved] = look_at(saved ? RICH_SAVED : RICH_STORE);
        cr_assert(well[saved].opened == WEIR_OK && well[saved].verified == WEIR_OK &&
                      well[saved].walked == WEIR_OK,
                  "%s %s", well[saved].error.text, well[saved].walk_error.text);
    }
}

Test(bad_bytes, every_flipped_byte_is_named_by_the_view_or_changes_nothing)
{
    const struct rich *rich = samples_store(false);
    struct tally tally = {0};
    struct look well[2];

    put_well(rich, well);
    for (uint32_t i = 0; i < rich->file_count; i++) {
        const struct rich_file *file = &rich->files[i];
        struct file_node *node = node_of(file->path);
        for (size_t at = 0; at < file->size; at = next_byte(file, at, 1)) {
            node->cached.data[at] ^= (unsigned char)(1u << at % 8);
            judge_look(file, "flipped", at, well, &tally);
            node->cached.data[at] ^= (unsigned char)(1u << at % 8);
        }
    }
    tell("seen_flips", &tally);
}

Test(bad_bytes, every_cut_is_named_by_the_view_or_changes_nothing)
{
    const struct rich *rich = samples_store(false);
    struct tally tally = {0};
    struct look well[2];

    put_well(rich, well);
    for (uint32_t i = 0; i < rich->file_count; i++) {
        const struct rich_file *file = &rich->files[i];
        struct file_node *node = node_of(file->path);
        for (size_t size = 0; size < file->size; size = next_byte(file, size, 2)) {
            node->cached.size = size;
            judge_look(file, "cut", size, well, &tally);
            node->cached.size = file->size;
        }
    }
    tell("seen_cuts", &tally);
}

/* ---- damage that nobody meant, to a start ---- */

static void judge_start(const struct rich *rich, const struct rich_file *file, const char *what,
                        size_t at, struct tally *tally)
{
    bool saved = strncmp(file->path, RICH_SAVED "/", sizeof RICH_SAVED) == 0;
    struct rich_start start = {.from_savepoint = saved, .allocator = fuzz_memory(MEMORY)};
    struct rich_end end;

    rich_go_on(rich, &start, &end);
    cr_assert(end.left == 0 && fuzz_memory_taken() == 0, "%s %s at %zu: something is left",
              file->path, what, at);
    tally->cases++;
    if (end.result == WEIR_OK) {
        cr_assert(end.exact, "%s %s at %zu: not exact, %u are missing", file->path, what, at,
                  end.missing);
        tally->harmless++;
        return;
    }
    cr_assert(is_refusal(end.result) || end.result == WEIR_REFUSED || end.result == WEIR_NOT_FOUND,
              "%s %s at %zu: %s: %s", file->path, what, at, weir_result_name(end.result),
              end.error.text);
    cr_assert(strstr(end.error.text, base_of(file->path)) != NULL, "%s %s at %zu: \"%s\"",
              file->path, what, at, end.error.text);
    tally->refused++;
}

static bool is_older(const struct rich *rich, const struct rich_file *file)
{
    char id[NAME_ID_SIZE];
    name_of_id(rich->newest, id);
    return strncmp(file->path, RICH_STORE "/checkpoints/", 19) == 0 && !strstr(file->path, id);
}

static void start_on_damage(bool cut, const char *figure)
{
    const struct rich *rich = samples_store(false);
    struct tally tally = {0};

    for (uint32_t i = 0; i < rich->file_count; i++) {
        const struct rich_file *file = &rich->files[i];
        size_t part = is_older(rich, file) ? 41 : 7;
        for (size_t at = i % 7; at < file->size; at = next_byte(file, at, part)) {
            rich_put_back(rich);
            struct file_node *node = node_of(file->path);
            if (cut)
                node->cached.size = at;
            else
                node->cached.data[at] ^= (unsigned char)(1u << at % 8);
            judge_start(rich, file, cut ? "cut" : "flipped", at, &tally);
        }
    }
    tell(figure, &tally);
}

Test(bad_bytes, every_flipped_byte_is_named_by_a_start_or_harmless)
{
    start_on_damage(false, "started_flips");
}

Test(bad_bytes, every_cut_is_named_by_a_start_or_harmless)
{
    start_on_damage(true, "started_cuts");
}

/* ---- blobs in each other's place ---- */

struct place {
    struct file_node *file;
    const struct manifest_blob *blob;
    char name[NAME_SEGMENT_SIZE];
};

#define PLACES 64u

static uint32_t find_places(struct place places[PLACES])
{
    const struct manifest *manifest = samples_manifest(false);
    uint32_t count = 0;

    for (uint32_t t = 0; t < manifest->task_count; t++) {
        const struct manifest_task *task = &manifest->tasks[t];
        uint32_t end = 1 + task->inflight_count + task->state_count;
        for (uint32_t k = 0; k < end; k++) {
            struct place *place = &places[count++];
            char path[96];
            cr_assert_lt(count, PLACES);
            place->blob = k == 0 ? &task->part
                          : k <= task->inflight_count
                              ? &task->inflight[k - 1]
                              : &task->state[k - 1 - task->inflight_count].place;
            name_of_segment(place->blob->file_epoch, place->blob->file_number, place->name);
            snprintf(path, sizeof path, RICH_STORE "/data/%s", place->name);
            place->file = node_of(path);
        }
    }
    return count;
}

static unsigned char *bytes_of(const struct place *place)
{
    return place->file->cached.data + place->blob->offset;
}

static size_t size_of(const struct place *place)
{
    return BLOB_HEADER_SIZE + (size_t)place->blob->blob.stored_size;
}

/* Both say so, and name where the first of them lies. */
static void expect_both_refuse(const struct rich *rich, const struct place *one,
                               const struct place *other)
{
    struct rich_start start = {.allocator = NULL};
    struct look look = look_at(RICH_STORE);
    struct rich_end end;

    cr_assert_eq(look.verified, WEIR_DAMAGED, "%s, %s", one->name, other->name);
    cr_assert(strstr(look.error.text, one->name) || strstr(look.error.text, other->name), "%s",
              look.error.text);
    cr_assert_eq(look.walked, WEIR_DAMAGED, "%s, %s", one->name, other->name);
    rich_go_on(rich, &start, &end);
    cr_assert_eq(end.result, WEIR_DAMAGED, "%s", end.error.text);
    cr_assert(strstr(end.error.text, one->name) || strstr(end.error.text, other->name), "%s",
              end.error.text);
}

/* Whole ones of one size change places; others come to lie over the beginning of another. */
Test(bad_bytes, blobs_in_each_others_place_or_twice_are_found_by_both)
{
    const struct rich *rich = samples_store(false);
    struct place places[PLACES];
    uint32_t swapped = 0, doubled = 0, pair = 0;

    rich_put_back(rich);
    uint32_t count = find_places(places);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < count; j++, pair++) {
            bool swap = i < j && size_of(&places[i]) == size_of(&places[j]);
            if (i == j || (!swap && !explore_full() && pair % (13 * explore_share()) != 1))
                continue;
            rich_put_back(rich);
            find_places(places);
            size_t size = size_of(&places[i]) < size_of(&places[j]) ? size_of(&places[i])
                                                                    : size_of(&places[j]);
            unsigned char *kept = malloc(size);
            memcpy(kept, bytes_of(&places[j]), size);
            memcpy(bytes_of(&places[j]), bytes_of(&places[i]), size);
            if (swap)
                memcpy(bytes_of(&places[i]), kept, size);
            free(kept);
            expect_both_refuse(rich, &places[i], &places[j]);
            swapped += swap;
            doubled += !swap;
        }
    }
    printf("figure: bad_bytes blobs=%u swapped=%u doubled=%u\n", count, swapped, doubled);
    cr_assert_gt(doubled, 0);
    exercised(swapped + doubled);
}

/* ---- what is sealed, and means harm ---- */

static void replace(struct fuzz_bytes *text, const char *from, const char *to)
{
    size_t from_size = strlen(from), to_size = strlen(to), at = 0;
    struct fuzz_bytes made = {0};

    while (at + from_size <= text->size && memcmp(text->data + at, from, from_size) != 0)
        at++;
    cr_assert_leq(at + from_size, text->size, "%s is not there", from);
    fuzz_put(&made, text->data, at);
    fuzz_put(&made, to, to_size);
    fuzz_put(&made, text->data + at + from_size, text->size - at - from_size);
    fuzz_drop(text);
    *text = made;
}

/* A blob's bytes as they would be stored, of that frame. */
static struct fuzz_bytes make_blob(const struct manifest_blob *like, const void *frame, size_t size,
                                   uint64_t raw_size)
{
    struct fuzz_bytes made = {0};
    unsigned char header[BLOB_HEADER_SIZE] = {0};

    little_put_u32(header, 0x184D2A57u);
    little_put_u32(header + 4, 56);
    memcpy(header + 8, "WEIR", 4);
    header[12] = BLOB_VERSION;
    header[13] = (unsigned char)like->blob.kind;
    header[14] = little_native_order();
    little_put_u32(header + 16, like->blob.epoch);
    little_put_u32(header + 20, like->blob.task);
    little_put_u64(header + 24, like->blob.id);
    little_put_u64(header + 32, raw_size);
    little_put_u64(header + 40, size);
    little_put_u64(header + 48, XXH3_64bits(frame, size));
    little_put_u64(header + 56, XXH3_64bits(header, 56));
    fuzz_put(&made, header, sizeof header);
    fuzz_put(&made, frame, size);
    return made;
}

static void replace_part(struct samples_desk *desk, const struct fuzz_bytes *blob, uint64_t raw)
{
    samples_replace_blob(desk, BLOB_SNAPSHOT, 1, blob->data, blob->size, raw);
}

/* Of the second task: the first subtask of `work`. */
static const struct manifest_blob *a_part(void)
{
    return &samples_manifest(false)->tasks[1].part;
}

/* So many zeros, as a frame that says `content` of its size. */
static struct fuzz_bytes make_frame(size_t zeros, uint64_t content)
{
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB,
                      .contentSize = zeros,
                      .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                      .blockChecksumFlag = LZ4F_blockChecksumEnabled}};
    size_t bound = LZ4F_compressFrameBound(zeros, &preferences);
    struct fuzz_bytes frame = {calloc(1, bound), 0, bound};
    void *raw = calloc(1, zeros);

    frame.size = LZ4F_compressFrame(frame.data, bound, raw, zeros, &preferences);
    cr_assert(!LZ4F_isError(frame.size));
    little_put_u64(frame.data + 6, content);
    frame.data[14] = (unsigned char)(XXH32(frame.data + 4, 10, 0) >> 8);
    free(raw);
    return frame;
}

static void put_bomb(struct samples_desk *desk, size_t zeros, uint64_t content, uint64_t raw)
{
    struct fuzz_bytes frame = make_frame(zeros, content);
    struct fuzz_bytes blob = make_blob(a_part(), frame.data, frame.size, raw);

    replace_part(desk, &blob, raw);
    fuzz_drop(&blob);
    fuzz_drop(&frame);
}

static void say_4_gib(struct samples_desk *desk)
{
    put_bomb(desk, 65536, (uint64_t)4 << 30, (uint64_t)4 << 30);
}

static void inflate_beyond(struct samples_desk *desk)
{
    put_bomb(desk, (size_t)8 << 20, 65536, 65536);
}

static void inflate_to_less(struct samples_desk *desk)
{
    put_bomb(desk, 65536, 70000, 70000);
}

/* The header as it would be stored, changed at one place. */
static void change_header(struct samples_desk *desk, size_t at, unsigned char to, bool seal)
{
    struct fuzz_bytes frame = make_frame(1000, 1000);
    struct fuzz_bytes blob = make_blob(a_part(), frame.data, frame.size, 1000);

    blob.data[at] = to;
    if (seal)
        little_put_u64(blob.data + 56, XXH3_64bits(blob.data, 56));
    replace_part(desk, &blob, 1000);
    fuzz_drop(&blob);
    fuzz_drop(&frame);
}

static void newer_blob(struct samples_desk *desk)
{
    change_header(desk, 12, 200, true);
}

static void foreign_blob(struct samples_desk *desk)
{
    change_header(desk, 14, 3 - little_native_order(), true);
}

static void unknown_kind(struct samples_desk *desk)
{
    change_header(desk, 13, 99, true);
}

static void unused_byte(struct samples_desk *desk)
{
    change_header(desk, 15, 1, true);
}

static void swapped_magic(struct samples_desk *desk)
{
    struct fuzz_bytes frame = make_frame(1000, 1000);
    struct fuzz_bytes blob = make_blob(a_part(), frame.data, frame.size, 1000);

    for (size_t i = 0; i < 2; i++) {
        unsigned char byte = blob.data[i];
        blob.data[i] = blob.data[3 - i];
        blob.data[3 - i] = byte;
    }
    replace_part(desk, &blob, 1000);
    fuzz_drop(&blob);
    fuzz_drop(&frame);
}

static void newer_lock(struct samples_desk *desk)
{
    samples_edit_lock(desk, false)->data[8] = 200;
}

static void foreign_lock(struct samples_desk *desk)
{
    struct fuzz_bytes *lock = samples_edit_lock(desk, false);
    lock->data[9] = lock->data[128 + 9] = 3 - little_native_order();
}

static void newer_manifest(struct samples_desk *desk)
{
    char from[40];
    snprintf(from, sizeof from, "\"weir\": %d", MANIFEST_VERSION);
    replace(samples_edit_text(desk), from, "\"weir\": 99");
}

static void wide_version(struct samples_desk *desk)
{
    char from[40];
    snprintf(from, sizeof from, "\"weir\": %d", MANIFEST_VERSION);
    replace(samples_edit_text(desk), from, "\"weir\": 99999999999999999999999999");
}

/* The n-th section of that tag in a raw blob. */
static unsigned char *section_of(struct fuzz_bytes *raw, uint32_t tag)
{
    size_t at = 0;
    while (at + 16 <= raw->size && little_u32(raw->data + at) != tag)
        at += 16 + ((size_t)little_u64(raw->data + at + 8) + 7) / 8 * 8;
    cr_assert_lt(at + 16, raw->size, "no section %u", tag);
    return raw->data + at;
}

static void long_section(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    little_put_u64(section_of(part, SNAPSHOT_POSITION) + 8, UINT64_C(1) << 63);
}

static void longest_section(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    little_put_u64(section_of(part, SNAPSHOT_POSITION) + 8, UINT64_MAX - 15);
}

/* Behind name ("total"), version, value size, kind, whether values expire. */
static void many_keys(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    little_put_u64(section_of(part, SNAPSHOT_STATE) + 16 + 4 + 5 + 16, UINT64_C(1) << 60);
}

static void no_section_of_state(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    part->size = (size_t)(section_of(part, SNAPSHOT_STATE) - part->data);
}

static void state_twice(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    const unsigned char *state = section_of(part, SNAPSHOT_STATE);
    unsigned char copy[512];
    size_t size = 16 + ((size_t)little_u64(state + 8) + 7) / 8 * 8;
    cr_assert_leq(size, sizeof copy);
    memcpy(copy, state, size);
    fuzz_put(part, copy, size);
}

/* Of the first state's section: u32 size of the name, "total", and four numbers behind it. */
static void change_state(struct samples_desk *desk, size_t at, unsigned char to)
{
    section_of(samples_edit_blob(desk, BLOB_SNAPSHOT, 1), SNAPSHOT_STATE)[16 + at] = to;
}

static void state_of_another_name(struct samples_desk *desk)
{
    change_state(desk, 4, 'T');
}

static void state_of_a_shorter_name(struct samples_desk *desk)
{
    change_state(desk, 0, 4);
}

static void state_of_another_size(struct samples_desk *desk)
{
    change_state(desk, 9 + 4, 16);
}

static void state_of_another_kind(struct samples_desk *desk)
{
    change_state(desk, 9 + 8, 2);
}

static void state_that_expires(struct samples_desk *desk)
{
    change_state(desk, 9 + 12, 1);
}

static void short_handle(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 3);
    unsigned char *handle = section_of(part, SNAPSHOT_HANDLE);
    size_t size = ((size_t)little_u64(handle + 8) + 7) / 8 * 8;
    memmove(handle + 24, handle + 16 + size,
            part->size - (size_t)(handle + 16 + size - part->data));
    part->size -= size - 8;
    memset(handle + 16, 0, 8);
    little_put_u64(handle + 8, 4);
}

static void long_entry(struct samples_desk *desk)
{
    little_put_u32(samples_edit_blob(desk, BLOB_STATE, 0)->data + 4, 0x7fffffffu);
}

static void long_key(struct samples_desk *desk)
{
    little_put_u32(samples_edit_blob(desk, BLOB_STATE, 0)->data, UINT32_MAX);
}

/* Behind the numbers of the section stand the items. */
static void long_item(struct samples_desk *desk)
{
    struct fuzz_bytes *piece = samples_edit_blob(desk, BLOB_INFLIGHT, 0);
    little_put_u32(piece->data + 16 + 24 + 4, 0x7fffffffu);
}

static void long_item_key(struct samples_desk *desk)
{
    struct fuzz_bytes *piece = samples_edit_blob(desk, BLOB_INFLIGHT, 0);
    little_put_u32(piece->data + 16 + 24, 0xfffffff0u);
}

static void unknown_edge(struct samples_desk *desk)
{
    struct fuzz_bytes *piece = samples_edit_blob(desk, BLOB_INFLIGHT, 0);
    little_put_u32(piece->data + 16, UINT32_MAX);
}

static void many_tasks(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"parallelism\": 2", "\"parallelism\": 65536");
}

static void too_many_tasks(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"parallelism\": 2", "\"parallelism\": 4294967297");
}

static void negative_number(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"parallelism\": 2", "\"parallelism\": -2");
}

static void number_with_a_point(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"parallelism\": 2", "\"parallelism\": 2.0");
}

static void far_offset(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"offset\": ", "\"offset\": 9000000000000000");
}

static void far_container(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"number\": ", "\"number\": 922337203685477580");
}

static void text_of(struct samples_desk *desk, const char *piece, size_t times, const char *end)
{
    struct fuzz_bytes *text = samples_edit_text(desk);
    fuzz_clear(text);
    for (size_t i = 0; i < times; i++)
        fuzz_put(text, piece, strlen(piece));
    fuzz_put(text, end, strlen(end));
}

static void dense_arrays(struct samples_desk *desk)
{
    text_of(desk, "[", 1000000, "");
}

static void dense_objects(struct samples_desk *desk)
{
    text_of(desk, "{\"a\":", 500000, "1");
}

static void deep_arrays(struct samples_desk *desk)
{
    text_of(desk, "[            ", 1000000, "");
}

static void wide_arrays(struct samples_desk *desk)
{
    struct fuzz_bytes *text = samples_edit_text(desk);
    fuzz_clear(text);
    fuzz_put(text, "{\"a\": [", 7);
    for (uint32_t i = 0; i < 5000000; i++)
        fuzz_put(text, "[],", 3);
    fuzz_put(text, "1]", 2);
}

static void wide_objects(struct samples_desk *desk)
{
    struct fuzz_bytes *text = samples_edit_text(desk);
    fuzz_clear(text);
    fuzz_put(text, "{\"a\": [", 7);
    for (uint32_t i = 0; i < 5000000; i++)
        fuzz_put(text, "{},", 3);
    fuzz_put(text, "1]", 2);
}

static void too_long_text(struct samples_desk *desk)
{
    text_of(desk, "                ", (MANIFEST_LIMIT >> 4) + 1, "");
}

static void name(struct samples_desk *desk, const char *called)
{
    struct fuzz_bytes to = {0};
    fuzz_put(&to, "\"name\": \"", 9);
    fuzz_put(&to, called, strlen(called));
    fuzz_put(&to, "\"", 2); /* and its zero */
    replace(samples_edit_text(desk), "\"name\": \"work\"", (const char *)to.data);
    fuzz_drop(&to);
}

static void name_with_slash(struct samples_desk *desk)
{
    name(desk, "work/../../etc");
}

static void name_of_parent(struct samples_desk *desk)
{
    name(desk, "..");
}

static void empty_name(struct samples_desk *desk)
{
    name(desk, "");
}

static void name_with_zero(struct samples_desk *desk)
{
    name(desk, "wo\\u0000rk");
}

static void long_name(struct samples_desk *desk)
{
    char *called = malloc(10001);
    memset(called, 'n', 10000);
    called[10000] = 0;
    name(desk, called);
    free(called);
}

static void state_with_slash(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"name\": \"words\"", "\"name\": \"wor/ds\"");
}

static void output_of_parent(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"output\": \"out\"", "\"output\": \"../out\"");
}

static void job_with_newline(struct samples_desk *desk)
{
    replace(samples_edit_text(desk), "\"job\": \"job\"", "\"job\": \"job\\nforged\"");
}

static const struct hostile {
    const char *what;
    void (*make)(struct samples_desk *desk);
    enum weir_result result;
    const char *view_says, *start_says; /* NULL: the same */
} hostile[] = {
    {"a blob that says 4 GiB", say_4_gib, WEIR_DAMAGED, "impossible", NULL},
    {"a frame that inflates beyond its header's size", inflate_beyond, WEIR_DAMAGED, "LZ4", NULL},
    {"a frame that inflates to less", inflate_to_less, WEIR_DAMAGED, "decompressing failed", NULL},
    {"a blob of a newer version", newer_blob, WEIR_UNSUPPORTED, "newer", NULL},
    {"a blob of another byte order", foreign_blob, WEIR_UNSUPPORTED, "byte order", NULL},
    {"a blob of an unknown kind", unknown_kind, WEIR_UNSUPPORTED, "unknown kind", NULL},
    {"a blob whose unused byte is used", unused_byte, WEIR_DAMAGED, "impossible", NULL},
    {"a blob with its magic swapped", swapped_magic, WEIR_DAMAGED, "magic", NULL},
    {"a LOCK of a newer version", newer_lock, WEIR_UNSUPPORTED, "newer", NULL},
    {"a LOCK of another byte order", foreign_lock, WEIR_UNSUPPORTED, "byte order", NULL},
    {"a manifest of a newer version", newer_manifest, WEIR_UNSUPPORTED, "newer", NULL},
    {"a version beyond all numbers", wide_version, WEIR_DAMAGED, "too big integer", NULL},
    {"a section of 2^63 bytes", long_section, WEIR_DAMAGED, "well-formed", NULL},
    {"a section of nearly 2^64 bytes", longest_section, WEIR_DAMAGED, "well-formed", NULL},
    {"a state of 2^60 keys", many_keys, WEIR_DAMAGED, "so many keys", NULL},
    {"a state without its section", no_section_of_state, WEIR_DAMAGED, "not what the manifest says",
     "no section"},
    {"a state with two sections", state_twice, WEIR_DAMAGED, "twice", NULL},
    {"a state of another name", state_of_another_name, WEIR_DAMAGED, "not what the manifest says",
     NULL},
    {"a state of a shorter name", state_of_a_shorter_name, WEIR_DAMAGED,
     "not what the manifest says", NULL},
    {"a state of another size", state_of_another_size, WEIR_DAMAGED, "not what the manifest says",
     NULL},
    {"a state of another kind", state_of_another_kind, WEIR_DAMAGED, "not what the manifest says",
     NULL},
    {"a state that expires now", state_that_expires, WEIR_DAMAGED, "not what the manifest says",
     NULL},
    {"a handle of four bytes", short_handle, WEIR_DAMAGED, "well-formed", NULL},
    {"an entry of 2 GiB", long_entry, WEIR_DAMAGED, "well-formed", NULL},
    {"an entry whose key has 4 GiB", long_key, WEIR_DAMAGED, "well-formed", NULL},
    {"a record of 2 GiB in flight", long_item, WEIR_DAMAGED, "well-formed", NULL},
    {"a key of 4 GiB in flight", long_item_key, WEIR_DAMAGED, "well-formed", NULL},
    {"content of an edge that there is not", unknown_edge, WEIR_DAMAGED, "edge", NULL},
    {"65536 subtasks of a node", many_tasks, WEIR_DAMAGED, "\"tasks\"", NULL},
    {"more than 2^32 subtasks", too_many_tasks, WEIR_DAMAGED, "\"parallelism\"", NULL},
    {"a negative number", negative_number, WEIR_DAMAGED, "\"parallelism\"", NULL},
    {"a number with a point", number_with_a_point, WEIR_DAMAGED, "\"parallelism\"", NULL},
    {"an offset far behind the end", far_offset, WEIR_DAMAGED, "cut short", NULL},
    {"a container that nobody can have written", far_container, WEIR_DAMAGED, "missing", NULL},
    {"arrays a million deep", dense_arrays, WEIR_DAMAGED, "no manifest has", NULL},
    {"objects half a million deep", dense_objects, WEIR_DAMAGED, "no manifest has", NULL},
    {"arrays a million deep, with room between them", deep_arrays, WEIR_DAMAGED, "depth", NULL},
    {"5 million arrays", wide_arrays, WEIR_DAMAGED, "no manifest has", NULL},
    {"5 million objects", wide_objects, WEIR_DAMAGED, "no manifest has", NULL},
    {"a manifest of more than 16 MiB", too_long_text, WEIR_DAMAGED, "limit", NULL},
    {"a node's name with slashes", name_with_slash, WEIR_DAMAGED, "not a name", NULL},
    {"a node called ..", name_of_parent, WEIR_DAMAGED, "not a name", NULL},
    {"a node without a name", empty_name, WEIR_DAMAGED, "not a name", NULL},
    {"a node's name with a zero in it", name_with_zero, WEIR_DAMAGED, "u0000", NULL},
    {"a node's name of 10 kB", long_name, WEIR_DAMAGED, "not a name", NULL},
    {"a state's name with a slash", state_with_slash, WEIR_DAMAGED, "not a name", NULL},
    {"an output's name that leads up", output_of_parent, WEIR_DAMAGED, "not a name", NULL},
    {"a job's name with a newline", job_with_newline, WEIR_DAMAGED, "not a name", NULL},
};

/* jansson's memory does not come through weir's door. */
static struct {
    size_t taken, peak;
} json;

static void *json_take(size_t size)
{
    size_t *block = malloc(size + 16);
    if (block == NULL)
        return NULL;
    *block = size;
    json.taken += size;
    json.peak = json.taken > json.peak ? json.taken : json.peak;
    return block + 2;
}

static void json_give(void *memory)
{
    size_t *block = memory;
    if (memory == NULL)
        return;
    json.taken -= block[-2];
    free(block - 2);
}

/* Twice what a manifest may have, and what jansson makes of the text that is let through. */
#define JSON_MEMORY ((size_t)64 << 20)

static void try_hostile(const struct hostile *row)
{
    const struct rich *rich = samples_store(false);
    struct samples_desk *desk = samples_desk(false);
    const char *start_says = row->start_says != NULL ? row->start_says : row->view_says;
    struct rich_start start = {0};
    struct rich_end end;

    json.peak = json.taken;
    row->make(desk);
    samples_put(desk);
    json.peak = json.taken;
    struct look look = look_at(RICH_STORE);
    enum weir_result result = look.opened != WEIR_OK ? look.opened : look.verified;
    cr_expect_eq(result, row->result, "%s: %s: %s", row->what, weir_result_name(result),
                 look.error.text);
    cr_expect(strstr(look.error.text, row->view_says) != NULL, "%s: \"%s\"", row->what,
              look.error.text);
    start.allocator = fuzz_memory(MEMORY);
    rich_go_on(rich, &start, &end);
    cr_expect_eq(end.result, row->result, "%s: started: %s: %s", row->what,
                 weir_result_name(end.result), end.error.text);
    cr_expect(strstr(end.error.text, start_says) != NULL, "%s: started: \"%s\"", row->what,
              end.error.text);
    cr_expect(end.left == 0 && fuzz_memory_taken() == 0, "%s: something is left", row->what);
    cr_expect_leq(json.peak, JSON_MEMORY, "%s: %zu bytes of JSON", row->what, json.peak);
    cr_assert_eq(json.taken, 0, "%s", row->what);
}

/* fuzz_memory ends the test where more than MEMORY is asked for. */
Test(bad_bytes, what_is_sealed_and_means_harm_is_refused_by_both_and_takes_no_memory)
{
    const size_t rows = sizeof hostile / sizeof hostile[0];

    json_set_alloc_funcs(json_take, json_give);
    for (size_t i = 0; i < rows; i++)
        try_hostile(&hostile[i]);
    exercised(2 * rows);
}

/* ---- lists ---- */

static void list_of_others(struct samples_desk *desk)
{
    memset(samples_edit_blob(desk, BLOB_LIST, 0)->data, 0xff, 4);
}

static void list_far_away(struct samples_desk *desk)
{
    little_put_u64(samples_edit_blob(desk, BLOB_LIST, 0)->data + 16, INT64_MAX);
}

static void list_of_large_blobs(struct samples_desk *desk)
{
    little_put_u64(samples_edit_blob(desk, BLOB_LIST, 0)->data + 24, (uint64_t)1 << 36);
}

static void list_that_goes_back(struct samples_desk *desk)
{
    struct fuzz_bytes *list = samples_edit_blob(desk, BLOB_LIST, 0);
    unsigned char first[48];
    memcpy(first, list->data, sizeof first);
    memmove(list->data, list->data + 48, 48);
    memcpy(list->data + 48, first, sizeof first);
}

Test(bad_bytes, lists_that_lie_are_refused_by_both_and_take_no_memory)
{
    static void (*const lies[])(struct samples_desk * desk) = {
        list_of_others, list_far_away, list_of_large_blobs, list_that_goes_back};
    const struct rich *rich = samples_store(true);

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct samples_desk *desk = samples_desk(true);
        struct rich_start start = {0};
        struct rich_end end;
        lies[i](desk);
        samples_put(desk);
        struct look look = look_at(RICH_STORE);
        cr_expect(look.verified == WEIR_DAMAGED && strstr(look.error.text, ".seg") &&
                      strstr(look.error.text, "list of a segment's blobs"),
                  "%zu: %s: %s", i, weir_result_name(look.verified), look.error.text);
        start.allocator = fuzz_memory(MEMORY);
        rich_go_on(rich, &start, &end);
        cr_expect(end.result == WEIR_DAMAGED && strstr(end.error.text, ".seg"), "%zu: %s: %s", i,
                  weir_result_name(end.result), end.error.text);
    }
}

/* ---- names of files ---- */

Test(bad_bytes, files_that_are_not_weirs_are_left_alone_whatever_they_are_called)
{
    static const char *const names[] = {
        "-",          " ",    "MANIFEST.json",       "0000000001-1.seg", "00000000000000000001x",
        "\xff\xfe\n", "%s%n", "99999999999999999999"};
    const struct rich *rich = samples_store(false);
    struct rich_start start = {0};
    struct rich_end end;
    char name[200];

    rich_put_back(rich);
    struct look well = look_at(RICH_STORE);
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    for (int i = 0; i < 2; i++) {
        struct file_node *folder = node_of(i == 0 ? RICH_STORE "/data" : RICH_STORE "/checkpoints");
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            (void)files_add(folder, names[k], k % 2 == 0);
        (void)files_add(folder, name, false);
    }
    struct look look = look_at(RICH_STORE);
    cr_assert(look.opened == WEIR_OK && look.verified == WEIR_OK && look.rows == well.rows, "%s",
              look.error.text);
    rich_go_on(rich, &start, &end);
    cr_assert(end.result == WEIR_OK && end.exact, "%s", end.error.text);
}

/* ---- programs that have no place for what there is ---- */

static void go_on(enum rich_change change, bool may_drop, uint32_t parallelism,
                  struct rich_end *end)
{
    struct rich_start start = {.change = change,
                               .may_drop = may_drop,
                               .parallelism = parallelism,
                               .allocator = fuzz_memory(MEMORY)};
    rich_go_on(samples_store(false), &start, end);
    cr_expect(end->left == 0 && fuzz_memory_taken() == 0, "%d: something is left", (int)change);
}

Test(bad_bytes, a_program_that_lacks_what_the_checkpoint_needs_is_refused_and_told)
{
    static const struct {
        enum rich_change change;
        const char *says;
        bool droppable; /* with the user's leave it goes on */
    } rows[] = {
        {RICH_WORK_RENAMED, "state 'total' of node 'work': 12 keys", true},
        {RICH_SINK_RENAMED, "sink 'sink' is not in the graph", false},
        {RICH_EDGE_RENAMED, "edge work.out -> sink.in: ", true},
        {RICH_STATE_RENAMED, "state 'words' of node 'work': ", true},
        {RICH_NO_TIMER, "the operator has no timer callback any more", false},
        {RICH_NO_KEY_TIMER, "state '_timers' of node 'work': ", true},
        {RICH_NO_LOAD, "it holds operator state, and the operator has no load callback", false},
        {RICH_NO_COMMIT, "no commit callback any more", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint32_t n = 0; n < 4; n++) { /* with leave or without, with three subtasks as well */
            struct rich_end end;
            samples_put(samples_desk(false));
            go_on(rows[i].change, n % 2 > 0, n < 2 ? 0 : 3, &end);
            if (rows[i].droppable && n % 2 > 0) {
                cr_expect_eq(end.result, WEIR_OK, "%zu: %s", i, end.error.text);
                continue;
            }
            cr_expect_eq(end.result, WEIR_MISMATCH, "%zu: %s", i, weir_result_name(end.result));
            cr_expect(strstr(end.error.text, rows[i].says) != NULL, "%zu: %s", i, end.error.text);
        }
}

static void foreign_state(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    little_put_u32(section_of(part, SNAPSHOT_STATE) + 4, 77);
}

static void short_state(struct samples_desk *desk)
{
    struct fuzz_bytes *part = samples_edit_blob(desk, BLOB_SNAPSHOT, 1);
    unsigned char *state = section_of(part, SNAPSHOT_STATE);
    part->size = (size_t)(state - part->data) + 16 + 8;
    little_put_u64(state + 8, 8);
}

static void cut_piece(struct samples_desk *desk)
{
    samples_edit_blob(desk, BLOB_INFLIGHT, 0)->size -= 8;
}

/* What would be dropped is counted before it is, and only what is sound. */
Test(bad_bytes, what_is_sealed_and_means_harm_is_refused_where_it_would_be_dropped)
{
    static const struct {
        void (*make)(struct samples_desk *desk);
        const char *says;
    } rows[] = {
        {long_section, "a part of node 'work' is not well-formed"},
        {foreign_state, "a part of node 'work' is not well-formed"},
        {short_state, "a part of node 'work' is not well-formed"},
        {long_item, "what was in flight is not well-formed"},
        {unknown_edge, "what was in flight is not well-formed"},
        {cut_piece, "what was in flight is not well-formed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int may_drop = 0; may_drop < 2; may_drop++) {
            struct samples_desk *desk = samples_desk(false);
            struct rich_end end;
            rows[i].make(desk);
            samples_put(desk);
            go_on(RICH_WORK_RENAMED, may_drop > 0, 0, &end);
            cr_expect_eq(end.result, WEIR_DAMAGED, "%zu: %s", i, weir_result_name(end.result));
            cr_expect(strstr(end.error.text, rows[i].says) != NULL, "%zu: %s", i, end.error.text);
        }
    exercised(2 * sizeof rows / sizeof rows[0]);
}

/* ---- values of an older version ---- */

/* In some bytes more, each time others; or in a fixed size, that begins with what there was. */
static enum weir_result grows(const void *config, uint32_t version, struct weir_bytes key,
                              struct weir_bytes value, struct weir_migration *to,
                              struct weir_error *error)
{
    static size_t more;
    size_t fixed = config ? *(const size_t *)config : 0;
    (void)version, (void)key, (void)error;
    more = (more + 1) % 40;
    void *room = weir_migrate_room(to, fixed > 0 ? fixed : value.size + more);
    if (room != NULL)
        memcpy(room, value.data, value.size);
    return WEIR_OK;
}

static enum weir_result empties(const void *config, uint32_t version, struct weir_bytes key,
                                struct weir_bytes value, struct weir_migration *to,
                                struct weir_error *error)
{
    (void)config, (void)version, (void)key, (void)value, (void)error;
    return weir_migrate_room(to, 0) != NULL ? WEIR_OK : WEIR_FAILED;
}

static enum weir_result drops(const void *config, uint32_t version, struct weir_bytes key,
                              struct weir_bytes value, struct weir_migration *to,
                              struct weir_error *error)
{
    (void)config, (void)version, (void)key, (void)value, (void)to, (void)error;
    return WEIR_OK;
}

static enum weir_result asks_for_too_much(const void *config, uint32_t version,
                                          struct weir_bytes key, struct weir_bytes value,
                                          struct weir_migration *to, struct weir_error *error)
{
    (void)config, (void)version, (void)key, (void)value, (void)error;
    cr_expect_null(weir_migrate_room(to, ((size_t)16 << 20) + 1));
    return WEIR_OK;
}

static enum weir_result says_no(const void *config, uint32_t version, struct weir_bytes key,
                                struct weir_bytes value, struct weir_migration *to,
                                struct weir_error *error)
{
    (void)version, (void)key, (void)value, (void)to;
    if (config != NULL)
        snprintf(error->text, sizeof error->text, "no luck with %s", (const char *)config);
    return WEIR_REFUSED;
}

/* With as many subtasks, and with others. */
static void migrates(const struct weir_state *newer, enum weir_result result, const char *says)
{
    for (uint32_t parallelism = 0; parallelism < 4; parallelism += 3) {
        struct rich_start start = {
            .newer = newer, .parallelism = parallelism, .allocator = fuzz_memory(MEMORY)};
        struct rich_end end;
        samples_put(samples_desk(false));
        rich_go_on(samples_store(false), &start, &end);
        cr_expect_eq(end.result, result, "%s: %s: %s", newer->name, weir_result_name(end.result),
                     end.error.text);
        cr_expect(strstr(end.error.text, says) != NULL, "%s: %s", newer->name, end.error.text);
        cr_expect(result != WEIR_OK || end.exact, "%s: it is not exact", newer->name);
        cr_expect(end.left == 0 && fuzz_memory_taken() == 0, "%s: something is left", newer->name);
    }
}

Test(bad_bytes, values_of_an_older_version_become_what_migrate_makes_of_them_or_it_says_why_not)
{
    static const size_t sixteen = 16, nine = 9;
    const struct weir_state total = {WEIR_SIZED(struct weir_state), .name = "total", .version = 1,
                                     .value_size = 16},
                            words = {WEIR_SIZED(struct weir_state), .name = "words", .version = 1,
                                     .kind = WEIR_STATE_MAP},
                            trail = {WEIR_SIZED(struct weir_state), .name = "trail", .version = 1,
                                     .kind = WEIR_STATE_LIST, .value_size = 8};
    struct weir_state newer[] = {total, words, words, words, trail, total, words, words, words};
    newer[0].migrate = grows, newer[0].migrate_config = &sixteen;
    newer[1].migrate = grows;
    newer[2].migrate = empties;
    newer[3].migrate = drops;
    for (size_t i = 0; i < 4; i++)
        migrates(&newer[i], WEIR_OK, "");
    newer[4].migrate = drops;
    migrates(&newer[4], WEIR_INVALID, "migrate drops an element of a list");
    newer[5].migrate = grows, newer[5].migrate_config = &nine;
    migrates(&newer[5], WEIR_INVALID, "asked for room of a size that the state does not have");
    newer[6].migrate = asks_for_too_much;
    migrates(&newer[6], WEIR_INVALID, "asked for room of a size that the state does not have");
    newer[7].migrate = says_no;
    migrates(&newer[7], WEIR_REFUSED, "a value of version 0 can't become one of version 1");
    newer[8].migrate = says_no, newer[8].migrate_config = "words";
    migrates(&newer[8], WEIR_REFUSED, "can't become one of version 1: no luck with words");
}
