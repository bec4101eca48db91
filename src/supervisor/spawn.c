#include "config.h"

#include "supervisor/spawn.h"

#include "ipc/control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The environment with one more variable. Its memory is one block, besides `variable`. NULL: there is none. */
static char **environment_with(char *variable) {
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    char **all = calloc(count + 2, sizeof *all);
    if (!all)
        return NULL;
    const size_t name = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], variable, name) != 0)
            all[n++] = environ[i];
    }
    all[n] = variable;
    return all;
}

int spawn_program(pid_t *pid, const char *program, char *const *argv, char *const *environment,
                  const posix_spawn_file_actions_t *actions) {
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(pid, program, actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* A duplicate on its own number is what makes it stay open. */
int spawn_pass(posix_spawn_file_actions_t *actions, int fd) {
    return posix_spawn_file_actions_adddup2(actions, fd, fd);
}

/* Returns an errno, or 0. */
static int spawn(pid_t *pid, const char *program, char *const *argv, char *const *environment, int control) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = spawn_pass(&actions, control);
    if (!error)
        error = spawn_program(pid, program, argv, environment, &actions);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

pid_t spawn_worker(const char *program, char *const *argv, int control) {
    char variable[64];
    pid_t pid = -1;
    snprintf(variable, sizeof variable, CONTROL_ENV "=%d", control);
    char **environment = environment_with(variable);
    int error = environment ? spawn(&pid, program, argv, environment, control) : ENOMEM;
    free(environment);
    errno = error;
    return error ? -1 : pid;
}
