/* Numbers of users and groups as text. */
#ifndef WSGI_FCGI_NET_LISTEN_ID_H
#define WSGI_FCGI_NET_LISTEN_ID_H

#include "base/ascii.h"

/* Reads a number that fits the 32 bits of an id; the largest one is none: it means "unchanged" to chown(2) and
 * setresuid(2). Returns false, with *id as it was, for anything else. */
static inline bool id_read(const char *text, unsigned *id) {
    uint64_t n;
    if (!ascii_is_number(text, UINT32_MAX - 1, &n))
        return false;
    *id = (unsigned)n;
    return true;
}

#endif
