/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

bool entry_format(const struct tool *tool, const char *option, const char *declared,
                  struct format *format)
{
    if (option == NULL) {
        (void)format_read(format, declared);
        return true;
    }
    if (format_read(format, option))
        return true;
    (void)tool_complain(
        tool, EXIT_USAGE,
        "'%s' is no format: u64, i64, f64, utf8, json, hex, an array as u64[], or a "
        "struct as \"{u64 count; f64 sum}\"",
        option);
    return false;
}

/* What the edges by key into the node say of keys; "": nothing, or several things. */
static const char *key_format_of(const struct weir_checkpoint *checkpoint, uint32_t node)
{
    struct weir_checkpoint_edge edge = {WEIR_SIZED(struct weir_checkpoint_edge)};
    const char *found = "";
    for (uint32_t i = 0; weir_checkpoint_get_edge(checkpoint, i, &edge); i++) {
        if (edge.to != node || strcmp(edge.routing, "by_key") != 0 || *edge.key_format == 0)
            continue;
        if (*found != 0 && strcmp(found, edge.key_format) != 0)
            return "";
        found = edge.key_format;
    }
    return found;
}

static enum entry_kind kind_of(const char *name)
{
    return strcmp(name, "map") == 0      ? ENTRY_MAP
           : strcmp(name, "list") == 0   ? ENTRY_LIST
           : strcmp(name, "timers") == 0 ? ENTRY_TIMERS
                                         : ENTRY_VALUE;
}

bool entry_style_read(const struct tool *tool, const struct weir_checkpoint *checkpoint,
                      uint32_t node, const struct weir_checkpoint_state *state,
                      struct entry_style *style)
{
    style->kind = kind_of(state->kind);
    (void)format_read(&style->sub, NULL);
    return entry_format(tool, tool->options.key_format, key_format_of(checkpoint, node),
                        &style->key) &&
           entry_format(tool, tool->options.value_format, state->format, &style->value);
}

const char *entry_timer(uint32_t kind)
{
    return kind == 0 ? "event" : "clock";
}

void entry_print(const struct entry_style *style, const struct entry *entry, FILE *to)
{
    format_print(&style->key, entry->key, to);
    if (style->kind == ENTRY_MAP) {
        putc('\t', to);
        format_print(&style->sub, entry->sub, to);
    } else if (style->kind == ENTRY_LIST) {
        fprintf(to, "\t%" PRIu64, entry->id);
    } else if (style->kind == ENTRY_TIMERS) {
        fprintf(to, "\t%" PRId64 "\t%" PRIu64 "\t%s", entry->time, entry->id,
                entry_timer(entry->kind));
    }
}

/* An operator may use all 64 bits of it. */
static json_t *tag_json(uint64_t tag)
{
    return number_json(number_named("u64", 3), (const unsigned char *)&tag);
}

bool entry_json(const struct entry_style *style, const struct entry *entry, json_t *object)
{
    int failed = json_object_set_new(object, "key", format_json(&style->key, entry->key));
    if (style->kind == ENTRY_MAP)
        failed |= json_object_set_new(object, "sub", format_json(&style->sub, entry->sub));
    if (style->kind == ENTRY_LIST)
        failed |= json_object_set_new(object, "index", json_integer((json_int_t)entry->id));
    if (style->kind == ENTRY_TIMERS) {
        failed |= json_object_set_new(object, "time", json_integer(entry->time));
        failed |= json_object_set_new(object, "tag", tag_json(entry->id));
        failed |= json_object_set_new(object, "timer", json_string(entry_timer(entry->kind)));
    }
    return failed == 0;
}

bool entry_begins(const struct entry_style *style, struct weir_bytes key, const char *prefix)
{
    size_t size = strlen(prefix), told = 0;
    char *text = NULL;
    if (style->key.kind == FORMAT_UTF8 || style->key.kind == FORMAT_NONE)
        return key.size >= size && memcmp(key.data, prefix, size) == 0;
    FILE *to = open_memstream(&text, &told);
    if (to == NULL)
        return false;
    format_print(&style->key, key, to);
    bool begins = fclose(to) == 0 && told >= size && memcmp(text, prefix, size) == 0;
    free(text);
    return begins;
}
