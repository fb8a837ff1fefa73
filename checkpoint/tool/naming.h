/* SPDX-License-Identifier: Apache-2.0
 *
 * naming: names for SQL and for files: letters, digits and underscores, no two of one naming the
 * same, big and small letters taken for one. What has another sign gets an underscore; what is
 * taken already, a number behind it: "a-b" and "a_b" become a_b and a_b_2, in the order asked.
 */
#ifndef NAMING_H
#define NAMING_H

#include <stdbool.h>
#include <stddef.h>

#define NAMING_SIZE 192u

/* Zeroed to begin with. */
struct naming {
    char (*taken)[NAMING_SIZE];
    size_t count, room;
};

/* What is too long is cut. False: no memory. */
bool naming_take(struct naming *naming, const char *wanted, char name[NAMING_SIZE]);
void naming_free(struct naming *naming);

#endif
