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
/* The beginning of keys, as --prefix has it. Texts, and what is told in hex, are read as --key
 * reads them, and compared as bytes; other keys begin so as they are printed. */
struct entry_prefix {
    const char *text;
    struct weir_bytes bytes; /* no data: the text counts */
};
/* False: it is no beginning in this format, or there is no memory. `prefix` is freed by
 * entry_prefix_free all the same. */
bool entry_prefix_read(const struct entry_style *style, const char *text,
                       struct entry_prefix *prefix);
void entry_prefix_free(struct entry_prefix *prefix);
bool entry_begins(const struct entry_style *style, struct weir_bytes key,
                  const struct entry_prefix *prefix);

/* Counts whether they fit, of --key-format and --value-format; NULL: it has none. */
void entry_count_key(struct tool *tool, const struct format *format, struct weir_bytes key);
void entry_count_value(struct tool *tool, const struct format *format, struct weir_bytes value);

#endif
