/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

static const char *const fault_names[SIM_FAULTS] = {"none",   "kill", "power", "disk",  "full",
                                                    "memory", "stop", "sink",  "step",  "operator",
                                                    "lose",   "cut",  "clock", "pause", "damage"};
static const char *const condition_names[SIM_CONDITIONS] = {
    "delay", "duplicates", "reorder", "credits", "slow", "short", "refuse", "tight", "rescale"};
static const char *const aim_names[] = {
    "", " at a rename", " at a commit", " at retention", " at a message", " at a sync"};
static const char *const call_names[SIM_CALLS] = {"any",   "open", "load",   "poll", "process",
                                                  "timer", "wake", "finish", "save", "prepare"};

const char *sim_fault_name(enum sim_fault fault)
{
    return fault_names[fault];
}

const char *sim_condition_name(enum sim_condition condition)
{
    return condition_names[condition];
}

/* ---- drawing ---- */

struct sim_plan sim_plan_of(uint64_t seed)
{
    return (struct sim_plan){
        .seed = seed, .allowed = SIM_ALL_FAULTS, .conditions = SIM_ALL_CONDITIONS};
}

uint64_t sim_plan_stream(const struct sim_plan *plan, enum sim_draws what, uint64_t number)
{
    return explore_mix(explore_mix(plan->seed + UINT64_C(0x51ED270B)) ^
                       (number << 8 | (uint64_t)what));
}

uint32_t sim_plan_faults(const struct sim_plan *plan)
{
    uint64_t draw = sim_plan_stream(plan, SIM_DRAW_FAULTS, 0);
    uint32_t faults = (uint32_t)explore_random(&draw) & plan->allowed;

    return faults == 0 ? plan->allowed : faults;
}

uint32_t sim_plan_conditions(const struct sim_plan *plan)
{
    uint64_t draw = sim_plan_stream(plan, SIM_DRAW_CONDITIONS, 0);

    return plan->forced ? plan->conditions : (uint32_t)explore_random(&draw) & plan->conditions;
}

uint32_t sim_plan_trouble_count(const struct sim_plan *plan)
{
    uint64_t draw = sim_plan_stream(plan, SIM_DRAW_COUNT, 0);

    if (plan->forced)
        return plan->trouble_count;
    return plan->allowed == 0 ? 0 : explore_below(&draw, SIM_TROUBLES);
}

/* Small numbers as likely as large ones. */
static uint64_t drawn_place(uint64_t *draw, uint32_t bits)
{
    uint64_t limit = UINT64_C(1) << (1 + explore_below(draw, bits));

    return 1 + explore_random(draw) % limit;
}

static void draw_aim(struct sim_trouble *trouble, uint64_t *draw)
{
    static const enum message_kind kinds[] = {
        MESSAGE_READY,  MESSAGE_CLAIM, MESSAGE_CLAIMED, MESSAGE_ANNOUNCE,  MESSAGE_MARKER,
        MESSAGE_PART,   MESSAGE_PART,  MESSAGE_SEALED,  MESSAGE_DURABLE,   MESSAGE_COMMIT,
        MESSAGE_DONE,   MESSAGE_DONE,  MESSAGE_ABORT,   MESSAGE_COMMITTED, MESSAGE_CONFIRMED,
        MESSAGE_CREDIT, MESSAGE_END,   MESSAGE_ENDED,   MESSAGE_QUIT};
    uint32_t kind = explore_below(draw, sizeof kinds / sizeof kinds[0]);
    uint32_t aim = explore_below(draw, SIM_FILE_AIMS);

    if (trouble->fault == SIM_FAULT_KILL || trouble->fault == SIM_FAULT_POWER)
        trouble->aim = (enum sim_aim)aim;
    if (trouble->fault == SIM_FAULT_STEP && aim % 2 == 1)
        trouble->aim = SIM_AIM_MESSAGE;
    if (trouble->fault == SIM_FAULT_DISK && aim % 2 == 1)
        trouble->aim = SIM_AIM_SYNC;
    trouble->kind = kinds[kind];
}

struct sim_trouble sim_plan_trouble(const struct sim_plan *plan, uint32_t number, uint32_t faults)
{
    static const int os_errors[] = {EIO, ENOSPC, EIO, EMFILE, EDQUOT};
    static const uint32_t bits[SIM_FAULTS] = {1, 9, 9, 9, 14, 11, 14, 4, 12, 10, 9, 9, 8, 12, 20};
    struct sim_trouble trouble = {0};
    uint64_t draw = sim_plan_stream(plan, SIM_DRAW_TROUBLE, number);
    uint32_t most;

    if (plan->forced)
        return plan->troubles[number];
    while ((faults >> trouble.fault & 1) == 0)
        trouble.fault = (enum sim_fault)explore_below(&draw, SIM_FAULTS);
    draw_aim(&trouble, &draw);
    trouble.after = explore_below(&draw, 2) ? 1 : 1 + explore_below(&draw, 12);
    trouble.call = (enum sim_call)explore_below(&draw, SIM_CALLS);
    most = bits[trouble.fault];
    if (trouble.aim != SIM_AIM_NONE)
        most = trouble.aim >= SIM_AIM_MESSAGE ? 5 : 2;
    if (trouble.fault == SIM_FAULT_OPERATOR && trouble.call >= SIM_CALL_TIMER)
        most = 4;
    trouble.k = drawn_place(&draw, most);
    trouble.harder = explore_below(&draw, 2) == 1;
    trouble.os_error = os_errors[explore_below(&draw, 5)];
    trouble.pause_ns = (int64_t)(1000 * drawn_place(&draw, 22)); /* 4 s at most */
    return trouble;
}

/* ---- text ---- */

void sim_trouble_write(const struct sim_trouble *trouble, char *text, size_t size)
{
    char more[100] = "";

    if (trouble->aim == SIM_AIM_MESSAGE)
        snprintf(more, sizeof more, " %d", (int)trouble->kind);
    if (trouble->fault == SIM_FAULT_OPERATOR)
        snprintf(more, sizeof more, " of %s", call_names[trouble->call]);
    if (trouble->fault == SIM_FAULT_DISK)
        snprintf(more, sizeof more, ", errno %d", trouble->os_error);
    if (trouble->fault == SIM_FAULT_PAUSE)
        snprintf(more, sizeof more, " for %" PRId64 " ns", trouble->pause_ns);
    snprintf(text, size, "%s k %" PRIu64 "%s%s%s", fault_names[trouble->fault], trouble->k,
             aim_names[trouble->aim], more, trouble->harder ? ", harder" : "");
}

static void append(char text[SIM_PLAN_TEXT], const char *more)
{
    size_t size = strlen(text);

    snprintf(text + size, SIM_PLAN_TEXT - size, "%s", more);
}

static void append_names(char text[SIM_PLAN_TEXT], const char *option, uint32_t set,
                         const char *const *names, uint32_t count)
{
    bool first = true;

    append(text, option);
    for (uint32_t i = 0; i < count; i++) {
        if ((set >> i & 1) == 0)
            continue;
        append(text, first ? " " : ",");
        append(text, names[i]);
        first = false;
    }
    if (first)
        append(text, " none");
}

static const char *const numbers[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
_Static_assert(sizeof numbers / sizeof numbers[0] == SIM_TROUBLES, "a name for each trouble");

void sim_plan_write(const struct sim_plan *plan, char text[SIM_PLAN_TEXT])
{
    struct sim_plan all = sim_plan_of(plan->seed);
    char number[40];

    snprintf(text, SIM_PLAN_TEXT, "%" PRIu64, plan->seed);
    if (plan->allowed != all.allowed)
        append_names(text, " --faults", plan->allowed, fault_names, SIM_FAULTS);
    if (plan->conditions != all.conditions)
        append_names(text, " --conditions", plan->conditions, condition_names, SIM_CONDITIONS);
    snprintf(number, sizeof number, " --records %" PRIu64, plan->records);
    append(text, plan->records != 0 ? number : "");
    if (plan->dropped != 0)
        append_names(text, " --drop", plan->dropped, numbers, SIM_TROUBLES);
    append(text, plan->plant[0] != '\0' ? " --plant " : "");
    append(text, plan->plant);
}

static bool read_number(const char *word, uint64_t *number)
{
    char *end;
    uint64_t read = strtoull(word, &end, 0);

    if (*word < '0' || *word > '9' || *end != '\0')
        return false;
    *number = read;
    return true;
}

/* "a,b,c"; "none" is the empty set. */
static bool read_names(const char *word, const char *const *names, uint32_t count, uint32_t *set)
{
    *set = 0;
    if (strcmp(word, "none") == 0)
        return true;
    for (;;) {
        size_t size = strcspn(word, ",");
        uint32_t i = 0;
        while (i < count && (strlen(names[i]) != size || strncmp(names[i], word, size) != 0))
            i++;
        if (i == count)
            return false;
        *set |= 1u << i;
        if (word[size] == '\0')
            return true;
        word += size + 1;
    }
}

static bool read_option(struct sim_plan *plan, const char *option, const char *word)
{
    if (strcmp(option, "--faults") == 0)
        return read_names(word, fault_names, SIM_FAULTS, &plan->allowed);
    if (strcmp(option, "--conditions") == 0)
        return read_names(word, condition_names, SIM_CONDITIONS, &plan->conditions);
    if (strcmp(option, "--drop") == 0)
        return read_names(word, numbers, SIM_TROUBLES, &plan->dropped);
    if (strcmp(option, "--records") == 0)
        return read_number(word, &plan->records);
    if (strcmp(option, "--plant") != 0 || strlen(word) >= sizeof plan->plant)
        return false;
    snprintf(plan->plant, sizeof plan->plant, "%s", word);
    return true;
}

bool sim_plan_read(struct sim_plan *plan, const char *text, char why[SIM_PLAN_TEXT])
{
    char words[SIM_PLAN_TEXT], *rest = words, *word, *value;

    snprintf(words, sizeof words, "%s", text);
    while ((word = strtok_r(rest, " \t\n", &rest)) != NULL) {
        if (read_number(word, &plan->seed))
            continue;
        value = strtok_r(rest, " \t\n", &rest);
        if (value != NULL && read_option(plan, word, value))
            continue;
        snprintf(why, SIM_PLAN_TEXT, "\"%.100s %.100s\" is nothing a plan can say", word,
                 value == NULL ? "" : value);
        return false;
    }
    return true;
}
