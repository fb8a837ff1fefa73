/* SPDX-License-Identifier: Apache-2.0
 *
 * aligner: which inputs of one task may be read, what of them belongs to the cut, and when the task
 * must cut - in every mode. A pure machine: events go in, verdicts come out; no queue, no clock, no
 * memory of its own. The rules P1-P14 are numbered in checkpoint/README.md; each is cited where it
 * is kept.
 *
 * Two questions per input serve all modes:
 *     aligner_holds   may this channel be read now?
 *     aligner_logs    does what arrives on it now belong to the cut that was made?
 * A marker *arrives* when it is taken from the inbox, and is *reached* when it is next to be read;
 * so it is with END.
 *
 * Memory is data, not state names:
 *   open       the id that was noticed - announced, or its marker has arrived - and not cut yet
 *   ordered    the highest id that is to be cut at once (unaligned, or OVERTAKE)
 *   closed     every id up to here was cut, aborted or buried by a newer one: it starts no cut (P9)
 *   cut        the newest cut, unless it was given up since
 *   recording  the same, as long as its marker has not arrived on every input
 *   arrived    per input, the id of the last marker that has: ids of a channel only rise
 *   reached    per input, the id of the last one reached
 *
 * A1  open == 0 or open > closed.
 * A2  an input is held exactly while it has reached M(open), or while it is frozen.
 * A3  a cut happens once for an id, and ids of cuts rise.
 * A4  an input logs from the cut until M(recording) or END has arrived on it, or the id is given
 *     up; only after a cut that overtook, or when it closes a cycle (P7).
 */
#ifndef ALIGNER_H
#define ALIGNER_H

#include <stdbool.h>
#include <stdint.h>

struct aligner_input {
    uint64_t arrived, reached;
    bool end_arrived, end_reached;
    bool feedback;     /* closes a cycle: nobody waits for its marker, it is logged in every mode */
    bool aligned_only; /* nothing of it may be logged: its marker is waited for (P13) */
};

struct aligner {
    struct aligner_input *inputs; /* storage from the caller */
    uint32_t input_count;
    bool eager; /* unaligned: each notice orders the cut */
    uint64_t open, ordered, closed, announced;
    uint64_t cut, recording;
    bool early;  /* the cut of `recording` overtook */
    bool frozen; /* what is awaited is not read meanwhile (P11) */
    /* what could be counted over the inputs each time; a feedback input is in none but the last */
    uint32_t forward_count, ended_count, marked_count; /* marked: reached M(open) */
    uint32_t strict_count, strict_covered; /* aligned_only; those that reached M(open) or END */
    uint32_t awaited_count;                /* M(recording) or END has not arrived */
};

/* A set of bits: an event may give up one id and order the cut of the next. */
enum aligner_verdict {
    ALIGNER_NONE = 0, /* nothing to do (a stale marker too: it is consumed and ignored) */
    ALIGNER_DROP = 1, /* an id was given up: what was held is released, what was logged is void */
    ALIGNER_CUT = 2,  /* save the task for `open` now, place the markers - in front when
                       * aligner_overtakes - then call aligner_cut; no other event before that */
    ALIGNER_OVERTAKE = 4, /* the cut is made; its markers that still wait move to the front (P5) */
    ALIGNER_ERROR = 8,    /* the channel broke the rules: the same id twice, ids going back,
                           * something behind END; nothing was changed */
};

/* `inputs` is input_count zeroed structs with feedback and aligned_only set as they are, and lives
 * as long as the aligner. input_count 0 is a source: its announcement is its marker (P4). closed is
 * the id the job was restored from. */
void aligner_init(struct aligner *aligner, struct aligner_input *inputs, uint32_t input_count,
                  bool eager, uint64_t closed);

/* The coordinator announces a round, or orders it to overtake (P4, P5). A task whose forward inputs
 * have all ended cuts on the announcement (P2). */
unsigned aligner_announced(struct aligner *aligner, uint64_t id);
unsigned aligner_overtake(struct aligner *aligner, uint64_t id);
/* M(id) or END was taken from the inbox, and now stands in its queue. */
unsigned aligner_arrived(struct aligner *aligner, uint32_t input, uint64_t id);
unsigned aligner_end_arrived(struct aligner *aligner, uint32_t input);
/* It is *reached*: everything before it has been read (P6). An input that is held is not read:
 * asserted, as is that it has arrived. */
unsigned aligner_reached(struct aligner *aligner, uint32_t input, uint64_t id);
unsigned aligner_end_reached(struct aligner *aligner, uint32_t input);
/* The round was aborted; markers of it may still be under way (P9). */
unsigned aligner_abort(struct aligner *aligner, uint64_t id);
/* The caller has cut `open`: everything is released. */
void aligner_cut(struct aligner *aligner);
/* What is logged has used up its budget: until their markers have arrived, forward inputs are not
 * read (P11). Only for a round that every task cuts on command. */
void aligner_freeze(struct aligner *aligner);

/* Is the cut that is due to be made in front of what waits? */
bool aligner_overtakes(const struct aligner *aligner);
/* May nothing be read from this input now? */
bool aligner_holds(const struct aligner *aligner, uint32_t input);
/* Does what arrives on this input now belong to the cut that was made (P7)? */
bool aligner_logs(const struct aligner *aligner, uint32_t input);
/* Right after the cut: does what lies in this input's queue, before M(cut) or END? */
bool aligner_takes(const struct aligner *aligner, uint32_t input);
/* All forward inputs have reached END. */
bool aligner_ended(const struct aligner *aligner);

#endif
