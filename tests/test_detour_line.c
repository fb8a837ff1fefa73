/* links: detour_line */
/* SPDX-License-Identifier: Apache-2.0
 *
 * The bad network of job_network.sh does what it says, and no more (D1 to D5).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "detour_line.h"
#include "explore.h"
#include "frame.h"

#define MESSAGES 400u
#define CHANNELS 3u
#define GREETING 64u
#define READY 27u /* a command of ZMTP, its head included */
#define ROOM 4000000u
#define MILLISECOND_NS INT64_C(1000000)

static uint64_t chance;

/* What a writer says, and where in it each message begins. */
static unsigned char said[ROOM];
static size_t said_size, begins[MESSAGES + 1], payload_of[MESSAGES];
static bool is_batch[MESSAGES];

/* What came out of the line. */
static unsigned char heard[ROOM];
static size_t heard_size;

static void set_up(void)
{
    chance = explore_seed();
    printf("WEIR_TEST_SEED=%llu\n", (unsigned long long)chance);
}

static void say(const void *bytes, size_t size)
{
    cr_assert_leq(said_size + size, ROOM);
    memcpy(said + said_size, bytes, size);
    said_size += size;
}

static void say_message(unsigned number)
{
    size_t size = explore_below(&chance, 2) == 0 ? 0 : 1 + explore_below(&chance, 2000);
    struct batch *payload = size == 0 ? NULL : batch_alone(NULL, size);
    struct message message = {.kind = explore_below(&chance, 4) == 0 ? MESSAGE_CREDIT
                                      : payload == NULL              ? MESSAGE_MARKER
                                                                     : MESSAGE_BATCH,
                              .channel = explore_below(&chance, CHANNELS),
                              .sequence = number,
                              .value = number,
                              .payload = payload};
    size_t whole = frame_size(size);
    unsigned char *frame = malloc(whole);
    unsigned char longer[9] = {
        2, 0, 0, 0, 0, 0, 0, (unsigned char)(whole >> 8), (unsigned char)whole};
    unsigned char shorter[2] = {0, (unsigned char)whole};

    if (payload != NULL) {
        memset(payload->data, (int)(number & 0xff), size);
        payload->size = size;
    }
    frame_encode(&message, 7, frame);
    begins[number] = said_size;
    payload_of[number] = size;
    is_batch[number] = message.kind == MESSAGE_BATCH;
    if (whole < 256)
        say(shorter, sizeof shorter);
    else
        say(longer, sizeof longer);
    say(frame, whole);
    free(frame);
    batch_release(payload);
}

static void say_all(void)
{
    unsigned char bytes[GREETING] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3};
    unsigned char ready[READY] = {4, READY - 2, 5, 'R', 'E', 'A', 'D', 'Y'};

    said_size = 0;
    say(bytes, sizeof bytes);
    say(ready, sizeof ready);
    for (unsigned i = 0; i < MESSAGES; i++)
        say_message(i);
    begins[MESSAGES] = said_size;
}

/* Takes out what may be written; all of it, or now and then less. */
static void hear(struct line *line, int64_t now_ns)
{
    const unsigned char *bytes;
    size_t ready;

    while ((ready = line_ready(line, now_ns, &bytes)) > 0) {
        if (explore_below(&chance, 4) == 0)
            ready = 1 + explore_below(&chance, (uint32_t)ready);
        cr_assert_leq(heard_size + ready, ROOM);
        memcpy(heard + heard_size, bytes, ready);
        heard_size += ready;
        line_sent(line, ready, now_ns);
    }
}

/* All that is said goes in, in pieces of any size, and time passes until nothing more comes. How
 * long that took. */
static int64_t pass(struct line *line, const struct line_options *options)
{
    int64_t now_ns = 5, due_ns;
    size_t at = 0;

    line_init(line, options);
    say_all();
    heard_size = 0;
    while (at < said_size) {
        size_t piece = 1 + explore_below(&chance, 3000);
        piece = piece < said_size - at ? piece : said_size - at;
        cr_assert(line_feed(line, said + at, piece, now_ns));
        at += piece;
        hear(line, now_ns);
        now_ns += explore_below(&chance, 3) * MILLISECOND_NS / 2;
    }
    hear(line, now_ns);
    while (!line_is_cut(line) && (due_ns = line_due_ns(line, now_ns)) != INT64_MAX) {
        cr_assert_gt(due_ns, now_ns, "it would be asked again at once, for ever");
        now_ns = due_ns;
        hear(line, now_ns);
    }
    cr_assert(line_is_cut(line) || line_is_empty(line));
    return now_ns;
}

/* The numbers of the messages as they came out. Each must be whole (D2). */
static unsigned order[2 * MESSAGES];
static unsigned read_order(size_t from)
{
    unsigned count = 0;

    for (size_t at = from; at < heard_size; count++) {
        bool longer = heard[at] == 2;
        size_t body = at + (longer ? 9 : 2);
        size_t whole = longer ? (size_t)heard[at + 7] << 8 | heard[at + 8] : heard[at + 1];
        unsigned number = heard[body + 24] | (unsigned)heard[body + 25] << 8;
        cr_assert_lt(count, 2 * MESSAGES);
        cr_assert_lt(number, MESSAGES);
        cr_assert_eq(body + whole - at, begins[number + 1] - begins[number]);
        cr_assert_leq(body + whole, heard_size);
        cr_assert_arr_eq(heard + at, said + begins[number], body + whole - at);
        order[count] = number;
        at = body + whole;
    }
    return count;
}

static struct line_options drawn(unsigned conditions)
{
    return (struct line_options){.seed = explore_random(&chance), .conditions = conditions};
}

Test(detour_line, without_conditions_bytes_pass_as_they_came, .init = set_up)
{
    for (int i = 0; i < 20; i++) {
        struct line line;
        struct line_options options = drawn(i % 2 == 0 ? 0 : LINE_PIECES | LINE_DELAY);
        pass(&line, &options);
        cr_assert_eq(heard_size, said_size); /* D1 */
        cr_assert_arr_eq(heard, said, said_size);
        cr_assert_eq(line.counts.messages, MESSAGES);
        line_free(&line);
    }
}

/* How many that are said later come out before it first does. */
static unsigned passed_by(unsigned number, unsigned count)
{
    bool seen[MESSAGES] = {false};
    unsigned passed = 0;

    for (unsigned i = 0; i < count && order[i] != number; i++) {
        passed += order[i] > number && !seen[order[i]];
        seen[order[i]] = true;
    }
    return passed;
}

Test(detour_line, each_message_comes_once_and_few_pass_it, .init = set_up)
{
    uint64_t items = 0, credits = 0;

    for (int i = 0; i < 10; i++) {
        struct line line;
        struct line_options options = drawn(LINE_REORDER);
        unsigned late = 0;
        pass(&line, &options);
        cr_assert_eq(read_order(GREETING + READY), MESSAGES);
        for (unsigned number = 0; number < MESSAGES; number++) {
            unsigned passed = passed_by(number, MESSAGES);
            cr_assert_leq(passed, 8); /* D3 */
            late += passed > 0;
        }
        cr_assert_gt(late, MESSAGES / 8);
        cr_assert_leq(line.counts.overtaken[LINE_ITEM] + line.counts.overtaken[LINE_CREDIT], late);
        items += line.counts.overtaken[LINE_ITEM];
        credits += line.counts.overtaken[LINE_CREDIT];
        line_free(&line);
    }
    cr_assert(items > 0 && credits > 0, "of one kind and channel");
}

Test(detour_line, doubles_come_behind_the_first, .init = set_up)
{
    for (int i = 0; i < 10; i++) {
        struct line line;
        struct line_options options = drawn(LINE_DUPLICATES);
        unsigned times[MESSAGES] = {0}, next = 0, twice = 0;
        pass(&line, &options);
        unsigned count = read_order(GREETING + READY);
        for (unsigned k = 0; k < count; k++) {
            if (times[order[k]]++ == 0)
                cr_assert_eq(order[k], next++, "the first ones are in order"); /* D4 */
            else
                twice++;
        }
        cr_assert_eq(next, MESSAGES);
        for (unsigned number = 0; number < MESSAGES; number++)
            cr_assert_leq(times[number], 2);
        cr_assert_gt(twice, MESSAGES / 8);
        cr_assert_eq(line.counts.twice[LINE_ITEM] + line.counts.twice[LINE_CREDIT], twice);
        line_free(&line);
    }
}

/* A message that nothing follows is not held back for ever. */
Test(detour_line, what_is_late_comes_when_its_time_is_over, .init = set_up)
{
    for (int i = 0; i < 10; i++) {
        struct line line;
        struct line_options options =
            drawn(LINE_DELAY | LINE_REORDER | LINE_DUPLICATES | LINE_PIECES);
        int64_t took_ns = pass(&line, &options);
        cr_assert_leq(took_ns, 10000 * MILLISECOND_NS);
        cr_assert_geq(read_order(GREETING + READY), MESSAGES);
        line_free(&line);
    }
}

/* Does the cut's place, `size` bytes from the beginning, fit? */
static bool fits(enum line_place place, unsigned message, size_t size)
{
    unsigned number = 0;

    if (place == LINE_GREETING)
        return size > 0 && size < GREETING;
    if (place == LINE_HANDSHAKE)
        return size >= GREETING && size < GREETING + READY;
    while (number < MESSAGES && begins[number + 1] <= size)
        number++;
    if (number + 1 < message || number == MESSAGES)
        return false;
    if (place == LINE_BATCH)
        return is_batch[number] && size > begins[number];
    size_t headers = (begins[number + 1] - begins[number]) - payload_of[number];
    size_t inside = size - begins[number];
    return place == LINE_BETWEEN  ? inside == 0
           : place == LINE_HEADER ? inside > 0 && inside < headers
                                  : inside >= headers;
}

Test(detour_line, is_cut_where_it_was_told, .init = set_up)
{
    for (enum line_place place = LINE_GREETING; place < LINE_PLACES; place++) {
        for (int i = 0; i < 40; i++) {
            struct line line;
            struct line_options options = drawn(i % 2 == 0 ? 0 : LINE_PIECES | LINE_DELAY);
            options.cut = place;
            options.message = 1 + explore_below(&chance, MESSAGES / 2);
            pass(&line, &options);
            cr_assert(line_is_cut(&line), "%s", line_place_name(place));
            cr_assert(fits(place, (unsigned)options.message, heard_size), "%s: byte %zu",
                      line.cut_what, heard_size);
            cr_assert_arr_eq(heard, said, heard_size); /* D5 */
            line_free(&line);
        }
    }
}

Test(detour_line, is_not_cut_when_it_is_spared)
{
    struct line line;

    line_init(&line, &(struct line_options){.cut = LINE_GREETING});
    line_spare(&line);
    say_all();
    heard_size = 0;
    cr_assert(line_feed(&line, said, said_size, 1));
    hear(&line, 1);
    cr_assert_eq(heard_size, said_size);
    line_free(&line);
}

/* What becomes of the n-th message does not depend on when any of them comes. */
Test(detour_line, chance_comes_from_the_seed_alone, .init = set_up)
{
    struct line_options options = drawn(LINE_DUPLICATES | LINE_REORDER | LINE_DELAY);
    bool twice[2][MESSAGES] = {{false}};

    for (int i = 0; i < 2; i++) { /* other messages, pieces and times */
        unsigned times[MESSAGES] = {0};
        struct line line;
        pass(&line, &options);
        unsigned count = read_order(GREETING + READY);
        for (unsigned k = 0; k < count; k++)
            twice[i][order[k]] = ++times[order[k]] == 2;
        line_free(&line);
    }
    cr_assert_arr_eq(twice[0], twice[1], sizeof twice[0]);
}

Test(detour_line, what_is_no_zmtp_is_refused)
{
    struct line line;

    line_init(&line, &(struct line_options){0});
    memset(said, 0xff, 200);
    cr_assert_not(line_feed(&line, said, 200, 1));
    line_free(&line);
}
