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
enum sim_stream { SIM_SCHEDULE, SIM_NETWORK, SIM_DISK, SIM_IDENTITY, SIM_WORKLOAD, SIM_STREAMS };

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

/* ---- clock.c ---- */

void sim_clock_start(int64_t now_ns, int64_t wall_ns);
void sim_clock_pass(int64_t until_ns); /* never backwards */
void sim_clock_step_wall(int64_t by_ns);

/* ---- thread.c: the scheduler ---- */

void sim_threads_start(void);
uint64_t sim_threads_left(void); /* actors not joined, monitors not freed */
/* Virtual time that one step takes; 0, the default: time passes only when everyone waits. */
void sim_step_cost(int64_t cost_ns);
/* More steps than this are taken for a livelock: report and abort. */
void sim_step_limit(uint64_t steps);
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
/* Each message takes 0 .. most_ns; messages of one pipe stay in order. */
void sim_network_delay(int64_t most_ns);
/* One in `one_in` sends answers "no room"; 0: none. */
void sim_network_refuse(uint64_t one_in);
/* One in `one_in` batches, markers and ENDs arrives twice; 0: none. */
void sim_network_duplicate(uint64_t one_in);
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

/* ---- disk.c ---- */

void sim_disk_start(void);     /* faults off, counts 0; files stay */
void sim_disk_wipe(void);      /* no files */
uint64_t sim_disk_left(void);  /* descriptors not closed */
uint64_t sim_disk_calls(void); /* file calls since sim_disk_start */
/* The k-th call from now (1: the next) answers -os_error and does nothing. A sync that failed lies
 * from then on: it answers 0 and keeps nothing. */
void sim_disk_fail(uint64_t k, int os_error);
/* From the k-th call on the disk does nothing and answers -EIO: the process was killed there, and
 * only the rest of it does not know yet. A write may be done in part. */
void sim_disk_kill(uint64_t k);
bool sim_disk_killed(void);
void sim_disk_space(uint64_t bytes); /* all files together; 0: no limit */
/* One in `one_in` reads and writes does less than asked; 0: none. */
void sim_disk_short(uint64_t one_in);
/* Called before each file call, with its number, name and path ("" when it has a descriptor). */
void sim_disk_hook(void (*hook)(void *context, uint64_t call, const char *name, const char *path),
                   void *context);
/* Power cut: descriptors and locks are gone; of what was not synced a subset drawn from the seed is
 * kept - sectors of data, sizes and directory entries apart. */
void sim_disk_crash(uint64_t seed);
/* Process death: descriptors and locks are gone, files stay as they are. */
void sim_disk_release(void);

#endif
