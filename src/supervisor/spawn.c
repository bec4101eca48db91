#include "config.h"

#include "supervisor/spawn.h"

#include "cli/config_file.h"
#include "ipc/control.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VARIABLE_SIZE = 64 };

/* What the process of a worker finds open. */
struct handed {
    int control, config; /* config -1: none */
    char control_variable[VARIABLE_SIZE], config_variable[VARIABLE_SIZE];
};

/* Whether the variable is the one that `with` sets. */
static bool is_variable(const char *variable, const char *with) {
    return !strncmp(variable, with, strcspn(with, "=") + 1);
}

/* The environment with the variables of *h. Its memory is one block, besides these. NULL: there is none. */
static char **environment_with(struct handed *h) {
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    char **all = calloc(count + 3, sizeof *all);
    if (!all)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!is_variable(environ[i], h->control_variable) && !is_variable(environ[i], h->config_variable))
            all[n++] = environ[i];
    }
    all[n++] = h->control_variable;
    if (h->config >= 0)
        all[n] = h->config_variable;
    return all;
}

int spawn_command(pid_t *pid, const struct command *command, char *const *environment,
                  const posix_spawn_file_actions_t *actions) {
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(pid, command->file, actions, &attributes, command->argv, environment);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* A duplicate on its own number is what makes it stay open. */
int spawn_pass(posix_spawn_file_actions_t *actions, int fd) {
    return posix_spawn_file_actions_adddup2(actions, fd, fd);
}

/* Returns an errno, or 0. */
static int spawn(pid_t *pid, const struct command *command, char *const *environment, const struct handed *h) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = spawn_pass(&actions, h->control);
    if (!error && h->config >= 0)
        error = spawn_pass(&actions, h->config);
    if (!error)
        error = spawn_command(pid, command, environment, &actions);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

pid_t spawn_worker(const struct command *command, int control, int config) {
    struct handed h = {.control = control, .config = config};
    pid_t pid = -1;
    snprintf(h.control_variable, sizeof h.control_variable, CONTROL_ENV "=%d", control);
    snprintf(h.config_variable, sizeof h.config_variable, CONFIG_FILE_ENV "=%d", config);
    char **environment = environment_with(&h);
    int error = environment ? spawn(&pid, command, environment, &h) : ENOMEM;
    free(environment);
    errno = error;
    return error ? -1 : pid;
}
