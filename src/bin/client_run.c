/* Commands of the user's that watch and lock run. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bin/client.h"

extern char **environ;

/* Ours with some more in front: the first of a name counts. */
static char **environment(qr_client *client, const char *const *variables)
{
    size_t more = 0, ours = 0;
    while (variables[more])
        more++;
    while (environ[ours])
        ours++;
    char **all = qr_arena_zero(&client->arena, more + ours + 1, sizeof *all);
    memcpy(all, variables, more * sizeof *all);
    memcpy(all + more, environ, ours * sizeof *all);
    return all;
}

pid_t qr_client_run(qr_client *client, const char *const *command, const char *const *variables,
                    bool own_group, const char **sentence)
{
    sigset_t none, terminal, before;
    sigemptyset(&none);
    sigemptyset(&terminal);
    sigaddset(&terminal, SIGTTOU);
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, (short)(POSIX_SPAWN_SETSIGMASK | (own_group ? POSIX_SPAWN_SETPGROUP : 0)));
    posix_spawnattr_setsigmask(&how, &none);
    pid_t child = 0;
    int error =
        posix_spawnp(&child, command[0], NULL, &how, (char *const *)command, environment(client, variables));
    posix_spawnattr_destroy(&how);
    if (error) {
        *sentence = qr_arena_format(&client->arena, "%s cannot be run: %s", command[0], strerror(error));
        return 0;
    }
    if (own_group && isatty(STDIN_FILENO)) { /* or it would be stopped for reading */
        sigprocmask(SIG_BLOCK, &terminal, &before);
        tcsetpgrp(STDIN_FILENO, child);
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    return child;
}

int qr_client_exit_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
