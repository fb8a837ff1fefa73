/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_trial.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a life in a child ---- */

struct report {
    struct sim_result result;
    bool well, over; /* over: the child came to its end */
};

static void live_in_child(const struct sim_plan *plan, bool twice, FILE *words,
                          struct report *report)
{
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    dup2(fileno(words), STDERR_FILENO);
    report->well = twice ? sim_job_live_twice(plan, &report->result)
                         : sim_job_live_planted(plan, &report->result);
    report->over = true;
    _exit(0);
}

/* The line that says why the child ended itself, if there is one. */
static void last_words(FILE *words, char *text, size_t size)
{
    char line[300];

    text[0] = '\0';
    rewind(words);
    while (fgets(line, sizeof line, words) != NULL) {
        const char *found = strstr(line, "Assertion");
        if (found == NULL && strncmp(line, "sim: ", 5) == 0)
            found = line;
        if (found != NULL)
            snprintf(text, size, "%.*s", (int)strcspn(found, "\n"), found);
    }
}

bool sim_trial(const struct sim_plan *plan, bool twice, struct sim_result *result)
{
    struct report *report =
        mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *words = tmpfile();
    int status = 0;
    char text[250];
    pid_t child;
    bool well;

    if (report == MAP_FAILED || words == NULL)
        abort();
    child = fork();
    if (child == 0)
        live_in_child(plan, twice, words, report);
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    well = report->over && report->well;
    *result = report->result;
    if (!report->over) {
        last_words(words, text, sizeof text);
        snprintf(result->failure, sizeof result->failure, "signal %d: %s",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0, text);
    }
    fclose(words);
    munmap(report, sizeof *report);
    return well;
}

/* ---- smaller ---- */

void sim_trial_way(const char *failure, char way[SIM_WAY])
{
    size_t size = 0;

    if (failure[0] == 'W' && isdigit((unsigned char)failure[1])) {
        snprintf(way, SIM_WAY, "%.*s", (int)strcspn(failure, ":"), failure);
        return;
    }
    for (; *failure != '\0' && size < SIM_WAY - 1; failure++) {
        if (!isdigit((unsigned char)*failure))
            way[size++] = *failure;
    }
    way[size] = '\0';
}

struct shrinking {
    struct sim_plan *plan; /* the smallest so far */
    struct sim_result *result;
    char way[SIM_WAY];
    uint32_t tries;
};

static bool fails_too(struct shrinking *shrinking, const struct sim_plan *smaller)
{
    struct sim_result result;
    char way[SIM_WAY];

    shrinking->tries++;
    if (sim_trial(smaller, true, &result))
        return false;
    sim_trial_way(result.failure, way);
    if (strcmp(way, shrinking->way) != 0)
        return false;
    *shrinking->plan = *smaller;
    *shrinking->result = result;
    return true;
}

static bool drop_these(struct shrinking *shrinking, uint32_t troubles)
{
    struct sim_plan plan = *shrinking->plan;

    plan.dropped |= troubles;
    return plan.dropped != shrinking->plan->dropped && fails_too(shrinking, &plan);
}

static uint32_t of_kind(const struct sim_result *result, uint32_t fault)
{
    uint32_t troubles = 0;

    for (uint32_t i = 0; i < result->troubles; i++)
        troubles |= result->drawn[i] == fault ? 1u << i : 0;
    return troubles;
}

/* All of a kind at once, then one by one. */
static bool drop_troubles(struct shrinking *shrinking)
{
    bool smaller = false;

    for (uint32_t fault = 0; fault < SIM_FAULTS; fault++)
        smaller |= drop_these(shrinking, of_kind(shrinking->result, fault));
    for (uint32_t i = 0; i < shrinking->result->troubles; i++)
        smaller |= drop_these(shrinking, 1u << i);
    return smaller;
}

static bool drop_conditions(struct shrinking *shrinking)
{
    bool smaller = false;

    for (uint32_t i = 0; i < SIM_CONDITIONS; i++) {
        struct sim_plan plan = *shrinking->plan;
        if ((shrinking->result->conditions >> i & 1) == 0)
            continue;
        plan.conditions = shrinking->result->conditions & ~(1u << i);
        smaller |= fails_too(shrinking, &plan);
    }
    return smaller;
}

/* By halves, then by less and less. */
static bool drop_records(struct shrinking *shrinking)
{
    bool smaller = false;

    for (uint64_t step = shrinking->result->records / 2; step > 0;) {
        struct sim_plan plan = *shrinking->plan;
        uint64_t records = shrinking->result->records;
        plan.records = records > step ? records - step : 1;
        if (plan.records < records && fails_too(shrinking, &plan))
            smaller = true;
        else
            step /= 2;
    }
    return smaller;
}

uint32_t sim_trial_shrink(struct sim_plan *plan, struct sim_result *result)
{
    struct shrinking shrinking = {.plan = plan, .result = result, .tries = 1};
    bool smaller = true;

    if (sim_trial(plan, true, result))
        return 0;
    sim_trial_way(result->failure, shrinking.way);
    while (smaller) {
        smaller = drop_troubles(&shrinking);
        smaller |= drop_conditions(&shrinking);
        smaller |= drop_records(&shrinking);
    }
    return shrinking.tries;
}
