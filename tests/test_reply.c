/* SPDX-License-Identifier: Apache-2.0 */
/* links: main */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"

static void prints(json_t *json, const char *expected)
{
    char *text = reply_print(json_pack("{so}", "x", json));
    cr_expect_str_eq(text, expected);
    free(text);
}

Test(reply, texts_that_are_not_utf8_are_given_as_far_as_they_are_ascii)
{
    prints(reply_text("caf\xc3\xa9"), "{\"x\":\"caf\xc3\xa9\"}");
    prints(reply_text("/caf\xe9/\"x\"\n"), "{\"x\":\"/caf?/\\\"x\\\"\\n\"}");
    prints(reply_text(""), "{\"x\":\"\"}");
}

Test(reply, numbers_end_where_those_of_json_do)
{
    prints(reply_number(0), "{\"x\":0}");
    prints(reply_number(INT64_MAX), "{\"x\":9223372036854775807}");
    prints(reply_number(UINT64_MAX), "{\"x\":9223372036854775807}");
}

Test(reply, a_refusal_is_a_whole_answer_with_its_question_if_that_was_understood)
{
    char *known = reply_refused("status", "no \"%s\"", "luck"), *unknown = reply_refused(NULL, "?");
    cr_expect_str_eq(known,
                     "{\"weir\":1,\"ok\":false,\"ask\":\"status\",\"error\":\"no \\\"luck\\\"\"}");
    cr_expect_str_eq(unknown, "{\"weir\":1,\"ok\":false,\"error\":\"?\"}");
    free(known);
    free(unknown);
}

/* ---- without memory ---- */

static unsigned allocations_left;

static void *take(size_t size)
{
    return allocations_left > 0 && allocations_left-- > 0 ? malloc(size) : NULL;
}

/* Of the whole answer it has each member as it is, or not at all; or it says what is the matter. */
static bool is_part_of(const char *text, const char *whole)
{
    json_t *part = json_loads(text, 0, NULL), *all = json_loads(whole, 0, NULL), *value;
    const char *name;
    bool holds = part != NULL;
    if (strcmp(text, "{\"weir\":1,\"ok\":false,\"error\":\"out of memory\"}") != 0)
        json_object_foreach(part, name, value) holds &=
            json_equal(value, json_object_get(all, name)) != 0;
    json_decref(part);
    json_decref(all);
    return holds;
}

Test(reply, nobody_waits_for_an_answer_that_had_no_memory)
{
    char *whole = reply_refused("status", "caf\xe9");
    bool complete = false;
    unsigned allocations = 0;
    for (; !complete && allocations < 100; allocations++) {
        allocations_left = allocations;
        json_set_alloc_funcs(take, free);
        char *text = reply_refused("status", "caf\xe9");
        json_set_alloc_funcs(malloc, free);
        cr_expect(is_part_of(text, whole), "%u: %s", allocations, text);
        complete = strcmp(text, whole) == 0;
        free(text);
    }
    cr_expect(complete && allocations > 5);
    free(whole);
}
