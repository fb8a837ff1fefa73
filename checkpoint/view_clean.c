/* SPDX-License-Identifier: Apache-2.0
 *
 * view_clean: what of weir_checkpoint.h changes stores, or makes new ones.
 */
#include "view_inside.h"

#include <string.h>

#include "store_clean.h"

enum weir_result weir_store_copy(struct weir_store *store, uint64_t id, const char *path,
                                 struct weir_error *error)
{
    enum weir_result result = id == 0 ? view_newest(store, &id, error) : WEIR_OK;
    return result == WEIR_OK ? store_save_copy(store->store, id, path, error) : result;
}

enum weir_result weir_store_refuse_inside(const char *path, const struct weir_allocator *allocator,
                                          struct weir_error *error)
{
    return store_refuse_inside(path, allocator, error);
}

struct telling {
    weir_found_function *found;
    void *context;
};

static void tell(void *context, const struct store_finding *finding)
{
    static const enum weir_finding_kind kinds[] = {
        [STORE_DAMAGED] = WEIR_FOUND_DAMAGED, [STORE_EXCESS] = WEIR_FOUND_EXCESS,
        [STORE_PARTIAL] = WEIR_FOUND_PARTIAL, [STORE_UNNAMED] = WEIR_FOUND_UNNAMED,
        [STORE_FOREIGN] = WEIR_FOUND_FOREIGN, [STORE_LEFT] = WEIR_FOUND_LEFT,
    };
    const struct telling *telling = context;
    const struct weir_finding told = {WEIR_SIZED(struct weir_finding), .kind = kinds[finding->kind],
                                      .checkpoint = finding->id,       .file = finding->file,
                                      .bytes = finding->bytes,         .text = finding->text,
                                      .removed = finding->removed};
    telling->found(telling->context, &told);
}

/* Members that the caller's version lacks are zero. */
static struct weir_clean_options known(const struct weir_clean_options *options)
{
    struct weir_clean_options all = {0};
    if (options != NULL)
        memcpy(&all, options, options->size < sizeof all ? options->size : sizeof all);
    return all;
}

static enum weir_result clean(struct store *store, const struct weir_clean_options *options,
                              bool remove, struct telling *telling, struct weir_error *error)
{
    return store_clean(store,
                       &(struct store_cleaning){.keep = options->keep,
                                                .drop = options->drop,
                                                .drop_count = options->drop_count,
                                                .newest_too = options->drop_newest,
                                                .remove = remove,
                                                .found = tell,
                                                .context = telling},
                       error);
}

enum weir_result weir_store_check(struct weir_store *store,
                                  const struct weir_clean_options *options,
                                  weir_found_function *found, void *context,
                                  struct weir_error *error)
{
    struct weir_clean_options all = known(options);
    return clean(store->store, &all, false, &(struct telling){found, context}, error);
}

enum weir_result weir_store_clean(const char *path, const struct weir_clean_options *options,
                                  weir_found_function *found, void *context,
                                  struct weir_error *error)
{
    struct weir_clean_options all = known(options);
    struct store *store;
    enum weir_result result = store_open_to_clean(path, all.allocator, &store, error);
    if (result != WEIR_OK)
        return result;
    result = clean(store, &all, true, &(struct telling){found, context}, error);
    store_close(&store);
    return result;
}
