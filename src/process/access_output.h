/* Where the access log goes: --access-log and --access-log-format, with the lines about them. The supervisor, too,
 * which opens the file for its workers.
 *
 * Threads: see each function. No function needs the GIL.
 */
#ifndef WSGI_FCGI_PROCESS_ACCESS_OUTPUT_H
#define WSGI_FCGI_PROCESS_ACCESS_OUTPUT_H

#include "cli/options.h"
#include "process/user.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct access_log;

/* Checks the format, and opens the file if the log goes to one; not with --check, which makes nothing. The user gets
 * the file if it is made, with mode 0640. Returns 0, or a sysexits status after printing. Main thread, while there is
 * only one. */
int access_output_open(const struct options *o, const struct user *user);

/* The descriptor of that file, which stays this module's; -1: the log goes to none. */
int access_output_fd(void);

/* The file of the supervisor, which a worker does not open: at first, and when it was opened anew. The descriptor stays
 * the caller's. Returns 0, or -1 with errno. */
int access_output_take(int fd);

/* Starts what writes the lines. `worker`: its number; -1: the process is none. `lost`: where lost lines are counted for
 * others, as long as the process; NULL: nowhere. *log is NULL without --access-log, and stays as long as the process.
 * Returns 0, or a sysexits status after printing. Main thread, once, where threads may be started. */
int access_output_start(const struct options *o, int worker, _Atomic uint64_t *lost, struct access_log **log);

/* Opens the file anew, because of SIGUSR1, and logs how that went; does nothing without a file that this process has
 * opened. Any thread, one at a time; waits for the file system. */
void access_output_reopen(void);

/* Waits until all lines are written, but at most a second. Async-signal-safe. errno is preserved. */
void access_output_flush(void);

#endif
