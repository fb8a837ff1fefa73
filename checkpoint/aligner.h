/* SPDX-License-Identifier: Apache-2.0
 *
 * aligner: which inputs of one task may be read, and when the task must cut. A pure machine: events
 * go in, verdicts come out; no queue, no clock, no memory of its own. The rules P1-P14 are numbered
 * in checkpoint/README.md; each is cited where it is kept.
 *
 * Memory is data, not state names:
 *   open      the id being aligned, 0: none
 *   closed    every id up to here was cut, aborted or buried by a newer one: nothing of it starts a
 *             cut again (P9)
 *   announced the highest id the coordinator has announced
 *   marked    inputs that have reached M(open)
 *   ended     inputs that have reached END: it stands for every marker (P4)
 *   last      per input, the id of the last marker: ids of a channel only rise
 *
 * A1  open == 0 or open > closed.
 * A2  marked is empty when open == 0; an input is held exactly while it is marked.
 * A3  a cut happens once for an id, and ids of cuts rise.
 */
#ifndef ALIGNER_H
#define ALIGNER_H

#include <stdbool.h>
#include <stdint.h>

struct aligner {
    uint64_t open;
    uint64_t closed;
    uint64_t announced;
    uint64_t *marked; /* bit sets of input_count bits, storage from the caller */
    uint64_t *ended;
    uint64_t *last; /* input_count ids */
    uint32_t input_count;
    uint32_t marked_count;
    uint32_t ended_count;
    uint32_t covered_count; /* inputs marked or ended */
};

enum aligner_verdict {
    ALIGNER_NONE,    /* nothing to do (a stale marker too: it is consumed and ignored) */
    ALIGNER_CUT,     /* save the task for `open` now, place the markers, then call aligner_cut; no
                      * other event before that */
    ALIGNER_RELEASE, /* held inputs were released without a cut: ask aligner_holds again */
    ALIGNER_ERROR,   /* the channel broke the rules: the same id twice, ids going back, something
                      * behind END; nothing was changed */
};

/* 64-bit words of storage that an aligner of input_count inputs needs (at least 1). */
uint32_t aligner_words(uint32_t input_count);
/* `storage` is aligner_words words, which live as long as the aligner. input_count 0 is a source:
 * its announcement is its marker (P4). closed is the id the job was restored from. */
void aligner_init(struct aligner *aligner, uint32_t input_count, uint64_t *storage,
                  uint64_t closed);

/* The coordinator announces a round. A task whose inputs have all ended cuts at once (P2). A newer
 * announcement also gives up an older open id: it was aborted (P10). */
enum aligner_verdict aligner_announced(struct aligner *aligner, uint64_t id);
/* Input has *reached* M(id): everything before it has been read (P6). An input that is held is not
 * read: neither this nor aligner_end may be called for it (asserted). */
enum aligner_verdict aligner_marker(struct aligner *aligner, uint32_t input, uint64_t id);
enum aligner_verdict aligner_end(struct aligner *aligner, uint32_t input);
/* The round was aborted; markers of it may still be under way (P9). */
enum aligner_verdict aligner_abort(struct aligner *aligner, uint64_t id);
/* The caller has cut `open`: everything is released. */
void aligner_cut(struct aligner *aligner);

/* May nothing be read from this input now? */
bool aligner_holds(const struct aligner *aligner, uint32_t input);
bool aligner_ended(const struct aligner *aligner, uint32_t input);

#endif
