/* SPDX-License-Identifier: Apache-2.0 */
/* links: measure */
/*
 * Whose the processors were, and what is said about it.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

Test(machine, ticks_become_seconds_and_guests_are_not_counted_twice)
{
    struct machine_time time = {.own = 3};
    cr_assert(machine_parse_stat("cpu  1000 200 300 5000 500 10 20 70 600 100", 100, &time));
    cr_assert_float_eq(time.all, 71, 1e-9);
    cr_assert_float_eq(time.busy, 15.3, 1e-9);
    cr_assert_float_eq(time.stolen, 0.7, 1e-9);
    cr_assert_eq(time.own, 3);
}

Test(machine, what_is_no_such_line_is_refused_and_changes_nothing)
{
    static const char *const texts[] = {"", "cpu", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8",
                                        "cpu a b c d e f g h"};
    struct machine_time time = {.all = 1, .busy = 2}, before = time;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert_not(machine_parse_stat(texts[i], 100, &time), "%s", texts[i]);
    cr_assert_not(machine_parse_stat("cpu 1 2 3 4 5 6 7 8", 0, &time));
    cr_assert_eq(memcmp(&time, &before, sizeof time), 0);
}

Test(machine, shares_are_of_all_processors_and_what_is_our_own_is_not_others)
{
    struct machine_time from = {.all = 100, .busy = 50, .stolen = 1, .own = 10};
    struct machine_time to = {.all = 120, .busy = 60, .stolen = 3, .own = 14};
    struct machine_use use = machine_use(from, to);
    cr_assert_float_eq(use.steal, 0.1, 1e-9);
    cr_assert_float_eq(use.others, 0.3, 1e-9);
    to.own = 30; /* ticks are coarse: it may look as if we had more than there was */
    cr_assert_eq(machine_use(from, to).others, 0);
    cr_assert_eq(machine_use(from, from).steal, 0);
}

Test(machine, noise_is_told_above_its_limits_and_not_below)
{
    char text[200];
    cr_assert_str_eq(
        machine_noise((struct machine_use){.steal = 0.02, .others = 0.05}, text, sizeof text), "");
    cr_assert(strstr(machine_noise((struct machine_use){.steal = 0.034}, text, sizeof text),
                     "3.4 % of the processors' time was stolen"));
    cr_assert(strstr(machine_noise((struct machine_use){.others = 0.5}, text, sizeof text),
                     "other processes took 50.0 %"));
}

Test(machine, work_of_our_own_shows_as_ours)
{
    struct machine_time from = machine_read(), to;
    volatile unsigned long spins = 0;
    do {
        for (int i = 0; i < 1000000; i++)
            spins++;
        to = machine_read();
    } while (to.own - from.own < 0.05);
    cr_assert_geq(to.all, from.all);
    cr_assert_geq(to.busy, from.busy);
    cr_assert_gt(from.all, 0, "/proc/stat is read");
}

Test(machine, is_described_as_json_with_nothing_missing)
{
    static const char *const texts[] = {"cpu",         "kernel",   "frequency", "huge_pages",
                                        "file_system", "compiler", "flags"};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    machine_print("/tmp", out);
    fclose(out);
    json_t *machine = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(machine, "%s", text);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *value = json_string_value(json_object_get(machine, texts[i]));
        cr_assert(value && *value, "%s: %s", texts[i], text);
    }
    cr_assert_gt(json_integer_value(json_object_get(machine, "processors")), 0);
    cr_assert_gt(json_integer_value(json_object_get(machine, "memory_mib")), 0);
    json_decref(machine);
    free(text);
}
