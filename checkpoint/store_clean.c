/* SPDX-License-Identifier: Apache-2.0 */
#include "store_clean.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "store_inside.h"

struct clean {
    struct store *store;
    const struct store_cleaning *asked;
    bool running; /* a run has the store in use */
    bool listing;
};

static void tell(const struct clean *clean, struct store_finding finding)
{
    if (finding.text == NULL)
        finding.text = "";
    clean->asked->found(clean->asked->context, &finding);
}

/* What the store says meanwhile: of what it lists, or of what it can't remove. */
static void warned(void *context, const char *text)
{
    const struct clean *clean = context;
    tell(clean,
         (struct store_finding){.kind = clean->listing ? STORE_FOREIGN : STORE_LEFT, .text = text});
}

/* ------------------------------------------------------------------------------ checkpoints -- */

static void name_container(struct store_segment segment, char file[96])
{
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(segment.epoch, segment.number, name);
    snprintf(file, 96, NAME_DATA "/%s", name);
}

/* 0 or -errno. */
static int look_at(const struct store *store, struct store_segment segment, uint64_t *size)
{
    struct disk_status status = {.size = 0};
    char name[NAME_SEGMENT_SIZE];
    name_of_segment(segment.epoch, segment.number, name);
    int failure = disk_status_at(store->data, name, &status);
    *size = status.size;
    return failure < 0 ? failure : 0;
}

static void tell_unreadable(const struct clean *clean, uint64_t id)
{
    struct manifest manifest;
    struct weir_error error = {0};
    if (store_manifest(clean->store, id, &manifest, &error) == WEIR_OK)
        manifest_free(&manifest);
    else
        tell(clean, (struct store_finding){.kind = STORE_DAMAGED, .id = id, .text = error.text});
}

/* The first that is missing is told. */
static void tell_missing(const struct clean *clean, const struct store_kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        struct store_finding finding = {
            .kind = STORE_DAMAGED, .id = kept->id, .text = "it names a file that is missing"};
        if (look_at(clean->store, kept->segments[i], &finding.bytes) != -ENOENT)
            continue;
        name_container(kept->segments[i], finding.file);
        tell(clean, finding);
        return;
    }
}

static void tell_damage(const struct clean *clean)
{
    for (size_t i = 0; i < clean->store->kept_count; i++)
        if (clean->store->kept[i].unreadable)
            tell_unreadable(clean, clean->store->kept[i].id);
        else
            tell_missing(clean, &clean->store->kept[i]);
}

static bool is_wanted_gone(const struct store_cleaning *asked, uint64_t id)
{
    for (size_t i = 0; i < asked->drop_count; i++)
        if (asked->drop[i] == id)
            return true;
    return false;
}

/* A start goes on from the newest, and never from an older one without being told to. */
static enum weir_result check_newest(const struct clean *clean, struct weir_error *error)
{
    const struct store *store = clean->store;
    uint64_t newest = store->kept_count == 0 ? 0 : store->kept[store->kept_count - 1].id;
    if (clean->asked->newest_too || !is_wanted_gone(clean->asked, newest))
        return WEIR_OK;
    return error_set(error, WEIR_REFUSED, 0,
                     "checkpoint %" PRIu64 " is the newest: without it the job would go on from an "
                     "older one, and publish again what came behind that; a drop that is forced "
                     "(--force) takes it all the same",
                     newest);
}

static enum weir_result check_asked(const struct clean *clean, struct weir_error *error)
{
    for (size_t i = 0; i < clean->asked->drop_count; i++) {
        bool has = false;
        enum weir_result result =
            store_has_manifest(clean->store, clean->asked->drop[i], &has, error);
        if (result != WEIR_OK)
            return result;
        if (!has)
            return error_set(error, WEIR_NOT_FOUND, 0,
                             "checkpoint %" PRIu64 ": there is no such checkpoint",
                             clean->asked->drop[i]);
    }
    return WEIR_OK;
}

/* Of the readable ones, older than the newest `keep`. */
static bool is_excess(const struct clean *clean, size_t index)
{
    const struct store *store = clean->store;
    uint64_t newer = 0;
    if (is_wanted_gone(clean->asked, store->kept[index].id))
        return true;
    for (size_t i = index + 1; i < store->kept_count; i++)
        newer += !store->kept[i].unreadable;
    return clean->asked->keep > 0 && !store->kept[index].unreadable && newer >= clean->asked->keep;
}

/* Step 1. What stays keeps its name for all its containers. */
static void remove_excess(const struct clean *clean)
{
    struct store *store = clean->store;
    for (size_t i = 0; i < store->kept_count;) {
        struct store_finding finding = {.kind = STORE_EXCESS, .id = store->kept[i].id};
        bool excess = is_excess(clean, i);
        finding.removed =
            excess && clean->asked->remove && store_remove_manifest(store, finding.id);
        if (finding.removed && finding.id < store->claimed) /* I3 */
            (void)store_remove_folder(store, finding.id);
        if (excess)
            tell(clean, finding);
        if (excess && (finding.removed || !clean->asked->remove))
            store_forget_one(store, i);
        else
            i++;
    }
}

/* -------------------------------------------------------------------------------- leftovers -- */

/* Step 2. A run has the folders of its open rounds. */
static enum weir_result remove_folders(struct clean *clean, struct weir_error *error)
{
    struct store *store = clean->store;
    struct store_ids list = {0};
    clean->listing = true;
    enum weir_result result = store_list_folders(store, true, &list, error);
    clean->listing = false;
    for (size_t i = 0; i < list.count && result == WEIR_OK && !clean->running; i++) {
        struct store_finding finding = {.kind = STORE_PARTIAL, .id = list.ids[i]};
        char name[NAME_ID_SIZE];
        bool has = false;
        result = store_has_manifest(store, list.ids[i], &has, error);
        if (result != WEIR_OK || has || list.ids[i] >= store->claimed)
            continue;
        name_of_id(list.ids[i], name);
        snprintf(finding.file, sizeof finding.file, NAME_CHECKPOINTS "/%s", name);
        if (clean->asked->remove)
            finding.removed = store_remove_folder(store, list.ids[i]);
        tell(clean, finding);
    }
    memory_release(store->allocator, list.ids);
    return result;
}

/* Step 4. A run's own are of its epoch. */
static enum weir_result remove_containers(struct clean *clean, struct weir_error *error)
{
    struct store *store = clean->store;
    struct store_segments list = {0};
    clean->listing = true;
    enum weir_result result = store_list_segments(store, true, &list, error);
    clean->listing = false;
    for (size_t i = 0; i < list.count && result == WEIR_OK; i++) {
        struct store_finding finding = {.kind = STORE_UNNAMED};
        struct store_segment segment = list.segments[i];
        if (clean->running && segment.epoch >= store->record.epoch)
            continue;
        if (look_at(store, segment, &finding.bytes) != 0 || store_is_named(store, segment))
            continue;
        name_container(segment, finding.file);
        if (store_is_needed(store, segment))
            finding.text = "it stays: a checkpoint whose manifest can't be read may name it";
        else if (clean->asked->remove)
            finding.removed = store_remove_segment(store, segment);
        tell(clean, finding);
    }
    memory_release(store->allocator, list.segments);
    return result;
}

/* Nothing that was removed comes back after a power cut and names a container. */
static enum weir_result settle(const struct clean *clean, struct weir_error *error)
{
    int failure = clean->asked->remove ? disk_sync(clean->store->checkpoints) : 0;
    return failure < 0 ? error_os(error, -failure, "store %s: syncing " NAME_CHECKPOINTS "/",
                                  clean->store->path)
                       : WEIR_OK;
}

/* ----------------------------------------------------------------------------------- all -- */

/* Who can't tell leaves more alone. */
static bool is_running(struct store *store)
{
    struct lock_record record;
    bool alive;
    if (store->lock >= 0)
        return false; /* it is this process that has it */
    return store_run(store, &alive, &record, NULL) != WEIR_OK || alive;
}

/* What can't be read is told by tell_damage. */
static enum weir_result load(const struct clean *clean, struct weir_error *error)
{
    enum weir_result result = check_asked(clean, error);
    if (result == WEIR_OK)
        result = settle(clean, error); /* I3: the highest is there before others go */
    if (result == WEIR_OK)
        result = store_load_kept(clean->store, error);
    return result == WEIR_OK ? check_newest(clean, error) : result;
}

static enum weir_result clean_all(struct clean *clean, struct weir_error *error)
{
    struct store_census census;
    clean->listing = true;
    enum weir_result result = store_take_census(clean->store, true, &census, error);
    clean->listing = false;
    if (result != WEIR_OK)
        return result;
    tell_damage(clean);
    remove_excess(clean);
    result = remove_folders(clean, error);
    if (result == WEIR_OK)
        result = settle(clean, error);
    return result == WEIR_OK ? remove_containers(clean, error) : result;
}

enum weir_result store_clean(struct store *store, const struct store_cleaning *cleaning,
                             struct weir_error *error)
{
    struct clean clean = {store, cleaning, is_running(store), false};
    if (cleaning->remove && store->stopped)
        return error_set(error, WEIR_REFUSED, 0, "store %s: nothing may be removed", store->path);
    enum weir_result result = load(&clean, error);
    store->warn = warned;
    store->warn_context = &clean;
    if (result == WEIR_OK)
        result = clean_all(&clean, error);
    store->warn = NULL;
    store->warn_context = NULL;
    store_forget_kept(store); /* another look may find other things */
    return result;
}

/* A look first: who may open also makes what is not there. */
enum weir_result store_open_to_clean(const char *path, const struct weir_allocator *allocator,
                                     struct store **store, struct weir_error *error)
{
    struct store_options options = {
        .path = path, .key_groups = 1, .existing = true, .cleaning = true, .allocator = allocator};
    unsigned char id[STORE_ID_SIZE];
    *store = NULL;
    enum weir_result result = store_view(path, allocator, store, error);
    if (result != WEIR_OK)
        return result;
    memcpy(id, store_id(*store), sizeof id);
    if (store_is_savepoint(*store))
        result = error_set(error, WEIR_REFUSED, 0,
                           "%s is a savepoint, and is never changed: remove it as a whole", path);
    store_close(store);
    if (result == WEIR_OK)
        result = store_open(&options, store, error);
    if (result == WEIR_OK && memcmp(id, store_id(*store), sizeof id) != 0) {
        store_close(store);
        result =
            error_set(error, WEIR_REFUSED, 0, "store %s was exchanged meanwhile: look again", path);
    }
    return result;
}
