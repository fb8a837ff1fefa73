/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * Async and throttle, each alone. Calls run on real threads, but stop at a gate where the test lets
 * them go one by one, in an order of its own; nothing here depends on how long anything takes.
 */
#include "explore.h"
#include "fake_context.h"
#include "weir_operators.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CALLS 4096
#define DEADLINE_MS 60000

static const struct fake_run first = {.parallelism = 1};

/* ---- the gate ---- */

enum verdict { WAIT, ANSWER, FAIL, NOTHING };

static struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum verdict verdicts[CALLS]; /* by the record's number */
    unsigned begun[CALLS], ended[CALLS];
    bool open; /* nobody waits */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_reset(bool open)
{
    memset(gate.verdicts, 0, sizeof gate.verdicts);
    memset(gate.begun, 0, sizeof gate.begun);
    memset(gate.ended, 0, sizeof gate.ended);
    gate.open = open;
}

static void gate_let(uint32_t number, enum verdict verdict)
{
    pthread_mutex_lock(&gate.lock);
    gate.verdicts[number] = verdict;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void gate_wait(const unsigned *counter, unsigned least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&gate.lock);
    while (*counter < least)
        cr_assert_eq(pthread_cond_timedwait(&gate.changed, &gate.lock, &until), 0, "it is stuck");
    pthread_mutex_unlock(&gate.lock);
}

static uint32_t number_of(struct weir_bytes bytes)
{
    uint32_t number;
    cr_assert_eq(bytes.size, sizeof number);
    memcpy(&number, bytes.data, sizeof number);
    return number;
}

static enum verdict pass_gate(uint32_t number, const struct weir_reply *reply)
{
    pthread_mutex_lock(&gate.lock);
    gate.begun[number]++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.verdicts[number] == WAIT && !gate.open && !weir_reply_stopping(reply)) {
        struct timespec soon; /* for pool_stopping, which no condition tells of */
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 1000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&gate.changed, &gate.lock, &soon);
    }
    enum verdict verdict = gate.verdicts[number];
    if (verdict == FAIL)
        gate.verdicts[number] = WAIT; /* the next try waits for a verdict of its own */
    gate.ended[number]++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    return verdict;
}

/* Answers the number plus 1,000,000, with the number as key. */
static enum weir_result call(const struct weir_record *record, struct weir_reply *reply,
                             const void *config)
{
    uint32_t number = number_of(record->value), answer = number + 1000000;
    (void)config;
    switch (pass_gate(number, reply)) {
    case FAIL:
        return weir_reply_fail(reply, WEIR_IO, "the server is at tea, %u", number);
    case NOTHING:
        weir_reply_none(reply);
        return WEIR_OK;
    case WAIT:
    case ANSWER:
        break;
    }
    /* In two parts. */
    enum weir_result result = weir_reply_append(reply, (struct weir_bytes){&answer, 1});
    if (!result)
        result = weir_reply_append(reply, (struct weir_bytes){(char *)&answer + 1, 3});
    return result ? result : weir_reply_key(reply, record->value);
}

/* ---- the test bed ---- */

struct bed {
    struct weir_graph *graph;
    struct weir_context task;
};

static void bed_make(struct bed *bed, struct weir_async_options options)
{
    options.size = sizeof options;
    if (!options.call)
        options.call = call;
    gate_reset(false);
    bed->graph = weir_graph_new(NULL);
    weir_node node = weir_async(bed->graph, "async", &options);
    cr_assert_eq(bed->graph->error[0], '\0', "%s", bed->graph->error);
    cr_assert_eq(fake_start(&bed->task, bed->graph, node, &first), WEIR_OK, "%s",
                 bed->task.failed.text);
}

static void bed_free(struct bed *bed)
{
    fake_end(&bed->task);
    weir_graph_free(&bed->graph);
}

static enum weir_result give(struct bed *bed, uint32_t number, int64_t time)
{
    struct weir_record record = {{"key", 3}, {&number, sizeof number}, time};
    return fake_take(&bed->task, 0, &record);
}

/* Waits as the runtime would. A deadline that is near is not waited for but moves the clock; one
 * that is far is but a timeout that should not strike. */
static void wait_for(struct bed *bed, int64_t deadline_ns, int fd)
{
    struct pollfd wish = {.fd = fd, .events = POLLIN};
    cr_assert_geq(fd, 0);
    if (deadline_ns - bed->task.run.now_ns > INT64_C(1) << 40)
        cr_assert_eq(poll(&wish, 1, DEADLINE_MS), 1, "no answer comes");
    else if (poll(&wish, 1, 0) == 0 && deadline_ns > bed->task.run.now_ns)
        bed->task.run.now_ns = deadline_ns;
}

static enum weir_result wait_and_wake(struct bed *bed)
{
    wait_for(bed, bed->task.wake_ns, bed->task.wake_fd);
    return fake_wake(&bed->task);
}

static void wait_for_emitted(struct bed *bed, size_t count)
{
    while (bed->task.emitted_count < count)
        cr_assert_eq(wait_and_wake(bed), WEIR_OK, "%s", bed->task.failed.text);
    cr_assert_eq(bed->task.emitted_count, count);
}

static void finish(struct bed *bed)
{
    for (;;) {
        enum weir_progress progress = bed->task.table->finish(bed->task.self, &bed->task);
        cr_assert_eq(bed->task.failed.code, WEIR_OK, "%s", bed->task.failed.text);
        if (progress == WEIR_END)
            return;
        if (progress == WEIR_IDLE)
            wait_for(bed, bed->task.deadline_ns, bed->task.idle_fd);
    }
}

static void expect_answer(const struct bed *bed, size_t index, uint32_t number)
{
    const struct weir_record *record = &bed->task.emitted[index];
    cr_assert_eq(number_of(record->value), number + 1000000, "%u, not %u",
                 number_of(record->value) - 1000000, number);
    cr_assert_eq(number_of(record->key), number);
}

/* ---- order ---- */

Test(async, answers_come_in_the_order_of_the_requests)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 4});
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(give(&bed, i, 10 * i), WEIR_OK);
    for (uint32_t i = 3; i >= 1; i--) {
        gate_let(i, ANSWER);
        cr_assert_eq(wait_and_wake(&bed), WEIR_OK);
        cr_assert_eq(bed.task.emitted_count, 0);
    }
    gate_let(0, ANSWER);
    wait_for_emitted(&bed, 4);
    for (uint32_t i = 0; i < 4; i++) {
        expect_answer(&bed, i, i);
        cr_expect_eq(bed.task.emitted[i].time, 10 * i);
    }
    bed_free(&bed);
}

Test(async, unordered_answers_come_as_they_are_there)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 4, .unordered = true});
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(give(&bed, i, 10 * i), WEIR_OK);
    for (uint32_t i = 0; i < 4; i++) {
        gate_let(3 - i, ANSWER);
        wait_for_emitted(&bed, i + 1);
        expect_answer(&bed, i, 3 - i);
    }
    bed_free(&bed);
}

Test(async, an_answer_may_be_none)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 2});
    give(&bed, 0, 0);
    give(&bed, 1, 0);
    gate_let(0, NOTHING);
    gate_let(1, ANSWER);
    wait_for_emitted(&bed, 1);
    expect_answer(&bed, 0, 1);
    finish(&bed);
    bed_free(&bed);
}

/* ---- capacity and time ---- */

Test(async, the_input_is_held_while_capacity_requests_are_in_flight)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 2, .capacity = 3});
    give(&bed, 0, 0);
    give(&bed, 1, 0);
    cr_expect_not(bed.task.held);
    give(&bed, 2, 0);
    cr_expect(bed.task.held);
    give(&bed, 3, 0); /* one that comes nevertheless is not lost */
    gate_let(0, ANSWER);
    wait_for_emitted(&bed, 1);
    cr_expect(bed.task.held);
    gate_let(1, ANSWER);
    wait_for_emitted(&bed, 2);
    cr_expect_not(bed.task.held);
    gate_let(2, ANSWER);
    gate_let(3, ANSWER);
    finish(&bed);
    cr_expect_eq(bed.task.emitted_count, 4);
    bed_free(&bed);
}

Test(async, the_watermark_does_not_overtake_requests)
{
    for (int unordered = 0; unordered < 2; unordered++) {
        struct bed bed;
        bed_make(&bed, (struct weir_async_options){.threads = 4, .unordered = unordered});
        cr_expect_eq(bed.task.limit, WEIR_END_OF_TIME);
        give(&bed, 0, 30);
        cr_expect_eq(bed.task.limit, 30);
        give(&bed, 1, 20);
        cr_expect_eq(bed.task.limit, 20);
        bed.task.event_time = 25;
        give(&bed, 2, 10); /* late already: not to be made later */
        cr_expect_eq(bed.task.limit, 20);
        give(&bed, 3, WEIR_NO_TIME); /* as old as the watermark it came under */
        cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
        cr_expect_eq(bed.task.limit, 20);
        gate_let(0, ANSWER);
        gate_let(1, ANSWER);
        wait_for_emitted(&bed, 2);
        cr_expect_eq(bed.task.limit, 25);
        gate_let(2, ANSWER);
        wait_for_emitted(&bed, 3);
        cr_expect_eq(bed.task.limit, 25);
        gate_let(3, ANSWER);
        wait_for_emitted(&bed, 4);
        cr_expect_eq(bed.task.limit, WEIR_END_OF_TIME);
        bed_free(&bed);
    }
}

/* ---- restarts ---- */

Test(async, requests_in_flight_are_issued_again_after_a_restart)
{
    struct bed bed;
    struct weir_saver saved = {0};
    bed_make(&bed, (struct weir_async_options){.threads = 2, .capacity = 4});
    for (uint32_t i = 0; i < 4; i++)
        give(&bed, i, i);
    gate_wait(&gate.begun[1], 1);
    gate_let(1, ANSWER); /* answered, and not emitted before its forerunner */
    cr_assert_eq(wait_and_wake(&bed), WEIR_OK);
    fake_cut(&bed.task, &saved);
    cr_expect_eq(saved.count, 4);
    cr_expect_str_eq(saved.note, "4 requests in flight");
    fake_items_free(&saved);
    cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
    cr_expect(bed.task.held, "as many as before are in flight");
    gate_wait(&gate.begun[0], 2);
    gate_wait(&gate.begun[1], 2);
    for (uint32_t i = 0; i < 4; i++)
        gate_let(i, ANSWER);
    wait_for_emitted(&bed, 4);
    for (uint32_t i = 0; i < 4; i++)
        expect_answer(&bed, i, i);
    bed_free(&bed);
}

/* One that was given and is not emitted yet, or the next to be given. */
static uint32_t any_in_flight(const struct bed *bed, uint32_t given, uint64_t *random)
{
    bool emitted[CALLS] = {false};
    uint32_t place = explore_below(random, given - (uint32_t)bed->task.emitted_count + 1);
    for (size_t i = 0; i < bed->task.emitted_count; i++)
        emitted[number_of(bed->task.emitted[i].key)] = true;
    for (uint32_t number = 0;; number++)
        if (!emitted[number] && place-- == 0)
            return number;
}

/* Any mixture of records, answers, failures and restarts: what is emitted is each record once. */
static void run_mixture(bool unordered, uint64_t seed)
{
    struct bed bed;
    uint64_t random = seed;
    uint32_t given = 0;
    static unsigned times[CALLS];
    memset(times, 0, sizeof times);
    bed_make(&bed, (struct weir_async_options){
                       .threads = 1 + explore_below(&random, 4),
                       .capacity = 1 + explore_below(&random, 8),
                       .unordered = unordered,
                       .retries = 1000,
                       .timeout_ns = explore_below(&random, 2) ? INT64_C(1) << 50 : 0});
    while (given < 100) {
        uint32_t dice = explore_below(&random, 40);
        if (dice < 16 && !bed.task.held) {
            given++;
            cr_assert_eq(give(&bed, given - 1, (int64_t)given * 3), WEIR_OK);
        } else if (dice < 32)
            gate_let(any_in_flight(&bed, given, &random),
                     explore_below(&random, 4) ? ANSWER : FAIL);
        else if (dice < 39)
            cr_assert_eq(fake_wake(&bed.task), WEIR_OK, "%s", bed.task.failed.text);
        else
            cr_assert_eq(fake_restart(&bed.task), WEIR_OK);
        if (explore_below(&random, 10) == 0)
            bed.task.run.now_ns += INT64_C(1) << explore_below(&random, 40);
    }
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    finish(&bed);
    cr_assert_eq(bed.task.emitted_count, given, "seed %llu", (unsigned long long)seed);
    for (size_t i = 0; i < given; i++) {
        uint32_t number = number_of(bed.task.emitted[i].key);
        cr_assert(unordered || number == i);
        cr_assert_eq(times[number]++, 0, "%u twice, seed %llu", number, (unsigned long long)seed);
        expect_answer(&bed, i, number);
        cr_assert_eq(bed.task.emitted[i].time, (int64_t)(number + 1) * 3);
    }
    cr_assert_eq(bed.task.limit, WEIR_END_OF_TIME);
    bed_free(&bed);
}

Test(async, whatever_happens_each_record_is_answered_once)
{
    for (uint64_t seed = explore_seed(), last = seed + explore_part(15); seed < last; seed++) {
        run_mixture(false, seed);
        run_mixture(true, seed);
    }
}

Test(async, damaged_requests_are_refused)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 1});
    for (size_t size = 0; size <= 56; size++) {
        uint64_t words[7] = {0, 8, 16, 0, 0, 0, 0}; /* the first is the hash of the key */
        struct weir_saver saved = {0};
        struct weir_context task;
        fake_items_add(&saved, WEIR_ITEM_KEYED, (struct weir_bytes){words, size});
        struct fake_run again = {.saved = &saved};
        cr_expect_eq(fake_start(&task, bed.graph, (weir_node){0}, &again), WEIR_DAMAGED);
        fake_end(&task);
        fake_items_free(&saved);
    }
    bed_free(&bed);
}

/* ---- failures ---- */

Test(async, a_failing_call_is_repeated_and_then_fails_the_run_by_name)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 1, .retries = 3, .retry_pause_ns = 1000});
    give(&bed, 7, 70);
    int64_t pauses = 0;
    for (unsigned failure = 1; failure <= 3; failure++) {
        int64_t before = bed.task.run.now_ns;
        gate_wait(&gate.begun[7], failure);
        gate_let(7, FAIL);
        while (bed.task.run.now_ns == before) /* the failure comes first, then the pause passes */
            cr_assert_eq(wait_and_wake(&bed), WEIR_OK, "%s", bed.task.failed.text);
        pauses += bed.task.run.now_ns - before;
    }
    cr_expect_eq(pauses, 1000 + 2000 + 4000);
    gate_wait(&gate.begun[7], 4);
    gate_let(7, FAIL);
    cr_expect_eq(wait_and_wake(&bed), WEIR_IO);
    cr_expect(strstr(bed.task.failed.text, "\"key\"") && strstr(bed.task.failed.text, "time 70") &&
                  strstr(bed.task.failed.text, "4 times") &&
                  strstr(bed.task.failed.text, "at tea, 7"),
              "%s", bed.task.failed.text);
    bed_free(&bed);
}

Test(async, a_call_that_takes_too_long_fails_the_run_by_name)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 1, .timeout_ns = 800});
    give(&bed, 1, 5);
    give(&bed, 2, 5); /* waits for the thread: that does not count */
    gate_wait(&gate.begun[1], 1);
    enum weir_result result = WEIR_OK;
    for (unsigned i = 0; i < 100 && !result; i++)
        result = wait_and_wake(&bed);
    cr_expect_eq(result, WEIR_TIMEOUT);
    cr_expect(strstr(bed.task.failed.text, "timeout_ns"), "%s", bed.task.failed.text);
    cr_expect(bed.task.run.now_ns >= 800 && bed.task.run.now_ns <= 1100, "after %lld ns",
              (long long)bed.task.run.now_ns);
    bed_free(&bed);
}

static enum weir_result append_much(const struct weir_record *record, struct weir_reply *reply,
                                    const void *config)
{
    static const char bytes[100];
    (void)config;
    (void)record;
    if (weir_reply_append(reply, (struct weir_bytes){bytes, 60}) ||
        weir_reply_append(reply, (struct weir_bytes){bytes, 40}))
        return weir_reply_fail(reply, WEIR_FAILED, "too early");
    return weir_reply_append(reply, (struct weir_bytes){bytes, 1});
}

Test(async, an_answer_has_its_limit)
{
    struct bed bed;
    bed_make(&bed,
             (struct weir_async_options){.threads = 1, .call = append_much, .reply_limit = 100});
    give(&bed, 1, 5);
    cr_expect_eq(wait_and_wake(&bed), WEIR_TOO_LARGE);
    cr_expect(strstr(bed.task.failed.text, "WEIR_TOO_LARGE"), "%s", bed.task.failed.text);
    bed_free(&bed);
}

Test(async, closing_waits_for_calls_under_way_and_begins_no_other)
{
    struct bed bed;
    bed_make(&bed, (struct weir_async_options){.threads = 2, .capacity = 100});
    for (uint32_t i = 0; i < 50; i++)
        give(&bed, i, 0);
    gate_wait(&gate.begun[1], 1);
    bed_free(&bed); /* the calls see weir_reply_stopping */
    cr_expect_eq(gate.ended[0], 1);
    cr_expect_eq(gate.ended[1], 1);
    for (uint32_t i = 2; i < 50; i++)
        cr_expect_eq(gate.begun[i], gate.ended[i]);
    cr_expect_eq(gate.begun[49], 0);
}

Test(async, bad_options_are_the_graphs_error)
{
    static const struct weir_async_options bad[] = {
        {.threads = 1},
        {.call = call, .threads = 257},
        {.call = call, .capacity = 65537},
        {.call = call, .reply_limit = (size_t)17 << 20},
        {.call = call, .timeout_ns = -1},
        {.call = call, .retry_pause_ns = INT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct weir_graph *graph = weir_graph_new(NULL);
        struct weir_async_options options = bad[i];
        options.size = sizeof options;
        weir_async(graph, "odd", &options);
        cr_expect(strstr(graph->error, "odd"), "%zu", i);
        weir_graph_free(&graph);
    }
}

/* ---- throttle ---- */

/* A clock that jumps to each deadline. */
static void expect_rate(uint64_t rate, uint32_t parallelism)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_throttle_options options = {WEIR_SIZED(struct weir_throttle_options), .rate = rate};
    weir_node node = weir_throttle(graph, "throttle", &options);
    struct fake_run run = {.subtask = parallelism - 1, .parallelism = parallelism, .now_ns = 5};
    int64_t end = 10 * INT64_C(1000000000);
    uint64_t taken = 0, most = 0, since = 0;
    cr_assert_eq(fake_start(&task, graph, node, &run), WEIR_OK);
    while (task.run.now_ns < end) {
        if (!task.held) {
            uint32_t number = (uint32_t)taken++;
            struct weir_record record = {{NULL, 0}, {&number, sizeof number}, 3};
            cr_assert_eq(fake_take(&task, 0, &record), WEIR_OK);
            most = ++since > most ? since : most;
            continue;
        }
        cr_assert_gt(task.wake_ns, task.run.now_ns);
        task.run.now_ns = task.wake_ns;
        since = 0;
        cr_assert_eq(fake_wake(&task), WEIR_OK);
        cr_assert_not(task.held);
    }
    double expected = 10.0 * (double)rate / parallelism;
    cr_expect_eq(task.emitted_count, taken, "it keeps nothing");
    cr_expect_leq((double)taken, expected + 2 + (double)rate / 1000);
    cr_expect_geq((double)taken, expected - 2 - (double)rate / 1000);
    cr_expect_leq((double)most, 1 + (double)rate / 500, "%llu at once", (unsigned long long)most);
    fake_end(&task);
    weir_graph_free(&graph);
}

Test(throttle, keeps_its_rate_without_drift)
{
    expect_rate(1, 1);
    expect_rate(7, 3);
    expect_rate(999, 1);
    expect_rate(30011, 2);
}

Test(throttle, a_pause_is_not_made_up_for_and_a_record_too_many_is)
{
    struct weir_context task;
    struct weir_graph *graph = weir_graph_new(NULL);
    struct weir_throttle_options options = {WEIR_SIZED(struct weir_throttle_options), .rate = 1000};
    struct weir_record record = {.time = 3};
    unsigned burst = 0;
    cr_assert_eq(fake_start(&task, graph, weir_throttle(graph, "throttle", &options), &first),
                 WEIR_OK);
    task.run.now_ns = 3 * INT64_C(1000000000);
    for (; !task.held; burst++)
        fake_take(&task, 0, &record);
    cr_expect(burst >= 10 && burst <= 21, "%u", burst);
    int64_t due = task.wake_ns;
    for (unsigned i = 0; i < 5; i++)
        fake_take(&task, 0, &record); /* although it is held */
    cr_expect(task.held && task.wake_ns >= due + 4000000, "they count");
    cr_expect_eq(task.emitted_count, burst + 5);
    fake_end(&task);
    options.rate = 0;
    weir_throttle(graph, "none", &options);
    cr_expect(strstr(graph->error, "rate"));
    weir_graph_free(&graph);
}
