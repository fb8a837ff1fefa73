/* SPDX-License-Identifier: Apache-2.0
 *
 * transcript: what came out of an operator, output by output, as copies; for comparing one run with
 * another. It can be taken back to an earlier mark, as a reader is that restarts from a checkpoint.
 *
 * An output's record is *late* when it comes behind a watermark of that output that its time is
 * below.
 */
#ifndef TRANSCRIPT_H
#define TRANSCRIPT_H

#include "weir.h"

#define TRANSCRIPT_OUTPUTS 64 /* the graph's limit */

struct transcript_entry {
    uint32_t output;
    size_t key, key_size; /* in bytes; the value is behind the key */
    size_t value_size;
    int64_t time;
};

struct transcript_output {
    int64_t watermark;
    uint64_t late; /* records */
};

/* A moment of it. */
struct transcript_mark {
    size_t count, size;
    struct transcript_output outputs[TRANSCRIPT_OUTPUTS];
};

struct transcript {
    struct transcript_entry *entries;
    size_t room;
    unsigned char *bytes;
    size_t capacity;
    struct transcript_mark now;
};

/* Of one in which nothing is. */
struct transcript_mark transcript_beginning(void);
void transcript_init(struct transcript *transcript);
void transcript_free(struct transcript *transcript);

/* False: no memory. */
bool transcript_add(struct transcript *transcript, uint32_t output,
                    const struct weir_record *record);
void transcript_watermark(struct transcript *transcript, uint32_t output, int64_t time);
/* Back to a mark that was taken of `now`. */
void transcript_rewind(struct transcript *transcript, const struct transcript_mark *mark);

enum transcript_how {
    TRANSCRIPT_ORDERED,   /* each output's records are the same, in order */
    TRANSCRIPT_UNORDERED, /* in any order */
    TRANSCRIPT_PART,      /* in order, as far as `other` goes */
};

/* Is `other` what `plain` is? And none of its records late where none of plain's is. WEIR_OK;
 * WEIR_FAILED with the first difference in words, for which `names` are the outputs';
 * WEIR_NO_MEMORY. */
enum weir_result transcript_compare(const struct transcript *plain, const struct transcript *other,
                                    enum transcript_how how, const char *const *names,
                                    struct weir_error *error) WEIR_MUST_USE;

#endif
