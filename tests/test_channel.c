/* links: sim */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of channels together: a writer's outlet, a reader's gate, their aligners and what they
 * record; between them a way that refuses, doubles and reorders items and loses credits. Rounds of
 * every mode come among records, ENDs, aborts and restarts from what was recorded, all drawn from a
 * seed. A twin knows only what was emitted and what was processed; of each round that is complete
 * it asks, for every channel:
 *
 *     processed ++ channel content ++ outlet content == emitted
 *
 * The bugs planted in weir show that it would see them.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exercised.h"
#include "explore.h"
#include "gate.h"
#include "outlet.h"
#include "plant.h"
#include "sim.h"

#define EDGES 3u
#define CHANNELS (2 * EDGES)
#define WAY 512u    /* items of a channel between its ends */
#define CREDITS 32u /* credits between the ends */
#define ORDERS 64u
#define STEPS 500u
#define STRETCH 60u /* steps after which it is drawn anew who is fast */

/* A channel as the twin sees it: its records are the numbers 0, 1, 2... */
struct line {
    uint32_t edge;
    uint64_t emitted, processed;
    uint64_t emitted_at_cut, processed_at_cut;
    uint32_t restored; /* batches that a restart has put into the reader's queue */
    struct message way[WAY];
    uint32_t way_count;
};

/* One of the two tasks, as far as rounds go. */
struct side {
    struct aligner *aligner;
    struct content content;
    uint64_t sealing; /* 0: no cut is to be completed */
    struct {
        enum message_kind kind;
        uint64_t id;
    } orders[ORDERS];
    uint32_t order_count;
};

/* What a complete round has left. */
struct kept {
    struct batch *batch;
    uint32_t channel;
    bool outlet;
};
struct saved {
    uint64_t id; /* 0: none */
    uint64_t emitted[CHANNELS], processed[CHANNELS];
    bool finished;
    struct kept *list;
    uint32_t count;
};

enum mode { ALIGNED, UNALIGNED, ADAPTIVE };

static struct {
    uint64_t dice;
    char wrong[400]; /* the first thing; "": nothing */
    /* the shape; drawn once a life */
    uint32_t edge_count, channel_count, window;
    uint64_t window_bytes;
    uint32_t batch_bytes;
    bool feedback[EDGES], broadcast[EDGES], strict, scratch;
    struct plan plan;
    struct plan_channel channels[CHANNELS];
    /* a run */
    uint32_t epoch;
    enum mode mode;
    struct transport *transport;
    struct inbox *reader_inbox, *writer_inbox;
    struct pipe *there, *back;
    struct outlet outlet;
    struct gate gate;
    struct aligner source;
    struct side writer, reader;
    _Atomic uint64_t recorded;
    struct message credits[CREDITS];
    uint32_t credit_count;
    bool finished, ended; /* nothing more is emitted; END was placed */
    bool finished_at_cut;
    /* the coordinator */
    uint64_t id;
    bool open, overtaken;
    /* over all runs */
    struct line lines[CHANNELS];
    struct saved saved;
    uint32_t weights[9];
} pair;

static struct {
    uint64_t rounds, aborts, overtakes, restarts, channel_items, outlet_items;
} total;

static uint32_t below(uint32_t limit)
{
    return explore_below(&pair.dice, limit);
}

static bool one_in(uint32_t count)
{
    return below(count) == 0;
}

static void wrong(const char *format, ...) WEIR_PRINTF(1, 2);
static void wrong(const char *format, ...)
{
    if (*pair.wrong)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(pair.wrong, sizeof pair.wrong, format, arguments);
    va_end(arguments);
}

/* --------------------------------------------------------------------------- the shape -- */

static void draw_shape(void)
{
    pair.edge_count = 1 + below(EDGES);
    pair.window = 1 + below(4);
    pair.window_bytes = 100 + below(500);
    pair.batch_bytes = 64 + 8 * below(30);
    for (uint32_t e = 0; e < pair.edge_count; e++) {
        pair.feedback[e] = e && one_in(3); /* one edge at least leads forward */
        pair.broadcast[e] = !pair.feedback[e] && one_in(4);
        pair.strict |= pair.broadcast[e];
        for (uint32_t c = 0; c < (pair.broadcast[e] ? 2 : 1); c++) {
            pair.channels[pair.channel_count] =
                (struct plan_channel){.edge = e,
                                      .feedback = pair.feedback[e],
                                      .aligned_only = pair.broadcast[e],
                                      .loop = e};
            pair.lines[pair.channel_count++].edge = e;
        }
    }
    pair.scratch = one_in(2);
    pair.plan = (struct plan){.channels = pair.channels, .channel_count = pair.channel_count};
}

static void draw_weights(void)
{
    for (size_t i = 0; i < sizeof pair.weights / sizeof *pair.weights; i++)
        pair.weights[i] = one_in(4) ? 0 : 1 + below(8);
    pair.weights[0]++; /* someone can always do something */
}

/* ------------------------------------------------------------------------------- a run -- */

static struct weir_error error;

static void must(enum weir_result result)
{
    if (result)
        wrong("%s", error.text);
}

static void make_outlet(void)
{
    struct outlet_options options = {.epoch = pair.epoch,
                                     .batch_bytes = pair.batch_bytes,
                                     .window_batches = pair.window,
                                     .window_bytes = pair.window_bytes,
                                     .key_groups = 128};
    if (!outlet_init(&pair.outlet, &options, pair.edge_count, CHANNELS, CHANNELS))
        wrong("no outlet");
    for (uint32_t e = 0; e < pair.edge_count; e++) {
        outlet_add_edge(&pair.outlet, pair.broadcast[e] ? WEIR_BROADCAST : WEIR_FORWARD,
                        pair.outlet.channel_count, pair.broadcast[e] ? 2 : 1);
        outlet_mark_edge(&pair.outlet, pair.feedback[e], e);
    }
    for (uint32_t c = 0; c < pair.channel_count; c++)
        pair.outlet.channels[c].pipe = pair.there;
}

static void make_gate(void)
{
    struct gate_options options = {.input_count = pair.channel_count,
                                   .window_batches = pair.window,
                                   .window_bytes = pair.window_bytes,
                                   .epoch = pair.epoch,
                                   .restored_id = pair.saved.id,
                                   .eager = pair.mode == UNALIGNED,
                                   .content = &pair.reader.content,
                                   .scratch = pair.scratch ? "scratch" : NULL};
    memset(&pair.gate, 0, sizeof pair.gate);
    if (!gate_init(&pair.gate, &options))
        wrong("no gate");
    for (uint32_t i = 0; i < pair.channel_count; i++) {
        pair.gate.inputs[i].channel = i;
        pair.gate.inputs[i].credits = pair.back;
        pair.gate.aligned[i].feedback = pair.channels[i].feedback;
        pair.gate.aligned[i].aligned_only = pair.channels[i].aligned_only;
    }
    gate_align(&pair.gate);
}

static void make_way(void)
{
    struct transport_options options = {.run = 1, .sockets = 8};
    must(transport_open(&options, &pair.transport, &error));
    must(inbox_open(pair.transport, "inproc://reader", &pair.reader_inbox, &error));
    must(inbox_open(pair.transport, "inproc://writer", &pair.writer_inbox, &error));
    must(pipe_open(pair.transport, "inproc://reader", &pair.there, &error));
    must(pipe_open(pair.transport, "inproc://writer", &pair.back, &error));
    sim_network_refuse(one_in(3) ? 4 + below(10) : 0);
    sim_network_duplicate(one_in(3) ? 2 + below(10) : 0);
}

/* P14: what lay at the reader lies there again, and is charged; what waited at the writer waits. */
static void place_saved(void)
{
    for (uint32_t i = 0; i < pair.saved.count; i++) {
        const struct kept *kept = &pair.saved.list[i];
        struct batch *batch = batch_alone(NULL, kept->batch->size);
        memcpy(batch->data, kept->batch->data, kept->batch->size);
        batch->size = kept->batch->size;
        batch->count = kept->batch->count;
        if (kept->outlet) {
            if (!outlet_restore(&pair.outlet, kept->channel, batch))
                wrong("no memory");
            continue;
        }
        if (!pair.channels[kept->channel].feedback) {
            outlet_charge(&pair.outlet, kept->channel, 1, batch->size);
            pair.lines[kept->channel].restored++;
        }
        must(gate_restore(&pair.gate, kept->channel, batch, &error));
    }
}

static void begin_run(void)
{
    pair.epoch++;
    pair.mode = (enum mode)below(3);
    pair.open = pair.overtaken = pair.ended = false;
    pair.finished = pair.saved.id && pair.saved.finished;
    pair.writer = pair.reader =
        (struct side){.content = {.plan = &pair.plan, .recorded = &pair.recorded, .durable = true}};
    make_way();
    make_outlet();
    make_gate();
    aligner_init(&pair.source, NULL, 0, pair.mode == UNALIGNED, pair.saved.id);
    pair.writer.aligner = &pair.source;
    pair.reader.aligner = &pair.gate.aligner;
    for (uint32_t c = 0; c < pair.channel_count; c++) {
        struct line *line = &pair.lines[c];
        line->emitted = pair.saved.emitted[c];
        line->processed = pair.saved.processed[c];
        line->restored = 0;
    }
    place_saved();
}

static void end_run(void)
{
    for (uint32_t c = 0; c < pair.channel_count; c++) {
        struct line *line = &pair.lines[c];
        for (uint32_t i = 0; i < line->way_count; i++)
            batch_release(line->way[i].payload);
        line->way_count = 0;
    }
    pair.credit_count = 0;
    gate_free(&pair.gate);
    outlet_free(&pair.outlet);
    content_free(&pair.writer.content);
    content_free(&pair.reader.content);
    pipe_close(&pair.there);
    pipe_close(&pair.back);
    inbox_close(&pair.reader_inbox);
    inbox_close(&pair.writer_inbox);
    transport_close(&pair.transport);
    batch_pool_free(&pair.outlet.pool);
    if (pair.recorded)
        wrong("%" PRIu64 " bytes are counted as recorded, and nothing is", pair.recorded);
}

static void forget_saved(void)
{
    for (uint32_t i = 0; i < pair.saved.count; i++)
        batch_release(pair.saved.list[i].batch);
    free(pair.saved.list);
    pair.saved = (struct saved){0};
}

/* ------------------------------------------------------------------- a round completes -- */

/* The numbers in these bytes go on from *next. */
static void read_numbers(const unsigned char *data, size_t size, uint32_t edge, uint64_t *next)
{
    while (size) {
        struct item item;
        size_t step = item_next(data, size, &item);
        uint64_t key[2] = {0};
        if (!step) {
            wrong("recorded bytes are no items");
            return;
        }
        if (!item.mark) {
            memcpy(key, item.key.data, sizeof key);
            if (key[0] != (*next)++ || key[1] != edge)
                wrong("%" PRIu64 " of edge %" PRIu64 " stands where %" PRIu64 " of %u belongs",
                      key[0], key[1], *next - 1, edge);
        }
        data += step;
        size -= step;
    }
}

static struct batch *bytes_of(const struct content_item *item)
{
    struct batch *batch = NULL;
    if (!item->batch) {
        must(spill_get(&item->slice, NULL, &batch, &error));
        return batch;
    }
    size_t size = item->batch->size - item->offset;
    batch = batch_alone(NULL, size);
    memcpy(batch->data, item->batch->data + item->offset, size);
    batch->size = size;
    batch->count = item->offset ? 0 : item->batch->count;
    return batch;
}

/* Keeps what one side has recorded of the channel, and reads its numbers. */
static void keep_content(const struct content *content, uint32_t channel, uint64_t *next)
{
    bool outlet = content == &pair.writer.content;
    for (uint32_t i = 0; i < content->count; i++) {
        const struct content_item *item = &content->items[i];
        if (item->channel != channel)
            continue;
        struct batch *batch = bytes_of(item);
        if (!batch || item->outlet != outlet) {
            wrong("an item of the other side, or none");
            batch_release(batch);
            return;
        }
        read_numbers(batch->data, batch->size, pair.lines[channel].edge, next);
        pair.saved.list[pair.saved.count++] = (struct kept){batch, channel, outlet};
        *(outlet ? &total.outlet_items : &total.channel_items) += 1;
        if (pair.channels[channel].aligned_only)
            wrong("channel %u is recorded, and can't be placed again", channel);
    }
}

static uint64_t record_bytes(const struct content *content, bool loop)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < content->count; i++) {
        const struct content_item *item = &content->items[i];
        if (!loop || pair.channels[item->channel].loop)
            bytes += item->batch ? item->batch->size - item->offset : item->slice.size;
    }
    return bytes;
}

static void check_figures(void)
{
    const struct content *in = &pair.reader.content, *out = &pair.writer.content;
    if (in->channel_bytes != record_bytes(in, false) || in->outlet_bytes ||
        out->outlet_bytes != record_bytes(out, false) || out->channel_bytes ||
        in->loop_bytes + out->loop_bytes != record_bytes(in, true) + record_bytes(out, true))
        wrong("bytes are counted that are not there");
    if (pair.recorded != in->held + out->held)
        wrong("%" PRIu64 " bytes are counted as recorded, %" PRIu64 " are", pair.recorded,
              in->held + out->held);
}

static void complete_round(void)
{
    forget_saved();
    pair.saved.list =
        calloc(pair.reader.content.count + pair.writer.content.count + 1, sizeof *pair.saved.list);
    check_figures();
    for (uint32_t c = 0; c < pair.channel_count && !*pair.wrong; c++) {
        struct line *line = &pair.lines[c];
        uint64_t next = line->processed_at_cut;
        keep_content(&pair.reader.content, c, &next);
        keep_content(&pair.writer.content, c, &next);
        if (next != line->emitted_at_cut)
            wrong("channel %u: %" PRIu64 " were emitted at the cut, %" PRIu64 " processed, and the "
                  "content ends at %" PRIu64,
                  c, line->emitted_at_cut, line->processed_at_cut, next);
        pair.saved.emitted[c] = line->emitted_at_cut;
        pair.saved.processed[c] = line->processed_at_cut;
    }
    pair.saved.id = pair.id;
    pair.saved.finished = pair.finished_at_cut;
    content_drop(&pair.reader.content);
    content_drop(&pair.writer.content);
    pair.writer.sealing = pair.reader.sealing = 0;
    pair.gate.spill_all = false;
    pair.open = false;
    total.rounds++;
}

/* P8 */
static bool is_sealed(const struct side *side)
{
    if (side->sealing != pair.id)
        return false;
    return side == &pair.writer ? !pair.outlet.owing : !side->aligner->recording;
}

static void attend_round(void)
{
    if (pair.open && is_sealed(&pair.writer) && is_sealed(&pair.reader))
        complete_round();
}

/* ------------------------------------------------------------------------ the two cuts -- */

static void give_up(struct side *side)
{
    if (!side->sealing || side->aligner->cut == side->sealing)
        return;
    content_drop(&side->content);
    side->sealing = 0;
    if (side == &pair.writer)
        outlet_abort(&pair.outlet);
    else
        pair.gate.spill_all = false;
}

/* A marker needs no credit: what may overtake is on the wire, unless the pipe had no room. */
static void check_ahead(void)
{
    for (uint32_t c = 0; c < pair.channel_count && !pair.outlet.refused; c++)
        if (pair.outlet.channels[c].owes && !pair.outlet.channels[c].aligned_only)
            wrong("channel %u: the marker that overtakes has not left", c);
}

static void writer_cut(void)
{
    uint64_t id = pair.source.open;
    bool early = aligner_overtakes(&pair.source);
    content_begin(&pair.writer.content, id);
    outlet_push(&pair.outlet);
    outlet_marker(&pair.outlet, id, early ? &pair.writer.content : NULL);
    aligner_cut(&pair.source);
    pair.writer.sealing = id;
    pair.finished_at_cut = pair.finished;
    for (uint32_t c = 0; c < pair.channel_count; c++)
        pair.lines[c].emitted_at_cut = pair.lines[c].emitted;
    if (early)
        check_ahead();
}

static void writer_verdict(unsigned verdict)
{
    give_up(&pair.writer);
    if (verdict & ALIGNER_CUT)
        writer_cut();
    if ((verdict & ALIGNER_OVERTAKE) && pair.writer.sealing) {
        outlet_push(&pair.outlet);
        outlet_overtake(&pair.outlet, &pair.writer.content);
        check_ahead();
    }
}

static void reader_verdict(unsigned verdict)
{
    struct aligner *aligner = pair.reader.aligner;
    give_up(&pair.reader);
    if (verdict & ALIGNER_ERROR)
        wrong("the reader says that a marker is out of order");
    if (!(verdict & ALIGNER_CUT))
        return;
    content_begin(&pair.reader.content, aligner->open);
    pair.reader.sealing = aligner->open;
    for (uint32_t c = 0; c < pair.channel_count; c++)
        pair.lines[c].processed_at_cut = pair.lines[c].processed;
    aligner_cut(aligner);
    gate_record(&pair.gate);
}

/* -------------------------------------------------------------------- what may happen -- */

static void emit_one(uint32_t edge)
{
    unsigned char value[700] = {0};
    uint32_t first = 0;
    while (pair.lines[first].edge != edge)
        first++;
    uint64_t key[2] = {pair.lines[first].emitted, edge};
    size_t size = one_in(30) ? sizeof value : 8 * below(5);
    struct weir_record record = {{key, sizeof key}, {value, size}, WEIR_NO_TIME};
    if (!outlet_append(&pair.outlet, &pair.outlet.edges[edge], &record))
        wrong("no memory");
    for (uint32_t c = first; c < pair.channel_count && pair.lines[c].edge == edge; c++)
        pair.lines[c].emitted++;
}

/* One callback: as a task does, only while nothing waits (P12). */
static void emit(void)
{
    if (pair.finished || outlet_blocked(&pair.outlet))
        return;
    uint32_t edge = below(pair.edge_count);
    for (uint32_t n = one_in(8) ? below(60) : 1 + below(3); n; n--)
        emit_one(one_in(4) ? below(pair.edge_count) : edge);
    if (one_in(6))
        outlet_watermark(&pair.outlet, (int64_t)pair.lines[0].emitted);
    if (one_in(12))
        outlet_idle(&pair.outlet);
    pair.finished = one_in(150);
}

static void flush(void)
{
    outlet_flush(&pair.outlet);
}

static void end(void)
{
    if (!pair.finished || pair.ended || outlet_blocked(&pair.outlet))
        return;
    outlet_end(&pair.outlet);
    pair.ended = true;
}

static void push(void)
{
    outlet_push(&pair.outlet);
    if (one_in(8))
        outlet_promise(&pair.outlet);
}

/* A batch that the reader has not had; one that comes twice counts once. */
static bool is_new_batch(const struct line *line, uint32_t at, uint64_t had)
{
    uint64_t sequence = line->way[at].sequence;
    for (uint32_t i = 0; i < at; i++)
        if (line->way[i].sequence == sequence)
            return false;
    return line->way[at].payload && sequence > had;
}

/* In flight on the way and at the reader there is never more than the window, and one batch. */
static void check_window(uint32_t channel)
{
    const struct line *line = &pair.lines[channel];
    const struct gate_input *input = &pair.gate.inputs[channel];
    uint32_t batches = 0;
    for (uint32_t i = 0; i < line->way_count; i++)
        batches += is_new_batch(line, i, input->sequence);
    for (uint32_t i = 0; i < input->count && !pair.channels[channel].feedback; i++)
        batches += input->queue[(input->head + i) % input->room].kind == MESSAGE_BATCH;
    if (batches > pair.window && batches > line->restored)
        wrong("channel %u: %u batches in flight", channel, batches);
}

/* What was sent is on its way. */
static void take_sent(void)
{
    struct message message;
    while (inbox_receive(pair.reader_inbox, &message, &error) > 0) {
        struct line *line = &pair.lines[message.channel];
        if (message.kind == MESSAGE_PROMISE)
            gate_promise(&pair.gate, message.channel, &message);
        else if (line->way_count == WAY)
            wrong("there is no end to what is sent");
        else
            line->way[line->way_count++] = message;
    }
}

static void arrive(uint32_t channel, uint32_t at)
{
    struct line *line = &pair.lines[channel];
    struct message message = line->way[at];
    line->way_count--;
    memmove(&line->way[at], &line->way[at + 1], (line->way_count - at) * sizeof message);
    do {
        unsigned verdict = ALIGNER_NONE;
        bool control = message.kind != MESSAGE_BATCH;
        if (!gate_deliver(&pair.gate, channel, &message, &verdict, &error))
            wrong("%s", error.text);
        else if (control)
            reader_verdict(verdict);
    } while (!*pair.wrong && gate_deliver_aside(&pair.gate, channel, &message));
}

/* The oldest, or a later one: within what may wait aside. */
static void deliver(void)
{
    uint32_t channel = below(pair.channel_count);
    const struct line *line = &pair.lines[channel];
    take_sent();
    check_window(channel);
    if (!line->way_count)
        return;
    uint32_t at = one_in(4) ? below(line->way_count) : 0;
    if (line->way[at].sequence > pair.gate.inputs[channel].sequence + pair.window)
        at = 0;
    arrive(channel, at);
}

static void process(const struct gate_next *next)
{
    struct line *line = &pair.lines[next->input];
    uint32_t count = 1 + below(next->count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key[2] = {0};
        memcpy(key, pair.gate.records[i].key.data, sizeof key);
        if (key[0] != line->processed || key[1] != line->edge)
            wrong("channel %u: %" PRIu64 " is given, %" PRIu64 " was expected", next->input, key[0],
                  line->processed);
        line->processed++;
    }
    gate_consumed(&pair.gate, next->input, count);
}

static bool read_one(void)
{
    struct gate_next next = gate_read(&pair.gate, 1 + below(6));
    switch (next.what) {
    case GATE_NOTHING:
        return false;
    case GATE_RECORDS:
        process(&next);
        break;
    case GATE_MARKER:
        reader_verdict(aligner_reached(pair.reader.aligner, next.input, next.id));
        break;
    case GATE_END:
        reader_verdict(aligner_end_reached(pair.reader.aligner, next.input));
        if (pair.lines[next.input].processed != pair.lines[next.input].emitted)
            wrong("channel %u: END came before the last record", next.input);
        break;
    case GATE_TIME:
        break;
    case GATE_BROKEN:
    case GATE_FAILED:
        wrong("what the reader reads is not well-formed: %s", pair.gate.error.text);
        break;
    }
    return true;
}

static void read_some(void)
{
    (void)read_one();
    if (one_in(10))
        gate_return_credits(&pair.gate);
}

static void take_credits(void)
{
    while (pair.credit_count < CREDITS &&
           inbox_receive(pair.writer_inbox, &pair.credits[pair.credit_count], &error) > 0)
        pair.credit_count++;
}

static void credit_comes(uint32_t at, bool again)
{
    struct message message = pair.credits[at];
    if (!again) {
        pair.credit_count--;
        memmove(&pair.credits[at], &pair.credits[at + 1],
                (pair.credit_count - at) * sizeof message);
    }
    if (!outlet_credit(&pair.outlet, message.channel, message.value, message.id))
        wrong("channel %u: more credit comes back than there was", message.channel);
}

/* Credits are totals: they may be lost, come twice, or late. */
static void credit(void)
{
    take_credits();
    if (one_in(20))
        gate_repeat_credits(&pair.gate);
    if (!pair.credit_count)
        return;
    bool lost = one_in(16), again = one_in(8);
    uint32_t at = one_in(4) ? below(pair.credit_count) : 0;
    if (lost)
        pair.credit_count--; /* the newest */
    else
        credit_comes(at, again);
}

static void freeze(void)
{
    const struct aligner *aligner = pair.reader.aligner;
    if (!aligner->recording)
        return;
    pair.gate.spill_all = true;
    if (aligner->ordered >= aligner->recording && !pair.strict && one_in(2))
        aligner_freeze(pair.reader.aligner);
}

/* ---------------------------------------------------------------------- the coordinator -- */

static void order_both(enum message_kind kind)
{
    struct side *const sides[] = {&pair.writer, &pair.reader};
    for (int i = 0; i < 2; i++) {
        uint32_t at = sides[i]->order_count++;
        sides[i]->orders[at].kind = kind;
        sides[i]->orders[at].id = pair.id;
    }
}

static void coordinate(void)
{
    if (pair.writer.order_count > ORDERS - 2 || pair.reader.order_count > ORDERS - 2)
        return;
    if (!pair.open) { /* P10 */
        pair.id += 1 + below(2);
        pair.open = true;
        pair.overtaken = false;
        order_both(MESSAGE_ANNOUNCE);
    } else if (one_in(30)) {
        pair.open = false;
        order_both(MESSAGE_ABORT);
        total.aborts++;
    } else if (pair.mode == ADAPTIVE && !pair.overtaken && one_in(3)) {
        pair.overtaken = true;
        order_both(MESSAGE_OVERTAKE);
        total.overtakes++;
    }
}

static bool take_order(struct side *side)
{
    if (!side->order_count)
        return false;
    enum message_kind kind = side->orders[0].kind;
    uint64_t id = side->orders[0].id;
    side->order_count--;
    memmove(&side->orders[0], &side->orders[1], side->order_count * sizeof side->orders[0]);
    unsigned verdict = kind == MESSAGE_ANNOUNCE   ? aligner_announced(side->aligner, id)
                       : kind == MESSAGE_OVERTAKE ? aligner_overtake(side->aligner, id)
                                                  : aligner_abort(side->aligner, id);
    if (side == &pair.writer)
        writer_verdict(verdict);
    else
        reader_verdict(verdict);
    return true;
}

static void obey(void)
{
    (void)take_order(one_in(2) ? &pair.writer : &pair.reader);
}

/* ------------------------------------------------------------------------------ a life -- */

/* Nothing new comes, and everything is carried on until nothing moves. */
static void settle(void)
{
    sim_network_refuse(0);
    for (uint32_t still = 0, pass = 0; still < 3 && !*pair.wrong; still++) {
        uint64_t before = total.rounds;
        if (++pass > 10000)
            wrong("it goes on for ever");
        while (take_order(&pair.writer) || take_order(&pair.reader))
            still = 0;
        outlet_flush(&pair.outlet);
        outlet_push(&pair.outlet);
        end();
        take_sent();
        for (uint32_t c = 0; c < pair.channel_count; c++)
            while (pair.lines[c].way_count && !*pair.wrong) {
                arrive(c, 0);
                still = 0;
            }
        while (!*pair.wrong && read_one())
            still = 0;
        gate_return_credits(&pair.gate);
        gate_repeat_credits(&pair.gate);
        for (take_credits(); pair.credit_count && !*pair.wrong; take_credits())
            credit_comes(0, false);
        attend_round();
        still = total.rounds == before ? still : 0;
    }
}

static void check_settled(void)
{
    if (*pair.wrong)
        return;
    for (uint32_t c = 0; c < pair.channel_count; c++)
        if (pair.lines[c].processed != pair.lines[c].emitted)
            wrong("channel %u: %" PRIu64 " of %" PRIu64 " were processed, and nothing moves", c,
                  pair.lines[c].processed, pair.lines[c].emitted);
    if (pair.open)
        wrong("round %" PRIu64 " is not complete, and nothing moves", pair.id);
    if (pair.gate.held || pair.outlet.held || pair.outlet.unsent || pair.outlet.controls ||
        pair.outlet.owing || pair.outlet.waiting)
        wrong("in queues that are empty there are counted: %" PRIu64 " and %" PRIu64
              " bytes, %u items, %u controls, %u owing, %u waiting",
              pair.gate.held, pair.outlet.held, pair.outlet.unsent, pair.outlet.controls,
              pair.outlet.owing, pair.outlet.waiting);
    if (pair.gate.gap_count)
        wrong("something is missed that was not lost");
}

static void step(void)
{
    static void (*const actions[])(void) = {emit, deliver, read_some, credit, coordinate,
                                            obey, push,    flush,     freeze};
    uint32_t sum = 0, at = 0;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        sum += pair.weights[i];
    uint32_t drawn = below(sum);
    while (drawn >= pair.weights[at])
        drawn -= pair.weights[at++];
    actions[at]();
    end();
    attend_round();
}

/* NULL: all went well. */
static const char *live(uint64_t seed)
{
    memset(&pair, 0, sizeof pair);
    pair.dice = seed;
    sim_start(seed);
    sim_disk_wipe();
    draw_shape();
    if (pair.scratch)
        must(spill_folder("scratch", &error));
    begin_run();
    for (uint32_t n = 0; n < STEPS && !*pair.wrong; n++) {
        if (n % STRETCH == 0)
            draw_weights();
        step();
        if (pair.saved.id && one_in(200)) {
            end_run();
            begin_run();
            total.restarts++;
        }
    }
    settle();
    check_settled();
    end_run();
    forget_saved();
    if (sim_end())
        wrong("memory is left");
    return *pair.wrong ? pair.wrong : NULL;
}

/* ----------------------------------------------------------------------------- the tests -- */

static char replay[100];

static void on_abort(int signal_number)
{
    if (write(STDERR_FILENO, replay, strlen(replay)) < 0)
        _exit(99);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void name_seed(uint64_t seed)
{
    snprintf(replay, sizeof replay, "failed with WEIR_TEST_SEED=%" PRIu64 "\n", seed);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
}

Test(channel, nothing_is_lost_or_doubled_between_processed_recorded_and_emitted)
{
    const char *given = getenv("WEIR_TEST_SEED");
    uint64_t first = given ? explore_seed() : 1, lives = given ? 1 : 6000;
    for (uint64_t seed = first; seed < first + lives; seed++) {
        name_seed(seed);
        const char *says = live(seed);
        cr_assert_null(says, "%s%s", replay, says);
    }
    printf("figure: channels: %" PRIu64 " rounds complete, %" PRIu64 " aborted, %" PRIu64
           " overtaken, %" PRIu64 " restarts, %" PRIu64 " pieces of channel content and %" PRIu64
           " of outlet content\n",
           total.rounds, total.aborts, total.overtakes, total.restarts, total.channel_items,
           total.outlet_items);
    exercised(lives);
    cr_expect(given || total.rounds > 4000);
}

static const char *const plants[] = {
    "half_read_batch_whole", "recorded_batch_lost", "outlet_content_forgotten",
    "queues_not_recorded",   "arrivals_not_logged", "open_batch_left_out",
    "late_marker_counted",   "abort_leaks",         "marker_waits_for_credit",
    "credit_returned_twice", "sequence_unchecked",  "aligned_only_overtaken",
    "channel_forgotten",     "end_is_no_marker",
};

/* In a child, for a plant may end in an assertion. */
static bool is_caught(const char *plant, uint64_t lives)
{
    int status = 0;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        sim_planted = plant;
        for (uint64_t seed = 1; seed <= lives; seed++)
            if (live(seed))
                _exit(1);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 2);
    return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

Test(channel, planted_bugs_are_seen)
{
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        bool caught = is_caught(plants[i], 500);
        cr_expect(caught, "%s was not seen", plants[i]);
        exercised_by_name("plant", plants[i], caught);
    }
    cr_expect_not(is_caught("none", 50));
}
