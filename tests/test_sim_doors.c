/* links: sim */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated doors keep the contracts of the real ones, and a run depends on its seed alone.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "clock.h"
#include "disk.h"
#include "memory.h"
#include "sim.h"
#include "thread.h"

/* ---- actors: each sends `left` messages to the next one and ends when it got as many ---- */

#define ACTORS 4
#define MESSAGES 20

struct player {
    struct inbox *inbox;
    struct pipe *pipe;
    struct monitor *monitor;
    int *ended;
    uint64_t to_send, to_receive, last[ACTORS];
    uint32_t number;
};

static void player_take(struct player *player, const struct message *message)
{
    cr_assert_eq(message->sequence, player->last[message->channel] + 1, "FIFO in a pipe");
    player->last[message->channel]++;
    player->to_receive--;
    batch_release(message->payload);
}

static struct step player_end(struct player *player)
{
    pipe_close(&player->pipe);
    inbox_close(&player->inbox);
    monitor_enter(player->monitor);
    (*player->ended)++;
    monitor_notify(player->monitor);
    monitor_leave(player->monitor);
    return (struct step){STEP_DONE, -1, 0};
}

static struct step player_step(void *self)
{
    struct player *player = self;
    struct message message;

    while (inbox_receive(player->inbox, &message, NULL) == 1)
        player_take(player, &message);
    if (player->to_send > 0) {
        message = (struct message){.kind = MESSAGE_BATCH,
                                   .channel = player->number,
                                   .sequence = MESSAGES - player->to_send + 1,
                                   .payload = batch_alone(NULL, 100)};
        if (pipe_send(player->pipe, &message))
            player->to_send--;
        else
            batch_release(message.payload);
        return (struct step){STEP_AGAIN, -1, 0};
    }
    if (player->to_receive == 0)
        return player_end(player);
    return (struct step){STEP_WAIT, -1, INT64_MAX};
}

static struct transport *network_open(void)
{
    struct transport_options options = {.run = 1, .network = true, .sockets = 2 * ACTORS};
    struct transport *transport;

    cr_assert_eq(transport_open(&options, &transport, NULL), WEIR_OK);
    return transport;
}

static void ring_open(struct player players[ACTORS], struct transport *transport, bool network)
{
    char name[32];

    for (uint32_t i = 0; i < ACTORS; i++) {
        snprintf(name, sizeof name, network ? "tcp://127.0.0.1:*" : "inproc://%u", i);
        cr_assert_eq(inbox_open(transport, name, &players[i].inbox, NULL), WEIR_OK);
    }
    for (uint32_t i = 0; i < ACTORS; i++) {
        const char *to = inbox_endpoint(players[(i + 1) % ACTORS].inbox);
        cr_assert_eq(pipe_open(transport, to, &players[i].pipe, NULL), WEIR_OK);
        players[i].number = i;
        players[i].to_send = MESSAGES;
        players[i].to_receive = MESSAGES;
    }
}

static uint64_t play(uint64_t seed, bool network)
{
    struct player players[ACTORS] = {0};
    struct thread *threads[ACTORS];
    struct transport *transport;
    struct monitor *monitor;
    int ended = 0;
    uint64_t hash;

    sim_start(seed);
    sim_network_delay(100000);
    sim_network_refuse(10);
    monitor = monitor_new(NULL);
    transport = network_open();
    ring_open(players, transport, network);
    for (int i = 0; i < ACTORS; i++) {
        struct actor actor = {.step = player_step, .self = &players[i], .inbox = players[i].inbox};
        snprintf(actor.name, sizeof actor.name, "player %d", i);
        players[i].monitor = monitor;
        players[i].ended = &ended;
        cr_assert_eq(thread_start(&actor, NULL, &threads[i], NULL), WEIR_OK);
    }
    monitor_enter(monitor);
    while (ended < ACTORS)
        monitor_wait(monitor, INT64_MAX);
    monitor_leave(monitor);
    for (int i = 0; i < ACTORS; i++)
        thread_join(&threads[i]);
    transport_close(&transport);
    monitor_free(&monitor);
    hash = sim_trace_hash();
    cr_assert_eq(sim_end(), 0);
    return hash;
}

Test(sim, same_seed_gives_the_same_run)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        cr_assert_eq(play(seed, false), play(seed, false), "seed %d", (int)seed);
        cr_assert_eq(play(seed, true), play(seed, true), "seed %d", (int)seed);
    }
}

Test(sim, other_seed_gives_another_run)
{
    uint64_t first = play(1, false);

    for (uint64_t seed = 2; seed <= 50; seed++)
        cr_assert_neq(play(seed, false), first);
}

/* ---- scheduler ---- */

struct sleeper {
    int64_t deadline_ns;
    int wakes;
};

static struct step sleeper_step(void *self)
{
    struct sleeper *sleeper = self;

    if (clock_now_ns() >= sleeper->deadline_ns)
        return (struct step){STEP_DONE, -1, 0};
    sleeper->wakes++;
    return (struct step){STEP_WAIT, -1, sleeper->deadline_ns};
}

static struct thread *sleeper_start(struct sleeper *sleeper, struct inbox *inbox)
{
    struct actor actor = {.name = "sleeper", .step = sleeper_step, .self = sleeper, .inbox = inbox};
    struct thread *thread;

    cr_assert_eq(thread_start(&actor, NULL, &thread, NULL), WEIR_OK);
    return thread;
}

Test(sim, time_jumps_to_the_next_deadline)
{
    struct sleeper sleeper;
    struct transport *transport;
    struct inbox *inbox;
    struct thread *thread;

    sim_start(7);
    transport = network_open();
    cr_assert_eq(inbox_open(transport, "inproc://bed", &inbox, NULL), WEIR_OK);
    sleeper = (struct sleeper){clock_now_ns() + 3600000000000, 0};
    thread = sleeper_start(&sleeper, inbox);
    thread_join(&thread);
    cr_assert_eq(clock_now_ns(), sleeper.deadline_ns);
    cr_assert_eq(sleeper.wakes, 1);
    inbox_close(&inbox);
    transport_close(&transport);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, monitor_wait_ends_at_its_deadline)
{
    struct monitor *monitor;
    int64_t deadline_ns;

    sim_start(7);
    monitor = monitor_new(NULL);
    deadline_ns = clock_now_ns() + 5000;
    monitor_enter(monitor);
    monitor_wait(monitor, deadline_ns);
    monitor_leave(monitor);
    cr_assert_eq(clock_now_ns(), deadline_ns);
    monitor_free(&monitor);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, deadlock_is_reported_and_aborts, .signal = SIGABRT)
{
    struct sleeper sleeper = {INT64_MAX, 0};
    struct transport *transport;
    struct inbox *inbox;
    struct thread *thread;

    sim_start(7);
    transport = network_open();
    cr_assert_eq(inbox_open(transport, "inproc://bed", &inbox, NULL), WEIR_OK);
    thread = sleeper_start(&sleeper, inbox);
    thread_join(&thread);
}

/* ---- the scheduler: death, slowness, pauses ---- */

/* Steps until it has `left` none, and looks at the clock. */
struct ticker {
    uint64_t left, steps;
    int64_t every_ns; /* 0: again at once */
    int64_t last_ns, longest_ns;
    int64_t within_ns; /* the longest step, on its own clock */
    bool died;         /* it found itself dead */
    uint32_t process;
};

static struct step ticker_step(void *self)
{
    struct ticker *ticker = self;
    int64_t now_ns = clock_now_ns(), end_ns = clock_now_ns();

    ticker->steps++;
    ticker->died |= sim_killed();
    ticker->process = sim_process_now();
    if (ticker->last_ns > 0 && now_ns - ticker->last_ns > ticker->longest_ns)
        ticker->longest_ns = now_ns - ticker->last_ns;
    if (end_ns - now_ns > ticker->within_ns)
        ticker->within_ns = end_ns - now_ns;
    ticker->last_ns = now_ns;
    if (--ticker->left == 0)
        return (struct step){STEP_DONE, -1, 0};
    if (ticker->every_ns == 0)
        return (struct step){STEP_AGAIN, -1, INT64_MAX};
    return (struct step){STEP_WAIT, -1, now_ns + ticker->every_ns};
}

#define TICKERS 4

struct bench {
    struct transport *transport;
    struct inbox *inbox;
    struct ticker tickers[TICKERS];
    struct thread *threads[TICKERS];
};

/* The first half belongs to process 0, the other to process 1. */
static void bench_open(struct bench *bench, uint64_t steps, int64_t every_ns)
{
    *bench = (struct bench){0};
    bench->transport = network_open();
    cr_assert_eq(inbox_open(bench->transport, "inproc://bed", &bench->inbox, NULL), WEIR_OK);
    for (uint32_t i = 0; i < TICKERS; i++) {
        struct actor actor = {.name = "ticker",
                              .step = ticker_step,
                              .self = &bench->tickers[i],
                              .inbox = bench->inbox};
        bench->tickers[i] = (struct ticker){.left = steps, .every_ns = every_ns};
        sim_process(i / (TICKERS / 2));
        cr_assert_eq(thread_start(&actor, NULL, &bench->threads[i], NULL), WEIR_OK);
    }
    sim_process(0);
}

static void bench_close(struct bench *bench)
{
    for (int i = 0; i < TICKERS; i++)
        thread_join(&bench->threads[i]);
    inbox_close(&bench->inbox);
    transport_close(&bench->transport);
    sim_disk_release();
    cr_assert_eq(sim_end(), 0);
}

static uint64_t steps_of(const struct bench *bench)
{
    uint64_t steps = 0;

    for (int i = 0; i < TICKERS; i++)
        steps += bench->tickers[i].steps;
    return steps;
}

Test(sim, process_dies_between_two_steps)
{
    for (uint64_t k = 1; k <= 40; k++) {
        struct bench bench;
        uint64_t alive = 0;
        sim_disk_wipe();
        sim_start(k);
        bench_open(&bench, 10, 0);
        sim_kill_at_step(k);
        while (!sim_killed()) {
            alive = steps_of(&bench);
            sim_step_cost(1);
            sim_run(clock_now_ns() + 1);
        }
        cr_assert_eq(alive, k - 1);
        cr_assert_eq(disk_open(DISK_CWD, "f", DISK_CREATE), -EIO);
        sim_disk_release();
        cr_assert(!sim_killed(), "who comes next is alive");
        cr_assert_eq(disk_open(DISK_CWD, "f", DISK_READ), -ENOENT);
        bench_close(&bench);
    }
}

Test(sim, slow_actor_holds_up_nobody_else)
{
    uint64_t fewest = UINT64_MAX, most = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench bench;
        sim_start(seed);
        sim_slow_actors(1000000);
        bench_open(&bench, 3000, 1);
        sim_run(clock_now_ns() + 20000000);
        for (int i = 0; i < TICKERS; i++) {
            uint64_t steps = bench.tickers[i].steps;
            fewest = steps < fewest ? steps : fewest;
            most = steps > most ? steps : most;
        }
        sim_slow_actors(0);
        bench_close(&bench);
    }
    cr_assert_lt(fewest, 30, "%d", (int)fewest);
    cr_assert_gt(most, 1000, "%d", (int)most);
}

Test(sim, slow_actor_measures_its_own_slowness)
{
    struct bench bench;
    int64_t within_ns = 0;

    sim_start(3);
    sim_slow_actors(1000000);
    bench_open(&bench, 2000, 0);
    sim_run(clock_now_ns() + 50000000);
    sim_slow_actors(0);
    bench_close(&bench);
    for (int i = 0; i < TICKERS; i++)
        within_ns = bench.tickers[i].within_ns > within_ns ? bench.tickers[i].within_ns : within_ns;
    cr_assert(within_ns >= 50000 && within_ns <= 250000, "%lld ns", (long long)within_ns);
}

static int paused_tickers(uint64_t seed, bool all)
{
    struct bench bench;
    int paused = 0;

    sim_start(seed);
    bench_open(&bench, 100, 10);
    sim_pause_at_step(50 + seed, all, 5000000);
    bench_close(&bench);
    cr_assert_eq(sim_pauses(), 1);
    for (int i = 0; i < TICKERS; i++) {
        cr_assert_eq(bench.tickers[i].steps, 100);
        paused += bench.tickers[i].longest_ns >= 5000000;
    }
    return paused;
}

Test(sim, pause_stops_one_actor_or_all_while_clocks_go_on)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        cr_assert_eq(paused_tickers(seed, false), 1, "seed %d", (int)seed);
        cr_assert_eq(paused_tickers(seed, true), TICKERS, "seed %d", (int)seed);
    }
}

Test(sim, paused_process_does_nothing_until_it_is_resumed)
{
    struct bench bench;
    uint64_t steps;

    sim_start(5);
    bench_open(&bench, 1000, 10);
    sim_process_pause_at_step(1, 100);
    sim_run(clock_now_ns() + 2000);
    cr_assert(sim_process_paused(1) && !sim_process_paused(0));
    steps = bench.tickers[2].steps + bench.tickers[3].steps;
    cr_assert_gt(steps, 0);
    sim_run(clock_now_ns() + 3000);
    cr_assert_eq(bench.tickers[2].steps + bench.tickers[3].steps, steps);
    cr_assert_gt(bench.tickers[0].steps, 300);
    cr_assert_eq(bench.tickers[0].process, 0);
    cr_assert_eq(bench.tickers[3].process, 1);
    sim_process_resume(1);
    bench_close(&bench);
    cr_assert_eq(bench.tickers[3].steps, 1000);
}

/* Stops in its own fifth step, until another process has made a hundred. */
struct stopper {
    struct bench *bench;
    uint64_t steps, before, after;
};

static uint64_t steps_of_the_other(const struct bench *bench)
{
    return bench->tickers[2].steps + bench->tickers[3].steps;
}

static void run_the_other(void *self)
{
    struct stopper *stopper = self;

    stopper->before = steps_of(stopper->bench);
    while (steps_of_the_other(stopper->bench) < 100)
        sim_run(clock_now_ns() + 10);
    stopper->after = steps_of(stopper->bench);
}

static struct step stopper_step(void *self)
{
    struct stopper *stopper = self;

    if (++stopper->steps == 5) {
        sim_process_pause_here(run_the_other, stopper);
        cr_assert_eq(sim_process_now(), 0);
    }
    return (struct step){stopper->steps == 10 ? STEP_DONE : STEP_AGAIN, -1, INT64_MAX};
}

Test(sim, process_can_stop_in_the_middle_of_a_step)
{
    struct bench bench;
    struct stopper stopper = {.bench = &bench};
    struct actor actor = {.name = "stopper", .step = stopper_step, .self = &stopper};
    struct thread *thread;
    uint64_t own;

    sim_start(11);
    bench_open(&bench, 1000, 10);
    actor.inbox = bench.inbox;
    cr_assert_eq(thread_start(&actor, NULL, &thread, NULL), WEIR_OK);
    thread_join(&thread);
    cr_assert_eq(stopper.steps, 10);
    own = steps_of(&bench) - steps_of_the_other(&bench);
    cr_assert_geq(steps_of_the_other(&bench), 100);
    cr_assert_lt(own, 30, "its process stood still: %d", (int)own);
    bench_close(&bench);
}

Test(sim, wall_clock_jumps_both_ways_and_the_other_clock_does_not)
{
    int64_t now_ns = 0, wall_ns, passed_ns;
    uint64_t ahead = 0, back = 0;

    sim_start(1);
    wall_ns = clock_wall_ns();
    passed_ns = clock_now_ns();
    for (int i = 0; i < 1000; i++) {
        sim_clock_jump();
        ahead += clock_wall_ns() > wall_ns;
        back += clock_wall_ns() < wall_ns;
        wall_ns = clock_wall_ns();
        now_ns = clock_now_ns();
        cr_assert_gt(wall_ns, 0);
        cr_assert_eq(now_ns, passed_ns);
    }
    cr_assert_eq(ahead + back, 1000);
    cr_assert(ahead > 400 && back > 400);
    cr_assert_eq(sim_clock_jumped(), 1000);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, wall_clock_jumps_between_steps_when_told)
{
    struct bench bench;

    sim_start(1);
    bench_open(&bench, 500, 0);
    sim_clock_jumps(20);
    bench_close(&bench);
    cr_assert(sim_clock_jumped() > 50 && sim_clock_jumped() < 200);
}

static uint64_t tick(uint64_t seed)
{
    struct bench bench;
    uint64_t hash;

    sim_start(seed);
    sim_slow_actors(100000);
    sim_clock_jumps(30);
    sim_pause_at_step(seed, seed % 2 == 0, 1000000);
    bench_open(&bench, 100, 50);
    for (int i = 0; i < TICKERS; i++)
        thread_join(&bench.threads[i]);
    hash = sim_trace_hash();
    bench_close(&bench);
    return hash;
}

Test(sim, same_seed_gives_the_same_troubles)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        cr_assert_eq(tick(seed), tick(seed));
        cr_assert_neq(tick(seed), tick(seed + 1));
    }
}

/* ---- memory ---- */

Test(sim, kth_allocation_fails_and_leaks_are_counted)
{
    void *first, *second;

    sim_start(1);
    sim_memory_fail(2, 1);
    first = memory_take(NULL, 10);
    cr_assert_not_null(first);
    cr_assert_null(memory_take(NULL, 10));
    cr_assert(sim_memory_failed());
    second = memory_take(NULL, 10);
    cr_assert_not_null(second);
    sim_memory_fail(1, UINT64_MAX);
    cr_assert_null(memory_resize(NULL, second, 10, 20));
    cr_assert_null(memory_zeroed(NULL, 1, 1));
    memory_release(NULL, second);
    cr_assert_eq(sim_end(), 1);
}

/* ---- disk ---- */

static void disk_put(const char *path, const char *text, bool sync)
{
    int file = disk_open(DISK_CWD, path, DISK_CREATE);

    cr_assert_geq(file, 0);
    cr_assert_eq(disk_write(file, text, strlen(text), 0), (int64_t)strlen(text));
    if (sync)
        cr_assert_eq(disk_sync(file), 0);
    cr_assert_eq(disk_close(file), 0);
}

static void disk_sync_folder(const char *path)
{
    int folder = disk_open(DISK_CWD, path, DISK_DIRECTORY);

    cr_assert_eq(disk_sync(folder), 0);
    cr_assert_eq(disk_close(folder), 0);
}

/* -1: not there; else the number of bytes equal to text's. */
static int disk_has(const char *path, const char *text)
{
    char bytes[4096];
    int file = disk_open(DISK_CWD, path, DISK_READ);
    int64_t got;
    int same = 0;

    if (file < 0)
        return -1;
    got = disk_read(file, bytes, sizeof bytes, 0);
    disk_close(file);
    while (same < got && bytes[same] == text[same])
        same++;
    return same;
}

Test(sim, crash_keeps_what_was_synced_and_perhaps_more)
{
    int kept = 0, lost = 0, cut = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        sim_disk_wipe();
        sim_start(seed);
        disk_put("safe", "safe", true);
        disk_put("hollow", "hollow", false);
        disk_sync_folder("/");
        disk_put("nameless", "nameless", true);
        sim_disk_crash(seed);
        cr_assert_eq(disk_has("safe", "safe"), 4);
        cr_assert_neq(disk_has("hollow", "hollow"), -1, "its name was synced");
        cut += disk_has("hollow", "hollow") < 6;
        kept += disk_has("nameless", "nameless") == 8;
        lost += disk_has("nameless", "nameless") == -1;
        cr_assert_eq(sim_end(), 0);
    }
    cr_assert_eq(kept + lost, 200);
    cr_assert(kept > 50 && lost > 50 && cut > 50, "%d %d %d", kept, lost, cut);
}

Test(sim, crash_in_a_rename_leaves_the_old_name_or_the_new_one)
{
    int old = 0, new = 0;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        sim_disk_wipe();
        sim_start(seed);
        disk_put("tmp", "whole", true);
        disk_sync_folder("/");
        cr_assert_eq(disk_rename_new(DISK_CWD, "tmp", "final"), 0);
        sim_disk_crash(seed);
        old += disk_has("tmp", "whole") == 5;
        new += disk_has("final", "whole") == 5;
        cr_assert_eq(old + new, (int)seed, "exactly one");
        cr_assert_eq(sim_end(), 0);
    }
    cr_assert(old > 20 && new > 20);
}

Test(sim, lock_belongs_to_the_description_and_goes_with_it)
{
    int first, second;

    sim_disk_wipe();
    sim_start(1);
    first = disk_open(DISK_CWD, "LOCK", DISK_UPDATE);
    second = disk_open(DISK_CWD, "LOCK", DISK_UPDATE);
    cr_assert_eq(disk_is_locked(first), 0);
    cr_assert_eq(disk_lock(first), 0);
    cr_assert_eq(disk_lock(first), 0);
    cr_assert_eq(disk_is_locked(first), 0);
    cr_assert_eq(disk_lock(second), -EAGAIN);
    cr_assert_eq(disk_close(first), 0);
    cr_assert_eq(disk_lock(second), 0);
    sim_disk_release();
    first = disk_open(DISK_CWD, "LOCK", DISK_UPDATE);
    cr_assert_eq(disk_lock(first), 0);
    cr_assert_eq(disk_close(first), 0);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, lock_is_lost_without_a_word)
{
    int first, second;

    sim_disk_wipe();
    sim_start(1);
    first = disk_open(DISK_CWD, "LOCK", DISK_UPDATE);
    second = disk_open(DISK_CWD, "LOCK", DISK_UPDATE);
    cr_assert_eq(disk_lock(first), 0);
    sim_disk_unlock(false);
    cr_assert_eq(disk_lock(second), 0);
    cr_assert_eq(disk_lock(first), -EAGAIN, "its holder can find out");
    sim_disk_unlock(true);
    cr_assert_eq(disk_lock(first), 0);
    cr_assert_eq(disk_lock(second), 0, "a lock that holds nothing");
    cr_assert_eq(disk_close(first), 0);
    cr_assert_eq(disk_close(second), 0);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, names_answer_as_posix_does)
{
    sim_disk_wipe();
    sim_start(1);
    cr_assert_eq(disk_make_folder(DISK_CWD, "a"), 0);
    cr_assert_eq(disk_make_folder(DISK_CWD, "a"), -EEXIST);
    cr_assert_eq(disk_make_folder(DISK_CWD, "b/c"), -ENOENT);
    disk_put("a/x", "x", true);
    disk_put("/a/../y", "y", true);
    cr_assert_eq(disk_open(DISK_CWD, "a/x", DISK_CREATE), -EEXIST);
    cr_assert_eq(disk_open(DISK_CWD, "a/x/z", DISK_READ), -ENOTDIR);
    cr_assert_eq(disk_open(DISK_CWD, "a/x", DISK_DIRECTORY), -ENOTDIR);
    cr_assert_eq(disk_remove_folder(DISK_CWD, "a"), -ENOTEMPTY);
    cr_assert_eq(disk_rename_new(DISK_CWD, "y", "a/x"), -EEXIST);
    cr_assert_eq(disk_rename(DISK_CWD, "y", "a/x"), 0);
    cr_assert_eq(disk_has("a/x", "y"), 1);
    cr_assert_eq(disk_remove(DISK_CWD, "y"), -ENOENT);
    cr_assert_eq(disk_remove(DISK_CWD, "a"), -EISDIR);
    cr_assert_eq(disk_remove(DISK_CWD, "a/x"), 0);
    cr_assert_eq(disk_remove_folder(DISK_CWD, "a"), 0);
    cr_assert_eq(disk_close(3), -EBADF);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, kth_file_call_fails_once)
{
    int file;

    sim_disk_wipe();
    sim_start(1);
    sim_disk_fail(2, ENOSPC);
    file = disk_open(DISK_CWD, "f", DISK_CREATE);
    cr_assert_geq(file, 0);
    cr_assert_eq(disk_write(file, "abc", 3, 0), -ENOSPC);
    cr_assert_eq(disk_write(file, "abc", 3, 0), 3);
    cr_assert_eq(disk_close(file), 0);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, failed_sync_lies_from_then_on)
{
    int file;
    int lost = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        sim_disk_wipe();
        sim_start(seed);
        file = disk_open(DISK_CWD, "f", DISK_CREATE);
        disk_sync_folder("/");
        cr_assert_eq(disk_write(file, "abc", 3, 0), 3);
        sim_disk_fail(1, EIO);
        cr_assert_eq(disk_sync(file), -EIO);
        cr_assert_eq(disk_sync(file), 0);
        sim_disk_crash(seed);
        lost += disk_has("f", "abc") < 3;
        cr_assert_eq(sim_end(), 0);
    }
    cr_assert_gt(lost, 10);
}

Test(sim, killed_disk_does_nothing_more)
{
    int file;

    sim_disk_wipe();
    sim_start(1);
    disk_put("before", "x", true);
    sim_disk_kill(1);
    cr_assert_eq(disk_open(DISK_CWD, "after", DISK_CREATE), -EIO);
    cr_assert_eq(disk_remove(DISK_CWD, "before"), -EIO);
    cr_assert(sim_killed());
    sim_disk_release();
    cr_assert_eq(disk_has("before", "x"), 1);
    file = disk_open(DISK_CWD, "after", DISK_READ);
    cr_assert_eq(file, -ENOENT);
    cr_assert_eq(sim_end(), 0);
}

Test(sim, full_disk_takes_what_fits)
{
    int file;

    sim_disk_wipe();
    sim_start(1);
    sim_disk_space(10);
    file = disk_open(DISK_CWD, "f", DISK_CREATE);
    cr_assert_eq(disk_write(file, "12345678", 8, 0), 8);
    cr_assert_eq(disk_write(file, "12345678", 8, 8), 2);
    cr_assert_eq(disk_write(file, "12345678", 8, 10), -ENOSPC);
    cr_assert_eq(disk_write(file, "abcd", 4, 0), 4, "no new bytes");
    cr_assert_eq(disk_close(file), 0);
    cr_assert_eq(sim_end(), 0);
}

static int count_and_remove(void *context, const char *name, enum disk_kind kind)
{
    cr_assert_eq(kind, DISK_FILE);
    cr_assert_eq(disk_remove(DISK_CWD, name), 0);
    return ++*(int *)context == 5 ? 5 : 0;
}

Test(sim, list_survives_removal_and_stops_when_told)
{
    int folder, count = 0;
    char name[8];

    sim_disk_wipe();
    sim_start(1);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "f%d", i);
        disk_put(name, "x", false);
    }
    folder = disk_open(DISK_CWD, ".", DISK_DIRECTORY);
    cr_assert_eq(disk_list(folder, count_and_remove, &count), 5);
    cr_assert_eq(disk_list(folder, count_and_remove, &count), 0);
    cr_assert_eq(count, 8);
    cr_assert_eq(disk_close(folder), 0);
    cr_assert_eq(sim_end(), 0);
}
