/* SPDX-License-Identifier: Apache-2.0
 *
 * letter: a record that was not given to its operator but is kept for people, as a file. It is
 * output, published in two phases like a sink's:
 *
 * L1  a letter is in its operator's part of every cut from its record on until it is published.
 * L2  it is published only when a round that holds it is durable, and again after a restart from
 *     one, before the first record; to publish twice changes nothing. So each record becomes one
 *     letter, however often it is processed again.
 *
 *   taken -> [id 0] -> cut of round n -> [id n] -> n or a later round durable -> file -> forgotten
 *
 * The file is DIRECTORY/<node>-<subtask>-<position>.letter, mode 0600; while it is written, its
 * name begins with a dot and ends in .tmp. Lines of text, each with a newline, then bytes:
 *
 *   weir-dead-letter 1
 *   node: <name>
 *   subtask: <number>
 *   input: <number of the node's input, from 0>
 *   position: <the how-manieth record the subtask was given since the job's first start>
 *   time: <event time, nanoseconds since 1970; or none>
 *   cause: <one line, may be empty>
 *   key size: <bytes>
 *   value size: <bytes>
 *   <an empty line>
 *   the key's bytes, the value's bytes
 *
 * Task thread only.
 */
#ifndef LETTER_H
#define LETTER_H

#include "snapshot.h"
#include "weir.h"

struct letter {
    uint64_t id; /* of the first round that holds it; 0: not cut yet */
    uint64_t position;
    uint32_t input;
    uint32_t subtask;  /* that was given it: of another run, perhaps, with another parallelism */
    const char *cause; /* printable */
    struct weir_record record;
};

struct letters {
    const struct weir_allocator *allocator;
    const char *node;     /* borrowed */
    struct letter **list; /* in order of their records; each one block with its bytes */
    uint32_t count, room;
};

/* Copies what `letter` points to; false: no memory. */
bool letters_add(struct letters *letters, const struct letter *letter);
/* A cut for round `id`: it will hold what is there now. */
void letters_cut(struct letters *letters, uint64_t id);
void letters_save(const struct letters *letters, struct snapshot_writer *writer);
enum weir_result letters_load(struct letters *letters, struct snapshot_section *section,
                              struct weir_error *error) WEIR_MUST_USE;
/* Writes the oldest letter into the directory, durably. WEIR_REFUSED: a file of its name is there
 * and says something else, but for the cause. */
enum weir_result letters_publish(const struct letters *letters, const char *directory,
                                 struct weir_error *error) WEIR_MUST_USE;
/* Forgets the oldest. */
void letters_drop(struct letters *letters);
void letters_free(struct letters *letters);

#endif
