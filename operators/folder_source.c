/* SPDX-License-Identifier: Apache-2.0
 *
 * folder_source: the lines of files that appear in a directory, each file once. Invariants:
 *
 *   F1  Name n belongs to subtask weir_hash(n) modulo the parallelism: nobody else looks at it.
 *   F2  A file is unread, being read, or done. One is read at a time, in byte order of the names
 *       that the last look found; the next look begins when none of them is unread.
 *   F3  A done file is remembered as long as a look finds its name, and each look compares it with
 *       what was read. A name that is gone is forgotten: there is nothing to be read twice.
 *   F4  What was read of a file is what it held when it was opened, or the run fails.
 *
 *   look: list, sort --a few names a poll: status--> unread ones --> read one after the other --+
 *     ^---------------------------------------- after poll_ns ---------------------------------+
 *
 * A checkpoint holds SPLIT items, each beginning with struct folder_item:
 *
 *   FOLDER_FILES  (struct folder_stamp, name)...   done ones and the one being read, in byte order
 *                                                  of the names, up to about 1 MiB an item
 *   FOLDER_MARK   struct growing_mark              in the one being read, if any
 *
 * Unread files are not saved: a look finds them again.
 */
#include "weir_operators.h"
#include "budget.h"
#include "growing_file.h"
#include "node.h"
#include "pace.h"
#include "path.h"

#include <stdlib.h>
#include <string.h>

#define INTERVAL_NS INT64_C(1000000000)
#define ITEM_BYTES ((size_t)1 << 20)
#define POLL_NAMES 64 /* one poll looks at so many */

enum folder_kind { FOLDER_FILES = 1, FOLDER_MARK = 2 };
enum folder_state { FOLDER_UNREAD, FOLDER_READING, FOLDER_DONE };

struct folder_item {
    uint32_t kind;
    uint32_t zero;
};
struct folder_stamp {
    uint64_t size, inode;
    int64_t modified_ns;
    uint32_t name_size; /* of the name that follows, without a zero */
    uint32_t state;     /* enum folder_state */
};
_Static_assert(sizeof(struct folder_item) == 8, "saved in checkpoints");
_Static_assert(sizeof(struct folder_stamp) == 32, "saved in checkpoints");

struct folder_file {
    struct folder_stamp stamp;
    uint32_t name; /* offset in the names, which end with zeros */
};
struct folder_list { /* sorted by name */
    struct block files, names;
};

struct folder_source {
    const struct weir_folder_source_options *options;
    struct folder_list known; /* F2; no unread one before `next` */
    size_t next;
    struct folder_list look; /* a look in progress: what it has found */
    struct block listed;     /* its names, each with a zero; */
    struct block order;      /* of const char *, sorted */
    size_t looked_at;        /* so many of them */
    bool looking;
    bool ending;       /* the end file was there before this look began */
    bool looked;       /* some look has begun in this run, */
    int64_t looked_ns; /* the last one then */
    bool reading;      /* the file at `next` */
    struct growing_file growing;
    char path[PATH_ROOM]; /* of that file */
    struct block saved;   /* an item in the making */
    struct pace pace;
};

/* --------------------------------------------------------------------------------- lists -- */

static size_t list_count(const struct folder_list *list)
{
    return list->files.size / sizeof(struct folder_file);
}

static struct folder_file *list_at(const struct folder_list *list, size_t index)
{
    return (struct folder_file *)(void *)list->files.data + index;
}

static const char *list_name(const struct folder_list *list, size_t index)
{
    return (const char *)list->names.data + list_at(list, index)->name;
}

static void list_free(struct folder_list *list, const struct weir_allocator *allocator)
{
    block_free(&list->files, allocator);
    block_free(&list->names, allocator);
}

/* Behind the others: names come in order. */
static enum weir_result list_add(struct folder_list *list, struct weir_context *context,
                                 const struct folder_stamp *stamp, const char *name)
{
    static const char zero = '\0';
    const struct weir_allocator *allocator = weir_memory(context);
    struct folder_file file = {*stamp, (uint32_t)list->names.size};
    if (list->names.size > UINT32_MAX / 2)
        return weir_fail(context, WEIR_TOO_LARGE, "the folder holds too many names");
    if (block_append(&list->names, allocator, name, stamp->name_size) &&
        block_append(&list->names, allocator, &zero, 1) &&
        block_append(&list->files, allocator, &file, sizeof file))
        return WEIR_OK;
    return block_none(context);
}

/* The index of the name; the list's count when it is not there. */
static size_t list_find(const struct folder_list *list, const char *name)
{
    size_t low = 0, high = list_count(list);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(list_name(list, middle), name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return list_count(list);
}

/* -------------------------------------------------------------------------------- stamps -- */

/* WEIR_NOT_FOUND: nothing to read has this name. Other failures fail the run. */
static enum weir_result look_up(struct weir_context *context, const char *path, const char *name,
                                struct folder_stamp *stamp, struct weir_file_status *status)
{
    struct weir_error error;
    enum weir_result result = weir_file_status(path, status, &error);
    if (result == WEIR_OK && !status->regular)
        return WEIR_NOT_FOUND;
    if (result != WEIR_OK)
        return result == WEIR_NOT_FOUND ? result : weir_fail_with(context, &error);
    *stamp = (struct folder_stamp){
        .size = status->size,
        .inode = status->inode,
        .modified_ns = status->modified_ns,
        .name_size = (uint32_t)strlen(name),
    };
    return WEIR_OK;
}

static bool is_same(const struct folder_stamp *a, const struct folder_stamp *b)
{
    return a->size == b->size && a->inode == b->inode && a->modified_ns == b->modified_ns;
}

static enum weir_result refuse_change(struct weir_context *context, const char *path,
                                      const char *when)
{
    return weir_fail(context, WEIR_REFUSED,
                     "input %s changed %s: its size, its time or the file itself is another; files "
                     "must be complete when they appear (write elsewhere, then rename), and names "
                     "are used once as long as they are there",
                     path, when);
}

/* ---------------------------------------------------------------------------------- look -- */

struct listing {
    const struct folder_source *source;
    const struct weir_context *context;
    struct block *names;
    bool full; /* no memory */
};

static bool add_name(void *listing_, const char *name)
{
    struct listing *listing = listing_;
    size_t size = strlen(name);
    const char *end = listing->source->options->end_name;
    uint64_t hash = weir_hash((struct weir_bytes){name, size});
    if (name[0] == '.' || (end && strcmp(name, end) == 0) || size > PATH_NAME_LIMIT ||
        hash % weir_parallelism(listing->context) != weir_subtask(listing->context)) /* F1 */
        return true;
    listing->full = !block_append(listing->names, weir_memory(listing->context), name, size + 1);
    return !listing->full;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum weir_result sort_names(struct folder_source *source, struct weir_context *context)
{
    const char *at = (const char *)source->listed.data;
    const char *end = at + source->listed.size;
    source->order.size = 0;
    for (; at < end; at += strlen(at) + 1)
        if (!block_append(&source->order, weir_memory(context), &at, sizeof at))
            return block_none(context);
    if (source->order.size > sizeof at)
        qsort(source->order.data, source->order.size / sizeof at, sizeof at, by_bytes);
    return WEIR_OK;
}

/* The end file is looked for before the listing: what had come before it is in the listing. */
static enum weir_result look_for_end(struct folder_source *source, struct weir_context *context)
{
    char path[PATH_ROOM];
    struct weir_error error;
    struct weir_file_status status;
    if (!source->options->end_name)
        return WEIR_OK;
    path_join(path, source->options->path, source->options->end_name);
    enum weir_result result = weir_file_status(path, &status, &error);
    source->ending = result == WEIR_OK;
    return result == WEIR_OK || result == WEIR_NOT_FOUND ? WEIR_OK
                                                         : weir_fail_with(context, &error);
}

static enum weir_result begin_look(struct folder_source *source, struct weir_context *context)
{
    struct weir_error error;
    struct listing listing = {source, context, &source->listed, false};
    enum weir_result result = look_for_end(source, context);
    source->listed.size = source->look.files.size = source->look.names.size = 0;
    source->looked_at = 0;
    source->looked_ns = weir_now(context);
    source->looked = true;
    if (result != WEIR_OK)
        return result;
    result = weir_folder_list(source->options->path, add_name, &listing, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    source->looking = true;
    return listing.full ? block_none(context) : sort_names(source, context);
}

/* F3 */
static enum weir_result look_at(struct folder_source *source, struct weir_context *context,
                                const char *name)
{
    char path[PATH_ROOM];
    struct folder_stamp stamp;
    struct weir_file_status status;
    path_join(path, source->options->path, name);
    enum weir_result result = look_up(context, path, name, &stamp, &status);
    if (result != WEIR_OK)
        return result == WEIR_NOT_FOUND ? WEIR_OK : result;
    size_t index = list_find(&source->known, name);
    if (index < list_count(&source->known)) {
        const struct folder_stamp *before = &list_at(&source->known, index)->stamp;
        if (before->state == FOLDER_DONE && !is_same(before, &stamp))
            return refuse_change(context, path, "after it was read");
        stamp.state = before->state;
    }
    return list_add(&source->look, context, &stamp, name);
}

/* What the look has found is what is known now. */
static void end_look(struct folder_source *source)
{
    struct folder_list before = source->known;
    source->known = source->look;
    source->look = before;
    source->next = 0;
    source->looking = false;
}

static enum weir_result go_on_looking(struct folder_source *source, struct weir_context *context)
{
    const char *const *names = (const void *)source->order.data;
    size_t count = source->order.size / sizeof *names;
    enum weir_result result = WEIR_OK;
    for (size_t i = 0; result == WEIR_OK && i < POLL_NAMES && source->looked_at < count; i++)
        result = look_at(source, context, names[source->looked_at++]);
    if (result == WEIR_OK && source->looked_at == count)
        end_look(source);
    return result;
}

/* --------------------------------------------------------------------------------- files -- */

/* WEIR_NOT_FOUND: it was taken away, or another was put there. */
static enum weir_result open_file(struct folder_source *source, struct weir_context *context,
                                  struct folder_stamp *stamp)
{
    struct weir_file_status status;
    const char *name = list_name(&source->known, source->next);
    path_join(source->path, source->options->path, name);
    enum weir_result result = look_up(context, source->path, name, stamp, &status);
    if (result == WEIR_OK)
        result = growing_open(&source->growing, context, source->path, status.device, status.inode);
    return result;
}

/* Opens the next unread file. WEIR_NOT_FOUND: there is none. */
static enum weir_result next_file(struct folder_source *source, struct weir_context *context)
{
    for (; source->next < list_count(&source->known); source->next++) {
        struct folder_stamp *stamp = &list_at(&source->known, source->next)->stamp;
        if (stamp->state == FOLDER_DONE)
            continue;
        enum weir_result result = open_file(source, context, stamp);
        source->reading = result == WEIR_OK;
        if (source->reading)
            stamp->state = FOLDER_READING;
        if (result != WEIR_NOT_FOUND)
            return result;
        weir_log(context, "%s was taken away before it was read", source->path);
    }
    return WEIR_NOT_FOUND;
}

/* F4. A file that was taken away while it was read still held all of it. */
static enum weir_result check_unchanged(const struct folder_source *source,
                                        struct weir_context *context)
{
    struct folder_stamp now;
    struct weir_file_status status;
    const struct folder_stamp *stamp = &list_at(&source->known, source->next)->stamp;
    uint64_t end = source->growing.base + source->growing.buffer.size;
    enum weir_result result =
        look_up(context, source->path, path_base(source->path), &now, &status);
    if (result != WEIR_OK && result != WEIR_NOT_FOUND)
        return result;
    if (stamp->size == end && (result == WEIR_NOT_FOUND || is_same(&now, stamp)))
        return WEIR_OK;
    return refuse_change(context, source->path, "while it was read");
}

/* ---------------------------------------------------------------------------------- poll -- */

/* The file was read to its end: it is done, if it is still what it was. */
static enum weir_progress end_file(struct folder_source *source, struct weir_context *context,
                                   struct budget *budget)
{
    struct weir_bytes line;
    if (check_unchanged(source, context) != WEIR_OK)
        return WEIR_IDLE;
    if (growing_last(&source->growing, &line))
        budget_emit(budget, context, line);
    growing_close(&source->growing);
    list_at(&source->known, source->next)->stamp.state = FOLDER_DONE;
    source->reading = false;
    source->next++;
    budget->reads++;
    return WEIR_MORE;
}

static enum weir_progress read_on(struct folder_source *source, struct weir_context *context,
                                  struct budget *budget)
{
    struct weir_bytes line;
    switch (growing_next(&source->growing, context, source->path, &line)) {
    case GROWING_LINE:
        budget_emit(budget, context, line);
        return WEIR_MORE;
    case GROWING_MORE:
        budget->reads++;
        return WEIR_MORE;
    case GROWING_WAIT:
        return end_file(source, context, budget);
    case GROWING_FAILED:
        break;
    }
    return WEIR_IDLE;
}

/* Nothing is being read: the next file, or the next look. */
static enum weir_progress find_more(struct folder_source *source, struct weir_context *context,
                                    struct budget *budget)
{
    int64_t next_ns = source->looked_ns + source->options->poll_ns;
    budget->reads++;
    if (source->looking)
        return go_on_looking(source, context) == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
    enum weir_result result = next_file(source, context);
    if (result != WEIR_NOT_FOUND)
        return result == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
    if (source->ending)
        return WEIR_END;
    if (source->looked && weir_now(context) < next_ns)
        return weir_idle(context, next_ns, -1);
    return begin_look(source, context) == WEIR_OK ? WEIR_MORE : WEIR_IDLE;
}

static enum weir_progress source_poll(void *self, struct weir_context *context)
{
    struct folder_source *source = self;
    enum weir_progress progress = WEIR_MORE;
    int64_t now = source->pace.rate > 0 ? weir_now(context) : 0;
    struct budget budget = {.most = pace_ready(&source->pace, now, BUDGET_RECORDS)};
    if (budget.most == 0)
        return weir_idle(context, pace_deadline(&source->pace, now), -1);
    while (progress == WEIR_MORE && budget_is_left(&budget))
        progress = source->reading ? read_on(source, context, &budget)
                                   : find_more(source, context, &budget);
    pace_take(&source->pace, budget.records);
    return progress;
}

/* ------------------------------------------------------------------------- open and load -- */

static enum weir_result source_open(void *self, struct weir_context *context, const void *config)
{
    struct folder_source *source = self;
    struct weir_error error;
    struct weir_file_status status;
    source->options = config;
    pace_start(&source->pace, source->options->rate, weir_subtask(context),
               weir_parallelism(context), weir_now(context));
    enum weir_result result = weir_file_status(source->options->path, &status, &error);
    if (result != WEIR_OK)
        return weir_fail_with(context, &error);
    if (!status.folder)
        return weir_fail(context, WEIR_INVALID, "input %s is no directory", source->options->path);
    return WEIR_OK;
}

static enum weir_result damaged(struct weir_context *context)
{
    return weir_fail(context, WEIR_DAMAGED, "a saved list of files makes no sense");
}

static bool name_is_sound(const struct folder_list *list, const char *name, size_t size)
{
    size_t count = list_count(list);
    return size > 0 && size <= PATH_NAME_LIMIT && strlen(name) == size && !strchr(name, '/') &&
           name[0] != '.' && (count == 0 || strcmp(list_name(list, count - 1), name) < 0);
}

static enum weir_result load_files(struct folder_source *source, struct weir_context *context,
                                   const unsigned char *at, size_t size)
{
    struct folder_stamp stamp;
    char name[PATH_NAME_LIMIT + 1];
    while (size > 0) {
        if (size < sizeof stamp)
            return damaged(context);
        memcpy(&stamp, at, sizeof stamp);
        at += sizeof stamp;
        size -= sizeof stamp;
        if (stamp.name_size > PATH_NAME_LIMIT || stamp.name_size > size)
            return damaged(context);
        memcpy(name, at, stamp.name_size);
        name[stamp.name_size] = '\0';
        at += stamp.name_size;
        size -= stamp.name_size;
        if (!name_is_sound(&source->known, name, stamp.name_size) ||
            (stamp.state != FOLDER_READING && stamp.state != FOLDER_DONE))
            return damaged(context);
        enum weir_result result = list_add(&source->known, context, &stamp, name);
        if (result != WEIR_OK)
            return result;
    }
    return WEIR_OK;
}

/* The file that was being read goes on at its mark. */
static enum weir_result resume(struct folder_source *source, struct weir_context *context,
                               const struct growing_mark *mark)
{
    struct folder_stamp now;
    size_t count = list_count(&source->known);
    while (source->next < count &&
           list_at(&source->known, source->next)->stamp.state != FOLDER_READING)
        source->next++;
    if (source->next == count || !growing_mark_is_sound(mark))
        return damaged(context);
    enum weir_result result = open_file(source, context, &now);
    if (result == WEIR_NOT_FOUND)
        return weir_fail(context, WEIR_REFUSED,
                         "input %s is gone, and was read to byte %llu for the checkpoint only; put "
                         "it back, or start afresh without the checkpoint",
                         source->path, (unsigned long long)mark->position);
    if (result == WEIR_OK && !is_same(&now, &list_at(&source->known, source->next)->stamp))
        result = WEIR_REFUSED;
    else if (result == WEIR_OK)
        result = growing_resume(&source->growing, context, source->path, mark);
    if (result == WEIR_REFUSED)
        return refuse_change(context, source->path, "since a part of it was read");
    source->reading = result == WEIR_OK;
    return result;
}

static enum weir_result source_load(void *self, struct weir_context *context,
                                    struct weir_loader *loader, uint32_t version)
{
    struct folder_source *source = self;
    enum weir_item kind;
    struct weir_bytes item;
    struct folder_item head;
    struct growing_mark mark;
    bool marked = false;
    (void)version; /* there is one so far; newer ones are refused before this */
    while (weir_load_next(loader, &kind, &item)) {
        if (item.size < sizeof head)
            return damaged(context);
        memcpy(&head, item.data, sizeof head);
        const unsigned char *from = (const unsigned char *)item.data + sizeof head;
        size_t size = item.size - sizeof head;
        marked = head.kind == FOLDER_MARK;
        if (marked ? size != sizeof mark : head.kind != FOLDER_FILES)
            return damaged(context);
        if (marked)
            memcpy(&mark, from, sizeof mark);
        enum weir_result result = marked ? WEIR_OK : load_files(source, context, from, size);
        if (result != WEIR_OK)
            return result;
    }
    return marked ? resume(source, context, &mark) : WEIR_OK;
}

/* ------------------------------------------------------------------------ save and close -- */

static bool add_saved(struct folder_source *source, const struct weir_allocator *allocator,
                      const void *data, size_t size)
{
    return block_append(&source->saved, allocator, data, size);
}

static bool begin_item(struct folder_source *source, const struct weir_allocator *allocator,
                       enum folder_kind kind)
{
    struct folder_item head = {.kind = kind};
    source->saved.size = 0;
    return add_saved(source, allocator, &head, sizeof head);
}

static void end_item(const struct folder_source *source, struct weir_saver *saver)
{
    if (source->saved.size > sizeof(struct folder_item))
        weir_save(saver, WEIR_ITEM_SPLIT,
                  (struct weir_bytes){source->saved.data, source->saved.size});
}

/* False without memory. */
static bool save_files(struct folder_source *source, const struct weir_allocator *allocator,
                       struct weir_saver *saver)
{
    bool fits = begin_item(source, allocator, FOLDER_FILES);
    for (size_t i = 0; fits && i < list_count(&source->known); i++) {
        const struct folder_stamp *stamp = &list_at(&source->known, i)->stamp;
        if (stamp->state == FOLDER_UNREAD)
            continue;
        fits = add_saved(source, allocator, stamp, sizeof *stamp) &&
               add_saved(source, allocator, list_name(&source->known, i), stamp->name_size);
        if (fits && source->saved.size >= ITEM_BYTES) {
            end_item(source, saver);
            fits = begin_item(source, allocator, FOLDER_FILES);
        }
    }
    if (fits)
        end_item(source, saver);
    return fits;
}

static enum weir_result source_save(void *self, struct weir_context *context,
                                    struct weir_saver *saver)
{
    struct folder_source *source = self;
    const struct weir_allocator *allocator = weir_memory(context);
    if (!save_files(source, allocator, saver))
        return block_none(context);
    if (!source->reading) {
        weir_save_note(saver, "all %llu files read",
                       (unsigned long long)list_count(&source->known));
        return WEIR_OK;
    }
    struct growing_mark mark = growing_mark(&source->growing);
    if (!begin_item(source, allocator, FOLDER_MARK) ||
        !add_saved(source, allocator, &mark, sizeof mark))
        return block_none(context);
    end_item(source, saver);
    weir_save_note(saver, "%s %.1f of %.1f MB", path_base(source->path),
                   (double)mark.position / 1e6,
                   (double)list_at(&source->known, source->next)->stamp.size / 1e6);
    return WEIR_OK;
}

static void source_close(void *self, struct weir_context *context)
{
    struct folder_source *source = self;
    const struct weir_allocator *allocator = weir_memory(context);
    list_free(&source->known, allocator);
    list_free(&source->look, allocator);
    block_free(&source->listed, allocator);
    block_free(&source->order, allocator);
    block_free(&source->saved, allocator);
    growing_free(&source->growing, allocator);
}

static const struct weir_operator folder_source_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "folder_source",
    .fixed = "each file of the directory belongs to the subtask that has read it", /* F1 */
    .self_size = sizeof(struct folder_source),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = source_open,
    .poll = source_poll,
    .save = source_save,
    .load = source_load,
    .close = source_close,
};

/* NULL, or what is wrong. */
static const char *fault_of(const struct weir_folder_source_options *options)
{
    if (!path_is_sound(options->path))
        return "the directory's path is missing, empty or too long";
    if (options->end_name && (options->end_name[0] == '\0' || strchr(options->end_name, '/') ||
                              strlen(options->end_name) > PATH_NAME_LIMIT))
        return "the end file's name is no name";
    if (options->rate > PACE_RATE_LIMIT)
        return "rate is over 1000000000 records a second";
    return options->poll_ns < 0 ? "poll_ns is negative" : NULL;
}

weir_node weir_folder_source(struct weir_graph *graph, const char *name,
                             const struct weir_folder_source_options *given)
{
    struct weir_folder_source_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    const char *fault = fault_of(&options);
    if (fault) {
        weir_graph_fail(graph, "node %s: %s", name, fault);
        return NODE_NONE;
    }
    if (options.poll_ns == 0)
        options.poll_ns = INTERVAL_NS;
    options.path = weir_graph_keep_text(graph, options.path);
    if (options.end_name && !(options.end_name = weir_graph_keep_text(graph, options.end_name)))
        return NODE_NONE;
    if (!options.path)
        return NODE_NONE;
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &folder_source_table, config, options.parallelism)
                  : NODE_NONE;
}
