/* SPDX-License-Identifier: Apache-2.0
 *
 * view: a byte, and edits of a store (samples.h) that weir_checkpoint.h looks at, with all that it
 * has. What it verifies it can walk, to the end, and the first keys of a walk are found, with their
 * values; and of two that are verified it can tell what differs. What it refuses it names.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "samples.h"
#include "sim.h"
#include "weir_checkpoint.h"

#define MEMORY ((size_t)48 << 20)
#define ROWS 100000u /* at most, of one walk */
#define FINDS 4u     /* keys of a walk that are looked for as well */

enum { LARGE = 1, SAVEPOINT = 2 };

/* Found by its key as the cursor has shown it. */
static void find(struct weir_checkpoint *checkpoint, const char *node, const char *state,
                 const struct weir_row *row)
{
    struct weir_bytes value;
    struct weir_error error = {0};
    enum weir_result result =
        weir_checkpoint_find(checkpoint, node, state, row->key, &value, &error);

    fuzz_must(result == WEIR_OK, "a key of %s is walked, and not found: %s", state, error.text);
    fuzz_must(value.size == row->value.size &&
                  (value.size == 0 || memcmp(value.data, row->value.data, value.size) == 0),
              "a key of %s is found with another value", state);
}

static void walk(struct weir_checkpoint *checkpoint, enum weir_rows rows, const char *node,
                 const struct weir_checkpoint_state *state, bool sound)
{
    struct weir_cursor *cursor = NULL;
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    const char *name = state == NULL ? NULL : state->name;
    bool values = state != NULL && strcmp(state->kind, "value") == 0;
    uint32_t count = 0;

    enum weir_result result = weir_cursor_open(checkpoint, rows, node, name, &cursor, &error);
    if (result == WEIR_OK) {
        while (count++ < ROWS && weir_cursor_next(cursor, &row))
            if (sound && values && count <= FINDS)
                find(checkpoint, node, name, &row);
        result = weir_cursor_close(&cursor, &error);
    }
    fuzz_must(count < ROWS, "rows without an end");
    fuzz_must(!sound || result == WEIR_OK, "verified, and can't be walked: %s", error.text);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
}

static void walk_node(struct weir_checkpoint *checkpoint, uint32_t index,
                      const struct weir_checkpoint_node *node, bool sound)
{
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    struct weir_bytes value, key = {"some key", 8};
    struct weir_error error = {0};

    walk(checkpoint, WEIR_ROWS_ITEMS, node->name, NULL, sound);
    walk(checkpoint, WEIR_ROWS_HANDLES, node->name, NULL, sound);
    walk(checkpoint, WEIR_ROWS_INFLIGHT, node->name, NULL, sound);
    for (uint32_t i = 0; weir_checkpoint_get_state(checkpoint, index, i, &state); i++) {
        walk(checkpoint, WEIR_ROWS_STATE, node->name, &state, sound);
        enum weir_result result =
            weir_checkpoint_find(checkpoint, node->name, state.name, key, &value, &error);
        if (result != WEIR_OK)
            fuzz_refused(result, &error);
    }
}

static void look(struct weir_checkpoint *checkpoint, bool sound)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    uint32_t nodes = 0, edges = 0, tasks = 0;

    weir_checkpoint_describe(checkpoint, &info);
    for (; weir_checkpoint_get_node(checkpoint, nodes, &node); nodes++)
        walk_node(checkpoint, nodes, &node, sound);
    for (; weir_checkpoint_get_edge(checkpoint, edges, &edge); edges++)
        fuzz_must(edge.from < nodes && edge.to < nodes, "an edge between no nodes");
    for (; weir_checkpoint_get_task(checkpoint, tasks, &task); tasks++)
        fuzz_must(task.node < nodes, "a task of no node");
    fuzz_must(info.nodes == nodes && info.edges == edges && info.tasks == tasks, "miscounted");
    walk(checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL, sound);
}

static void look_at(struct weir_store *store, uint64_t id)
{
    struct weir_checkpoint *checkpoint = NULL;
    struct weir_error error = {0};
    char name[40];

    snprintf(name, sizeof name, "checkpoint %llu", (unsigned long long)id);
    enum weir_result verified = weir_store_verify(store, id, &error);
    if (verified != WEIR_OK) {
        fuzz_refused(verified, &error);
        fuzz_must(strstr(error.text, name) != NULL, "not named: %s", error.text);
    }
    enum weir_result result = weir_checkpoint_open(store, id, &checkpoint, &error);
    if (result == WEIR_OK)
        look(checkpoint, verified == WEIR_OK);
    else
        fuzz_refused(result, &error);
    weir_checkpoint_close(&checkpoint);
}

static void compare(struct weir_checkpoint *before, struct weir_checkpoint *after, const char *node,
                    const char *state, bool sound)
{
    struct weir_difference *difference = NULL;
    struct weir_change change = {WEIR_SIZED(struct weir_change)};
    struct weir_error error = {0};
    uint32_t count = 0;

    enum weir_result result = weir_difference_open(before, after, node, state, &difference, &error);
    bool comparable = result != WEIR_NOT_FOUND && result != WEIR_INVALID;
    while (result == WEIR_OK && count++ < ROWS && weir_difference_next(difference, &change))
        ;
    if (difference != NULL)
        result = weir_difference_close(&difference, &error);
    fuzz_must(count < ROWS, "changes without an end");
    fuzz_must(!sound || !comparable || result == WEIR_OK, "verified, and can't be compared: %s",
              error.text);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
}

static void compare_all(struct weir_store *store, uint64_t first, uint64_t second)
{
    struct weir_checkpoint *before = NULL, *after = NULL;
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    bool sound = weir_store_verify(store, first, NULL) == WEIR_OK &&
                 weir_store_verify(store, second, NULL) == WEIR_OK;

    if (weir_checkpoint_open(store, first, &before, NULL) == WEIR_OK &&
        weir_checkpoint_open(store, second, &after, NULL) == WEIR_OK)
        for (uint32_t i = 0; weir_checkpoint_get_node(after, i, &node); i++)
            for (uint32_t k = 0; weir_checkpoint_get_state(after, i, k, &state); k++)
                compare(before, after, node.name, state.name, sound);
    weir_checkpoint_close(&before);
    weir_checkpoint_close(&after);
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t how = fuzz_u8(&input);
    struct weir_store *store = NULL;
    struct weir_error error = {0};
    const uint64_t *ids = NULL;
    size_t count = 0;

    samples_put_edited((how & LARGE) != 0, input);
    sim_start(1);
    const char *path = (how & SAVEPOINT) != 0 ? RICH_SAVED : RICH_STORE;
    enum weir_result result = weir_store_open(path, fuzz_memory(MEMORY), &store, &error);
    if (result == WEIR_OK)
        result = weir_store_list(store, &ids, &count, &error);
    if (result != WEIR_OK)
        fuzz_refused(result, &error);
    for (size_t i = 0; result == WEIR_OK && i < count; i++)
        look_at(store, ids[i]);
    if (result == WEIR_OK && count > 1)
        compare_all(store, ids[count - 2], ids[count - 1]);
    weir_store_close(&store);
    fuzz_must(fuzz_memory_taken() == 0, "%zu bytes are left behind", fuzz_memory_taken());
    fuzz_must(sim_end() == 0, "something is left behind");
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    unsigned char how = n % 4;

    fuzz_put(to, &how, 1);
    return samples_edits(n, to);
}

const struct fuzz_target fuzz_view = {"view", run, seed, NULL};
