/* SPDX-License-Identifier: Apache-2.0
 *
 * scarce: for LD_PRELOAD. Counts what one library of a process allocates, over all threads, and
 * refuses it the k-th. Who asks is told by the address that a call returns to; `new` asks by way of
 * the C++ library, so its functions are wrapped too.
 *
 *   WEIR_SCARCE=libzmq       the library: how its file's name begins
 *   WEIR_SCARCE_AT=k         counted from 1; without it nothing is refused
 *   WEIR_SCARCE_LOG=file     appended to: "refused k", and at a clean exit "calls N"
 *   WEIR_SCARCE_ONCE=file    only by the process that makes this file
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the C library's own are called besides. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

/* Set before main, read only then. */
static struct {
    uintptr_t first, end; /* of the library's memory */
    long at;
    int log;
    const char *once;
    void *(*new_one)(size_t size);
    void *(*new_many)(size_t size);
    void *(*new_quietly)(size_t size, const void *nothrow);
    void *(*new_many_quietly)(size_t size, const void *nothrow);
} plan = {.log = -1};

static atomic_long calls;
static _Thread_local bool refuse_next; /* what `new` asks for */

static int find_library(struct dl_phdr_info *info, size_t size, void *name)
{
    const char *base = strrchr(info->dlpi_name, '/');
    (void)size;
    base = base == NULL ? info->dlpi_name : base + 1;
    if (strncmp(base, name, strlen(name)) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t first = info->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0)
            continue;
        plan.first = first;
        plan.end = first + part->p_memsz;
    }
    return 1;
}

/* dlsym answers an object pointer; POSIX says that it may be made a function's, C does not. */
#define FIND(member, name)                                                                         \
    do {                                                                                           \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        memcpy(&plan.member, &found, sizeof found);                                                \
    } while (0)

static void note(const char *what, long count)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%s %ld\n", what, count);
    if (plan.log >= 0 && write(plan.log, line, (size_t)size) < 0)
        plan.log = -1;
}

__attribute__((constructor)) static void begin(void)
{
    char *name = getenv("WEIR_SCARCE");
    const char *at = getenv("WEIR_SCARCE_AT"), *log = getenv("WEIR_SCARCE_LOG");
    FIND(new_one, "_Znwm");
    FIND(new_many, "_Znam");
    FIND(new_quietly, "_ZnwmRKSt9nothrow_t");
    FIND(new_many_quietly, "_ZnamRKSt9nothrow_t");
    plan.once = getenv("WEIR_SCARCE_ONCE");
    plan.at = at == NULL ? 0 : strtol(at, NULL, 10);
    if (log != NULL)
        plan.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (name != NULL && dl_iterate_phdr(find_library, name) == 0)
        note("no such library", 0);
}

__attribute__((destructor)) static void end(void)
{
    note("calls", atomic_load(&calls));
}

static bool is_first(void)
{
    int made = plan.once == NULL ? -1 : open(plan.once, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made >= 0)
        close(made);
    return plan.once == NULL || made >= 0;
}

static bool is_refused(const void *caller)
{
    uintptr_t address = (uintptr_t)caller;
    if (address < plan.first || address >= plan.end || atomic_fetch_add(&calls, 1) + 1 != plan.at ||
        !is_first())
        return false;
    note("refused", plan.at);
    return true;
}

static bool is_next(void)
{
    bool next = refuse_next;
    refuse_next = false;
    return next;
}

/* ---- of C ---- */

void *malloc(size_t size)
{
    if (is_next() || is_refused(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (is_refused(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    if (is_refused(__builtin_return_address(0))) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (is_refused(__builtin_return_address(0)))
        return ENOMEM;
    void *found = memalign(alignment, size);
    if (found == NULL)
        return ENOMEM;
    *memory = found;
    return 0;
}

/* ---- of C++: `new` itself throws, or answers NULL, when its malloc does ---- */

void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow);
void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow);

void *_Znwm(size_t size)
{
    refuse_next = is_refused(__builtin_return_address(0));
    return plan.new_one(size);
}

void *_Znam(size_t size)
{
    refuse_next = is_refused(__builtin_return_address(0));
    return plan.new_many(size);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
    refuse_next = is_refused(__builtin_return_address(0));
    return plan.new_quietly(size, nothrow);
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
    refuse_next = is_refused(__builtin_return_address(0));
    return plan.new_many_quietly(size, nothrow);
}
