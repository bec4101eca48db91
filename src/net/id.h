/* Numbers of users and groups as text. */
#ifndef WSGI_FCGI_NET_ID_H
#define WSGI_FCGI_NET_ID_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Reads a number that fits the 32 bits of an id; the largest one is none: it means "unchanged" to chown(2) and
 * setresuid(2). Returns false, with *id as it was, for anything else. */
static inline bool id_read(const char *text, unsigned *id) {
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || n >= UINT32_MAX)
        return false;
    *id = (unsigned)n;
    return true;
}

#endif
