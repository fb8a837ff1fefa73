/* SPDX-License-Identifier: Apache-2.0
 *
 *   SPLIT item:  u64 lines, u64 dropped - of one subtask; of several they add up
 */
#include "bad_lines.h"
#include "node.h"

#include <string.h>

#define SHOWN 60 /* bytes of a bad line, in a message */

const char *bad_lines_check(enum weir_bad_line how, size_t limit)
{
    if ((unsigned)how > WEIR_BAD_LINE_OUTPUT)
        return "what becomes of bad lines is unknown";
    if (limit > WEIR_VALUE_LIMIT)
        return "a line has at most 16 MiB";
    return NULL;
}

void bad_lines_open(struct bad_lines *bad, enum weir_bad_line how, size_t limit)
{
    *bad = (struct bad_lines){.how = how, .limit = limit ? limit : WEIR_LINE_LIMIT};
}

static void show(struct weir_bytes line, char shown[SHOWN + 4])
{
    size_t size = line.size < SHOWN ? line.size : SHOWN;
    for (size_t i = 0; i < size; i++) {
        char c = ((const char *)line.data)[i];
        shown[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    memcpy(shown + size, size < line.size ? "..." : "", size < line.size ? 4 : 1);
}

static bool is_power_of_ten(uint64_t number)
{
    while (number >= 10 && number % 10 == 0)
        number /= 10;
    return number == 1;
}

enum weir_result bad_lines_found(struct bad_lines *bad, struct weir_context *context,
                                 const struct weir_record *line, const char *reason)
{
    char shown[SHOWN + 4];
    if (bad->how == WEIR_BAD_LINE_OUTPUT)
        return weir_emit(context, BAD_LINES_OUTPUT, line);
    show(line->value, shown);
    if (bad->how == WEIR_BAD_LINE_FAIL)
        return weir_fail(context, WEIR_INVALID,
                         "line %llu of this subtask is malformed: %s; it begins \"%s\"",
                         (unsigned long long)bad->lines, reason, shown);
    if (is_power_of_ten(++bad->dropped))
        weir_log(context, "%llu malformed lines dropped; now line %llu, which begins \"%s\": %s",
                 (unsigned long long)bad->dropped, (unsigned long long)bad->lines, shown, reason);
    return WEIR_OK;
}

bool bad_lines_take(struct bad_lines *bad, struct weir_context *context,
                    const struct weir_record *line, enum weir_result *result)
{
    bad->lines++;
    if (line->value.size <= bad->limit)
        return true;
    *result = bad_lines_found(bad, context, line, "it is longer than line_limit");
    return false;
}

enum weir_progress bad_lines_finish(struct bad_lines *bad, struct weir_context *context)
{
    if (bad->dropped > 0)
        weir_log(context, "%llu of %llu lines were malformed and dropped",
                 (unsigned long long)bad->dropped, (unsigned long long)bad->lines);
    return WEIR_END;
}

enum weir_result bad_lines_save(const struct bad_lines *bad, struct weir_saver *saver)
{
    weir_save_begin(saver, WEIR_ITEM_SPLIT);
    weir_save_u64(saver, bad->lines);
    weir_save_u64(saver, bad->dropped);
    weir_save_end(saver);
    if (bad->dropped > 0)
        weir_save_note(saver, "dropped %llu malformed of %llu lines",
                       (unsigned long long)bad->dropped, (unsigned long long)bad->lines);
    return WEIR_OK;
}

void bad_lines_load(struct bad_lines *bad, struct weir_loader *loader)
{
    while (weir_load_item(loader, NULL)) {
        bad->lines += weir_load_u64(loader);
        bad->dropped += weir_load_u64(loader);
        weir_load_done(loader);
    }
}

weir_node bad_lines_node(struct weir_graph *graph, const char *name,
                         const struct weir_operator *table, const void *config,
                         enum weir_bad_line how, uint32_t parallelism)
{
    static const char *const outputs[] = {"out", "bad"};
    struct weir_node_options node = {
        WEIR_SIZED(struct weir_node_options),
        .name = name,
        .table = table,
        .config = config,
        .parallelism = parallelism,
        .outputs = outputs,
        .output_count = how == WEIR_BAD_LINE_OUTPUT ? 2 : 1,
    };
    return config ? weir_graph_add(graph, &node) : NODE_NONE;
}
