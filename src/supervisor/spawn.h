/* Executes programs in processes of their own.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_SPAWN_H
#define WSGI_FCGI_SUPERVISOR_SPAWN_H

#include "supervisor/command.h"

#include <spawn.h>
#include <sys/types.h>

/* Executes the program in a process that blocks no signal. Returns 0 with its number in *pid; or an errno. */
int spawn_command(pid_t *pid, const struct command *command, char *const *environment,
                  const posix_spawn_file_actions_t *actions);

/* Lets a descriptor stay open in the program that is executed. Returns 0, or an errno. */
int spawn_pass(posix_spawn_file_actions_t *actions, int fd);

/* Makes the process of a worker, or of a zygote: executes the program, which finds the descriptor `control`
 * open, by CONTROL_ENV (ipc/control.h), and the configuration file `config` as CONFIG_FILE_ENV says (cli/config_file.h),
 * unless that is -1. The caller closes `control`. Returns the process; or -1 with errno. */
pid_t spawn_worker(const struct command *command, int control, int config);

#endif
