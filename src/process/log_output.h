/* Where the log goes: --log-file, with the lines about it. The supervisor, too.
 *
 * Threads: see each function. No function needs the GIL.
 */
#ifndef WSGI_FCGI_PROCESS_LOG_OUTPUT_H
#define WSGI_FCGI_PROCESS_LOG_OUTPUT_H

#include "cli/options.h"
#include "process/user.h"

/* Lets standard error go to the file of --log-file, if there is one; not with --check, which is for somebody who looks
 * at its output. The user gets the file if it is made. Returns 0; or EX_CANTCREAT after an error line, which still goes
 * to what standard error was. Main thread, while there is only one. */
int log_output_open(const struct options *o, const struct user *user);

/* The same for a worker, whose standard error its supervisor has opened. */
void log_output_inherit(const struct options *o);

/* Opens that file anew, because of SIGUSR1, and logs how that went; without such a file it does nothing. A worker may
 * not be allowed to: its supervisor has opened it, and `sent` is that descriptor, which stays the caller's; -1: none was
 * sent. Any thread, one at a time; waits for the file system. */
void log_output_reopen(int sent);

#endif
