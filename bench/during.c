/* SPDX-License-Identifier: Apache-2.0
 *
 * during: runs a command, and then says, as the other programs here do of themselves, how much of
 * the machine others had meanwhile. Its exit code is the command's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "results.h"

#define BY_SIGNAL 128 /* as shells say it */

int main(int argc, char **argv)
{
    struct machine_time began = machine_read();
    int status;
    if (argc < 2) {
        fprintf(stderr, "usage: during COMMAND [ARGUMENT]...\n");
        return 2;
    }
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execvp(argv[1], argv + 1);
        fprintf(stderr, "during: %s: %s\n", argv[1], strerror(errno));
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        fprintf(stderr, "during: %s\n", strerror(errno));
        return 1;
    }
    results_use(machine_use(began, machine_read()));
    return WIFEXITED(status) ? WEXITSTATUS(status) : BY_SIGNAL + WTERMSIG(status);
}
