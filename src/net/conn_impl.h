/* What the files of a connection share. Private to them. Owner only, except where the lock is said to be held.
 *
 *     conn.c           its life, reading, polling, and how busy it is (enum conn_rest)
 *     conn_linger.c    CONN_LINGERING: the server's side is shut down, and what the peer still sends is dropped
 *     conn_out.c       sending, output that waits for the peer, and how the loop follows it
 *     conn_rate.c      whether the peer takes its output fast enough
 *     conn_transmit.c  threads that send, and take turns
 *
 * They call each other in both directions: output that cannot be sent ends the connection, and the end of the
 * connection wakes the threads.
 */
#ifndef WSGI_FCGI_NET_CONN_IMPL_H
#define WSGI_FCGI_NET_CONN_IMPL_H

#include "net/conn.h"

/* conn.c */

/* Makes the loop poll for these events, too. */
void conn_poll_for(struct conn *c, ev_io *watcher);

/* libev has stopped both watchers because epoll_ctl(2) failed: no events of the connection would come any more. */
void conn_not_polled(struct conn *c);

/* Looks at the errno of a system call. If the descriptor is no socket any more, it belongs to the application: nothing
 * may be sent there, and it must not be closed. Any thread. */
void conn_note_lost(const struct conn *c, int error);

/* conn_linger.c */

/* All output was sent: starts waiting for the end of the peer's side. */
void conn_linger(struct conn *c);

/* Input came. */
void conn_linger_touch(struct conn *c);

/* The connection is about to be closed. */
void conn_linger_ends(struct conn *c);

/* Drops input that nobody wants. A peer that finishes sending then gets to read its answer. */
void conn_drop_input(struct conn *c, size_t len);

/* conn_out.c */

void conn_write_cb(struct ev_loop *loop, ev_io *w, int revents);

/* Sends or keeps the pieces; out_error tells when nothing can be sent any more. `more`: MSG_MORE or 0. The lock is
 * held. */
void conn_send_or_keep(struct conn *c, const struct iovec *pieces, unsigned count, int more);

/* Whether so many bytes may be kept without trying to send them: they are few, and no others wait for the peer. The lock
 * is held. */
bool conn_may_collect(const struct conn *c, size_t len);

/* Keeps them, if that may be and there is memory. Returns whether it does. The lock is held. */
bool conn_collect(struct conn *c, const void *data, size_t len);

/* Brings the loop up to date with the output: the only place that starts or stops the write watcher of an open
 * connection. `error`: out_error. */
void conn_output_settle(struct conn *c, int error, bool waiting);

/* Unlocks, and brings the loop up to date. Returns whether output waits for the peer. The lock is held. */
bool conn_output_unlock(struct conn *c);

/* Starts, or restarts, the time that the peer has to take output. What the peer sends meanwhile does not count. */
void conn_out_touch(struct conn *c);

/* Stops timing the peer: it need not take output any more. */
void conn_out_forget(struct conn *c);

/* conn_rate.c */

/* Output waits for the peer from now on: begins to follow what it takes. conn_rate_ends: none does any more. */
void conn_rate_begins(struct conn *c);
void conn_rate_ends(struct conn *c);

/* Asks the system what the peer has taken since this was last asked. Returns how many bytes; below 0 when the system
 * counts what it needs besides, as it does on a Unix socket. */
int64_t conn_rate_ask(struct conn *c);

/* What a log line says about the pace of a peer that was too slow; "" for any other reason. */
enum { CONN_RATE_TEXT_SIZE = 80 };
const char *conn_rate_text(const struct conn *c, const struct conn_reason *reason,
                           char out[static CONN_RATE_TEXT_SIZE]);

/* conn_transmit.c */

/* Wakes the thread whose turn it is, once there is room; or all threads, when nothing can be sent any more. The lock is
 * held. */
void conn_turns_wake(struct conn *c);

#endif
