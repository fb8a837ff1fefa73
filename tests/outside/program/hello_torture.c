/* SPDX-License-Identifier: Apache-2.0
 *
 * A stranger tests an operator of his own with the installed library, and nothing else: a right one
 * passes, one that forgets what it knew is found out.
 */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static enum weir_result count(void *self, struct weir_context *context, unsigned input,
                              const struct weir_record *record)
{
    unsigned long long *seen = self;
    (void)input;
    ++*seen;
    return weir_emit(context, 0,
                     &(struct weir_record){record->key, {seen, sizeof *seen}, record->time});
}

static enum weir_result save(void *self, struct weir_context *context, struct weir_saver *saver)
{
    (void)context;
    weir_save(saver, WEIR_ITEM_SPLIT, (struct weir_bytes){self, sizeof(unsigned long long)});
    return WEIR_OK;
}

static enum weir_result load(void *self, struct weir_context *context, struct weir_loader *loader,
                             uint32_t version)
{
    enum weir_item kind;
    struct weir_bytes item;
    (void)context, (void)version;
    while (weir_load_next(loader, &kind, &item))
        memcpy(self, item.data, item.size);
    return WEIR_OK;
}

static enum weir_result torture(const struct weir_operator *table)
{
    struct weir_torture_step steps[20] = {{0}};
    struct weir_error error = {0};
    struct weir_node_options node = {WEIR_SIZED(struct weir_node_options), .name = "count",
                                     .table = table};
    enum weir_result result = weir_operator_torture(
        &(struct weir_torture_options){WEIR_SIZED(struct weir_torture_options), .node = &node,
                                       .steps = steps, .step_count = 20},
        &error);
    printf("%s: %s\n", table->kind, result ? error.text : "ok");
    return result;
}

int main(void)
{
    struct weir_operator table = {WEIR_SIZED(struct weir_operator),
                                  .kind = "right",
                                  .self_size = sizeof(unsigned long long),
                                  .process = count,
                                  .save = save,
                                  .load = load};
    enum weir_result right = torture(&table);
    table.kind = "wrong";
    table.save = NULL;
    table.load = NULL;
    return right != WEIR_OK || torture(&table) != WEIR_FAILED;
}
