/* SPDX-License-Identifier: Apache-2.0
 *
 * writer_inside: what the writer's files share. writer.c is the actor, writer_state.c knows which
 * segments of state are stored where.
 */
#ifndef WRITER_INSIDE_H
#define WRITER_INSIDE_H

#include "writer.h"

/* Of one instance: what is stored is named, the rest is written. */
enum weir_result writer_write_logs(struct writer *writer, struct writer_round *round,
                                   uint32_t instance, struct weir_error *error) WEIR_MUST_USE;
/* The round is synced: what it has written is stored (W5). */
void writer_know_stored(struct writer *writer, struct writer_round *round);
/* What a round names is not its own any more: it is over. */
void writer_drop_state(struct writer *writer, struct writer_round *round);
/* Lets go of the places whose segments are gone. */
void writer_clear_needless(struct writer *writer);
/* Is the round that begins to be full? */
bool writer_is_full_due(const struct writer *writer, const struct writer_round *round);

#endif
