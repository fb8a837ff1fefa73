/* SPDX-License-Identifier: Apache-2.0
 *
 * torture: weir_operator_torture. A *trial* is one life of an operator, from its first record to
 * the end of its input and the last commit, over as many instances as it takes; its *course* says
 * what is done to it on the way. The first trial is the plain run, to which the others are held.
 *
 * A *position* is how much of its life an operator has behind it: the steps it was fed, and then
 * the task's moves since the end of input. A source has moves only. Where a cut falls is exact for
 * steps, and about right for moves; nothing depends on it, for what a reader would have that
 * restarts from the cut is told by the markers (rig.h, R2).
 *
 *   trial      course
 *       0      plain
 *       1      AGAIN: the same once more, beside other memory
 *       2      GRUDGING: batches, and output that is taken only when nothing else moves
 *       3      CUT: a checkpoint at every position, each committed
 *       4      ABORT: each aborted instead, early or late
 *       5      RESTORE: each restored from at once, before it was told
 *       6      REPEAT: each committed; one position further, then dropped and restored
 *     7 ...    ONE: a checkpoint at one position, exactly, and a drop some way behind it. For every
 *              position if half of the trials are enough; else a quarter of the trials goes over
 *              the end, which is short and has its own mistakes
 *    the rest  CHANCE
 *
 * Courses that go over every position take larger strides where these are many.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "memory.h"
#include "rig.h"

#define TRIALS 100
#define STOPS 100       /* of a course that goes over every position */
#define CHANCE_STOPS 12 /* of one by chance, at most */
#define MOVES_LIMIT (1u << 20)
#define STORY_SIZE 170

enum course { AGAIN = 1, GRUDGING, CUT, ABORT, RESTORE, REPEAT, ONE, CHANCE };

enum fate { TOLD, TOLD_LATER, NEVER_TOLD, ABORTED_EARLY, ABORTED_LATE };

/* The newest checkpoint that a restart would go on from. */
struct durable {
    uint64_t id; /* 0: there is none */
    size_t position;
    struct blob_buffer part;
    struct logs logs;
    struct saver_list
        later; /* every second one's is written at once, others' when they are needed */
    struct transcript_mark mark;
};

static void free_durable(struct durable *durable)
{
    blob_buffer_free(&durable->part, NULL);
    logs_free(&durable->logs);
    saver_list_free(&durable->later);
}

struct torture {
    struct weir_torture_options options;
    struct rig_plan plan;
    struct transcript plain;
    uint64_t plain_visible;
    size_t life; /* positions of the plain run */

    /* of the trial at hand */
    uint32_t trial;
    enum course course;
    uint64_t draws;
    struct rig rig;
    struct transcript out;
    size_t position;
    size_t batch;      /* steps fed at a time, at most */
    bool ending;       /* the instance was told the end of its input */
    bool unsettled;    /* what it was fed it may not have taken yet */
    bool cut, dropped; /* at least once */
    bool differs;      /* from the plain run: that is what failed */
    uint64_t next_id;
    uint32_t epoch;
    uint64_t untold; /* a durable id the instance does not know of; 0: none */
    struct durable durable;
    uint64_t visible; /* since the last commit */
    char story[STORY_SIZE];
};

/* ------------------------------------------------------------------ chance and words -- */

/* 0 .. below-1; splitmix64. */
static uint64_t draw(struct torture *torture, uint64_t below)
{
    uint64_t z = torture->draws += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* The end of a story is what matters most: its beginning makes room. */
static void WEIR_PRINTF(2, 3) tell(struct torture *torture, const char *format, ...)
{
    char text[80];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    char *story = torture->story;
    size_t used = strlen(story), more = strlen(text);
    if (used + more + 3 > STORY_SIZE) {
        size_t gone = used + more + 3 + 3 - STORY_SIZE;
        gone = gone < used ? gone : used;
        memmove(story + 3, story + gone, used - gone + 1);
        memcpy(story, "...", 3);
        used = strlen(story);
    }
    snprintf(story + used, STORY_SIZE - used, "%s%s", used ? ", " : "", text);
}

static const char *place(const struct torture *torture, char room[40])
{
    size_t steps = torture->options.step_count;
    if (torture->position <= steps && !torture->plan.table->poll)
        snprintf(room, 40, "step %zu", torture->position);
    else
        snprintf(room, 40, "%s %zu", torture->plan.table->poll ? "move" : "end +",
                 torture->position - steps);
    return room;
}

static const char *hint(const struct torture *torture)
{
    if (torture->dropped)
        return "is all that it goes by in its saved state?";
    if (torture->cut)
        return "it was saved and never restored: does save, prepare, commit or aborted change what "
               "it does?";
    if (torture->course == GRUDGING)
        return "nothing was saved or restored: does it keep a view for longer than its callback, "
               "or go by how records are batched?";
    return "two undisturbed runs differ: does it ask a clock or random(), keep a static variable, "
           "or read memory it did not write?";
}

/* ------------------------------------------------------------------------- outside -- */

static enum weir_result look_outside(struct torture *torture, uint64_t *visible,
                                     struct weir_error *error)
{
    const struct weir_torture_options *options = &torture->options;
    *visible = 0;
    return options->visible ? options->visible(options->context, visible, error) : WEIR_OK;
}

/* Nothing may become visible but by commit; a sink that does not promise that says so. */
static enum weir_result check_unpublished(struct torture *torture, struct weir_error *error)
{
    uint64_t visible;
    if (!torture->options.visible || torture->plan.table->guarantee != WEIR_EXACTLY_ONCE)
        return WEIR_OK;
    enum weir_result result = look_outside(torture, &visible, error);
    if (!result && visible != torture->visible)
        result = error_set(error, WEIR_FAILED, 0,
                           "what is visible outside has changed before a checkpoint was committed");
    return result;
}

static enum weir_result compare_output(struct torture *torture, enum transcript_how how,
                                       struct weir_error *error)
{
    enum weir_result result =
        transcript_compare(&torture->plain, &torture->out, how, torture->plan.output_names, error);
    torture->differs = result == WEIR_FAILED;
    return result;
}

static enum weir_result compare(struct torture *torture, struct weir_error *error)
{
    bool unordered = torture->options.unordered;
    uint64_t visible;
    enum weir_result result =
        compare_output(torture, unordered ? TRANSCRIPT_UNORDERED : TRANSCRIPT_ORDERED, error);
    if (!result)
        result = look_outside(torture, &visible, error);
    if (!result && visible != torture->plain_visible) {
        torture->differs = true;
        result = error_set(error, WEIR_FAILED, 0,
                           "what is visible outside is not what it is after the plain run");
    }
    return result;
}

/* ----------------------------------------------------------------- lives of instances -- */

static struct rig_manner draw_manner(struct torture *torture)
{
    static const uint32_t bytes[] = {64, 1024, 32768}, windows[] = {1, 2, 8}, spans[] = {1, 3, 128};
    return (struct rig_manner){
        .batch_bytes = bytes[draw(torture, 3)],
        .window = windows[draw(torture, 3)],
        .span = spans[draw(torture, 3)],
        .grudging = draw(torture, 2) == 0,
    };
}

static struct rig_manner manner_of(struct torture *torture)
{
    if (torture->course == GRUDGING)
        return (struct rig_manner){.batch_bytes = 64, .window = 1, .span = 128, .grudging = true};
    if (torture->course >= ONE)
        return draw_manner(torture);
    return (struct rig_manner){.batch_bytes = 1024, .window = 8, .span = 1};
}

static enum weir_result start(struct torture *torture, struct weir_error *error)
{
    struct durable *durable = &torture->durable;
    struct rig_options options = {
        .manner = manner_of(torture),
        .store = torture->options.store,
        .epoch = ++torture->epoch,
        .restored = durable->id,
        .part = {durable->part.data, durable->part.size},
        .logs = &durable->logs,
        .filling = (unsigned char)(0x5a + 7 * torture->trial),
    };
    torture->position = durable->position;
    torture->ending = torture->unsettled = false;
    torture->untold = 0;
    enum weir_result result =
        rig_open(&torture->rig, &torture->plan, &options, &torture->out, error);
    return result ? result : look_outside(torture, &torture->visible, error);
}

/* The instance goes, and with it all that came after the last checkpoint. */
static enum weir_result drop(struct torture *torture, struct weir_error *error)
{
    char at[40];
    place(torture, at);
    enum weir_result result = check_unpublished(torture, error);
    if (!result) /* at last; it is memory of this instance's */
        result = rig_write_later(&torture->durable.later, &torture->durable.part, error);
    saver_list_free(&torture->durable.later);
    enum weir_result closed = rig_close(&torture->rig, result ? NULL : error);
    if (result || closed)
        return result ? result : closed;
    transcript_rewind(&torture->out, &torture->durable.mark);
    if (!torture->options.unordered) /* the sooner, the shorter the story */
        result = compare_output(torture, TRANSCRIPT_PART, error);
    if (result)
        return result;
    torture->dropped = true;
    torture->position = torture->durable.position;
    char back[40];
    place(torture, back);
    if (torture->durable.id)
        tell(torture, "dropped at %s, restored at %s", at, back);
    else
        tell(torture, "dropped at %s, begun afresh", at);
    return start(torture, error);
}

static enum weir_result settle(struct torture *torture, struct weir_error *error)
{
    bool due = torture->unsettled && !torture->ending && !torture->plan.table->poll;
    torture->unsettled = false;
    return due ? rig_settle(&torture->rig, error) : WEIR_OK;
}

/* Behind the steps. Until the task knows that its input has ended, it is where it was. */
static enum weir_result move_on(struct torture *torture, size_t to, struct weir_error *error)
{
    bool source = torture->plan.table->poll;
    enum weir_result result = WEIR_OK;
    while (!result && torture->position < to && !torture->rig.ended) {
        if (!torture->ending)
            rig_end(&torture->rig);
        torture->ending = true;
        torture->position += source || torture->rig.task.input_done;
        result = rig_advance(&torture->rig, error);
    }
    return result;
}

/* Some of the next steps, of one input: inputs are not mixed in what is under way, for their order
 * is not defined then. */
static enum weir_result feed(struct torture *torture, size_t most, struct weir_error *error)
{
    const struct weir_torture_step *steps = torture->options.steps;
    size_t count = torture->batch > 1 ? 1 + draw(torture, torture->batch) : 1;
    enum weir_result result = settle(torture, error);
    unsigned input = steps[torture->position].input;
    for (size_t i = 0; !result && i < count && i < most; i++) {
        if (steps[torture->position].input != input)
            break;
        result = rig_feed(&torture->rig, &steps[torture->position], error);
        torture->position++;
    }
    rig_send(&torture->rig);
    torture->unsettled = true;
    return result;
}

/* Up to a position, or the end. Perhaps not settled there: a cut waits its turn. */
static enum weir_result go(struct torture *torture, size_t to, struct weir_error *error)
{
    size_t steps = torture->options.step_count;
    enum weir_result result = WEIR_OK;
    while (!result && torture->position < to && torture->position < steps)
        result = feed(torture, (to < steps ? to : steps) - torture->position, error);
    bool settled = torture->course < ONE || draw(torture, 2) == 0;
    if (!result && (settled || to > steps))
        result = settle(torture, error);
    return result ? result : move_on(torture, to, error);
}

static enum weir_result commit(struct torture *torture, uint64_t id, struct weir_error *error)
{
    enum weir_result result = check_unpublished(torture, error);
    if (!result)
        result = rig_commit(&torture->rig, id, error);
    if (!result)
        result = look_outside(torture, &torture->visible, error);
    if (id == torture->untold)
        torture->untold = 0;
    return result;
}

static enum weir_result keep_durable(struct torture *torture, uint64_t id, struct weir_error *error)
{
    struct durable *durable = &torture->durable;
    struct rig *rig = &torture->rig;
    free_durable(durable);
    *durable = (struct durable){id, torture->position, rig->part, rig->logs, rig->later, rig->mark};
    rig->part = (struct blob_buffer){0};
    rig->logs = (struct logs){0};
    rig->later = (struct saver_list){0};
    return id % 2 ? rig_write_later(&durable->later, &durable->part, error) : WEIR_OK;
}

/* Its markers may still lie before what comes next. */
static enum weir_result abort_round(struct torture *torture, bool late, struct weir_error *error)
{
    enum weir_result result = late ? rig_complete(&torture->rig, error) : WEIR_OK;
    rig_abort(&torture->rig);
    torture->unsettled = true;
    return result;
}

/* One round. What is told later is told once the next round has cut. */
static enum weir_result run_round(struct torture *torture, enum fate fate, struct weir_error *error)
{
    uint64_t id = torture->next_id++, untold = torture->untold;
    rig_announce(&torture->rig, id);
    if (fate >= ABORTED_EARLY)
        return abort_round(torture, fate == ABORTED_LATE, error);
    enum weir_result result = rig_complete(&torture->rig, error);
    if (result)
        return result;
    result = keep_durable(torture, id, error);
    if (result)
        return result;
    if (untold)
        result = commit(torture, untold, error);
    torture->untold = id;
    return result || fate != TOLD ? result : commit(torture, id, error);
}

static enum weir_result checkpoint(struct torture *torture, enum fate fate,
                                   struct weir_error *error)
{
    char at[40];
    torture->cut = true;
    tell(torture, "cut%s at %s", fate >= ABORTED_EARLY ? " and aborted" : "", place(torture, at));
    return run_round(torture, fate, error);
}

/* What is left of its life, but for the job's last round. */
static enum weir_result live_on(struct torture *torture, struct weir_error *error)
{
    size_t most = torture->options.step_count + MOVES_LIMIT;
    enum weir_result result = go(torture, most, error);
    if (!result && !torture->rig.ended)
        result = error_set(error, WEIR_TOO_LARGE, 0,
                           "it has not ended after %u moves: sources under torture need an end",
                           MOVES_LIMIT);
    return result;
}

static enum weir_result finish(struct torture *torture, struct weir_error *error)
{
    bool die = torture->course == RESTORE || (torture->course >= ONE && draw(torture, 2) == 0);
    enum weir_result result = live_on(torture, error);
    if (!result && die) {
        result = checkpoint(torture, NEVER_TOLD, error);
        if (!result)
            result = drop(torture, error);
        if (!result)
            result = live_on(torture, error);
    }
    return result ? result : run_round(torture, TOLD, error);
}

/* ------------------------------------------------------------------------- courses -- */

/* An instance's first move after a restore may be to say again how far time has come: with strides
 * of one, nothing else would ever be done. */
static size_t stride(const struct torture *torture)
{
    bool moves = torture->plan.table->poll || torture->position >= torture->options.step_count;
    return 1 + torture->life / STOPS + moves;
}

static enum weir_result at_stop(struct torture *torture, struct weir_error *error)
{
    enum weir_result result;
    switch (torture->course) {
    case CUT:
        return checkpoint(torture, TOLD, error);
    case ABORT:
        return checkpoint(torture, torture->position % 2 ? ABORTED_LATE : ABORTED_EARLY, error);
    case RESTORE:
        result = checkpoint(torture, NEVER_TOLD, error);
        return result ? result : drop(torture, error);
    default:
        result = checkpoint(torture, TOLD, error);
        if (!result)
            result = go(torture, torture->position + stride(torture), error);
        return result ? result : drop(torture, error);
    }
}

static enum weir_result run_everywhere(struct torture *torture, struct weir_error *error)
{
    enum weir_result result = at_stop(torture, error);
    bool last = false;
    size_t most = 2 * torture->life + STOPS; /* or it makes no headway */
    while (!result && !last && torture->position < most) {
        result = go(torture, torture->position + stride(torture), error);
        last = torture->rig.ended;
        if (!result)
            result = at_stop(torture, error);
    }
    return result;
}

/* The positions that have a trial of their own: so many, from `first` on, spread evenly up to the
 * end of the plain run. */
static uint32_t own_trials(const struct torture *torture, size_t *first)
{
    uint32_t trials = torture->options.trials;
    *first = 0;
    if (torture->life + ONE <= trials / 2)
        return (uint32_t)torture->life + 1;
    *first = torture->options.step_count;
    size_t end = torture->life - *first + 1;
    return end < trials / 4 ? (uint32_t)end : trials / 4;
}

static enum weir_result run_one(struct torture *torture, struct weir_error *error)
{
    static const enum fate fates[] = {TOLD, NEVER_TOLD};
    size_t first;
    uint32_t all = own_trials(torture, &first), index = torture->trial - ONE;
    size_t at = all < 2 ? first : first + index * (torture->life - first) / (all - 1);
    enum weir_result result = go(torture, at, error);
    if (!result)
        result = checkpoint(torture, fates[draw(torture, 2)], error);
    size_t further = draw(torture, torture->life - at + 1);
    if (!result)
        result = go(torture, at + further, error);
    return result ? result : drop(torture, error);
}

static enum weir_result run_by_chance(struct torture *torture, struct weir_error *error)
{
    enum weir_result result = WEIR_OK;
    uint64_t stops = 1 + draw(torture, CHANCE_STOPS);
    size_t steps = torture->options.step_count;
    if (draw(torture, 4) == 0) /* the end is short, and has its own mistakes */
        result = go(torture, steps + draw(torture, torture->life - steps + 1), error);
    for (uint64_t i = 0; !result && i < stops; i++) {
        uint64_t far = 1 + 2 * torture->life / stops;
        result = go(torture, torture->position + draw(torture, far), error);
        uint64_t deed = draw(torture, 8);
        if (!result && deed <= ABORTED_LATE)
            result = checkpoint(torture, (enum fate)deed, error);
        if (!result && deed > ABORTED_LATE)
            result = drop(torture, error);
    }
    return result;
}

static enum weir_result run_course(struct torture *torture, struct weir_error *error)
{
    switch (torture->course) {
    case CUT:
    case ABORT:
    case RESTORE:
    case REPEAT:
        return run_everywhere(torture, error);
    case ONE:
        return run_one(torture, error);
    case CHANCE:
        return run_by_chance(torture, error);
    default:
        return WEIR_OK;
    }
}

static enum course course_of(const struct torture *torture, uint32_t trial)
{
    if (trial < ONE)
        return (enum course)trial;
    size_t first;
    return trial - ONE < own_trials(torture, &first) ? ONE : CHANCE;
}

static enum weir_result run_trial(struct torture *torture, struct weir_error *error)
{
    const struct weir_torture_options *options = &torture->options;
    enum weir_result result = options->begin ? options->begin(options->context, error) : WEIR_OK;
    if (result)
        return result;
    result = start(torture, error);
    if (!result)
        result = run_course(torture, error);
    if (!result)
        result = finish(torture, error);
    saver_list_free(&torture->durable.later);
    enum weir_result closed = rig_close(&torture->rig, result ? NULL : error);
    return result ? result : closed;
}

/* Nothing of the trial before is left. */
static void clear_trial(struct torture *torture)
{
    free_durable(&torture->durable);
    torture->durable = (struct durable){.mark = transcript_beginning()};
    transcript_rewind(&torture->out, &torture->durable.mark);
    torture->story[0] = 0;
    torture->epoch = 0;
    torture->next_id = 1;
    torture->cut = torture->dropped = torture->differs = false;
}

static enum weir_result one_trial(struct torture *torture, uint32_t trial, struct weir_error *error)
{
    clear_trial(torture);
    torture->trial = trial;
    torture->course = course_of(torture, trial);
    torture->draws = torture->options.seed * 0x100000001b3u + trial;
    torture->batch = torture->course == GRUDGING ? 64 : 1;
    if (torture->course >= ONE)
        torture->batch = draw(torture, 2) ? 1 + draw(torture, 64) : 1;
    enum weir_result result = run_trial(torture, error);
    if (!result && trial)
        result = compare(torture, error);
    if (!result || result == WEIR_NO_MEMORY)
        return result;
    if (torture->differs) {
        size_t used = strlen(error->text);
        snprintf(error->text + used, sizeof error->text - used, "; %s", hint(torture));
    }
    if (!trial)
        return error_within(error, "the plain run");
    error_within(error, "trial %u of %u, seed %" PRIu64 "%s%s", trial, torture->options.trials,
                 torture->options.seed, *torture->story ? ", " : "", torture->story);
    return result;
}

/* -------------------------------------------------------------------------- the kit -- */

static enum weir_result plain_run(struct torture *torture, struct weir_error *error)
{
    enum weir_result result = one_trial(torture, 0, error);
    if (!result)
        result = look_outside(torture, &torture->plain_visible, error);
    torture->plain = torture->out;
    transcript_init(&torture->out);
    torture->life = torture->position;
    return result;
}

static enum weir_result all_trials(struct torture *torture, struct weir_error *error)
{
    uint32_t only = torture->options.only;
    enum weir_result result = plain_run(torture, error);
    for (uint32_t i = 1; !result && i <= torture->options.trials; i++)
        if (!only || only == i)
            result = one_trial(torture, i, error);
    return result;
}

static enum weir_result check_steps(const struct torture *torture, struct weir_error *error)
{
    const struct weir_torture_options *options = &torture->options;
    if (options->step_count && torture->plan.table->poll)
        return error_set(error, WEIR_INVALID, 0, "a source is not fed: give it no steps");
    for (size_t i = 0; i < options->step_count; i++) {
        const struct weir_torture_step *step = &options->steps[i];
        if (step->input >= torture->plan.input_count)
            return error_set(error, WEIR_INVALID, 0, "step %zu is for input %u, and there are %u",
                             i + 1, step->input, torture->plan.input_count);
        if (step->record.key.size > WEIR_KEY_LIMIT || step->record.value.size > WEIR_VALUE_LIMIT)
            return error_set(error, WEIR_TOO_LARGE, 0, "step %zu: a key or value is over 16 MiB",
                             i + 1);
    }
    return WEIR_OK;
}

/* Of a node that a constructor has added to a graph. A graph keeps a plain function with its config
 * behind a table, so a table is all there is. */
static enum weir_result node_of_graph(const struct weir_torture_options *options,
                                      struct weir_node_options *node, struct weir_error *error)
{
    const struct weir_graph *graph = options->graph;
    if (graph->error.code) {
        *error = graph->error;
        return error->code;
    }
    if (options->at.index >= graph->node_count)
        return error_set(error, WEIR_INVALID, 0, "options.at is no node of the graph");
    const struct graph_node *from = &graph->nodes[options->at.index];
    *node = (struct weir_node_options){
        WEIR_SIZED(struct weir_node_options),
        .name = from->name,
        .table = from->table,
        .config = from->config,
        .states = from->states,
        .state_count = from->declared_count,
        .inputs = (const char *const *)from->inputs,
        .input_count = from->input_count,
        .outputs = (const char *const *)from->outputs,
        .output_count = from->output_count,
    };
    return WEIR_OK;
}

static enum weir_result take_options(struct torture *torture,
                                     const struct weir_torture_options *given,
                                     struct weir_node_options *node, struct weir_error *error)
{
    struct weir_torture_options *mine = &torture->options;
    if (!given || given->size < sizeof given->size)
        return error_set(error, WEIR_INVALID, 0,
                         "struct weir_torture_options: .size is not set, write "
                         "{WEIR_SIZED(struct weir_torture_options), ...}");
    memcpy(mine, given, given->size < sizeof *mine ? given->size : sizeof *mine);
    mine->trials = mine->trials ? mine->trials : TRIALS;
    mine->seed = mine->seed ? mine->seed : 1;
    if (!mine->node == !mine->graph)
        return error_set(error, WEIR_INVALID, 0,
                         "weir_operator_torture: give it a node, or a graph and which node of it");
    if (mine->step_count && !mine->steps)
        return error_set(error, WEIR_INVALID, 0, "options.steps is NULL");
    if (mine->graph)
        return node_of_graph(mine, node, error);
    if (mine->node->size < sizeof mine->node->size)
        return error_set(error, WEIR_INVALID, 0,
                         "struct weir_node_options: .size is not set, write "
                         "{WEIR_SIZED(struct weir_node_options), ...}");
    memcpy(node, mine->node, mine->node->size < sizeof *node ? mine->node->size : sizeof *node);
    return WEIR_OK;
}

enum weir_result weir_operator_torture(const struct weir_torture_options *options,
                                       struct weir_error *error)
{
    struct weir_node_options node = {0};
    struct weir_error unread;
    error = error ? error : &unread;
    struct torture *torture = memory_zeroed(NULL, 1, sizeof *torture);
    if (!torture)
        return error_memory(error, "the torture", sizeof *torture);
    transcript_init(&torture->plain);
    transcript_init(&torture->out);
    enum weir_result result = take_options(torture, options, &node, error);
    node.size = sizeof node;
    node.parallelism = 1;
    if (!result)
        result = rig_plan_make(&torture->plan, &node, error);
    if (!result)
        result = check_steps(torture, error);
    if (!result)
        result = all_trials(torture, error);
    rig_plan_free(&torture->plan);
    transcript_free(&torture->plain);
    transcript_free(&torture->out);
    free_durable(&torture->durable);
    memory_release(NULL, torture);
    return result;
}
