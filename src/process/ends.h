/* Ends of the process that are not the server's doing: each leaves a line that names the request in which it came. */
#ifndef WSGI_FCGI_PROCESS_ENDS_H
#define WSGI_FCGI_PROCESS_ENDS_H

/* From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) leaves a line, and then takes its course. Call before Python
 * starts: its fault handler puts itself in front, shows the tracebacks, and comes back here. Main thread. */
void ends_install(void);

/* From now on what was logged before goes out first, and nobody who shows more waits for whoever reads the log: the thread
 * that crashes may have the interpreter lock, and the process would stay for ever, without serving. When standard error
 * takes nothing the default action is all there is. Main thread, when the application is loaded: it puts itself in front of
 * Python's fault handler, or what the application has set. */
void ends_bound(void);

/* The application has called os._exit(status), which is about to end the process: for exit_calls_watch. Removes the socket
 * files. Waits a second at most for whoever reads the log. Any thread, GIL held. */
void ends_exit(int status);

#endif
