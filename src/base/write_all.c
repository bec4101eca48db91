#include "config.h"

#include "base/write_all.h"

#include <errno.h>
#include <poll.h>

static void skip(struct iovec **iov, int *n, size_t written) {
    while (*n > 0 && written >= (*iov)->iov_len) {
        written -= (*iov)->iov_len;
        ++*iov;
        --*n;
    }
    if (*n > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + written;
        (*iov)->iov_len -= written;
    }
}

size_t write_all(int fd, struct iovec *iov, int n, bool wait) {
    size_t sum = 0;
    while (n > 0) {
        ssize_t written = writev(fd, iov, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN && wait) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (!written)
            errno = EIO;
        if (written <= 0)
            break;
        sum += (size_t)written;
        skip(&iov, &n, (size_t)written);
    }
    return sum;
}
