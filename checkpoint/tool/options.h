/* SPDX-License-Identifier: Apache-2.0
 *
 * options: the command line after the verb.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_WORDS 4
#define OPTIONS_MANY INT_MAX /* words without end: those behind the fourth are in `every` alone */

struct options {
    const char *words[OPTIONS_WORDS]; /* what is no option; NULL behind the last */
    int word_count;
    char **every; /* every one of them, word_count; then NULL */
    bool json, no_pager, help, all;
    bool drain, now; /* of stop */
    const char *savepoint;
    const char *key, *prefix, *edge, *invariant, *key_format, *value_format;
    uint64_t limit; /* UINT64_MAX: none */
    const char *to, *format;
    bool force, dry_run, repair, counts;
    uint64_t keep; /* 0: none */
};

/* Which a verb may have besides --json, --no-pager and --help: sums of these. */
enum {
    OPTION_KEY = 1,
    OPTION_PREFIX = 2,
    OPTION_LIMIT = 4,
    OPTION_EDGE = 8,
    OPTION_ALL = 16,
    OPTION_INVARIANT = 32,
    OPTION_FORMATS = 64, /* --key-format, --value-format */
    OPTION_EXPORT = 128, /* --to, --format */
    OPTION_FORCE = 256,
    OPTION_GC = 512, /* --keep, --dry-run */
    OPTION_REPAIR = 1024,
    OPTION_COUNTS = 2048,
    OPTION_STOP = 4096, /* --drain, --now, --savepoint */
    VERB_WORKS = 8192,  /* no option: it may take long, and says little; no pager, but a bar */
    VERB_LIVE = 16384,  /* no option: it asks a running job, and never through a pager */
};

/* argv[0] is the verb. False, and says why on the standard error, when it has not `least` to `most`
 * words, or an option that is unknown, not allowed or wrong; but --help is answered first. */
bool options_read(struct options *options, int argc, char **argv, unsigned allowed, int least,
                  int most);

#endif
