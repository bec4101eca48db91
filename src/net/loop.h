/* The event loop of a lane, and the descriptors that libev has for it. */
#ifndef WSGI_FCGI_NET_LOOP_H
#define WSGI_FCGI_NET_LOOP_H

#include <ev.h>

/* New loop with all the descriptors that it will need, which are then the server's (base/descriptors.h). Call while no other
 * thread opens any: libev does not say which numbers it has. Returns NULL with errno. */
struct ev_loop *loop_new(void);

/* To be called before a descriptor is closed that the loop has polled, and whose watchers are stopped: libev leaves it in
 * the epoll(7), for the end of the file takes it out of there. But the file lives on while somebody else has it, such as a
 * child between fork(2) and its handlers, or vfork(2) and execve(2); and at the first event of it libev would make another
 * epoll, of which descriptors.h knows nothing. One system call. Owner only; errno is left alone. */
void loop_forget(struct ev_loop *loop, int fd);

/* Frees it, if there is one, and closes its descriptors. Main thread, when all others have ended that ran it or sent it
 * something, and not in a child. The GIL is not needed, and may be held. */
void loop_free(struct ev_loop *loop);

#endif
