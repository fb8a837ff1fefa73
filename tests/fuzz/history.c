/* SPDX-License-Identifier: Apache-2.0
 *
 * history: a byte, and the file that says whose output a directory holds (operators/history.h), as
 * a first start finds it: with a store or without, with a published part or without. It is taken
 * over only where nothing is lost by that, and then is ours alone; else it is left as it was.
 */
#include "history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_node.h"
#include "sim.h"

#define MEMORY ((size_t)16 << 20)
#define NAME ".weir-history"
#define ID "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"
#define PART "part-00000-00000000000000000000"
#define STAGED ".staged-" OTHER "-0000000001-00000-00000000000000000000"

enum { WITH_STORE = 1, WITH_PART = 2, WITH_STAGED = 4, WITHOUT_FILE = 8 };

static const char *const kinds[] = {"run", "store"};

static enum weir_result claim(struct weir_context *context)
{
    struct history history;
    enum weir_result result = history_claim(&history, context, "/shelf", ID);
    return result == WEIR_OK ? history_check(&history, context) : result;
}

static bool may_be_taken(const char *line, const char *ours)
{
    const char *run = "weir-history 1 run ";
    return line[0] == '\0' || strcmp(line, ours) == 0 || strncmp(line, run, strlen(run)) == 0;
}

static void run(const unsigned char *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct weir_error error = {0};
    uint8_t how = fuzz_u8(&input);
    char ours[HISTORY_ROOM], *part, *line;
    size_t part_size = 0, line_size = 0;

    snprintf(ours, sizeof ours, "weir-history 1 %s " ID " node node\n", kinds[how & WITH_STORE]);
    sim_disk_wipe();
    fuzz_node_file("stranger", "x", 1);
    if ((how & WITHOUT_FILE) == 0)
        fuzz_node_file(NAME, input.data, input.size);
    if ((how & WITH_PART) != 0)
        fuzz_node_file(PART, "a line\n", 7);
    if ((how & WITH_STAGED) != 0)
        fuzz_node_file(STAGED, "a line\n", 7);
    enum weir_result result = fuzz_node(claim, (how & WITH_STORE) != 0, MEMORY, &error);
    part = fuzz_node_read(PART, &part_size);
    line = fuzz_node_read(NAME, &line_size);
    fuzz_must((part != NULL) == ((how & WITH_PART) != 0), "a part has come or gone");
    if (result == WEIR_OK) {
        char *before = calloc(1, input.size + 1);
        memcpy(before, input.data, input.size);
        fuzz_must((how & WITH_PART) == 0, "taken over, with a part in it");
        fuzz_must(line != NULL && strcmp(line, ours) == 0, "it is not ours");
        fuzz_must((how & WITHOUT_FILE) != 0 || may_be_taken(before, ours), "it was another's");
        free(before);
    } else {
        fuzz_refused(result, &error);
        fuzz_must((how & WITHOUT_FILE) != 0 ||
                      (line != NULL && line_size == input.size &&
                       (line_size == 0 || memcmp(line, input.data, line_size) == 0)),
                  "refused, and written over");
    }
    free(part);
    free(line);
}

static bool seed(uint32_t n, struct fuzz_bytes *to)
{
    static const char *const lines[] = {
        "",
        "weir-history 1 store " ID " node node\n",
        "weir-history 1 run " ID " node node\n",
        "weir-history 1 run " OTHER " node other\n",
        "weir-history 1 store " OTHER " node node\n",
        "weir-history 1 store " ID " node other\n",
        "weir-history 2 store " ID " node node\n",
        "weir-history 1 run 0123 node node\n",
        "something else",
    };
    const uint32_t count = sizeof lines / sizeof lines[0];
    if (n >= 4 * count)
        return false;
    const unsigned char how = (unsigned char)(n / count + n % 3 * 4);
    fuzz_put(to, &how, 1);
    fuzz_put(to, lines[n % count], strlen(lines[n % count]));
    return true;
}

const struct fuzz_target fuzz_history = {"history", run, seed, NULL};
