/* Parses user and group ids. Threads: any. */
#ifndef WSGI_FCGI_NET_LISTEN_ID_H
#define WSGI_FCGI_NET_LISTEN_ID_H

#include "base/ascii.h"

/* Reads a number that fits the 32 bits of an id. The largest one is not an id: it means "unchanged" to chown(2) and
 * setresuid(2). Returns false, with *id unchanged, for anything else. */
static inline bool id_read(const char *text, unsigned *id) {
    uint64_t n;
    if (!ascii_is_number(text, UINT32_MAX - 1, &n))
        return false;
    *id = (unsigned)n;
    return true;
}

#endif
