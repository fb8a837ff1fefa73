/* SPDX-License-Identifier: Apache-2.0
 *
 * tool: what the verbs of `weir` share: options, output, and how a store or checkpoint that a word
 * of the command line names is opened.
 */
#ifndef TOOL_H
#define TOOL_H

#include <jansson.h>

#include "options.h"
#include "paper.h"
#include "weir_checkpoint.h"

/*   code        meaning                                          what helps
 *   EXIT_DONE   0  done; of a question: yes                      nothing to do
 *   EXIT_NO     1  of a question: no. Not the same, no such key, the messages say
 *                  an invariant that does not hold
 *   EXIT_USAGE  2  the command line is wrong                     change the command
 *   EXIT_STORE  3  a store or checkpoint that is not there, is   look at the store
 *                  damaged, can't be read or is in use
 *   EXIT_REFUSED 5 a running job says no, or could not, and why
 *   EXIT_OUTPUT 8  the answer could not be written: a full disk   look at where it goes
 * What jobs answer as well means the same as there.
 */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_NO = 1,
    EXIT_USAGE = 2,
    EXIT_STORE = 3,
    EXIT_REFUSED = 5,
    EXIT_OUTPUT = 8
};

/* How many were shown by a format that the command line gives, and how many of them fit it. */
struct tool_fit {
    uint64_t shown, fit;
};

struct tool {
    struct options options;
    struct paper paper;
    struct tool_fit keys, values;
};

/* Says what is wrong, on the standard error, and answers `code`. */
int tool_complain(const struct tool *tool, int code, const char *format, ...) WEIR_PRINTF(3, 4);
/* The same of what the library has said; the code is that of the result. */
int tool_fail(const struct tool *tool, const struct weir_error *error);
int tool_no_memory(const struct tool *tool);

/* Says so, when nothing that was shown fits a format that the command line gives. */
void tool_tell_misfits(const struct tool *tool);

/* Opens the first word's store, and says why when it can't. Answers an exit code. */
int tool_open_store(const struct tool *tool, struct weir_store **store);
/* "newest" (or NULL), or an id: 0 is the newest. */
int tool_read_id(const struct tool *tool, const char *word, uint64_t *id);
int tool_open_checkpoint(const struct tool *tool, struct weir_store *store, const char *word,
                         struct weir_checkpoint **checkpoint);
/* Opens the first word's store and the second word's checkpoint of it, and answers what `look`
 * does, or why it can't be asked. */
int tool_look(struct tool *tool, int (*look)(struct tool *tool, struct weir_store *store,
                                             struct weir_checkpoint *checkpoint));

/* The index of the node that is called so; its number, and a complaint that names those there are,
 * when none is: *code is not EXIT_DONE. */
uint32_t tool_find_node(const struct tool *tool, const struct weir_checkpoint *checkpoint,
                        const char *name, int *code);

/* Writes a line of JSON, which it takes over. False: no memory. */
bool tool_json(const struct tool *tool, json_t *value);

/* The verbs. Each answers an exit code. */
int tool_list(struct tool *tool);
int tool_show(struct tool *tool);
int tool_state(struct tool *tool);
int tool_inflight(struct tool *tool);
int tool_diff(struct tool *tool);
int tool_verify(struct tool *tool);
int tool_status(struct tool *tool);
int tool_snapshot(struct tool *tool);
int tool_savepoint(struct tool *tool);
int tool_stop(struct tool *tool);
int tool_dump(struct tool *tool);
int tool_export(struct tool *tool);
int tool_explain(struct tool *tool);
int tool_copy(struct tool *tool);
int tool_drop(struct tool *tool);
int tool_gc(struct tool *tool);
int tool_fsck(struct tool *tool);

#endif
