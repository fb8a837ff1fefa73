/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint_sample.h"

#include <inttypes.h>
#include <xxhash.h>

static char *text;
static size_t size;

static void start(void)
{
    struct manifest manifest;
    struct weir_error error;
    sample_manifest(&manifest, 3, 7);
    cr_assert_eq(manifest_print(&manifest, &text, &size, &error), WEIR_OK);
    manifest_free(&manifest);
}

static void stop(void)
{
    memory_release(NULL, text);
}

TestSuite(manifest, .init = start, .fini = stop);

static enum weir_result parse(const char *from, size_t count, struct weir_error *error)
{
    struct manifest manifest;
    enum weir_result result = manifest_parse(from, count, NULL, &manifest, error);
    if (result == WEIR_OK)
        manifest_free(&manifest);
    return result;
}

/* Seals `body` (an object without its closing brace) as manifest_print does, and parses it. */
static enum weir_result parse_sealed(const char *body, size_t count, struct weir_error *error)
{
    char *whole = malloc(count + 64);
    memcpy(whole, body, count);
    int tail = snprintf(whole + count, 64, ",\n \"seal\": \"%016" PRIx64 "\"\n}\n",
                        (uint64_t)XXH3_64bits(body, count));
    enum weir_result result = parse(whole, count + (size_t)tail, error);
    free(whole);
    return result;
}

/* The sample with the first `from` replaced by `to`, sealed anew. */
static enum weir_result parse_with(const char *from, const char *to, struct weir_error *error)
{
    const char *at = strstr(text, from), *end = strstr(text, ",\n \"seal\"");
    cr_assert(at != NULL && end != NULL && at < end, "%s", from);
    char *body = malloc(size + strlen(to));
    int count = snprintf(body, size + strlen(to), "%.*s%s%.*s", (int)(at - text), text, to,
                         (int)(end - at - (long)strlen(from)), at + strlen(from));
    enum weir_result result = parse_sealed(body, (size_t)count, error);
    free(body);
    return result;
}

Test(manifest, reads_back_what_was_printed)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(manifest_parse(text, size, NULL, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert(manifest.epoch == 3 && manifest.id == 7 && manifest.triggered_ns == 7000);
    cr_assert(manifest.store_id[15] == 16 && manifest.task_count == 3 && !manifest.final);
    cr_assert_str_eq(manifest.job, "words");
    cr_assert_str_eq(manifest.graph.nodes[1].states[0].format, "u64");
    cr_assert_str_eq(manifest.graph.edges[0].routing, "by_key");
    cr_assert_str_eq(manifest.tasks[2].note, "at \"byte\" 17\n");
    cr_assert(manifest.tasks[2].part.blob.checksum == 0xfedcba9876543210u);
    cr_assert(manifest.tasks[2].part.blob.task == 2 && manifest.tasks[2].part.offset == 200);
    manifest_free(&manifest);
}

Test(manifest, every_flipped_bit_and_every_cut_is_found)
{
    struct weir_error error;
    for (size_t i = 0; i < size * 8; i++) {
        text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
        cr_assert_eq(parse(text, size, &error), WEIR_DAMAGED, "bit %zu", i);
        text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
    }
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_eq(parse(text, cut, &error), WEIR_DAMAGED, "cut at %zu", cut);
    cr_assert_eq(parse(text, size + 1, &error), WEIR_DAMAGED, "a trailing byte (the zero)");
}

Test(manifest, a_seal_does_not_make_nonsense_true)
{
    static const char *const changes[][2] = {
        {"\"job\": \"words\"", "\"job\": \"../words\""},
        {"\"job\": \"words\"", "\"job\": \"\""},
        {"\"job\": \"words\"", "\"job\": \"a/b\""},
        {"\"job\": \"words\"", "\"job\": \"a\\u0000b\""},
        {"\"job\": \"words\"", "\"job\": \"-rf\""},
        {"\"job\": \"words\"", "\"job\": 5"},
        {"\"job\": \"words\",\n", ""},
        {"\"job\": \"words\"", "\"job\": \"words\", \"job\": \"words\""},
        {"\"id\": 7", "\"id\": -7"},
        {"\"id\": 7", "\"id\": 0"},
        {"\"id\": 7", "\"id\": 7.0"},
        {"\"id\": 7", "\"id\": 9223372036854775808"},
        {"\"id\": 7", "\"id\": 1e400"},
        {"\"epoch\": 3", "\"epoch\": 4294967296"},
        {"\"epoch\": 3", "\"epoch\": 2"}, /* parts newer than the run */
        {"\"restored_from\": 0", "\"restored_from\": 7"},
        {"\"final\": false", "\"final\": 0"},
        {"\"key_groups\": 128", "\"key_groups\": 0"},
        {"\"store\": \"01", "\"store\": \"0"},
        {"\"store\": \"01", "\"store\": \"0G"},
        {"\"name\": \"count\"", "\"name\": \"lines\""},
        {"\"name\": \"total\"", "\"name\": \"to tal\""},
        {"\"parallelism\": 2", "\"parallelism\": 3"},
        {"\"parallelism\": 2", "\"parallelism\": 1"},
        {"\"parallelism\": 2", "\"parallelism\": 4000000000"},
        {"\"value_size\": 8", "\"value_size\": 4000000000"},
        {"\"to\": 1", "\"to\": 2"},
        {"\"routing\": \"by_key\"", "\"routing\": \"by_luck\""},
        {"\"node\": 0", "\"node\": 1"},
        {"\"subtask\": 1", "\"subtask\": 0"},
        {"\"checksum\": \"fedc", "\"checksum\": \"FEDC"},
        {"\"offset\": 100", "\"offset\": -1"},
        {"\"number\": 1", "\"number\": \"../../x\""},
        {"\"tasks\": [", "\"tasks\": [1,"},
        {"\"nodes\": [", "\"nodes\": [],\"other\": ["},
    };
    struct weir_error error;
    cr_assert_eq(parse_with("\"id\": 7", "\"id\": 7", &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        cr_assert_eq(parse_with(changes[i][0], changes[i][1], &error), WEIR_DAMAGED, "%s -> %s",
                     changes[i][0], changes[i][1]);
}

Test(manifest, a_newer_version_is_refused_as_such)
{
    struct weir_error error;
    cr_assert_eq(parse_with("\"weir\": 0", "\"weir\": 1", &error), WEIR_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "version 1"));
}

Test(manifest, deep_and_wide_json_is_refused)
{
    const size_t depth = 1000000;
    struct weir_error error;
    char *body = malloc(depth + 8);
    memcpy(body, "{\"a\":", 5);
    memset(body + 5, '[', depth);
    cr_assert_eq(parse_sealed(body, depth + 5, &error), WEIR_DAMAGED);
    memset(body, 0, depth);
    cr_assert_eq(parse_sealed(body, depth, &error), WEIR_DAMAGED);
    cr_assert_eq(parse_sealed("[1", 2, &error), WEIR_DAMAGED);
    cr_assert_eq(parse_sealed("{}", 2, &error), WEIR_DAMAGED);
    free(body);
    cr_assert_eq(parse(text, MANIFEST_LIMIT + 1, &error), WEIR_DAMAGED, "over the limit");
}

Test(manifest, prints_texts_that_are_not_utf8)
{
    struct manifest manifest, again;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    memory_release(NULL, manifest.tasks[0].note);
    manifest.tasks[0].note = sample_text("caf\xe9 \x1b");
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(manifest_parse(other, other_size, NULL, &again, &error), WEIR_OK);
    cr_assert_str_eq(again.tasks[0].note, "caf? \x1b");
    memory_release(NULL, other);
    manifest_free(&manifest);
    manifest_free(&again);
}

Test(manifest, refuses_to_print_what_could_not_be_read)
{
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    manifest.tasks[1].part.blob.task = 2;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].part.blob.task = 1;
    manifest.tasks[1].handles = UINT64_MAX;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest_free(&manifest);
}

Test(manifest, a_chained_node_has_no_tasks_of_its_own)
{
    struct weir_error error;
    struct manifest manifest, again;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    strcpy(manifest.graph.edges[0].routing, "spread");
    manifest.task_count = 1;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(parse(other, other_size, &error), WEIR_DAMAGED);
    memory_release(NULL, other);
    memory_release(NULL, manifest.graph.edges[0].routing);
    manifest.graph.edges[0].routing = sample_text("forward");
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(manifest_parse(other, other_size, NULL, &again, &error), WEIR_OK);
    manifest_free(&again);
    memory_release(NULL, other);
    manifest.task_count = 3;
    manifest_free(&manifest);
}

Test(manifest, knows_names_from_paths)
{
    static const char *const good[] = {"a", "_", "0", "a-b_C9", "Z"};
    static const char *const bad[] = {"",    "-",   "-a",  ".",        "..",
                                      "a/b", "a b", "a.b", "\xc3\xa9", "a\n"};
    char name[67];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert(manifest_name_ok(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(manifest_name_ok(bad[i]), "%s", bad[i]);
    cr_assert_not(manifest_name_ok(NULL));
    memset(name, 'a', 66);
    name[64] = 0;
    cr_assert(manifest_name_ok(name));
    name[64] = 'a';
    name[65] = 0;
    cr_assert_not(manifest_name_ok(name));
}

static void set_text(char **to, const char *value)
{
    memory_release(NULL, *to);
    *to = sample_text(value);
}

/* Changes one thing of `now`. */
static void change(struct manifest_graph *now, int what)
{
    struct manifest_node *node = &now->nodes[1];
    switch (what) {
    case 0:
        set_text(&node->name, "sum");
        break;
    case 1:
        node->parallelism = 3;
        break;
    case 2:
        node->states[0].value_size = 16;
        break;
    case 3:
        node->states[0].version = 2;
        break;
    case 4:
        set_text(&node->states[0].name, "sum");
        break;
    case 5:
        set_text(&now->edges[0].routing, "spread");
        break;
    case 6:
        set_text(&now->edges[0].input, "left");
        break;
    case 7:
        now->key_groups = 64;
        break;
    case 8: {
        struct manifest_node swapped = now->nodes[0];
        now->nodes[0] = now->nodes[1];
        now->nodes[1] = swapped;
        break;
    }
    default:
        set_text(&node->kind, "other"); /* for people: */
        set_text(&node->states[0].format, "i64");
        set_text(&now->edges[0].key_format, "hex");
        node->version = 9; /* load is told */
        break;
    }
}

Test(manifest, names_the_first_difference_between_graphs)
{
    static const char *const named[] = {"'count'", "parallelism", "bytes",
                                        "version", "'total'",     "by_key",
                                        "left",    "key groups",  "order"};
    for (int what = 0; what <= 9; what++) {
        struct manifest then, now;
        struct weir_error error;
        sample_manifest(&then, 1, 1);
        sample_manifest(&now, 1, 1);
        change(&now.graph, what);
        enum weir_result result = manifest_compare(&then.graph, &now.graph, &error);
        cr_assert_eq(result, what == 9 ? WEIR_OK : WEIR_MISMATCH, "%d", what);
        if (what < 9)
            cr_assert_not_null(strstr(error.text, named[what]), "%s", error.text);
        manifest_free(&then);
        manifest_free(&now);
    }
}

Test(manifest, a_state_more_or_less_is_a_difference)
{
    struct manifest then, now;
    struct weir_error error;
    sample_manifest(&then, 1, 1);
    sample_manifest(&now, 1, 1);
    now.graph.nodes[1].state_count = 0;
    cr_assert_eq(manifest_compare(&then.graph, &now.graph, &error), WEIR_MISMATCH);
    cr_assert_eq(manifest_compare(&now.graph, &then.graph, &error), WEIR_MISMATCH);
    now.graph.nodes[1].state_count = 1;
    manifest_free(&then);
    manifest_free(&now);
}
