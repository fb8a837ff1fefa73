/* SPDX-License-Identifier: Apache-2.0
 *
 * replay: the targets without libFuzzer, for every build.
 *
 *   fuzz_replay [--mutations N] FOUND    each target's own inputs, those in FOUND/TARGET/, and of
 *                                        each so many (20) changed at random
 *   fuzz_replay TARGET FILE...           these files
 *
 * WEIR_TEST_SEED draws other changes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"
#include "fuzz.h"

#define INPUT_LIMIT ((size_t)1 << 20)

static uint32_t mutations = 20;
static uint64_t executed;

/* ---- one input, and others made of it ---- */

static size_t mutate(unsigned char *data, size_t size, size_t room, uint64_t *draw)
{
    for (uint32_t i = explore_below(draw, 4) + 1; i > 0 && size > 0; i--) {
        size_t at = explore_below(draw, (uint32_t)size);
        size_t many = 1 + explore_below(draw, 16);
        switch (explore_below(draw, 6)) {
        case 0:
            data[at] ^= (unsigned char)(1u << explore_below(draw, 8));
            break;
        case 1:
            data[at] = (unsigned char)explore_below(draw, 256);
            break;
        case 2:
            size = at;
            break;
        case 3: /* cut out */
            many = many > size - at ? size - at : many;
            memmove(data + at, data + at + many, size - at - many);
            size -= many;
            break;
        case 4: /* twice */
            many = many > size - at ? size - at : many;
            if (size + many > room)
                break;
            memmove(data + at + many, data + at, size - at);
            size += many;
            break;
        default:
            for (size_t k = at; k < size && k < at + 8; k++)
                data[k] = explore_below(draw, 2) ? 0xff : 0;
        }
    }
    return size;
}

/* A copy that ends where its memory does, so that a sanitizer sees who reads on. */
static void run_copy(const struct fuzz_target *target, const unsigned char *data, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    fuzz_must(copy != NULL, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    target->run(copy, size);
    free(copy);
    executed++;
}

static void try_input(const struct fuzz_target *target, const struct fuzz_bytes *input)
{
    uint64_t draw = explore_seed() + input->size;
    size_t room = 2 * input->size + 64;
    unsigned char *changed = malloc(room);

    fuzz_must(changed != NULL, "no memory");
    run_copy(target, input->data, input->size);
    for (uint32_t i = 0; i < mutations / explore_share(); i++) {
        if (input->size > 0)
            memcpy(changed, input->data, input->size);
        size_t size = mutate(changed, input->size, room, &draw);
        if (target->mend != NULL && i % 4 > 0)
            size = target->mend(changed, size, room);
        run_copy(target, changed, size);
    }
    free(changed);
}

/* ---- files ---- */

static void read_file(const char *path, struct fuzz_bytes *bytes)
{
    unsigned char block[4096];
    size_t got;
    FILE *file = fopen(path, "rb");

    fuzz_must(file != NULL, "%s: %s", path, strerror(errno));
    fuzz_clear(bytes);
    while ((got = fread(block, 1, sizeof block, file)) > 0 && bytes->size < INPUT_LIMIT)
        fuzz_put(bytes, block, got);
    fclose(file);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Answers how many there were. */
static uint32_t try_folder(const struct fuzz_target *target, const char *found)
{
    char folder[600], path[900];
    struct dirent **names;
    struct fuzz_bytes input = {0};

    snprintf(folder, sizeof folder, "%s/%s", found, target->name);
    int count = scandir(folder, &names, is_visible, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        read_file(path, &input);
        try_input(target, &input);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    fuzz_drop(&input);
    return count > 0 ? (uint32_t)count : 0;
}

static int try_all(const char *found)
{
    struct fuzz_bytes input = {0};

    for (uint32_t t = 0; t < FUZZ_TARGETS; t++) {
        uint32_t seeds = 0;
        uint64_t before = executed;
        printf("%s ...", fuzz_targets[t]->name);
        fflush(stdout); /* who dies has been named */
        for (; fuzz_clear(&input), fuzz_targets[t]->seed(seeds, &input); seeds++)
            try_input(fuzz_targets[t], &input);
        fuzz_must(seeds > 0, "a target without inputs");
        uint32_t files = try_folder(fuzz_targets[t], found);
        printf(" %u inputs, %u found earlier, %llu tried\n", seeds, files,
               (unsigned long long)(executed - before));
        printf("exercised: fuzz: %s %llu\n", fuzz_targets[t]->name,
               (unsigned long long)(executed - before));
    }
    printf("figure: fuzz_replay targets=%u tried=%llu\n", FUZZ_TARGETS,
           (unsigned long long)executed);
    fuzz_drop(&input);
    return 0;
}

int main(int argc, char **argv)
{
    struct fuzz_bytes input = {0};

    if (argc == 4 && strcmp(argv[1], "--mutations") == 0)
        mutations = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc == 2 || (argc == 4 && strcmp(argv[1], "--mutations") == 0))
        return try_all(argv[argc - 1]);
    const struct fuzz_target *target = argc > 2 ? fuzz_find(argv[1]) : NULL;
    if (target == NULL) {
        fprintf(stderr, "usage: see the top of tests/fuzz/replay.c\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        read_file(argv[i], &input);
        run_copy(target, input.data, input.size);
    }
    fuzz_drop(&input);
    printf("%d inputs of %s: nothing wrong\n", argc - 2, target->name);
    return 0;
}
