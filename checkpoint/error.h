/* SPDX-License-Identifier: Apache-2.0
 *
 * error: filling the caller's struct weir_error. Every function returns the code it set, so that a
 * failing path is one line. Any thread.
 */
#ifndef ERROR_H
#define ERROR_H

#include "weir_base.h"

/* `error` may be NULL. Control characters in the result are replaced, so that names and file
 * contents can't forge log lines. */
enum weir_result error_set(struct weir_error *error, enum weir_result code, int os_error,
                           const char *format, ...) WEIR_PRINTF(4, 5);

/* The same for a failed file call: "<what>: <strerror>"; os_error is positive. ENOMEM becomes
 * WEIR_NO_MEMORY, everything else WEIR_IO. */
enum weir_result error_os(struct weir_error *error, int os_error, const char *format, ...)
    WEIR_PRINTF(3, 4);

/* What errno `os_error` (positive) means; strerror, but safe in any thread. Lives as long as
 * `room`. */
#define ERROR_REASON_ROOM 128
const char *error_reason(int os_error, char room[ERROR_REASON_ROOM]);

/* "out of memory: <what> needs <size> bytes" */
enum weir_result error_memory(struct weir_error *error, const char *what, size_t size);

/* WEIR_OK when a format's version is the one that this library reads; else WEIR_UNSUPPORTED, and
 * why: "<what> format version <version> is newer ...". Version 0 was of no release. */
enum weir_result error_unless_version(struct weir_error *error, const char *what, uint64_t version,
                                      uint64_t ours) WEIR_MUST_USE;

/* Puts "<format...>: " before the text that is there: a caller adds what it knows. */
enum weir_result error_within(struct weir_error *error, const char *format, ...) WEIR_PRINTF(2, 3);

#endif
