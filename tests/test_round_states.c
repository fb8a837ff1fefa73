/* SPDX-License-Identifier: Apache-2.0
 *
 * Rounds in all their reachable states - one, two and three at once, up to three tasks, any number
 * of ids, any length of time - and in a long random walk. A witness notes what happened and judges
 * each action by the rules R1-R10 of round.h; it has no phases of its own.
 */
#include "explore.h"
#include "round.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>

enum { TASKS_MAX = 70, STORAGE_WORDS = 2 * ROUND_LIMIT };

/* --- the witness --------------------------------------------------------------------------- */

/* What happened to an unfinished round. */
struct fate {
    uint64_t id;     /* 0: of none */
    bool claimed;    /* the store answered */
    bool announced;  /* ANNOUNCE was given */
    bool overtaken;  /* OVERTAKE was given */
    bool spent;      /* heard after ANNOUNCE, while a task had not sealed */
    bool durable;    /* heard after ANNOUNCE */
    bool committing; /* COMMIT was given */
    bool committed;  /* the answer was yes */
    uint32_t sealed; /* how many of sealed_by */
    uint32_t purposes;
    uint32_t reason; /* first trouble heard, or CANCELLED */
    int64_t trigger_ns;
    int64_t sealed_ns;
    uint64_t sealed_by[2]; /* a bit a task, heard after ANNOUNCE */
};

struct witness {
    struct fate fates[ROUND_LIMIT]; /* in no order */
    struct fate broken;             /* what FAIL is about */
    uint64_t last_id;               /* last claimed */
    uint32_t wanted;
    uint32_t failures;
    bool failed;        /* too many failures */
    bool fail_due;      /* and FAIL not given */
    bool cancelled;     /* no more rounds */
    int64_t end_ns;     /* of the last round; min pause counts from here */
    int64_t grid_taken; /* points of the interval's grid that are behind */
};

enum happening {
    NEXT_ACTION,
    TIME,
    CLAIMED,
    SEALED,
    DURABLE,
    SPENT,
    TROUBLE,
    COMMITTED,
    REQUEST,
    CANCEL,
};

struct event {
    enum happening what;
    uint64_t id;
    uint32_t value; /* task, reason, purpose, or time passed */
};

struct world {
    struct rounds machine;
    uint64_t storage[STORAGE_WORDS];
    struct witness witness;
    int64_t now_ns;
};

/* ROUND_LIMIT when there is none. */
static uint32_t slot_of(const struct witness *witness, uint64_t id)
{
    uint32_t slot = 0;
    while (slot < ROUND_LIMIT && witness->fates[slot].id != id)
        slot++;
    return slot;
}

static uint32_t unfinished(const struct witness *witness)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++)
        count += witness->fates[slot].id != 0;
    return count;
}

static bool witness_due(const struct world *world)
{
    int64_t interval_ns = world->machine.options.interval_ns;
    const struct witness *witness = &world->witness;
    return interval_ns > 0 && world->now_ns / interval_ns > witness->grid_taken;
}

static bool has_sealed(const struct fate *fate, uint32_t task)
{
    return (fate->sealed_by[task / 64] >> task % 64 & 1) != 0;
}

static bool sealed_by_all(const struct world *world, const struct fate *fate)
{
    return fate->sealed == world->machine.task_count;
}

static bool timed_out(const struct world *world, const struct fate *fate)
{
    bool complete = fate->durable && sealed_by_all(world, fate); /* R7 */
    return !complete && world->now_ns - fate->trigger_ns >= world->machine.options.timeout_ns;
}

static bool aligned_too_long(const struct world *world, const struct fate *fate)
{
    int64_t most_ns = world->machine.options.alignment_max_ns;
    return most_ns != INT64_MAX && (fate->spent || world->now_ns - fate->trigger_ns >= most_ns);
}

static bool is_oldest(const struct witness *witness, const struct fate *fate)
{
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++)
        if (witness->fates[slot].id != 0 && witness->fates[slot].id < fate->id)
            return false;
    return true;
}

/* Is this due for this round, whatever is due for others? */
static bool due(const struct world *world, enum round_do what, const struct fate *fate)
{
    const struct witness *witness = &world->witness;
    bool healthy = !witness->failed && !fate->committed && fate->reason == ROUND_NONE &&
                   !timed_out(world, fate);
    switch (what) {
    case ROUND_ANNOUNCE:
        return healthy && fate->claimed && !fate->announced;
    case ROUND_OVERTAKE: /* R8 */
        return healthy && fate->announced && !fate->overtaken && !sealed_by_all(world, fate) &&
               aligned_too_long(world, fate);
    case ROUND_COMMIT: /* R3 */
        return healthy && fate->durable && sealed_by_all(world, fate) && !fate->committing &&
               is_oldest(witness, fate);
    case ROUND_TELL:
        return fate->committed && (!witness->failed || witness->fail_due); /* R10 */
    case ROUND_ABORT:
        return !witness->failed && !fate->committed && /* R4, R7 */
               (fate->reason != ROUND_NONE || timed_out(world, fate));
    default:
        return false;
    }
}

static bool anything_due(const struct world *world, const struct fate *fate)
{
    for (int what = ROUND_ANNOUNCE; what <= ROUND_ABORT; what++)
        if (due(world, (enum round_do)what, fate))
            return true;
    return false;
}

/* The next id whose turn it is, that of the oldest; 0 when nothing is due for an unfinished one. */
static uint64_t whose_turn(const struct world *world)
{
    uint64_t turn = 0;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++) {
        const struct fate *fate = &world->witness.fates[slot];
        bool older = turn == 0 || fate->id < turn;
        if (fate->id != 0 && older && anything_due(world, fate))
            turn = fate->id;
    }
    return turn;
}

static bool may_claim(const struct world *world)
{
    const struct round_options *options = &world->machine.options;
    const struct witness *witness = &world->witness;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++) {
        const struct fate *fate = &witness->fates[slot];
        if (fate->id == 0)
            continue;
        if (!sealed_by_all(world, fate)) /* R1 */
            return false;
        if (fate->purposes & (ROUND_STOP | ROUND_FINAL)) /* R9 */
            return false;
    }
    bool room = unfinished(witness) < (options->min_pause_ns > 0 ? 1 : options->at_once); /* R6 */
    bool wanted = witness->wanted != 0 || witness_due(world);
    bool rested = world->now_ns - witness->end_ns >= options->min_pause_ns ||
                  (witness->wanted & (ROUND_STOP | ROUND_FINAL)) != 0;
    return !witness->failed && !witness->cancelled && room && wanted && rested;
}

/* Is this action right, now? WAIT is right when nothing else is. */
static bool may(const struct world *world, enum round_do what, uint64_t id)
{
    const struct witness *witness = &world->witness;
    uint64_t turn = whose_turn(world);
    switch (what) {
    case ROUND_WAIT:
        return turn == 0 && !witness->fail_due && !may_claim(world);
    case ROUND_FAIL: /* R10 */
        return turn == 0 && witness->fail_due && id == witness->broken.id;
    case ROUND_CLAIM:
        return turn == 0 && id == witness->last_id + 1 && may_claim(world); /* R2 */
    default:
        return id != 0 && id == turn && due(world, what, &witness->fates[slot_of(witness, id)]);
    }
}

/* --- what an action and an event do to the witness ----------------------------------------- */

static void note_claim(struct world *world)
{
    struct witness *witness = &world->witness;
    struct fate *fate = &witness->fates[slot_of(witness, 0)]; /* all zero */
    fate->id = ++witness->last_id;
    fate->purposes = witness->wanted | (witness_due(world) ? ROUND_INTERVAL : 0u);
    fate->trigger_ns = world->now_ns;
    witness->wanted = 0;
    if (witness_due(world))
        witness->grid_taken = world->now_ns / world->machine.options.interval_ns;
}

static void note_abort(struct world *world, struct fate *fate)
{
    struct witness *witness = &world->witness;
    if (fate->reason == ROUND_NONE)
        fate->reason = ROUND_TIMEOUT;
    witness->failures += fate->reason != ROUND_CANCELLED;
    if (fate->reason == ROUND_CANCELLED || witness->failures <= world->machine.options.tolerated)
        return;
    witness->fail_due = witness->failed = true;
    witness->broken = *fate;
}

static void note_action(struct world *world, enum round_do what, uint64_t id)
{
    struct witness *witness = &world->witness;
    if (what == ROUND_CLAIM)
        note_claim(world);
    if (what == ROUND_FAIL)
        witness->fail_due = false;
    uint32_t slot = slot_of(witness, id);
    if (what == ROUND_FAIL || slot == ROUND_LIMIT)
        return;
    struct fate *fate = &witness->fates[slot];
    fate->announced = fate->announced || what == ROUND_ANNOUNCE;
    fate->overtaken = fate->overtaken || what == ROUND_OVERTAKE;
    fate->committing = fate->committing || what == ROUND_COMMIT;
    if (what == ROUND_ABORT)
        note_abort(world, fate);
    if (what == ROUND_TELL)
        witness->failures = 0;
}

/* TELL and ABORT are the end of a round. */
static void note_end(struct world *world, enum round_do what, uint64_t id)
{
    struct witness *witness = &world->witness;
    if (what != ROUND_TELL && what != ROUND_ABORT)
        return;
    memset(&witness->fates[slot_of(witness, id)], 0, sizeof witness->fates[0]);
    witness->end_ns = world->now_ns;
}

static const char *judge_deadline(struct world *world, int64_t deadline_ns)
{
    int64_t asked_ns = world->now_ns;
    bool never = deadline_ns == INT64_MAX;
    if (deadline_ns <= asked_ns)
        return "waits for the past";
    world->now_ns = never ? asked_ns + 1000000 : deadline_ns - 1;
    bool too_long = !may(world, ROUND_WAIT, 0);
    world->now_ns = deadline_ns;
    bool in_vain = !never && may(world, ROUND_WAIT, 0);
    world->now_ns = asked_ns;
    if (too_long)
        return "waits too long";
    return in_vain ? "does not wait until something is due" : NULL;
}

/* What an action says of its round. */
static const char *judge_words(const struct world *world, const struct round_action *action)
{
    const struct witness *witness = &world->witness;
    const struct fate *fate = action->what == ROUND_FAIL
                                  ? &witness->broken
                                  : &witness->fates[slot_of(witness, action->id)];
    if (action->purposes != fate->purposes)
        return "forgets or invents a purpose";
    if (action->reason != fate->reason)
        return "names another reason";
    if (action->triggered_ns != fate->trigger_ns || action->sealed_ns != fate->sealed_ns)
        return "names another time";
    if (action->sealed_count != fate->sealed || action->overtaken != fate->overtaken)
        return "is wrong about what became of the round";
    return NULL;
}

static const char *next_action(struct world *world)
{
    struct round_action action = rounds_next(&world->machine, world->now_ns);
    if (!may(world, action.what, action.id))
        return "does what it may not do now";
    if (action.what == ROUND_WAIT)
        return judge_deadline(world, action.deadline_ns);
    note_action(world, action.what, action.id);
    const char *wrong = judge_words(world, &action);
    note_end(world, action.what, action.id);
    return wrong;
}

static void note_sealed(struct world *world, struct fate *fate, uint32_t task)
{
    if (has_sealed(fate, task))
        return;
    fate->sealed_by[task / 64] |= UINT64_C(1) << task % 64;
    fate->sealed++;
    if (sealed_by_all(world, fate))
        fate->sealed_ns = world->now_ns;
}

/* False when the event came for no unfinished round, or too late, or too early: it must change
 * nothing (R4). */
static bool note_event(struct world *world, const struct event *event)
{
    uint32_t slot = event->id == 0 ? ROUND_LIMIT : slot_of(&world->witness, event->id);
    if (slot == ROUND_LIMIT)
        return false;
    struct fate *fate = &world->witness.fates[slot];
    bool answerable = fate->announced && !fate->committing;
    switch (event->what) {
    case CLAIMED:
        if (fate->claimed)
            return false;
        return fate->claimed = true;
    case SEALED:
        if (answerable)
            note_sealed(world, fate, event->value);
        return answerable;
    case DURABLE:
        fate->durable = fate->durable || answerable;
        return answerable;
    case SPENT:
        answerable = answerable && !sealed_by_all(world, fate);
        fate->spent = fate->spent || answerable;
        return answerable;
    case TROUBLE:
        if (fate->committed || (fate->committing && event->value != ROUND_STORE_FAILED)) /* R5 */
            return false;
        if (fate->reason == ROUND_NONE || event->value == ROUND_CANCELLED)
            fate->reason = event->value;
        return true;
    case COMMITTED:
        if (!fate->committing || fate->committed || fate->reason != ROUND_NONE)
            return false;
        return fate->committed = true;
    default:
        return false;
    }
}

static void note_cancel(struct witness *witness)
{
    witness->cancelled = true;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++)
        if (witness->fates[slot].id != 0 && !witness->fates[slot].committing)
            witness->fates[slot].reason = ROUND_CANCELLED;
}

static void send(struct world *world, const struct event *event)
{
    struct rounds *rounds = &world->machine;
    switch (event->what) {
    case CLAIMED:
        rounds_claimed(rounds, event->id);
        return;
    case SEALED:
        rounds_sealed(rounds, event->id, event->value, world->now_ns);
        return;
    case DURABLE:
        rounds_durable(rounds, event->id);
        return;
    case SPENT:
        rounds_spent(rounds, event->id);
        return;
    case TROUBLE:
        rounds_trouble(rounds, event->id, (enum round_reason)event->value);
        return;
    case COMMITTED:
        rounds_committed(rounds, event->id);
        return;
    case REQUEST:
        rounds_request(rounds, (enum round_purpose)event->value);
        return;
    case CANCEL:
        rounds_cancel(rounds);
        return;
    case NEXT_ACTION:
    case TIME:
        return;
    }
}

static const char *judge_round(const struct world *world, const struct fate *fate)
{
    const struct round *round = rounds_find(&world->machine, fate->id);
    if (round == NULL)
        return "does not know an unfinished round";
    for (uint32_t task = 0; task < world->machine.task_count; task++)
        if (round_is_sealed(round, task) != has_sealed(fate, task))
            return "is wrong about who has sealed";
    if (round->sealed_count != fate->sealed || round->overtaken != fate->overtaken)
        return "is wrong about what became of a round";
    if (round->triggered_ns != fate->trigger_ns || round->sealed_ns != fate->sealed_ns)
        return "is wrong about a time";
    return round->purposes == fate->purposes ? NULL : "forgets or invents a purpose";
}

/* What the machine says of its rounds when it is asked. */
static const char *judge_rounds(const struct world *world)
{
    const struct witness *witness = &world->witness;
    const struct rounds *rounds = &world->machine;
    uint64_t cutting = 0;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++) {
        const struct fate *fate = &witness->fates[slot];
        const char *wrong = fate->id == 0 ? NULL : judge_round(world, fate);
        if (wrong != NULL)
            return wrong;
        if (fate->id != 0 && !sealed_by_all(world, fate))
            cutting = fate->id;
    }
    const struct round *round = rounds_cutting(rounds);
    if ((round == NULL ? 0 : round->id) != cutting)
        return "is wrong about which round is cutting";
    if (rounds->open_count != unfinished(witness) || rounds->last_id != witness->last_id)
        return "is wrong about which rounds there are";
    return NULL;
}

/* What memory of no round holds must not matter: the worst is put there. */
static void spoil_free_memory(struct world *world)
{
    for (uint32_t at = world->machine.open_count; at < ROUND_LIMIT; at++)
        memset(world->machine.open[at].sealed, 0xff,
               rounds_words(world->machine.task_count) / ROUND_LIMIT * sizeof(uint64_t));
}

/* What is wrong, or NULL. */
static const char *happen(struct world *world, const struct event *event)
{
    uint64_t late = world->machine.late;
    const char *wrong = NULL;
    if (event->what == NEXT_ACTION)
        wrong = next_action(world);
    else if (event->what == TIME)
        world->now_ns += event->value;
    else if (event->what == REQUEST)
        world->witness.wanted |= event->value;
    else if (event->what == CANCEL)
        note_cancel(&world->witness);
    else
        late += !note_event(world, event);
    send(world, event);
    if (wrong == NULL && world->machine.late != late)
        wrong = "counts late events wrongly"; /* R4 */
    if (event->what == NEXT_ACTION)
        spoil_free_memory(world);
    return wrong != NULL ? wrong : judge_rounds(world);
}

static void world_start(struct world *world, const struct round_options *options,
                        uint32_t task_count)
{
    memset(world, 0, sizeof *world);
    world->witness.end_ns = -options->min_pause_ns;
    cr_assert_leq(rounds_words(task_count), STORAGE_WORDS);
    rounds_init(&world->machine, options, task_count, world->storage, 1, 0);
    spoil_free_memory(world);
}

/* --- all reachable states ------------------------------------------------------------------- */

enum { TICK = 10, AT_ONCE_MAX = 3, CHOICES_MAX = 64, DEPTH_MAX = 256, STEPS_MAX = 1 << 22 };

/* Whom an event is for: the oldest, second, third unfinished round, or none that is. */
enum { CLOSED = AT_ONCE_MAX, NEVER_ISSUED, TARGETS };

struct choice {
    enum happening what;
    uint32_t target;
    uint32_t value;
};

/* A state is kept as the choice that led to it; its world is made by letting all happen again. */
struct step {
    uint32_t from;   /* index of the step before */
    uint32_t choice; /* that led here */
};

/* What is tried: every order of all that can happen, but for what is left out. Three at once are
 * walked with time or with requests: with both they have ten times the states. */
struct scope {
    struct round_options options;
    uint32_t task_count;
    bool timeless; /* no time passes */
    bool unasked;  /* rounds are asked for to stop alone */
};

struct search {
    const struct scope *scope;
    struct choice choices[CHOICES_MAX];
    uint32_t choice_count;
    struct step *steps;
    uint32_t step_count;
    struct seen seen;
    uint64_t tried;
    struct world world, before, parent;
    uint32_t parent_at; /* whose world that is */
};

static void add_choice(struct search *search, enum happening what, uint32_t target, uint32_t value)
{
    cr_assert_lt(search->choice_count, CHOICES_MAX);
    search->choices[search->choice_count++] = (struct choice){what, target, value};
}

static void list_choices(struct search *search)
{
    add_choice(search, NEXT_ACTION, NEVER_ISSUED, 0);
    if (!search->scope->timeless)
        add_choice(search, TIME, NEVER_ISSUED, TICK);
    if (!search->scope->unasked)
        add_choice(search, REQUEST, NEVER_ISSUED, ROUND_REQUEST);
    add_choice(search, REQUEST, NEVER_ISSUED, ROUND_STOP);
    add_choice(search, CANCEL, NEVER_ISSUED, 0);
    for (uint32_t target = 0; target < TARGETS; target++) {
        add_choice(search, CLAIMED, target, 0);
        for (uint32_t task = 0; task < search->scope->task_count; task++)
            add_choice(search, SEALED, target, task);
        add_choice(search, DURABLE, target, 0);
        add_choice(search, SPENT, target, 0);
        add_choice(search, TROUBLE, target, ROUND_REFUSED);
        add_choice(search, TROUBLE, target, ROUND_STORE_FAILED);
        add_choice(search, COMMITTED, target, 0);
    }
}

/* The slots of the unfinished rounds, by id; how many there are. */
static uint32_t slots_by_id(const struct witness *witness, uint32_t *slots)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++) {
        uint64_t id = witness->fates[slot].id;
        if (id == 0)
            continue;
        uint32_t at = count++;
        for (; at > 0 && witness->fates[slots[at - 1]].id > id; at--)
            slots[at] = slots[at - 1];
        slots[at] = slot;
    }
    return count;
}

/* With an id; false when there is no such round. */
static bool to_event(const struct world *world, const struct choice *choice, struct event *event)
{
    const struct witness *witness = &world->witness;
    uint32_t slots[ROUND_LIMIT];
    *event = (struct event){choice->what, witness->last_id + 1, choice->value};
    if (choice->target == CLOSED)
        do
            event->id--;
        while (event->id > 0 && slot_of(witness, event->id) < ROUND_LIMIT);
    if (choice->target >= AT_ONCE_MAX)
        return true;
    if (choice->target >= slots_by_id(witness, slots))
        return false;
    event->id = witness->fates[slots[choice->target]].id;
    return true;
}

/* The choices that lead to a step, oldest first; how many there are. */
static uint32_t way_to(const struct search *search, uint32_t at, uint32_t *way)
{
    uint32_t depth = 0;
    for (uint32_t step = at; step != 0; step = search->steps[step].from)
        depth++;
    cr_assert_leq(depth, DEPTH_MAX);
    for (uint32_t step = at, left = depth; step != 0; step = search->steps[step].from)
        way[--left] = search->steps[step].choice;
    return depth;
}

static void explain(struct search *search, uint32_t from, uint32_t last, const char *wrong)
{
    static const char *const names[] = {"next",  "time",    "claimed",   "sealed",  "durable",
                                        "spent", "trouble", "committed", "request", "cancel"};
    uint32_t way[DEPTH_MAX + 1];
    uint32_t depth = way_to(search, from, way);
    char order[64 * (DEPTH_MAX + 1)] = "";
    size_t at = 0;
    struct event event;
    way[depth++] = last;
    world_start(&search->world, &search->scope->options, search->scope->task_count);
    for (uint32_t i = 0; i < depth; i++) {
        to_event(&search->world, &search->choices[way[i]], &event);
        happen(&search->world, &event);
        at += (size_t)snprintf(order + at, sizeof order - at, " %s %llu %u,", names[event.what],
                               (unsigned long long)event.id, event.value);
    }
    cr_assert_fail("it %s after (event, id, value):%s", wrong, order);
}

/* --- all reachable states: which are equal ---------------------------------------------------- */

/* A small number for each thing that matters. */
struct picture {
    int8_t cells[96];
    uint32_t count;
    bool blurred; /* something did not fit */
};

static void draw(struct picture *picture, int64_t value)
{
    int8_t *cell = &picture->cells[picture->count++ % sizeof picture->cells];
    *cell = (int8_t)value;
    picture->blurred = picture->blurred || *cell != value;
}

/* A distance, of which all above and below some are alike. */
static void draw_within(struct picture *picture, int64_t distance, int64_t least, int64_t most)
{
    draw(picture, distance < least ? least : distance > most ? most : distance);
}

static void draw_flags(struct picture *picture, const bool *flags, uint32_t count)
{
    int64_t row = 0;
    for (uint32_t i = 0; i < count; i++)
        row = 2 * row + flags[i];
    draw(picture, row);
}

static void draw_round(struct picture *picture, const struct world *world,
                       const struct round *round)
{
    bool cutting = round->phase <= ROUND_CUTTING; /* else these two are only reported */
    bool flags[] = {round->asked, round->durable, round->committed, cutting && round->spent,
                    cutting && round->overtaken};
    draw_flags(picture, flags, 5);
    draw(picture, round->phase);
    draw(picture, round->trouble);
    draw(picture, round->purposes & ROUND_STOP);
    draw(picture, (int64_t)round->sealed[0]);
    int64_t age_ns = world->now_ns - round->triggered_ns;
    draw_within(picture, age_ns, 0, world->machine.options.timeout_ns);
}

static void draw_fate(struct picture *picture, const struct world *world, const struct fate *fate)
{
    bool cutting = !sealed_by_all(world, fate);
    bool flags[] = {fate->claimed,          fate->announced, cutting && fate->overtaken,
                    cutting && fate->spent, fate->durable,   fate->committing,
                    fate->committed};
    draw_flags(picture, flags, 7);
    draw(picture, fate->reason);
    draw(picture, fate->purposes & ROUND_STOP);
    draw(picture, (int64_t)fate->sealed_by[0]);
    int64_t age_ns = world->now_ns - fate->trigger_ns;
    draw_within(picture, age_ns, 0, world->machine.options.timeout_ns);
}

static void draw_witness(struct picture *picture, const struct world *world)
{
    const struct witness *witness = &world->witness;
    const struct round_options *options = &world->machine.options;
    uint32_t slots[ROUND_LIMIT];
    uint32_t count = slots_by_id(witness, slots);
    uint64_t above = witness->last_id + 1;
    draw(picture, count);
    for (uint32_t i = count; i > 0; i--) {
        const struct fate *fate = &witness->fates[slots[i - 1]];
        draw_within(picture, (int64_t)(above - fate->id), 1, 2); /* is there a gap? */
        draw_fate(picture, world, fate);
        above = fate->id;
    }
    bool flags[] = {witness->fail_due, witness->failed, witness->cancelled};
    draw_flags(picture, flags, 3);
    draw(picture, witness->wanted);
    draw(picture, options->tolerated == UINT32_MAX ? 0 : witness->failures);
    draw(picture, witness->fail_due ? witness->broken.reason : 0);
    draw_within(picture, world->now_ns - witness->end_ns, 0, options->min_pause_ns);
    if (options->interval_ns == 0)
        return;
    draw(picture, world->now_ns % options->interval_ns);
    draw_within(picture, world->now_ns / options->interval_ns - witness->grid_taken, 0, 2);
}

static void draw_machine(struct picture *picture, const struct world *world)
{
    const struct rounds *rounds = &world->machine;
    draw(picture, rounds->open_count);
    for (uint32_t at = 0; at < rounds->open_count; at++)
        draw_round(picture, world, &rounds->open[at]);
    bool flags[] = {rounds->failed, rounds->fail_told, rounds->cancelled};
    draw_flags(picture, flags, 3);
    draw(picture, rounds->wanted);
    draw(picture, rounds->options.tolerated == UINT32_MAX ? 0 : rounds->failures);
    draw_within(picture, rounds->rest_until_ns - world->now_ns, 0, INT64_MAX);
    if (rounds->options.interval_ns == 0)
        return;
    int64_t late_ns = world->now_ns - rounds->due_ns;
    draw(picture, late_ns % rounds->options.interval_ns);
    draw_within(picture, late_ns / rounds->options.interval_ns, -1, 1);
}

/* States are equal when they differ in nothing that can matter later: which ids, how long ago
 * something that has come was due, what is only reported (judge_rounds looks at that each time). */
static uint64_t fingerprint(const struct world *world)
{
    struct picture picture = {.count = 0, .blurred = false};
    draw_witness(&picture, world);
    draw_machine(&picture, world);
    cr_assert(!picture.blurred && picture.count <= sizeof picture.cells);
    return explore_fingerprint(picture.cells, picture.count);
}

/* --- all reachable states: the search --------------------------------------------------------- */

static void add_step(struct search *search, uint32_t from, uint32_t choice)
{
    cr_assert_lt(search->step_count, STEPS_MAX);
    search->steps[search->step_count++] = (struct step){from, choice};
}

/* Into the search's world: the machine points into it, so it can't lie elsewhere. Steps that have
 * the same step before follow each other, and that one's world is kept. */
static void make_world(struct search *search, uint32_t at)
{
    struct event event;
    uint32_t way[DEPTH_MAX];
    uint32_t from = search->steps[at].from;
    if (at == 0 || from != search->parent_at) {
        uint32_t depth = way_to(search, from, way);
        world_start(&search->world, &search->scope->options, search->scope->task_count);
        for (uint32_t i = 0; i < depth; i++) {
            to_event(&search->world, &search->choices[way[i]], &event);
            happen(&search->world, &event);
        }
        memcpy(&search->parent, &search->world, sizeof search->world);
        search->parent_at = from;
    }
    memcpy(&search->world, &search->parent, sizeof search->world);
    if (at == 0)
        return;
    to_event(&search->world, &search->choices[search->steps[at].choice], &event);
    happen(&search->world, &event);
}

static void expand(struct search *search, uint32_t from)
{
    struct world *world = &search->world, *before = &search->before;
    struct event event;
    make_world(search, from);
    memcpy(before, world, sizeof *world);
    for (uint32_t choice = 0; choice < search->choice_count; choice++) {
        if (!to_event(world, &search->choices[choice], &event))
            continue;
        search->tried++;
        const char *wrong = happen(world, &event);
        bool late = world->machine.late != before->machine.late;
        world->machine.late = before->machine.late;
        if (late && memcmp(&world->machine, &before->machine, sizeof world->machine) != 0)
            wrong = "heeds what is late"; /* R4 */
        if (wrong != NULL)
            explain(search, from, choice, wrong);
        if (late)
            continue;
        if (seen_add(&search->seen, fingerprint(world)))
            add_step(search, from, choice);
        memcpy(world, before, sizeof *world);
    }
}

static void every_state(struct scope scope)
{
    static struct search search;
    memset(&search, 0, sizeof search);
    search.scope = &scope;
    search.steps = calloc(STEPS_MAX, sizeof *search.steps);
    cr_assert_not_null(search.steps);
    list_choices(&search);
    add_step(&search, 0, 0);
    make_world(&search, 0);
    seen_add(&search.seen, fingerprint(&search.world));
    for (uint32_t from = 0; from < search.step_count; from++)
        expand(&search, from);
    uint32_t way[DEPTH_MAX];
    cr_log_info("%u states, %llu events, the farthest after %u", search.step_count,
                (unsigned long long)search.tried, way_to(&search, search.step_count - 1, way));
    cr_assert_gt(search.step_count, 1000);
    seen_free(&search.seen);
    free(search.steps);
}

/* Rounds on request, a pause between them, and nothing is overtaken. */
static const struct round_options patient = {.min_pause_ns = TICK,
                                             .timeout_ns = 2 * TICK,
                                             .alignment_max_ns = INT64_MAX,
                                             .tolerated = 1,
                                             .at_once = 3};
static const struct round_options hasty = {.interval_ns = TICK,
                                           .timeout_ns = 2 * TICK,
                                           .alignment_max_ns = TICK,
                                           .tolerated = 0,
                                           .at_once = 3};

Test(round_states, rules_hold_one_at_a_time)
{
    struct scope paused = {.options = patient}, timed = {.options = hasty};
    timed.options.interval_ns = 2 * TICK;
    timed.options.at_once = 1;
    for (uint32_t task_count = 1; task_count <= 3; task_count++) {
        paused.task_count = timed.task_count = task_count;
        every_state(paused);
        every_state(timed);
    }
}

Test(round_states, rules_hold_two_at_once)
{
    struct scope asked = {.options = patient}, timed = {.options = hasty};
    asked.options.min_pause_ns = 0;
    asked.options.at_once = timed.options.at_once = 2;
    timed.options.tolerated = 1;
    for (uint32_t task_count = 1; task_count <= 2; task_count++) {
        asked.task_count = timed.task_count = task_count;
        every_state(asked);
        every_state(timed);
    }
}

/* With three rounds at once a second task costs most of the time. */
static uint32_t fewer_tasks(void)
{
    return explore_share() > 1 ? 1 : 2;
}

Test(round_states, rules_hold_three_at_once_as_time_passes)
{
    struct scope scope = {.options = hasty, .task_count = fewer_tasks(), .unasked = true};
    scope.options.tolerated = UINT32_MAX;
    every_state(scope);
}

Test(round_states, rules_hold_three_at_once_until_one_fails)
{
    every_state((struct scope){.options = hasty, .task_count = fewer_tasks(), .unasked = true});
}

Test(round_states, rules_hold_three_at_once_when_asked)
{
    struct scope scope = {.options = hasty, .task_count = fewer_tasks(), .timeless = true};
    scope.options.interval_ns = 0;
    scope.options.tolerated = UINT32_MAX;
    every_state(scope);
}

/* --- a long walk ------------------------------------------------------------------------------ */

/* An unfinished round, any of them or the newest; now and then another id. */
static uint64_t random_id(uint64_t *random, const struct world *world, bool any)
{
    const struct witness *witness = &world->witness;
    if (explore_below(random, 30) == 0)
        return witness->last_id + 2 - explore_below(random, 5);
    uint32_t slots[ROUND_LIMIT];
    uint32_t count = slots_by_id(witness, slots);
    if (!any || count == 0)
        return witness->last_id;
    return witness->fates[slots[explore_below(random, count)]].id;
}

static struct event random_event(uint64_t *random, const struct world *world)
{
    uint32_t draw = explore_below(random, 1000);
    if (draw < 350)
        return (struct event){NEXT_ACTION, 0, 0};
    if (draw < 450)
        return (struct event){TIME, 0, explore_below(random, 12)};
    if (draw < 465)
        return (struct event){REQUEST, 0, 1u << explore_below(random, 6)};
    uint64_t any = random_id(random, world, true), newest = random_id(random, world, false);
    if (draw < 470)
        return (struct event){TROUBLE, any, 1 + explore_below(random, ROUND_CANCELLED)};
    if (draw < 475)
        return (struct event){SPENT, newest, 0};
    if (draw < 525)
        return (struct event){CLAIMED, newest, 0};
    if (draw < 575)
        return (struct event){DURABLE, any, 0};
    if (draw < 625)
        return (struct event){COMMITTED, any, 0};
    return (struct event){SEALED, newest, explore_below(random, world->machine.task_count)};
}

static struct round_options random_options(uint64_t *random)
{
    static const int64_t alignments_ns[] = {0, 50, 200, INT64_MAX};
    return (struct round_options){
        .interval_ns = explore_below(random, 3) == 0 ? 0 : 1 + explore_below(random, 100),
        .min_pause_ns = explore_below(random, 3) == 0 ? explore_below(random, 100) : 0,
        .timeout_ns = 1 + explore_below(random, 3000),
        .alignment_max_ns = alignments_ns[explore_below(random, 4)],
        .tolerated = explore_below(random, 3) == 0 ? explore_below(random, 4) : UINT32_MAX,
        .at_once = 1 + explore_below(random, ROUND_LIMIT),
    };
}

struct walked {
    uint32_t committed; /* rounds */
    uint32_t overtaken; /* rounds */
    uint32_t crowded;   /* steps with three unfinished rounds or more */
};

static void count(struct walked *walked, const struct world *before, const struct world *after)
{
    for (uint32_t slot = 0; slot < ROUND_LIMIT; slot++) {
        const struct fate *was = &before->witness.fates[slot], *is = &after->witness.fates[slot];
        walked->committed += is->id != 0 && is->committed && !was->committed;
        walked->overtaken += is->id != 0 && is->overtaken && !was->overtaken;
    }
    walked->crowded += unfinished(&after->witness) > 2;
}

static void walk(struct walked *walked, uint64_t seed, uint64_t number, uint32_t steps)
{
    static struct world world, before;
    uint64_t random = explore_mix(seed) + number;
    struct round_options options = random_options(&random);
    world_start(&world, &options, 1 + explore_below(&random, number % 4 == 0 ? TASKS_MAX : 5));
    for (uint32_t step = 0; step < steps; step++) {
        struct event event = random_event(&random, &world);
        if (step == steps - 50)
            event = (struct event){CANCEL, 0, 0};
        memcpy(&before, &world, sizeof world);
        const char *wrong = happen(&world, &event);
        cr_assert_null(wrong, "it %s: WEIR_TEST_SEED=%llu, walk %llu, step %u", wrong,
                       (unsigned long long)seed, (unsigned long long)number, step);
        count(walked, &before, &world);
    }
}

Test(round_states, rules_hold_in_a_random_walk)
{
    struct walked walked = {0};
    for (uint64_t number = 0; number < 200; number++)
        walk(&walked, explore_seed(), number, 2000);
    cr_log_info("%u rounds committed, %u overtaken, %u steps with three or more at once",
                walked.committed, walked.overtaken, walked.crowded);
    cr_assert_gt(walked.committed, 500, "the walk hardly commits: %u", walked.committed);
    cr_assert_gt(walked.overtaken, 500, "the walk hardly overtakes: %u", walked.overtaken);
    cr_assert_gt(walked.crowded, 5000, "the walk's rounds hardly meet: %u", walked.crowded);
}
