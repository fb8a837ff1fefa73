/* SPDX-License-Identifier: Apache-2.0
 *
 * descriptor: this folder's door to what is no file: pipes, terminals, sockets. All other files
 * here see ISO C alone. Nothing blocks, raises a signal, or changes a flag of a descriptor that
 * others share.
 */
#ifndef DESCRIPTOR_H
#define DESCRIPTOR_H

#include "weir.h"

enum descriptor_found {
    DESCRIPTOR_BYTES,   /* *got of them, at least 1 */
    DESCRIPTOR_NOTHING, /* at the moment */
    DESCRIPTOR_END,
    DESCRIPTOR_FAILED, /* *os_error says how */
};

/* A file with bytes at offsets, that can be read again from any. */
bool descriptor_is_file(int fd);
enum descriptor_found descriptor_read_at(int fd, uint64_t offset, void *data, size_t room,
                                         size_t *got, int *os_error);
/* Standard input and the like. It may be shared, so it is asked first and not made non-blocking:
 * who else reads from it can make this wait. */
enum descriptor_found descriptor_read(int fd, void *data, size_t room, size_t *got, int *os_error);

/* ---- sockets; descriptors are -1 when there is none ---- */

/* Listens on a Unix socket, mode 0600, or on a port of 127.0.0.1 when path is NULL. A socket file
 * nobody listens on is replaced; another file is not. -1 and *error when it can't. */
int descriptor_listen(const char *path, uint16_t port, int backlog, struct weir_error *error);
/* Removes a listening socket's file; one that somebody else has put there, too, if he was quick. */
void descriptor_remove(const char *path);
/* The next client, or -1: nobody waits, or *os_error is set. */
int descriptor_accept(int listener, int *os_error);
enum descriptor_found descriptor_receive(int fd, void *data, size_t room, size_t *got,
                                         int *os_error);
/* As much as goes at once; 0 when nothing does or the peer is gone, which receive will tell. */
size_t descriptor_send(int fd, const void *data, size_t size);
void descriptor_close(int fd);

/* A set of descriptors that is itself one: readable when one of them has something. `tag` comes
 * back with it. -1, or false, with *os_error. */
int descriptor_watch_new(int *os_error);
bool descriptor_watch(int set, int fd, uint32_t tag, bool also_writable, int *os_error);
/* Changes what is waited for. */
void descriptor_watch_for(int set, int fd, uint32_t tag, bool readable, bool also_writable);
/* Which have something now; their tags, at most `room`. */
size_t descriptor_ready(int set, uint32_t *tags, size_t room);

#endif
