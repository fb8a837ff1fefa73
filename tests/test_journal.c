/* links: operators fake_context */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The journal: what was synced is there after any death, power cut and damage, whole and in order,
 * or the damage is named; what was not synced may be missing from its end, and nowhere else.
 */
#include "exercised.h"
#include "explore.h"
#include "fake_context.h"
#include "journal.h"
#include "scratch.h"

#include <dirent.h>

static struct scratch scratch;

static void set_up(void)
{
    scratch = scratch_make();
    fake_files_reset();
}

static void tear_down(void)
{
    fake_files_reset();
    scratch_free(&scratch);
}

/* ---- a journal in a life, and what it must hold ---- */

enum { CHUNKS = 600, TEXT_ROOM = 90 };

struct life {
    struct weir_context task;
    struct journal journal;
    uint32_t epoch;
    unsigned appended; /* chunks of text, all lives */
    unsigned synced;
    uint64_t offsets[CHUNKS + 1]; /* of each, and the end */
    char texts[CHUNKS][TEXT_ROOM];
    uint64_t segment_bytes;
    uint64_t durable_size; /* of the newest segment's file */
};

static struct weir_bytes text_bytes(const char *text)
{
    return (struct weir_bytes){text, strlen(text)};
}

static enum weir_result begin(struct life *life)
{
    life->task = (struct weir_context){.run = {.epoch = ++life->epoch, .parallelism = 1}};
    life->journal = (struct journal){0};
    enum weir_result result = journal_open(&life->journal, &life->task, scratch.path,
                                           life->segment_bytes, text_bytes("opening"));
    life->durable_size = life->journal.live_size;
    return result;
}

static void end(struct life *life)
{
    journal_close(&life->journal, NULL);
}

/* Opens it anew and finds out how much of what was appended is there. */
static void begin_again(struct life *life)
{
    end(life);
    cr_assert_eq(begin(life), WEIR_OK, "%s", life->task.failed.text);
    uint64_t there = life->journal.offset;
    unsigned count = 0;
    while (count < life->appended && life->offsets[count] < there)
        count++;
    cr_assert_eq(life->offsets[count], there, "it ends inside a chunk");
    cr_assert_geq(count, life->synced);
    cr_assert_leq(count, life->appended);
    life->appended = life->synced = count; /* J2: staged anew */
}

static enum weir_result append(struct life *life, const char *text)
{
    struct journal *journal = &life->journal;
    enum weir_result result = WEIR_OK;
    cr_assert_lt(life->appended, CHUNKS);
    if (journal_is_full(journal)) {
        result = journal_roll(journal, &life->task, text_bytes("opening"));
        if (result != WEIR_OK)
            return result;
        life->synced = life->appended;
        life->durable_size = journal->live_size;
    }
    snprintf(life->texts[life->appended], TEXT_ROOM, "%s", text);
    life->offsets[life->appended + 1] = life->offsets[life->appended] + strlen(text);
    result = journal_append(journal, &life->task, text_bytes("head"), text_bytes(text));
    if (result == WEIR_OK)
        life->appended++;
    return result;
}

static enum weir_result sync_all(struct life *life)
{
    enum weir_result result = journal_sync(&life->journal, &life->task);
    if (result == WEIR_OK) {
        life->synced = life->appended;
        life->durable_size = life->journal.live_size;
    }
    return result;
}

/* From the byte at `offset` to the end: the texts, each once. */
static void expect_from(struct life *life, uint64_t offset)
{
    struct journal_cursor cursor = {0};
    struct journal_chunk chunk;
    unsigned next = 0;
    bool first = true;
    cr_assert_eq(journal_seek(&life->journal, &life->task, &cursor, offset), WEIR_OK, "%s",
                 life->task.failed.text);
    for (;;) {
        enum journal_found found = journal_next(&life->journal, &life->task, &cursor, &chunk);
        cr_assert_neq(found, JOURNAL_FAILED, "%s", life->task.failed.text);
        if (found == JOURNAL_END)
            break;
        if (memcmp(chunk.head.data, "opening", chunk.head.size) == 0) {
            cr_assert_eq(chunk.text.size, 0);
            continue;
        }
        if (first)
            while (life->offsets[next] < chunk.offset)
                next++;
        cr_assert(!first || chunk.offset <= offset);
        first = false;
        cr_assert_eq(chunk.offset, life->offsets[next]);
        cr_assert_eq(chunk.head.size, 4);
        cr_assert_eq(chunk.text.size, strlen(life->texts[next]));
        cr_assert_eq(memcmp(chunk.text.data, life->texts[next], chunk.text.size), 0);
        next++;
    }
    cr_assert(first ? offset == life->journal.offset : next == life->appended);
    journal_leave(&cursor, NULL);
}

static void newest_path(const struct life *life, char path[PATH_ROOM])
{
    const struct block *all = &life->journal.segments;
    const struct journal_segment *segment = (const void *)(all->data + all->size - sizeof *segment);
    snprintf(path, PATH_ROOM, "%s/%020llu-%010u.journal", scratch.path,
             (unsigned long long)segment->number, segment->epoch);
}

/* What was not synced may be gone, or be something else. */
static void cut_power(struct life *life, uint64_t *random)
{
    char path[PATH_ROOM];
    uint64_t size = life->journal.live_size, durable = life->durable_size;
    newest_path(life, path);
    uint64_t left = durable + explore_below(random, (uint32_t)(size - durable) + 1);
    cr_assert_eq(truncate(path, (off_t)left), 0);
    if (left > durable && explore_below(random, 2)) {
        FILE *file = fopen(path, "r+");
        cr_assert(file);
        fseek(file, (long)(durable + explore_below(random, (uint32_t)(left - durable))), SEEK_SET);
        fputc((int)explore_below(random, 256), file);
        fclose(file);
    }
}

static void random_text(char text[TEXT_ROOM], uint64_t *random)
{
    uint32_t size = explore_below(random, TEXT_ROOM - 1) + 1;
    for (uint32_t i = 0; i < size; i++)
        text[i] = (char)('a' + explore_below(random, 26));
    text[size - 1] = '\0';
    if (size == 1) /* an empty text has no place of its own */
        strcpy(text, "x");
}

static void live_once(uint64_t *random)
{
    static struct life life;
    uint64_t released = 0;
    life = (struct life){.segment_bytes = 100 + explore_below(random, 600)};
    cr_assert_eq(begin(&life), WEIR_OK, "%s", life.task.failed.text);
    for (unsigned i = 0; i < 300; i++) {
        char text[TEXT_ROOM];
        switch (explore_below(random, 20)) {
        case 0:
            begin_again(&life);
            break;
        case 1:
            cut_power(&life, random);
            begin_again(&life);
            break;
        case 2:
        case 3:
            cr_assert_eq(sync_all(&life), WEIR_OK);
            break;
        case 4:
            released += explore_below(random, (uint32_t)(life.offsets[life.synced] - released) + 1);
            cr_assert_eq(journal_release(&life.journal, &life.task, released), WEIR_OK);
            cr_assert_leq(journal_begin(&life.journal), released);
            break;
        case 5:
            expect_from(&life,
                        released +
                            explore_below(random, (uint32_t)(life.journal.offset - released) + 1));
            break;
        default:
            random_text(text, random);
            cr_assert_eq(append(&life, text), WEIR_OK);
        }
    }
    expect_from(&life, journal_begin(&life.journal));
    end(&life);
}

static void empty_folder(void)
{
    DIR *folder = opendir(scratch.path);
    cr_assert(folder);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (entry->d_name[0] != '.' || strcmp(entry->d_name, ".staged") == 0)
            cr_assert_eq(unlinkat(dirfd(folder), entry->d_name, 0), 0);
    closedir(folder);
}

Test(journal, holds_what_was_synced_over_deaths_and_power_cuts, .init = set_up, .fini = tear_down)
{
    uint64_t random = explore_seed();
    for (unsigned i = 0; i < 300; i++) {
        live_once(&random);
        empty_folder();
    }
    exercised(300);
}

/* ---- faults ---- */

static bool work(struct life *life)
{
    static const char *const texts[] = {"one", "two, which is longer", "three", "four", "five"};
    if (begin(life) != WEIR_OK)
        return false;
    for (unsigned i = 0; i < 15; i++) {
        if (append(life, texts[i % 5]) != WEIR_OK)
            return false;
        if (i % 4 == 3 && sync_all(life) != WEIR_OK)
            return false;
        if (i % 7 == 6 && journal_release(&life->journal, &life->task,
                                          life->offsets[life->synced / 2]) != WEIR_OK)
            return false;
    }
    return true;
}

/* Twice: the second life dies while it puts the first one's end right. */
Test(journal, a_death_at_every_file_call, .init = set_up, .fini = tear_down)
{
    static struct life life;
    uint64_t deaths = 0;
    for (unsigned limit = 1, died = 1; died; limit++)
        for (unsigned second = 0; second < 25; second++) {
            life = (struct life){.segment_bytes = 200};
            fake_files_reset();
            fake_file_limit = limit;
            died = !work(&life);
            end(&life);
            fake_files_reset();
            if (second > 0) {
                fake_file_limit = second;
                begin(&life);
                end(&life);
                fake_files_reset();
            }
            life.journal = (struct journal){0};
            begin_again(&life);
            cr_assert_eq(append(&life, "after"), WEIR_OK);
            expect_from(&life, journal_begin(&life.journal));
            end(&life);
            empty_folder();
            deaths += died + (second > 0);
            cr_assert_lt(limit, 500);
        }
    exercised(deaths);
}

/* ---- damage ---- */

/* Five segments or so, all synced. */
static void make_some(struct life *life)
{
    *life = (struct life){.segment_bytes = 300};
    cr_assert_eq(begin(life), WEIR_OK);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(append(life, "some text of a chunk"), WEIR_OK);
    cr_assert_eq(sync_all(life), WEIR_OK);
    end(life);
}

static void flip(const char *path, size_t at)
{
    static unsigned char bytes[4096];
    size_t size = scratch_read(path, bytes, sizeof bytes);
    cr_assert_lt(at, size);
    bytes[at] ^= 0x20;
    scratch_write(path, bytes, size);
}

/* Reads all; the failure's code, WEIR_OK when there was none. */
static enum weir_result read_all(struct life *life)
{
    struct journal_cursor cursor = {0};
    struct journal_chunk chunk;
    if (begin(life) == WEIR_OK && journal_seek(&life->journal, &life->task, &cursor,
                                               journal_begin(&life->journal)) == WEIR_OK)
        while (journal_next(&life->journal, &life->task, &cursor, &chunk) == JOURNAL_CHUNK)
            ;
    journal_leave(&cursor, NULL);
    return life->task.failed.code;
}

Test(journal, every_changed_byte_of_an_old_segment_is_named, .init = set_up, .fini = tear_down)
{
    static struct life life;
    char path[PATH_ROOM];
    struct stat status;
    make_some(&life);
    snprintf(path, sizeof path, "%s/%020u-%010u.journal", scratch.path, 0, 1);
    cr_assert_eq(stat(path, &status), 0);
    for (size_t at = 0; at < (size_t)status.st_size; at++) {
        flip(path, at);
        cr_assert_eq(read_all(&life), WEIR_DAMAGED, "byte %zu", at);
        cr_assert(strstr(life.task.failed.text, path), "%s", life.task.failed.text);
        end(&life);
        flip(path, at);
    }
    exercised((uint64_t)status.st_size);
    cr_assert_eq(read_all(&life), WEIR_OK, "%s", life.task.failed.text);
    end(&life);
}

/* Not synced yet, for all that can be known: what follows the change is cut off. But its head and
 * opening chunk were synced before it got its name. */
Test(journal, a_changed_byte_of_the_newest_segment_cuts_it_or_is_named, .init = set_up,
     .fini = tear_down)
{
    static struct life life;
    static unsigned char whole[4096];
    char path[PATH_ROOM];
    life = (struct life){.segment_bytes = 100000};
    cr_assert_eq(begin(&life), WEIR_OK);
    const size_t first = life.journal.live_size;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(append(&life, "some text of a chunk"), WEIR_OK);
    newest_path(&life, path);
    end(&life);
    const size_t size = scratch_read(path, whole, sizeof whole);
    for (size_t at = 0; at < size; at++) {
        scratch_write(path, whole, size);
        flip(path, at);
        enum weir_result result = begin(&life);
        cr_assert_eq(result, at < first ? WEIR_DAMAGED : WEIR_OK, "byte %zu", at);
        if (at >= first) {
            unsigned left = (unsigned)(at - first) / (unsigned)((size - first) / 5);
            cr_assert_eq(life.journal.offset, left * 20, "byte %zu", at);
        }
        end(&life);
        empty_folder();
    }
    exercised(size);
}

/* Nobody can tell a torn end from damage, but somebody can be told. */
Test(journal, bytes_that_are_cut_off_are_counted, .init = set_up, .fini = tear_down)
{
    static struct life life;
    static const unsigned char torn[7] = "torn";
    char path[PATH_ROOM];
    life = (struct life){.segment_bytes = 100000};
    cr_assert_eq(begin(&life), WEIR_OK);
    const size_t first = life.journal.live_size;
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(append(&life, "some text of a chunk"), WEIR_OK);
    const size_t size = life.journal.live_size, chunk = (size - first) / 5;
    end(&life);
    cr_assert_eq(begin(&life), WEIR_OK);
    cr_expect_str_eq(life.task.log, "", "nothing was cut off");
    newest_path(&life, path);
    end(&life);
    flip(path, first + 2 * chunk + 40);
    cr_assert_eq(begin(&life), WEIR_OK);
    char words[64];
    snprintf(words, sizeof words, "%zu bytes", 3 * chunk);
    cr_expect(strstr(life.task.log, words), "%s", life.task.log);
    cr_expect(strstr(life.task.log, path), "%s", life.task.log);
    cr_expect_eq(life.journal.offset, 40);
    newest_path(&life, path);
    end(&life);
    FILE *file = fopen(path, "a");
    cr_assert(file && fwrite(torn, sizeof torn, 1, file) == 1 && fclose(file) == 0);
    cr_assert_eq(begin(&life), WEIR_OK);
    cr_expect(strstr(life.task.log, "7 bytes"), "%s", life.task.log);
    end(&life);
}

Test(journal, a_cut_old_segment_is_named, .init = set_up, .fini = tear_down)
{
    static struct life life;
    char path[PATH_ROOM];
    struct stat status;
    make_some(&life);
    snprintf(path, sizeof path, "%s/%020u-%010u.journal", scratch.path, 0, 1);
    cr_assert_eq(stat(path, &status), 0);
    for (off_t size = status.st_size - 1; size >= 0; size--) {
        cr_assert_eq(truncate(path, size), 0);
        cr_assert_eq(read_all(&life), WEIR_DAMAGED, "%ld bytes", (long)size);
        end(&life);
    }
}

Test(journal, what_is_not_kept_any_more_is_refused, .init = set_up, .fini = tear_down)
{
    static struct life life;
    struct journal_cursor cursor = {0};
    make_some(&life);
    cr_assert_eq(begin(&life), WEIR_OK);
    uint64_t end_of_all = life.journal.offset;
    cr_assert_eq(journal_release(&life.journal, &life.task, end_of_all / 2), WEIR_OK);
    cr_assert_gt(journal_begin(&life.journal), 0);
    cr_expect_eq(journal_seek(&life.journal, &life.task, &cursor, 0), WEIR_REFUSED);
    cr_expect(strstr(life.task.failed.text, "removed"), "%s", life.task.failed.text);
    life.task.failed.code = WEIR_OK;
    cr_expect_eq(journal_seek(&life.journal, &life.task, &cursor, end_of_all + 1), WEIR_DAMAGED);
    cr_expect(strstr(life.task.failed.text, "ends at"), "%s", life.task.failed.text);
    journal_leave(&cursor, NULL);
    end(&life);
}

/* A store's older copy put back beside a newer journal. */
Test(journal, a_segment_of_a_later_run_is_refused, .init = set_up, .fini = tear_down)
{
    static struct life life;
    make_some(&life);
    life.epoch = 0;
    cr_expect_eq(begin(&life), WEIR_DAMAGED);
    cr_expect(strstr(life.task.failed.text, "later run"), "%s", life.task.failed.text);
    end(&life);
}

Test(journal, files_of_others_are_left_alone, .init = set_up, .fini = tear_down)
{
    static struct life life;
    static const char *const names[] = {"notes", "00000000000000000000-0000000001.journal.bak",
                                        "x0000000000000000000-0000000001.journal"};
    for (size_t i = 0; i < 3; i++)
        scratch_write(scratch_join(scratch.path, names[i]), "mine", 4);
    make_some(&life);
    cr_expect_eq(read_all(&life), WEIR_OK);
    end(&life);
    for (size_t i = 0; i < 3; i++)
        cr_expect(scratch_exists(scratch_join(scratch.path, names[i])));
}

Test(journal, chunks_larger_than_a_read, .init = set_up, .fini = tear_down)
{
    static struct life life;
    struct journal_cursor cursor = {0};
    struct journal_chunk chunk;
    size_t size = (size_t)3 << 20;
    char *text = malloc(size);
    memset(text, 'x', size);
    life = (struct life){.segment_bytes = 0};
    cr_assert_eq(begin(&life), WEIR_OK);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(journal_append(&life.journal, &life.task, text_bytes("head"),
                                    (struct weir_bytes){text, size}),
                     WEIR_OK);
    end(&life);
    cr_assert_eq(begin(&life), WEIR_OK);
    cr_assert_eq(journal_seek(&life.journal, &life.task, &cursor, size), WEIR_OK);
    unsigned found = 0;
    while (journal_next(&life.journal, &life.task, &cursor, &chunk) == JOURNAL_CHUNK)
        found += chunk.text.size == size;
    cr_expect_eq(found, 2);
    journal_leave(&cursor, NULL);
    end(&life);
    free(text);
}
