#include "config.h"

#include "ipc/fd_socket.h"

#include "base/descriptors.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

union rights {
    char space[CMSG_SPACE(sizeof(int) * FD_SOCKET_FDS)];
    struct cmsghdr align;
};

int fd_socket_pair(int pair[static 2]) {
    descriptors_lock();
    int made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    if (!made) {
        pair[0] = descriptors_adopt(pair[0]);
        pair[1] = descriptors_adopt(pair[1]);
    }
    descriptors_unlock();
    if (made || (pair[0] >= 0 && pair[1] >= 0))
        return made;
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            descriptors_close(pair[i]);
    }
    errno = ENOMEM;
    return -1;
}

int fd_socket_send(int socket, const struct iovec *parts, unsigned nparts, const int *fds, unsigned nfds) {
    union rights rights;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = nparts};
    if (nfds) {
        memset(&rights, 0, sizeof rights);
        message.msg_control = rights.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * nfds);
    }
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

/* Takes the descriptors out of a message. Returns how many there are. With the lock of base/descriptors.h. */
static unsigned take(struct msghdr *message, int fds[static FD_SOCKET_FDS]) {
    unsigned count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), count * sizeof(int));
        for (unsigned i = 0; i < count; i++)
            fds[i] = descriptors_adopt(fds[i]);
    }
    return count;
}

static bool is_whole(const struct msghdr *message, const int *fds, unsigned nfds) {
    if (message->msg_flags & MSG_TRUNC) {
        errno = EMSGSIZE;
        return false;
    }
    errno = EMFILE;
    for (unsigned i = 0; i < nfds; i++) {
        if (fds[i] < 0)
            return false;
    }
    return !(message->msg_flags & MSG_CTRUNC);
}

ssize_t fd_socket_receive(int socket, void *buf, size_t size, int fds[static FD_SOCKET_FDS], unsigned *nfds) {
    union rights rights;
    struct iovec part = {.iov_base = buf, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.space};
    ssize_t n;
    *nfds = 0;
    descriptors_lock();
    do {
        message.msg_controllen = sizeof rights.space;
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        /* ECONNRESET comes once, when the peer has closed its end and left something unread there. Behind it comes what
         * the peer has sent before. */
    } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n >= 0) /* an empty message may have descriptors too */
        *nfds = take(&message, fds);
    descriptors_unlock();
    if (n < 0 || (n > 0 && is_whole(&message, fds, *nfds)))
        return n;
    int error = errno;
    for (unsigned i = 0; i < *nfds; i++) {
        if (fds[i] >= 0)
            descriptors_close(fds[i]);
    }
    *nfds = 0;
    errno = error;
    return n ? -1 : 0;
}
