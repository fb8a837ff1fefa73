/* SPDX-License-Identifier: Apache-2.0
 *
 * weir: looks into stores, offline, and cleans them; and asks the job that runs on one.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "manual.h"
#include "utf8.h"

#define OF_FORMATS                                                                                 \
    "  --key-format F, --value-format F   take these for the declared formats: u64, i64, f64,\n"   \
    "                                     utf8, json, hex, u64[], \"{u64 count; f64 sum}\", ...\n"

static const struct verb verbs[] = {
    {"list", "STORE", "the checkpoints of a store",
     "One line each: when, how long it took, what it wrote (NEW) and what it shares with earlier\n"
     "ones, and whether its manifest can be read; `weir verify` reads all the rest. Then the last\n"
     "rounds that came to nothing (ABORTED), and why.\n",
     1, 1, 0, tool_list},
    {"show", "STORE [ID]", "one checkpoint: graph, states, tasks, handles, where the time went",
     "Of each task: where its source stood, output that was prepared and not confirmed (HANDLES),\n"
     "dead letters, how long the cut held it, and a chart of the round's phases.\n"
     "  --counts      also how many entries each state has: reads all of it\n",
     1, 2, OPTION_COUNTS, tool_show},
    {"state", "STORE ID NODE[/STATE]", "what a node's keyed state was",
     "A line an entry: its key, of a map the sub key, of a list the index, and the value, with a\n"
     "tabulator between.\n"
     "  --key K       this key only; as the keys are printed, 0x00ff is bytes\n"
     "  --prefix P    keys that begin so, said as a key\n"
     "  --limit N     no more than N entries\n" OF_FORMATS,
     3, 3, OPTION_KEY | OPTION_PREFIX | OPTION_LIMIT | OPTION_FORMATS, tool_state},
    {"inflight", "STORE ID", "the records on their way",
     "A line a record: channel, position on it, where it lay, event time, key, value.\n"
     "  --edge A:B    from node A to node B only\n"
     "  --limit N     no more than N records\n" OF_FORMATS,
     2, 2, OPTION_EDGE | OPTION_LIMIT | OPTION_FORMATS, tool_inflight},
    {"diff", "STORE A B [NODE[/STATE]]", "what keyed state is another in B than in A",
     "A line a change: + added, - removed, ~ changed, with both values. The answer is 1 when\n"
     "there is one.\n" OF_FORMATS,
     3, 4, OPTION_FORMATS, tool_diff},
    {"verify", "STORE [ID]", "is a checkpoint whole, and does what must hold of it hold",
     "Reads all that it names. The answer is 3 when something is damaged, 1 when only an\n"
     "invariant is violated.\n"
     "  --all              all checkpoints of the store\n"
     "  --invariant LIB.so also call its weir_invariant, see weir_checkpoint.h\n",
     1, 2, OPTION_ALL | OPTION_INVARIANT | VERB_WORKS, tool_verify},
    {"export", "STORE ID", "tables of all that a checkpoint holds, for SQL and others",
     "One table a state, and of records in flight, tasks and handles. It is whole or not there,\n"
     "and nothing that is there is replaced without --force, nor what is no export with it.\n"
     "SIGINT and SIGTERM take back what was begun; kill -9 leaves the folder PATH.export-XXXXXX,\n"
     "which may be removed.\n"
     "  --format sqlite --to FILE     one database\n"
     "  --format csv --to FOLDER      a file a table, with a line of names\n"
     "  --format jsonl --to FOLDER    a file a table, an object a line\n"
     "  --force                       replace an export that is there\n" OF_FORMATS,
     2, 2, OPTION_EXPORT | OPTION_FORCE | OPTION_FORMATS | VERB_WORKS, tool_export},
    {"explain", "STORE ID JOB [-- JOB OPTION...]", "would a job's program go on from a checkpoint",
     "Asks the program JOB, which starts nothing: what of the checkpoint goes where in its graph,\n"
     "and what has no place or does not fit. What stands behind -- is for JOB, as its `run` would\n"
     "have it: --set name=value, --parallelism N, --allow-dropped-state. The answer is 1 when the\n"
     "start would be refused for its graph. No operator is opened, so what a sink would refuse,\n"
     "because it has published more since the checkpoint, shows at the start alone.\n",
     3, OPTIONS_MANY, 0, tool_explain},
    {"copy", "STORE ID DEST", "a checkpoint as a savepoint: a directory of its own",
     "All that it names, each checksum verified on its way; the store is only read. A job starts\n"
     "from it with --store NEW --restore DEST.\n",
     3, 3, VERB_WORKS, tool_copy},
    {"drop", "STORE ID...", "remove checkpoints, and what they alone need",
     "Not while a job runs. The newest only with --force: a start goes on from an older one then,\n"
     "and sinks publish again what came behind that.\n"
     "  --force       the newest too\n",
     2, OPTIONS_MANY, OPTION_FORCE | VERB_WORKS, tool_drop},
    {"gc", "STORE", "remove what no checkpoint needs, and old checkpoints",
     "Not while a job runs, which does so by itself.\n"
     "  --keep N      of the readable checkpoints the newest N stay; without it, all\n"
     "  --dry-run     only say what would go\n",
     1, 1, OPTION_GC | VERB_WORKS, tool_gc},
    {"fsck", "STORE", "is the store as such in order",
     "Looks for manifests that are not sound or name files that are missing, files that none\n"
     "names, what aborted rounds have left, and what is not weir's; `weir verify --all` reads "
     "what\n"
     "is in the files. The answer is 3 when a checkpoint is damaged, 1 when there is anything "
     "else.\n"
     "  --repair      remove what no checkpoint names; not while a job runs\n",
     1, 1, OPTION_REPAIR, tool_fsck},
    {"status", "STORE", "does a job run on it, and how is it",
     "What the job says of itself, and what is in the store. The answer is 0 when a run is alive,\n"
     "also one that can't be asked, and 1 when none is.\n",
     1, 1, VERB_LIVE, tool_status},
    {"snapshot", "STORE", "have the job take a checkpoint now",
     "Waits until it is durable, and says its number.\n", 1, 1, VERB_LIVE, tool_snapshot},
    {"savepoint", "STORE DEST", "have the job write a savepoint",
     "Of the next checkpoint, in the directory DEST, which is not there yet or empty; waits until\n"
     "it is durable. The job goes on.\n",
     2, 2, VERB_LIVE, tool_savepoint},
    {"stop", "STORE", "stop the job, after a last checkpoint",
     "Answers as soon as the job has heard it; with --savepoint, when that is durable.\n"
     "  --drain          end the input here, for good, and publish everything\n"
     "  --now            do not wait for a last checkpoint\n"
     "  --savepoint DIR  keep the last checkpoint there; if that fails, the job goes on\n",
     1, 1, VERB_LIVE | OPTION_STOP, tool_stop},
    {"dump", "STORE", "who waits for what in the job",
     "A line a task: what it is at, and what it waits for.\n", 1, 1, VERB_LIVE, tool_dump},
};
#define VERBS (sizeof verbs / sizeof verbs[0])

/* What is made of the table, for who installs it. */
static bool make_page(const char *option)
{
    if (strcmp(option, "--man") == 0)
        manual_page(verbs, VERBS, stdout);
    else if (strcmp(option, "--bash") == 0)
        manual_completion(verbs, VERBS, stdout);
    else
        return false;
    return true;
}

static void help(void)
{
    printf("usage: weir VERB STORE ... [OPTION...]\n\n"
           "Looks into the store of a job, or a savepoint, whether or not the job runs. It only\n"
           "reads, but for drop, gc and fsck --repair, which refuse while a job runs. ID is a\n"
           "checkpoint's number, or newest. snapshot, savepoint, stop and dump ask the job that\n"
           "runs on the store.\n\n");
    for (size_t i = 0; i < VERBS; i++)
        printf("  %-9s %-32s %s\n", verbs[i].name, verbs[i].words, verbs[i].about);
    printf("\n  --json        JSON, one object a line\n"
           "  --no-pager    on a terminal too\n"
           "  --help        this, or behind a verb more of it, as `weir help VERB` is\n"
           "  --version     which weir it is\n\n"
           "`weir help --man` is the source of the manual page, `weir help --bash` completion.\n\n"
           "The answer is 0 when it is done, 1 when what was asked is not so, 2 when the command\n"
           "line is wrong, 3 when a store or checkpoint is not there, damaged, not readable or\n"
           "in use, or no job is there to be asked, 5 when the job says no, 8 when the answer\n"
           "could not be written; a reader that goes away (`| head`) is no failure.\n");
}

static void help_of(const struct verb *verb)
{
    printf("usage: weir %s %s [OPTION...]\n\n%s.\n\n%s  --json        JSON, one object a line\n"
           "  --no-pager    on a terminal too\n",
           verb->name, verb->words, verb->about, verb->more);
}

static int fail_to_write(const struct tool *tool, int code, int why)
{
    tool_complain(tool, EXIT_OUTPUT, "not all of the answer could be written%s%s",
                  why != 0 ? ": " : "", why != 0 ? strerrordesc_np(why) : "");
    return code == EXIT_DONE || code == EXIT_NO ? EXIT_OUTPUT : code;
}

/* What --help, --version and `help` print; as all answers. */
static int end_telling(void)
{
    struct tool tool = {.paper = {.to = stdout}};
    return paper_close(&tool.paper) == PAPER_FAILED ? fail_to_write(&tool, EXIT_DONE, errno)
                                                    : EXIT_DONE;
}

static int refuse_verb(const char *word)
{
    fputs("weir: there is no verb '", stderr);
    utf8_disarm(word, stderr);
    fputs("'; `weir --help` lists them\n", stderr);
    return EXIT_USAGE;
}

static const struct verb *find(const char *word)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(word, verbs[i].name) == 0)
            return &verbs[i];
    return NULL;
}

/* `weir help`, what it is wanted of behind that. */
static int tell(int count, char **words)
{
    const struct verb *verb = count == 1 ? find(words[0]) : NULL;
    if (count > 1) {
        fprintf(stderr, "weir: too many arguments; `weir --help` says more\n");
        return EXIT_USAGE;
    }
    if (count == 0 || strcmp(words[0], "--help") == 0)
        help();
    else if (verb != NULL)
        help_of(verb);
    else if (!make_page(words[0]))
        return refuse_verb(words[0]);
    return end_telling();
}

/* An empty word is mostly a variable of the shell that was not set. What is for another program,
 * behind "--", is that one's to judge. */
static bool has_empty(const struct verb *verb, const struct options *options)
{
    const char *name = verb->words;
    for (int i = 0; i < options->word_count && strncmp(name, "[--", 3) != 0; i++) {
        const char *letters = name + (*name == '[');
        if (*options->every[i] == 0) {
            fprintf(stderr, "weir: %.*s is empty; `weir %s --help` says more\n",
                    (int)strcspn(letters, " []."), letters, verb->name);
            return true;
        }
        const char *blank = strchr(name, ' ');
        name = blank != NULL ? blank + 1 : name;
    }
    return false;
}

/* What goes through a pager only looks, so without one that works it looks once more. */
static int conclude(const struct verb *verb, struct tool *tool, int code)
{
    enum paper_end end = paper_close(&tool->paper);
    if (end == PAPER_UNPAGED) {
        int pager = errno;
        paper_open(&tool->paper, false);
        tool_complain(tool, code, "the pager has failed, with exit code %d: here is all of it",
                      pager);
        tool->keys = tool->values = (struct tool_fit){0};
        code = verb->run(tool);
        end = paper_close(&tool->paper);
    }
    tool_tell_misfits(tool);
    return end == PAPER_FAILED ? fail_to_write(tool, code, errno) : code;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct tool tool = {0};
    if (!options_read(&tool.options, argc, argv, verb->allowed, verb->least, verb->most))
        return EXIT_USAGE;
    if (tool.options.help) {
        help_of(verb);
        return end_telling();
    }
    if (has_empty(verb, &tool.options))
        return EXIT_USAGE;
    bool pages = (verb->allowed & (VERB_WORKS | VERB_LIVE)) == 0 && !tool.options.repair;
    paper_open(&tool.paper, !tool.options.json && !tool.options.no_pager && pages);
    int code = verb->run(&tool);
    return conclude(verb, &tool, code);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    const struct verb *verb = find(word);
    signal(SIGPIPE, SIG_IGN); /* what works is to put away what it has begun */
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0)
        return tell(argc - 2, argv + 2);
    if (strcmp(word, "--version") == 0) {
        printf("weir %s\n", weir_version());
        return end_telling();
    }
    if (verb != NULL)
        return run(verb, argc - 1, argv + 1);
    if (*word != 0)
        return refuse_verb(word);
    fprintf(stderr, "weir: no verb is given; `weir --help` lists them\n");
    return EXIT_USAGE;
}
