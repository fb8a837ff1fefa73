/* SPDX-License-Identifier: Apache-2.0
 *
 * guard: an allocator for operators under torture. It counts what was not given back, fills new and
 * freed memory with bytes that differ from trial to trial, and never resizes in place: who reads
 * memory it did not write, or keeps a view for too long, gets another answer each time. Any thread.
 */
#ifndef GUARD_H
#define GUARD_H

#include <stdatomic.h>

#include "weir_base.h"

struct guard {
    struct weir_allocator allocator; /* to be handed out */
    unsigned char filling;
    atomic_size_t blocks, bytes; /* not given back */
};

void guard_init(struct guard *guard, unsigned char filling);

#endif
