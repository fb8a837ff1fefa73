/* SPDX-License-Identifier: Apache-2.0 */
#include "book.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "number.h"

#define PATH_SIZE 4096u

static const char *const endings[] = {".sqlite", ".csv", ".jsonl"};

bool book_format_named(const char *name, enum book_format *format)
{
    for (int i = BOOK_SQLITE; i <= BOOK_JSONL; i++)
        if (strcmp(name, endings[i] + 1) == 0) {
            *format = (enum book_format)i;
            return true;
        }
    return false;
}

bool book_fail(struct book *book, int os_error, const char *what, const char *name)
{
    if (book->wrong[0] == 0)
        snprintf(book->wrong, sizeof book->wrong, "%s%s%s%s%s", name, *name ? ": " : "", what,
                 os_error != 0 ? ": " : "", os_error != 0 ? strerrordesc_np(os_error) : "");
    return false;
}

/* --------------------------------------------------------------------------------- places -- */

static bool inside(struct book *book, const char *folder, const char *name, const char *ending,
                   char path[PATH_SIZE])
{
    int size = snprintf(path, PATH_SIZE, "%s/%s%s", folder, name, ending);
    return size < (int)PATH_SIZE || book_fail(book, ENAMETOOLONG, "can't be made", folder);
}

/* The file that is the whole database. */
static bool base_path(struct book *book, char path[PATH_SIZE])
{
    return inside(book, book->beside, "base", endings[BOOK_SQLITE], path);
}

/* A table of this name: the tables of an export, see export.c. */
static bool is_table(const char *name, size_t size)
{
    static const char *const tables[] = {"checkpoint", "tasks", "handles", "inflight", "states"};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (strlen(tables[i]) == size && memcmp(tables[i], name, size) == 0)
            return true;
    return size > strlen("state_") && memcmp(name, "state_", strlen("state_")) == 0;
}

static bool is_export_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL &&
           (strcmp(name, "base.sqlite") == 0 ||
            ((strcmp(dot, endings[BOOK_CSV]) == 0 || strcmp(dot, endings[BOOK_JSONL]) == 0) &&
             is_table(name, (size_t)(dot - name))));
}

/* Has the folder nothing but files of an export? Takes them away, and it, if `take_away`. */
static bool is_export(const char *path, bool take_away)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    bool well = folder != NULL;
    while (well && (entry = readdir(folder)) != NULL) {
        struct stat about;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        well = is_export_file(entry->d_name) &&
               fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(about.st_mode) &&
               (!take_away || unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    }
    if (folder != NULL)
        closedir(folder);
    return well && (!take_away || rmdir(path) == 0);
}

/* Another program's writes to the old database would land in the new one. */
static bool is_in_use(const char *path)
{
    static const char *const traces[] = {"-wal", "-journal"};
    char name[PATH_SIZE];
    for (size_t i = 0; i < 2; i++) {
        int size = snprintf(name, sizeof name, "%s%s", path, traces[i]);
        if (size < (int)sizeof name && access(name, F_OK) == 0)
            return true;
    }
    return false;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Is it a database with the mark of an export? SQLite's header says so; SQLite itself would make
 * locks and journals to find out. */
static bool is_marked(const char *path)
{
    static const char magic[16] = "SQLite format 3";
    unsigned char header[100];
    int file = openat(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool whole = file >= 0 && pread(file, header, sizeof header, 0) == (ssize_t)sizeof header;
    if (file >= 0)
        close(file);
    return whole && memcmp(header, magic, sizeof magic) == 0 &&
           big_endian(header + 68) == BOOK_MARK && big_endian(header + 60) == BOOK_VERSION;
}

static bool refuse(struct book *book, const char *why)
{
    book->refused = book->wrong[0] == 0;
    return book_fail(book, 0, why, book->path);
}

/* May it be where it is to be? */
static bool may_be_there(struct book *book)
{
    struct stat about;
    if (lstat(book->path, &about) != 0)
        return errno == ENOENT || book_fail(book, errno, "can't be made", book->path);
    if (!book->force)
        return refuse(book, "it is there already, and only --force replaces it");
    if (book->format == BOOK_SQLITE && !S_ISREG(about.st_mode))
        return refuse(book, "it is no file, so it is not replaced");
    if (book->format == BOOK_SQLITE && !is_marked(book->path))
        return refuse(book, "it is no database that an export made, so it is not replaced");
    if (book->format == BOOK_SQLITE && is_in_use(book->path))
        return refuse(book, "its journal is there: a program has it open, or left it so");
    if (book->format != BOOK_SQLITE && !(S_ISDIR(about.st_mode) && is_export(book->path, false)))
        return refuse(book, "it is no folder with an export and nothing else, so it is not "
                            "replaced");
    return true;
}

/* What can't be looked at is for those who write there to complain of. */
static bool is_outside(struct book *book)
{
    struct weir_error error = {0};
    if (weir_store_refuse_inside(book->path, NULL, &error) != WEIR_REFUSED)
        return true;
    book->refused = book->wrong[0] == 0;
    return book_fail(book, 0, error.text, "");
}

/* Where folders can't be exchanged there is a moment without one. */
static bool step_aside(struct book *book, const char *from)
{
    char aside[PATH_SIZE];
    int size = snprintf(aside, sizeof aside, "%s.old", from);
    if (size >= (int)sizeof aside || rename(book->path, aside) != 0)
        return book_fail(book, errno, "can't be replaced", book->path);
    if (rename(from, book->path) == 0)
        return is_export(aside, true) || book_fail(book, errno, "what was there is left", aside);
    book_fail(book, errno, "can't be replaced", book->path);
    (void)rename(aside, book->path);
    return false;
}

/* What is there goes, and `from` takes its place; they are folders. */
static bool exchange(struct book *book, const char *from)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, book->path, RENAME_EXCHANGE) == 0)
        return is_export(from, true) || book_fail(book, errno, "what was there is left", from);
    if (errno == ENOENT && rename(from, book->path) == 0)
        return true;
    return errno == EINVAL || errno == ENOSYS
               ? step_aside(book, from)
               : book_fail(book, errno, "can't be replaced", book->path);
}

static bool take_place(struct book *book, const char *from)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, book->path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EEXIST && errno != EINVAL && errno != ENOSYS)
        return book_fail(book, errno, "can't be made", book->path);
    if (!may_be_there(book)) /* EINVAL: a file system that can't tell by itself */
        return false;
    struct stat about;
    if (book->format != BOOK_SQLITE && lstat(book->path, &about) == 0)
        return exchange(book, from);
    return rename(from, book->path) == 0 || book_fail(book, errno, "can't be made", book->path);
}

static bool sync_path(struct book *book, const char *path)
{
    int file = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    bool well = file >= 0 && fsync(file) == 0;
    if (!well)
        book_fail(book, errno, "can't be made durable", path);
    if (file >= 0)
        close(file);
    return well;
}

static bool sync_parent(struct book *book)
{
    char *slash = strrchr(book->beside, '/');
    if (slash == NULL)
        return sync_path(book, ".");
    slash[slash == book->beside] = 0;
    return sync_path(book, book->beside);
}

/* A folder of one's own, beside: with the rights that others get. */
static bool make_beside(struct book *book)
{
    mode_t mask = umask(0);
    umask(mask);
    if (mkdtemp(book->beside) == NULL) {
        book->beside[0] = 0;
        return book_fail(book, errno, "can't be made", book->path);
    }
    return chmod(book->beside, 0777 & ~mask) == 0 ||
           book_fail(book, errno, "can't be made", book->beside);
}

bool book_open(struct book *book, const char *path, enum book_format format, bool force)
{
    char beside[PATH_SIZE];
    *book = (struct book){.format = format, .force = force, .path = strdup(path)};
    if (book->path == NULL)
        return book_fail(book, ENOMEM, "can't be made", path);
    for (size_t size = strlen(path); size > 1 && book->path[size - 1] == '/'; size--)
        book->path[size - 1] = 0;
    if (format == BOOK_SQLITE && !book_has_sqlite())
        return refuse(book, "this weir was built without libsqlite3: use csv or jsonl");
    if (*path == 0 ||
        snprintf(beside, sizeof beside, "%s.export-XXXXXX", book->path) >= (int)sizeof beside)
        return refuse(book, "that is no path for an export");
    if (!is_outside(book) || !may_be_there(book))
        return false;
    book->beside = strdup(beside);
    if (book->beside == NULL || !make_beside(book))
        return book_fail(book, ENOMEM, "can't be made", path);
    return format != BOOK_SQLITE || (base_path(book, beside) && book_base_open(book, beside));
}

/* ---------------------------------------------------------------------------------- files -- */

static void write_quoted(struct weir_bytes text, FILE *to)
{
    const char *data = text.data;
    bool quotes = text.size == 0;
    for (size_t i = 0; i < text.size && !quotes; i++)
        quotes = strchr("\",\r\n \t", data[i]) != NULL;
    if (quotes)
        putc('"', to);
    for (size_t i = 0; i < text.size; i++) {
        if (data[i] == '"')
            putc('"', to);
        putc(data[i], to);
    }
    if (quotes)
        putc('"', to);
}

static bool write_csv_cell(const struct cell *cell, FILE *to)
{
    char *text;
    switch (cell->kind) {
    case CELL_NONE:
        break;
    case CELL_INTEGER:
        fprintf(to, "%" PRId64, cell->integer);
        break;
    case CELL_NUMBER:
        number_print(cell->number, cell->bytes.data, to);
        break;
    case CELL_TEXT:
        write_quoted(cell->bytes, to);
        break;
    case CELL_JSON:
        text = json_dumps(cell->json, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text == NULL)
            return false;
        write_quoted((struct weir_bytes){text, strlen(text)}, to);
        free(text);
        break;
    case CELL_BYTES:
        format_hex(cell->bytes, to);
        break;
    }
    return true;
}

static bool write_csv(const struct sheet *sheet, FILE *to)
{
    bool well = true;
    for (uint32_t i = 0; i < sheet->count && well; i++) {
        fputs(i > 0 ? "," : "", to);
        well = write_csv_cell(&sheet->cells[i], to);
    }
    putc('\n', to);
    return well;
}

static json_t *json_of(const struct cell *cell)
{
    static const struct format hex = {.kind = FORMAT_HEX};
    json_t *value;
    switch (cell->kind) {
    case CELL_INTEGER:
        return json_integer(cell->integer);
    case CELL_NUMBER:
        return number_json(cell->number, cell->bytes.data);
    case CELL_TEXT:
        return json_stringn(cell->bytes.size > 0 ? cell->bytes.data : "", cell->bytes.size);
    case CELL_JSON:
        return json_incref(cell->json);
    default:
        value = format_json(&hex, cell->bytes);
        json_t *digits = json_incref(json_object_get(value, "hex"));
        json_decref(value);
        return digits;
    }
}

static bool write_jsonl(const struct sheet *sheet, FILE *to)
{
    json_t *object = json_object();
    bool well = object != NULL;
    for (uint32_t i = 0; i < sheet->count && well; i++)
        if (sheet->cells[i].kind != CELL_NONE)
            well =
                json_object_set_new(object, sheet->columns[i].name, json_of(&sheet->cells[i])) == 0;
    well = well && json_dumpf(object, to, JSON_COMPACT) == 0;
    json_decref(object);
    putc('\n', to);
    return well;
}

static void write_names(const struct sheet *sheet, FILE *to)
{
    for (uint32_t i = 0; i < sheet->count; i++)
        fprintf(to, "%s%s", i > 0 ? "," : "", sheet->columns[i].name);
    putc('\n', to);
}

/* --------------------------------------------------------------------------------- sheets -- */

bool book_begin(struct book *book, const struct sheet *sheet)
{
    char path[PATH_SIZE];
    if (book->wrong[0] != 0)
        return false;
    if (sheet->failed)
        return book_fail(book, ENOMEM, "can't be made", book->path);
    if (book->format == BOOK_SQLITE)
        return book_base_begin(book, sheet);
    if (!inside(book, book->beside, sheet->name, endings[book->format], path))
        return false;
    int file = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    book->file = file < 0 ? NULL : fdopen(file, "w");
    if (book->file == NULL) {
        book_fail(book, errno, "can't be made", path);
        if (file >= 0)
            close(file);
        return false;
    }
    if (book->format == BOOK_CSV)
        write_names(sheet, book->file);
    return true;
}

bool book_row(struct book *book, struct sheet *sheet)
{
    bool well = true;
    if (book->wrong[0] != 0)
        return false;
    if (book->format == BOOK_SQLITE)
        well = book_base_row(book, sheet);
    else if (!(book->format == BOOK_CSV ? write_csv : write_jsonl)(sheet, book->file))
        well = book_fail(book, ENOMEM, "a row", book->path);
    else if (ferror(book->file))
        well = book_fail(book, errno, "can't be written", book->path);
    if (sheet->failed)
        well = book_fail(book, ENOMEM, "a row", book->path);
    sheet_clear(sheet);
    return well;
}

bool book_end(struct book *book)
{
    if (book->format == BOOK_SQLITE)
        return book->wrong[0] == 0 && book_base_end(book);
    if (book->file == NULL)
        return false;
    if (fflush(book->file) != 0 || fsync(fileno(book->file)) != 0)
        book_fail(book, errno, "can't be written", book->path);
    if (fclose(book->file) != 0)
        book_fail(book, errno, "can't be written", book->path);
    book->file = NULL;
    return book->wrong[0] == 0;
}

static bool publish(struct book *book)
{
    char base[PATH_SIZE];
    bool file = book->format == BOOK_SQLITE;
    if (!file)
        return sync_path(book, book->beside) && take_place(book, book->beside) && sync_parent(book);
    return base_path(book, base) && sync_path(book, base) && take_place(book, base) &&
           (rmdir(book->beside) == 0 || book_fail(book, errno, "is left", book->beside)) &&
           sync_parent(book);
}

bool book_close(struct book *book, bool keep)
{
    if (book->file != NULL)
        (void)book_end(book);
    if (book->base != NULL)
        (void)book_base_close(book);
    bool well = book->wrong[0] == 0 && keep && publish(book);
    if (!well && book->beside != NULL && book->beside[0] != 0)
        (void)is_export(book->beside, true);
    free(book->beside);
    free(book->path);
    book->beside = book->path = NULL;
    return well;
}
