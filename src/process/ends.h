/* Logs ends of the process that are not the server's doing, such as a crash or os._exit: each leaves a line that names
 * the request in which it came.
 */
#ifndef WSGI_FCGI_PROCESS_ENDS_H
#define WSGI_FCGI_PROCESS_ENDS_H

/* From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) leaves a line, and then takes its course. Call it
 * before Python starts: Python's fault handler puts itself in front, shows the tracebacks, and passes the signal on to
 * this one. Main thread. */
void ends_install(void);

/* From now on a crash first writes out what was logged before, and what is shown after that never waits for the reader
 * of the log. The thread that crashes may hold the interpreter lock, and the process would otherwise stay for ever
 * without serving. If standard error takes nothing, only the default action is left. Call it when the application is
 * loaded: it puts itself in front of Python's fault handler, or of what the application has set. Main thread. */
void ends_bound(void);

/* The application has called os._exit(status), which is about to end the process; for exit_calls_report. Removes the
 * socket files, and logs. Waits at most a second for the reader of the log. Any thread, GIL held. */
void ends_exit(int status);

#endif
