/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
/*
 * Savepoints that were asked for from outside, between the three threads that meet there: who asked
 * gets the answer to his own question, and the program learns whether it stops.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "savepoints.h"

static struct savepoints savepoints;
static struct weir_error error;

static void begin(void)
{
    savepoints_init(&savepoints);
}
static void finish(void)
{
    savepoints_free(&savepoints);
}
TestSuite(savepoints, .init = begin, .fini = finish);

static unsigned ask(const char *path, int stop)
{
    unsigned place = SAVEPOINTS_MOST;

    cr_assert_eq(savepoints_ask(&savepoints, path, stop, &place, &error), WEIR_OK, "%s",
                 error.text);
    cr_assert_lt(place, SAVEPOINTS_MOST);
    return place;
}

static void refused(const char *path, int stop, const char *says)
{
    unsigned place;

    cr_expect_eq(savepoints_ask(&savepoints, path, stop, &place, &error), WEIR_INVALID, "%s", path);
    cr_expect(strstr(error.text, says) != NULL, "%s", error.text);
}

static bool told(enum weir_event_kind kind, const char *path, uint64_t id)
{
    return savepoints_told(
        &savepoints,
        &(struct weir_event){.kind = kind, .id = id, .path = path, .text = "no room", .last = ""});
}

static struct savepoint answer(unsigned place)
{
    struct savepoint savepoint;

    savepoints_answer(&savepoints, place, &savepoint);
    return savepoint;
}

static void next_stop_is(const char *path, enum weir_stop stop)
{
    enum weir_stop wanted = WEIR_STOP_NOW;
    char *next = savepoints_next_stop(&savepoints, &wanted);

    cr_assert_not_null(next);
    cr_expect_str_eq(next, path);
    cr_expect_eq(wanted, stop);
    free(next);
    cr_expect_null(savepoints_next_stop(&savepoints, &wanted), "it was begun already");
}

Test(savepoints, each_asker_gets_the_answer_to_his_question)
{
    unsigned a = ask("/a", SAVEPOINTS_NO_STOP), b = ask("/b", SAVEPOINTS_NO_STOP);

    cr_expect_eq(answer(a).stage, SAVEPOINT_UNDER_WAY);
    cr_expect_not(told(WEIR_EVENT_UNSAVED, "/b", 7));
    cr_expect_eq(answer(a).stage, SAVEPOINT_UNDER_WAY);
    cr_expect_not(told(WEIR_EVENT_SAVED, "/a", 8));
    cr_expect_not(told(WEIR_EVENT_SAVED, "/nobody", 9));
    struct savepoint saved = answer(a), unsaved = answer(b);
    cr_expect_eq(saved.stage, SAVEPOINT_SAVED);
    cr_expect_eq(saved.id, 8);
    cr_expect_eq(unsaved.stage, SAVEPOINT_UNSAVED);
    cr_expect_eq(unsaved.id, 7);
    cr_expect_str_eq(unsaved.error, "no room");
    cr_expect_not(savepoints_failed(&savepoints));
    cr_expect_not(savepoints_kept(&savepoints));
}

Test(savepoints, a_path_is_under_way_once_and_then_again)
{
    unsigned place = ask("/a", SAVEPOINTS_NO_STOP);

    refused("/a", SAVEPOINTS_NO_STOP, "no savepoint: /a is being written for somebody else");
    refused("/a", WEIR_STOP_SUSPEND, "no savepoint, so the job goes on: /a is being written");
    told(WEIR_EVENT_UNSAVED, "/a", 1);
    unsigned other = ask("/a", SAVEPOINTS_NO_STOP); /* though the first has not looked yet */
    cr_expect_neq(other, place);
    told(WEIR_EVENT_SAVED, "/a", 2);
    cr_expect_eq(answer(place).id, 1);
    cr_expect_eq(answer(other).id, 2);
}

Test(savepoints, places_are_given_back_with_the_answer)
{
    char path[20];

    for (int i = 0; i < 3 * SAVEPOINTS_MOST; i++) {
        snprintf(path, sizeof path, "/%d", i);
        unsigned place = ask(path, SAVEPOINTS_NO_STOP);
        told(WEIR_EVENT_SAVED, path, 1);
        answer(place);
    }
    for (int i = 0; i < SAVEPOINTS_MOST; i++) {
        snprintf(path, sizeof path, "/%d", i);
        ask(path, SAVEPOINTS_NO_STOP);
    }
    refused("/more", WEIR_STOP_DRAIN, "no savepoint, so the job goes on: 16 savepoints are");
    refused("/more", SAVEPOINTS_NO_STOP, "no savepoint: 16 savepoints are under way already");
}

/* N3 */
Test(savepoints, one_whose_asker_gave_up_stays_under_way_and_is_forgotten_when_told_of)
{
    char path[20];

    for (int i = 0; i < 2 * SAVEPOINTS_MOST; i++) {
        snprintf(path, sizeof path, "/%d", i);
        unsigned place = ask(path, SAVEPOINTS_NO_STOP);
        savepoints_leave(&savepoints, place);
        refused(path, SAVEPOINTS_NO_STOP, "somebody else");
        told(i % 2 ? WEIR_EVENT_SAVED : WEIR_EVENT_UNSAVED, path, 1);
    }
    unsigned place = ask("/told", SAVEPOINTS_NO_STOP);
    told(WEIR_EVENT_SAVED, "/told", 1);
    savepoints_leave(&savepoints, place); /* too late is the same */
    cr_expect_eq(ask("/next", SAVEPOINTS_NO_STOP), place);
}

Test(savepoints, a_stop_is_begun_by_the_program_and_kept_when_it_is_saved)
{
    unsigned place = ask("/a", WEIR_STOP_SUSPEND);

    cr_expect_eq(answer(place).stage, SAVEPOINT_WANTED);
    next_stop_is("/a", WEIR_STOP_SUSPEND);
    cr_expect_eq(answer(place).stage, SAVEPOINT_UNDER_WAY);
    cr_expect_not(savepoints_kept(&savepoints));
    cr_expect(told(WEIR_EVENT_SAVED, "/a", 5), "the job stops");
    cr_expect(savepoints_kept(&savepoints));
    cr_expect_not(savepoints_failed(&savepoints));
    cr_expect_eq(answer(place).stop, WEIR_STOP_SUSPEND);
    savepoints_clear(&savepoints); /* another run */
    cr_expect_not(savepoints_kept(&savepoints));
}

Test(savepoints, a_stop_that_failed_is_told_to_the_program_once_whether_or_not_somebody_waits)
{
    for (int i = 0; i < 2; i++) {
        unsigned place = ask("/a", WEIR_STOP_SUSPEND);
        next_stop_is("/a", WEIR_STOP_SUSPEND);
        if (i == 1)
            savepoints_leave(&savepoints, place);
        cr_expect_not(told(WEIR_EVENT_UNSAVED, "/a", 5));
        cr_expect(savepoints_failed(&savepoints));
        cr_expect_not(savepoints_failed(&savepoints));
        cr_expect_not(savepoints_kept(&savepoints));
        if (i == 0)
            cr_expect_str_eq(answer(place).error, "no room");
    }
}

Test(savepoints, a_drained_job_ends_in_any_case)
{
    ask("/a", WEIR_STOP_DRAIN);
    next_stop_is("/a", WEIR_STOP_DRAIN);
    cr_expect_not(told(WEIR_EVENT_SAVED, "/a", 5));
    cr_expect_not(savepoints_kept(&savepoints), "it ends when its input has");
    ask("/a", WEIR_STOP_DRAIN);
    next_stop_is("/a", WEIR_STOP_DRAIN);
    told(WEIR_EVENT_UNSAVED, "/a", 5);
    cr_expect_not(savepoints_failed(&savepoints), "nothing goes on");
}

/* N2 */
Test(savepoints, one_stop_is_under_way_at_a_time)
{
    unsigned place = ask("/a", WEIR_STOP_SUSPEND);

    refused("/b", WEIR_STOP_SUSPEND, "a stop that leaves one, /a");
    refused("/b", WEIR_STOP_DRAIN, "a stop that leaves one, /a");
    ask("/c", SAVEPOINTS_NO_STOP);
    next_stop_is("/a", WEIR_STOP_SUSPEND);
    refused("/b", WEIR_STOP_SUSPEND, "a stop that leaves one, /a");
    savepoints_refuse(&savepoints, "/a", "the program is stopping already");
    cr_expect_str_eq(answer(place).error, "the program is stopping already");
    cr_expect_not(savepoints_failed(&savepoints), "the job was not asked");
    ask("/b", WEIR_STOP_SUSPEND);
}
