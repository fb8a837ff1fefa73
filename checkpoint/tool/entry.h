/* SPDX-License-Identifier: Apache-2.0
 *
 * entry: how the entries of a keyed state are shown: by the format of its values, and that of its
 * keys. A state declares none of its keys, but edges into its node do: what those that deal records
 * by key agree on. --key-format and --value-format go before.
 *
 *   value    KEY          VALUE
 *   map      KEY  SUB     VALUE        a sub key declares no format
 *   list     KEY  INDEX   VALUE
 *   timers   KEY  TIME TAG KIND        KIND: event, clock
 *
 * in columns separated by a tabulator. In JSON these are members by the same names.
 */
#ifndef ENTRY_H
#define ENTRY_H

#include "format.h"
#include "tool.h"

enum entry_kind { ENTRY_VALUE, ENTRY_MAP, ENTRY_LIST, ENTRY_TIMERS };

struct entry_style {
    enum entry_kind kind;
    struct format key, sub, value;
};

/* What is told of an entry beside its value; as in struct weir_row. */
struct entry {
    struct weir_bytes key, sub;
    uint64_t id;
    int64_t time;
    uint32_t kind;
};

/* Fills `style` for that state of that node. False, after a complaint, when an option's format is
 * none; one that is declared and not known is shown as if there were none. */
bool entry_style_read(const struct tool *tool, const struct weir_checkpoint *checkpoint,
                      uint32_t node, const struct weir_checkpoint_state *state,
                      struct entry_style *style);
/* The option's format if there is one, else the declared one. */
bool entry_format(const struct tool *tool, const char *option, const char *declared,
                  struct format *format);

/* "event", "clock" */
const char *entry_timer(uint32_t kind);

void entry_print(const struct entry_style *style, const struct entry *entry, FILE *to);
/* Sets the members in `object`. False: no memory. */
bool entry_json(const struct entry_style *style, const struct entry *entry, json_t *object);
/* Has the entry's key this beginning, as a text? */
bool entry_begins(const struct entry_style *style, struct weir_bytes key, const char *prefix);

#endif
