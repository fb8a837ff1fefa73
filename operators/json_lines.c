/* SPDX-License-Identifier: Apache-2.0
 *
 * json_lines: documents into fields. The one file of this folder that knows jansson. Its parser
 * recurses, so the depth of a line is counted before it sees it.
 */
#include "weir_operators.h"
#include "bad_lines.h"
#include "block.h"
#include "node.h"

#include <jansson.h>
#include <string.h>

#define DEPTH_DEFAULT 64
#define DEPTH_LIMIT 1000
#define PATH_LIMIT 1000
#define NO_INDEX SIZE_MAX

/* One name of a path. */
struct segment {
    const char *name;
    size_t index; /* the name as a number, for arrays; or NO_INDEX */
};
struct path {
    struct segment *segments;
    size_t count;
};

struct json_config {
    struct weir_json_lines_options options;
    struct path *paths;
};

struct json {
    const struct json_config *config;
    struct bad_lines bad;
    const struct weir_allocator *memory;
    struct weir_json_field *fields;
    struct block texts; /* of fields that are no strings, one after the other */
};

/* --------------------------------------------------------------------------- before jansson -- */

static bool is_blank(struct weir_bytes line)
{
    const char *at = line.data, *end = at + line.size;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    return at == end;
}

/* The deepest nesting of brackets outside strings, up to `limit` + 1. */
static uint32_t depth_of(struct weir_bytes line, uint32_t limit)
{
    const char *at = line.data, *end = at + line.size;
    uint32_t depth = 0, most = 0;
    bool string = false;
    for (; at < end && most <= limit; at++) {
        if (string) {
            if (*at == '\\')
                at++;
            else
                string = *at != '"';
        } else if (*at == '"') {
            string = true;
        } else if (*at == '{' || *at == '[') {
            most = ++depth > most ? depth : most;
        } else if ((*at == '}' || *at == ']') && depth > 0) {
            depth--;
        }
    }
    return most;
}

/* ------------------------------------------------------------------------------ the fields -- */

static const json_t *follow(const json_t *value, const struct path *path)
{
    for (size_t i = 0; value && i < path->count; i++) {
        const struct segment *segment = &path->segments[i];
        if (json_is_object(value))
            value = json_object_get(value, segment->name);
        else if (json_is_array(value) && segment->index != NO_INDEX)
            value = json_array_get(value, segment->index);
        else
            return NULL;
    }
    return value;
}

/* The text of anything but a string is printed behind those before it; where it lies is known when
 * all are. */
static bool print_text(struct json *json, const json_t *value, struct weir_json_field *field)
{
    const size_t flags = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17);
    size_t begin = json->texts.size, room = json->texts.room - begin;
    char *at = room ? (char *)json->texts.data + begin : NULL;
    size_t size = json_dumpb(value, at, room, flags);
    if (size > room) {
        if (!block_reserve(&json->texts, json->memory, 2 * (begin + size)))
            return false;
        json_dumpb(value, (char *)json->texts.data + begin, size, flags);
    }
    json->texts.size = begin + size;
    field->text = (struct weir_bytes){NULL, size};
    return size > 0; /* 0: jansson had no memory */
}

static bool fill_field(struct json *json, const json_t *value, struct weir_json_field *field)
{
    *field = (struct weir_json_field){.text = {"", 0}};
    if (!value)
        return true;
    switch (json_typeof(value)) {
    case JSON_STRING:
        field->type = WEIR_JSON_STRING;
        field->text = (struct weir_bytes){json_string_value(value), json_string_length(value)};
        return true;
    case JSON_INTEGER:
        field->type = WEIR_JSON_INTEGER;
        field->integer = json_integer_value(value);
        field->real = (double)field->integer;
        break;
    case JSON_REAL:
        field->type = WEIR_JSON_REAL;
        field->real = json_real_value(value);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        field->type = WEIR_JSON_BOOL;
        field->integer = json_is_true(value);
        break;
    case JSON_NULL:
        field->type = WEIR_JSON_NULL;
        break;
    case JSON_OBJECT:
    case JSON_ARRAY:
        field->type = WEIR_JSON_OTHER;
        break;
    }
    return print_text(json, value, field);
}

static bool fill_fields(struct json *json, const json_t *document)
{
    const struct json_config *config = json->config;
    size_t at = 0;
    json->texts.size = 0;
    for (size_t i = 0; i < config->options.path_count; i++)
        if (!fill_field(json, follow(document, &config->paths[i]), &json->fields[i]))
            return false;
    for (size_t i = 0; i < config->options.path_count; i++) {
        struct weir_json_field *field = &json->fields[i];
        if (field->text.data)
            continue;
        field->text.data = json->texts.data + at;
        at += field->text.size;
    }
    return true;
}

static enum weir_result on_document(struct json *json, struct weir_context *context,
                                    const struct weir_record *line, const json_t *document)
{
    const struct weir_json_lines_options *options = &json->config->options;
    if (!fill_fields(json, document))
        return block_none(context);
    struct weir_json_row row = {line, json->fields, options->path_count};
    return options->row(context, &row, options->config);
}

static enum weir_result json_process(void *self, struct weir_context *context, unsigned input,
                                     const struct weir_record *line)
{
    struct json *json = self;
    uint32_t limit = json->config->options.depth_limit;
    enum weir_result result;
    json_error_t error;
    (void)input;
    if (!bad_lines_take(&json->bad, context, line, &result))
        return result;
    if (is_blank(line->value))
        return WEIR_OK;
    if (depth_of(line->value, limit) > limit)
        return bad_lines_found(&json->bad, context, line, "it is nested deeper than depth_limit");
    json_t *document =
        json_loadb(line->value.data, line->value.size,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!document && json_error_code(&error) == json_error_out_of_memory)
        return block_none(context);
    if (!document)
        return bad_lines_found(&json->bad, context, line, error.text);
    result = on_document(json, context, line, document);
    json_decref(document);
    return result;
}

/* ------------------------------------------------------------------------------- the rest -- */

static enum weir_result json_open(void *self, struct weir_context *context, const void *config)
{
    struct json *json = self;
    json->config = config;
    json->memory = weir_memory(context);
    bad_lines_open(&json->bad, json->config->options.bad, json->config->options.line_limit);
    json->fields =
        block_take(json->memory, (json->config->options.path_count + 1) * sizeof *json->fields);
    return json->fields ? WEIR_OK : block_none(context);
}

static enum weir_progress json_finish(void *self, struct weir_context *context)
{
    return bad_lines_finish(&((struct json *)self)->bad, context);
}

static enum weir_result json_save(void *self, struct weir_context *context,
                                  struct weir_saver *saver)
{
    (void)context;
    return bad_lines_save(&((struct json *)self)->bad, saver);
}

static enum weir_result json_load(void *self, struct weir_context *context,
                                  struct weir_loader *loader, uint32_t version)
{
    (void)context, (void)version;
    bad_lines_load(&((struct json *)self)->bad, loader);
    return WEIR_OK;
}

static void json_close(void *self, struct weir_context *context)
{
    struct json *json = self;
    (void)context;
    block_drop(json->memory, json->fields);
    block_free(&json->texts, json->memory);
}

static const struct weir_operator json_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "json_lines",
    .self_size = sizeof(struct json),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = json_open,
    .process = json_process,
    .finish = json_finish,
    .save = json_save,
    .load = json_load,
    .close = json_close,
};

/* --------------------------------------------------------------------------------- paths -- */

static size_t index_of(const char *name)
{
    size_t index = 0;
    if (*name == '\0' || (name[0] == '0' && name[1]))
        return NO_INDEX;
    for (; *name; name++) {
        if (*name < '0' || *name > '9' || index > (NO_INDEX - 9) / 10)
            return NO_INDEX;
        index = index * 10 + (size_t)(*name - '0');
    }
    return index;
}

static size_t count_segments(const char *text)
{
    size_t count = *text != '\0';
    for (; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        else
            count += *text == '.';
    }
    return count;
}

/* Cuts `text` into its names, in place. */
static bool cut_path(struct weir_graph *graph, char *text, struct path *path)
{
    path->count = count_segments(text);
    path->segments = weir_graph_keep(graph, NULL, (path->count + 1) * sizeof *path->segments);
    if (!path->segments)
        return false;
    for (size_t i = 0; i < path->count; i++) {
        char *to = text, *name = text;
        for (; *text && *text != '.'; text++) {
            if (*text == '\\' && text[1])
                text++;
            *to++ = *text;
        }
        if (*text)
            text++;
        *to = '\0';
        path->segments[i] = (struct segment){name, index_of(name)};
    }
    return true;
}

static bool keep_paths(struct weir_graph *graph, struct json_config *config)
{
    size_t count = config->options.path_count;
    config->paths = weir_graph_keep(graph, NULL, (count + 1) * sizeof *config->paths);
    for (size_t i = 0; config->paths && i < count; i++) {
        const char *text = config->options.paths[i];
        char *copy = weir_graph_keep(graph, text, strlen(text) + 1);
        if (!copy || !cut_path(graph, copy, &config->paths[i]))
            return false;
    }
    config->options.paths = NULL; /* the caller's */
    return config->paths;
}

static const char *wrong_with(const struct weir_json_lines_options *options)
{
    if (!options->row)
        return "json_lines needs a row callback";
    if (!options->paths || options->path_count == 0 || options->path_count > PATH_LIMIT)
        return "json_lines needs 1 to 1,000 paths";
    if (options->depth_limit > DEPTH_LIMIT)
        return "depth_limit is at most 1,000";
    return bad_lines_check(options->bad, options->line_limit);
}

weir_node weir_json_lines(struct weir_graph *graph, const char *name,
                          const struct weir_json_lines_options *given)
{
    struct json_config config = {.paths = NULL};
    struct weir_json_lines_options *options = &config.options;
    if (!node_options(graph, name, given, options, sizeof *options))
        return NODE_NONE;
    if (options->depth_limit == 0)
        options->depth_limit = DEPTH_DEFAULT;
    const char *wrong = wrong_with(options);
    if (wrong)
        return node_refuse(graph, name, wrong);
    if (!keep_paths(graph, &config))
        return NODE_NONE;
    return bad_lines_node(graph, name, &json_table, weir_graph_keep(graph, &config, sizeof config),
                          options->bad, options->parallelism);
}
