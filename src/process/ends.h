/* Ends of the process that are not the server's doing: each leaves a line that names the request in which it came. */
#ifndef WSGI_FCGI_PROCESS_ENDS_H
#define WSGI_FCGI_PROCESS_ENDS_H

/* From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) leaves a line, and then takes its course. Call before Python
 * starts: its fault handler puts itself in front, shows the tracebacks, and comes back here. Main thread. */
void ends_install(void);

/* The application has called os._exit(status), which is about to end the process: for end_calls_watch. Removes the socket
 * files. Any thread, GIL held. */
void ends_exit(int status);

#endif
