/* SPDX-License-Identifier: Apache-2.0 */
#include "manual.h"

#include <string.h>

#define EVERYWHERE "--json --no-pager --help"

/* A line of --help, without its end. */
struct line {
    const char *text;
    size_t size;
};

static bool next_line(const char **at, struct line *line)
{
    if (**at == 0)
        return false;
    line->text = *at;
    line->size = strcspn(*at, "\n");
    *at += line->size + ((*at)[line->size] == '\n');
    return true;
}

static bool is_option(const struct line *line)
{
    return line->size > 4 && strncmp(line->text, "  --", 4) == 0;
}

/* How much of an option's line is the option: up to two blanks. */
static size_t option_size(const struct line *line)
{
    size_t size = 2;
    while (size < line->size && strncmp(line->text + size, "  ", 2) != 0)
        size++;
    return size;
}

/* ----------------------------------------------------------------------------------- page -- */

static void put_text(const char *text, size_t size, FILE *to)
{
    while (size > 0 && *text == ' ') {
        text++;
        size--;
    }
    if (size > 0 && (*text == '.' || *text == '\''))
        fputs("\\&", to);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '-')
            fputs("\\-", to);
        else if (text[i] == '\\')
            fputs("\\e", to);
        else
            putc(text[i], to);
    }
}

static void put_string(const char *text, FILE *to)
{
    put_text(text, strlen(text), to);
}

static void put_option(const struct line *line, FILE *to)
{
    size_t size = option_size(line);
    fputs(".TP\n.B ", to);
    put_text(line->text, size, to);
    putc('\n', to);
    put_text(line->text + size, line->size - size, to);
    putc('\n', to);
}

static void put_verb(const struct verb *verb, FILE *to)
{
    const char *at = verb->more;
    struct line line;
    fprintf(to, ".SS \"weir %s ", verb->name);
    for (const char *word = verb->words; *word != 0; word++)
        if (*word == '-')
            fputs("\\-", to);
        else
            putc(*word, to);
    fputs("\"\n", to);
    put_string(verb->about, to);
    fputs(".\n.PP\n", to);
    while (next_line(&at, &line)) {
        if (is_option(&line)) {
            put_option(&line, to);
        } else {
            put_text(line.text, line.size, to);
            putc('\n', to);
        }
    }
}

void manual_page(const struct verb *verbs, size_t count, FILE *to)
{
    fprintf(to,
            ".\\\" Made by `weir help --man`.\n.TH WEIR 1 \"\" \"weir %s\" \"weir\"\n.SH NAME\n"
            "weir \\- looks into stores of checkpoints, and cleans them\n.SH SYNOPSIS\n.B weir\n"
            ".I VERB STORE\n.RI [ WORD ...]\n.RI [ OPTION ...]\n.SH DESCRIPTION\n"
            "Looks into the store of a job, or a savepoint, whether or not the job runs, and "
            "without its program.\nSTORE is the directory that the job has as\n.BR \\-\\-store ,\n"
            "or that of a savepoint; ID is the number of a checkpoint, or\n.BR newest .\n"
            "Options may stand anywhere behind the verb.\n.SH VERBS\n",
            weir_version());
    for (size_t i = 0; i < count; i++)
        put_verb(&verbs[i], to);
    fputs(
        ".SH OPTIONS OF ALL VERBS\n.TP\n.B \\-\\-json\nJSON, one object a line; complaints "
        "too.\n.TP\n.B \\-\\-no\\-pager\nOn a terminal too.\n.TP\n.B \\-\\-help\nWhat a verb does, "
        "and its options.\n.TP\n.B \\-\\-version\nIn place of a verb: which weir it is.\n"
        ".SH EXIT STATUS\n.TP\n.B 0\nDone; of a question: yes.\n.TP\n.B 1\nWhat was asked is not "
        "so.\n.TP\n.B 2\nThe command line is wrong.\n.TP\n.B 3\nA store or checkpoint is not "
        "there, damaged, not readable or in use.\n.TP\n.B 5\nA running job says no.\n.TP\n.B "
        "8\nThe "
        "answer could not be written.\n.SH ENVIRONMENT\n.TP\n.B PAGER\nTakes answers "
        "on a terminal, in place of\n.BR less (1);\nempty: none does. One that fails is told of, "
        "and done without.\n.TP\n.B TERM\nOn a "
        "terminal that is dumb: no pager, no colours.\n.TP\n.B NO_COLOR\nNo "
        "colours, if it is set.\n",
        to);
}

/* ----------------------------------------------------------------------------- completion -- */

/* Each "--name" in front of the options' lines. */
static void put_options(const struct verb *verb, FILE *to)
{
    const char *at = verb->more;
    struct line line;
    while (next_line(&at, &line)) {
        size_t end = is_option(&line) ? option_size(&line) : 0;
        for (size_t i = 0; i + 2 < end; i++)
            if (line.text[i] == ' ' && line.text[i + 1] == '-' && line.text[i + 2] == '-')
                fprintf(to, "%.*s ", (int)strcspn(line.text + i + 1, " ,\n"), line.text + i + 1);
    }
}

static bool has_id(const struct verb *verb)
{
    return strncmp(verb->words, "STORE ID", 8) == 0 ||
           strncmp(verb->words, "STORE [ID]", 10) == 0 || strncmp(verb->words, "STORE A B", 9) == 0;
}

void manual_completion(const struct verb *verbs, size_t count, FILE *to)
{
    fputs("# Made by `weir help --bash`.\n\n_weir()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} options= ids=\n"
          "    COMPREPLY=()\n    if ((COMP_CWORD == 1)); then\n        COMPREPLY=($(compgen -W '",
          to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "%s ", verbs[i].name);
    fputs("--help --version' -- \"$current\"))\n        return\n    fi\n    case $verb in\n", to);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "    %s) options='", verbs[i].name);
        put_options(&verbs[i], to);
        fprintf(to, EVERYWHERE "'%s ;;\n", has_id(&verbs[i]) ? " ids=yes" : "");
    }
    fputs("    esac\n"
          "    if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --format ]]; then\n"
          "        COMPREPLY=($(compgen -W 'sqlite csv jsonl' -- \"$current\"))\n"
          "    elif [[ $current == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
          "    elif ((COMP_CWORD == 2)); then\n"
          "        COMPREPLY=($(compgen -d -- \"$current\"))\n"
          "    elif ((COMP_CWORD == 3)) && [[ $ids ]]; then\n"
          "        COMPREPLY=($(compgen -W \"newest $(\"${COMP_WORDS[0]}\" list "
          "\"${COMP_WORDS[2]}\" --json 2>/dev/null |\n"
          "            sed -n 's/^{\"checkpoint\":\\([0-9]*\\),\"job\".*/\\1/p')\" -- "
          "\"$current\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
          "    fi\n}\ncomplete -o filenames -F _weir weir\n",
          to);
}
