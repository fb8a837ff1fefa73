/* SPDX-License-Identifier: Apache-2.0
 *
 * sim - the control panel of the simulated doors. One run is one thread and one seed: everything
 * that could differ between two runs (order of steps, delays, faults, identities, time) is drawn
 * from it, so equal seeds give equal trace hashes.
 *
 *     sim_start(seed);
 *     sim_network_delay(200000);        faults and delays of this run
 *     ... start actors, monitor_wait, thread_join: there the actors run ...
 *     uint64_t hash = sim_trace_hash();
 *     cr_assert_eq(sim_end(), 0);       nothing leaked
 *
 * The file system outlives sim_end on purpose (a store is restarted in a second run); sim_disk_wipe
 * empties it. Nothing here is for more than one thread, but for transport.c, which also serves
 * free-running threads when nobody called sim_start.
 */
#ifndef SIM_H
#define SIM_H

#include "transport.h"

/* One stream of numbers a concern, so that a change in one does not move the others. */
enum sim_stream {
    SIM_SCHEDULE,
    SIM_NETWORK,
    SIM_DISK,
    SIM_IDENTITY,
    SIM_WORKLOAD,
    SIM_TIME,
    SIM_STREAMS
};

void sim_start(uint64_t seed);
/* Reports what is still there (actors, sockets, memory, descriptors) on stderr; how many. */
uint64_t sim_end(void);
/* 0 .. below - 1; below > 0. */
uint64_t sim_draw(enum sim_stream stream, uint64_t below);

/* ---- trace ---- */

/* Of all events so far: what, virtual time, who, and up to four numbers. */
uint64_t sim_trace_hash(void);
uint64_t sim_trace_count(void);
void sim_trace_print(bool print); /* each event on stderr */
void sim_event(const char *what, const char *who, const uint64_t numbers[4]);
/* The last events, on stderr. */
void sim_trace_tail(void);

/* ---- processes ---- */

/* The process is dead from here on: its disk does nothing and answers -EIO, and only the rest of it
 * does not know yet. What leaves a process by any other way has to ask sim_killed first. Until
 * sim_disk_release, or the next sim_start. */
void sim_kill(void);
bool sim_killed(void);
void sim_revive(void);
/* Two processes can share one simulation, but not die in it: actors belong to the process that was
 * named last when they were started. 0, the default, to 31. */
void sim_process(uint32_t number);
/* Whose step runs; between steps, what was named last. */
uint32_t sim_process_now(void);

/* ---- clock.c ---- */

void sim_clock_start(int64_t now_ns, int64_t wall_ns);
void sim_clock_pass(int64_t until_ns); /* never backwards */
int64_t sim_now_ns(void);              /* looks, and takes no time: see sim_slow_actors */
void sim_clock_tick(int64_t tick_ns);  /* what each look at clock_now_ns takes */
void sim_clock_step_wall(int64_t by_ns);
void sim_clock_latest(void); /* later than it ever was by its jumps */
/* The wall clock goes a millisecond to some years back or ahead. */
void sim_clock_jump(void);
uint64_t sim_clock_jumped(void); /* how often */

/* ---- thread.c: the scheduler ---- */

void sim_threads_start(void);
uint64_t sim_threads_left(void); /* actors not joined, monitors not freed */
/* Virtual time that one step takes; 0, the default: time passes only when everyone waits. */
void sim_step_cost(int64_t cost_ns);
/* Besides that each actor has a cost of its own, and only itself has to wait for it: most_ns, or a
 * half, a quarter... down to a thousandth, drawn anew now and then. What it measures within a step
 * takes long as well. 0: none. */
void sim_slow_actors(int64_t most_ns);
/* More steps than this are taken for a livelock: report and abort. */
void sim_step_limit(uint64_t steps);
uint64_t sim_steps(void); /* since the start */
/* sim_kill before the k-th step from now (1: the next); 0: never. */
void sim_kill_at_step(uint64_t k);
/* Before the k-th step from now one actor, drawn - or with `all` the whole machine - stops for that
 * long, and clocks go on. */
void sim_pause_at_step(uint64_t k, bool all, int64_t for_ns);
uint64_t sim_pauses(void); /* how many there were */
/* Before the k-th step from now this process stops, until it is resumed. */
void sim_process_pause_at_step(uint32_t number, uint64_t k);
/* Within a step: its process stops in the middle of it, others go on as `meanwhile` lets them, and
 * then it goes on too. */
void sim_process_pause_here(void (*meanwhile)(void *context), void *context);
/* Within a step: its actor stands in the middle of it for so long, and others go on. Not where a
 * monitor was entered. */
void sim_stall_here(int64_t for_ns);
bool sim_process_paused(uint32_t number);
void sim_process_resume(uint32_t number);
/* Before one step in that many the wall clock jumps; 0: it never does. */
void sim_clock_jumps(uint64_t one_in);
/* The process of these actors died: forgets them as they are. Their memory stays; see
 * sim_memory_forget. */
void sim_threads_forget(void);
/* Lets actors run until virtual time `until_ns`. */
void sim_run(int64_t until_ns);

/* ---- transport.c ---- */

/* How transport.c asks for time and chance; NULL, as it begins: threads run free. */
struct sim_network {
    int64_t (*now_ns)(void);
    uint64_t (*draw)(uint64_t below);
    void (*event)(const char *what, const char *endpoint, const struct message *message);
};
void sim_network_control(const struct sim_network *control);
/* All that follows begins as "none" with each control. An *item* is a batch, a marker or an END:
 * what has a sequence number. */
/* Each message takes 0 .. most_ns; messages of one pipe stay in order. */
void sim_network_delay(int64_t most_ns);
/* One in `one_in` sends answers "no room"; 0: none. */
void sim_network_refuse(uint64_t one_in);
/* One in `one_in` items arrives twice; 0: none. */
void sim_network_duplicate(uint64_t one_in);
/* The same of credits, which have no sequence number. */
void sim_network_duplicate_credits(uint64_t one_in);
/* One in `one_in` items is late, so that others of its channel overtake it, but at most `window` of
 * them: who has room for that many can put them right. All other messages stay in order. */
void sim_network_reorder(uint64_t one_in, uint64_t window);
/* One in `one_in` items is accepted and never arrives; 0: none. */
void sim_network_lose(uint64_t one_in);
void sim_network_lose_kth(uint64_t k); /* the k-th from now (1: the next); 0: none */
/* A connection breaks when the k-th item from now was sent: all that is under way on one pipe,
 * which is drawn, vanishes. */
enum sim_cut {
    SIM_CUT_CHANNELS, /* a pipe between tasks: items and credits */
    SIM_CUT_ANY
};
void sim_network_cut_kth(uint64_t k, enum sim_cut which);

struct sim_network_counts {
    uint64_t items;              /* sent */
    uint64_t overtook;           /* items that arrive before an earlier one of their channel */
    uint64_t duplicated;         /* items */
    uint64_t credits_duplicated; /* messages */
    uint64_t lost;               /* items, those under way in a cut included */
    uint64_t cuts, cut;          /* how many; messages of all kinds that vanished in them */
    uint64_t gaps; /* losses that a reader can be sure of, by what it was given since */
};
struct sim_network_counts sim_network_counts(void); /* since the control was set */
void sim_network_add(struct sim_network_counts *total, struct sim_network_counts one);
/* Called with each message sent. */
void sim_message_hook(void (*hook)(void *context, const struct message *message), void *context);
/* When the next message can be taken; INT64_MAX: none is on the way. */
int64_t sim_inbox_due_ns(const struct inbox *inbox);
uint64_t sim_network_left(void); /* transports not closed */

/* ---- memory.c ---- */

void sim_memory_start(unsigned char fill_new, unsigned char fill_freed);
uint64_t sim_memory_left(void);  /* blocks not released */
uint64_t sim_memory_takes(void); /* allocations asked for since the start */
/* `count` allocations fail, beginning with the k-th from now (1: the next); k 0: none. */
void sim_memory_fail(uint64_t k, uint64_t count);
bool sim_memory_failed(void); /* since sim_memory_fail was called */
void sim_memory_forget(void); /* releases everything that is left */
/* For disk.c: these bytes in place of mapped ones, read only from here on. False: nothing of whole
 * pages is mapped there. */
bool sim_memory_put(void *at, const void *bytes, size_t size);

/* ---- disk.c ---- */

void sim_disk_start(void);     /* faults off, counts 0; files stay */
void sim_disk_wipe(void);      /* no files */
uint64_t sim_disk_left(void);  /* descriptors not closed */
uint64_t sim_disk_calls(void); /* file calls since sim_disk_start */
/* The k-th call from now (1: the next) answers -os_error and does nothing. A sync that failed lies
 * from then on: it answers 0 and keeps nothing. */
void sim_disk_fail(uint64_t k, int os_error);
/* The same of calls of this name alone ("sync" is of a file, "sync folder"); and `then` calls after
 * it sim_kill, 0: not. */
void sim_disk_fail_of(const char *name, uint64_t k, int os_error, uint64_t then);
bool sim_disk_failed(void); /* since one of these two was called */
/* sim_kill at the k-th call from now, which is not done any more; but a write may be, in part. */
void sim_disk_kill(uint64_t k);
void sim_disk_space(uint64_t bytes); /* all files together; 0: no limit */
uint64_t sim_disk_mapped(void);      /* bytes of files that were put in the place of memory */
/* One in `one_in` reads and writes does less than asked; 0: none. */
void sim_disk_short(uint64_t one_in);
/* Called before each file call, with its number, name and path ("" when it has a descriptor). */
void sim_disk_hook(void (*hook)(void *context, uint64_t call, const char *name, const char *path),
                   void *context);
/* Power cut: descriptors and locks are gone; of what was not synced a subset drawn from the seed is
 * kept - sectors of data, sizes and directory entries apart. */
void sim_disk_crash(uint64_t seed);
/* Process death: descriptors and locks are gone, files stay as they are, and who comes next is
 * alive. */
void sim_disk_release(void);
/* No lock holds any more, and with `useless` none ever will: what some network file systems do. */
void sim_disk_unlock(bool useless);

#endif
