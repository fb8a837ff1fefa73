/* SPDX-License-Identifier: Apache-2.0
 *
 * store_failed: STORE/FAILED, why the last rounds came to nothing, for people: 16 slots of 512
 * bytes, written in turn, little-endian:
 *
 *   offset size
 *        0    8  "WEIRFAIL"
 *        8    4  format version, 1
 *       12    4  epoch of the run
 *       16    8  id of the round
 *       24    8  sequence, from 1: the slot is (sequence - 1) modulo 16
 *       32    8  when it was given up, wall clock, ns since 1970
 *       40    4  bytes of the text, at most 456
 *       44    4  zero
 *       48  456  why, UTF-8, zeros behind it
 *      504    8  XXH3-64 of bytes 0..503
 *
 * It is never synced, nothing depends on it, and a slot that is not sound is as good as empty: what
 * a power cut takes of it is lost. It is made by the first round that fails, behind the removal of
 * what that has written, in full, so that later ones need no more room on a full disk. What had
 * none is told nowhere but in the run's log.
 */
#include "store_inside.h"

#include <string.h>
#include <xxhash.h>

#include "file.h"
#include "little.h"

#define SLOT 512u
#define AT_TEXT 48u
#define AT_CHECKSUM 504u
#define VERSION 1u

static const char magic[8] = "WEIRFAIL";

_Static_assert(AT_TEXT + STORE_FAILURE_TEXT - 1 == AT_CHECKSUM, "a text fits");

static void encode(const struct store_failure *failure, unsigned char bytes[SLOT])
{
    size_t size = strlen(failure->text);
    memset(bytes, 0, SLOT);
    memcpy(bytes, magic, sizeof magic);
    little_put_u32(bytes + 8, VERSION);
    little_put_u32(bytes + 12, failure->epoch);
    little_put_u64(bytes + 16, failure->id);
    little_put_u64(bytes + 24, failure->sequence);
    little_put_u64(bytes + 32, (uint64_t)failure->ended_ns);
    little_put_u32(bytes + 40, (uint32_t)size);
    memcpy(bytes + AT_TEXT, failure->text, size);
    little_put_u64(bytes + AT_CHECKSUM, XXH3_64bits(bytes, AT_CHECKSUM));
}

static bool decode(const unsigned char bytes[SLOT], struct store_failure *failure)
{
    size_t size = little_u32(bytes + 40);
    if (memcmp(bytes, magic, sizeof magic) != 0 || little_u32(bytes + 8) != VERSION ||
        little_u64(bytes + AT_CHECKSUM) != XXH3_64bits(bytes, AT_CHECKSUM) ||
        size >= sizeof failure->text)
        return false;
    failure->epoch = little_u32(bytes + 12);
    failure->id = little_u64(bytes + 16);
    failure->sequence = little_u64(bytes + 24);
    failure->ended_ns = (int64_t)little_u64(bytes + 32);
    memcpy(failure->text, bytes + AT_TEXT, size);
    failure->text[size] = 0;
    return failure->sequence > 0;
}

/* Sound ones, by their slots. */
static size_t read_slots(int file, struct store_failure failures[STORE_FAILURES])
{
    unsigned char bytes[SLOT];
    size_t count = 0, got = 0;
    for (uint64_t i = 0; i < STORE_FAILURES; i++)
        if (file_read(file, bytes, sizeof bytes, i * SLOT, &got) == 0 && got == sizeof bytes &&
            decode(bytes, &failures[count]))
            count++;
    return count;
}

size_t store_list_failures(const struct store *store, struct store_failure failures[STORE_FAILURES])
{
    int file = disk_open(store->root, NAME_FAILED, DISK_READ);
    if (file < 0)
        return 0;
    size_t count = read_slots(file, failures);
    disk_close(file);
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && failures[k].sequence < failures[k - 1].sequence; k--) {
            struct store_failure later = failures[k - 1];
            failures[k - 1] = failures[k];
            failures[k] = later;
        }
    return count;
}

/* The text is cut between two characters. */
static void take_text(struct store_failure *failure, const char *text)
{
    size_t size = strlen(text);
    if (size >= sizeof failure->text) {
        size = sizeof failure->text - 1;
        while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
            size--;
    }
    memcpy(failure->text, text, size);
    failure->text[size] = 0;
}

void store_note_failure(const struct store *store, uint64_t id, int64_t ended_ns, const char *text)
{
    struct store_failure failures[STORE_FAILURES];
    struct store_failure next = {
        .epoch = store->record.epoch, .id = id, .ended_ns = ended_ns, .sequence = 1};
    unsigned char bytes[SLOT];
    if (store->stopped)
        return;
    size_t count = store_list_failures(store, failures);
    if (count > 0)
        next.sequence = failures[count - 1].sequence + 1;
    take_text(&next, text);
    encode(&next, bytes);
    int file = disk_open(store->root, NAME_FAILED, DISK_UPDATE);
    if (file < 0)
        return;
    if (count == 0) { /* all of its room, while there is some */
        const unsigned char empty[STORE_FAILURES * SLOT] = {0};
        (void)file_write(file, empty, sizeof empty, 0);
    }
    (void)file_write(file, bytes, sizeof bytes, (next.sequence - 1) % STORE_FAILURES * SLOT);
    disk_close(file);
}
