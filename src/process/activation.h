/* Sockets that systemd has opened for this process: socket activation (sd_listen_fds(3)).
 *
 * LISTEN_FDS says how many there are, from descriptor 3 on, LISTEN_PID for which process, and LISTEN_FDNAMES how the
 * socket unit calls them. libsystemd reads this; it is loaded only where there are some, and is gone before the
 * application is loaded.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_ACTIVATION_H
#define WSGI_FCGI_PROCESS_ACTIVATION_H

#include "net/listen/listener.h"

#include <stdbool.h>
#include <stddef.h>

/* Finds out what was passed to this process, and removes the variables: the application does not see them. Call it once,
 * before anything forks. Returns 0, or a sysexits status after one log_error line. What it found is kept, for the
 * functions below. */
int activation_take(void);

/* How many were passed. */
size_t activation_count(void);

/* Appends them to *set, except those that `is_named` says the options name (fd:N). A socket whose name begins with
 * "http" speaks HTTP, others FastCGI. Returns 0, or a sysexits status after one log_error line. */
int activation_open(struct listener_set *set, bool (*is_named)(const void *arg, int fd), const void *arg);

#endif
