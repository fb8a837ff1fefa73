/* links: zmq exchange */
/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

int main(void)
{
    exchange_run(false, 20000);
    exchange_run(true, 5000);
    return 0;
}
