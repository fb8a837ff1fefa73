/* SPDX-License-Identifier: Apache-2.0
 *
 * weir_operators.h - ready-made sources, transforms and sinks. They stand on weir.h alone: whatever
 * they do, your own operators can do. Each function adds one node to the graph and returns it; bad
 * options become the graph's sticky error. Options are copied; `config` pointers of callbacks are
 * borrowed until the graph is freed.
 */
#ifndef WEIR_OPERATORS_H
#define WEIR_OPERATORS_H

#include "weir_sinks.h"
#include "weir_sources.h"
#include "weir_transforms.h"

#endif
