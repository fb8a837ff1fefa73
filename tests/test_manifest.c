/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint_sample.h"
#include "exercised.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <xxhash.h>

static char *text;
static size_t size;

/* The state that task 1 has from an earlier round, in the text. */
#define OLDER "0 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef"

/* Of task 1: a blob that another task wrote, in an earlier round of an earlier run; and its own. */
static void add_state(struct manifest *manifest)
{
    const struct manifest_blob older = {
        {BLOB_STATE, 1, 9, 5, 1000, 360, 0x0123456789abcdefu}, 2, 4, 4096, 16, UINT32_MAX};
    const struct manifest_blob own = {
        {BLOB_STATE, 3, 1, 7, 200, 63, 0xfedcba9876543210u}, 3, 1, 5000, 7, 7};
    sample_add_state(&manifest->tasks[1], &older);
    sample_add_state(&manifest->tasks[1], &own);
}

static void start(void)
{
    struct manifest manifest;
    struct weir_error error;
    sample_manifest(&manifest, 3, 7);
    add_state(&manifest);
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
    cr_assert(manifest.mode == MANIFEST_ADAPTIVE && manifest.overtaken && manifest.last_task == 1);
    cr_assert(manifest.sealed_ns == 4 && manifest.duration_ns == 5);
    cr_assert(!manifest.graph.edges[0].feedback);
    manifest_free(&manifest);
}

Test(manifest, reads_back_what_was_in_flight_and_where_the_time_went)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(manifest_parse(text, size, NULL, &manifest, &error), WEIR_OK, "%s", error.text);
    for (uint32_t i = 0; i < 3; i++) {
        const struct manifest_task *task = &manifest.tasks[i];
        cr_assert_eq(task->inflight_count, sample_pieces(i));
        for (uint32_t k = 0; k < task->inflight_count; k++) {
            const struct manifest_blob *place = &task->inflight[k];
            cr_assert(place->blob.kind == BLOB_INFLIGHT && place->blob.task == i);
            cr_assert(place->blob.id == 7 && place->blob.epoch == 3 && place->file_epoch == 3);
            cr_assert(place->blob.raw_size == 100 && place->blob.stored_size == 36);
            cr_assert(place->offset == 100 * i + 1000 * (k + 1) && place->file_number == 1);
        }
        cr_assert(task->part.blob.kind == BLOB_SNAPSHOT && task->overtook == (i == 1));
        cr_assert(task->channel_bytes == (i == 1 ? 30 : 0) && task->outlet_bytes == (i ? 0 : 20));
        cr_assert(task->cut_ns == 21 && task->cut_cpu_ns == 20);
        cr_assert(task->phases.wait_ns == 11 && task->phases.align_ns == 12);
        cr_assert(task->phases.record_ns == 13 && task->phases.write_ns == 14 + (int64_t)i);
        cr_assert(task->last_edge == (i == 0 ? MANIFEST_NONE : 0));
        cr_assert(task->last_from == (i == 0 ? MANIFEST_NONE : 0));
    }
    manifest_free(&manifest);
}

Test(manifest, reads_back_the_log_of_the_state_and_who_wrote_it)
{
    struct manifest manifest;
    struct weir_error error;
    cr_assert_eq(manifest_parse(text, size, NULL, &manifest, &error), WEIR_OK, "%s", error.text);
    const struct manifest_blob state[] = {manifest.tasks[1].state[0].place,
                                          manifest.tasks[1].state[1].place};
    cr_assert_eq(manifest.tasks[1].state_count, 2);
    cr_assert(state[0].blob.kind == BLOB_STATE && state[0].blob.epoch == 1);
    cr_assert(state[0].blob.id == 5 && state[0].blob.task == 9);
    cr_assert(state[0].blob.raw_size == 1000 && state[0].blob.stored_size == 360);
    cr_assert(state[0].blob.checksum == 0x0123456789abcdefu);
    cr_assert(state[0].file_epoch == 2 && state[0].file_number == 4 && state[0].offset == 4096);
    cr_assert(state[0].first == 16 && state[0].last == UINT32_MAX && state[1].last == 7);
    cr_assert(state[1].blob.kind == BLOB_STATE && state[1].blob.epoch == 3);
    cr_assert(state[1].blob.id == 7 && state[1].blob.task == 1 && state[1].offset == 5000);
    cr_assert(manifest.tasks[0].state_count == 0 && manifest.tasks[0].state == NULL);
    cr_assert(manifest.tasks[2].state_count == 0 && manifest.tasks[2].state == NULL);
    manifest_free(&manifest);
}

/* As large as numbers may be, and as small. */
Test(manifest, reads_back_numbers_of_state_at_their_limits)
{
    const uint64_t most = INT64_MAX;
    const struct manifest_blob places[] = {
        {{BLOB_STATE, 1, 0, 1, 0, 0, 0}, 1, 0, 0, 0, 0},
        {{BLOB_STATE, 1, UINT32_MAX, most - 1, BLOB_RAW_LIMIT, 2 * BLOB_RAW_LIMIT, UINT64_MAX},
         UINT32_MAX,
         most,
         most,
         UINT32_MAX,
         UINT32_MAX},
        {{BLOB_STATE, UINT32_MAX, 0, most, 10, 10, 1}, UINT32_MAX, 10, 10, 0, UINT32_MAX},
    };
    struct manifest manifest, again;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, UINT32_MAX, most);
    for (size_t i = 0; i < 3; i++)
        sample_add_state(&manifest.tasks[2], &places[i]);
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(manifest_parse(other, other_size, NULL, &again, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_eq(again.tasks[2].state_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct manifest_blob *read = &again.tasks[2].state[i].place, *put = &places[i];
        cr_assert(read->file_epoch == put->file_epoch && read->file_number == put->file_number);
        cr_assert(read->offset == put->offset && read->blob.kind == BLOB_STATE);
        cr_assert(read->blob.epoch == put->blob.epoch && read->blob.id == put->blob.id);
        cr_assert(read->blob.task == put->blob.task && read->blob.checksum == put->blob.checksum);
        cr_assert(read->blob.raw_size == put->blob.raw_size);
        cr_assert(read->first == put->first && read->last == put->last);
        cr_assert(read->blob.stored_size == put->blob.stored_size);
    }
    memory_release(NULL, other);
    manifest_free(&manifest);
    manifest_free(&again);
}

/* A log may be long, and each checkpoint names all of it. */
Test(manifest, a_segment_of_state_takes_at_most_150_bytes_of_text)
{
    const uint32_t count = 2000; /* one more is added after the other */
    const struct manifest_blob place = {
        {BLOB_STATE, 1234, 567, 12345678, 67108864, 67108864, UINT64_MAX},
        1234,
        12345678,
        67108864,
        1234567890,
        UINT32_MAX};
    struct manifest manifest, again;
    struct weir_error error;
    char *other;
    size_t without, other_size;
    sample_manifest(&manifest, 1234, 12345678);
    cr_assert_eq(manifest_print(&manifest, &other, &without, &error), WEIR_OK);
    memory_release(NULL, other);
    for (uint32_t i = 0; i < count; i++)
        sample_add_state(&manifest.tasks[2], &place);
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_leq((other_size - without) / count, 150, "%zu", (other_size - without) / count);
    cr_assert_eq(manifest_parse(other, other_size, NULL, &again, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_eq(again.tasks[2].state_count, count);
    memory_release(NULL, other);
    manifest_free(&manifest);
    manifest_free(&again);
}

/* The same of a list: it names 3 blobs, in containers 2 to 4. */
#define LIST "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 700"

Test(manifest, a_list_is_a_segment_of_many_blobs)
{
    struct manifest manifest;
    struct weir_error error;
    sample_manifest(&manifest, 3, 7);
    struct manifest_blob place = {
        {BLOB_LIST, 1, 9, 5, 144, 99, 0x0123456789abcdefu}, 2, 4, 4096, 16, UINT32_MAX};
    struct manifest_segment segment = {place, 0, 3, 2, 3000, 700}, read;
    sample_add_segment(&manifest.tasks[1], &segment);
    memory_release(NULL, text);
    cr_assert_eq(manifest_print(&manifest, &text, &size, &error), WEIR_OK, "%s", error.text);
    manifest_free(&manifest);
    cr_assert_not_null(strstr(text, "\"" LIST "\""));
    cr_assert_eq(manifest_parse(text, size, NULL, &manifest, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(manifest.tasks[1].state_count, 1);
    read = manifest.tasks[1].state[0];
    cr_assert(read.place.blob.kind == BLOB_LIST && read.place.blob.raw_size == 144);
    cr_assert(read.blob_count == 3 && read.from_number == 2 && read.place.file_number == 4);
    cr_assert(read.raw_size == 3000 && read.stored_size == 700);
    cr_assert_eq(manifest_segment_bytes(&read), 700 + 99 + 4 * BLOB_HEADER_SIZE);
    manifest_free(&manifest);
}

Test(manifest, each_number_of_a_list_is_checked)
{
    static const char *const changes[] = {
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef ",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 700 ",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 700 1",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 0700",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef  2 3 3000 700",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcde  2 3 3000 700",
        "0 2 4 4096 143 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 700", /* no whole entry */
        "0 2 4 4096 96 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 700",  /* too few */
        "0 2 4 4096 48 99 1 5 9 16 4294967295 0123456789abcdef 4 1 3000 700",  /* one is no list */
        "0 2 4 4096 0 99 1 5 9 16 4294967295 0123456789abcdef 4 0 3000 700",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 5 3 3000 700", /* behind itself */
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 0 3 3000 700", /* too many files */
        "0 2 4 4096 3145776 99 1 5 9 16 4294967295 0123456789abcdef 2 65537 3000 700",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 9223372036854775808 700",
        "0 2 4 4096 144 99 1 5 9 16 4294967295 0123456789abcdef 2 3 3000 9223372036854775808",
    };
    struct weir_error error;
    cr_assert_eq(parse_with(OLDER, LIST, &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        enum weir_result result = parse_with(OLDER, changes[i], &error);
        bool single = i == 0; /* one blob, cut off where a list would go on */
        cr_assert_eq(result, single ? WEIR_OK : WEIR_DAMAGED, "%s", changes[i]);
    }
}

/* Who removes or counts containers comes to an end. */
Test(manifest, containers_that_lists_name_are_bounded)
{
    const struct manifest_blob place = {
        {BLOB_LIST, 1, 9, 5, 65536u * 48u, 99, 1}, 2, 70000, 4096, 16, UINT32_MAX};
    const struct manifest_segment segment = {place, 0, 65536, 70000 - 65536, 3000, 700};
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    for (int i = 0; i < 16; i++)
        sample_add_segment(&manifest.tasks[1], &segment);
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    memory_release(NULL, other);
    sample_add_segment(&manifest.tasks[2], &segment);
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest_free(&manifest);
}

Test(manifest, logs_come_in_the_order_of_the_states)
{
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    const struct manifest_blob place = {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1};
    for (uint32_t state = 0; state < 2; state++) {
        const struct manifest_segment segment = manifest_single(1 - state, &place);
        sample_add_segment(&manifest.tasks[1], &segment);
    }
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].state[0].state = 0;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    memory_release(NULL, other);
    manifest_free(&manifest);
}

Test(manifest, a_checkpoint_without_statistics_is_one_too)
{
    struct manifest manifest, again;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    sample_aligned(&manifest);
    manifest.mode = MANIFEST_ALIGNED;
    manifest.overtaken = false;
    manifest.last_task = MANIFEST_NONE;
    manifest.sealed_ns = -5; /* somebody set a clock */
    for (uint32_t i = 0; i < 3; i++) {
        manifest.tasks[i].last_edge = manifest.tasks[i].last_from = MANIFEST_NONE;
        manifest.tasks[i].phases = (struct manifest_phases){.wait_ns = INT64_MIN};
    }
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(manifest_parse(other, other_size, NULL, &again, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert(again.mode == MANIFEST_ALIGNED && again.last_task == MANIFEST_NONE);
    cr_assert(again.sealed_ns == 0 && again.tasks[2].phases.wait_ns == 0);
    cr_assert(again.tasks[1].inflight == NULL && again.tasks[1].inflight_count == 0);
    cr_assert(again.tasks[1].last_edge == MANIFEST_NONE);
    memory_release(NULL, other);
    manifest_free(&manifest);
    manifest_free(&again);
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
    exercised(size * 9 + 1);
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
        {"\"mode\": \"adaptive\"", "\"mode\": \"hasty\""},
        {"\"mode\": \"adaptive\"", "\"mode\": 2"},
        {"\"mode\": \"adaptive\",\n", ""},
        {"\"overtaken\": true", "\"overtaken\": 1"},
        {"\"sealed_ns\": 4", "\"sealed_ns\": -4"},
        {"\"sealed_ns\": 4,\n", ""},
        {"\"last_task\": 1", "\"last_task\": 3"},
        {"\"last_task\": 1", "\"last_task\": -2"},
        {"\"last_task\": 1", "\"last_task\": 4294967295"},
        {"\"last_task\": 1", "\"last_task\": null"},
        {"\"last_task\": 1", "\"other\": 1"},
        {"\"kind\": \"value\"", "\"kind\": 0"},
        {"\"kind\": \"value\"", "\"kind\": \"heap\""},
        {"\"expires\": false", "\"expires\": false},{\"name\": \"total\", \"format\": \"\", "
                               "\"version\": 1, \"value_size\": 8, \"kind\": \"value\", "
                               "\"expires\": false"}, /* the same name again */
        {"\"feedback\": false", "\"feedback\": 0"},
        {"\"feedback\": false", "\"other\": false"},
        {"\"inflight\": []", "\"inflight\": {}"},
        {"\"inflight\": []", "\"inflight\": [5]"},
        {"\"inflight\": []", "\"inflight\": [{}]"},
        {"\"inflight\": []", "\"other\": []"}, /* empty is not missing */
        {"\"offset\": 1100", "\"offset\": -1"},
        {"\"channel_bytes\": 30", "\"channel_bytes\": -1"},
        {"\"channel_bytes\": 30", "\"channel_bytes\": 201"}, /* more than its blobs hold */
        {"\"channel_bytes\": 30", "\"other\": 30"},
        {"\"outlet_bytes\": 20", "\"outlet_bytes\": 101"},
        {"\"epoch\": 3,\n    \"number\"", "\"epoch\": 2,\n    \"number\""}, /* a part's */
        {"\"epoch\": 3,\n    \"number\"", "\"epoch\": 4,\n    \"number\""},
        {"\"epoch\": 3,\n     \"number\"", "\"epoch\": 2,\n     \"number\""}, /* in flight */
        {"\"epoch\": 3,\n     \"number\"", "\"epoch\": 4,\n     \"number\""},
        {"\"state\": []", "\"state\": {}"},
        {"\"state\": []", "\"state\": \"" OLDER "\""},
        {"\"state\": []", "\"state\": [5]"},
        {"\"state\": []", "\"state\": [{}]"},
        {"\"state\": []", "\"state\": [null]"},
        {"\"state\": []", "\"state\": [\"\"]"},
        {"\"state\": []", "\"other\": []"},
        {"\"cut_ns\": 21", "\"cut_ns\": -21"},
        {"\"cut_cpu_ns\": 20", "\"other\": 20"},
        {"\"overtook\": true", "\"overtook\": \"true\""},
        {"\"phases\": {", "\"other\": {"},
        {"\"phases\": {", "\"phases\": 5, \"other\": {"},
        {"\"wait_ns\": 11", "\"wait_ns\": 1.5"},
        {"\"align_ns\": 12,\n", ""},
        {"\"record_ns\": 13", "\"record_ns\": -13"},
        {"\"write_ns\": 14", "\"write_ns\": 9223372036854775808"},
        {"\"last_edge\": 0", "\"last_edge\": 1"},
        {"\"last_edge\": 0", "\"last_edge\": -1"}, /* but a writer */
        {"\"last_from\": 0", "\"last_from\": 1"},  /* there is one "lines" */
        {"\"last_from\": 0", "\"last_from\": -1"},
        {"\"last_from\": 0", "\"last_from\": \"0\""},
    };
    struct weir_error error;
    cr_assert_eq(parse_with("\"id\": 7", "\"id\": 7", &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        cr_assert_eq(parse_with(changes[i][0], changes[i][1], &error), WEIR_DAMAGED, "%s -> %s",
                     changes[i][0], changes[i][1]);
    exercised(sizeof changes / sizeof *changes);
}

/* OLDER is one text of twelve; each of them is wrong once. */
Test(manifest, each_number_of_a_blob_of_state_is_checked)
{
    static const char *const changes[] = {
        "0 3 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcde",        /* cut */
        "0 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef0",      /* longer */
        "0 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef ",      /* trailing */
        "0  2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* leading */
        "0 2  4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* two spaces */
        "0 2\\t4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",     /* another space */
        "0 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789ABCDEF",       /* another spelling */
        "0 2 4 4096 1000 360 1 5 9 16 4294967295  123456789abcdef",       /* no digit */
        "0 2 4 4096 1000 360 1 5 16 4294967295 0123456789abcdef",         /* one too few */
        "0 2 4 4096 1000 360 1 5 9 1 16 4294967295 0123456789abcdef",     /* one too many */
        "0 02 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* a leading zero */
        "0 2 -4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* a sign */
        "0 2 +4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* another */
        "0 2 4 0x10 1000 360 1 5 9 16 4294967295 0123456789abcdef",       /* not decimal */
        "0 2 4 4096. 1000 360 1 5 9 16 4294967295 0123456789abcdef",      /* not whole */
        "0 2 ../../x 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef", /* a path */
        "0 4 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef", /* a container of a later run */
        "0 4294967298 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 0 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 1 4 4096 1000 360 2 5 9 16 4294967295 0123456789abcdef",
        "0 2 9223372036854775808 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 18446744073709551620 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 4 9223372036854775808 1000 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 4 4096 68719476737 360 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 4 4096 1000 137438953473 1 5 9 16 4294967295 0123456789abcdef",
        "0 2 4 4096 1000 360 0 5 9 16 4294967295 0123456789abcdef", /* there is no run 0, */
        "0 2 4 4096 1000 360 1 0 9 16 4294967295 0123456789abcdef", /* and no checkpoint 0 */
        "0 2 4 4096 1000 360 1 8 9 16 4294967295 0123456789abcdef", /* of a later round */
        "0 3 4 4096 1000 360 1 7 9 16 4294967295 0123456789abcdef",
        "0 3 4 4096 1000 360 4 5 9 16 4294967295 0123456789abcdef", /* of a later run */
        "0 2 4 4096 1000 360 1 5 4294967296 16 4294967295 0123456789abcdef",
        "0 2 4 4096 1000 360 1 5  16 4294967295 0123456789abcdef",
        "4096 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef", /* no node has so many */
        "0 2 4 4096 1000 360 1 5 9 17 16 0123456789abcdef",            /* a range that is none */
        "0 2 4 4096 1000 360 1 5 9 16 4294967296 0123456789abcdef",
        "0 2 4 4096 1000 360 1 5 9 16 4294967295 0123456789abcdef 4 1 1000 360", /* a list of one */
    };
    struct weir_error error;
    cr_assert_eq(parse_with(OLDER, OLDER, &error), WEIR_OK, "%s", error.text);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        cr_assert_eq(parse_with(OLDER, changes[i], &error), WEIR_DAMAGED, "%s", changes[i]);
        cr_assert_not_null(strstr(error.text, "\"state\""), "%s: %s", changes[i], error.text);
    }
    for (size_t i = 0; i < sizeof OLDER - 1; i++) { /* any byte that is no digit */
        char other[sizeof OLDER];
        strcpy(other, OLDER);
        other[i] = 'x';
        cr_assert_eq(parse_with(OLDER, other, &error), WEIR_DAMAGED, "%s", other);
        other[i] = 0; /* cut */
        cr_assert_eq(parse_with(OLDER, other, &error), WEIR_DAMAGED, "%s", other);
    }
}

Test(manifest, another_version_is_refused_as_such)
{
    struct weir_error error;
    cr_assert_eq(parse_with("\"weir\": 1", "\"weir\": 2", &error), WEIR_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "version 2"));
    cr_assert_eq(parse_with("\"weir\": 1", "\"weir\": 0", &error), WEIR_UNSUPPORTED);
    cr_assert_not_null(strstr(error.text, "version 0"));
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
    for (const char *wide = "{[,"; *wide != 0; wide++) { /* M3: each by itself */
        memset(body, ' ', depth);
        memset(body, *wide, depth / 5);
        cr_assert_eq(parse_sealed(body, depth, &error), WEIR_DAMAGED);
        cr_assert_not_null(strstr(error.text, "which no manifest has"), "%s", error.text);
    }
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
    manifest.tasks[1].handles = 0;
    manifest.tasks[1].inflight[1].blob.kind = BLOB_SNAPSHOT;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].inflight[1].blob.kind = BLOB_INFLIGHT;
    manifest.tasks[1].inflight[0].blob.id = 8;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].inflight[0].blob.id = 7;
    manifest.tasks[1].part.blob.epoch = 2;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].part.file_epoch = 2;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].part.blob.epoch = 3;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest.tasks[1].part.file_epoch = 3;
    manifest.mode = (enum manifest_mode)3;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    manifest_free(&manifest);
}

Test(manifest, refuses_to_print_state_that_could_not_be_read)
{
    const struct manifest_blob sound = {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1};
    const struct manifest_blob wrong[] = {
        {{BLOB_SNAPSHOT, 1, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_INFLIGHT, 1, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 0, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 3, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 4, 9, 5, 1000, 360, 1}, 4, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 0, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 8, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 7, 1000, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 5, BLOB_RAW_LIMIT + 1, 360, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 5, 1000, UINT64_MAX, 1}, 2, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 4, 4, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 2, UINT64_MAX, 4096, 0, 1},
        {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 2, 4, (uint64_t)INT64_MAX + 1, 0, 1},
    };
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    sample_add_state(&manifest.tasks[2], &sound);
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    memory_release(NULL, other);
    sample_add_state(&manifest.tasks[2], &sound);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        manifest.tasks[2].state[1] = manifest_single(0, &wrong[i]);
        cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID, "%zu",
                     i);
        cr_assert_not_null(strstr(error.text, "\"state\""), "%s", error.text);
    }
    manifest_free(&manifest);
}

Test(manifest, refuses_to_print_a_segment_that_could_not_be_read)
{
    const struct manifest_blob single = {{BLOB_STATE, 1, 9, 5, 1000, 360, 1}, 2, 4, 4096, 0, 1};
    const struct manifest_blob list = {{BLOB_LIST, 1, 9, 5, 144, 99, 1}, 2, 4, 4096, 0, 1};
    const struct manifest_blob one = {{BLOB_LIST, 1, 9, 5, 48, 99, 1}, 2, 4, 4096, 0, 1};
    const uint64_t large = (uint64_t)INT64_MAX + 1, most = 65537;
    struct manifest_blob many = list;
    many.blob.raw_size = most * 48;
    const struct manifest_segment wrong[] = {
        {single, 0, 2, 4, 1000, 360}, {single, 0, 1, 3, 1000, 360}, {single, 4096, 1, 4, 1000, 360},
        {one, 0, 1, 4, 1000, 360},    {many, 0, most, 4, 1000, 9},  {list, 0, 3, 5, 1000, 9},
        {list, 0, 3, 0, 1000, 9},     {list, 0, 3, 4, large, 9},    {list, 0, 3, 4, 1000, large},
    };
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    sample_add_segment(&manifest.tasks[2], &(struct manifest_segment){list, 0, 3, 4, 1000, 360});
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    memory_release(NULL, other);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        manifest.tasks[2].state[0] = wrong[i];
        cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID, "%zu",
                     i);
        cr_assert_not_null(strstr(error.text, "\"state\""), "%s", error.text);
    }
    manifest_free(&manifest);
}

Test(manifest, refuses_to_print_what_is_no_name_or_is_too_much)
{
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    memory_release(NULL, manifest.job);
    manifest.job = sample_text("../words");
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_INVALID);
    cr_assert_not_null(strstr(error.text, "\"job\""), "%s", error.text);
    strcpy(manifest.job, "words");
    memory_release(NULL, manifest.reason);
    manifest.reason = memory_take(NULL, MANIFEST_LIMIT + 1);
    memset(manifest.reason, 'x', MANIFEST_LIMIT);
    manifest.reason[MANIFEST_LIMIT] = 0;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_TOO_LARGE);
    cr_assert_not_null(strstr(error.text, "the limit is 16777216"), "%s", error.text);
    manifest.reason[MANIFEST_LIMIT - size] = 0; /* as the rest has less than the sample's text */
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK, "%s", error.text);
    memory_release(NULL, other);
    manifest_free(&manifest);
}

Test(manifest, an_edge_between_no_nodes_is_refused)
{
    struct manifest manifest;
    struct weir_error error;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    manifest.graph.node_count = 0;
    manifest.graph.edges[0].to = 0;
    manifest.task_count = 1;
    manifest.tasks[0].last_edge = manifest.tasks[0].last_from = 0;
    manifest.last_task = 0;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(parse(other, other_size, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "\"edges\""), "%s", error.text);
    memory_release(NULL, other);
    manifest.graph.node_count = 2;
    manifest.task_count = 3;
    manifest_free(&manifest);
}

Test(manifest, more_blobs_than_a_task_may_have_are_refused)
{
    const size_t pieces = 65537, room = pieces * 40 + 64; /* as long as real ones at least */
    struct weir_error error;
    char *many = malloc(room);
    int used = snprintf(many, room, "\"inflight\": [{%34s}", "");
    for (size_t i = 1; i < pieces; i++)
        used += snprintf(many + used, room - (size_t)used, ",{%34s}", "");
    snprintf(many + used, room - (size_t)used, "]");
    cr_assert_eq(parse_with("\"inflight\": []", many, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "too many"), "%s", error.text);
    used = snprintf(many, room, "\"state\": [\"%34s\"", "");
    for (size_t i = 1; i < pieces; i++)
        used += snprintf(many + used, room - (size_t)used, ",\"%34s\"", "");
    snprintf(many + used, room - (size_t)used, "]");
    cr_assert_eq(parse_with("\"state\": []", many, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "too many"), "%s", error.text);
    free(many);
}

/* A restore would look for the part of one that is not there. */
Test(manifest, each_subtask_has_its_task_whether_it_is_chained_or_not)
{
    struct weir_error error;
    struct manifest manifest;
    char *other;
    size_t other_size;
    sample_manifest(&manifest, 3, 7);
    strcpy(manifest.graph.edges[0].routing, "spread");
    manifest.task_count = 1;
    manifest.last_task = 0;
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(parse(other, other_size, &error), WEIR_DAMAGED);
    memory_release(NULL, other);
    memory_release(NULL, manifest.graph.edges[0].routing);
    manifest.graph.edges[0].routing = sample_text("forward");
    cr_assert_eq(manifest_print(&manifest, &other, &other_size, &error), WEIR_OK);
    cr_assert_eq(parse(other, other_size, &error), WEIR_DAMAGED);
    cr_assert_not_null(strstr(error.text, "\"tasks\""), "%s", error.text);
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

/* Refuses jansson its `left`-th allocation, and all after it. */
static uint64_t left;

static void *scarce_take(size_t count)
{
    return left == 0 ? NULL : (left--, malloc(count));
}

/* jansson keeps nothing of a manifest between calls, so that its functions may change. */
static enum weir_result scarce(uint64_t allowed, struct weir_error *error)
{
    struct manifest manifest, read;
    char *printed = NULL;
    size_t printed_size = 0;
    sample_manifest(&manifest, 3, 7);
    add_state(&manifest);
    left = allowed;
    json_set_alloc_funcs(scarce_take, free);
    enum weir_result result = manifest_print(&manifest, &printed, &printed_size, error);
    if (result == WEIR_OK)
        result = manifest_parse(printed, printed_size, NULL, &read, error);
    if (result == WEIR_OK) {
        cr_assert_eq(printed_size, size);
        cr_assert_eq(memcmp(printed, text, size), 0);
        manifest_free(&read);
    }
    json_set_alloc_funcs(malloc, free);
    memory_release(NULL, printed);
    manifest_free(&manifest);
    return result;
}

/* Never a manifest that lacks something. Where a token of the text gets no memory jansson says that
 * the syntax is wrong, and nobody can tell; else the answer is what happened. */
Test(manifest, says_that_memory_is_out_wherever_jansson_gets_none)
{
    struct weir_error error;
    uint64_t allowed = 0, told = 0;
    enum weir_result result;
    while ((result = scarce(allowed, &error)) != WEIR_OK) {
        bool syntax = result == WEIR_DAMAGED && strstr(error.text, "it is not JSON, line ") &&
                      !strstr(error.text, "line -1");
        cr_assert(result == WEIR_NO_MEMORY || syntax, "allocation %" PRIu64 ": %s", allowed,
                  error.text);
        told += result == WEIR_NO_MEMORY;
        allowed++;
    }
    cr_assert(told > allowed / 2, "%" PRIu64 " of %" PRIu64, told, allowed);
    exercised(allowed);
}
