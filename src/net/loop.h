/* Creates and frees the event loop of a lane, and keeps track of libev's descriptors. */
#ifndef WSGI_FCGI_NET_LOOP_H
#define WSGI_FCGI_NET_LOOP_H

#include <ev.h>

/* Makes a loop with all descriptors that it will need, and registers them as the server's (base/descriptors.h). Call it
 * while no other thread opens descriptors, because libev does not tell which numbers it has. Returns NULL with
 * errno. */
struct ev_loop *loop_new(void);

/* Takes a descriptor out of epoll(7). Call this before closing a descriptor that the loop has polled; its watchers are
 * stopped.
 *
 * libev leaves it there, relying on the kernel to remove it when the file is closed. But the file stays open as long as
 * another process has it, such as a child between fork(2) and its handlers, or between vfork(2) and execve(2). At the
 * first event of such a file, libev would make another epoll descriptor, of which base/descriptors.h knows nothing. One
 * system call. Owner only; errno is preserved. */
void loop_forget(struct ev_loop *loop, int fd);

/* Frees the loop, if it is not NULL, and closes its descriptors. Main thread, not in a child, and only when all other
 * threads that ran the loop or sent it something have ended. The GIL is not needed, and may be held. */
void loop_free(struct ev_loop *loop);

#endif
