/* SPDX-License-Identifier: Apache-2.0
 *
 * pacing: see pacing.h. Whole seconds and the rest apart, so that 64 bits are enough.
 */
#include "pacing.h"

#define SECOND UINT64_C(1000000000)

int64_t pacing_intended(const struct pacing *pacing, uint64_t number)
{
    uint64_t seconds = number / pacing->per_second, rest = number % pacing->per_second;
    return pacing->start_ns + (int64_t)(seconds * SECOND + rest * SECOND / pacing->per_second);
}

/* n is due when floor(n * SECOND / rate) <= passed, that is n * SECOND < (passed + 1) * rate: so
 * many are due as that quotient, rounded up. */
uint64_t pacing_due(const struct pacing *pacing, int64_t now_ns, uint64_t most)
{
    if (now_ns < pacing->start_ns)
        return 0;
    uint64_t passed = (uint64_t)(now_ns - pacing->start_ns) + 1;
    uint64_t due = passed / SECOND * pacing->per_second +
                   (passed % SECOND * pacing->per_second + SECOND - 1) / SECOND;
    uint64_t left = due > pacing->taken ? due - pacing->taken : 0;
    return left < most ? left : most;
}
