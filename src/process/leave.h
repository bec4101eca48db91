/* What a process would leave behind: the files of its sockets, and its pid file.
 *
 * Threads: any, and in signal handlers.
 */
#ifndef WSGI_FCGI_PROCESS_LEAVE_H
#define WSGI_FCGI_PROCESS_LEAVE_H

/* Removes those that this process has made; before an end that nothing else comes after. */
void leave_nothing(void);

#endif
