/* links: flow */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task does and waits for, in words: each thing that can be told, and nothing that is cut.
 */
#include "flow.h"

#include "waits.h"

static struct weir_graph *graph;
static struct plan plan;
static struct task_pulse pulse;
static struct words words;

/* Task 0: numbers; tasks 1, 2: split; tasks 3, 4: count + show. Channels: 0, 1 into split; 2 to 5
 * from split to count. */
static void begin(void)
{
    struct weir_error error = {0};
    graph = weir_graph_new(NULL);
    struct weir_sequence_source_options options = {WEIR_SIZED(struct weir_sequence_source_options),
                                                   .count = 1, .parallelism = 1};
    weir_node numbers = weir_sequence_source(graph, "numbers", &options), node[3];
    static const char *const names[] = {"split", "count", "show"};
    for (int i = 0; i < 3; i++)
        node[i] = weir_graph_add(graph, &(struct weir_node_options){
                                            WEIR_SIZED(struct weir_node_options), .name = names[i],
                                            .function = flow_pass, .parallelism = 2});
    weir_connect(graph, numbers, node[0], WEIR_SPREAD);
    weir_connect(graph, node[0], node[1], WEIR_BY_KEY);
    weir_connect(graph, node[1], node[2], WEIR_FORWARD);
    cr_assert_eq(plan_make(graph, 1, &plan, &error), WEIR_OK, "%s", error.text);
    cr_assert_eq(plan.channel_count, 6);
    memset(&pulse, 0, sizeof pulse);
    words.size = 0;
    words.text[0] = 0;
}

static void finish(void)
{
    plan_free(&plan);
    weir_graph_free(&graph);
}
TestSuite(waits, .init = begin, .fini = finish);

static void says(const char *text)
{
    cr_expect_str_eq(words.text, text);
    cr_expect_eq(words.size, strlen(words.text));
    words.size = 0;
    words.text[0] = 0;
}

Test(waits, words_that_do_not_fit_are_cut)
{
    for (int i = 0; i < 300; i++)
        words_add(&words, "%03d;", i);
    cr_expect_eq(words.size, sizeof words.text - 1);
    cr_expect_eq(strlen(words.text), words.size);
    cr_expect_eq(strncmp(words.text, "000;001;", 8), 0);
    words_add(&words, "more");
    cr_expect_eq(words.size, sizeof words.text - 1);
}

Test(waits, amounts_have_the_unit_that_people_use)
{
    static const struct {
        uint64_t bytes;
        const char *says;
    } sizes[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 kB"},
                 {12340, "12.3 kB"},
                 {67108864, "67.1 MB"},
                 {5000000000u, "5.0 GB"},
                 {7000000000000u, "7.0 TB"},
                 {UINT64_MAX, "18446744.1 TB"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        words_bytes(&words, sizes[i].bytes);
        says(sizes[i].says);
    }
    words_time(&words, 0);
    says("0.0 ms");
    words_time(&words, 1234567);
    says("1.2 ms");
    words_time(&words, 999900000);
    says("999.9 ms");
    words_time(&words, 61500000000);
    says("61.5 s");
}

Test(waits, a_task_is_its_first_operator_and_a_number)
{
    static const char *const names[] = {"numbers.0", "split.0", "split.1", "count.0", "count.1"};
    for (uint32_t task = 0; task < 5; task++) {
        words_task(&words, &plan, task);
        says(names[task]);
    }
}

static void doing(enum task_doing what, const char *call, uint32_t place, const char *text)
{
    pulse_turn(&pulse, what, 5);
    pulse.call = call;
    pulse.place = place;
    waits_doing(&words, &plan, 3, &pulse);
    says(text);
}

Test(waits, whatever_a_task_does_can_be_told)
{
    doing(TASK_OPENING, "open", 1, "opens, in open of show");
    doing(TASK_OPENING, NULL, 0, "opens");
    doing(TASK_WAITING, NULL, 0, "waits for input or a time");
    doing(TASK_HELD, NULL, 0, "count holds the input");
    doing(TASK_CALLING, "process", 0, "at work, in process of count");
    doing(TASK_CALLING, "process", 1, "at work, in process of show");
    doing(TASK_CALLING, NULL, 0, "at work");
    doing(TASK_CUTTING, "save", 1, "saves itself, in save of show");
    doing(TASK_CUTTING, NULL, 0, "saves itself");
    doing(TASK_ENDED, NULL, 0, "has ended");
    doing(TASK_FAILED, NULL, 0, "has failed");
    doing(TASK_GONE, NULL, 0, "is gone");
    doing(TASK_CALLING, "process", 99, "at work, in process of count"); /* read in between */
}

Test(waits, what_the_writer_does_can_be_told)
{
    struct writer_pulse writer = {.doing = NULL};
    waits_writer(&words, &plan, &writer);
    says("has nothing to write");
    pulse_write(&writer, "syncing", 17, 5);
    waits_writer(&words, &plan, &writer);
    says("syncing checkpoint 17");
    pulse_instance(&writer, 1 + 4); /* numbers, then 2 of split, 2 of count, 2 of show */
    waits_writer(&words, &plan, &writer);
    says("syncing checkpoint 17, in what count.1 has to save");
    pulse_instance(&writer, 0);
    pulse_write(&writer, "clearing up", 0, 5);
    waits_writer(&words, &plan, &writer);
    says("clearing up");
}

Test(waits, who_waits_for_credit_says_from_whom)
{
    pulse.blocked = 1 + 3; /* from split.0 to count.1 */
    doing(TASK_BLOCKED, NULL, 0, "its output waits for credit from count.1 (channel 3)");
    pulse.blocked = 0;
    doing(TASK_BLOCKED, NULL, 0, "its output waits for credit");
    pulse.blocked = 1 + 6; /* no such channel */
    doing(TASK_BLOCKED, NULL, 0, "its output waits for credit");
}

static void in_round(uint64_t id, int64_t now_ns, const char *text)
{
    waits_round(&words, &plan, 4, &pulse, id, now_ns);
    says(text);
}

Test(waits, what_keeps_a_task_from_answering_a_round)
{
    pulse_turn(&pulse, TASK_WAITING, 1000000);
    in_round(7, 3500000, "count.1 has not heard of it, waits for input or a time for 2.5 ms");
    pulse.round = 7;
    pulse.lacking = 1 + 5; /* from split.1 */
    in_round(7, 1000000,
             "count.1 waits for the marker of split.1 (channel 5), waits for input or a time");
    pulse.round = 6;
    pulse.cut = 6; /* of a round before: what it lacks there is another story */
    in_round(7, 0, "count.1 has not heard of it, waits for input or a time");
    pulse.round = 0;
    pulse.cut = 7;
    pulse.lacking = 1 + 3;
    in_round(7, 0,
             "count.1 has saved itself, waits for the marker of split.0 (channel 3), waits for "
             "input or a time");
    pulse.lacking = 0;
    pulse.unsent_markers = 2;
    pulse.blocked = 1;
    pulse_turn(&pulse, TASK_BLOCKED, 0);
    in_round(7, 9,
             "count.1 has saved itself, its marker has not left on 2 outputs, its output waits for "
             "credit from split.0 (channel 0)");
    pulse.unsent_markers = 0;
    pulse_turn(&pulse, TASK_CALLING, 1000000000);
    pulse.call = "process";
    pulse.cut = 0;
    pulse.round = 7;
    in_round(7, 4000000000, "count.1 at work, in process of count for 3.0 s");
}
