/* SPDX-License-Identifier: Apache-2.0
 *
 * What callbacks do with maps and lists. The cells in hand (cell_count) are of plain values, in
 * another state: nothing here moves them.
 */
#include "context.h"
#include "state_list.h"
#include "state_map.h"
#include "task.h"

/* The state, and the hash of the key; NULL: the run has failed. */
static struct state *kind_of(struct weir_context *context, unsigned state,
                             enum weir_state_kind kind, const char *function,
                             const struct weir_bytes *key, uint64_t *hash)
{
    struct state *table = context_state(context, state, STATE_OF(kind), function);
    return table && context_key_hash(context, key, hash) ? table : NULL;
}

static struct state *map_of(struct weir_context *context, unsigned state, const char *function,
                            const struct weir_bytes *key, uint64_t *hash)
{
    return kind_of(context, state, WEIR_STATE_MAP, function, key, hash);
}

static struct state *list_of(struct weir_context *context, unsigned state, const char *function,
                             const struct weir_bytes *key, uint64_t *hash)
{
    return kind_of(context, state, WEIR_STATE_LIST, function, key, hash);
}

/* What is not there is no failure. */
static enum weir_result checked(struct weir_context *context, unsigned state,
                                enum weir_result result, const char *function)
{
    if (result && result != WEIR_NOT_FOUND)
        weir_fail(context, result, "%s, state %s: %s", function, context->node->states[state].name,
                  weir_result_name(result));
    return result;
}

/* -------------------------------------------------------------------------------- maps -- */

bool weir_map_get(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                  struct weir_bytes sub, struct weir_bytes *value)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_get", key, &hash);
    return map && state_map_get(map, *key, hash, sub, value);
}

enum weir_result weir_map_put(struct weir_context *context, unsigned state,
                              const struct weir_bytes *key, struct weir_bytes sub,
                              struct weir_bytes value)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_put", key, &hash);
    if (!map)
        return context->task->error.code;
    return checked(context, state, state_map_put(map, *key, hash, sub, value), "weir_map_put");
}

void *weir_map_cell(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                    struct weir_bytes sub)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_cell", key, &hash);
    if (!map || !context_has_cells(context, state))
        return NULL;
    void *cell = state_map_cell(map, *key, hash, sub);
    if (!cell)
        weir_fail(
            context, WEIR_NO_MEMORY,
            "state %s has no cell for a key of %zu bytes and a sub key of %zu: out of memory, "
            "or one is over 16 MiB",
            context->node->states[state].name, key->size, sub.size);
    return cell;
}

bool weir_map_remove(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                     struct weir_bytes sub)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_remove", key, &hash);
    return map &&
           !checked(context, state, state_map_remove(map, *key, hash, sub), "weir_map_remove");
}

bool weir_map_next(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                   const struct weir_bytes *after, struct weir_bytes *sub, struct weir_bytes *value)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_next", key, &hash);
    return map && state_map_next(map, *key, after, sub, value);
}

uint64_t weir_map_count(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    uint64_t hash;
    struct state *map = map_of(context, state, "weir_map_count", key, &hash);
    return map ? state_map_count(map, *key) : 0;
}

uint64_t weir_map_clear(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                        uint64_t most)
{
    uint64_t hash, removed = 0;
    struct state *map = map_of(context, state, "weir_map_clear", key, &hash);
    if (map)
        checked(context, state, state_map_clear(map, *key, hash, most, &removed), "weir_map_clear");
    return removed;
}

/* ------------------------------------------------------------------------------- lists -- */

enum weir_result weir_list_append(struct weir_context *context, unsigned state,
                                  const struct weir_bytes *key, struct weir_bytes value)
{
    uint64_t hash;
    struct state *list = list_of(context, state, "weir_list_append", key, &hash);
    if (!list)
        return context->task->error.code;
    return checked(context, state, state_list_append(list, *key, hash, value), "weir_list_append");
}

uint64_t weir_list_count(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    uint64_t hash;
    struct state *list = list_of(context, state, "weir_list_count", key, &hash);
    return list ? state_list_count(list, *key, hash) : 0;
}

bool weir_list_get(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                   uint64_t index, struct weir_bytes *value)
{
    uint64_t hash;
    struct state *list = list_of(context, state, "weir_list_get", key, &hash);
    return list && state_list_get(list, *key, hash, index, value);
}

bool weir_list_put(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                   uint64_t index, struct weir_bytes value)
{
    uint64_t hash;
    struct state *list = list_of(context, state, "weir_list_put", key, &hash);
    return list && !checked(context, state, state_list_put(list, *key, hash, index, value),
                            "weir_list_put");
}

void weir_list_truncate(struct weir_context *context, unsigned state, const struct weir_bytes *key,
                        uint64_t count)
{
    uint64_t hash;
    struct state *list = list_of(context, state, "weir_list_truncate", key, &hash);
    if (list)
        checked(context, state, state_list_truncate(list, *key, hash, count), "weir_list_truncate");
}
