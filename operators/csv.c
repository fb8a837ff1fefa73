/* SPDX-License-Identifier: Apache-2.0
 *
 * csv: rows into fields. The one file that knows libcsv, which calls back for each field and for
 * the end of a row, and overwrites the field with the next one: so they are copied.
 */
#include "weir_operators.h"
#include "bad_lines.h"
#include "block.h"
#include "node.h"

#include <csv.h>
#include <string.h>

struct csv_config {
    struct weir_csv_options options;
    struct weir_bytes *names; /* of the columns */
};

struct csv {
    const struct csv_config *config;
    struct bad_lines bad;
    const struct weir_allocator *memory;
    struct csv_parser parser;
    bool made; /* the parser is */

    /* the row in hand */
    struct block bytes; /* of all its fields, one after the other */
    struct block ends;  /* size_t each: where in `bytes` a field ends */
    struct block views; /* struct weir_bytes each */
    size_t rows;
    bool no_memory;
};

/* ------------------------------------------------------------------------------ the parser -- */

/* Blanks belong to their field. */
static int no_space(unsigned char c)
{
    (void)c;
    return 0;
}

static bool parser_make(struct csv *csv)
{
    const struct weir_csv_options *options = &csv->config->options;
    if (csv->made)
        csv_free(&csv->parser);
    csv->made = csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI) == 0;
    if (!csv->made)
        return false;
    csv_set_delim(&csv->parser, (unsigned char)options->separator);
    csv_set_quote(&csv->parser, (unsigned char)options->quote);
    csv_set_space_func(&csv->parser, no_space);
    csv_set_blk_size(&csv->parser, 4096);
    return true;
}

static void on_field(void *data, size_t size, void *context)
{
    struct csv *csv = context;
    size_t end = csv->bytes.size + size;
    if (csv->rows > 0 || csv->no_memory)
        return;
    csv->no_memory = !block_append(&csv->bytes, csv->memory, data, size) ||
                     !block_append(&csv->ends, csv->memory, &end, sizeof end);
}

static void on_row(int terminator, void *context)
{
    (void)terminator;
    ((struct csv *)context)->rows++;
}

/* NULL, or why the line is no row. */
static const char *parse(struct csv *csv, struct weir_bytes line)
{
    csv->bytes.size = csv->ends.size = 0;
    csv->rows = 0;
    csv->no_memory = false;
    bool whole =
        csv_parse(&csv->parser, line.data, line.size, on_field, on_row, csv) == line.size &&
        csv_fini(&csv->parser, on_field, on_row, csv) == 0;
    if (whole)
        return csv->rows > 1 ? "there is a line break in it" : NULL;
    csv->no_memory |= csv_error(&csv->parser) == CSV_ENOMEM;
    csv->no_memory |= !parser_make(csv); /* libcsv stays where it was after an error */
    return "a quote is not closed, or stands inside a field";
}

/* ----------------------------------------------------------------------------------- a row -- */

static bool is_header(const struct csv *csv, const struct weir_bytes *fields, size_t count)
{
    static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
    if (count != csv->config->options.column_count)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct weir_bytes field = fields[i], name = csv->config->names[i];
        if (i == 0 && field.size >= sizeof mark && memcmp(field.data, mark, sizeof mark) == 0) {
            field.data = (const unsigned char *)field.data + sizeof mark;
            field.size -= sizeof mark;
        }
        if (field.size != name.size || (name.size && memcmp(field.data, name.data, name.size) != 0))
            return false;
    }
    return true;
}

/* Views of the row's fields, and of none behind them up to the number of columns. */
static struct weir_bytes *make_views(struct csv *csv, size_t found, size_t columns)
{
    size_t count = found > columns ? found : columns, begin = 0;
    if (!block_reserve(&csv->views, csv->memory, (count + 1) * sizeof(struct weir_bytes)))
        return NULL;
    struct weir_bytes *views = (void *)csv->views.data;
    const size_t *ends = (const void *)csv->ends.data;
    static const unsigned char nothing[1];
    for (size_t i = 0; i < found; i++) {
        views[i] = (struct weir_bytes){csv->bytes.data ? csv->bytes.data + begin : nothing,
                                       ends[i] - begin};
        begin = ends[i];
    }
    for (size_t i = found; i < count; i++)
        views[i] = (struct weir_bytes){NULL, 0};
    return views;
}

static enum weir_result on_fields(struct csv *csv, struct weir_context *context,
                                  const struct weir_record *line)
{
    const struct weir_csv_options *options = &csv->config->options;
    size_t found = csv->ends.size / sizeof(size_t), columns = options->column_count;
    struct weir_bytes *views = make_views(csv, found, columns);
    if (!views)
        return block_none(context);
    if (options->header && is_header(csv, views, found))
        return WEIR_OK;
    if (columns > 0 && found != columns && !options->ragged)
        return bad_lines_found(&csv->bad, context, line,
                               found < columns ? "it has fewer fields than there are columns"
                                               : "it has more fields than there are columns");
    struct weir_csv_row row = {line, views, columns ? columns : found};
    return options->row(context, &row, options->config);
}

static enum weir_result csv_process(void *self, struct weir_context *context, unsigned input,
                                    const struct weir_record *line)
{
    struct csv *csv = self;
    enum weir_result result;
    (void)input;
    if (!bad_lines_take(&csv->bad, context, line, &result))
        return result;
    const char *wrong = parse(csv, line->value);
    if (csv->no_memory)
        return block_none(context);
    if (wrong)
        return bad_lines_found(&csv->bad, context, line, wrong);
    return csv->rows == 0 ? WEIR_OK : on_fields(csv, context, line);
}

/* ------------------------------------------------------------------------------- the rest -- */

static enum weir_result csv_open(void *self, struct weir_context *context, const void *config)
{
    struct csv *csv = self;
    csv->config = config;
    csv->memory = weir_memory(context);
    bad_lines_open(&csv->bad, csv->config->options.bad, csv->config->options.line_limit);
    return parser_make(csv) ? WEIR_OK : block_none(context);
}

static enum weir_progress csv_finish(void *self, struct weir_context *context)
{
    return bad_lines_finish(&((struct csv *)self)->bad, context);
}

static enum weir_result csv_save(void *self, struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    return bad_lines_save(&((struct csv *)self)->bad, saver);
}

static enum weir_result csv_load(void *self, struct weir_context *context,
                                 struct weir_loader *loader, uint32_t version)
{
    (void)context, (void)version;
    bad_lines_load(&((struct csv *)self)->bad, loader);
    return WEIR_OK;
}

static void csv_close(void *self, struct weir_context *context)
{
    struct csv *csv = self;
    (void)context;
    if (csv->made)
        csv_free(&csv->parser);
    block_free(&csv->bytes, csv->memory);
    block_free(&csv->ends, csv->memory);
    block_free(&csv->views, csv->memory);
}

static const struct weir_operator csv_table = {
    WEIR_SIZED(struct weir_operator),
    .kind = "csv",
    .self_size = sizeof(struct csv),
    .version = 1,
    .guarantee = WEIR_EXACTLY_ONCE,
    .open = csv_open,
    .process = csv_process,
    .finish = csv_finish,
    .save = csv_save,
    .load = csv_load,
    .close = csv_close,
};

static const char *wrong_with(const struct weir_csv_options *options)
{
    if (!options->row)
        return "csv needs a row callback";
    if (!options->columns != !options->column_count)
        return "columns and column_count go together";
    if ((options->header || options->ragged) && !options->columns)
        return "header and ragged need the names of the columns";
    if (options->separator == options->quote || strchr("\r\n", options->separator) ||
        strchr("\r\n", options->quote))
        return "separator and quote differ, and neither is a line break";
    return bad_lines_check(options->bad, options->line_limit);
}

static bool keep_names(struct weir_graph *graph, struct csv_config *config)
{
    size_t count = config->options.column_count;
    config->names = weir_graph_keep(graph, NULL, (count + 1) * sizeof *config->names);
    for (size_t i = 0; config->names && i < count; i++) {
        const char *name = weir_graph_keep_text(graph, config->options.columns[i]);
        if (!name)
            return false;
        config->names[i] = (struct weir_bytes){name, strlen(name)};
    }
    config->options.columns = NULL; /* the caller's */
    return config->names;
}

weir_node weir_csv(struct weir_graph *graph, const char *name, const struct weir_csv_options *given)
{
    struct csv_config config = {.names = NULL};
    struct weir_csv_options *options = &config.options;
    if (!node_options(graph, name, given, options, sizeof *options))
        return NODE_NONE;
    options->separator = options->separator ? options->separator : ',';
    options->quote = options->quote ? options->quote : '"';
    const char *wrong = wrong_with(options);
    if (wrong)
        return node_refuse(graph, name, wrong);
    if (!keep_names(graph, &config))
        return NODE_NONE;
    return bad_lines_node(graph, name, &csv_table, weir_graph_keep(graph, &config, sizeof config),
                          options->bad, options->parallelism);
}
