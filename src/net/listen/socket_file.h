/* The file of a listening Unix socket. It accepts nobody before it is complete, and is removed only while it is the
 * server's.
 *
 * Threads: as in listener.h.
 */
#ifndef WSGI_FCGI_NET_LISTEN_SOCKET_FILE_H
#define WSGI_FCGI_NET_LISTEN_SOCKET_FILE_H

#include "net/listen/listener.h"

/* Fills *l with a listening socket whose file is at the path of `a` (ADDRESS_UNIX). Returns 0; or, after one log_error
 * line, a sysexits status of listener_open, with *l unchanged. */
int socket_file_open(struct listener *l, const struct address *a, const struct listener_settings *settings);

/* Removes the file of `l`, if it has one, this process owns it, and it is still the file that was made.
 * Async-signal-safe. */
void socket_file_unlink(const struct listener *l);

#endif
