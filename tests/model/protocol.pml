/* SPDX-License-Identifier: Apache-2.0
 *
 * protocol: the checkpoint protocol as a model, in Promela. spin takes every step that is possible
 * in every state that can be reached, and looks whether a promise breaks: no order of events is
 * left out, at small sizes. `run` has the list of searches.
 *
 * Modelled: the rules P2-P10, P12 and P14 of checkpoint/README.md in all three modes; FIFO channels
 * with credits; END, ends at different times, the final round; two rounds at once, aborts at any
 * moment; the two-phase sink, whose notices are late or lost; a commit in two steps, rename and
 * sync; kills and power cuts at any moment, recovery, an older run that wakes up; loops and how
 * they end.
 *
 * Promised, searched for by PROMISE (every state) and by `progress` (every run):
 *   at each commit, per channel: processed ++ channel content ++ outlet content == emitted
 *   after each recovery: published == what lies before the cut, to which the sources are set back
 *   published is committed, and published once; in the end published == the input
 *   ids rise, on every channel and in the store; a lower epoch never commits after a higher one
 *   nobody waits for ever: a round ends committed or aborted, and the job ends
 *
 * Left out: sequence numbers and P1 (a channel is FIFO by nature here); batches of several records,
 * half-read and open ones, but for the one that END closes; P11, P13, and P14 at another
 * parallelism; watermarks and timers; how a part is written (COMMIT comes late) and when a timeout
 * strikes (at any moment); crashes of one process of several; what the kernel does between the
 * fence and the rename, which are one step here; more than two unfinished rounds.
 *
 * To read it:
 *   proctype        an actor; all take turns in any order
 *   do :: A :: B    do one of those whose first statement, a condition, holds; again and again
 *   d_step { }      one step: nobody sees what is between
 *   inline          a macro: i, j, k, m are the loops of whoever uses it
 *   (c -> a : b)    c ? a : b
 * Functions have the names of those in C that they mirror; where steps do not:
 *   input           arrives: drain_inbox, aligner_arrived; is read: read_input; outlet_credit
 *   task            hears: on_message, aligner_announced, aligner_overtake; polls: poll_source
 *   coordinator     rounds_next and what carries its actions out
 *   rename, sync_folder   writer.c: on_commit, store_commit
 *   restore         job_restore.c, task_open, context_load
 * One without the other is not changed.
 *
 * What it taught. No rule was refuted. But:
 *   M1  `seal` has to ask of each output whether M(n) - or END, where there is no M(n) - has left,
 *       not whether any control item waits: behind a marker that was sent ahead END may wait, with
 *       the batches before it, for as long as the reader likes (END_AWAITED).
 *   M2  END waits only behind the batch that it closes itself: P12 lets nothing finish before. A
 *       model, or a test, without open batches never sees the "or END" of P5.
 *   M3  No lower marker waits where one overtakes: commands of the coordinator keep their order,
 *       so the abort of n is heard before OVERTAKE n+1. That takes both halves of the abort: it
 *       takes back what waits (ABORT_LEAVES_MARKER) and closes the id for markers that are still
 *       under way (ABORT_FORGOTTEN). outlet_overtake may assert it.
 *   M4  A loop's outlets have to be empty too, but that matters only while credits are late: else
 *       what waits has a batch before it in the channel (LOOP_OUTLET_FORGOTTEN).
 *   M5  Sealing before the markers have left loses nothing. It makes OVERTAKE come too late, and
 *       the round never ends when readers stand still (SEALED_TOO_EARLY).
 *   M6  Both are right, in every mode: to read a marker while output waits, as here, or only when
 *       none does; and to cut on a marker's arrival in unaligned mode, or to wait for the
 *       announcement, which costs time alone.
 *   M7  Not only batches of an older run must be refused, commands too: the first draft left them
 *       in the inboxes, an old notice of a commit took the place of the one that recovery gives,
 *       and the job never ended.
 */
#include "topology.pml"
#include "faults.pml"

#define IF(condition) if :: (condition) ->
#define FI :: else fi

/* What must hold; the words are printed when a trail is replayed. */
#define PROMISE(holds, words) IF (!(holds)) printf(words); assert(false) FI

/* ---- sets and queues --------------------------------------------------------------------- */

#define BIT(r) (1 << ((r) - 1)) /* of a record or an id: both count from 1 */
#define TASK(t) (1 << (t))
#define EVERYONE ((1 << TASKS) - 1)
#define ALL ((1 << RECORDS) - 1)
#define OWN(t) (t == 0 -> (1 << A) - 1 : ALL & ~((1 << A) - 1)) /* records of source t */

/* What travels is a byte: a kind and a number, of the record or the round. END is a marker whose
 * id is above all others: so "M(n) or END" is one comparison. */
#define BATCH 0
#define MARKER 16
#define ANNOUNCE 32
#define OVERTAKE 48
#define ABORT 64
#define COMMITTED 80
#define FOREVER 15
#define END (MARKER + FOREVER)
#define KIND(item) ((item) & 240)
#define NUMBER(item) ((item) & 15)
#define LETTER(item) (KIND(item) == BATCH -> 'r' : (KIND(item) == MARKER -> 'M' : \
    (KIND(item) == ANNOUNCE -> 'A' : (KIND(item) == OVERTAKE -> 'O' : \
    (KIND(item) == ABORT -> 'X' : 'C')))))

#define ROOM (RECORDS + IDS)
#define COMMANDS (IDS + 3 * ABORTS + 2 + 3 * PLAIN)
typedef list { byte count; byte item[ROOM] }
typedef command_list { byte count; byte item[COMMANDS] }

hidden byte i, j, k, m, n, r, x, y, set, flag, early; /* scratch within one step: no state */

inline append(where, what)
{
    where.item[where.count] = what;
    where.count++
}

inline take(where, what)
{
    what = where.item[0];
    where.count--;
    for (m : 0 .. where.count - 1) { where.item[m] = where.item[m + 1] }
    where.item[where.count] = 0
}

/* ---- state -------------------------------------------------------------------------------- */

/* Of each channel: the writer's, */
list out[CHANNELS];     /* what waits for credit, and what waits behind that */
byte flying[CHANNELS];  /* batches un-acknowledged */
byte owed[CHANNELS];    /* credits under way */
byte marked[CHANNELS];  /* the last marker sent */
byte sent[CHANNELS];    /* set of records emitted: the writer's state */
list wire[CHANNELS];    /* the transport's, */
list queue[CHANNELS];   /* the reader's */
byte arrived[CHANNELS]; /* the last marker taken from the inbox */
byte reached[CHANNELS]; /* the last marker read */
byte got[CHANNELS];     /* set of records processed: the reader's state */

/* Of each task: */
command_list commands[TASKS];
byte opened[TASKS];    /* aligner: the id being aligned */
byte closed[TASKS];    /* aligner: ids up to here were cut, aborted or buried */
byte announced[TASKS]; /* aligner: the highest; 0 when it is closed */
byte sealing[TASKS];   /* cut, and not sealed yet */
byte ended;            /* set of tasks that have placed END */

/* Of the sink. Handle n is what it took before its cut of n, and after the one before: */
byte buffer;          /* taken since the last cut */
byte pending;         /* set of handles that are not confirmed */
byte confirming;      /* published up to here, the target's folder is being synced */
bool confirmed;       /* the final round's notice was carried out */
byte staged[IDS + 1]; /* on disk: a handle's records */
byte shown, safe;     /* on disk: sets of handles, published; safe from a power cut */

/* Of the coordinator: */
byte next_id = 1, rounds, aborts, crashes; /* crashes is the epoch as well */
byte older;                                /* an unfinished round below the newest */
byte last;                                 /* the final round */
bool unfinished[IDS + 1];
byte sealed[IDS + 1]; /* set of tasks */
bool overtaken;       /* the round that is cutting */
bool loop_over;       /* a checkpoint has shown the loop empty */
bool over;            /* the job has ended */

/* Of the store: */
typedef snapshot {
    byte sent[CHANNELS], got[CHANNELS];
    byte channel[CHANNELS], outlet[CHANNELS]; /* sets of records: channel and outlet content */
    byte ended, handles;
    bool forward_ended; /* the loop's head was cut behind END of its forward input */
    bool final
}
snapshot snap[IDS + 1];
byte visible;    /* the newest manifest there is, */
byte durable;    /* and the newest that a power cut can't take back */
byte committing; /* renamed, its folder is being synced */
byte restoring, zombie, zombie_epoch, committed_epoch;

#define NEWEST (next_id - 1)
#define OLDEST (older -> older : NEWEST)
#define SEALED(id) (unfinished[id] && sealed[id] == EVERYONE)
#define CUTTING (unfinished[NEWEST] && sealed[NEWEST] != EVERYONE)
#define STUCK (FROZEN && CUTTING && (MODE == UNALIGNED || overtaken))
#define BUSY(t) (over || (t == SINK && confirming && BUG != CONFIRMED_BEFORE_SYNC))
#define ALL_ENDED (ended == EVERYONE && ENDS_SENT)
#define HELD(c) (reached[c] > closed[TO(c)] && reached[c] != FOREVER && BUG != NO_HOLD)
#define SHOWS_EMPTY(id) (HEAD < TASKS && (snap[id].forward_ended || BUG == LOOP_ENDS_TOO_EARLY) && \
    !snap[id].channel[1] && !snap[id].channel[CHANNELS - 2] && \
    (BUG == LOOP_OUTLET_FORGOTTEN || !(snap[id].outlet[1] | snap[id].outlet[CHANNELS - 2])))

/* ---- channels: outlet.c, gate.c ----------------------------------------------------------- */

/* P7, P3: into a set of recorded content, once. Content of a dead round is nobody's. */
inline record(content, id, what)
{
    IF (unfinished[id])
        PROMISE(!(content & BIT(what)), "BROKEN: recorded twice\n");
        content = content | BIT(what)
    FI
}

inline return_credit(c)
{
    PROMISE(flying[c] > owed[c], "BROKEN: more credit than was given\n");
    flying[c] = flying[c] - 1 + LATE_CREDIT;
    owed[c] = owed[c] + LATE_CREDIT
}

inline gate_deliver(c)
{
    take(wire[c], x);
    append(queue[c], x);
    if
    :: KIND(x) == MARKER ->
        PROMISE(NUMBER(x) > arrived[c] || BUG == STALE_MARKER_COUNTED,
                "BROKEN: ids on a channel do not rise\n");
        arrived[c] = NUMBER(x);
        IF (BUG == STALE_MARKER_COUNTED && sealing[TO(c)] > arrived[c])
            arrived[c] = sealing[TO(c)]
        FI
    :: else -> /* P7: after the cut, until the marker arrives */
        IF (sealing[TO(c)] > arrived[c] && !(FEEDBACK(c) && BUG == FEEDBACK_NOT_LOGGED))
            record(snap[sealing[TO(c)]].channel[c], sealing[TO(c)], x)
        FI;
        IF (FEEDBACK(c)) return_credit(c) FI
    fi
}

/* Sends what may be sent: control items need no credit. A batch arrives at once, unless a marker
 * is under way before it: late or not read yet, nobody can tell. PLAIN tries it all the same. */
inline outlet_push(c)
{
    do
    :: out[c].count && (flying[c] < WINDOW ||
                        (KIND(out[c].item[0]) == MARKER && BUG != MARKER_WAITS_FOR_CREDIT)) ->
        take(out[c], x);
        append(wire[c], x);
        if
        :: KIND(x) == BATCH -> flying[c]++
        :: else ->
            PROMISE(NUMBER(x) > marked[c], "BROKEN: ids on a channel do not rise\n");
            marked[c] = NUMBER(x)
        fi
    :: !PLAIN && wire[c].count && KIND(wire[c].item[0]) == BATCH -> gate_deliver(c)
    :: else -> break
    od
}

/* P3, P5: M(id) goes to the front, and what it passes is outlet content. Each item is taken from
 * the front and put behind the marker. */
inline outlet_overtake(c, id)
{
    flag = true; /* M(id) did not wait before this */
    k = out[c].count;
    append(out[c], MARKER + id);
    do
    :: k ->
        k--;
        take(out[c], x);
        if
        :: x == MARKER + id -> flag = false
        :: else ->
            PROMISE(KIND(x) == BATCH || x == END, "BROKEN: a marker passes a lower one\n");
            append(out[c], x);
            IF (KIND(x) == BATCH && flag && BUG != OUTLET_FORGOTTEN)
                record(snap[id].outlet[c], id, x)
            FI
        fi
    :: else -> break
    od
}

/* P9: a marker that waits is taken back */
inline outlet_abort(c, id)
{
    k = out[c].count;
    do
    :: k ->
        k--;
        take(out[c], x);
        IF (x != MARKER + id) append(out[c], x) FI
    :: else -> break
    od
}

/* P7: at the cut, what of the queue lies before M(id) */
inline log_queue(c, id)
{
    flag = true;
    for (k : 0 .. queue[c].count - 1) {
        x = queue[c].item[k];
        if
        :: KIND(x) == MARKER -> flag = flag && NUMBER(x) < id
        :: KIND(x) == BATCH && flag && !(BUG == LOST_CONTENT && k == 0) ->
            record(snap[id].channel[c], id, x)
        :: else
        fi
    }
}

/* ---- tasks: task.c, aligner.c, context_part.c --------------------------------------------- */

/* P9 */
inline bury(t, id)
{
    closed[t] = (closed[t] < id -> id : closed[t]);
    opened[t] = (opened[t] <= id -> 0 : opened[t])
}

/* P8 */
inline seal(t)
{
    flag = sealing[t] > 0;
    for (j : 0 .. CHANNELS - 1) {
        flag = flag && (TO(j) != t || arrived[j] >= sealing[t]) &&
               (FROM(j) != t || marked[j] >= sealing[t] || BUG == SEALED_TOO_EARLY) &&
               (FROM(j) != t || !(ended & TASK(t)) || marked[j] == FOREVER || BUG != END_AWAITED)
    }
    IF (flag)
        sealed[sealing[t]] = (unfinished[sealing[t]] -> sealed[sealing[t]] | TASK(t) : 0);
        overtaken = overtaken && CUTTING;
        sealing[t] = 0
    FI;
    pass_over(t)
}

/* Commands and markers that can't do anything any more are taken at once: nobody can tell when
 * they were. This is for the search's sake, and makes it ten times smaller. */
inline pass_over(t)
{
    k = (PLAIN -> 0 : commands[t].count);
    do
    :: k ->
        k--;
        take(commands[t], x);
        IF (KIND(x) == COMMITTED || NUMBER(x) > closed[t] || NUMBER(x) == sealing[t] ||
            WAITING(t) || BUG == ABORT_DROPS_HANDLE)
            append(commands[t], x)
        FI
    :: else -> break
    od;
    for (j : 0 .. CHANNELS - 1) {
        k = (TO(j) == t && !PLAIN && BUG != STALE_MARKER_COUNTED -> queue[j].count : 0);
        do
        :: k ->
            k--;
            take(queue[j], x);
            if
            :: KIND(x) == MARKER && NUMBER(x) <= closed[t] -> reached[j] = NUMBER(x)
            :: else -> append(queue[j], x)
            fi
        :: else -> break
        od
    }
    skip
}

inline records_of(these)
{
    set = 0;
    for (k : 1 .. IDS) { set = ((these) & BIT(k) -> set | staged[k] : set) }
}

/* A sink's commit: idempotent */
inline publish(id)
{
    IF (!(shown & BIT(id)) || BUG == NOT_IDEMPOTENT)
        PROMISE(snap[durable].handles & BIT(id), "BROKEN: published, but not committed\n");
        PROMISE(staged[id], "BROKEN: what a handle stands for is gone\n");
        records_of(shown);
        PROMISE(!(set & staged[id]), "BROKEN: published twice\n");
        shown = shown | BIT(id)
    FI
}

/* A sink's prepare */
inline prepare(id)
{
    staged[id] = buffer;
    pending = (buffer -> pending | BIT(id) : pending);
    buffer = 0;
    IF (BUG == PUBLISH_BEFORE_COMMIT && staged[id]) publish(id) FI;
    IF (unfinished[id])
        snap[id].handles = (BUG == HANDLE_DROPPED -> pending & BIT(id) : pending)
    FI
}

/* P3: all of this is one step. */
inline task_cut(t, id, at_once)
{
    printf("task %d cuts %d\n", t, id);
    closed[t] = id;
    opened[t] = 0;
    announced[t] = 0;
    sealing[t] = id;
    for (i : 0 .. CHANNELS - 1) {
        IF (FROM(i) == t)
            snap[id].sent[i] = (unfinished[id] -> sent[i] : 0);
            if
            :: at_once && marked[i] < id -> outlet_overtake(i, id)
            :: !at_once && !(ended & TASK(t)) -> append(out[i], MARKER + id) /* outlet_marker */
            :: else /* END stands for it */
            fi;
            outlet_push(i)
        FI;
        IF (TO(i) == t)
            snap[id].got[i] = (unfinished[id] -> got[i] : 0);
            IF ((reached[i] < id || BUG == HELD_CONTENT_LOGGED) &&
                !(FEEDBACK(i) && BUG == FEEDBACK_NOT_LOGGED))
                log_queue(i, id)
            FI
        FI
    }
    IF (unfinished[id])
        snap[id].ended = snap[id].ended | (ended & TASK(t));
        IF (t == HEAD) snap[id].forward_ended = (reached[0] == FOREVER) FI
    FI;
    IF (t == SINK) prepare(id) FI
}

/* aligner_reached, aligner_end: the id to cut, or 0, is left in n */
inline aligner_reached(t, c, id)
{
    reached[c] = id;
    if
    :: id != FOREVER && id > closed[t] ->
        bury(t, id - 1);
        opened[t] = id
    :: BUG == STALE_MARKER_COUNTED && id <= closed[t] && opened[t] -> reached[c] = opened[t]
    :: else
    fi;
    n = (opened[t] -> opened[t] : (announced[t] > closed[t] -> announced[t] : 0));
    IF (!COVERED(t, n) || (BUG == END_NOT_COUNTED && id == FOREVER) ||
        (BUG == FEEDBACK_AWAITED && t == HEAD && reached[CHANNELS - 2] < n))
        n = 0
    FI
}

/* The operator's process. In FIFO order, each record once. */
inline process(c, what)
{
    PROMISE(!(got[c] & BIT(what)), "BROKEN: a record is read twice\n");
    PROMISE(what == 1 || what == A + 1 || (got[c] & BIT(what - 1)),
            "BROKEN: records are read out of order\n");
    PROMISE(!loop_over || TO(c) == SINK, "BROKEN: a record in a loop that was over\n");
    got[c] = got[c] | BIT(what);
    IF (!FEEDBACK(c)) return_credit(c) FI;
    if
    :: TO(c) == SINK -> buffer = buffer | BIT(what)
    :: else ->
        sent[NEXT(c)] = sent[NEXT(c)] | BIT(what);
        append(out[NEXT(c)], BATCH + what);
        outlet_push(NEXT(c))
    fi;
    outlet_push(c)
}

/* One input of a task. It is a process of its own for fairness: no input starves another (G4). */
proctype input(byte c)
{
end:
    do
    :: d_step { /* task.c: drain_inbox */
        wire[c].count && !BUSY(TO(c)) ->
        gate_deliver(c);
        printf("channel %d: %c%d arrives\n", c, LETTER(x), NUMBER(x));
        n = (MODE == UNALIGNED && KIND(x) == MARKER && x != END && NUMBER(x) > closed[TO(c)] ->
             NUMBER(x) : 0);
        outlet_push(c);
        IF (n) task_cut(TO(c), n, true) FI; /* aligner_arrived */
        seal(FROM(c));
        seal(TO(c))
    }
    :: d_step { /* task.c: read_input. P12: what waits in the outlet stops records, not markers */
        queue[c].count && !BUSY(TO(c)) && !HELD(c) &&
        (KIND(queue[c].item[0]) == MARKER || (!WAITING(TO(c)) && !STUCK)) ->
        take(queue[c], r);
        printf("channel %d: %c%d is read\n", c, LETTER(r), NUMBER(r));
        n = 0;
        if
        :: KIND(r) == BATCH -> process(c, r)
        :: else -> aligner_reached(TO(c), c, NUMBER(r))
        fi;
        IF (n) task_cut(TO(c), n, false) FI;
        seal(FROM(c));
        seal(TO(c))
    }
    :: d_step { /* outlet_credit */
        owed[c] && !over ->
        owed[c]--;
        flying[c]--;
        outlet_push(c);
        seal(FROM(c))
    }
    od
}

inline on_overtake(t, id)
{
    for (i : 0 .. CHANNELS - 1) {
        IF (FROM(i) == t && marked[i] < id && BUG != OVERTAKE_IGNORED)
            outlet_overtake(i, id);
            outlet_push(i)
        FI
    }
}

inline on_abort(t, id)
{
    IF (BUG != ABORT_FORGOTTEN) bury(t, id) FI;
    sealing[t] = (sealing[t] == id -> 0 : sealing[t]);
    for (i : 0 .. CHANNELS - 1) {
        IF (FROM(i) == t && BUG != ABORT_LEAVES_MARKER)
            outlet_abort(i, id);
            outlet_push(i)
        FI
    }
    IF (t == SINK && BUG == ABORT_DROPS_HANDLE) pending = pending & ~BIT(id) FI
}

inline context_commit(id)
{
    for (i : 1 .. id) { IF (pending & BIT(i)) publish(i) FI }
    confirming = id;
    IF (BUG == CONFIRMED_BEFORE_SYNC) pending = pending & ~((1 << id) - 1) FI
}

#define LEFT(t) (OWN(t) & ~sent[t])

inline emit(t, limit)
{
    k = limit;
    for (r : 1 .. RECORDS) {
        IF (k && (LEFT(t) & BIT(r)))
            k--;
            sent[t] = sent[t] | BIT(r);
            append(out[t], BATCH + r)
        FI
    }
}

proctype task(byte t)
{
end:
    do
    :: d_step { /* on_message */
        commands[t].count && !BUSY(t) ->
        take(commands[t], r);
        printf("task %d hears %c%d\n", t, LETTER(r), NUMBER(r));
        y = KIND(r);
        r = NUMBER(r);
        n = 0;
        early = (y == OVERTAKE || MODE == UNALIGNED);
        if
        :: y == ANNOUNCE && r > announced[t] && r > closed[t] -> /* aligner_announced */
            bury(t, r - 1);
            announced[t] = r;
            n = (early || COVERED(t, r) -> r : 0)
        :: y == OVERTAKE && r > closed[t] -> /* aligner_overtake */
            bury(t, r - 1);
            n = r
        :: y == OVERTAKE && r == sealing[t] -> on_overtake(t, r)
        :: y == ABORT -> on_abort(t, r)
        :: y == COMMITTED -> context_commit(r)
        :: else
        fi;
        IF (n) task_cut(t, n, early) FI;
        seal(t)
    }
    :: d_step { /* poll_source */
        t < SOURCES && LEFT(t) && !over && !WAITING(t) && !STUCK ->
        printf("source %d polls\n", t);
        emit(t, BURST);
        outlet_push(t);
        skip
    }
    :: d_step { /* finish, outlet_end. The open batch, which END closes, may hold a last record */
        !(ended & TASK(t)) && !BUSY(t) && !WAITING(t) && !STUCK && (t != HEAD || loop_over) &&
        (t < SOURCES -> !(LEFT(t) & (LEFT(t) - 1)) : COVERED(t, FOREVER)) ->
        printf("task %d finishes\n", t);
        ended = ended | TASK(t);
        IF (t < SOURCES) emit(t, 1) FI;
        for (i : 0 .. CHANNELS - 1) {
            IF (FROM(i) == t)
                append(out[i], END);
                outlet_push(i)
            FI
        }
        seal(t)
    }
    :: d_step { /* the sink's commit has synced the target's folder */
        t == SINK && confirming && !over ->
        safe = shown;
        pending = pending & ~((1 << confirming) - 1);
        confirmed = confirmed || confirming == last;
        confirming = 0
    }
    od
}

/* ---- rounds and the store: coordinator.c, round.c, writer.c, store_round.c ----------------- */

inline tell_tasks(what, id)
{
    for (i : 0 .. TASKS - 1) {
        IF (!(BUG == SOURCES_ONLY && what == ANNOUNCE && i >= SOURCES))
            append(commands[i], what + id);
            pass_over(i)
        FI
    }
    skip
}

inline forget(id)
{
    for (k : 0 .. CHANNELS - 1) {
        snap[id].sent[k] = 0;
        snap[id].got[k] = 0;
        snap[id].channel[k] = 0;
        snap[id].outlet[k] = 0
    }
    snap[id].ended = 0;
    snap[id].handles = 0;
    snap[id].forward_ended = false;
    snap[id].final = false
}

/* Per channel: processed ++ channel content ++ outlet content == emitted. And what the sink took
 * is published or in a handle. */
inline check_commit(id)
{
    for (k : 0 .. CHANNELS - 1) {
        PROMISE(!(snap[id].got[k] & (snap[id].channel[k] | snap[id].outlet[k])) &&
                !(snap[id].channel[k] & snap[id].outlet[k]),
                "BROKEN: a checkpoint holds a record twice\n");
        PROMISE((snap[id].got[k] | snap[id].channel[k] | snap[id].outlet[k]) == snap[id].sent[k],
                "BROKEN: a checkpoint is not what was emitted\n")
    }
    records_of(shown | snap[id].handles);
    PROMISE(set == snap[id].got[CHANNELS - 1],
            "BROKEN: the sink's output is neither published nor in a handle\n")
}

inline round_over(id)
{
    unfinished[id] = false;
    sealed[id] = 0;
    older = (older == id -> 0 : older);
    overtaken = overtaken && unfinished[NEWEST]
}

inline abort_round(id)
{
    printf("round %d is aborted\n", id);
    aborts++;
    round_over(id);
    last = (last == id -> 0 : last);
    forget(id);
    tell_tasks(ABORT, id)
}

/* store_commit, up to the rename */
inline rename(id)
{
    printf("round %d is renamed\n", id);
    check_commit(id);
    PROMISE(id > visible, "BROKEN: ids of checkpoints do not rise\n");
    visible = id;
    committing = id;
    committed_epoch = ZOMBIE * crashes;
    IF (BUG == TOLD_BEFORE_SYNC) append(commands[SINK], COMMITTED + id) FI
}

/* store_commit, from the rename on */
inline sync_folder()
{
    IF (durable) forget(durable) FI;
    durable = committing;
    loop_over = loop_over || SHOWS_EMPTY(committing);
    round_over(committing);
    committing = 0
}

/* A round is wanted by the interval, by a loop that may be empty, or when all has ended. A loop is
 * asked when it is: earlier questions are those of the interval. */
#define WANTED (ALL_ENDED || rounds < ROUNDS || (HEAD < TASKS && reached[0] == FOREVER && \
    !loop_over && got[0] == got[CHANNELS - 2] && !older && !unfinished[NEWEST]))

proctype coordinator()
{
end:
    do
    :: d_step { /* rounds_next: CLAIM, ANNOUNCE. P10; two at once */
        !over && !last && !(older && unfinished[NEWEST]) && WANTED &&
        (!CUTTING || BUG == NEXT_TOO_EARLY) ->
        older = (unfinished[NEWEST] -> NEWEST : older);
        n = next_id;
        next_id++;
        printf("round %d starts\n", n);
        unfinished[n] = true;
        overtaken = false;
        if
        :: ALL_ENDED ->
            last = n;
            snap[n].final = true
        :: else -> rounds = (rounds < ROUNDS -> rounds + 1 : rounds)
        fi;
        tell_tasks(ANNOUNCE, n) /* P2 */
    }
    :: d_step { /* OVERTAKE, at any time */
        MODE == ADAPTIVE && CUTTING && !overtaken && !over ->
        printf("round %d overtakes\n", NEWEST);
        overtaken = true;
        tell_tasks(OVERTAKE, NEWEST)
    }
    :: d_step { /* ABORT, at any time, of either */
        aborts < ABORTS && unfinished[NEWEST] && committing != NEWEST && !over ->
        n = NEWEST;
        abort_round(n)
    }
    :: d_step {
        aborts < ABORTS && older && committing != older && !over ->
        n = older;
        abort_round(n)
    }
    :: d_step { /* COMMIT. All parts are durable then: that takes time, as this step may */
        !committing && !over &&
        (SEALED(OLDEST) || (SEALED(NEWEST) && BUG == COMMIT_OUT_OF_ORDER)) ->
        n = (SEALED(NEWEST) && BUG == COMMIT_OUT_OF_ORDER -> NEWEST : OLDEST);
        rename(n)
    }
    :: d_step { /* TELL. Only the sink has something to publish */
        committing && !over ->
        printf("round %d is committed\n", committing);
        IF (BUG != TOLD_BEFORE_SYNC) append(commands[SINK], COMMITTED + committing) FI;
        sync_folder()
    }
    :: d_step { /* TELL, unheard. The final one is known to be confirmed, or repeated */
        LOST && committing && committing != last && !over ->
        printf("round %d is committed, unheard\n", committing);
        sync_folder()
    }
    :: d_step { /* on_confirmed: finish */
        confirmed && !over ->
        printf("the job has ended\n");
        over = true
    }
    od
}

/* ---- crashes: job_restore.c, context_load -------------------------------------------------- */

inline clear(where, room)
{
    for (k : 0 .. room - 1) { where.item[k] = 0 }
    where.count = 0
}

inline forget_run(id)
{
    for (i : 0 .. CHANNELS - 1) {
        clear(out[i], ROOM);
        clear(wire[i], ROOM);
        clear(queue[i], ROOM);
        flying[i] = 0;
        owed[i] = 0;
        marked[i] = 0;
        arrived[i] = 0;
        reached[i] = 0
    }
    for (i : 0 .. TASKS - 1) {
        clear(commands[i], COMMANDS);
        opened[i] = 0;
        closed[i] = id;
        announced[i] = 0;
        sealing[i] = 0
    }
    for (i : 1 .. IDS) {
        unfinished[i] = false;
        sealed[i] = 0;
        IF (i != visible && i != durable && i != zombie) forget(i) FI
    }
    older = 0;
    overtaken = false;
    committing = 0;
    buffer = 0;
    confirmed = false
}

/* P14: content goes back in order, and is charged to the window. */
inline restore_channel(c, id)
{
    sent[c] = snap[id].sent[c];
    got[c] = snap[id].got[c];
    for (r : 1 .. RECORDS) {
        IF (BUG == REPLAY_AFTER_NEW && c < SOURCES && (LEFT(c) & BIT(r)))
            sent[c] = sent[c] | BIT(r);
            append(queue[c], BATCH + r);
            flying[c]++;
            break
        FI
    }
    for (r : 1 .. RECORDS) {
        IF (snap[id].channel[c] & BIT(r))
            append(queue[c], BATCH + r);
            flying[c] = (FEEDBACK(c) || BUG == NOT_CHARGED -> flying[c] : flying[c] + 1)
        FI
    }
    for (r : 1 .. RECORDS) { IF (snap[id].outlet[c] & BIT(r)) append(out[c], BATCH + r) FI }
    IF ((ended & TASK(FROM(c))) && BUG != END_NOT_RESTORED) append(out[c], END) FI; /* P8 */
    outlet_push(c)
}

/* What the checkpoint names is published, what is newer is dropped. */
inline restore_sink(id)
{
    pending = snap[id].handles;
    for (i : 1 .. IDS) {
        if
        :: pending & BIT(i) -> publish(i)
        :: else -> staged[i] = (shown & BIT(i) -> staged[i] : 0)
        fi
    }
    confirming = id;
    records_of(shown);
    PROMISE(set == got[CHANNELS - 1], "BROKEN: published is not what lies before the cut\n")
}

inline restore(id)
{
    printf("crash; restored from %d\n", id);
    crashes++;
    visible = id;
    durable = (BUG == NO_SYNC_AT_RECOVERY -> durable : id);
    forget_run(id);
    last = (snap[id].final -> id : 0);
    loop_over = SHOWS_EMPTY(id);
    ended = snap[id].ended;
    for (i : 0 .. CHANNELS - 1) { restore_channel(i, id) }
    restore_sink(id)
}

proctype environment()
{
end:
    do
    :: atomic { /* a kill; or a power cut, which may take back what was renamed and not synced */
        crashes < CRASHES && !over ->
        if
        :: restoring = visible
        :: visible != durable -> restoring = durable
        fi;
        if
        :: skip
        :: shown != safe -> shown = safe
        fi;
        if
        :: skip
        :: ZOMBIE && SEALED(OLDEST) && !committing && !zombie -> /* it sleeps before its rename */
            zombie = OLDEST;
            zombie_epoch = crashes
        fi;
        d_step {
            n = restoring;
            restoring = 0;
            restore(n)
        }
    }
    :: d_step { /* store_commit of the older run: the fence */
        zombie && !over ->
        printf("the older run would commit %d\n", zombie);
        if
        :: zombie_epoch == crashes || BUG == OLD_EPOCH_ACCEPTED ->
            PROMISE(zombie_epoch >= committed_epoch, "BROKEN: a lower epoch commits later\n");
            committed_epoch = zombie_epoch;
            visible = (zombie > visible -> zombie : visible);
            durable = (zombie > durable -> zombie : durable)
        :: else -> IF (zombie != durable) forget(zombie) FI
        fi;
        zombie = 0
    }
    od
}

/* ---- the end -------------------------------------------------------------------------------- */

/* When nobody can move the job must have ended, with all of its input published. */
proctype last_word()
{
end:
    timeout ->
    d_step {
        PROMISE(over, "BROKEN: nothing can move, and the job has not ended\n");
        records_of(shown);
        PROMISE(set == ALL, "BROKEN: published is not the input\n")
    }
}

#if LIVE
/* A step that can always be taken, say of a source that has nothing: it takes fairness to get
 * anywhere beside it. */
proctype idle()
{
    do
    :: crashes <= CRASHES
    od
}

#define ENDS(id) [] (unfinished[id] -> <> !unfinished[id])
ltl progress { <> over && ENDS(1) && ENDS(2) }
#endif

init
{
    atomic {
        for (i : 0 .. TASKS - 1) { run task(i) }
        for (i : 0 .. CHANNELS - 1) { run input(i) }
        run coordinator();
        run environment();
#if LIVE
        run idle();
#endif
        run last_word()
    }
}
