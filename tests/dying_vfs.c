/* SPDX-License-Identifier: Apache-2.0 */
#include "dying_vfs.h"
#include "fake_context.h"

#include <sqlite3.h>
#include <stdlib.h>

bool dying_vfs_full;
unsigned dying_vfs_fail_at;

struct shim {
    sqlite3_file base;
    sqlite3_file real; /* and more behind it, as the system's szOsFile says */
};

static sqlite3_vfs *system_vfs(const sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return &((struct shim *)(void *)file)->real;
}

static bool dead(void)
{
    return fake_file_calls > fake_file_limit;
}

/* False when the process is dead, or this call is to fail. */
static bool alive(void)
{
    if (dying_vfs_fail_at > 0 && --dying_vfs_fail_at == 0)
        return false;
    return ++fake_file_calls <= fake_file_limit;
}

static int shim_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int shim_read(sqlite3_file *file, void *data, int size, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    return dead() ? SQLITE_IOERR_READ : real->pMethods->xRead(real, data, size, offset);
}

static int shim_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    if (dying_vfs_full)
        return SQLITE_FULL;
    if (alive())
        return real->pMethods->xWrite(real, data, size, offset);
    if (fake_file_calls == fake_file_limit + 1 && size > 1)
        real->pMethods->xWrite(real, data, size / 2, offset);
    return SQLITE_IOERR_WRITE;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_file *real = real_of(file);
    return alive() ? real->pMethods->xTruncate(real, size) : SQLITE_IOERR_TRUNCATE;
}

/* The page cache outlives a process: a sync that is due changes nothing here, but may be died in.
 */
static int shim_sync(sqlite3_file *file, int flags)
{
    sqlite3_file *real = real_of(file);
    return alive() ? real->pMethods->xSync(real, flags) : SQLITE_IOERR_FSYNC;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileSize(real, size);
}

static int shim_lock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xLock(real, level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xUnlock(real, level);
}

static int shim_check(sqlite3_file *file, int *answer)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xCheckReservedLock(real, answer);
}

static int shim_control(sqlite3_file *file, int what, void *argument)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileControl(real, what, argument);
}

static int shim_sector(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xSectorSize(real);
}

static int shim_device(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xDeviceCharacteristics(real);
}

static int shim_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmMap(real, page, size, extend, memory);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmLock(real, offset, count, flags);
}

static void shim_barrier(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    real->pMethods->xShmBarrier(real);
}

static int shim_unmap(sqlite3_file *file, int delete)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmUnmap(real, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_device,
    .xShmMap = shim_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_barrier,
    .xShmUnmap = shim_unmap,
};

static int shim_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *file, int flags,
                     int *given)
{
    sqlite3_file *real = real_of(file);
    file->pMethods = NULL;
    if (flags & SQLITE_OPEN_CREATE ? !alive() : dead())
        return SQLITE_CANTOPEN;
    int answer = system_vfs(vfs)->xOpen(system_vfs(vfs), path, real, flags, given);
    if (answer == SQLITE_OK)
        file->pMethods = &methods;
    return answer;
}

static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    return alive() ? system_vfs(vfs)->xDelete(system_vfs(vfs), path, sync) : SQLITE_IOERR_DELETE;
}

void dying_vfs_install(void)
{
    static sqlite3_vfs vfs;
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (!real || vfs.zName)
        abort();
    vfs = *real;
    vfs.pNext = NULL;
    vfs.zName = "dying";
    vfs.pAppData = real;
    vfs.szOsFile = (int)sizeof(sqlite3_file) + real->szOsFile;
    vfs.xOpen = shim_open;
    vfs.xDelete = shim_delete;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
}
