/* SPDX-License-Identifier: Apache-2.0
 *
 * file: whole-file verbs over the disk door: the loops over short counts and EINTR live here, once.
 * All return 0 or -errno. Any thread.
 */
#ifndef FILE_H
#define FILE_H

#include <stddef.h>
#include <stdint.h>

int file_write(int file, const void *data, size_t size, uint64_t offset);
/* Reads until `size` bytes or the end of the file; *got says which. */
int file_read(int file, void *data, size_t size, uint64_t offset, size_t *got);

#endif
