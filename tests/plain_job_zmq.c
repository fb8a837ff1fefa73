/* links: zmq whole_job */
/* SPDX-License-Identifier: Apache-2.0 */
#include "whole_job.h"

int main(void)
{
    whole_job_run("inproc", 20000);
    whole_job_run("tcp://127.0.0.1", 20000);
    whole_job_run_round("inproc", 10000);
    whole_job_run_round("tcp://127.0.0.1", 10000);
    return 0;
}
