/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "handover.h"
#include "passed.h"
#include "state.h"

#define GROUPS 128u
#define MOST 6u /* subtasks tried */

/* count, of one state; nothing else matters. */
struct world {
    struct manifest_state states[2];
    struct manifest_node was, is;
    struct manifest_graph then, now;
    struct mapping mapping;
    struct snapshot_writer parts[MOST];
    struct weir_bytes views[MOST];
    struct handover handover;
};

static unsigned char *grow(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context;
    (void)size;
    return realloc(data, capacity);
}

static char *text(const char *value)
{
    return (char *)(uintptr_t)value;
}

static void begin_part(struct snapshot_writer *part, bool finished, uint64_t position)
{
    *part = (struct snapshot_writer){.grow = grow};
    snapshot_begin(part, SNAPSHOT_OPERATOR, 0);
    snapshot_text(part, "count");
    snapshot_u32(part, 7);
    snapshot_u32(part, finished);
    snapshot_end(part);
    snapshot_begin(part, SNAPSHOT_POSITION, 0);
    snapshot_u64(part, position);
    snapshot_end(part);
}

static void world_open(struct world *world, uint32_t p, uint32_t q)
{
    *world = (struct world){
        .states = {{.name = text("total"), .format = text("u64"), .version = 1, .value_size = 8},
                   {.name = text("last"), .format = text(""), .version = 1}},
        .was = {text("count"), text("function"), 7, p, world->states, 1},
        .is = {text("count"), text("function"), 7, q, world->states, 1},
        .then = {.key_groups = GROUPS, .nodes = &world->was, .node_count = 1},
        .now = {.key_groups = GROUPS, .nodes = &world->is, .node_count = 1},
    };
    for (uint32_t i = 0; i < p; i++)
        begin_part(&world->parts[i], false, 10 + i);
}

static void world_map(struct world *world)
{
    struct weir_error error = {0};
    cr_assert_eq(mapping_make(&world->then, &world->now, NULL, NULL, &world->mapping, &error),
                 WEIR_OK);
    for (uint32_t i = 0; i < world->was.parallelism; i++)
        world->views[i] = (struct weir_bytes){world->parts[i].data, world->parts[i].size};
    world->handover = (struct handover){&world->mapping, 0, world->views, false};
}

static void world_close(struct world *world)
{
    for (uint32_t i = 0; i < world->was.parallelism; i++)
        free(world->parts[i].data);
    mapping_free(&world->mapping);
}

/* Sections as text, one a line: what a test reads. */
static void print(const struct snapshot_writer *part, char *room, size_t size)
{
    struct snapshot_reader reader = {part->data, part->size, false};
    struct snapshot_section section;
    size_t used = 0;
    room[0] = 0;
    while (snapshot_next(&reader, &section)) {
        if (section.tag == SNAPSHOT_OPERATOR) {
            struct weir_bytes name = snapshot_get_text(&section);
            uint32_t version = snapshot_get_u32(&section);
            used += (size_t)snprintf(room + used, size - used, "%.*s %u %s", (int)name.size,
                                     (const char *)name.data, version,
                                     snapshot_get_u32(&section) ? "finished" : "open");
        } else if (section.tag == SNAPSHOT_POSITION) {
            used += (size_t)snprintf(room + used, size - used, " %u",
                                     (unsigned)snapshot_get_u64(&section));
        } else if (section.tag == SNAPSHOT_ITEM || section.tag == SNAPSHOT_HANDLE ||
                   section.tag == SNAPSHOT_LETTER) {
            used += (size_t)snprintf(room + used, size - used, " %c%u:%.*s",
                                     section.tag == SNAPSHOT_ITEM     ? 'i'
                                     : section.tag == SNAPSHOT_HANDLE ? 'h'
                                                                      : 'l',
                                     section.index, (int)section.left, (const char *)section.body);
        } else if (section.tag == SNAPSHOT_TIMER) {
            used += (size_t)snprintf(room + used, size - used, " t%u",
                                     (unsigned)snapshot_get_u64(&section));
        } else {
            used += (size_t)snprintf(room + used, size - used, " ?%u", section.tag);
        }
    }
    cr_assert(!reader.failed);
}

static void add(struct world *world, uint32_t subtask, enum snapshot_tag tag, uint32_t index,
                const char *body)
{
    struct snapshot_writer *part = &world->parts[subtask];
    snapshot_begin(part, tag, index);
    snapshot_bytes(part, body, strlen(body));
    snapshot_end(part);
}

static void gives(struct world *world, uint32_t subtask, const char *expected)
{
    struct snapshot_writer writer = {.grow = grow};
    struct weir_error error = {0};
    char said[1000];
    cr_assert_eq(handover_write(&world->handover, subtask, &writer, &error), WEIR_OK, "%s",
                 error.text);
    print(&writer, said, sizeof said);
    cr_expect_str_eq(said, expected, "%u: %s", subtask, said);
    free(writer.data);
}

Test(handover, items_handles_and_letters_go_where_they_belong_once_and_in_order)
{
    struct world world;
    world_open(&world, 3, 2);
    for (uint32_t i = 0; i < 3; i++) {
        const char *items[3][2] = {{"a", "b"}, {"c", "d"}, {"e", "f"}};
        add(&world, i, SNAPSHOT_ITEM, 2, "B");
        add(&world, i, SNAPSHOT_ITEM, 0, items[i][0]);
        add(&world, i, SNAPSHOT_ITEM, 1, i == 0 ? "U" : i == 1 ? "V" : "W");
        if (i != 1)
            add(&world, i, SNAPSHOT_ITEM, 0, items[i][1]);
        add(&world, i, SNAPSHOT_HANDLE, 0, i == 0 ? "h0" : i == 1 ? "h1" : "h2");
        add(&world, i, SNAPSHOT_HANDLE, 0, i == 0 ? "k0" : i == 1 ? "k1" : "k2");
        add(&world, i, SNAPSHOT_LETTER, 1, i == 0 ? "l0" : i == 1 ? "l1" : "l2");
        add(&world, i, SNAPSHOT_TASK, 0, "x");
        add(&world, i, SNAPSHOT_CHANNEL, 0, "x");
    }
    world_map(&world);
    gives(&world, 0,
          "count 7 open 12 i2:B i0:a i1:U i0:b h0:h0 h0:k0 l1:l0 i0:c i1:V i1:W h0:h2 h0:k2 l1:l2");
    gives(&world, 1, "count 7 open 12 i2:B i1:U i1:V h0:h1 h0:k1 l1:l1 i0:e i1:W i0:f");
    world_close(&world);
}

/* However many there are: none lost, none twice. */
Test(handover, each_split_item_and_each_handle_is_somewhere_exactly_once)
{
    for (uint32_t p = 1; p <= MOST; p++) {
        for (uint32_t q = 1; q <= MOST; q++) {
            struct world world;
            unsigned seen[2][3 * MOST] = {{0}};
            world_open(&world, p, q);
            for (uint32_t i = 0; i < p; i++)
                for (uint32_t k = 0; k < i % 4; k++) {
                    char name[2] = {(char)('A' + 3 * i + k), 0};
                    add(&world, i, SNAPSHOT_ITEM, 0, name);
                    add(&world, i, SNAPSHOT_HANDLE, 0, name);
                }
            world_map(&world);
            for (uint32_t s = 0; s < q; s++) {
                struct snapshot_writer writer = {.grow = grow};
                struct snapshot_section section;
                cr_assert_eq(handover_write(&world.handover, s, &writer, NULL), WEIR_OK);
                struct snapshot_reader reader = {writer.data, writer.size, false};
                while (snapshot_next(&reader, &section))
                    if (section.tag == SNAPSHOT_ITEM || section.tag == SNAPSHOT_HANDLE)
                        seen[section.tag == SNAPSHOT_ITEM][section.body[0] - 'A']++;
                free(writer.data);
            }
            for (uint32_t i = 0; i < p; i++)
                for (uint32_t k = 0; k < 3; k++)
                    cr_assert(seen[0][3 * i + k] == (k < i % 4) &&
                                  seen[1][3 * i + k] == (k < i % 4),
                              "%u to %u: %u of %u", p, q, k, i);
            world_close(&world);
        }
    }
}

Test(handover, who_is_not_moved_has_its_own_and_all_of_it)
{
    struct world world;
    world_open(&world, 2, 2);
    world.now.key_groups = GROUPS;
    for (uint32_t i = 0; i < 2; i++) {
        add(&world, i, SNAPSHOT_ITEM, 0, i ? "b" : "a");
        add(&world, i, SNAPSHOT_ITEM, 1, i ? "V" : "U");
        add(&world, i, SNAPSHOT_ITEM, 2, i ? "C" : "B");
        add(&world, i, SNAPSHOT_HANDLE, 0, i ? "h1" : "h0");
    }
    world_map(&world);
    gives(&world, 0, "count 7 open 10 i0:a i1:U i2:B h0:h0");
    gives(&world, 1, "count 7 open 11 i0:b i1:V i2:C h0:h1");
    world_close(&world);
}

Test(handover, finished_is_who_takes_over_from_finished_ones_only)
{
    for (unsigned finished = 0; finished < 4; finished++) {
        struct world world;
        world_open(&world, 2, 1);
        for (uint32_t i = 0; i < 2; i++) {
            free(world.parts[i].data);
            begin_part(&world.parts[i], finished >> i & 1, 3);
        }
        world_map(&world);
        gives(&world, 0, finished == 3 ? "count 7 finished 3" : "count 7 open 3");
        world_close(&world);
    }
}

Test(handover, new_input_does_not_come_to_who_has_finished)
{
    for (unsigned finished = 0; finished < 2; finished++) {
        struct world world;
        struct weir_error error = {0};
        struct snapshot_writer writer = {.grow = grow};
        struct manifest_edge edge = {.output = text("out"),
                                     .input = text("in"),
                                     .routing = text("by_key"),
                                     .key_format = text(""),
                                     .value_format = text("")};
        world_open(&world, 1, 1);
        world.now.edges = &edge;
        world.now.edge_count = 1;
        free(world.parts[0].data);
        begin_part(&world.parts[0], finished, 3);
        world_map(&world);
        enum weir_result result = handover_write(&world.handover, 0, &writer, &error);
        cr_expect_eq(result, finished ? WEIR_MISMATCH : WEIR_OK);
        if (finished)
            cr_expect(strstr(error.text, "node 'count' has an input that the checkpoint"), "%s",
                      error.text);
        free(writer.data);
        world_close(&world);
    }
}

static void add_timer(struct world *world, uint32_t subtask, uint64_t time)
{
    struct snapshot_writer *part = &world->parts[subtask];
    snapshot_begin(part, SNAPSHOT_TIMER, 0);
    snapshot_u64(part, time);
    snapshot_u64(part, 0);
    snapshot_u32(part, 0);
    snapshot_end(part);
}

Test(handover, timers_go_to_all_once_or_are_refused)
{
    struct world world;
    struct snapshot_writer writer = {.grow = grow};
    struct weir_error error = {0};
    world_open(&world, 2, 3);
    add_timer(&world, 0, 7);
    add_timer(&world, 1, 7);
    add_timer(&world, 1, 9);
    world_map(&world);
    cr_expect_eq(handover_write(&world.handover, 0, &writer, &error), WEIR_MISMATCH);
    cr_expect_not_null(strstr(error.text, "'count'"), "%s", error.text);
    cr_expect_not_null(strstr(error.text, "3 of its timers"), "%s", error.text);
    free(writer.data);
    world.handover.timers_shared = true;
    for (uint32_t s = 0; s < 3; s++)
        gives(&world, s, "count 7 open 11 t7 t9");
    world_close(&world);
}

Test(handover, a_part_that_is_not_well_formed_is_damage)
{
    struct world world;
    struct snapshot_writer writer = {.grow = grow};
    struct weir_error error = {0};
    world_open(&world, 2, 1);
    add(&world, 1, SNAPSHOT_ITEM, 4, "of no kind");
    world_map(&world);
    cr_expect_eq(handover_write(&world.handover, 0, &writer, &error), WEIR_DAMAGED);
    cr_expect_not_null(strstr(error.text, "count[1]"), "%s", error.text);
    world.views[1].size -= 8; /* cut short */
    cr_expect_eq(handover_write(&world.handover, 0, &writer, &error), WEIR_DAMAGED);
    free(writer.data);
    world_close(&world);
}

static unsigned char *grow_never(void *context, unsigned char *data, size_t size, size_t capacity)
{
    (void)context, (void)data, (void)size, (void)capacity;
    return NULL;
}

Test(handover, a_part_that_has_no_memory_is_told)
{
    struct world world;
    struct snapshot_writer writer = {.grow = grow_never};
    struct weir_error error = {0};
    world_open(&world, 2, 1);
    world_map(&world);
    cr_expect_eq(handover_write(&world.handover, 0, &writer, &error), WEIR_NO_MEMORY);
    cr_expect_not_null(strstr(error.text, "a part handed over"), "%s", error.text);
    world_close(&world);
}

static void add_operator(struct world *world, const char *name, uint32_t version)
{
    struct snapshot_writer *part = &world->parts[1];
    snapshot_begin(part, SNAPSHOT_OPERATOR, 0);
    snapshot_text(part, name);
    snapshot_u32(part, version);
    snapshot_u32(part, 0);
    snapshot_end(part);
}

static void add_mark(struct world *world, uint32_t state, uint32_t end, uint32_t groups)
{
    const struct passed_mark mark = {0, end, groups, 7, true, {"key", 3}};
    passed_mark_save(&mark, state, &world->parts[1]);
}

/* Each kind of section that can lie, in the second of two parts. */
static void add_lie(struct world *world, size_t which)
{
    switch (which) {
    case 0:
        add(world, 1, SNAPSHOT_ITEM, 3, "7 bytes");
        break;
    case 1:
        add(world, 1, SNAPSHOT_TIMER, 0, "short");
        break;
    case 2:
        add(world, 1, SNAPSHOT_STATE, 1, "");
        break;
    case 3:
        add(world, 1, SNAPSHOT_STATE, 0, "short");
        break;
    case 4:
        add(world, 1, SNAPSHOT_SCAN, 0, "short");
        break;
    case 5:
        add_mark(world, 0, 64, 64);
        break;
    case 6:
        add_mark(world, 1, 64, GROUPS);
        break;
    case 7:
        add_operator(world, "counts", 7);
        break;
    case 8:
        add_operator(world, "Count", 7);
        break;
    case 9:
        add_operator(world, "count", 8);
        break;
    default:
        add(world, 1, SNAPSHOT_OPERATOR, 0, "short");
        break;
    }
}

Test(handover, whatever_lies_in_a_part_is_named_with_its_subtask)
{
    static const char *const says[] = {"without its key's hash",
                                       "a timer is not well-formed",
                                       "a state that is not in the manifest",
                                       "a scan's place is not well-formed",
                                       "a mark of a scan is not well-formed",
                                       "a mark of a scan is not well-formed",
                                       "a state that is not in the manifest",
                                       "it is another node's",
                                       "it is another node's",
                                       "it is another node's",
                                       "it is another node's"};
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        struct world world;
        struct snapshot_writer writer = {.grow = grow};
        struct weir_error error = {0};
        world_open(&world, 2, 1);
        add_lie(&world, i);
        world_map(&world);
        world.handover.timers_shared = true;
        cr_expect_eq(handover_write(&world.handover, 0, &writer, &error), WEIR_DAMAGED, "%zu", i);
        cr_expect(strstr(error.text, "count[1]") && strstr(error.text, says[i]), "%zu: %s", i,
                  error.text);
        free(writer.data);
        world_close(&world);
    }
}

/* ------------------------------------------------------------------------------- scans -- */

static void add_state(struct world *world, uint32_t subtask, const struct state *state)
{
    struct snapshot_writer *part = &world->parts[subtask];
    snapshot_begin(part, SNAPSHOT_STATE, 0);
    snapshot_text(part, "total");
    snapshot_u32(part, 1);
    snapshot_u32(part, 8);
    snapshot_u32(part, STATE_VALUE);
    snapshot_u32(part, 0);
    state_save(state, part);
    snapshot_end(part);
}

static void take_marks(const struct snapshot_writer *part, struct passed *passed)
{
    struct snapshot_reader reader = {part->data, part->size, false};
    struct snapshot_section section;
    struct passed_mark mark;
    while (snapshot_next(&reader, &section)) {
        cr_assert_neq(section.tag, SNAPSHOT_STATE);
        if (section.tag != SNAPSHOT_SCAN)
            continue;
        cr_assert(passed_mark_read(&section, &mark));
        cr_assert(passed_add(passed, NULL, &mark));
    }
}

#define KEYS 300u

/* p scans stand at different places; the q that take over visit each key that none had visited, and
 * no other; they are cut in the middle themselves, and r take over from them. */
static void scan_twice(uint32_t p, uint32_t q, uint32_t r)
{
    uint32_t counts[] = {p, q, r};
    struct state *states[MOST];
    struct passed passed[MOST] = {{0}};
    unsigned visits[KEYS] = {0};
    for (uint32_t s = 0; s < p; s++)
        states[s] = state_new(NULL, 8);
    for (uint64_t key = 0; key < KEYS; key++) {
        struct weir_bytes bytes = {&key, 8};
        uint64_t hash = state_hash(bytes);
        cr_assert(
            state_cell(states[state_owner(state_group(hash, GROUPS), p, GROUPS)], bytes, hash));
    }
    for (unsigned step = 0; step < 3; step++) {
        uint32_t count = counts[step];
        for (uint32_t s = 0; s < count; s++) {
            struct weir_bytes key, value;
            uint32_t left = step == 2 ? UINT32_MAX : s * 200 / count; /* none of the first */
            while (left-- && state_scan_next(states[s], &key, &value) == WEIR_OK) {
                uint64_t number;
                memcpy(&number, key.data, 8);
                if (!passed_holds(&passed[s], state_hash(key), key))
                    visits[number]++;
            }
        }
        if (step == 2)
            break;
        struct world world;
        world_open(&world, count, counts[step + 1]);
        for (uint32_t s = 0; s < count; s++) {
            add_state(&world, s, states[s]);
            passed_save(&passed[s], 0, &world.parts[s]);
            passed_clear(&passed[s], NULL);
        }
        world_map(&world);
        struct state *next[MOST];
        for (uint32_t s = 0; s < counts[step + 1]; s++) {
            struct snapshot_writer writer = {.grow = grow};
            struct weir_error error = {0};
            next[s] = state_new(NULL, 8);
            if (!world.mapping.nodes[0].moved)
                world.mapping.nodes[0].states[0].way = MAPPING_MIGRATE; /* written anew too */
            cr_assert_eq(handover_write(&world.handover, s, &writer, &error), WEIR_OK, "%s",
                         error.text);
            take_marks(&writer, &passed[s]);
            free(writer.data);
        }
        for (uint32_t s = 0; s < count; s++) {
            struct weir_bytes key, value;
            state_scan_rewind(states[s]);
            while (state_scan_next(states[s], &key, &value) == WEIR_OK) {
                uint64_t hash = state_hash(key);
                uint32_t owner = state_owner(state_group(hash, GROUPS), counts[step + 1], GROUPS);
                cr_assert(state_cell(next[owner], key, hash));
            }
            state_free(&states[s]);
        }
        memcpy(states, next, sizeof next);
        world_close(&world);
    }
    for (uint32_t k = 0; k < KEYS; k++)
        cr_assert_eq(visits[k], 1, "%u to %u to %u: key %u, %u times", p, q, r, k, visits[k]);
    for (uint32_t s = 0; s < r; s++) {
        state_free(&states[s]);
        passed_clear(&passed[s], NULL);
    }
}

Test(handover, scans_that_stood_at_different_places_visit_each_key_once)
{
    for (uint32_t p = 1; p <= MOST; p++)
        for (uint32_t q = 1; q <= MOST; q++)
            for (uint32_t r = 1; r <= MOST; r++)
                scan_twice(p, q, r);
}
