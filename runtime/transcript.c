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

static struct line *lines_of(const struct transcript *transcript, bool unordered)
{
    size_t count = transcript->now.count;
    struct line *lines = memory_zeroed(NULL, count + 1, sizeof *lines);
    if (!lines)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct transcript_entry *entry = &transcript->entries[i];
        const unsigned char *key = transcript->bytes + entry->key;
        lines[i] = (struct line){
            entry->output,
            i,
            {{key, entry->key_size}, {key + entry->key_size, entry->value_size}, entry->time}};
    }
    qsort(lines, count, sizeof *lines, unordered ? compare_content : compare_place);
    return lines;
}

/* Counted from 1, in its output. Lines of an output stand together. */
static size_t place_of(const struct line *lines, size_t index)
{
    size_t place = 1;
    while (index > 0 && lines[index - 1].output == lines[index].output) {
        index--;
        place++;
    }
    return place;
}

static enum weir_result say_both(const struct line *plain, const struct line *other, size_t index,
                                 const char *const *names, struct weir_error *error)
{
    char had[260], has[260];
    record_text(&plain[index].record, had, sizeof had);
    record_text(&other[index].record, has, sizeof has);
    return error_set(error, WEIR_FAILED, 0,
                     "record %zu of output %s is %s; in the plain run it is %s",
                     place_of(plain, index), names[plain[index].output], has, had);
}

/* One side's line `index` the other does not have. */
static enum weir_result say_one(const struct line *lines, size_t index, bool missing,
                                bool unordered, const char *const *names, struct weir_error *error)
{
    char record[260];
    const char *name = names[lines[index].output];
    record_text(&lines[index].record, record, sizeof record);
    if (unordered)
        return error_set(error, WEIR_FAILED, 0, "output %s has %s once %s than in the plain run",
                         name, record, missing ? "less" : "more");
    return error_set(error, WEIR_FAILED, 0, "record %zu of output %s, %s, %s",
                     place_of(lines, index), name, record,
                     missing ? "is missing" : "is one more than in the plain run");
}

static enum weir_result compare_lines(const struct line *plain, size_t plain_count,
                                      const struct line *other, size_t other_count, bool unordered,
                                      const char *const *names, struct weir_error *error)
{
    size_t i = 0;
    while (i < plain_count && i < other_count && compare_content(&plain[i], &other[i]) == 0)
        i++;
    if (i == plain_count && i == other_count)
        return WEIR_OK;
    if (i == plain_count)
        return say_one(other, i, false, unordered, names, error);
    if (i == other_count)
        return say_one(plain, i, true, unordered, names, error);
    if (!unordered && plain[i].output == other[i].output)
        return say_both(plain, other, i, names, error);
    /* What sorts first is what the other side does not have. */
    bool missing =
        unordered ? compare_content(&plain[i], &other[i]) < 0 : plain[i].output < other[i].output;
    return say_one(missing ? plain : other, i, missing, unordered, names, error);
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

enum weir_result transcript_compare(const struct transcript *plain, const struct transcript *other,
                                    bool unordered, const char *const *names,
                                    struct weir_error *error)
{
    struct line *a = lines_of(plain, unordered), *b = lines_of(other, unordered);
    enum weir_result result =
        a && b ? compare_lines(a, plain->now.count, b, other->now.count, unordered, names, error)
               : error_memory(error, "comparing output", plain->now.count * sizeof *a);
    memory_release(NULL, a);
    memory_release(NULL, b);
    return result ? result : compare_lateness(plain, other, names, error);
}
