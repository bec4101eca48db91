/* What the parts of a connection know of each other. Owner only, but for what says that the lock is held.
 *
 *     conn.c           its life, what it reads, how the loop polls it, how it stands for others (enum conn_rest)
 *     conn_linger.c    CONN_LINGERING: its side is shut down, and what its peer still sends is dropped
 *     conn_out.c       what is sent, what waits for the peer, and how the loop follows that
 *     conn_transmit.c  threads that send, and take turns
 *
 * They call each other both ways: output that cannot be sent ends the connection, whose end wakes the threads.
 */
#ifndef WSGI_FCGI_NET_CONN_IMPL_H
#define WSGI_FCGI_NET_CONN_IMPL_H

#include "net/conn.h"

/* conn.c */

/* Has the loop look for these events, too. */
void conn_poll_for(struct conn *c, ev_io *watcher);

/* libev has stopped both watchers, because epoll_ctl(2) failed: nothing would be heard of the connection any more. */
void conn_not_polled(struct conn *c);

/* errno of a system call: what is no socket any more is the application's, and nothing may be sent there, nor may it be
 * closed. Any thread. */
void conn_note_lost(const struct conn *c, int error);

/* conn_linger.c */

/* All was sent: begins to wait for the end of the peer's side. */
void conn_linger(struct conn *c);

/* Something came. */
void conn_linger_touch(struct conn *c);

/* It is about to be closed. */
void conn_linger_ends(struct conn *c);

/* Nobody wants these bytes. Who sends them gets to its answer, if it comes to an end some day. */
void conn_drop_input(struct conn *c, size_t len);

/* conn_out.c */

void conn_write_cb(struct ev_loop *loop, ev_io *w, int revents);

/* Sends or keeps the pieces; out_error says when nothing can be sent any more. `more`: MSG_MORE or 0. The lock is held. */
void conn_send_or_keep(struct conn *c, const struct iovec *pieces, unsigned count, int more);

/* Follows the output: the only place that starts or stops the write watcher of an open connection. `error`: out_error. */
void conn_output_settle(struct conn *c, int error, bool waiting);

/* Unlocks, and follows the output. Returns whether any waits for the peer. The lock is held. */
bool conn_output_unlock(struct conn *c);

/* The peer need not take anything any more. */
void conn_out_forget(struct conn *c);

/* conn_transmit.c */

/* Wakes the thread whose turn it is, once there is room; all of them when nothing can be sent any more. The lock is held. */
void conn_turns_wake(struct conn *c);

#endif
