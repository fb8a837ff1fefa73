/* SPDX-License-Identifier: Apache-2.0
 *
 * trace: nothing in an object's file is believed: every offset and size is checked against what
 * could be read. The file is read, not mapped: when somebody shortens it meanwhile that is a short
 * read, not a SIGBUS of the supervisor.
 */
#include "trace.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_ROOM = 200 };
static const size_t TABLE_MOST = (size_t)256 << 20; /* bytes of symbols worth reading */

/* -------------------------------------------------------------------------- which object -- */

struct object {
    uintptr_t address; /* asked for */
    bool found;
    uintptr_t base;  /* added to the addresses in its file */
    char path[1024]; /* "/proc/self/exe" for the program: its name may be another's by now */
};

static int look_into(struct dl_phdr_info *info, size_t size, void *context)
{
    struct object *object = context;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t from = (uintptr_t)(info->dlpi_addr + part->p_vaddr);
        if (part->p_type != PT_LOAD || object->address < from ||
            object->address - from >= part->p_memsz)
            continue;
        object->found = true;
        object->base = (uintptr_t)info->dlpi_addr;
        snprintf(object->path, sizeof object->path, "%s",
                 *info->dlpi_name != '\0' ? info->dlpi_name : "/proc/self/exe");
        return 1;
    }
    return 0;
}

/* ----------------------------------------------------------------------- its symbols -- */

struct symbols {
    ElfW(Sym) * list;
    size_t count;
    char *names; /* ends with a zero */
    size_t names_size;
};

static void symbols_free(struct symbols *symbols)
{
    free(symbols->list);
    free(symbols->names);
    *symbols = (struct symbols){0};
}

/* `size` bytes at `offset`, and a zero behind them; NULL: they are not there. */
static void *read_part(int file, uint64_t offset, uint64_t size)
{
    if (size == 0 || size > TABLE_MOST || offset > INT64_MAX)
        return NULL;
    char *data = malloc((size_t)size + 1);
    size_t have = 0;
    while (data != NULL && have < size) {
        ssize_t got = pread(file, data + have, (size_t)size - have, (off_t)(offset + have));
        if (got <= 0) {
            free(data);
            return NULL;
        }
        have += (size_t)got;
    }
    if (data != NULL)
        data[size] = '\0';
    return data;
}

static bool read_symbols(int file, const ElfW(Shdr) * sections, size_t count, uint32_t type,
                         struct symbols *symbols)
{
    for (size_t i = 0; i < count; i++) {
        if (sections[i].sh_type != type || sections[i].sh_link >= count)
            continue;
        const ElfW(Shdr) *names = &sections[sections[i].sh_link];
        symbols->list = read_part(file, sections[i].sh_offset, sections[i].sh_size);
        symbols->count = (size_t)sections[i].sh_size / sizeof *symbols->list;
        symbols->names = read_part(file, names->sh_offset, names->sh_size);
        symbols->names_size = (size_t)names->sh_size;
        if (symbols->list != NULL && symbols->names != NULL)
            return true;
        symbols_free(symbols);
    }
    return false;
}

static void open_symbols(int file, struct symbols *symbols)
{
    ElfW(Ehdr) *head = read_part(file, 0, sizeof *head);
    ElfW(Shdr) *sections = NULL;

    if (head != NULL && memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
        head->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
        head->e_shentsize == sizeof *sections)
        sections = read_part(file, head->e_shoff, (uint64_t)head->e_shnum * sizeof *sections);
    if (sections != NULL && !read_symbols(file, sections, head->e_shnum, SHT_SYMTAB, symbols))
        read_symbols(file, sections, head->e_shnum, SHT_DYNSYM, symbols);
    free(sections);
    free(head);
}

/* The name of the function around `address`, as it is in the file; NULL: none is known. */
static const char *name_at(const struct symbols *symbols, uintptr_t address, uintptr_t *offset)
{
    for (size_t i = 0; i < symbols->count; i++) {
        const ElfW(Sym) *symbol = &symbols->list[i];
        if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
            address < symbol->st_value || address - symbol->st_value >= symbol->st_size ||
            symbol->st_name >= symbols->names_size)
            continue;
        *offset = address - (uintptr_t)symbol->st_value;
        return symbols->names + symbol->st_name;
    }
    return NULL;
}

/* ------------------------------------------------------------------------------- the lines -- */

static const char *file_of(const struct object *object, char *real, size_t room)
{
    const char *path = object->path;

    if (strcmp(path, "/proc/self/exe") == 0) {
        ssize_t size = readlink(path, real, room - 1);
        real[size > 0 ? size : 0] = '\0';
        path = real;
    }
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* `back`: 1 when the address is the one to return to: the call before it is meant, which may be the
 * last thing in its function. */
static void print_line(int number, uintptr_t address, uintptr_t back, char line[LINE_ROOM])
{
    struct object object = {.address = address - back};
    struct symbols symbols = {0};
    char real[1024];
    uintptr_t offset = 0;

    dl_iterate_phdr(look_into, &object);
    if (!object.found) {
        snprintf(line, LINE_ROOM, "#%d 0x%jx, in no object\n", number, (uintmax_t)address);
        return;
    }
    int file = open(object.path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        open_symbols(file, &symbols);
        close(file);
    }
    uintptr_t inside = address - back - object.base;
    const char *name = name_at(&symbols, inside, &offset);
    const char *where = file_of(&object, real, sizeof real);
    if (name != NULL)
        snprintf(line, LINE_ROOM, "#%d %.100s+0x%jx in %.60s\n", number, name,
                 (uintmax_t)(offset + back), where);
    else
        snprintf(line, LINE_ROOM, "#%d 0x%jx in %.60s\n", number, (uintmax_t)(inside + back),
                 where);
    symbols_free(&symbols);
}

void trace_print(void *const *addresses, int count, char *text, size_t room)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < count; i++) {
        char line[LINE_ROOM];
        print_line(i, (uintptr_t)addresses[i], i > 0, line);
        size_t size = strlen(line);
        if (used + size + 1 > room)
            return;
        memcpy(text + used, line, size + 1);
        used += size;
    }
}
