/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest: the input is the text. What is taken is printed, and reads back as what prints the same
 * once more; who prints only what can be read need not fear his own manifests.
 */
#include "manifest.h"

#include <string.h>

#include "fuzz.h"
#include "memory.h"
#include "samples.h"

static void print_again(struct manifest *manifest, const struct weir_allocator *allocator)
{
    struct manifest second = {0};
    struct weir_error error = {0};
    char *text = NULL, *same = NULL;
    size_t size = 0, same_size = 0;

    enum weir_result result = manifest_print(manifest, &text, &size, &error);
    fuzz_must(result == WEIR_OK, "what was read can't be printed: %s", error.text);
    result = manifest_parse(text, size, allocator, &second, &error);
    fuzz_must(result == WEIR_OK, "what was printed can't be read: %s", error.text);
    result = manifest_print(&second, &same, &same_size, &error);
    fuzz_must(result == WEIR_OK && same_size == size && memcmp(text, same, size) == 0,
              "it prints otherwise the second time");
    memory_release(allocator, text);
    memory_release(allocator, same);
    manifest_free(&second);
}

static void run(const unsigned char *data, size_t size)
{
    const struct weir_allocator *allocator = fuzz_memory(200 * size + ((size_t)1 << 20));
    struct manifest manifest = {0};
    struct weir_error error = {0};

    enum weir_result result =
        manifest_parse((const char *)data, size, allocator, &manifest, &error);
    if (result == WEIR_OK)
        print_again(&manifest, allocator);
    else
        fuzz_refused(result, &error);
    if (result == WEIR_OK)
        manifest_free(&manifest);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    const struct rich_file *file = samples_file("/MANIFEST.json", n);

    if (file == NULL)
        return false;
    fuzz_put(to, file->bytes, file->size);
    return true;
}

const struct fuzz_target fuzz_manifest = {"manifest", run, seed, samples_seal};
