/* SPDX-License-Identifier: Apache-2.0
 *
 * state: the input is what kind of state it is, things to do with it, the blobs of its log, each a
 * segment, and the body:
 *
 *   u8 kind, sizes | u8 how many of the things: u8 each | u8 blobs: u16 size, bytes | body
 *
 * What loads has the entries that a naive reading of the blobs gives, does what it is asked without
 * harm, can be cut, and loads again as it was. All keys' groups are the task's, and a body whose
 * number of keys is all ones has the right one.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "little.h"
#include "memory.h"
#include "segment_blobs.h"
#include "state_entry.h"
#include "state_list.h"
#include "state_map.h"
#include "state_timers.h"

#define BLOBS 4u
#define THINGS 32u
#define ENTRIES 400u /* of one log, that are looked at naively */
#define BODY_SIZE 28u

static const struct state_range all = {0, 128, 128};

struct log {
    struct weir_bytes blobs[BLOBS];
    uint32_t count;
};

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

/* ---- what it should hold ---- */

struct entry {
    struct weir_bytes key, value;
    bool live;
};

/* Those that live; UINT32_MAX: it is not known. */
static uint32_t read_naively(const struct log *log, struct entry *entries, uint32_t *live)
{
    uint32_t count = 0;

    *live = 0;
    for (uint32_t b = log->count; b > 0; b--) {
        uint32_t older = count; /* those before are of newer blobs */
        const unsigned char *at = log->blobs[b - 1].data;
        for (size_t left = log->blobs[b - 1].size; left >= ENTRY_HEADER_SIZE;) {
            struct weir_bytes key = {at + ENTRY_HEADER_SIZE, little_u32(at)};
            uint32_t value = little_u32(at + 4);
            size_t size = entry_size(key.size, value == SEGMENT_TOMB ? 0 : value);
            uint32_t i = 0;
            if (key.size > left || value > SEGMENT_TOMB || size > left || count == ENTRIES)
                return UINT32_MAX;
            while (i < count && (entries[i].key.size != key.size ||
                                 (key.size > 0 && memcmp(entries[i].key.data, key.data, key.size))))
                i++;
            bool live_now = value != SEGMENT_TOMB;
            if (i == count)
                entries[count++] = (struct entry){key, {0}, false};
            if (i >= older && live_now && !entries[i].live) {
                entries[i].live = true;
                entries[i].value =
                    (struct weir_bytes){at + ENTRY_HEADER_SIZE + entry_padded(key.size), value};
                ++*live;
            }
            at += size;
            left -= size;
        }
    }
    return count;
}

/* ---- loading ---- */

static enum weir_result load(struct state *state, const struct log *log,
                             struct snapshot_section *body, const struct weir_allocator *allocator,
                             struct weir_error *error)
{
    enum weir_result result = WEIR_OK;

    for (uint32_t i = 0; result == WEIR_OK && i < log->count; i++) {
        struct segment *segment = segment_new(allocator);
        size_t size = log->blobs[i].size;
        unsigned char *copy = memory_take(allocator, size);
        fuzz_must(segment != NULL && copy != NULL, "no memory");
        if (size > 0)
            memcpy(copy, log->blobs[i].data, size);
        fuzz_must(segment_restore(segment, copy, size, size, 0, UINT32_MAX), "no memory");
        result = state_load_segment(state, segment, &all, NULL, error);
    }
    return result == WEIR_OK ? state_load(state, body, NULL, error) : result;
}

static void compare(struct state *state, const struct log *log, size_t head)
{
    static struct entry entries[ENTRIES];
    uint32_t live, count = read_naively(log, entries, &live);
    struct weir_bytes value;

    if (count == UINT32_MAX)
        return;
    fuzz_must(state_count(state) == live, "%llu keys live, not %u",
              (unsigned long long)state_count(state), live);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = state_hash(entries[i].key);
        if (!state_get(state, entries[i].key, hash, &value))
            fuzz_must(!entries[i].live || head > 0, "a key is not there");
        else
            fuzz_must(
                entries[i].live && value.size == entries[i].value.size - head &&
                    memcmp(value.data, (const char *)entries[i].value.data + head, value.size) == 0,
                "another value");
    }
}

/* ---- things to do ---- */

struct at_hand {
    struct weir_bytes key, sub;
    unsigned char bytes[64], sub_bytes[64];
};

/* A key that the state has, or another. */
static void take_key(struct state *state, enum state_kind kind, uint8_t which, struct at_hand *at)
{
    struct weir_bytes key, value;

    memset(at->bytes, which, sizeof at->bytes);
    memset(at->sub_bytes, which, sizeof at->sub_bytes);
    at->key = (struct weir_bytes){at->bytes, which % 20};
    at->sub = (struct weir_bytes){at->sub_bytes, which % 9};
    if (which % 3 == 0 || state_scan_next(state, &key, &value) != WEIR_OK)
        return;
    struct pair pair = {key, {NULL, 0}};
    if (kind != STATE_VALUE)
        pair = pair_read(key);
    at->key.size = pair.key.size < sizeof at->bytes ? pair.key.size : sizeof at->bytes;
    at->sub.size = pair.sub.size < sizeof at->bytes ? pair.sub.size : sizeof at->bytes;
    memcpy(at->bytes, pair.key.data, at->key.size);
    memcpy(at->sub_bytes, pair.sub.data != NULL ? pair.sub.data : "", at->sub.size);
}

static void do_value(struct state *state, uint8_t thing, const struct at_hand *at,
                     struct weir_bytes value)
{
    uint64_t hash = state_hash(at->key);
    struct weir_bytes got;

    if (thing % 3 == 0)
        (void)!state_remove(state, at->key, hash);
    else if (thing % 3 == 1)
        (void)!state_put(state, at->key, hash, value);
    else
        (void)state_get(state, at->key, hash, &got);
}

static void do_list(struct state *state, uint8_t thing, const struct at_hand *at,
                    struct weir_bytes value)
{
    uint64_t hash = state_hash(at->key), length = state_list_count(state, at->key, hash);
    struct weir_bytes got;

    if (thing % 4 == 0)
        (void)!state_list_append(state, at->key, hash, value);
    else if (thing % 4 == 1)
        (void)!state_list_truncate(state, at->key, hash, length / 2);
    else if (thing % 4 == 2)
        (void)state_list_get(state, at->key, hash, length - 1, &got);
    else
        (void)!state_list_put(state, at->key, hash, thing, value);
}

static void do_map(struct state *state, uint8_t thing, const struct at_hand *at,
                   struct weir_bytes value)
{
    uint64_t hash = state_hash(at->key), removed;
    struct weir_bytes sub, got, after = at->sub;

    if (thing % 4 == 0)
        (void)!state_map_put(state, at->key, hash, at->sub, value);
    else if (thing % 4 == 1)
        (void)!state_map_remove(state, at->key, hash, at->sub);
    else if (thing % 4 == 2)
        (void)!state_map_clear(state, at->key, hash, 2, &removed);
    for (uint32_t i = 0; i < 10 && state_map_next(state, at->key, i ? &after : NULL, &sub, &got);
         i++)
        after = sub;
    (void)state_map_count(state, at->key);
}

static void do_timers(struct state *state, uint8_t thing, const struct at_hand *at)
{
    uint64_t hash = state_hash(at->key);
    struct pair_timer timer = {thing, thing % 5, thing % 2};
    struct weir_bytes key;

    if (thing % 3 == 0)
        (void)!state_timer_set(state, at->key, hash, timer);
    else if (thing % 3 == 1)
        (void)!state_timer_cancel(state, at->key, hash, timer);
    else
        (void)!state_timer_take(state, timer.kind, INT64_MAX, &key, &timer);
    (void)state_timer_next(state, 0);
    (void)state_timer_count(state, 1);
}

static void do_things(struct state *state, const struct state_type *type, struct weir_bytes things)
{
    static const unsigned char bytes[16] = "a value";
    struct weir_bytes value = {bytes, type->value_size > 0 ? type->value_size : 5};
    struct at_hand at;

    for (size_t i = 0; i < things.size; i++) {
        uint8_t thing = ((const uint8_t *)things.data)[i];
        take_key(state, type->kind, thing, &at);
        if (thing >= 250)
            state_set_time(state, (int64_t)thing << 50);
        else if (type->kind == STATE_VALUE)
            do_value(state, thing, &at, value);
        else if (type->kind == STATE_LIST)
            do_list(state, thing, &at, value);
        else if (type->kind == STATE_MAP)
            do_map(state, thing, &at, value);
        else
            do_timers(state, thing, &at);
    }
}

/* ---- and again ---- */

static uint64_t content_of(struct state *state)
{
    struct weir_bytes key, value;
    uint64_t sum = state_count(state);

    state_scan_rewind(state);
    while (state_scan_next(state, &key, &value) == WEIR_OK)
        sum += state_hash(key) * 3 + state_hash(value);
    return sum;
}

static void save_again(struct state *state, const struct state_type *type,
                       const struct weir_allocator *allocator)
{
    struct state_cut cut;
    struct snapshot_writer body = {.grow = grow};
    struct weir_error error = {0};
    struct state *again = state_new_of(allocator, type);

    fuzz_must(again != NULL && state_cut(state, &cut) == WEIR_OK, "no memory");
    state_save(state, &body);
    for (uint32_t i = 0; i < cut.count; i++) {
        struct segment_blobs blobs;
        struct segment *segment = segment_new(allocator);
        fuzz_must(segment != NULL && segment_blobs_begin(&blobs, cut.segments[i]), "no memory");
        while (segment_blobs_next(&blobs)) {
            unsigned char *to = memory_take(allocator, blobs.size);
            fuzz_must(to != NULL, "no memory");
            segment_blobs_fill(&blobs, to);
            fuzz_must(segment_restore(segment, to, blobs.size, blobs.size, blobs.first, blobs.last),
                      "no memory");
        }
        segment_blobs_end(&blobs);
        enum weir_result result = state_load_segment(again, segment, &all, NULL, &error);
        fuzz_must(result == WEIR_OK, "a segment of its own is refused: %s", error.text);
    }
    struct snapshot_section section = {.body = body.data, .left = body.size};
    enum weir_result result = state_load(again, &section, NULL, &error);
    fuzz_must(result == WEIR_OK, "a state of its own is refused: %s", error.text);
    fuzz_must(content_of(state) == content_of(again), "it is another one");
    state_cut_free(&cut);
    state_free(&again);
    free(body.data);
}

static void run(const unsigned char *data, size_t size)
{
    static const uint32_t sizes[] = {0, 8, 12, 0};
    const struct weir_allocator *allocator = fuzz_memory(64 * size + ((size_t)4 << 20));
    struct fuzz_input input = {data, size};
    uint8_t how = fuzz_u8(&input);
    struct state_type type = {.kind = (enum state_kind)(how % STATE_KINDS),
                              .value_size =
                                  how % STATE_KINDS == STATE_TIMERS ? 0 : sizes[how >> 4 & 3],
                              .ttl_ns = (how & 8) != 0 && how % STATE_KINDS != STATE_TIMERS};
    struct weir_bytes things = fuzz_take(&input, fuzz_u8(&input) % THINGS);
    struct log log = {.count = fuzz_u8(&input) % (BLOBS + 1)};
    struct weir_error error = {0};
    unsigned char body[256] = {0};

    for (uint32_t i = 0; i < log.count; i++)
        log.blobs[i] = fuzz_take(&input, fuzz_u16(&input));
    struct weir_bytes rest = fuzz_take(&input, sizeof body);
    if (rest.size > 0)
        memcpy(body, rest.data, rest.size);
    if (little_u64(body) == UINT64_MAX) {
        static struct entry entries[ENTRIES];
        uint32_t live;
        (void)read_naively(&log, entries, &live);
        little_put_u64(body, live);
    }
    struct snapshot_section section = {.body = body, .left = rest.size};
    struct state *state = state_new_of(allocator, &type);
    fuzz_must(state != NULL, "no memory");
    enum weir_result result = load(state, &log, &section, allocator, &error);
    if (result == WEIR_OK) {
        if (type.kind == STATE_VALUE)
            compare(state, &log, type.ttl_ns > 0 ? 8 : 0);
        do_things(state, &type, things);
        save_again(state, &type, allocator);
    } else {
        fuzz_refused(result, &error);
    }
    state_free(&state);
    fuzz_must(fuzz_memory_taken() == 0, "%zu bytes are left behind", fuzz_memory_taken());
}

/* ---- entries that hang together ---- */

static void mend_blob(unsigned char *data, size_t size)
{
    size_t at = 0;

    while (size - at >= ENTRY_HEADER_SIZE) {
        size_t left = size - at - ENTRY_HEADER_SIZE;
        uint32_t key = little_u32(data + at), value = little_u32(data + at + 4);
        bool tomb = value == SEGMENT_TOMB;
        if (entry_padded(key) > left) {
            key = (uint32_t)left & ~7u;
            little_put_u32(data + at, key);
        }
        left -= entry_padded(key);
        if (!tomb && entry_padded(value) > left) {
            value = (uint32_t)left & ~7u;
            little_put_u32(data + at + 4, value);
        }
        unsigned char *from = data + at + ENTRY_HEADER_SIZE;
        memset(from + key, 0, entry_padded(key) - key);
        from += entry_padded(key);
        if (!tomb)
            memset(from + value, 0, entry_padded(value) - value);
        at += entry_size(key, tomb ? 0 : value);
    }
}

static size_t mend(unsigned char *data, size_t size, size_t room)
{
    size_t at = 1;

    (void)room;
    if (size < 2)
        return size;
    at += 1 + data[at] % THINGS;
    if (at >= size)
        return size;
    uint32_t blobs = data[at++] % (BLOBS + 1);
    for (uint32_t i = 0; i < blobs && at + 2 <= size; i++) {
        size_t many = (size_t)data[at] | (size_t)data[at + 1] << 8;
        at += 2;
        many = many > size - at ? size - at : many;
        mend_blob(data + at, many);
        at += many;
    }
    if (size - at >= 8)
        memset(data + at, 0xff, 8);
    return size;
}

/* ---- inputs to begin with ---- */

static void fill(struct state *state, const struct state_type *type, uint32_t round)
{
    struct weir_bytes things;
    unsigned char list[24];

    for (uint32_t i = 0; i < sizeof list; i++)
        list[i] = (unsigned char)(i * 7 + round * 31);
    things = (struct weir_bytes){list, sizeof list};
    do_things(state, type, things);
}

/* Each kind, of fixed and of any size, with a time to live and without, over two cuts. */
static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const unsigned char hows[] = {0, 0x10, 8, 0x28, 1, 0x11, 9, 2, 0x1a, 3};
    static const unsigned char things[] = {6, 3, 41, 77, 100, 251, 130};
    unsigned char size[2], blobs;
    struct snapshot_writer body = {.grow = grow};
    struct state_cut cut;

    if (n >= sizeof hows)
        return false;
    static const uint32_t sizes[] = {0, 8, 12, 0};
    struct state_type type = {.kind = (enum state_kind)(hows[n] % STATE_KINDS),
                              .value_size = sizes[hows[n] >> 4 & 3],
                              .ttl_ns = (hows[n] & 8) != 0};
    struct state *state = state_new_of(NULL, &type);
    fuzz_must(state != NULL, "no memory");
    state_set_time(state, 1000);
    fill(state, &type, 0);
    fuzz_must(state_cut(state, &cut) == WEIR_OK, "no memory");
    state_cut_free(&cut);
    fill(state, &type, 1);
    state_scan_rewind(state);
    fuzz_must(state_cut(state, &cut) == WEIR_OK && cut.count <= BLOBS, "no memory");
    fuzz_put(to, &hows[n], 1);
    fuzz_put(to, things, sizeof things);
    blobs = (unsigned char)cut.count;
    fuzz_put(to, &blobs, 1);
    for (uint32_t i = 0; i < cut.count; i++) {
        struct segment_blobs parts;
        fuzz_must(segment_blobs_begin(&parts, cut.segments[i]) && segment_blobs_next(&parts),
                  "no memory");
        unsigned char *bytes = malloc(parts.size);
        fuzz_must(bytes != NULL && parts.size <= UINT16_MAX, "no memory");
        segment_blobs_fill(&parts, bytes);
        size[0] = (unsigned char)parts.size;
        size[1] = (unsigned char)(parts.size >> 8);
        fuzz_put(to, size, 2);
        fuzz_put(to, bytes, parts.size);
        free(bytes);
        segment_blobs_end(&parts);
    }
    state_save(state, &body);
    fuzz_put(to, body.data, body.size);
    free(body.data);
    state_cut_free(&cut);
    state_free(&state);
    return true;
}

const struct fuzz_target fuzz_state = {"state", run, seed, mend};
