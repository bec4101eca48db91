/* Messages with descriptors (SCM_RIGHTS, unix(7)) on sockets of the type SOCK_SEQPACKET: each arrives whole, with its
 * descriptors, or not at all.
 *
 * Ownership: what is sent is duplicated, and stays open at the sender. What is received is close-on-exec and one of the
 * server's descriptors (base/descriptors.h), which the receiver closes.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_IPC_FD_SOCKET_H
#define WSGI_FCGI_IPC_FD_SOCKET_H

#include <sys/types.h>
#include <sys/uio.h>

enum { FD_SOCKET_FDS = 4 /* descriptors of one message, at most */ };

/* Makes a pair of non-blocking, close-on-exec sockets, which are the server's descriptors. Returns 0, or -1 with
 * errno. */
int fd_socket_pair(int pair[static 2]);

/* Sends one message. Returns 0; or -1 with errno, and nothing was sent: EAGAIN when the queue is full, ETOOMANYREFS
 * when too many descriptors of this user are under way (more than RLIMIT_NOFILE; unix(7)), EPIPE when nobody can
 * receive. */
int fd_socket_send(int socket, const struct iovec *parts, unsigned nparts, const int *fds, unsigned nfds);

/* Receives one message of at most `size` bytes into `buf`, and its descriptors into `fds`, which has room for
 * FD_SOCKET_FDS. Returns its length, and how many descriptors came in *nfds; 0 when nobody can send any more, or for an
 * empty message, which nobody has a reason to send; or -1 with
 * errno: EAGAIN when there is none, EMSGSIZE when it was longer, EMFILE when there was no room for all of its
 * descriptors, which the kernel has closed then. A message that was received in part is gone, and so are its
 * descriptors. */
ssize_t fd_socket_receive(int socket, void *buf, size_t size, int fds[static FD_SOCKET_FDS], unsigned *nfds);

#endif
