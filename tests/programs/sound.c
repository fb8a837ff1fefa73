/* SPDX-License-Identifier: Apache-2.0
 *
 * sound: reads all of each store and savepoint that is named, down to the last record in flight,
 * and says what is wrong.
 *
 *     sound STORE...       0: all of them are sound; 1: one is not; 2: none is named
 */
#include <stdint.h>
#include <stdio.h>

#include "weir_checkpoint.h"

static enum weir_result check(const char *path, struct weir_error *error)
{
    const uint64_t *ids;
    size_t count;
    struct weir_store *store = NULL;
    enum weir_result result = weir_store_open(path, NULL, &store, error);

    if (!result)
        result = weir_store_list(store, &ids, &count, error);
    if (!result)
        printf("%s: %zu checkpoints\n", path, count);
    if (!result)
        result = weir_store_verify_all(store, NULL, NULL, error);
    weir_store_close(&store);
    return result;
}

int main(int argc, char **argv)
{
    int code = 0;

    for (int i = 1; i < argc; i++) {
        struct weir_error error = {0};
        enum weir_result result = check(argv[i], &error);
        if (result) {
            printf("%s: %s: %s\n", argv[i], weir_result_name(result), error.text);
            code = 1;
        }
    }
    return argc > 1 ? code : 2;
}
