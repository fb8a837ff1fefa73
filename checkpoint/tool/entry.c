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

bool entry_prefix_read(const struct entry_style *style, const char *text,
                       struct entry_prefix *prefix)
{
    enum format_kind kind = style->key.kind;
    void *data;
    *prefix = (struct entry_prefix){.text = text};
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (!hex && kind != FORMAT_UTF8 && kind != FORMAT_NONE && kind != FORMAT_HEX)
        return true;
    if (!format_parse(&style->key, text, &data, &prefix->bytes.size))
        return false;
    prefix->bytes.data = data;
    return true;
}

void entry_prefix_free(struct entry_prefix *prefix)
{
    free((void *)prefix->bytes.data);
    *prefix = (struct entry_prefix){0};
}

bool entry_begins(const struct entry_style *style, struct weir_bytes key,
                  const struct entry_prefix *prefix)
{
    size_t size = strlen(prefix->text), told = 0, bytes = prefix->bytes.size;
    char *text = NULL;
    if (prefix->bytes.data != NULL)
        return key.size >= bytes &&
               (bytes == 0 || memcmp(key.data, prefix->bytes.data, bytes) == 0);
    FILE *to = open_memstream(&text, &told);
    if (to == NULL)
        return false;
    format_print(&style->key, key, to);
    bool begins = fclose(to) == 0 && told >= size && memcmp(text, prefix->text, size) == 0;
    free(text);
    return begins;
}

static void count(struct tool_fit *fit, const struct format *format, struct weir_bytes bytes)
{
    fit->shown++;
    fit->fit += format->kind == FORMAT_HEX || format_fits(format, bytes);
}

void entry_count_key(struct tool *tool, const struct format *format, struct weir_bytes key)
{
    if (tool->options.key_format != NULL)
        count(&tool->keys, format, key);
}

void entry_count_value(struct tool *tool, const struct format *format, struct weir_bytes value)
{
    if (tool->options.value_format != NULL)
        count(&tool->values, format, value);
}
