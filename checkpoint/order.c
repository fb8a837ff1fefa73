/* SPDX-License-Identifier: Apache-2.0 */
#include "order.h"

#include "memory.h"

#include <assert.h>
#include <string.h>

#define FANOUT 64u
#define FEW (FANOUT / 4)          /* a node with fewer looks for a neighbour, */
#define TOGETHER (FANOUT * 3 / 4) /* with which it has at most so many */
#define BLOCK_NODES 32u
#define FIRST_BLOCKS 8u
#define LEVELS 16u /* FEW^16: more than there are ids */

struct node { /* a leaf ends before `children` */
    uint64_t ranks[FANOUT];
    uint32_t ids[FANOUT];
    uint32_t count;
    uint32_t next_free;
    uint32_t children[FANOUT];
    uint32_t below[FANOUT];
};

struct element {
    uint64_t rank;
    uint32_t id;
    uint32_t child, below; /* of inner nodes */
};

/* From the root, path[height], to a leaf, path[0]: the nodes, and where in them. */
struct step {
    struct node *node;
    uint32_t number, at;
};

/* --- nodes -------------------------------------------------------------------------------- */

static struct node *pool_at(const struct order_pool *pool, uint32_t number)
{
    uint32_t index = number - 1;
    return (struct node *)(void *)(pool->blocks[index / BLOCK_NODES] +
                                   (size_t)(index % BLOCK_NODES) * pool->node_size);
}

static struct node *node_at(const struct order *order, uint32_t level, uint32_t number)
{
    return pool_at(level == 0 ? &order->leaves : &order->inners, number);
}

static bool pool_grow(struct order_pool *pool, const struct weir_allocator *allocator)
{
    if (pool->block_count == pool->block_room) {
        uint32_t room = pool->block_room > 0 ? 2 * pool->block_room : FIRST_BLOCKS;
        unsigned char **blocks =
            memory_resize(allocator, pool->blocks, pool->block_room * sizeof *pool->blocks,
                          room * sizeof *blocks);
        if (blocks == NULL)
            return false;
        pool->blocks = blocks;
        pool->block_room = room;
    }
    unsigned char *block = memory_take(allocator, BLOCK_NODES * pool->node_size);
    if (block == NULL)
        return false;
    pool->blocks[pool->block_count++] = block;
    return true;
}

static bool pool_prepare(struct order_pool *pool, const struct weir_allocator *allocator,
                         uint32_t wanted)
{
    while (pool->free_count + pool->block_count * BLOCK_NODES - pool->end < wanted)
        if (!pool_grow(pool, allocator))
            return false;
    return true;
}

static uint32_t pool_take(struct order_pool *pool)
{
    uint32_t number = pool->free;
    if (number != 0) {
        pool->free = pool_at(pool, number)->next_free;
        pool->free_count--;
    } else {
        assert(pool->end < pool->block_count * BLOCK_NODES); /* O3 */
        number = ++pool->end;
    }
    pool_at(pool, number)->count = 0;
    return number;
}

static void node_free(struct order *order, uint32_t level, uint32_t number)
{
    struct order_pool *pool = level == 0 ? &order->leaves : &order->inners;
    pool_at(pool, number)->next_free = pool->free;
    pool->free = number;
    pool->free_count++;
}

static void pool_free(struct order_pool *pool, const struct weir_allocator *allocator)
{
    for (uint32_t i = 0; i < pool->block_count; i++)
        memory_release(allocator, pool->blocks[i]);
    memory_release(allocator, pool->blocks);
}

void order_init(struct order *order, const struct weir_allocator *allocator, order_compare *compare,
                const void *owner)
{
    *order = (struct order){.allocator = allocator, .compare = compare, .owner = owner};
    order->leaves.node_size = offsetof(struct node, children);
    order->inners.node_size = sizeof(struct node);
}

void order_free(struct order *order)
{
    pool_free(&order->leaves, order->allocator);
    pool_free(&order->inners, order->allocator);
    order_init(order, order->allocator, order->compare, order->owner);
}

/* --- elements ----------------------------------------------------------------------------- */

static void node_move(struct node *to, uint32_t at, struct node *from, uint32_t first,
                      uint32_t count, bool inner)
{
    memmove(to->ranks + at, from->ranks + first, count * sizeof *to->ranks);
    memmove(to->ids + at, from->ids + first, count * sizeof *to->ids);
    if (!inner)
        return;
    memmove(to->children + at, from->children + first, count * sizeof *to->children);
    memmove(to->below + at, from->below + first, count * sizeof *to->below);
}

static void node_put(struct node *node, uint32_t at, const struct element *element, bool inner)
{
    node->ranks[at] = element->rank;
    node->ids[at] = element->id;
    if (!inner)
        return;
    node->children[at] = element->child;
    node->below[at] = element->below;
}

static void node_enter(struct node *node, uint32_t at, const struct element *element, bool inner)
{
    node_move(node, at + 1, node, at, node->count - at, inner);
    node_put(node, at, element, inner);
    node->count++;
}

static void node_leave(struct node *node, uint32_t at, bool inner)
{
    node->count--;
    node_move(node, at, node, at + 1, node->count - at, inner);
}

/* O1: what a parent says of a node. */
static struct element node_sum(const struct order *order, uint32_t level, uint32_t number)
{
    const struct node *node = node_at(order, level, number);
    struct element sum = {node->ranks[0], node->ids[0], number, level == 0 ? node->count : 0};
    for (uint32_t i = 0; level > 0 && i < node->count; i++)
        sum.below += node->below[i];
    return sum;
}

/* --- finding ------------------------------------------------------------------------------ */

static int compare_at(const struct order *order, struct order_key key, const struct node *node,
                      uint32_t at)
{
    if (key.rank != node->ranks[at])
        return key.rank < node->ranks[at] ? -1 : 1;
    return order->compare(order->owner, key.key, node->ids[at]);
}

/* How many of its elements are before the key; or not behind it. */
static uint32_t node_before(const struct order *order, const struct node *node,
                            struct order_key key, bool equal)
{
    uint32_t first = 0, end = node->count;
    while (first < end) {
        uint32_t middle = (first + end) / 2;
        int way = compare_at(order, key, node, middle);
        if (way > 0 || (equal && way == 0))
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* The child below which the key is, or would be. */
static uint32_t child_of(const struct order *order, const struct node *node, struct order_key key)
{
    uint32_t at = node_before(order, node, key, true);
    return at > 0 ? at - 1 : 0;
}

/* Answers how many elements of the leaf are before the key, which is where it is or would be. */
static void descend(const struct order *order, struct order_key key, struct step *path)
{
    uint32_t number = order->root;
    for (uint32_t level = order->height;; level--) {
        struct node *node = node_at(order, level, number);
        path[level] = (struct step){node, number, 0};
        path[level].at =
            level == 0 ? node_before(order, node, key, false) : child_of(order, node, key);
        if (level == 0)
            return;
        number = node->children[path[level].at];
    }
}

/* The least element of the subtree. */
static uint32_t least(const struct node *node, uint32_t at, uint64_t *rank)
{
    if (rank != NULL)
        *rank = node->ranks[at];
    return node->ids[at]; /* O1 */
}

uint32_t order_find(const struct order *order, struct order_key key, bool behind, uint64_t *rank)
{
    uint32_t number = order->root, id = ORDER_NONE;
    for (uint32_t level = order->height; number != 0; level--) {
        const struct node *node = node_at(order, level, number);
        uint32_t at =
            level == 0 ? node_before(order, node, key, behind) : child_of(order, node, key);
        uint32_t right = level == 0 ? at : at + 1; /* if there is none below the child */
        if (right < node->count)
            id = least(node, right, rank);
        if (level == 0)
            break;
        number = node->children[at];
    }
    return id;
}

uint32_t order_first(const struct order *order, uint64_t *rank)
{
    return order->root == 0 ? ORDER_NONE
                            : least(node_at(order, order->height, order->root), 0, rank);
}

uint64_t order_before(const struct order *order, struct order_key key)
{
    uint64_t before = 0;
    uint32_t number = order->root;
    for (uint32_t level = order->height; number != 0; level--) {
        const struct node *node = node_at(order, level, number);
        if (level == 0)
            return before + node_before(order, node, key, false);
        uint32_t at = child_of(order, node, key);
        for (uint32_t i = 0; i < at; i++)
            before += node->below[i];
        number = node->children[at];
    }
    return before;
}

uint64_t order_bytes(const struct order *order)
{
    const struct order_pool *pools[2] = {&order->leaves, &order->inners};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 2; i++)
        bytes += (uint64_t)pools[i]->block_count * BLOCK_NODES * pools[i]->node_size +
                 pools[i]->block_room * sizeof *pools[i]->blocks;
    return bytes;
}

/* --- inserting ---------------------------------------------------------------------------- */

bool order_prepare(struct order *order)
{
    return pool_prepare(&order->leaves, order->allocator, 1) &&
           pool_prepare(&order->inners, order->allocator, order->height + 1);
}

/* Makes room in a full node for an element at *at, which may become another node's. Answers the new
 * node behind it. Where the element is the last, nothing moves: what comes in order fills nodes. */
static uint32_t split(struct order *order, uint32_t level, struct step *step)
{
    struct order_pool *pool = level == 0 ? &order->leaves : &order->inners;
    uint32_t number = pool_take(pool);
    struct node *right = pool_at(pool, number), *left = step->node;
    uint32_t kept = step->at == FANOUT ? FANOUT : FANOUT / 2;
    right->count = FANOUT - kept;
    node_move(right, 0, left, kept, right->count, level > 0);
    left->count = kept;
    if (step->at > kept || kept == FANOUT)
        *step = (struct step){right, number, step->at - kept};
    return number;
}

/* Enters an element into path[level]; answers the node that a split has made, 0: none. */
static uint32_t enter(struct order *order, uint32_t level, struct step *path, uint32_t at,
                      const struct element *element)
{
    struct step step = {path[level].node, path[level].number, at};
    uint32_t made = step.node->count == FANOUT ? split(order, level, &step) : 0;
    node_enter(step.node, step.at, element, level > 0);
    return made;
}

static void grow_root(struct order *order, uint32_t made)
{
    uint32_t number = pool_take(&order->inners), level = order->height;
    struct node *root = pool_at(&order->inners, number);
    struct element left = node_sum(order, level, order->root), right = node_sum(order, level, made);
    node_enter(root, 0, &left, true);
    node_enter(root, 1, &right, true);
    order->root = number;
    order->height++;
    assert(order->height < LEVELS);
}

void order_insert(struct order *order, struct order_key key, uint32_t id)
{
    struct step path[LEVELS];
    struct element element = {.rank = key.rank, .id = id};
    if (order->root == 0)
        order->root = pool_take(&order->leaves);
    descend(order, key, path);
    uint32_t made = enter(order, 0, path, path[0].at, &element);
    for (uint32_t level = 1; level <= order->height; level++) {
        struct step *step = &path[level];
        element = node_sum(order, level - 1, path[level - 1].number);
        node_put(step->node, step->at, &element, true);
        if (made == 0)
            continue;
        element = node_sum(order, level - 1, made);
        made = enter(order, level, path, step->at + 1, &element);
    }
    if (made != 0)
        grow_root(order, made);
    order->count++;
}

/* --- removing ----------------------------------------------------------------------------- */

/* The child at `at` has few elements: they and a neighbour's become one node, if they fit. */
static void join(struct order *order, uint32_t level, struct node *parent, uint32_t at)
{
    uint32_t left_at = at > 0 ? at - 1 : 0;
    if (left_at + 1 == parent->count)
        return;
    uint32_t left_number = parent->children[left_at], right_number = parent->children[left_at + 1];
    struct node *left = node_at(order, level, left_number);
    struct node *right = node_at(order, level, right_number);
    if (left->count + right->count > TOGETHER)
        return;
    node_move(left, left->count, right, 0, right->count, level > 0);
    left->count += right->count;
    node_free(order, level, right_number);
    node_leave(parent, left_at + 1, true);
    struct element sum = node_sum(order, level, left_number);
    node_put(parent, left_at, &sum, true);
}

/* What has changed below an inner node, at path[level - 1]. */
static void follow(struct order *order, uint32_t level, const struct step *path)
{
    const struct step *step = &path[level], *child = &path[level - 1];
    if (child->node->count == 0) {
        node_free(order, level - 1, child->number);
        node_leave(step->node, step->at, true);
        return;
    }
    struct element sum = node_sum(order, level - 1, child->number);
    node_put(step->node, step->at, &sum, true);
    if (child->node->count < FEW)
        join(order, level - 1, step->node, step->at);
}

void order_remove(struct order *order, struct order_key key)
{
    struct step path[LEVELS];
    descend(order, key, path);
    assert(path[0].at < path[0].node->count);
    node_leave(path[0].node, path[0].at, false);
    for (uint32_t level = 1; level <= order->height; level++)
        follow(order, level, path);
    order->count--;
    while (order->root != 0) {
        struct node *root = node_at(order, order->height, order->root);
        if (root->count > (order->height > 0 ? 1u : 0u))
            break;
        uint32_t child = order->height > 0 ? root->children[0] : 0;
        node_free(order, order->height, order->root);
        order->root = child;
        order->height -= order->height > 0;
    }
    if (order->root == 0)
        order_free(order); /* many may have been here */
}
