/* SPDX-License-Identifier: Apache-2.0
 *
 * What is searched, all of it chosen by -D: a graph, a mode, sizes. One record goes in, one comes
 * out; the last channel ends in the sink.
 *
 *   CHAIN   source 0 -0-> operator 1 -1-> sink 2
 *   JOIN    source 0 -0-> operator 2 -2-> sink 3, and source 1 -1-> operator 2
 *   LOOP    source 0 -0-> head 1 -1-> body 2 -2-> head (the feedback edge), head -3-> sink 3;
 *           a record goes round once
 */
#define ALIGNED 0
#define UNALIGNED 1
#define ADAPTIVE 2
#ifndef MODE
#define MODE ALIGNED
#endif
#ifndef A
#define A 2 /* records of source 0 */
#endif
#ifndef B
#define B 1 /* records of source 1 */
#endif
#ifndef WINDOW
#define WINDOW 1 /* batches that may be un-acknowledged on a channel */
#endif
#ifndef BURST
#define BURST 1 /* records that one poll emits: all but the window's wait in the outlet */
#endif
#ifndef ROUNDS
#define ROUNDS 1 /* that may start at any time; the final one comes by itself */
#endif
#ifndef ABORTS
#define ABORTS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif

/* Switches, 0 or 1. */
#ifndef LOST
#define LOST 0 /* the notice of a commit may be lost */
#endif
#ifndef FROZEN
#define FROZEN 0 /* operators take no record while a round that overtakes is cutting */
#endif
#ifndef LATE_CREDIT
#define LATE_CREDIT 0 /* a credit takes its time to arrive */
#endif
#ifndef PLAIN
#define PLAIN 0 /* without the short cuts that make the search smaller */
#endif
#ifndef ZOMBIE
#define ZOMBIE 0 /* a run that was taken for dead may wake up */
#endif
#ifndef LIVE
#define LIVE 0 /* for the search for runs that never get anywhere */
#endif

#if defined(CHAIN)
#define TASKS 3
#define CHANNELS 2
#define SOURCES 1
#define FROM(c) (c)
#define TO(c) ((c) + 1)
#define NEXT(c) ((c) + 1)
#define COVERED(t, id) (t == 0 || reached[t - 1] >= id)
#define ENDS_SENT (marked[0] + marked[1] == 2 * FOREVER)
#elif defined(LOOP)
#define TASKS 4
#define CHANNELS 4
#define SOURCES 1
#define FROM(c) (c == 3 -> 1 : c)
#define TO(c) (c == 3 -> 3 : (c == 2 -> 1 : (c) + 1))
#define NEXT(c) ((c) + 1)
#define COVERED(t, id) (t == 0 || reached[(t < 3 -> t - 1 : t)] >= id)
#define ENDS_SENT (marked[0] + marked[1] + marked[2] + marked[3] == 4 * FOREVER)
#else /* JOIN */
#define TASKS 4
#define CHANNELS 3
#define SOURCES 2
#define FROM(c) (c)
#define TO(c) (c < 2 -> 2 : 3)
#define NEXT(c) 2
#define COVERED(t, id) \
    (t < 2 || (t == 2 && reached[0] >= id && reached[1] >= id) || (t == 3 && reached[2] >= id))
#define ENDS_SENT (marked[0] + marked[1] + marked[2] == 3 * FOREVER)
#endif
/* COVERED: every input but the feedback edge has reached M(id). The head's outputs are 1 and 3. */
#if defined(LOOP)
#define HEAD 1
#define FEEDBACK(c) (c == 2)
#define WAITING(t) (t < SINK && (out[t].count || (t == HEAD && out[3].count)))
#else
#define HEAD 255
#define FEEDBACK(c) false
#define WAITING(t) (t < SINK && out[t].count)
#endif
#define SINK (TASKS - 1)
#if defined(CHAIN) || defined(LOOP)
#define RECORDS A
#else
#define RECORDS (A + B)
#endif
/* Every abort and every crash can cost one id; a LOOP asks once more whether it is empty. */
#if defined(LOOP)
#define IDS (ROUNDS + ABORTS + CRASHES + 2)
#else
#define IDS (ROUNDS + ABORTS + CRASHES + 1)
#endif
