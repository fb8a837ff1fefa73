/* SPDX-License-Identifier: Apache-2.0
 *
 * files: a file system in memory with two views. What programs see is the *cached* view; what was
 * synced is the *durable* one. A crash makes a new cached view: the durable one and a drawn subset
 * of what was not synced. Pure: no faults, no descriptors, no trace; disk.c has those.
 *
 * A node lives until files_wipe, named or not, so a descriptor may outlive a name.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_bytes {
    unsigned char *data;
    size_t size;
    size_t room;
};

struct file_entry {
    char *name;
    uint64_t hash; /* of the name: most comparisons end here */
    struct file_node *node;
};

struct file_entries {
    struct file_entry *list;
    size_t count;
};

/* A change of a folder that was not synced. */
struct file_change {
    char *removed; /* or NULL */
    char *added;   /* or NULL; both: a rename, which happens whole or not at all */
    struct file_node *node;
};

struct file_node {
    uint64_t id;
    bool folder;
    bool lying; /* a sync failed: the kernel believes it is clean */
    uint32_t mode;
    int64_t modified_ns;
    int lock; /* descriptor that holds it, or -1 */
    struct file_node *parent;
    struct file_node *next; /* of all */

    struct file_bytes cached, durable;        /* of a file */
    struct file_entries names, durable_names; /* of a folder */
    struct file_change *changes;
    size_t change_count;
};

struct file_node *files_root(void);
void files_wipe(void);
uint64_t files_size(void); /* bytes of all named files */

struct file_node *files_find(const struct file_node *folder, const char *name);
/* The name must be free. */
struct file_node *files_add(struct file_node *folder, const char *name, bool folder_kind);
void files_remove(struct file_node *folder, const char *name);
/* Replaces what `to` names. */
void files_rename(struct file_node *from_folder, const char *from, struct file_node *to_folder,
                  const char *to);
void files_write(struct file_node *file, const void *data, size_t size, size_t offset);
void files_sync(struct file_node *node);
/* `draw` gives 0 .. below - 1. */
void files_crash(uint64_t (*draw)(void *context, uint64_t below), void *context);

#endif
