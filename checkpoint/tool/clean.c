/* SPDX-License-Identifier: Apache-2.0
 *
 * clean: the verbs that find what is wrong in a store or not needed, and remove it: fsck, gc, drop.
 * A line a finding, in columns separated by a tabulator:
 *
 *   WHAT  CHECKPOINT  FILE  SIZE  WHY      with - for what it has not
 *
 * and one with the sums. What is removed says so: "removed: unnamed".
 */
#include <inttypes.h>
#include <stdlib.h>

#include "tool.h"

#define KINDS (WEIR_FOUND_LEFT + 1)

struct cleaning {
    struct tool *tool;
    bool removes;
    uint64_t counts[KINDS];
    uint64_t stayed; /* of what could go */
    uint64_t bytes;  /* of unnamed files */
    bool failed;     /* no memory for the answer */
};

static const char *const kinds[KINDS] = {"damaged", "excess",  "partial",
                                         "unnamed", "foreign", "left"};

static void print_text(const struct cleaning *cleaning, const struct weir_finding *finding)
{
    const struct paper *paper = &cleaning->tool->paper;
    bool bad = finding->kind == WEIR_FOUND_DAMAGED || finding->kind == WEIR_FOUND_LEFT;
    char bytes[PAPER_TEXT] = "-", id[24] = "-";
    if (finding->bytes > 0)
        paper_bytes(finding->bytes, bytes);
    if (finding->checkpoint > 0)
        snprintf(id, sizeof id, "%" PRIu64, finding->checkpoint);
    paper_colour(paper, bad ? PAPER_RED : PAPER_YELLOW);
    fprintf(paper->to, "%s%s", finding->removed ? "removed: " : "", kinds[finding->kind]);
    paper_plain(paper);
    fprintf(paper->to, "\t%s\t%s\t%s\t%s\n", id, *finding->file ? finding->file : "-", bytes,
            *finding->text ? finding->text : "-");
}

static bool print_json(const struct cleaning *cleaning, const struct weir_finding *finding)
{
    json_t *object =
        json_pack("{s: s, s: b}", "found", kinds[finding->kind], "removed", finding->removed);
    int failed = object == NULL;
    if (finding->checkpoint > 0)
        failed |= json_object_set_new(object, "checkpoint",
                                      json_integer((json_int_t)finding->checkpoint));
    if (*finding->file != 0) {
        failed |= json_object_set_new(object, "file", json_string(finding->file));
        failed |= json_object_set_new(object, "bytes", json_integer((json_int_t)finding->bytes));
    }
    if (*finding->text != 0)
        failed |= json_object_set_new(object, "text", json_string(finding->text));
    return failed == 0 && tool_json(cleaning->tool, object);
}

static void found(void *context, const struct weir_finding *finding)
{
    struct cleaning *cleaning = context;
    bool could_go = finding->kind != WEIR_FOUND_DAMAGED && finding->kind != WEIR_FOUND_FOREIGN;
    cleaning->counts[finding->kind]++;
    cleaning->stayed += could_go && !finding->removed;
    cleaning->bytes += finding->kind == WEIR_FOUND_UNNAMED ? finding->bytes : 0;
    if (!cleaning->tool->options.json)
        print_text(cleaning, finding);
    else
        cleaning->failed |= !print_json(cleaning, finding);
}

static void print_sums(const struct cleaning *cleaning)
{
    const struct paper *paper = &cleaning->tool->paper;
    const uint64_t *counts = cleaning->counts;
    char bytes[PAPER_TEXT];
    paper_bytes(cleaning->bytes, bytes);
    fprintf(paper->to,
            "# %" PRIu64 " damaged, %" PRIu64 " checkpoints %s go, %" PRIu64
            " partial rounds, %" PRIu64 " unnamed files of %s, %" PRIu64 " foreign\n",
            counts[WEIR_FOUND_DAMAGED], counts[WEIR_FOUND_EXCESS],
            cleaning->removes ? "to" : "would", counts[WEIR_FOUND_PARTIAL],
            counts[WEIR_FOUND_UNNAMED], bytes, counts[WEIR_FOUND_FOREIGN]);
}

static int look(struct cleaning *cleaning, const struct weir_clean_options *options)
{
    struct weir_store *store;
    struct weir_error error = {0};
    int code = tool_open_store(cleaning->tool, &store);
    if (code != EXIT_DONE)
        return code;
    if (weir_store_check(store, options, found, cleaning, &error) != WEIR_OK)
        code = tool_fail(cleaning->tool, &error);
    weir_store_close(&store);
    return code;
}

static int clean(struct cleaning *cleaning, const struct weir_clean_options *options)
{
    struct weir_error error = {0};
    return weir_store_clean(cleaning->tool->options.words[0], options, found, cleaning, &error) ==
                   WEIR_OK
               ? EXIT_DONE
               : tool_fail(cleaning->tool, &error);
}

static int run(struct cleaning *cleaning, const struct weir_clean_options *options)
{
    int code = cleaning->removes ? clean(cleaning, options) : look(cleaning, options);
    if (code != EXIT_DONE)
        return code;
    if (!cleaning->tool->options.json)
        print_sums(cleaning);
    return cleaning->failed ? tool_no_memory(cleaning->tool) : EXIT_DONE;
}

int tool_fsck(struct tool *tool)
{
    struct cleaning cleaning = {.tool = tool, .removes = tool->options.repair};
    struct weir_clean_options options = {WEIR_SIZED(struct weir_clean_options)};
    int code = run(&cleaning, &options);
    bool anything = cleaning.stayed > 0 || cleaning.counts[WEIR_FOUND_FOREIGN] > 0;
    return code != EXIT_DONE                         ? code
           : cleaning.counts[WEIR_FOUND_DAMAGED] > 0 ? EXIT_STORE
           : anything                                ? EXIT_NO
                                                     : EXIT_DONE;
}

int tool_gc(struct tool *tool)
{
    struct cleaning cleaning = {.tool = tool, .removes = !tool->options.dry_run};
    struct weir_clean_options options = {WEIR_SIZED(struct weir_clean_options),
                                         .keep = tool->options.keep};
    int code = run(&cleaning, &options);
    return code == EXIT_DONE && cleaning.removes && cleaning.stayed > 0 ? EXIT_NO : code;
}

int tool_drop(struct tool *tool)
{
    struct cleaning cleaning = {.tool = tool, .removes = true};
    size_t count = (size_t)tool->options.word_count - 1;
    uint64_t *ids = calloc(count, sizeof *ids);
    struct weir_clean_options options = {WEIR_SIZED(struct weir_clean_options), .drop = ids,
                                         .drop_count = count, .drop_newest = tool->options.force};
    int code = ids == NULL ? tool_no_memory(tool) : EXIT_DONE;
    for (size_t i = 0; i < count && code == EXIT_DONE; i++) {
        code = tool_read_id(tool, tool->options.every[1 + i], &ids[i]);
        if (code == EXIT_DONE && ids[i] == 0)
            code = tool_complain(tool, EXIT_USAGE, "say by number what is to go, not newest");
    }
    if (code == EXIT_DONE)
        code = run(&cleaning, &options);
    free(ids);
    return code == EXIT_DONE && cleaning.stayed > 0 ? EXIT_NO : code;
}
