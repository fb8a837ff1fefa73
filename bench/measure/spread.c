/* SPDX-License-Identifier: Apache-2.0
 *
 * spread: see spread.h.
 */
#include "spread.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(const double *values, int count)
{
    double sorted[SPREAD_MOST];
    assert(count >= 1 && count <= SPREAD_MOST);
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    int middle = count / 2;
    double median = count % 2 == 1 ? sorted[middle] : sorted[middle - 1] / 2 + sorted[middle] / 2;
    return (struct spread){.median = median, .least = sorted[0], .most = sorted[count - 1]};
}

bool paired_add(struct paired *paired, double value, double against)
{
    if (paired->rounds == SPREAD_MOST || !(against > 0))
        return false;
    paired->ratio[paired->rounds++] = value / against;
    return true;
}

struct spread paired_spread(const struct paired *paired)
{
    return spread_of(paired->ratio, paired->rounds);
}

bool paired_sees_none(const struct paired *paired)
{
    struct spread spread = paired_spread(paired);
    return spread.least <= 1 && spread.most >= 1;
}
