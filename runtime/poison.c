/* SPDX-License-Identifier: Apache-2.0 */
#include "poison.h"

#include <string.h>

#include "error.h"
#include "failure.h"
#include "memory.h"

#define LEVELS 64 /* directories above that of the dead letters that are looked at */

static enum weir_result check(const struct run *run, const struct weir_poison *poison,
                              struct weir_error *error)
{
    const struct plan *plan = &run->plan;
    if (!poison->node)
        return error_set(error, WEIR_INVALID, 0, "job option poison: an entry names no node");
    for (uint32_t n = 0; n < plan->graph->node_count; n++) {
        if (strcmp(plan->graph->nodes[n].name, poison->node) != 0)
            continue;
        if (poison->subtask < plan->nodes[n].parallelism)
            return WEIR_OK;
        return error_set(error, WEIR_INVALID, 0,
                         "job option poison: node %s has %u subtasks, and an entry names number %u",
                         poison->node, plan->nodes[n].parallelism, poison->subtask);
    }
    return error_set(error, WEIR_INVALID, 0, "job option poison: the graph has no node \"%.64s\"",
                     poison->node);
}

static enum weir_result copy_all(struct run *run, const struct weir_job_options *options,
                                 struct weir_error *error)
{
    struct weir_poison *copies =
        memory_zeroed(run->allocator, options->poison_count, sizeof *copies);
    run->poison = copies;
    for (size_t i = 0; copies && i < options->poison_count; i++) {
        const struct weir_poison *from = &options->poison[i];
        enum weir_result result = check(run, from, error);
        if (result)
            return result;
        const char *cause = from->cause ? from->cause : "";
        char *node = memory_text(run->allocator, from->node, strlen(from->node));
        char *why = memory_text(run->allocator, cause, strlen(cause));
        copies[i] = *from;
        copies[i].node = node;
        copies[i].cause = why;
        run->poison_count = i + 1;
        if (!node || !why)
            return error_memory(error, "what is poison", sizeof *copies);
    }
    return copies ? WEIR_OK
                  : error_memory(error, "what is poison", options->poison_count * sizeof *copies);
}

/* The directory that holds `path`, into `parent` of the same size: what a name's durability hangs
 * on. */
static void find_parent(char *parent, const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    memcpy(parent, size ? path : ".", size ? size : 1);
    parent[size ? size : 1] = 0;
}

/* Whoever made the directory before may have died before its name was durable. */
static enum weir_result make_folder(const struct run *run, const char *path,
                                    struct weir_error *error)
{
    char *parent = memory_take(run->allocator, strlen(path) + 2);
    if (!parent)
        return error_memory(error, "a path", strlen(path));
    find_parent(parent, path);
    enum weir_result result = weir_folder_make(path, error);
    if (!result)
        result = weir_folder_sync(parent, error);
    memory_release(run->allocator, parent);
    return result ? error_within(error, "the directory of dead letters") : WEIR_OK;
}

/* Letters in the store would go wherever the store goes, and away with it. Looks at the directory
 * and at those above it; ".." at the root is the root, which ends it. */
enum weir_result poison_check_folder(const struct run *run, struct weir_error *error)
{
    struct weir_file_status store, here, before = {0};
    if (!run->dead_letters || !run->store || weir_file_status(run->store, &store, NULL))
        return WEIR_OK;
    size_t end = strlen(run->dead_letters);
    char *at = memory_zeroed(run->allocator, end + LEVELS * (sizeof "/.." - 1) + 1, 1);
    if (!at)
        return error_memory(error, "a path", end);
    memcpy(at, run->dead_letters, end);
    enum weir_result result = WEIR_OK;
    for (unsigned level = 0; !result && level < LEVELS; level++) {
        if (weir_file_status(at, &here, NULL) ||
            (here.device == before.device && here.inode == before.inode))
            break;
        if (here.device == store.device && here.inode == store.inode)
            result = error_set(error, WEIR_REFUSED, 0,
                               "the directory of dead letters %s lies in the store (%s): name a "
                               "place outside of it",
                               run->dead_letters, run->store);
        memcpy(at + end, "/..", sizeof "/..");
        end += sizeof "/.." - 1;
        before = here;
    }
    memory_release(run->allocator, at);
    return result;
}

enum weir_result poison_take(struct run *run, const struct weir_job_options *options,
                             struct weir_error *error)
{
    const char *folder = options->dead_letters;
    if (folder && !*folder)
        return error_set(error, WEIR_INVALID, 0, "job option dead_letters: it names no directory");
    if (options->poison_count && !folder)
        return error_set(error, WEIR_INVALID, 0,
                         "job option dead_letters: %zu records are poison, and it must name the "
                         "directory for them",
                         options->poison_count);
    if (!folder)
        return WEIR_OK;
    run->dead_letters = memory_text(run->allocator, folder, strlen(folder));
    if (!run->dead_letters)
        return error_memory(error, "a path", strlen(folder));
    struct weir_error trouble = {0};
    enum weir_result result = options->poison_count ? copy_all(run, options, &trouble) : WEIR_OK;
    if (!result)
        result = make_folder(run, folder, &trouble);
    if (result && error)
        *error = trouble;
    return result;
}

void poison_free(struct run *run)
{
    for (size_t i = 0; i < run->poison_count; i++) {
        memory_release(run->allocator, (void *)(uintptr_t)run->poison[i].node);
        memory_release(run->allocator, (void *)(uintptr_t)run->poison[i].cause);
    }
    memory_release(run->allocator, run->poison);
    memory_release(run->allocator, (void *)(uintptr_t)run->dead_letters);
}

static bool is_for(const struct weir_poison *poison, const char *node, uint32_t subtask)
{
    return poison->subtask == subtask && strcmp(poison->node, node) == 0;
}

bool poison_awaits(const struct run *run, const char *node, uint32_t subtask)
{
    for (size_t i = 0; i < run->poison_count; i++)
        if (is_for(&run->poison[i], node, subtask))
            return true;
    return false;
}

const struct weir_poison *poison_find(const struct run *run, const char *node, uint32_t subtask,
                                      uint64_t position, const struct weir_record *record)
{
    for (size_t i = 0; i < run->poison_count; i++) {
        const struct weir_poison *poison = &run->poison[i];
        if ((poison->position == 0 || poison->position == position) &&
            is_for(poison, node, subtask) && poison->fingerprint == failure_fingerprint(record))
            return poison;
    }
    return NULL;
}
