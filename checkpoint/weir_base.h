/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_base.h - what all of weir's public headers share: results, errors, byte views, the
 * allocator and the version. You never include it yourself; the others do.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_MUST_USE __attribute__((warn_unused_result))
#define WEIR_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define WEIR_API
#define WEIR_MUST_USE
#define WEIR_PRINTF(text, first)
#endif

/* First member of every public struct that may grow: the caller's idea of its size. Write
 *     struct weir_job_options options = {WEIR_SIZED(struct weir_job_options)};
 * Members the caller's version lacks read as zero, and zero always means the default. */
#define WEIR_SIZED(type) .size = sizeof(type)

/* "0.1.0". Static storage; any thread. */
WEIR_API const char *weir_version(void);

/* What a call came to. Zero is success; details are in struct weir_error. */
enum weir_result {
    WEIR_OK = 0,
    WEIR_INVALID,     /* an argument, an option or the graph is wrong; nothing was started */
    WEIR_NO_MEMORY,   /* an allocation failed */
    WEIR_IO,          /* a file or system call failed; os_error says how */
    WEIR_LOCKED,      /* another run holds the store */
    WEIR_NOT_FOUND,   /* the named thing does not exist */
    WEIR_DAMAGED,     /* stored bytes are not what was written */
    WEIR_UNSUPPORTED, /* a newer format, another byte order, or a thing this version can't do */
    WEIR_MISMATCH,    /* a checkpoint and the graph do not fit together */
    WEIR_TOO_LARGE,   /* over a documented limit */
    WEIR_FAILED,      /* an operator's callback failed */
    WEIR_REFUSED,     /* it could be done, but would lose or double something */
    WEIR_TIMEOUT,     /* the deadline passed first */
    WEIR_STOPPED,     /* the job was stopped before it was done */
    WEIR_UNKNOWN,     /* the disk failed at the commit point: only the next start can tell */
    WEIR_PROTOCOL,    /* a peer or a channel broke the rules: the run fails and restores */
};

/* "WEIR_DAMAGED" and so on; "?" for other numbers. Static storage; any thread. */
WEIR_API const char *weir_result_name(enum weir_result result);

/* Filled by the callee when a call fails, untouched when it succeeds. The caller owns it; nothing
 * in it needs to be freed. A NULL pointer is accepted wherever one is taken. `text` is one line of
 * UTF-8 without a newline that names the thing (node, file, blob), the reason and what to do. */
struct weir_error {
    enum weir_result code;
    int os_error;  /* errno, or 0 */
    char node[72]; /* the node it happened in, or "" */
    char text[640];
};

/* A borrowed view of bytes. Who owns them, and until when, is said where one is used. */
struct weir_bytes {
    const void *data;
    size_t size; /* bytes */
};

/* Where weir takes its memory from. Both functions are called from any of the job's threads, at
 * once. `allocate` returns at least `size` bytes (size > 0) aligned to 16, or NULL; `release`
 * takes what allocate gave, never NULL. libzmq, jansson, liblz4 and libcsv do not go through it. */
struct weir_allocator {
    void *(*allocate)(void *context, size_t size);
    void (*release)(void *context, void *memory);
    void *context;
};

#ifdef __cplusplus
}
#endif

#endif
