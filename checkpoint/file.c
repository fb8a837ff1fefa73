/* SPDX-License-Identifier: Apache-2.0 */
#include "file.h"

#include <errno.h>

#include "disk.h"

int file_write(int file, const void *data, size_t size, uint64_t offset)
{
    const unsigned char *from = data;
    while (size > 0) {
        int64_t put = disk_write(file, from, size, offset);
        if (put == -EINTR)
            continue;
        if (put < 0)
            return (int)put;
        if (put == 0)
            return -EIO; /* a file system that takes nothing and says nothing: no endless loop */
        from += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return 0;
}

int file_read(int file, void *data, size_t size, uint64_t offset, size_t *got)
{
    unsigned char *to = data;
    *got = 0;
    while (*got < size) {
        int64_t count = disk_read(file, to + *got, size - *got, offset + *got);
        if (count == -EINTR)
            continue;
        if (count < 0)
            return (int)count;
        if (count == 0)
            return 0;
        *got += (size_t)count;
    }
    return 0;
}
