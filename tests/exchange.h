/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange: writers and a reader on threads of their own pass batches and credits through the
 * doors, as tasks do. Without Criterion, so that it runs under ThreadSanitizer over whichever
 * transport it is linked with.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>

/* Aborts when something is not as it should be. Prints one line with the rate. */
void exchange_run(bool network, unsigned batches);

#endif
