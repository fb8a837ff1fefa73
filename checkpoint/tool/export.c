/* SPDX-License-Identifier: Apache-2.0
 *
 * export: all that a checkpoint holds, as tables (sheet.h) in a book (book.h):
 *
 *   checkpoint          one row: what `weir list` tells of it
 *   tasks               a row a task: what it saved, and where the round's time went
 *   handles             staged output that was not confirmed
 *   inflight            a row a record on its way; edges share the columns of keys and of values
 *   state_NODE_STATE    a row an entry: key, of a map sub, of a list index, of timers time, tag and
 *                       timer, and value
 *   states              a row a state: what its table is called, its kind and formats
 */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "channels.h"
#include "entry.h"
#include "progress.h"
#include "show.h"

struct written {
    char table[NAMING_SIZE];
    const char *node, *state; /* NULL: it is no state's */
    uint64_t rows;
};

struct out {
    struct tool *tool;
    struct weir_checkpoint *checkpoint;
    struct book book;
    struct naming tables;
    struct written *written;
    size_t written_count;
    uint64_t rows; /* of the sheet in hand */
};

/* --------------------------------------------------------------------------------- sheets -- */

/* SIGINT or SIGTERM, once it has come: a handler has no other place for it. The work ends at the
 * next row, and takes away what it has begun. */
static volatile sig_atomic_t stopped_by;

static void note_signal(int signal)
{
    stopped_by = signal;
}

/* What is ignored, as nohup has it, stays so. */
static void listen(int signal)
{
    struct sigaction before, noted = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    if (sigaction(signal, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(signal, &noted, NULL);
}

/* Ends as if nobody had listened. */
static void end_by_signal(int number)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &usual, NULL);
    (void)raise(number);
}

static void look_for_signals(struct out *out)
{
    if (stopped_by != 0)
        book_fail(&out->book, 0, "a signal has ended the export, and nothing is left of it", "");
}

/* What the library has said. */
static int fail(struct out *out, const struct weir_error *error)
{
    book_fail(&out->book, 0, error->text, "");
    return tool_fail(out->tool, error);
}

static bool begin(struct out *out, struct sheet *sheet, const char *name)
{
    out->rows = 0;
    sheet->failed |= !naming_take(&out->tables, name, sheet->name);
    return book_begin(&out->book, sheet);
}

static bool put(struct out *out, struct sheet *sheet)
{
    out->rows++;
    look_for_signals(out);
    return book_row(&out->book, sheet);
}

static void end(struct out *out, struct sheet *sheet, const char *node, const char *state)
{
    struct written *more = realloc(out->written, (out->written_count + 1) * sizeof *out->written);
    if (more == NULL) {
        book_fail(&out->book, 0, "no memory", sheet->name);
        return;
    }
    out->written = more;
    struct written *one = &more[out->written_count++];
    *one = (struct written){.node = node, .state = state, .rows = out->rows};
    memcpy(one->table, sheet->name, sizeof one->table);
    (void)book_end(&out->book);
}

/* ------------------------------------------------------- what the manifest tells of ----- */

/* A row's numbers and texts, in the order of the columns. */
static void add_numbers(struct sheet *sheet, const char *names)
{
    char name[64];
    for (const char *at = names; *at != 0; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, " "), at);
        sheet_add(sheet, name, SHEET_INTEGER);
    }
}

static void put_numbers(struct sheet *sheet, uint32_t from, const int64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sheet_integer(sheet, from + (uint32_t)i, numbers[i]);
}

static void write_checkpoint(struct out *out, const struct weir_store *store)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct sheet sheet = {0};
    weir_checkpoint_describe(out->checkpoint, &info);
    const int64_t numbers[] = {(int64_t)info.id,
                               info.epoch,
                               (int64_t)info.restored_from,
                               info.final,
                               info.overtaken,
                               info.triggered_ns,
                               info.duration_ns,
                               info.sealed_ns,
                               info.key_groups,
                               (int64_t)info.stored_bytes,
                               (int64_t)info.older_bytes,
                               (int64_t)info.raw_bytes,
                               (int64_t)info.channel_bytes,
                               (int64_t)info.outlet_bytes};
    add_numbers(&sheet, "checkpoint epoch restored_from final overtaken triggered_ns duration_ns "
                        "sealed_ns key_groups stored_bytes older_bytes raw_bytes channel_bytes "
                        "outlet_bytes");
    put_numbers(&sheet, 0, numbers, sizeof numbers / sizeof numbers[0]);
    const char *const names[] = {"job", "store", "reason", "mode"};
    const char *const texts[] = {info.job, weir_store_identity(store), info.reason, info.mode};
    for (int i = 0; i < 4; i++)
        sheet_text(&sheet, sheet_add(&sheet, names[i], SHEET_TEXT), texts[i]);
    if (begin(out, &sheet, "checkpoint"))
        (void)put(out, &sheet);
    end(out, &sheet, NULL, NULL);
    sheet_free(&sheet);
}

static void put_task(struct out *out, struct sheet *sheet, const struct weir_checkpoint_task *task)
{
    const int64_t numbers[] = {
        task->subtask,
        task->ended,
        task->overtook,
        (int64_t)task->handles,
        (int64_t)task->letters,
        (int64_t)task->stored_bytes,
        (int64_t)task->raw_bytes,
        (int64_t)task->inflight_stored_bytes,
        (int64_t)task->channel_bytes,
        (int64_t)task->outlet_bytes,
        task->wait_ns,
        task->align_ns,
        task->cut_ns,
        task->cut_cpu_ns,
        task->record_ns,
        task->write_ns,
    };
    sheet_text(sheet, 0, show_node(out->checkpoint, task->node));
    put_numbers(sheet, 1, numbers, sizeof numbers / sizeof numbers[0]);
    sheet_text(sheet, sheet->count - 1, task->note);
    (void)put(out, sheet);
}

static void write_tasks(struct out *out)
{
    struct weir_checkpoint_task task = {WEIR_SIZED(struct weir_checkpoint_task)};
    struct sheet sheet = {0};
    sheet_add(&sheet, "node", SHEET_TEXT);
    add_numbers(&sheet, "subtask ended overtook handles letters stored_bytes raw_bytes "
                        "inflight_stored_bytes channel_bytes outlet_bytes wait_ns align_ns cut_ns "
                        "cut_cpu_ns record_ns write_ns");
    sheet_add(&sheet, "position", SHEET_TEXT);
    if (begin(out, &sheet, "tasks"))
        for (uint32_t i = 0; weir_checkpoint_get_task(out->checkpoint, i, &task); i++)
            put_task(out, &sheet, &task);
    end(out, &sheet, NULL, NULL);
    sheet_free(&sheet);
}

/* -------------------------------------------------------------------------------- handles -- */

struct handles {
    struct out *out;
    struct sheet sheet;
    struct sheet_place place;
};

static void put_handle(void *context, const char *node, const struct weir_row *row)
{
    struct handles *handles = context;
    sheet_text(&handles->sheet, 0, node);
    sheet_integer(&handles->sheet, 1, row->subtask);
    sheet_unsigned(&handles->sheet, 2, &row->id);
    sheet_bytes(&handles->sheet, &handles->place, row->value);
    (void)put(handles->out, &handles->sheet);
}

static int write_handles(struct out *out)
{
    struct handles handles = {.out = out};
    struct format format;
    struct weir_error error = {0};
    int code = EXIT_DONE;
    (void)format_read(&format, NULL);
    sheet_add(&handles.sheet, "node", SHEET_TEXT);
    add_numbers(&handles.sheet, "subtask checkpoint");
    sheet_add_place(&handles.sheet, "handle", &format, &handles.place);
    if (begin(out, &handles.sheet, "handles") &&
        show_handles(out->checkpoint, put_handle, &handles, &error) != WEIR_OK)
        code = fail(out, &error);
    end(out, &handles.sheet, NULL, NULL);
    sheet_free(&handles.sheet);
    return code;
}

/* ------------------------------------------------------------------------------- in flight -- */

struct edge {
    struct weir_checkpoint_edge about;
    struct format key_format, value_format;
    struct sheet_place key, value;
};

struct flights {
    struct out *out;
    struct sheet sheet;
    struct edge *edges;
    struct channels channels;
    uint64_t position; /* of the record in hand */
};

static const char *const flight_columns[] = {"from_node",  "from_subtask", "to_node",
                                             "to_subtask", "output",       "input",
                                             "position",   "place",        "time"};
enum { FROM, FROM_SUBTASK, TO, TO_SUBTASK, OUTPUT, INPUT, POSITION, PLACE, TIME };

static bool plan_flights(struct flights *flights)
{
    static const char integers[] = "010100101";
    const struct out *out = flights->out;
    const struct options *options = &out->tool->options;
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    weir_checkpoint_describe(out->checkpoint, &info);
    for (int i = FROM; i <= TIME; i++)
        sheet_add(&flights->sheet, flight_columns[i],
                  integers[i] == '1' ? SHEET_INTEGER : SHEET_TEXT);
    flights->edges = calloc(info.edges + 1, sizeof *flights->edges);
    flights->sheet.failed |= flights->edges == NULL;
    for (uint32_t i = 0; flights->edges != NULL && i < info.edges; i++) {
        struct edge *edge = &flights->edges[i];
        edge->about.size = sizeof edge->about;
        weir_checkpoint_get_edge(out->checkpoint, i, &edge->about);
        if (!entry_format(out->tool, options->key_format, edge->about.key_format,
                          &edge->key_format) ||
            !entry_format(out->tool, options->value_format, edge->about.value_format,
                          &edge->value_format))
            return false;
        sheet_add_place(&flights->sheet, "key", &edge->key_format, &edge->key);
    }
    for (uint32_t i = 0; flights->edges != NULL && i < info.edges; i++)
        sheet_add_place(&flights->sheet, "value", &flights->edges[i].value_format,
                        &flights->edges[i].value);
    return true;
}

static void put_flight(struct flights *flights, const struct weir_row *row)
{
    const struct weir_checkpoint *checkpoint = flights->out->checkpoint;
    const struct edge *edge = &flights->edges[row->edge];
    struct sheet *sheet = &flights->sheet;
    uint64_t before = channels_position(&flights->channels, row);
    sheet->failed |= before == UINT64_MAX;
    sheet_text(sheet, FROM, show_node(checkpoint, edge->about.from));
    sheet_integer(sheet, FROM_SUBTASK, row->from_subtask);
    sheet_text(sheet, TO, show_node(checkpoint, edge->about.to));
    sheet_integer(sheet, TO_SUBTASK, row->subtask);
    sheet_text(sheet, OUTPUT, edge->about.output);
    sheet_text(sheet, INPUT, edge->about.input);
    sheet_integer(sheet, POSITION, (int64_t)before + 1);
    sheet_text(sheet, PLACE, row->in_outlet ? "writer" : "reader");
    if (row->time != INT64_MIN)
        sheet_integer(sheet, TIME, row->time);
    entry_count_key(flights->out->tool, &edge->key_format, row->key);
    entry_count_value(flights->out->tool, &edge->value_format, row->value);
    sheet_bytes(sheet, &edge->key, row->key);
    sheet_bytes(sheet, &edge->value, row->value);
}

static int write_flights(struct out *out)
{
    struct flights flights = {.out = out};
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor = NULL;
    int code = plan_flights(&flights) ? EXIT_DONE : EXIT_USAGE;
    if (code == EXIT_DONE && begin(out, &flights.sheet, "inflight")) {
        bool well = weir_cursor_open(out->checkpoint, WEIR_ROWS_INFLIGHT, NULL, NULL, &cursor,
                                     &error) == WEIR_OK;
        while (well && weir_cursor_next(cursor, &row)) {
            put_flight(&flights, &row);
            well = put(out, &flights.sheet);
        }
        if (weir_cursor_close(&cursor, &error) != WEIR_OK || error.code != WEIR_OK)
            code = fail(out, &error);
    }
    end(out, &flights.sheet, NULL, NULL);
    channels_free(&flights.channels);
    free(flights.edges);
    sheet_free(&flights.sheet);
    return code;
}

/* --------------------------------------------------------------------------------- states -- */

struct entries {
    struct entry_style style;
    struct sheet sheet;
    struct sheet_place key, sub, value;
    uint32_t index, time, tag, timer, subtask;
};

static void plan_entries(struct entries *entries)
{
    struct sheet *sheet = &entries->sheet;
    sheet_add_place(sheet, "key", &entries->style.key, &entries->key);
    switch (entries->style.kind) {
    case ENTRY_MAP:
        sheet_add_place(sheet, "sub", &entries->style.sub, &entries->sub);
        break;
    case ENTRY_LIST:
        entries->index = sheet_add(sheet, "index", SHEET_INTEGER);
        break;
    case ENTRY_TIMERS:
        entries->time = sheet_add(sheet, "time", SHEET_INTEGER);
        entries->tag = sheet_add(sheet, "tag", SHEET_ANY);
        entries->timer = sheet_add(sheet, "timer", SHEET_TEXT);
        break;
    case ENTRY_VALUE:
        break;
    }
    if (entries->style.kind != ENTRY_TIMERS)
        sheet_add_place(sheet, "value", &entries->style.value, &entries->value);
    entries->subtask = sheet_add(sheet, "subtask", SHEET_INTEGER);
}

static void put_entry(struct entries *entries, const struct weir_row *row)
{
    struct sheet *sheet = &entries->sheet;
    sheet_bytes(sheet, &entries->key, row->key);
    if (entries->style.kind == ENTRY_MAP)
        sheet_bytes(sheet, &entries->sub, row->sub);
    if (entries->style.kind == ENTRY_LIST)
        sheet_unsigned(sheet, entries->index, &row->id);
    if (entries->style.kind == ENTRY_TIMERS) {
        sheet_integer(sheet, entries->time, row->time);
        sheet_unsigned(sheet, entries->tag, &row->id);
        sheet_text(sheet, entries->timer, entry_timer(row->kind));
    } else {
        sheet_bytes(sheet, &entries->value, row->value);
    }
    sheet_integer(sheet, entries->subtask, row->subtask);
}

static int write_entries(struct out *out, struct entries *entries, const char *node,
                         const char *state)
{
    struct weir_row row = {WEIR_SIZED(struct weir_row)};
    struct weir_error error = {0};
    struct weir_cursor *cursor = NULL;
    char name[NAMING_SIZE];
    int code = EXIT_DONE;
    snprintf(name, sizeof name, "state_%s_%s", node, state);
    plan_entries(entries);
    if (begin(out, &entries->sheet, name)) {
        bool well = weir_cursor_open(out->checkpoint, WEIR_ROWS_STATE, node, state, &cursor,
                                     &error) == WEIR_OK;
        while (well && weir_cursor_next(cursor, &row)) {
            put_entry(entries, &row);
            entry_count_key(out->tool, &entries->style.key, row.key);
            if (entries->style.kind != ENTRY_TIMERS)
                entry_count_value(out->tool, &entries->style.value, row.value);
            well = put(out, &entries->sheet);
        }
        if (weir_cursor_close(&cursor, &error) != WEIR_OK || error.code != WEIR_OK)
            code = fail(out, &error);
    }
    end(out, &entries->sheet, node, state);
    return code;
}

static const char *const state_texts[] = {"table_name", "node", "state", "kind", "format"};

/* A row of `states`, when the state's own table was written. */
static bool list_state(struct out *out, struct sheet *sheet, const char *node,
                       const struct weir_checkpoint_state *state, const struct written *written)
{
    const char *const texts[] = {written->table, node, state->name, state->kind, state->format};
    const int64_t numbers[] = {
        (int64_t)written->rows,    state->version, state->expires, (int64_t)state->stored_bytes,
        (int64_t)state->raw_bytes, state->segments};
    for (uint32_t i = 0; i < 5; i++)
        sheet_text(sheet, i, texts[i]);
    put_numbers(sheet, 5, numbers, sizeof numbers / sizeof numbers[0]);
    return put(out, sheet);
}

/* For each state: its table, or with `list` its row in the table of them. */
static int each_state(struct out *out, struct sheet *list)
{
    struct weir_checkpoint_node node = {WEIR_SIZED(struct weir_checkpoint_node)};
    struct weir_checkpoint_state state = {WEIR_SIZED(struct weir_checkpoint_state)};
    struct entries *entries = calloc(1, sizeof *entries);
    size_t at = 0;
    int code = entries == NULL ? tool_no_memory(out->tool) : EXIT_DONE;
    for (uint32_t n = 0; weir_checkpoint_get_node(out->checkpoint, n, &node); n++)
        for (uint32_t s = 0; code == EXIT_DONE && out->book.wrong[0] == 0 &&
                             weir_checkpoint_get_state(out->checkpoint, n, s, &state);
             s++) {
            while (list != NULL && out->written[at].state == NULL)
                at++;
            if (list != NULL) {
                list_state(out, list, node.name, &state, &out->written[at++]);
                continue;
            }
            code = entry_style_read(out->tool, out->checkpoint, n, &state, &entries->style)
                       ? write_entries(out, entries, node.name, state.name)
                       : EXIT_USAGE;
            sheet_free(&entries->sheet);
        }
    free(entries);
    return code;
}

static int write_states(struct out *out)
{
    struct sheet sheet = {0};
    int code = EXIT_DONE;
    for (uint32_t i = 0; i < 5; i++)
        sheet_add(&sheet, state_texts[i], SHEET_TEXT);
    add_numbers(&sheet, "entries version expires stored_bytes raw_bytes segments");
    if (begin(out, &sheet, "states"))
        code = each_state(out, &sheet);
    end(out, &sheet, NULL, NULL);
    sheet_free(&sheet);
    return code;
}

/* ------------------------------------------------------------------------------------ all -- */

static int write_all(struct out *out, const struct weir_store *store)
{
    write_checkpoint(out, store);
    write_tasks(out);
    int code = write_handles(out);
    if (code == EXIT_DONE)
        code = write_flights(out);
    if (code == EXIT_DONE)
        code = each_state(out, NULL);
    if (code == EXIT_DONE && out->book.wrong[0] == 0)
        code = write_states(out);
    return code;
}

static int conclude(const struct out *out)
{
    struct tool *tool = out->tool;
    struct table table;
    bool well = true;
    table_begin(&table, "TABLE|ROWS", "lr");
    for (size_t i = 0; i < out->written_count && well; i++) {
        const struct written *one = &out->written[i];
        table_cell(&table, "%s", one->table);
        table_cell(&table, "%" PRIu64, one->rows);
        if (tool->options.json)
            well = tool_json(
                tool,
                one->state == NULL
                    ? json_pack("{s: s, s: I}", "table", one->table, "rows", (json_int_t)one->rows)
                    : json_pack("{s: s, s: I, s: s, s: s}", "table", one->table, "rows",
                                (json_int_t)one->rows, "node", one->node, "state", one->state));
    }
    well = table_end(&table, tool->options.json ? NULL : &tool->paper) && well;
    return well ? EXIT_DONE : tool_no_memory(tool);
}

static int export_it(struct tool *tool, struct weir_store *store,
                     struct weir_checkpoint *checkpoint)
{
    struct out out = {.tool = tool, .checkpoint = checkpoint};
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    struct progress progress;
    enum book_format format = BOOK_SQLITE;
    int code = EXIT_DONE;
    if (tool->options.to == NULL || tool->options.format == NULL)
        return tool_complain(tool, EXIT_USAGE, "an export needs --to PATH and --format FORMAT");
    if (!book_format_named(tool->options.format, &format))
        return tool_complain(tool, EXIT_USAGE, "--format is sqlite, csv or jsonl, not '%s'",
                             tool->options.format);
    weir_checkpoint_describe(checkpoint, &info);
    listen(SIGINT);
    listen(SIGTERM);
    progress_begin(&progress, store, info.stored_bytes);
    if (book_open(&out.book, tool->options.to, format, tool->options.force))
        code = write_all(&out, store);
    progress_end(&progress);
    look_for_signals(&out);
    bool kept = book_close(&out.book, code == EXIT_DONE);
    if (code == EXIT_DONE)
        code = kept ? conclude(&out)
                    : tool_complain(tool, out.book.refused ? EXIT_USAGE : EXIT_STORE, "%s",
                                    out.book.wrong);
    free(out.written);
    naming_free(&out.tables);
    if (!kept && stopped_by != 0)
        end_by_signal(stopped_by);
    return code;
}

int tool_export(struct tool *tool)
{
    return tool_look(tool, export_it);
}
