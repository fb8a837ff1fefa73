/* SPDX-License-Identifier: Apache-2.0
 *
 * async: records as requests to a pool of threads. The requests in flight are operator state:
 *
 *   SPLIT item, one a request, oldest first:
 *     struct request_head, key, value, each of the two padded to 8 bytes
 *
 *   A1  Every record taken is in the list of requests, in the order it came, until its answer is
 *       emitted; so a save of the list loses nothing, and what it doubles is calls, not output.
 *   A2  A request is written to by one thread at a time: until it is given to the pool, and when it
 *       was taken back, by the task; in between its reply alone, by the thread that runs it. Its
 *       record does not change as long as it is in the list, so that save can read it meanwhile.
 *   A3  The watermark's limit is the least `bound` in the list: the record's time, or the watermark
 *       it came under if that is higher, for a late record is late already.
 *
 *   GIVEN --done, well--> DONE --emitted--> out of the list
 *     ^  `--done, failed--> RESTING (or the run fails)
 *     `----------time----------'
 */
#include "weir_operators.h"
#include "block.h"
#include "node.h"
#include "pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define THREADS_DEFAULT 8
#define THREADS_LIMIT 256
#define CAPACITY_DEFAULT 4 /* a thread */
#define CAPACITY_LIMIT 65536
#define REPLY_DEFAULT ((size_t)1 << 20)
#define PAUSE_DEFAULT INT64_C(100000000)
#define PAUSE_DOUBLINGS 6
#define LOOKS_IN_TIMEOUT 8
#define ITEM_LIMIT (((size_t)16 << 20) - sizeof(uint64_t)) /* of a saved item, without its hash */
#define STEP_RECORDS 256 /* emitted at once: a marker waits for them */
#define STEP_BYTES ((size_t)256 << 10)
#define KEEP_BYTES ((size_t)64 << 10) /* larger buffers are not kept for the next request */

struct request_head {
    uint64_t key_size, value_size;
    int64_t time, bound;
};
_Static_assert(sizeof(struct request_head) == 32, "saved in checkpoints");

struct weir_reply {
    const struct weir_allocator *memory;
    const struct pool *pool;
    size_t limit;
    struct block value, key;
    bool own_key, none;
    char error[200];
};

enum request_state { GIVEN, RESTING, DONE };

struct request {
    struct pool_job job; /* first: the pool knows nothing else */
    const struct weir_async_options *options;
    struct request *next, *previous; /* in the order they came; free ones: next alone */
    struct block saved;              /* as in the checkpoint */
    struct weir_record record;       /* views into it */
    int64_t bound;
    enum request_state state;
    uint32_t failures;
    int64_t when_ns;            /* GIVEN: first seen running, 0: not yet; RESTING: due then */
    struct request *ready_next; /* DONE, unordered: emitted after this one */
    struct weir_reply reply;
    enum weir_result result;
};

struct async {
    const struct weir_async_options *options;
    const struct weir_allocator *memory;
    struct pool *pool;
    struct request *first, *last; /* in flight, A1 */
    uint32_t count;
    uint32_t resting;
    struct request *ready, *ready_last; /* DONE, unordered */
    struct request *unused;
    int64_t bound;    /* A3: the least of all; END_OF_TIME: none is in flight */
    bool bound_gone;  /* the request that had it has left */
    bool wished;      /* to be woken when the pool has an answer */
    bool checking;    /* a look at timeouts is wished for */
    int64_t check_ns; /* the next one */
};

/* ----------------------------------------------------------------------------- the reply -- */

enum weir_result weir_reply_append(struct weir_reply *reply, struct weir_bytes bytes)
{
    if (bytes.size > reply->limit || reply->value.size > reply->limit - bytes.size)
        return WEIR_TOO_LARGE;
    return block_append(&reply->value, reply->memory, bytes.data, bytes.size) ? WEIR_OK
                                                                              : WEIR_NO_MEMORY;
}

enum weir_result weir_reply_key(struct weir_reply *reply, struct weir_bytes key)
{
    if (key.size > WEIR_KEY_LIMIT)
        return WEIR_TOO_LARGE;
    reply->key.size = 0;
    reply->own_key = true;
    return block_append(&reply->key, reply->memory, key.data, key.size) ? WEIR_OK : WEIR_NO_MEMORY;
}

void weir_reply_none(struct weir_reply *reply)
{
    reply->none = true;
}

enum weir_result weir_reply_fail(struct weir_reply *reply, enum weir_result code,
                                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reply->error, sizeof reply->error, format, arguments);
    va_end(arguments);
    return code ? code : WEIR_FAILED;
}

bool weir_reply_stopping(const struct weir_reply *reply)
{
    return pool_stopping(reply->pool);
}

/* On a thread of the pool. */
static void run_call(struct pool_job *job)
{
    struct request *request = (struct request *)job;
    struct weir_reply *reply = &request->reply;
    reply->value.size = reply->key.size = 0;
    reply->own_key = reply->none = false;
    reply->error[0] = '\0';
    request->result = request->options->call(&request->record, reply, request->options->config);
}

/* -------------------------------------------------------------------------- the requests -- */

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static struct request *request_new(struct async *async)
{
    struct request *request = async->unused;
    if (request) {
        async->unused = request->next;
        return request;
    }
    request = block_take(async->memory, sizeof *request);
    if (!request)
        return NULL;
    request->options = async->options;
    request->reply.memory = async->memory;
    request->reply.pool = async->pool;
    request->reply.limit = async->options->reply_limit;
    return request;
}

static void request_trim(struct request *request, const struct weir_allocator *memory, size_t most)
{
    struct block *blocks[] = {&request->saved, &request->reply.value, &request->reply.key};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i]->room > most)
            block_free(blocks[i], memory);
}

static void request_free(struct async *async, struct request *request)
{
    request_trim(request, async->memory, 0);
    block_drop(async->memory, request);
}

/* Points the record into the saved bytes; false: they are no request. */
static bool request_read(struct request *request)
{
    struct request_head head;
    struct weir_bytes saved = {request->saved.data, request->saved.size};
    if (saved.size < sizeof head)
        return false;
    memcpy(&head, saved.data, sizeof head);
    size_t left = saved.size - sizeof head;
    if (head.key_size > left || head.value_size > left ||
        padded(head.key_size) + padded(head.value_size) != left)
        return false;
    const unsigned char *key = request->saved.data + sizeof head;
    request->record = (struct weir_record){
        {key, head.key_size}, {key + padded(head.key_size), head.value_size}, head.time};
    request->bound = head.bound;
    return true;
}

static bool append_padded(struct block *block, const struct weir_allocator *memory,
                          struct weir_bytes bytes)
{
    static const unsigned char zeros[8];
    return block_append(block, memory, bytes.data, bytes.size) &&
           block_append(block, memory, zeros, padded(bytes.size) - bytes.size);
}

static bool request_write(struct request *request, const struct weir_allocator *memory,
                          const struct weir_record *record, int64_t watermark)
{
    struct request_head head = {record->key.size, record->value.size, record->time,
                                record->time > watermark ? record->time : watermark};
    request->saved.size = 0;
    return block_append(&request->saved, memory, &head, sizeof head) &&
           append_padded(&request->saved, memory, record->key) &&
           append_padded(&request->saved, memory, record->value) && request_read(request);
}

static void give(struct async *async, struct request *request)
{
    request->state = GIVEN;
    request->when_ns = 0;
    pool_give(async->pool, &request->job);
}

/* Into the list, and to the pool. */
static void enter(struct async *async, struct weir_context *context, struct request *request)
{
    request->next = NULL;
    request->previous = async->last;
    request->failures = 0;
    *(async->last ? &async->last->next : &async->first) = request;
    async->last = request;
    async->count++;
    if (request->bound < async->bound) {
        async->bound = request->bound;
        weir_watermark_limit(context, async->bound);
    }
    if (async->count >= async->options->capacity)
        weir_hold(context, true);
    give(async, request);
}

static void leave(struct async *async, struct request *request)
{
    *(request->previous ? &request->previous->next : &async->first) = request->next;
    *(request->next ? &request->next->previous : &async->last) = request->previous;
    async->count--;
    async->bound_gone |= request->bound == async->bound;
    request_trim(request, async->memory, KEEP_BYTES);
    request->next = async->unused;
    async->unused = request;
}

/* ------------------------------------------------------------------------------- failures -- */

static void show_key(const struct request *request, char shown[41])
{
    struct weir_bytes key = request->record.key.size ? request->record.key : request->record.value;
    size_t size = key.size < 40 ? key.size : 40;
    for (size_t i = 0; i < size; i++) {
        char c = ((const char *)key.data)[i];
        shown[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    shown[size] = '\0';
}

static enum weir_result on_failure(struct async *async, struct weir_context *context,
                                   struct request *request)
{
    const struct weir_async_options *options = async->options;
    uint32_t doublings = request->failures < PAUSE_DOUBLINGS ? request->failures : PAUSE_DOUBLINGS;
    char shown[41];
    if (request->failures++ < options->retries) {
        request->state = RESTING;
        request->when_ns = weir_now(context) + options->retry_pause_ns * (INT64_C(1) << doublings);
        async->resting++;
        return WEIR_OK;
    }
    show_key(request, shown);
    return weir_fail(
        context, request->result,
        "the call for the record of %s \"%s\", time %lld, failed (%u time%s): %s",
        request->record.key.size ? "key" : "value", shown, (long long)request->record.time,
        request->failures, request->failures == 1 ? "" : "s",
        request->reply.error[0] ? request->reply.error : weir_result_name(request->result));
}

/* The pool has no clock: a call's time is counted from when it is first seen to run. */
static enum weir_result check_timeouts(struct async *async, struct weir_context *context,
                                       int64_t now)
{
    int64_t timeout = async->options->timeout_ns;
    char shown[41];
    async->checking = timeout > 0 && async->count > 0;
    if (!async->checking || now < async->check_ns)
        return WEIR_OK;
    async->check_ns = now + timeout / LOOKS_IN_TIMEOUT + 1;
    for (struct request *request = async->first; request; request = request->next) {
        if (request->state != GIVEN || !atomic_load(&request->job.started))
            continue;
        if (request->when_ns == 0) {
            request->when_ns = now;
        } else if (now - request->when_ns >= timeout) {
            show_key(request, shown);
            return weir_fail(context, WEIR_TIMEOUT,
                             "the call for the record of %s \"%s\", time %lld, takes longer than "
                             "its timeout_ns; it can't be interrupted",
                             request->record.key.size ? "key" : "value", shown,
                             (long long)request->record.time);
        }
    }
    return WEIR_OK;
}

/* ---------------------------------------------------------------------------- the answers -- */

static void make_ready(struct async *async, struct request *request)
{
    request->state = DONE;
    request->ready_next = NULL;
    if (!async->options->unordered) /* the head of the list says it */
        return;
    *(async->ready ? &async->ready_last->ready_next : &async->ready) = request;
    async->ready_last = request;
}

static enum weir_result take_answers(struct async *async, struct weir_context *context)
{
    struct pool_job *next;
    for (struct pool_job *job = pool_take(async->pool); job; job = next) {
        struct request *request = (struct request *)job;
        next = job->next;
        if (request->result == WEIR_OK) {
            make_ready(async, request);
            continue;
        }
        enum weir_result result = on_failure(async, context, request);
        if (result)
            return result;
    }
    return WEIR_OK;
}

/* The next one to be emitted, out of the ready ones. */
static struct request *next_ready(struct async *async)
{
    struct request *request = async->options->unordered ? async->ready : async->first;
    if (!request || request->state != DONE)
        return NULL;
    if (async->options->unordered)
        async->ready = request->ready_next;
    return request;
}

static bool any_ready(const struct async *async)
{
    const struct request *request = async->options->unordered ? async->ready : async->first;
    return request && request->state == DONE;
}

static enum weir_result emit_reply(struct weir_context *context, const struct request *request)
{
    const struct weir_reply *reply = &request->reply;
    struct weir_record record = {.key = request->record.key, .time = request->record.time};
    if (reply->none)
        return WEIR_OK;
    if (reply->own_key)
        record.key = (struct weir_bytes){reply->key.data, reply->key.size};
    record.value = (struct weir_bytes){reply->value.data, reply->value.size};
    return weir_emit(context, 0, &record);
}

static enum weir_result emit_some(struct async *async, struct weir_context *context)
{
    struct request *request;
    size_t bytes = 0;
    for (unsigned i = 0; i < STEP_RECORDS && bytes < STEP_BYTES; i++) {
        if (!(request = next_ready(async)))
            break;
        enum weir_result result = emit_reply(context, request);
        bytes += request->reply.value.size;
        leave(async, request);
        if (result)
            return result;
    }
    return WEIR_OK;
}

/* A3 */
static void set_limit(struct async *async, struct weir_context *context)
{
    if (!async->bound_gone)
        return;
    async->bound_gone = false;
    async->bound = WEIR_END_OF_TIME;
    for (const struct request *request = async->first; request; request = request->next)
        if (request->bound < async->bound)
            async->bound = request->bound;
    weir_watermark_limit(context, async->bound);
}

/* Gives those that have rested to the pool again; answers when the next one is due. */
static int64_t end_rests(struct async *async, int64_t now)
{
    int64_t next = INT64_MAX;
    for (struct request *request = async->first; request && async->resting;
         request = request->next) {
        if (request->state != RESTING)
            continue;
        if (request->when_ns <= now) {
            async->resting--;
            give(async, request);
        } else if (request->when_ns < next) {
            next = request->when_ns;
        }
    }
    return next;
}

/* Everything there is to do without input; *deadline is when to look again, besides when the pool's
 * descriptor says so. */
static enum weir_result turn(struct async *async, struct weir_context *context, int64_t *deadline)
{
    enum weir_result result = take_answers(async, context);
    if (!result)
        result = emit_some(async, context);
    if (result)
        return result;
    int64_t now = weir_now(context);
    set_limit(async, context);
    *deadline = async->resting ? end_rests(async, now) : INT64_MAX;
    result = check_timeouts(async, context, now);
    if (async->checking && async->check_ns < *deadline)
        *deadline = async->check_ns;
    if (any_ready(async))
        *deadline = now;
    return result;
}

/* ------------------------------------------------------------------------------ callbacks -- */

static enum weir_result async_open(void *self, struct weir_context *context, const void *config)
{
    struct async *async = self;
    struct weir_error error = {0};
    async->options = config;
    async->memory = weir_memory(context);
    async->bound = WEIR_END_OF_TIME;
    async->pool =
        pool_new(async->memory, async->options->threads, weir_node_name(context), run_call, &error);
    return async->pool ? WEIR_OK : weir_fail_with(context, &error);
}

/* With the first request the pool's answer is wished for, and a look at timeouts; others find both
 * wished for. Who has nothing in flight wishes for nothing: its cycle may be at rest. */
static void wish(struct async *async, struct weir_context *context)
{
    bool check = !async->checking && async->options->timeout_ns > 0;
    if (async->count == 0 || (async->wished && !check))
        return;
    async->wished = true;
    if (check) {
        async->checking = true;
        async->check_ns = weir_now(context);
    }
    weir_wake(context, check ? async->check_ns : INT64_MAX, pool_fd(async->pool));
}

static enum weir_result async_process(void *self, struct weir_context *context, unsigned input,
                                      const struct weir_record *record)
{
    struct async *async = self;
    (void)input;
    if (record->key.size + record->value.size > ITEM_LIMIT - sizeof(struct request_head) - 16)
        return weir_fail(context, WEIR_TOO_LARGE,
                         "a request of %zu bytes: with all that is saved of it, it may have 16 MiB",
                         record->key.size + record->value.size);
    struct request *request = request_new(async);
    if (!request)
        return block_none(context);
    if (!request_write(request, async->memory, record, weir_watermark(context))) {
        request_free(async, request);
        return block_none(context);
    }
    enter(async, context, request);
    wish(async, context);
    return WEIR_OK;
}

static enum weir_result async_wake(void *self, struct weir_context *context)
{
    struct async *async = self;
    int64_t deadline;
    enum weir_result result = turn(async, context, &deadline);
    if (result)
        return result;
    weir_hold(context, async->count >= async->options->capacity);
    async->wished = async->count > 0;
    if (async->wished)
        weir_wake(context, deadline, pool_fd(async->pool));
    return WEIR_OK;
}

static enum weir_progress async_finish(void *self, struct weir_context *context)
{
    struct async *async = self;
    int64_t deadline;
    if (turn(async, context, &deadline) || async->count == 0)
        return WEIR_END;
    return any_ready(async) ? WEIR_MORE : weir_idle(context, deadline, pool_fd(async->pool));
}

/* KEYED, and in order: with another parallelism too the answers to a key's requests keep theirs. */
static void save_request(const struct request *request, struct weir_saver *saver)
{
    uint64_t hash = weir_hash(request->record.key);
    weir_save_begin(saver, WEIR_ITEM_KEYED);
    weir_save_raw(saver, (struct weir_bytes){&hash, sizeof hash});
    weir_save_raw(saver, (struct weir_bytes){request->saved.data, request->saved.size});
    weir_save_end(saver);
}

static enum weir_result async_save(void *self, struct weir_context *context,
                                   struct weir_saver *saver)
{
    const struct async *async = self;
    (void)context;
    for (const struct request *request = async->first; request; request = request->next)
        save_request(request, saver);
    weir_save_note(saver, "%u requests in flight", async->count);
    return WEIR_OK;
}

static enum weir_result async_load(void *self, struct weir_context *context,
                                   struct weir_loader *loader, uint32_t version)
{
    struct async *async = self;
    enum weir_item kind;
    struct weir_bytes item;
    (void)version;
    while (weir_load_next(loader, &kind, &item)) {
        const unsigned char *saved = (const unsigned char *)item.data + sizeof(uint64_t);
        if (item.size < sizeof(uint64_t))
            return weir_fail(context, WEIR_DAMAGED, "a saved request makes no sense");
        item = (struct weir_bytes){saved, item.size - sizeof(uint64_t)};
        struct request *request = request_new(async);
        if (!request || !block_append(&request->saved, async->memory, item.data, item.size)) {
            if (request)
                request_free(async, request);
            return block_none(context);
        }
        if (!request_read(request)) {
            request_free(async, request);
            return weir_fail(context, WEIR_DAMAGED, "a saved request makes no sense");
        }
        enter(async, context, request);
    }
    wish(async, context);
    return WEIR_OK;
}

static void free_list(struct async *async, struct request *request)
{
    while (request) {
        struct request *next = request->next;
        request_free(async, request);
        request = next;
    }
}

static void async_close(void *self, struct weir_context *context)
{
    struct async *async = self;
    (void)context;
    if (!async->pool)
        return;
    pool_stop(async->pool);
    free_list(async, async->first);
    free_list(async, async->unused);
    pool_free(&async->pool);
}

/* -------------------------------------------------------------------------------- the node -- */

static const struct weir_operator async_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "async",
    .self_size = sizeof(struct async),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = async_open,
    .process = async_process,
    .wake = async_wake,
    .finish = async_finish,
    .save = async_save,
    .load = async_load,
    .close = async_close,
};

static const char *wrong_with(const struct weir_async_options *options)
{
    if (!options->call)
        return "async needs a call";
    if (options->threads > THREADS_LIMIT || options->capacity > CAPACITY_LIMIT)
        return "at most 256 threads, and 65,536 requests in flight";
    if (options->reply_limit > WEIR_VALUE_LIMIT)
        return "an answer has at most 16 MiB";
    if (options->retry_pause_ns < 0 ||
        options->retry_pause_ns > INT64_MAX >> PAUSE_DOUBLINGS >> 2 || options->timeout_ns < 0 ||
        options->timeout_ns > INT64_MAX / 4)
        return "retry_pause_ns or timeout_ns is negative, or far too long";
    return NULL;
}

weir_node weir_async(struct weir_graph *graph, const char *name,
                     const struct weir_async_options *given)
{
    struct weir_async_options options;
    if (!node_options(graph, name, given, &options, sizeof options))
        return NODE_NONE;
    const char *wrong = wrong_with(&options);
    if (wrong)
        return node_refuse(graph, name, wrong);
    if (options.threads == 0)
        options.threads = THREADS_DEFAULT;
    if (options.capacity == 0)
        options.capacity = CAPACITY_DEFAULT * options.threads;
    if (options.reply_limit == 0)
        options.reply_limit = REPLY_DEFAULT;
    if (options.retry_pause_ns == 0)
        options.retry_pause_ns = PAUSE_DEFAULT;
    const void *config = weir_graph_keep(graph, &options, sizeof options);
    return config ? node_add(graph, name, &async_table, config, options.parallelism) : NODE_NONE;
}
