/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: is all that a checkpoint names there and sound, and does what must hold of it hold.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"

struct inquiry {
    struct tool *tool;
    struct weir_store *store;
    weir_invariant_function *invariant; /* NULL: none */
    struct progress progress;
    uint64_t checkpoints, damaged, violating;
    /* of the one in hand */
    uint64_t id;
    json_t *violations; /* with --json */
    uint64_t violation_count;
};

static void add_violation(void *context, const char *text)
{
    struct inquiry *inquiry = context;
    inquiry->violation_count++;
    progress_hide(&inquiry->progress);
    if (inquiry->violations != NULL) {
        (void)json_array_append_new(inquiry->violations, json_string(text));
        return;
    }
    paper_colour(&inquiry->tool->paper, PAPER_RED);
    fprintf(inquiry->tool->paper.to, "%" PRIu64 "\tVIOLATED\t%s\n", inquiry->id, text);
    paper_plain(&inquiry->tool->paper);
}

/* Whether it could be looked at. */
static enum weir_result ask_invariant(struct inquiry *inquiry, struct weir_error *error)
{
    struct weir_checkpoint *checkpoint;
    enum weir_result result = weir_checkpoint_open(inquiry->store, inquiry->id, &checkpoint, error);
    if (result != WEIR_OK)
        return result;
    result = inquiry->invariant(checkpoint, add_violation, inquiry, error);
    weir_checkpoint_close(&checkpoint);
    return result;
}

static void print_text(const struct inquiry *inquiry, const struct weir_error *error)
{
    const struct paper *paper = &inquiry->tool->paper;
    if (error->code == WEIR_OK && inquiry->violation_count > 0)
        return; /* that was said */
    paper_colour(paper, error->code == WEIR_OK ? PAPER_GREEN : PAPER_RED);
    if (error->code == WEIR_OK)
        fprintf(paper->to, "%" PRIu64 "\tsound\n", inquiry->id);
    else
        fprintf(paper->to, "%" PRIu64 "\t%s\t%s\n", inquiry->id, weir_result_name(error->code),
                error->text);
    paper_plain(paper);
}

static bool print(struct inquiry *inquiry, const struct weir_error *error)
{
    progress_hide(&inquiry->progress);
    if (!inquiry->tool->options.json) {
        print_text(inquiry, error);
        return true;
    }
    json_t *object = json_pack("{s: I, s: b, s: O}", "checkpoint", (json_int_t)inquiry->id, "sound",
                               error->code == WEIR_OK, "violations", inquiry->violations);
    if (object != NULL && error->code != WEIR_OK) {
        (void)json_object_set_new(object, "error", json_string(weir_result_name(error->code)));
        (void)json_object_set_new(object, "text", json_string(error->text));
    }
    return tool_json(inquiry->tool, object);
}

/* Answers a code only when no more can be said of any checkpoint. */
static int verify(struct inquiry *inquiry, uint64_t id)
{
    struct weir_error error = {0};
    inquiry->id = id;
    inquiry->violation_count = 0;
    inquiry->violations = inquiry->tool->options.json ? json_array() : NULL;
    enum weir_result result = weir_store_verify(inquiry->store, id, &error);
    if (result == WEIR_OK && inquiry->invariant != NULL)
        result = ask_invariant(inquiry, &error);
    if (result != WEIR_OK && error.code == WEIR_OK) /* an invariant that does not say why */
        error.code = result;
    inquiry->checkpoints++;
    inquiry->damaged += error.code != WEIR_OK;
    inquiry->violating += inquiry->violation_count > 0;
    bool well = print(inquiry, &error);
    json_decref(inquiry->violations);
    return well ? EXIT_DONE : tool_no_memory(inquiry->tool);
}

/* The job's retention may remove one before its turn comes. */
static bool is_gone(struct inquiry *inquiry, uint64_t id)
{
    struct weir_checkpoint *checkpoint;
    enum weir_result result = weir_checkpoint_open(inquiry->store, id, &checkpoint, NULL);
    if (result == WEIR_OK)
        weir_checkpoint_close(&checkpoint);
    return result == WEIR_NOT_FOUND;
}

/* What is to be read of these; each is read completely. */
static uint64_t bytes_of(const struct inquiry *inquiry, const uint64_t *ids, size_t count)
{
    struct weir_checkpoint_info info = {WEIR_SIZED(struct weir_checkpoint_info)};
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct weir_checkpoint *checkpoint;
        if (weir_checkpoint_open(inquiry->store, ids[i], &checkpoint, NULL) != WEIR_OK)
            continue;
        weir_checkpoint_describe(checkpoint, &info);
        bytes += info.stored_bytes;
        weir_checkpoint_close(&checkpoint);
    }
    return bytes;
}

static int verify_all(struct inquiry *inquiry)
{
    struct weir_error error = {0};
    const uint64_t *ids;
    size_t count;
    int code = EXIT_DONE;
    if (weir_store_list(inquiry->store, &ids, &count, &error) != WEIR_OK)
        return tool_fail(inquiry->tool, &error);
    progress_begin(&inquiry->progress, inquiry->store, bytes_of(inquiry, ids, count));
    for (size_t i = 0; i < count && code == EXIT_DONE; i++)
        if (!is_gone(inquiry, ids[i]))
            code = verify(inquiry, ids[i]);
    progress_end(&inquiry->progress);
    return code;
}

static int verify_one(struct inquiry *inquiry)
{
    struct weir_error error = {0};
    const uint64_t *ids;
    size_t count = 0;
    uint64_t id;
    int code = tool_read_id(inquiry->tool, inquiry->tool->options.words[1], &id);
    if (code != EXIT_DONE)
        return code;
    if (id == 0 && weir_store_list(inquiry->store, &ids, &count, &error) != WEIR_OK)
        return tool_fail(inquiry->tool, &error);
    if (id == 0 && count == 0)
        return tool_complain(inquiry->tool, EXIT_STORE, "the store holds no checkpoint");
    id = id == 0 ? ids[count - 1] : id;
    progress_begin(&inquiry->progress, inquiry->store, bytes_of(inquiry, &id, 1));
    code = verify(inquiry, id);
    progress_end(&inquiry->progress);
    return code;
}

static int conclude(const struct inquiry *inquiry)
{
    if (!inquiry->tool->options.json)
        fprintf(inquiry->tool->paper.to,
                "# %" PRIu64 " checkpoints, %" PRIu64 " damaged, %" PRIu64 " with violations\n",
                inquiry->checkpoints, inquiry->damaged, inquiry->violating);
    return inquiry->damaged > 0 ? EXIT_STORE : inquiry->violating > 0 ? EXIT_NO : EXIT_DONE;
}

/* A name without a slash is of this folder, not of the system's libraries. */
static int load_invariant(struct inquiry *inquiry, void **library)
{
    const char *name = inquiry->tool->options.invariant;
    char path[4096];
    int size = snprintf(path, sizeof path, "%s%s", strchr(name, '/') ? "" : "./", name);
    *library = size < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (*library == NULL)
        return tool_complain(inquiry->tool, EXIT_USAGE, "the invariant can't be loaded: %s",
                             size < (int)sizeof path ? dlerror() : "its path is too long");
    *(void **)&inquiry->invariant = dlsym(*library, WEIR_INVARIANT_NAME);
    if (inquiry->invariant == NULL)
        return tool_complain(inquiry->tool, EXIT_USAGE,
                             "%s has no function %s, see weir_checkpoint.h: is it compiled as a "
                             "shared object, with WEIR_API before it?",
                             name, WEIR_INVARIANT_NAME);
    return EXIT_DONE;
}

int tool_verify(struct tool *tool)
{
    struct inquiry inquiry = {.tool = tool};
    void *library = NULL;
    int code = EXIT_DONE;
    if (tool->options.all && tool->options.words[1] != NULL)
        return tool_complain(tool, EXIT_USAGE, "an id and --all exclude each other");
    if (tool->options.invariant != NULL)
        code = load_invariant(&inquiry, &library);
    if (code == EXIT_DONE)
        code = tool_open_store(tool, &inquiry.store);
    if (code == EXIT_DONE)
        code = tool->options.all ? verify_all(&inquiry) : verify_one(&inquiry);
    if (code == EXIT_DONE)
        code = conclude(&inquiry);
    weir_store_close(&inquiry.store);
    if (library != NULL)
        dlclose(library);
    return code;
}
