/* Writes pieces to a descriptor, however few of them the system takes at a time.
 *
 * Threads: any. Async-signal-safe, unless it waits.
 */
#ifndef WSGI_FCGI_BASE_WRITE_ALL_H
#define WSGI_FCGI_BASE_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Writes all `n` pieces, in one call unless the kernel takes less, and changes `iov`. `wait`: even if the descriptor is
 * set not to block. Returns how many bytes were written; if that is not all, errno says why. */
size_t write_all(int fd, struct iovec *iov, int n, bool wait);

#endif
