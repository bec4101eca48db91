/* The event loop of a lane, and the descriptors that libev has for it. */
#ifndef WSGI_FCGI_NET_LOOP_H
#define WSGI_FCGI_NET_LOOP_H

#include <ev.h>

/* New loop with all the descriptors that it will need, which are then the server's (base/descriptors.h). Call while no other
 * thread opens any: libev does not say which numbers it has. Returns NULL with errno. */
struct ev_loop *loop_new(void);

/* Frees it, if there is one. */
void loop_free(struct ev_loop *loop);

#endif
