/* SPDX-License-Identifier: Apache-2.0 */
#include "transcript.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "memory.h"

#define SHOWN_TEXT 40 /* bytes of a key or value in a message */
#define SHOWN_HEX 16

struct transcript_mark transcript_beginning(void)
{
    struct transcript_mark mark = {0};
    for (uint32_t i = 0; i < TRANSCRIPT_OUTPUTS; i++)
        mark.outputs[i].watermark = WEIR_NO_TIME;
    return mark;
}

void transcript_init(struct transcript *transcript)
{
    *transcript = (struct transcript){.now = transcript_beginning()};
}

void transcript_free(struct transcript *transcript)
{
    memory_release(NULL, transcript->entries);
    memory_release(NULL, transcript->bytes);
    *transcript = (struct transcript){0};
}

static bool more_entries(struct transcript *transcript)
{
    size_t room = transcript->room ? 2 * transcript->room : 64;
    struct transcript_entry *larger = memory_resize(
        NULL, transcript->entries, transcript->now.count * sizeof *larger, room * sizeof *larger);
    if (!larger)
        return false;
    transcript->entries = larger;
    transcript->room = room;
    return true;
}

static bool more_bytes(struct transcript *transcript, size_t size)
{
    size_t capacity = 2 * transcript->capacity + size + 1024;
    unsigned char *larger = memory_resize(NULL, transcript->bytes, transcript->now.size, capacity);
    if (!larger)
        return false;
    transcript->bytes = larger;
    transcript->capacity = capacity;
    return true;
}

static void put(struct transcript *transcript, struct weir_bytes bytes)
{
    if (bytes.size)
        memcpy(transcript->bytes + transcript->now.size, bytes.data, bytes.size);
    transcript->now.size += bytes.size;
}

bool transcript_add(struct transcript *transcript, uint32_t output,
                    const struct weir_record *record)
{
    size_t size = record->key.size + record->value.size;
    if (transcript->now.count == transcript->room && !more_entries(transcript))
        return false;
    if (transcript->capacity - transcript->now.size <= size && !more_bytes(transcript, size))
        return false;
    struct transcript_output *to = &transcript->now.outputs[output];
    to->late += record->time != WEIR_NO_TIME && record->time < to->watermark;
    transcript->entries[transcript->now.count++] = (struct transcript_entry){
        .output = output,
        .key = transcript->now.size,
        .key_size = record->key.size,
        .value_size = record->value.size,
        .time = record->time,
    };
    put(transcript, record->key);
    put(transcript, record->value);
    return true;
}

void transcript_watermark(struct transcript *transcript, uint32_t output, int64_t time)
{
    if (time > transcript->now.outputs[output].watermark)
        transcript->now.outputs[output].watermark = time;
}

void transcript_rewind(struct transcript *transcript, const struct transcript_mark *mark)
{
    transcript->now = *mark;
}

/* ------------------------------------------------------------------------ as text -- */

static bool readable(struct weir_bytes bytes)
{
    const unsigned char *at = bytes.data;
    for (size_t i = 0; i < bytes.size; i++)
        if (at[i] < 0x20 || at[i] > 0x7e)
            return false;
    return bytes.size != 0;
}

static void bytes_text(struct weir_bytes bytes, char *text, size_t room)
{
    const unsigned char *at = bytes.data;
    uint64_t number;
    if (bytes.size == 0) {
        snprintf(text, room, "empty");
    } else if (readable(bytes)) {
        bool cut = bytes.size > SHOWN_TEXT;
        snprintf(text, room, "\"%.*s%s\"", cut ? SHOWN_TEXT : (int)bytes.size, (const char *)at,
                 cut ? "..." : "");
    } else if (bytes.size == sizeof number) {
        memcpy(&number, at, sizeof number);
        snprintf(text, room, "u64 %" PRIu64, number);
    } else {
        size_t used = (size_t)snprintf(text, room, "%zu bytes", bytes.size);
        for (size_t i = 0; i < bytes.size && i < SHOWN_HEX && used < room; i++)
            used += (size_t)snprintf(text + used, room - used, " %02x", at[i]);
    }
}

static void record_text(const struct weir_record *record, char *text, size_t room)
{
    char key[SHOWN_TEXT + 40], value[SHOWN_TEXT + 40], time[32] = "";
    bytes_text(record->key, key, sizeof key);
    bytes_text(record->value, value, sizeof value);
    if (record->time != WEIR_NO_TIME)
        snprintf(time, sizeof time, ", time %" PRId64, record->time);
    snprintf(text, room, "(key %s, value %s%s)", key, value, time);
}

/* ---------------------------------------------------------------------- comparing -- */

/* An entry as something to sort and to show. */
struct line {
    uint32_t output;
    size_t index; /* in the transcript */
    struct weir_record record;
};

static int compare_bytes(struct weir_bytes a, struct weir_bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* By output and content; equal is what a reader can't tell apart. */
static int compare_content(const void *first, const void *second)
{
    const struct line *a = first, *b = second;
    if (a->output != b->output)
        return a->output < b->output ? -1 : 1;
    int order = compare_bytes(a->record.key, b->record.key);
    if (!order)
        order = compare_bytes(a->record.value, b->record.value);
    if (!order)
        order = (a->record.time > b->record.time) - (a->record.time < b->record.time);
    return order;
}

static int compare_place(const void *first, const void *second)
{
    const struct line *a = first, *b = second;
    if (a->output != b->output)
        return a->output < b->output ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

struct lines {
    struct line *list;
    size_t count;
    size_t first[TRANSCRIPT_OUTPUTS + 1]; /* of each output; and the end */
};

static bool lines_of(const struct transcript *transcript, bool unordered, struct lines *lines)
{
    size_t count = transcript->now.count;
    *lines = (struct lines){.list = memory_zeroed(NULL, count + 1, sizeof *lines->list)};
    if (!lines->list)
        return false;
    lines->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct transcript_entry *entry = &transcript->entries[i];
        const unsigned char *key = transcript->bytes + entry->key;
        lines->list[i] = (struct line){
            entry->output,
            i,
            {{key, entry->key_size}, {key + entry->key_size, entry->value_size}, entry->time}};
        lines->first[entry->output + 1]++;
    }
    for (uint32_t o = 0; o < TRANSCRIPT_OUTPUTS; o++)
        lines->first[o + 1] += lines->first[o];
    qsort(lines->list, count, sizeof *lines->list, unordered ? compare_content : compare_place);
    return true;
}

static enum weir_result say_both(const struct line *plain, const struct line *other, size_t place,
                                 const char *const *names, struct weir_error *error)
{
    char had[260], has[260];
    record_text(&plain->record, had, sizeof had);
    record_text(&other->record, has, sizeof has);
    return error_set(error, WEIR_FAILED, 0,
                     "record %zu of output %s is %s; in the plain run it is %s", place,
                     names[plain->output], has, had);
}

static enum weir_result say_one(const struct line *line, size_t place, bool missing,
                                const char *const *names, struct weir_error *error)
{
    char record[260];
    record_text(&line->record, record, sizeof record);
    return error_set(error, WEIR_FAILED, 0, "record %zu of output %s, %s, %s", place,
                     names[line->output], record,
                     missing ? "is missing" : "is one more than in the plain run");
}

/* Lines in the order of their place. */
static enum weir_result compare_output(const struct lines *plain, const struct lines *other,
                                       uint32_t output, bool part, const char *const *names,
                                       struct weir_error *error)
{
    size_t a = plain->first[output], a_end = plain->first[output + 1];
    size_t b = other->first[output], b_end = other->first[output + 1];
    for (size_t place = 1; a < a_end || b < b_end; place++, a++, b++) {
        if (b >= b_end)
            return part ? WEIR_OK : say_one(&plain->list[a], place, true, names, error);
        if (a >= a_end)
            return say_one(&other->list[b], place, false, names, error);
        if (compare_content(&plain->list[a], &other->list[b]) != 0)
            return say_both(&plain->list[a], &other->list[b], place, names, error);
    }
    return WEIR_OK;
}

/* Lines in the order of their content: what sorts first is what the other side does not have. */
static enum weir_result compare_sets(const struct lines *plain, const struct lines *other,
                                     const char *const *names, struct weir_error *error)
{
    char record[260];
    size_t i = 0;
    while (i < plain->count && i < other->count &&
           compare_content(&plain->list[i], &other->list[i]) == 0)
        i++;
    if (i == plain->count && i == other->count)
        return WEIR_OK;
    bool missing = i == other->count ||
                   (i < plain->count && compare_content(&plain->list[i], &other->list[i]) < 0);
    const struct line *line = missing ? &plain->list[i] : &other->list[i];
    record_text(&line->record, record, sizeof record);
    return error_set(error, WEIR_FAILED, 0, "output %s has %s once %s than in the plain run",
                     names[line->output], record, missing ? "less" : "more");
}

static enum weir_result compare_lateness(const struct transcript *plain,
                                         const struct transcript *other, const char *const *names,
                                         struct weir_error *error)
{
    for (uint32_t i = 0; i < TRANSCRIPT_OUTPUTS; i++)
        if (other->now.outputs[i].late && !plain->now.outputs[i].late)
            return error_set(error, WEIR_FAILED, 0,
                             "%" PRIu64 " records of output %s come behind a watermark above their "
                             "time; none does in the plain run",
                             other->now.outputs[i].late, names[i]);
    return WEIR_OK;
}

static enum weir_result compare_lines(const struct lines *plain, const struct lines *other,
                                      enum transcript_how how, const char *const *names,
                                      struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    if (how == TRANSCRIPT_UNORDERED)
        return compare_sets(plain, other, names, error);
    for (uint32_t o = 0; o < TRANSCRIPT_OUTPUTS && !result; o++)
        result = compare_output(plain, other, o, how == TRANSCRIPT_PART, names, error);
    return result;
}

enum weir_result transcript_compare(const struct transcript *plain, const struct transcript *other,
                                    enum transcript_how how, const char *const *names,
                                    struct weir_error *error)
{
    struct lines a, b = {0};
    bool unordered = how == TRANSCRIPT_UNORDERED;
    bool taken = lines_of(plain, unordered, &a) && lines_of(other, unordered, &b);
    enum weir_result result =
        taken ? compare_lines(&a, &b, how, names, error)
              : error_memory(error, "comparing output", plain->now.count * sizeof *a.list);
    memory_release(NULL, a.list);
    memory_release(NULL, b.list);
    return result ? result : compare_lateness(plain, other, names, error);
}
