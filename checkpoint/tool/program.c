/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* It writes into files, which never fill up as pipes do. */
static int start(char *const *argv, FILE *out, FILE *said, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(&actions, fileno(said), STDERR_FILENO);
    if (result == 0)
        result = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

static int await(pid_t pid, int *code)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 0;
}

static int read_all(FILE *from, char **text, size_t *size)
{
    long end = fseek(from, 0, SEEK_END) == 0 ? ftell(from) : -1;
    if (end < 0)
        return errno;
    rewind(from);
    *text = calloc(1, (size_t)end + 1);
    if (*text == NULL)
        return ENOMEM;
    *size = fread(*text, 1, (size_t)end, from);
    return ferror(from) ? EIO : 0;
}

int program_run(struct program *program, char *const *argv)
{
    FILE *out = tmpfile(), *said = tmpfile();
    char *text = NULL;
    size_t size = 0;
    pid_t pid;
    *program = (struct program){.code = -1};
    int result = out == NULL || said == NULL ? errno : start(argv, out, said, &pid);
    if (result == 0)
        result = await(pid, &program->code);
    if (result == 0)
        result = read_all(out, &program->out, &program->out_size);
    if (result == 0)
        result = read_all(said, &text, &size);
    if (result == 0)
        snprintf(program->complaint, sizeof program->complaint, "%.*s", (int)strcspn(text, "\n"),
                 text);
    free(text);
    if (out != NULL)
        fclose(out);
    if (said != NULL)
        fclose(said);
    return result;
}

void program_free(struct program *program)
{
    free(program->out);
    program->out = NULL;
}
