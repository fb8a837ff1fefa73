/* SPDX-License-Identifier: Apache-2.0
 *
 * part: the input is how long the first of two parts is, and both: what the two subtasks of `work`
 * have saved (samples.h). Each section is read by whoever reads its kind; the parts are shared out
 * to one to four subtasks, where no item, handle, or letter may get lost or come twice; and a blob
 * of what was in flight is taken apart like them.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "handover.h"
#include "letter.h"
#include "little.h"
#include "passed.h"
#include "samples.h"
#include "snapshot.h"
#include "timer.h"
#include "view_inside.h"

#define SECTION_HEAD 16u
#define NEW_SUBTASKS 4u

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

/* ---- each section by itself ---- */

static void read_letter(struct snapshot_section *section)
{
    struct letters letters = {.allocator = NULL, .node = "work"};
    struct weir_error error = {0};
    struct snapshot_writer writer = {.grow = grow};

    enum weir_result result = letters_load(&letters, section, &error);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
    else
        letters_save(&letters, &writer);
    free(writer.data);
    letters_free(&letters);
}

static void read_section(struct snapshot_section section)
{
    struct passed_mark mark;
    struct timers timers = {0};
    struct snapshot_inflight inflight;
    struct snapshot_section copy = section;
    uint64_t hash = 0x123456789abcdef0u;

    if (section.tag == SNAPSHOT_SCAN && passed_mark_read(&section, &mark))
        (void)passed_mark_holds(&mark, hash, mark.key);
    if (section.tag == SNAPSHOT_LETTER)
        read_letter(&section);
    if (section.tag == SNAPSHOT_TIMER)
        (void)timers_load(&timers, NULL, &section);
    (void)snapshot_get_inflight(&copy, &inflight);
    (void)snapshot_get_text(&copy);
    fuzz_must(copy.left <= section.left + (size_t)(section.body - copy.body) + copy.left,
              "more than there was is left");
    timers_free(&timers, NULL);
}

/* What of a part goes to exactly one. */
struct sum {
    uint64_t splits, handles, letters;
};

/* False: not well-formed. */
static bool walk(struct weir_bytes part, struct sum *sum)
{
    struct snapshot_reader reader = {part.data, part.size, false};
    struct snapshot_section section;

    while (snapshot_next(&reader, &section)) {
        sum->splits += section.tag == SNAPSHOT_ITEM && section.index == 0;
        sum->handles += section.tag == SNAPSHOT_HANDLE;
        sum->letters += section.tag == SNAPSHOT_LETTER;
        read_section(section);
    }
    return !reader.failed;
}

/* ---- both, to others ---- */

static uint32_t node_of(const struct manifest_graph *graph, const char *name)
{
    uint32_t i = 0;
    while (i < graph->node_count && strcmp(graph->nodes[i].name, name) != 0)
        i++;
    fuzz_must(i < graph->node_count, "no node %s", name);
    return i;
}

static void share_out(const struct weir_bytes parts[2], uint32_t subtasks, const struct sum *all)
{
    const struct manifest_graph *then = &samples_manifest(false)->graph;
    struct manifest_node nodes[8];
    struct manifest_graph now = *then;
    struct mapping mapping;
    struct weir_error error = {0};
    struct sum got = {0};
    uint32_t work = node_of(then, "work");
    enum weir_result result = WEIR_OK;

    fuzz_must(then->node_count <= 8, "too many nodes");
    memcpy(nodes, then->nodes, then->node_count * sizeof nodes[0]);
    nodes[work].parallelism = subtasks;
    now.nodes = nodes;
    fuzz_must(mapping_make(then, &now, NULL, NULL, &mapping, &error) == WEIR_OK, "%s", error.text);
    struct handover handover = {&mapping, work, parts, true};
    for (uint32_t i = 0; result == WEIR_OK && i < subtasks; i++) {
        struct snapshot_writer writer = {.grow = grow};
        result = handover_write(&handover, i, &writer, &error);
        fuzz_must(writer.size <= 2 * (parts[0].size + parts[1].size) + 1024,
                  "%zu bytes are made of %zu and %zu", writer.size, parts[0].size, parts[1].size);
        if (result == WEIR_OK)
            fuzz_must(walk((struct weir_bytes){writer.data, writer.size}, &got),
                      "what is handed over is not well-formed");
        free(writer.data);
    }
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
    else
        fuzz_must(memcmp(&got, all, sizeof got) == 0, "%u subtasks: something is lost or doubled",
                  subtasks);
    mapping_free(&mapping);
}

/* What of the newest checkpoint the part could be: a part of work's first subtask, or what was in
 * flight there. */
static void check(const struct weir_bytes *part, enum blob_kind kind)
{
    const struct manifest *manifest = samples_manifest(false);
    struct blob_buffer raw = {(unsigned char *)(uintptr_t)part->data, part->size, part->size};
    struct manifest_blob place = {.blob = {.kind = kind}};
    uint32_t work = node_of(&manifest->graph, "work"), task = 0;
    struct weir_error error = {0};

    while (manifest->tasks[task].node != work)
        task++;
    const char *wrong = view_check(manifest, task, &place, &raw);
    if (wrong != NULL)
        fuzz_refused(view_damaged(manifest, task, &place, wrong, &error), &error);
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct sum all = {0};
    size_t first = fuzz_u16(&input);
    struct weir_bytes parts[2];

    parts[0] = fuzz_take(&input, first);
    parts[1] = fuzz_take(&input, input.size);
    bool sound = walk(parts[0], &all);
    sound &= walk(parts[1], &all);
    check(&parts[0], BLOB_SNAPSHOT);
    check(&parts[0], BLOB_INFLIGHT);
    for (uint32_t n = 1; sound && n <= NEW_SUBTASKS; n++)
        if (n != 2)
            share_out(parts, n, &all);
}

/* ---- sections that hang together ---- */

static size_t mend_part(unsigned char *data, size_t size)
{
    size_t at = 0;

    while (size - at >= SECTION_HEAD) {
        uint64_t body = little_u64(data + at + 8), left = size - at - SECTION_HEAD;
        uint32_t tag = little_u32(data + at);
        if (tag < SNAPSHOT_TASK || tag > SNAPSHOT_SCAN)
            little_put_u32(data + at, SNAPSHOT_TASK + tag % SNAPSHOT_SCAN);
        if (((body + 7) & ~(uint64_t)7) > left || body > left) {
            body = left & ~(uint64_t)7;
            little_put_u64(data + at + 8, body);
        }
        size_t padded = (size_t)((body + 7) & ~(uint64_t)7);
        memset(data + at + SECTION_HEAD + body, 0, padded - (size_t)body);
        at += SECTION_HEAD + padded;
    }
    return at;
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    (void)room;
    if (size < 2)
        return size;
    size_t first = (size_t)data[0] | (size_t)data[1] << 8;
    if (first > size - 2)
        first = size - 2;
    size_t kept = mend_part(data + 2, first);
    memmove(data + 2 + kept, data + 2 + first, size - 2 - first);
    data[0] = (unsigned char)kept;
    data[1] = (unsigned char)(kept >> 8);
    return 2 + kept + mend_part(data + 2 + kept, size - 2 - first);
}

/* ---- inputs to begin with ---- */

/* What the job has none of. */
static void put_odd_sections(struct snapshot_writer *writer)
{
    struct letters letters = {.allocator = NULL, .node = "work"};
    struct letter letter = {
        .id = 2, .position = 7, .cause = "none", .record = {{"key", 3}, {"value", 5}, 11}};
    struct passed_mark mark = {0, 64, 128, 1u << 20, true, {"key", 3}};

    fuzz_must(letters_add(&letters, &letter), "no memory");
    letters_save(&letters, writer);
    letters_free(&letters);
    passed_mark_save(&mark, 0, writer);
    snapshot_begin(writer, SNAPSHOT_ITEM, 3);
    snapshot_u64(writer, 4711);
    snapshot_end(writer);
    snapshot_begin(writer, SNAPSHOT_HANDLE, 0);
    snapshot_u64(writer, 2);
    snapshot_end(writer);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    struct fuzz_bytes parts[2] = {0};
    struct snapshot_writer odd = {.grow = grow};
    bool inflight = n > 1;
    unsigned char first[2];

    /* Parts: of numbers, work, work, sink. */
    bool there = inflight ? samples_blob(false, BLOB_INFLIGHT, n - 2, &parts[0])
                          : samples_blob(false, BLOB_SNAPSHOT, 1, &parts[0]) &&
                                samples_blob(false, BLOB_SNAPSHOT, 2, &parts[1]);
    if (n == 1)
        put_odd_sections(&odd);
    fuzz_put(&parts[0], odd.data, odd.size);
    if (there) {
        fuzz_must(parts[0].size <= UINT16_MAX, "a part of %zu bytes", parts[0].size);
        first[0] = (unsigned char)parts[0].size;
        first[1] = (unsigned char)(parts[0].size >> 8);
        fuzz_put(to, first, 2);
        fuzz_put(to, parts[0].data, parts[0].size);
        fuzz_put(to, parts[1].data, parts[1].size);
    }
    free(odd.data);
    fuzz_drop(&parts[0]);
    fuzz_drop(&parts[1]);
    return there;
}

const struct fuzz_target fuzz_part = {"part", run, seed, mend};
