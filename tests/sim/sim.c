/* SPDX-License-Identifier: Apache-2.0
 *
 * The run itself: streams of numbers and the trace. The twins' own controls are in their files.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define TAIL 200

struct event {
    uint64_t count;
    int64_t now_ns;
    char what[16];
    char who[24];
    uint64_t numbers[4];
};

static struct {
    uint64_t streams[SIM_STREAMS];
    uint64_t hash;
    uint64_t count;
    bool print;
    bool killed;
    uint32_t process;
    void (*hook)(void *context, const struct message *message);
    void *hook_context;
    struct event tail[TAIL];
} sim;

/* splitmix64: every 64-bit state is a good one, so a seed needs no warming up. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t sim_draw(enum sim_stream stream, uint64_t below)
{
    return next(&sim.streams[stream]) % below;
}

static uint64_t draw_network(uint64_t below)
{
    return sim_draw(SIM_NETWORK, below);
}

static void network_event(const char *what, const char *endpoint, const struct message *message)
{
    const char *name = strstr(endpoint, "://");
    uint64_t numbers[4] = {(uint64_t)message->kind << 32 | message->channel, message->sequence,
                           message->id, message->count};

    sim_event(what, name == NULL ? endpoint : name + 3, numbers);
    if (sim.hook != NULL && strcmp(what, "send") == 0)
        sim.hook(sim.hook_context, message);
}

void sim_message_hook(void (*hook)(void *context, const struct message *message), void *context)
{
    sim.hook = hook;
    sim.hook_context = context;
}

void sim_kill(void)
{
    static const uint64_t none[4];

    if (!sim.killed)
        sim_event("kill", "", none);
    sim.killed = true;
}

bool sim_killed(void)
{
    return sim.killed;
}

void sim_revive(void)
{
    sim.killed = false;
}

void sim_process(uint32_t number)
{
    sim.process = number;
}

uint32_t sim_process_now(void)
{
    return sim.process;
}

void sim_start(uint64_t seed)
{
    static const struct sim_network network = {sim_now_ns, draw_network, network_event};
    bool print = sim.print;

    memset(&sim, 0, sizeof sim);
    sim.print = print;
    for (int i = 0; i < SIM_STREAMS; i++)
        sim.streams[i] = next(&seed);
    sim_clock_start((int64_t)sim_draw(SIM_IDENTITY, 1u << 30) + 1000000000, 1700000000000000000);
    sim_memory_start((unsigned char)sim_draw(SIM_IDENTITY, 256),
                     (unsigned char)sim_draw(SIM_IDENTITY, 256));
    sim_threads_start();
    sim_disk_start();
    sim_network_control(&network);
}

static uint64_t report(const char *what, uint64_t count)
{
    if (count > 0)
        fprintf(stderr, "sim: left behind: %" PRIu64 " %s\n", count, what);
    return count;
}

uint64_t sim_end(void)
{
    uint64_t left = report("actors or monitors", sim_threads_left());

    left += report("transports", sim_network_left());
    left += report("blocks of memory", sim_memory_left());
    left += report("descriptors", sim_disk_left());
    sim_network_control(NULL);
    sim_threads_forget();
    sim_memory_forget();
    sim_disk_release();
    return left;
}

/* ---- trace ---- */

static void event_print(const struct event *event)
{
    fprintf(stderr,
            "%8" PRIu64 " %14" PRId64 " %-12s %-20s %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64
            "\n",
            event->count, event->now_ns, event->what, event->who, event->numbers[0],
            event->numbers[1], event->numbers[2], event->numbers[3]);
}

/* Events are many, and snprintf would be a tenth of a run's cost. */
static void copy_name(char *to, size_t room, const char *name)
{
    size_t size = strlen(name);

    memcpy(to, name, size < room ? size : room - 1);
}

void sim_event(const char *what, const char *who, const uint64_t numbers[4])
{
    struct event event;

    memset(&event, 0, sizeof event); /* its padding is hashed too */
    event.count = sim.count++;
    event.now_ns = sim_now_ns();
    copy_name(event.what, sizeof event.what, what);
    copy_name(event.who, sizeof event.who, who);
    memcpy(event.numbers, numbers, sizeof event.numbers);
    sim.hash = XXH3_64bits_withSeed(&event, sizeof event, sim.hash);
    sim.tail[event.count % TAIL] = event;
    if (sim.print)
        event_print(&event);
}

uint64_t sim_trace_hash(void)
{
    return sim.hash;
}

uint64_t sim_trace_count(void)
{
    return sim.count;
}

void sim_trace_print(bool print)
{
    sim.print = print;
}

void sim_trace_tail(void)
{
    uint64_t first = sim.count > TAIL ? sim.count - TAIL : 0;

    for (uint64_t i = first; i < sim.count; i++)
        event_print(&sim.tail[i % TAIL]);
}
