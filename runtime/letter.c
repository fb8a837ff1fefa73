/* SPDX-License-Identifier: Apache-2.0 */
#include "letter.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "plant.h"

#define CAUSE_LIMIT 600 /* bytes kept of a cause */
#define HEADER_ROOM (1024 + CAUSE_LIMIT)
#define NAME_ROOM 128 /* node (64), two numbers, what stands around them */

/* -------------------------------------------------------------------------------- keeping -- */

static bool more_room(struct letters *letters)
{
    if (letters->count < letters->room)
        return true;
    uint32_t room = letters->room ? letters->room * 2 : 8;
    struct letter **larger =
        memory_resize(letters->allocator, letters->list, letters->count * sizeof(struct letter *),
                      room * sizeof(struct letter *));
    if (!larger)
        return false;
    letters->list = larger;
    letters->room = room;
    return true;
}

/* What goes on a line of its own must stay on it. */
static void copy_line(char *to, const char *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)from[i] < ' ' || from[i] == 127 ? '?' : from[i];
    to[size] = 0;
}

bool letters_add(struct letters *letters, const struct letter *letter)
{
    const struct weir_record *record = &letter->record;
    size_t cause_size = strlen(letter->cause);
    if (cause_size > CAUSE_LIMIT)
        cause_size = CAUSE_LIMIT;
    size_t size = sizeof *letter + record->key.size + record->value.size + cause_size + 1;
    struct letter *copy = more_room(letters) ? memory_take(letters->allocator, size) : NULL;
    if (!copy)
        return false;
    *copy = *letter;
    unsigned char *bytes = (unsigned char *)(copy + 1);
    if (record->key.size)
        memcpy(bytes, record->key.data, record->key.size);
    copy->record.key.data = bytes;
    bytes += record->key.size;
    if (record->value.size)
        memcpy(bytes, record->value.data, record->value.size);
    copy->record.value.data = bytes;
    copy->cause = (char *)bytes + record->value.size;
    copy_line((char *)bytes + record->value.size, letter->cause, cause_size);
    letters->list[letters->count++] = copy;
    return true;
}

void letters_cut(struct letters *letters, uint64_t id)
{
    for (uint32_t i = letters->count; i && !letters->list[i - 1]->id; i--)
        letters->list[i - 1]->id = id;
}

void letters_drop(struct letters *letters)
{
    assert(letters->count);
    memory_release(letters->allocator, letters->list[0]);
    letters->count--;
    memmove(letters->list, letters->list + 1, letters->count * sizeof(struct letter *));
}

void letters_free(struct letters *letters)
{
    for (uint32_t i = 0; i < letters->count; i++)
        memory_release(letters->allocator, letters->list[i]);
    memory_release(letters->allocator, letters->list);
    *letters = (struct letters){0};
}

/* ------------------------------------------------------------------------- in checkpoints -- */

void letters_save(const struct letters *letters, struct snapshot_writer *writer)
{
    for (uint32_t i = 0; i < letters->count; i++) {
        const struct letter *letter = letters->list[i];
        snapshot_begin(writer, SNAPSHOT_LETTER, letter->input);
        snapshot_u64(writer, letter->id);
        snapshot_u64(writer, letter->position);
        snapshot_u64(writer, (uint64_t)letter->record.time);
        snapshot_text(writer, letter->cause);
        snapshot_u32(writer, letter->subtask);
        snapshot_u64(writer, letter->record.key.size);
        snapshot_bytes(writer, letter->record.key.data, letter->record.key.size);
        snapshot_bytes(writer, letter->record.value.data, letter->record.value.size);
        snapshot_end(writer);
    }
}

enum weir_result letters_load(struct letters *letters, struct snapshot_section *section,
                              struct weir_error *error)
{
    struct letter letter = {.input = section->index};
    char cause[CAUSE_LIMIT + 1];
    letter.id = snapshot_get_u64(section);
    letter.position = snapshot_get_u64(section);
    letter.record.time = (int64_t)snapshot_get_u64(section);
    struct weir_bytes text = snapshot_get_text(section);
    letter.subtask = snapshot_get_u32(section);
    uint64_t key_size = snapshot_get_u64(section);
    bool sound = !section->failed && letter.id && letter.position && text.size <= CAUSE_LIMIT &&
                 key_size <= WEIR_KEY_LIMIT;
    letter.record.key = snapshot_get_bytes(section, sound ? (size_t)key_size : 0);
    letter.record.value = snapshot_get_rest(section);
    if (!sound || section->failed || letter.record.value.size > WEIR_VALUE_LIMIT)
        return error_set(error, WEIR_DAMAGED, 0, "a dead letter is not well-formed");
    copy_line(cause, text.data, text.size);
    letter.cause = cause;
    return letters_add(letters, &letter) ? WEIR_OK
                                         : error_memory(error, "a dead letter", section->left);
}

/* ------------------------------------------------------------------------------ the file -- */

/* The whole file in one block, and a zero behind it, for same_letter looks for texts: a letter is
 * rare, and seldom large. NULL: no memory. */
static unsigned char *print_letter(const struct letters *letters, const struct letter *letter,
                                   size_t *size)
{
    char header[HEADER_ROOM], time[24] = "none";
    const struct weir_record *record = &letter->record;
    if (record->time != WEIR_NO_TIME)
        snprintf(time, sizeof time, "%lld", (long long)record->time);
    int length = snprintf(header, sizeof header,
                          "weir-dead-letter 1\nnode: %s\nsubtask: %u\ninput: %u\nposition: %llu\n"
                          "time: %s\ncause: %s\nkey size: %zu\nvalue size: %zu\n\n",
                          letters->node, letter->subtask, letter->input,
                          (unsigned long long)letter->position, time, letter->cause,
                          record->key.size, record->value.size);
    assert(length > 0 && (size_t)length < sizeof header);
    *size = (size_t)length + record->key.size + record->value.size;
    unsigned char *bytes = memory_take(letters->allocator, *size + 1);
    if (!bytes)
        return NULL;
    bytes[*size] = 0;
    memcpy(bytes, header, (size_t)length);
    memcpy(bytes + length, record->key.data, record->key.size);
    memcpy(bytes + length + record->key.size, record->value.data, record->value.size);
    return bytes;
}

/* The same letter, whatever is said of its cause: another run may have been told another one. */
static bool same_letter(struct weir_bytes wanted, const unsigned char *there, size_t size)
{
    static const char cause[] = "\ncause: ";
    const char *text = wanted.data;
    size_t head = (size_t)(strstr(text, cause) - text) + sizeof cause - 1;
    const char *tail = strchr(text + head, '\n');
    if (size < head || memcmp(there, text, head) != 0)
        return false;
    const unsigned char *line_end = memchr(there + head, '\n', size - head);
    size_t tail_size = wanted.size - (size_t)(tail - text);
    return line_end && (size_t)(there + size - line_end) == tail_size &&
           memcmp(line_end, tail, tail_size) == 0;
}

/* Is `path` a file of this letter? WEIR_NOT_FOUND: it is not there; WEIR_REFUSED: it is another. */
static enum weir_result compare(const struct letters *letters, const char *path,
                                struct weir_bytes bytes, struct weir_error *error)
{
    struct weir_file *file = NULL;
    size_t got = 0, room = bytes.size + CAUSE_LIMIT + 1;
    enum weir_result result =
        weir_file_open(letters->allocator, path, WEIR_OPEN_READ, &file, error);
    if (result)
        return result;
    unsigned char *there = memory_take(letters->allocator, room);
    result =
        there ? weir_file_read(file, 0, there, room, &got, error) : error_memory(error, path, room);
    if (!result && !same_letter(bytes, there, got))
        result = error_set(error, WEIR_REFUSED, 0,
                           "%s is there and is another dead letter: move it away, or give the job "
                           "a directory of its own for them",
                           path);
    memory_release(letters->allocator, there);
    weir_file_close(&file, NULL); /* it was only read */
    return result;
}

/* What a dead run left under the temporary name may be half of anything. */
static enum weir_result write_new(const struct letters *letters, const char *path,
                                  struct weir_bytes bytes, struct weir_error *error)
{
    struct weir_file *file = NULL;
    enum weir_result result = weir_file_remove(path, error);
    if (result && result != WEIR_NOT_FOUND)
        return result;
    result = weir_file_open(letters->allocator, path, WEIR_OPEN_CREATE, &file, error);
    if (!result)
        result = weir_file_write(file, bytes, error);
    if (!result)
        result = weir_file_sync(file, error);
    enum weir_result closed = weir_file_close(&file, result ? NULL : error);
    return result ? result : closed;
}

/* The name is there, with these bytes, and durable: whoever renamed had synced the bytes, but may
 * have died before the directory was. */
static enum weir_result publish(const struct letters *letters, const char *directory,
                                const char *temporary, const char *final, struct weir_bytes bytes,
                                struct weir_error *error)
{
    enum weir_result result = compare(letters, final, bytes, error);
    if (result == WEIR_NOT_FOUND) {
        result = write_new(letters, temporary, bytes, error);
        if (!result)
            result = weir_file_rename(temporary, final, error);
    }
    if (WEIR_PLANT(letter_sync_skipped))
        return result;
    return result ? result : weir_folder_sync(directory, error);
}

enum weir_result letters_publish(const struct letters *letters, const char *directory,
                                 struct weir_error *error)
{
    assert(letters->count);
    const struct letter *letter = letters->list[0];
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s-%u-%llu", letters->node, letter->subtask,
             (unsigned long long)letter->position);
    size_t size = 0, room = strlen(directory) + sizeof name + sizeof "/..letter";
    char *final = memory_take(letters->allocator, room);
    char *temporary = memory_take(letters->allocator, room);
    unsigned char *bytes = print_letter(letters, letter, &size);
    enum weir_result result = WEIR_NO_MEMORY;
    if (final && temporary && bytes) {
        snprintf(final, room, "%s/%s.letter", directory, name);
        snprintf(temporary, room, "%s/.%s.tmp", directory, name);
        result =
            publish(letters, directory, temporary, final, (struct weir_bytes){bytes, size}, error);
    } else {
        error_memory(error, "a dead letter", size + 2 * room);
    }
    memory_release(letters->allocator, final);
    memory_release(letters->allocator, temporary);
    memory_release(letters->allocator, bytes);
    return result ? error_within(error, "the dead letter of record %llu",
                                 (unsigned long long)letter->position)
                  : WEIR_OK;
}
