/* SPDX-License-Identifier: Apache-2.0
 *
 * verb: what the command line may begin with. The table of them is weir.c's.
 */
#ifndef VERB_H
#define VERB_H

#include "tool.h"

struct verb {
    const char *name, *words, *about;
    /* Lines for --help: first what it does, then its options, "  --name VALUE   what it says",
     * where lines that go on begin with more blanks. The manual and the completion are made of it.
     */
    const char *more;
    int least, most; /* words */
    unsigned allowed;
    int (*run)(struct tool *tool);
};

#endif
