/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_context.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Tests have no use for a half-dead test bed. */
static void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static void *copy_of(const void *data, size_t size)
{
    void *copy = need(calloc(1, size + 1));
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* ---- graph ---- */

struct weir_graph *weir_graph_new(const struct weir_allocator *allocator)
{
    (void)allocator;
    return need(calloc(1, sizeof(struct weir_graph)));
}

void weir_graph_free(struct weir_graph **graph)
{
    for (size_t i = 0; *graph && i < (*graph)->kept_count; i++)
        free((*graph)->kept[i]);
    free((*graph)->kept);
    free(*graph);
    *graph = NULL;
}

weir_node weir_graph_add(struct weir_graph *graph, const struct weir_node_options *options)
{
    struct fake_node *node = &graph->nodes[graph->count];
    node->options = *options;
    if (options->state_count > FAKE_STATES)
        abort();
    for (size_t i = 0; i < options->state_count; i++)
        node->states[i] = options->states[i];
    node->state = node->states[0];
    return (weir_node){graph->count++};
}

void *weir_graph_keep(struct weir_graph *graph, const void *data, size_t size)
{
    void *kept = data ? copy_of(data, size) : need(calloc(1, size));
    graph->kept = need(realloc(graph->kept, (graph->kept_count + 1) * sizeof *graph->kept));
    graph->kept[graph->kept_count++] = kept;
    return kept;
}

const char *weir_graph_keep_text(struct weir_graph *graph, const char *text)
{
    return weir_graph_keep(graph, text, strlen(text) + 1);
}

void weir_graph_fail(struct weir_graph *graph, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (graph->error[0] == '\0')
        vsnprintf(graph->error, sizeof graph->error, format, arguments);
    va_end(arguments);
}

/* ---- items ---- */

void fake_items_add(struct weir_saver *items, enum weir_item kind, struct weir_bytes item)
{
    items->items = need(realloc(items->items, (items->count + 1) * sizeof *items->items));
    items->items[items->count++] =
        (struct fake_item){kind, copy_of(item.data, item.size), item.size};
}

void fake_items_copy(struct weir_saver *items, const struct weir_saver *from)
{
    for (size_t i = 0; i < from->count; i++)
        fake_items_add(items, from->items[i].kind,
                       (struct weir_bytes){from->items[i].data, from->items[i].size});
}

void fake_items_free(struct weir_saver *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->items[i].data);
    free(items->items);
    *items = (struct weir_saver){0};
}

void weir_save(struct weir_saver *saver, enum weir_item kind, struct weir_bytes item)
{
    assert(item.size <= (size_t)16 << 20); /* as in a job */
    fake_items_add(saver, kind, item);
}

void weir_save_begin(struct weir_saver *saver, enum weir_item kind)
{
    assert(!saver->open);
    fake_items_add(saver, kind, (struct weir_bytes){NULL, 0});
    saver->open = true;
}

void weir_save_raw(struct weir_saver *saver, struct weir_bytes bytes)
{
    assert(saver->open);
    struct fake_item *last = &saver->items[saver->count - 1];
    assert(bytes.size <= ((size_t)16 << 20) - last->size); /* as in a job */
    last->data = need(realloc(last->data, last->size + bytes.size + 1));
    if (bytes.size > 0)
        memcpy((char *)last->data + last->size, bytes.data, bytes.size);
    last->size += bytes.size;
}

void weir_save_end(struct weir_saver *saver)
{
    assert(saver->open);
    saver->open = false;
}

/* At once. */
void weir_save_later(struct weir_saver *saver, enum weir_item kind, const struct weir_later *later)
{
    weir_save_begin(saver, kind);
    if (later->write(later->data, saver) != WEIR_OK)
        abort();
    weir_save_end(saver);
    if (later->release)
        later->release(later->data);
}

void weir_save_note(struct weir_saver *saver, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(saver->note, sizeof saver->note, format, arguments);
    va_end(arguments);
}

bool weir_load_next(struct weir_loader *loader, enum weir_item *kind, struct weir_bytes *item)
{
    if (loader->next == loader->from->count)
        return false;
    const struct fake_item *next = &loader->from->items[loader->next++];
    *kind = next->kind;
    *item = (struct weir_bytes){next->data, next->size};
    item_cursor_next(&loader->item, *item);
    return true;
}

enum weir_result weir_handle(struct weir_context *context, struct weir_bytes handle)
{
    fake_items_add(&context->handles, WEIR_ITEM_SPLIT, handle);
    return WEIR_OK;
}

/* ---- the task ---- */

/* A loader that has failed fails the start, as in a job. */
static enum weir_result load(struct weir_context *task, struct weir_loader *loader)
{
    enum weir_result result = task->table->load(task->self, task, loader, task->table->version);
    if (weir_load_failed(loader) && !task->failed.code)
        result = weir_fail(task, WEIR_DAMAGED, "%s", loader->item.failed);
    return result;
}

enum weir_result fake_start(struct weir_context *task, struct weir_graph *graph, weir_node node,
                            const struct fake_run *run)
{
    const struct fake_node *from = &graph->nodes[node.index];
    *task = (struct weir_context){.run = *run};
    if (task->run.parallelism == 0)
        task->run.parallelism = 1;
    if (task->run.epoch == 0)
        task->run.epoch = 1;
    task->table = from->options.table;
    task->function = from->options.function;
    task->config = from->options.config;
    task->name = from->options.name;
    task->event_time = WEIR_NO_TIME;
    task->state_count = from->options.state_count;
    memcpy(task->states, from->states, sizeof task->states);
    task->watermark = WEIR_NO_TIME;
    task->wake_ns = INT64_MAX;
    task->wake_fd = task->idle_fd = -1;
    task->limit = WEIR_END_OF_TIME;
    if (!task->table)
        return WEIR_OK;
    task->self = need(calloc(1, task->table->self_size));
    enum weir_result result = task->table->open(task->self, task, task->config);
    if (result == WEIR_OK && run->saved) {
        struct weir_loader loader = {.from = run->saved};
        result = load(task, &loader);
    }
    return result;
}

void fake_forget_emitted(struct weir_context *task)
{
    for (size_t i = 0; i < task->emitted_count; i++) {
        free((void *)(uintptr_t)task->emitted[i].key.data);
        free((void *)(uintptr_t)task->emitted[i].value.data);
    }
    free(task->emitted);
    free(task->outputs);
    task->emitted = NULL;
    task->outputs = NULL;
    task->emitted_count = 0;
}

void fake_end(struct weir_context *task)
{
    if (task->table && task->table->close)
        task->table->close(task->self, task);
    for (size_t i = 0; i < task->cell_count; i++) {
        free(task->cells[i].key);
        free(task->cells[i].value);
    }
    free(task->cells);
    free(task->timers);
    fake_forget_emitted(task);
    fake_items_free(&task->handles);
    free(task->self);
    *task = (struct weir_context){0};
}

enum weir_result fake_process(struct weir_context *task, const char *key, const char *value)
{
    /* Copies: views are aligned when the runtime hands them out, and die with the call. */
    struct weir_bytes key_view = {copy_of(key, strlen(key)), strlen(key)};
    struct weir_bytes value_view = {copy_of(value, strlen(value)), strlen(value)};
    struct weir_record record = {key_view, value_view, 7};
    enum weir_result result = task->function ? task->function(task, 0, &record, task->config)
                                             : task->table->process(task->self, task, 0, &record);
    free((void *)(uintptr_t)key_view.data);
    free((void *)(uintptr_t)value_view.data);
    return result;
}

enum weir_result fake_take(struct weir_context *task, unsigned input,
                           const struct weir_record *record)
{
    struct weir_record copy = *record;
    copy.key.data = copy_of(record->key.data, record->key.size);
    copy.value.data = copy_of(record->value.data, record->value.size);
    enum weir_result result = task->function ? task->function(task, input, &copy, task->config)
                                             : task->table->process(task->self, task, input, &copy);
    free((void *)(uintptr_t)copy.key.data);
    free((void *)(uintptr_t)copy.value.data);
    return result;
}

enum weir_result fake_restart(struct weir_context *task)
{
    static const struct weir_saver restored; /* for weir_restored */
    struct weir_saver saved = {0};
    struct weir_loader loader = {.from = &saved};
    if (!task->table)
        return WEIR_OK;
    enum weir_result result = fake_cut(task, &saved);
    if (task->table->close)
        task->table->close(task->self, task);
    free(task->self);
    task->self = need(calloc(1, task->table->self_size));
    task->wake_ns = INT64_MAX;
    task->wake_fd = -1;
    task->held = false;
    task->limit = WEIR_END_OF_TIME;
    task->run.saved = &restored;
    if (result == WEIR_OK)
        result = task->table->open(task->self, task, task->config);
    if (result == WEIR_OK && task->table->load)
        result = load(task, &loader);
    fake_items_free(&saved);
    return result;
}

enum weir_result fake_finish(struct weir_context *task, unsigned steps)
{
    while (task->table && task->table->finish && task->failed.code == WEIR_OK && steps-- > 0)
        if (task->table->finish(task->self, task) == WEIR_END)
            return task->failed.code;
    return task->failed.code;
}

enum weir_result fake_cut(struct weir_context *task, struct weir_saver *snapshot)
{
    enum weir_result result = WEIR_OK;
    fake_items_free(&task->handles);
    if (task->table->prepare)
        result = task->table->prepare(task->self, task, 1);
    if (result == WEIR_OK && task->table->save)
        result = task->table->save(task->self, task, snapshot);
    return result;
}

enum weir_result fake_wake(struct weir_context *task)
{
    task->wake_ns = INT64_MAX;
    task->wake_fd = -1;
    return task->table->wake(task->self, task);
}

enum weir_result fake_commit(struct weir_context *task, const struct weir_saver *handles)
{
    enum weir_result result = WEIR_OK;
    for (size_t i = 0; result == WEIR_OK && i < handles->count; i++)
        result = task->table->commit(
            task->self, task, (struct weir_bytes){handles->items[i].data, handles->items[i].size});
    return result;
}

/* ---- what a callback may ask ---- */

const char *weir_node_name(const struct weir_context *context)
{
    return context->name;
}

uint32_t weir_subtask(const struct weir_context *context)
{
    return context->run.subtask;
}

uint32_t weir_parallelism(const struct weir_context *context)
{
    return context->run.parallelism;
}

const char *weir_store_id(const struct weir_context *context)
{
    return context->run.store ? context->run.store : "";
}

uint32_t weir_epoch(const struct weir_context *context)
{
    return context->run.epoch;
}

bool weir_restored(const struct weir_context *context)
{
    return context->run.saved != NULL;
}

int64_t weir_now(const struct weir_context *context)
{
    return context->run.now_ns;
}

uint64_t weir_random(struct weir_context *context)
{
    static uint64_t state = 88172645463325252u;
    (void)context;
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

const struct weir_allocator *weir_memory(const struct weir_context *context)
{
    return context->run.allocator;
}

const char *weir_result_name(enum weir_result result)
{
    static const char *const names[] = {
        "WEIR_OK",       "WEIR_INVALID",   "WEIR_NO_MEMORY", "WEIR_IO",
        "WEIR_LOCKED",   "WEIR_NOT_FOUND", "WEIR_DAMAGED",   "WEIR_UNSUPPORTED",
        "WEIR_MISMATCH", "WEIR_TOO_LARGE", "WEIR_FAILED",    "WEIR_REFUSED",
        "WEIR_TIMEOUT",  "WEIR_STOPPED",   "WEIR_UNKNOWN",   "WEIR_PROTOCOL",
    };
    return (size_t)result < sizeof names / sizeof *names ? names[result] : "?";
}

void weir_log(struct weir_context *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context->log, sizeof context->log, format, arguments);
    va_end(arguments);
}

enum weir_result weir_fail(struct weir_context *context, enum weir_result code, const char *format,
                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (context->failed.code == WEIR_OK)
        vsnprintf(context->failed.text, sizeof context->failed.text, format, arguments);
    va_end(arguments);
    if (context->failed.code == WEIR_OK)
        context->failed.code = code;
    return code;
}

enum weir_result weir_fail_with(struct weir_context *context, const struct weir_error *error)
{
    return weir_fail(context, error->code, "%s", error->text);
}

enum weir_progress weir_idle(struct weir_context *context, int64_t deadline_ns, int fd)
{
    context->deadline_ns = deadline_ns;
    context->idle_fd = fd;
    return WEIR_IDLE;
}

void weir_wake(struct weir_context *context, int64_t deadline_ns, int fd)
{
    context->wake_ns = deadline_ns;
    context->wake_fd = fd;
}

void weir_hold(struct weir_context *context, bool held)
{
    context->held = held;
}

void weir_watermark_limit(struct weir_context *context, int64_t time)
{
    context->limit = time;
}

void weir_progress_set(struct weir_context *context, uint64_t done, uint64_t total)
{
    context->progress_done = done;
    context->progress_total = total;
}

enum weir_result weir_store_folder(struct weir_context *context, char *path, size_t room,
                                   struct weir_error *error)
{
    const char *folder = context->run.folder;
    enum weir_result code = !folder                  ? WEIR_INVALID
                            : strlen(folder) >= room ? WEIR_TOO_LARGE
                                                     : WEIR_OK;
    if (code == WEIR_OK)
        memcpy(path, folder, strlen(folder) + 1);
    else if (error)
        *error = (struct weir_error){.code = code, .text = "no store, or no room for its path"};
    return code;
}

/* ---- emit ---- */

enum weir_result weir_emit(struct weir_context *context, unsigned output,
                           const struct weir_record *record)
{
    size_t count = context->emitted_count, room = count ? 2 * count : 1;
    if ((count & (count - 1)) == 0) { /* room for the next power of two */
        context->emitted = need(realloc(context->emitted, room * sizeof *context->emitted));
        context->outputs = need(realloc(context->outputs, room * sizeof *context->outputs));
    }
    context->outputs[count] = output;
    context->emitted[context->emitted_count++] = (struct weir_record){
        {copy_of(record->key.data, record->key.size), record->key.size},
        {copy_of(record->value.data, record->value.size), record->value.size},
        record->time,
    };
    return WEIR_OK;
}

void weir_emit_watermark(struct weir_context *context, int64_t time)
{
    context->watermark = time;
}

/* ---- keyed state ---- */

static struct fake_cell *find_cell(struct weir_context *context, unsigned state,
                                   const struct weir_bytes *key)
{
    if (state >= context->state_count)
        abort();
    for (size_t i = 0; i < context->cell_count; i++) {
        struct fake_cell *cell = &context->cells[i];
        if (cell->state == state && !cell->removed && cell->key_size == key->size &&
            memcmp(cell->key, key->data, key->size) == 0)
            return cell;
    }
    return NULL;
}

static struct fake_cell *add_cell(struct weir_context *context, unsigned state,
                                  const struct weir_bytes *key)
{
    size_t count = context->cell_count;
    if ((count & (count - 1)) == 0)
        context->cells =
            need(realloc(context->cells, (count ? 2 * count : 1) * sizeof *context->cells));
    struct fake_cell *cell = &context->cells[context->cell_count++];
    *cell = (struct fake_cell){.state = state, .key_size = key->size};
    cell->key = copy_of(key->data, key->size);
    return cell;
}

void *weir_cell(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    struct fake_cell *cell = find_cell(context, state, key);
    if (!cell) {
        cell = add_cell(context, state, key);
        cell->value_size = context->states[state].value_size;
        cell->value = need(calloc(1, cell->value_size));
    }
    return cell->value;
}

bool weir_get(struct weir_context *context, unsigned state, const struct weir_bytes *key,
              struct weir_bytes *value)
{
    const struct fake_cell *cell = find_cell(context, state, key);
    if (cell)
        *value = (struct weir_bytes){cell->value, cell->value_size};
    return cell;
}

/* The old value is gone at once: who still looks at it is found by the sanitizer. */
enum weir_result weir_put(struct weir_context *context, unsigned state,
                          const struct weir_bytes *key, struct weir_bytes value)
{
    struct fake_cell *cell = find_cell(context, state, key);
    if (!cell)
        cell = add_cell(context, state, key);
    free(cell->value);
    cell->value = copy_of(value.data, value.size);
    cell->value_size = value.size;
    return WEIR_OK;
}

bool weir_remove(struct weir_context *context, unsigned state, const struct weir_bytes *key)
{
    struct fake_cell *cell = find_cell(context, state, key);
    if (!cell)
        return false;
    free(cell->key);
    free(cell->value);
    cell->key = cell->value = NULL;
    return cell->removed = true;
}

bool weir_scan_next(struct weir_context *context, unsigned state, struct weir_bytes *key,
                    struct weir_bytes *value)
{
    while (context->scanned[state] < context->cell_count) {
        const struct fake_cell *cell = &context->cells[context->scanned[state]++];
        if (cell->state != state || cell->removed)
            continue;
        *key = (struct weir_bytes){cell->key, cell->key_size};
        *value = (struct weir_bytes){cell->value, cell->value_size};
        return true;
    }
    return false;
}

void weir_scan_rewind(struct weir_context *context, unsigned state)
{
    context->scanned[state] = 0;
}

/* ---- event time ---- */

int64_t weir_watermark(const struct weir_context *context)
{
    return context->event_time;
}

enum weir_result weir_timer_set(struct weir_context *context, enum weir_timer kind, int64_t time,
                                uint64_t tag)
{
    for (size_t i = 0; i < context->timer_count; i++) {
        const struct fake_timer *timer = &context->timers[i];
        if (timer->kind == kind && timer->time == time && timer->tag == tag)
            return WEIR_OK;
    }
    context->timers =
        need(realloc(context->timers, (context->timer_count + 1) * sizeof *context->timers));
    context->timers[context->timer_count++] = (struct fake_timer){kind, time, tag};
    return WEIR_OK;
}

static bool is_before(const struct fake_timer *a, const struct fake_timer *b)
{
    return a->time < b->time || (a->time == b->time && a->tag < b->tag);
}

enum weir_result fake_watermark(struct weir_context *task, int64_t time)
{
    task->event_time = time > task->event_time ? time : task->event_time;
    while (task->failed.code == WEIR_OK) {
        size_t first = task->timer_count;
        for (size_t i = 0; i < task->timer_count; i++)
            if (task->timers[i].kind == WEIR_TIMER_EVENT &&
                task->timers[i].time <= task->event_time &&
                (first == task->timer_count || is_before(&task->timers[i], &task->timers[first])))
                first = i;
        if (first == task->timer_count)
            break;
        struct fake_timer timer = task->timers[first];
        task->timers[first] = task->timers[--task->timer_count];
        enum weir_result result =
            task->table->timer(task->self, task, timer.kind, timer.time, timer.tag);
        if (result != WEIR_OK)
            return result;
    }
    return task->failed.code;
}

uint64_t weir_hash(struct weir_bytes bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}

/* ---- files ---- */

struct weir_file {
    int descriptor;
};

unsigned fake_file_calls;
unsigned fake_file_limit = UINT32_MAX;
char fake_file_trace[4096];

void fake_files_reset(void)
{
    fake_file_calls = 0;
    fake_file_limit = UINT32_MAX;
    fake_file_trace[0] = '\0';
}

static enum weir_result fill(struct weir_error *error, const char *path, int number)
{
    enum weir_result code = number == ENOENT   ? WEIR_NOT_FOUND
                            : number == EEXIST ? WEIR_REFUSED
                                               : WEIR_IO;
    if (error) {
        error->code = code;
        error->os_error = number;
        snprintf(error->text, sizeof error->text, "%s: %s", path, strerror(number));
    }
    return code;
}

/* False when the process is dead. */
static bool alive(void)
{
    return ++fake_file_calls <= fake_file_limit;
}

static void trace(char letter)
{
    size_t at = strlen(fake_file_trace);
    if (at + 1 < sizeof fake_file_trace) {
        fake_file_trace[at] = letter;
        fake_file_trace[at + 1] = '\0';
    }
}

static enum weir_result done(int answer, char letter, const char *path, struct weir_error *error)
{
    if (answer < 0)
        return fill(error, path, errno);
    trace(letter);
    return WEIR_OK;
}

enum weir_result weir_file_open(const struct weir_allocator *allocator, const char *path,
                                enum weir_open how, struct weir_file **file,
                                struct weir_error *error)
{
    int flags = how == WEIR_OPEN_CREATE ? O_RDWR | O_CREAT | O_EXCL : O_RDONLY;
    (void)allocator;
    if (!alive())
        return fill(error, path, EIO);
    int descriptor = open(path, flags | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return fill(error, path, errno);
    if (how == WEIR_OPEN_CREATE)
        trace('c');
    *file = need(malloc(sizeof **file));
    (*file)->descriptor = descriptor;
    return WEIR_OK;
}

enum weir_result weir_file_close(struct weir_file **file, struct weir_error *error)
{
    if (!*file)
        return WEIR_OK;
    close((*file)->descriptor); /* the dead give descriptors back too */
    free(*file);
    *file = NULL;
    return alive() ? WEIR_OK : fill(error, "close", EIO);
}

enum weir_result weir_file_read(struct weir_file *file, uint64_t offset, void *data, size_t size,
                                size_t *got, struct weir_error *error)
{
    *got = 0;
    if (!alive())
        return fill(error, "read", EIO);
    while (*got < size) {
        ssize_t count =
            pread(file->descriptor, (char *)data + *got, size - *got, (off_t)(offset + *got));
        if (count < 0)
            return fill(error, "read", errno);
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return WEIR_OK;
}

enum weir_result weir_file_write(struct weir_file *file, struct weir_bytes data,
                                 struct weir_error *error)
{
    bool dead = !alive();
    size_t size = !dead ? data.size : fake_file_calls == fake_file_limit + 1 ? data.size / 2 : 0;
    if (write(file->descriptor, data.data, size) != (ssize_t)size)
        abort();
    return dead ? fill(error, "write", EIO) : done(0, 'w', "", error);
}

enum weir_result weir_file_sync(struct weir_file *file, struct weir_error *error)
{
    (void)file;
    return alive() ? done(0, 's', "", error) : fill(error, "sync", EIO);
}

enum weir_result weir_file_status(const char *path, struct weir_file_status *status,
                                  struct weir_error *error)
{
    struct stat found;
    if (!alive())
        return fill(error, path, EIO);
    if (stat(path, &found) < 0)
        return fill(error, path, errno);
    *status = (struct weir_file_status){
        .folder = S_ISDIR(found.st_mode),
        .regular = S_ISREG(found.st_mode),
        .size = (uint64_t)found.st_size,
        .device = found.st_dev,
        .inode = found.st_ino,
        .modified_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec,
    };
    return WEIR_OK;
}

enum weir_result weir_file_rename(const char *from, const char *to, struct weir_error *error)
{
    if (!alive())
        return fill(error, from, EIO);
    return done(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE), 'r', from, error);
}

enum weir_result weir_file_remove(const char *path, struct weir_error *error)
{
    return alive() ? done(unlink(path), 'x', path, error) : fill(error, path, EIO);
}

enum weir_result weir_folder_make(const char *path, struct weir_error *error)
{
    if (!alive())
        return fill(error, path, EIO);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fill(error, path, errno);
    return done(0, 'm', path, error);
}

enum weir_result weir_folder_sync(const char *path, struct weir_error *error)
{
    return alive() ? done(access(path, F_OK), 'S', path, error) : fill(error, path, EIO);
}

enum weir_result weir_folder_list(const char *path, bool (*each)(void *context, const char *name),
                                  void *context, struct weir_error *error)
{
    DIR *folder = alive() ? opendir(path) : NULL;
    if (!folder)
        return fill(error, path, fake_file_calls > fake_file_limit ? EIO : errno);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !each(context, entry->d_name))
            break;
    closedir(folder);
    return WEIR_OK;
}
