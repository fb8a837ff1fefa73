/* SPDX-License-Identifier: Apache-2.0
 *
 * plain: the limits that a keyed count is measured against. Uniform keys of 8 bytes are counted
 *
 *   plain     by one thread, in a plain loop
 *   raw_zmq   by one thread, for another one that draws them and sends them over an inproc PAIR of
 *             ZeroMQ, in messages of the size, of records of the size, and with a high-water mark
 *             of the window that weir's channels have by default
 *
 * All keys are there from the start (of plain: if it is `filled`). A turn takes `seconds`, and
 * answers records a second; an end checks that what was counted adds up. What goes wrong ends the
 * process, by die.h. One thread.
 */
#ifndef PLAIN_H
#define PLAIN_H

#include <stdint.h>

#include "table.h"

#define PLAIN_BURST 512 /* records between two looks at the clock */

struct plain {
    struct table table;
    uint64_t state, records;
};

void plain_begin(struct plain *plain, uint32_t keys, bool filled);
double plain_turn(struct plain *plain, uint32_t keys, double seconds);
void plain_end(struct plain *plain);

struct raw_zmq {
    struct table table;
    uint64_t state, records;
    void *context;
};

void raw_zmq_begin(struct raw_zmq *raw, uint32_t keys);
double raw_zmq_turn(struct raw_zmq *raw, uint32_t keys, double seconds);
void raw_zmq_end(struct raw_zmq *raw);

#endif
