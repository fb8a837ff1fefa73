/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refusal.h"

/* ------------------------------------------------------------------------------ the reading -- */

/* At most CONFIG_LIMIT bytes and a zero; what is longer is refused before it is read to its end,
 * for it may have none. */
static enum weir_result read_all(FILE *file, const char *path, char *text, size_t *size,
                                 struct weir_error *error)
{
    errno = 0;
    *size = fread(text, 1, CONFIG_LIMIT + 1, file);
    if (ferror(file))
        return refuse(error, "--config %s: %s", path, strerror(errno));
    if (*size > CONFIG_LIMIT)
        return refuse(error, "--config %s: over %zu KiB: that is no file of options", path,
                      CONFIG_LIMIT >> 10);
    text[*size] = '\0';
    return WEIR_OK;
}

static enum weir_result check_text(const char *path, const char *text, size_t size,
                                   struct weir_error *error)
{
    unsigned line = 1;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool cr = c == '\r' && text[i + 1] == '\n';
        line += c == '\n';
        if ((c < ' ' && c != '\t' && c != '\n' && !cr) || c == 0x7f)
            return refuse(error, "%s:%u: a byte 0x%02x: a file of options is text", path, line, c);
    }
    return WEIR_OK;
}

enum weir_result config_open(struct config *config, const char *path, struct weir_error *error)
{
    size_t size = 0;
    FILE *file = fopen(path, "re");

    memset(config, 0, sizeof *config);
    if (file == NULL)
        return refuse(error, "--config %s: %s", path, strerror(errno));
    char *text = malloc(CONFIG_LIMIT + 2);
    enum weir_result result = text != NULL ? read_all(file, path, text, &size, error)
                                           : refuse(error, "--config %s: out of memory", path);
    fclose(file);
    if (result == WEIR_OK)
        result = check_text(path, text, size, error);
    if (result != WEIR_OK) {
        free(text);
        return result;
    }
    *config = (struct config){.path = path, .text = text, .next = text};
    return WEIR_OK;
}

void config_free(struct config *config)
{
    free(config->text);
    memset(config, 0, sizeof *config);
}

/* ------------------------------------------------------------------------------ the entries -- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without blanks at both ends; in place. */
static char *trim(char *text)
{
    size_t size;

    while (is_blank(*text))
        text++;
    for (size = strlen(text); size > 0 && is_blank(text[size - 1]); size--)
        text[size - 1] = '\0';
    return text;
}

/* Cuts the next line off, without its comment. NULL at the end. */
static char *take_line(struct config *config)
{
    char *line = config->next;

    if (line == NULL || *line == '\0')
        return NULL;
    char *end = strchr(line, '\n');
    config->next = end != NULL ? end + 1 : NULL;
    config->line++;
    if (end != NULL)
        *end = '\0';
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '#' && (at == line || is_blank(at[-1]))) {
            *at = '\0';
            break;
        }
    }
    return trim(line);
}

/* "set input": the name and, apart, what follows its first blank. */
static char *cut_word(char *text)
{
    char *blank = text + strcspn(text, " \t");

    if (*blank == '\0')
        return NULL;
    *blank = '\0';
    return trim(blank + 1);
}

static enum weir_result take_entry(const struct config *config, char *line,
                                   struct config_entry *entry, struct weir_error *error)
{
    char *equals = strchr(line, '=');

    if (line[0] == '-')
        return refuse(error, "%s:%u: %.40s: here options stand without their dashes", config->path,
                      config->line, line);
    if (equals == NULL)
        return refuse(error, "%s:%u: \"%.40s\" is no line of the form: option = value",
                      config->path, config->line, line);
    *equals = '\0';
    entry->value = trim(equals + 1);
    entry->name = trim(line);
    entry->parameter = cut_word(line);
    bool set = strcmp(entry->name, "set") == 0;
    if (set && entry->parameter == NULL)
        return refuse(error, "%s:%u: set what? say: set NAME = VALUE", config->path, config->line);
    if (entry->name[0] == '\0' || (!set && entry->parameter != NULL))
        return refuse(error, "%s:%u: the name before = is not one word", config->path,
                      config->line);
    return WEIR_OK;
}

enum weir_result config_next(struct config *config, struct config_entry *entry,
                             struct weir_error *error)
{
    char *line = take_line(config);

    while (line != NULL && *line == '\0')
        line = take_line(config);
    return line != NULL ? take_entry(config, line, entry, error) : WEIR_NOT_FOUND;
}

enum weir_result config_blame(const struct config *config, struct weir_error *error)
{
    char text[sizeof error->text];
    const char *said = strncmp(error->text, "--", 2) == 0 ? error->text + 2 : error->text;

    snprintf(text, sizeof text, "%s", said);
    return refuse(error, "%s:%u: %s", config->path, config->line, text);
}
