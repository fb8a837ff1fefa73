/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include <string.h>

#include "state.h"

#define KEY_SHOWN 60 /* bytes of a preview that a key may take */

uint64_t failure_fingerprint(const struct weir_record *record)
{
    const uint64_t parts[4] = {record->key.size, state_hash(record->key), state_hash(record->value),
                               (uint64_t)record->time};
    return state_hash((struct weir_bytes){parts, sizeof parts});
}

/* Appends to a text of `room` bytes, which always keeps its zero; what does not fit is cut. The C
 * library's ways are not for signal handlers. */
struct text {
    char *at;
    size_t room;
};

static void put(struct text *text, const char *what)
{
    for (; *what && text->room > 1; what++, text->room--)
        *text->at++ = *what;
    *text->at = 0;
}

/* Bytes as people can read them: anything but printable ASCII as \xNN. At most `room` characters
 * with the dots that say there was more. */
static void put_bytes(struct text *text, struct weir_bytes bytes, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = bytes.data;
    size_t end = text->room > room ? text->room - room : 0;
    for (size_t i = 0; i < bytes.size; i++) {
        char shown[5] = {(char)from[i], 0};
        if (from[i] < ' ' || from[i] > '~' || from[i] == '\\') {
            const char escaped[5] = {'\\', 'x', digits[from[i] >> 4], digits[from[i] & 15], 0};
            memcpy(shown, escaped, sizeof shown);
        }
        if (text->room < end + strlen(shown) + sizeof "...") {
            put(text, "...");
            return;
        }
        put(text, shown);
    }
}

static void preview(const struct weir_record *record, char *room, size_t size)
{
    struct text text = {room, size};
    if (record->key.size) {
        put(&text, "key ");
        put_bytes(&text, record->key, KEY_SHOWN);
        put(&text, ", ");
    }
    put(&text, "value ");
    put_bytes(&text, record->value, size);
}

void failure_describe(const struct weir_context *context, const char *doing,
                      struct weir_failure *failure)
{
    *failure = (struct weir_failure){WEIR_SIZED(struct weir_failure), .subtask = context->subtask,
                                     .doing = doing};
    struct text node = {failure->node, sizeof failure->node};
    put(&node, context->node->name);
    if (strcmp(doing, CALL_PROCESS) != 0)
        return;
    failure->input = context->hand_input;
    failure->position = context->taken + 1;
    failure->count = context->hand_count;
    if (context->hand_count != 1)
        return;
    failure->fingerprint = failure_fingerprint(context->hand);
    preview(context->hand, failure->preview, sizeof failure->preview);
}
