/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

enum {
    JSON = 256,
    NO_PAGER,
    HELP,
    ALL,
    KEY,
    PREFIX,
    LIMIT,
    EDGE,
    INVARIANT,
    KEY_FORMAT,
    VALUE_FORMAT,
    DRAIN,
    NOW,
    SAVEPOINT,
    TO,
    FORMAT,
    FORCE,
    KEEP,
    DRY_RUN,
    REPAIR,
    COUNTS,
    OPTIONS_END
};
_Static_assert(OPTIONS_END - JSON <= 32, "options_read has a bit for each");

static const struct option known[] = {
    {"json", no_argument, NULL, JSON},
    {"no-pager", no_argument, NULL, NO_PAGER},
    {"help", no_argument, NULL, HELP},
    {"all", no_argument, NULL, ALL},
    {"key", required_argument, NULL, KEY},
    {"prefix", required_argument, NULL, PREFIX},
    {"limit", required_argument, NULL, LIMIT},
    {"edge", required_argument, NULL, EDGE},
    {"invariant", required_argument, NULL, INVARIANT},
    {"key-format", required_argument, NULL, KEY_FORMAT},
    {"value-format", required_argument, NULL, VALUE_FORMAT},
    {"drain", no_argument, NULL, DRAIN},
    {"now", no_argument, NULL, NOW},
    {"savepoint", required_argument, NULL, SAVEPOINT},
    {"to", required_argument, NULL, TO},
    {"format", required_argument, NULL, FORMAT},
    {"force", no_argument, NULL, FORCE},
    {"keep", required_argument, NULL, KEEP},
    {"dry-run", no_argument, NULL, DRY_RUN},
    {"repair", no_argument, NULL, REPAIR},
    {"counts", no_argument, NULL, COUNTS},
    {NULL, 0, NULL, 0},
};

static unsigned bit_of(int option)
{
    switch (option) {
    case KEY:
        return OPTION_KEY;
    case PREFIX:
        return OPTION_PREFIX;
    case LIMIT:
        return OPTION_LIMIT;
    case EDGE:
        return OPTION_EDGE;
    case ALL:
        return OPTION_ALL;
    case INVARIANT:
        return OPTION_INVARIANT;
    case KEY_FORMAT:
    case VALUE_FORMAT:
        return OPTION_FORMATS;
    case DRAIN:
    case NOW:
    case SAVEPOINT:
        return OPTION_STOP;
    case TO:
    case FORMAT:
        return OPTION_EXPORT;
    case FORCE:
        return OPTION_FORCE;
    case KEEP:
    case DRY_RUN:
        return OPTION_GC;
    case REPAIR:
        return OPTION_REPAIR;
    case COUNTS:
        return OPTION_COUNTS;
    default:
        return 0;
    }
}

static bool refuse(const char *verb, const char *what, const char *of)
{
    fprintf(stderr, "weir: %s%s", what, *of ? ": " : "");
    utf8_disarm(of, stderr);
    fprintf(stderr, "; `weir %s --help` says more\n", verb);
    return false;
}

/* "--limit is empty" */
static bool refuse_option(const char *verb, int option, const char *why)
{
    char what[64];
    snprintf(what, sizeof what, "--%s %s", known[option - JSON].name, why);
    return refuse(verb, what, "");
}

/* From 1 on. */
static bool read_count(uint64_t *count)
{
    char *end = optarg;
    errno = 0;
    *count = strspn(optarg, "0123456789") > 0 ? strtoull(optarg, &end, 10) : 0;
    return *count > 0 && *end == 0 && errno == 0;
}

static void take(struct options *options, int option)
{
    options->json |= option == JSON;
    options->no_pager |= option == NO_PAGER;
    options->help |= option == HELP;
    options->all |= option == ALL;
    options->drain |= option == DRAIN;
    options->now |= option == NOW;
    options->force |= option == FORCE;
    options->dry_run |= option == DRY_RUN;
    options->repair |= option == REPAIR;
    options->counts |= option == COUNTS;
    const char **text = option == KEY            ? &options->key
                        : option == PREFIX       ? &options->prefix
                        : option == EDGE         ? &options->edge
                        : option == INVARIANT    ? &options->invariant
                        : option == KEY_FORMAT   ? &options->key_format
                        : option == VALUE_FORMAT ? &options->value_format
                        : option == SAVEPOINT    ? &options->savepoint
                        : option == TO           ? &options->to
                        : option == FORMAT       ? &options->format
                                                 : NULL;
    if (text != NULL)
        *text = optarg;
}

static bool read_words(struct options *options, int argc, char **argv, int least, int most)
{
    int count = argc - optind;
    if (options->help)
        return true;
    if (count < least)
        return refuse(argv[0], "too few arguments", "");
    if (count > most)
        return refuse(argv[0], "too many arguments, the first is", argv[optind + most]);
    for (int i = 0; i < count && i < OPTIONS_WORDS; i++)
        options->words[i] = argv[optind + i];
    options->every = argv + optind;
    options->word_count = count;
    return true;
}

bool options_read(struct options *options, int argc, char **argv, unsigned allowed, int least,
                  int most)
{
    int option;
    unsigned given = 0; /* a bit an option */
    *options = (struct options){.limit = UINT64_MAX};
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
        const char *word = argv[optind - 1];
        if (option == '?')
            return refuse(argv[0], "unknown option, or not a clear one", word);
        if (option == ':')
            return refuse(argv[0], "an option without its value", word);
        if (bit_of(option) != 0 && (bit_of(option) & allowed) == 0)
            return refuse(argv[0], "this verb has no such option", known[option - JSON].name);
        if ((given & 1u << (option - JSON)) != 0)
            return refuse_option(argv[0], option, "is given twice");
        given |= 1u << (option - JSON);
        if (optarg != NULL && *optarg == 0 && option != KEY) /* a key may be empty */
            return refuse_option(argv[0], option, "is empty: give it a value");
        if (option == KEEP && !read_count(&options->keep))
            return refuse(argv[0], "--keep wants a number from 1 on, not", optarg);
        if (option == LIMIT && !read_count(&options->limit))
            return refuse(argv[0], "--limit wants a number from 1 on, not", optarg);
        take(options, option);
    }
    if (options->key != NULL && options->prefix != NULL && !options->help)
        return refuse(argv[0], "--key and --prefix exclude each other", "");
    return read_words(options, argc, argv, least, most);
}
