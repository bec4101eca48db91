/* Logs ends of the process that are not the server's doing, a crash or os._exit: each leaves a line that names the
 * request in which it came.
 */
#ifndef WSGI_FCGI_PROCESS_ENDS_H
#define WSGI_FCGI_PROCESS_ENDS_H

/* From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) leaves a line, and then takes its course. Call it
 * before Python starts: Python's fault handler puts itself in front, shows the tracebacks, and passes the signal on to
 * this one. Main thread. */
void ends_install(void);

/* From now on a crash first waits, at most a second, until what was logged before is written; then, at most another
 * second, until standard error takes something. If either does not happen, only the default action is left: nothing is
 * shown. The thread that crashes may hold the interpreter lock, and if it waited for the reader of the log, the process
 * would stay for ever without serving. Call it when the application is loaded: it puts itself in front of Python's
 * fault handler, or of what the application has set. Main thread. */
void ends_bound(void);

/* The application has called os._exit(status), which is about to end the process; for exit_calls_report. Removes the
 * socket files, and logs. Waits at most a second for the reader of the log; but until log_start_writer the line itself
 * waits for it (base/log.h). Any thread, GIL held. */
void ends_exit(int status);

#endif
