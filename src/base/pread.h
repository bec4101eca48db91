/* Reads part of a file. Threads: any. */
#ifndef WSGI_FCGI_BASE_PREAD_H
#define WSGI_FCGI_BASE_PREAD_H

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* Reads `len` bytes at `offset` into `out`, in as many calls as it takes. The position of `fd` is neither used nor
 * moved. Returns how many bytes were read. It is fewer at the end of the file, with *error 0, or after an error, with
 * *error its errno. */
static inline size_t pread_full(int fd, char *out, size_t len, off_t offset, int *error) {
    size_t have = 0;
    ssize_t n = 1;
    *error = 0;
    while (have < len && n) {
        n = pread(fd, out + have, len - have, offset + (off_t)have);
        if (n < 0 && errno != EINTR) {
            *error = errno;
            break;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return have;
}

#endif
