/* SPDX-License-Identifier: Apache-2.0
 *
 * engine: libFuzzer's side. WEIR_FUZZ names the target, WEIR_FUZZ_SEEDS a folder that its own
 * inputs are written to first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static const struct fuzz_target *target;

static void write_seeds(const char *folder)
{
    struct fuzz_bytes seed = {0};
    char path[900];

    for (uint32_t n = 0; fuzz_clear(&seed), target->seed(n, &seed); n++) {
        snprintf(path, sizeof path, "%s/seed-%03u", folder, n);
        FILE *file = fopen(path, "wb");
        fuzz_must(file != NULL && fwrite(seed.data, 1, seed.size, file) == seed.size &&
                      fclose(file) == 0,
                  "%s: %s", path, strerror(errno));
    }
    fuzz_drop(&seed);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("WEIR_FUZZ"), *seeds = getenv("WEIR_FUZZ_SEEDS");

    (void)argc;
    (void)argv;
    target = name == NULL ? NULL : fuzz_find(name);
    if (target != NULL && seeds != NULL)
        write_seeds(seeds);
    if (target != NULL)
        return 0;
    fprintf(stderr, "WEIR_FUZZ=%s: which target? tests/fuzz/run knows them\n",
            name == NULL ? "" : name);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target->run(data, size);
    return 0;
}

/* One in eight stays as it is: the guards want trying too. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, room);
    return target->mend == NULL || seed % 8 == 0 ? size : target->mend(data, size, room);
}
