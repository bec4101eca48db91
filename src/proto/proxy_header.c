#include "config.h"

#include "proto/proxy_header.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

/* Version 1: a line. */

/* Removes the text up to the next space or line end from *pos. Returns false if there is none or it is too long. */
static bool take_word(const char **pos, const char *end, char *out, size_t size) {
    const char *space = memchr(*pos, ' ', (size_t)(end - *pos));
    size_t n = (size_t)((space ? space : end) - *pos);
    if (!n || n >= size)
        return false;
    memcpy(out, *pos, n);
    out[n] = '\0';
    *pos += n + (space != NULL);
    return true;
}

static bool take_address(const char **pos, const char *end, int family, void *address) {
    char text[INET6_ADDRSTRLEN];
    return take_word(pos, end, text, sizeof text) && inet_pton(family, text, address) == 1;
}

static bool take_port(const char **pos, const char *end, in_port_t *port) {
    char text[6];
    unsigned number = 0;
    if (!take_word(pos, end, text, sizeof text) || (text[0] == '0' && text[1]))
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        number = number * 10 + (unsigned)(*c - '0');
    }
    *port = htons((uint16_t)number);
    return number <= 65535;
}

static bool take_addresses(const char *pos, const char *end, int family, struct proxy_header *h) {
    bool v4 = family == AF_INET;
    h->source.sa.sa_family = h->destination.sa.sa_family = (sa_family_t)family;
    void *source = v4 ? (void *)&h->source.in.sin_addr : (void *)&h->source.in6.sin6_addr;
    void *destination = v4 ? (void *)&h->destination.in.sin_addr : (void *)&h->destination.in6.sin6_addr;
    in_port_t *source_port = v4 ? &h->source.in.sin_port : &h->source.in6.sin6_port;
    in_port_t *destination_port = v4 ? &h->destination.in.sin_port : &h->destination.in6.sin6_port;
    return take_address(&pos, end, family, source) && take_address(&pos, end, family, destination) &&
           take_port(&pos, end, source_port) && take_port(&pos, end, destination_port) && pos == end && end[-1] != ' ';
}

static bool begins(const char *pos, const char *end, const char *text, size_t n) {
    return (size_t)(end - pos) >= n && !memcmp(pos, text, n);
}

static enum proxy_result parse_v1(const char *data, size_t len, struct proxy_header *h, size_t *used) {
    const char *feed = memchr(data, '\n', len < PROXY_V1_MAX ? len : PROXY_V1_MAX);
    if (!feed)
        return len < PROXY_V1_MAX ? PROXY_MORE : PROXY_BAD;
    const char *pos = data + 6, *end = feed - 1;
    *used = (size_t)(feed - data) + 1;
    if (end < pos || *end != '\r')
        return PROXY_BAD;
    if (begins(pos, end, "UNKNOWN", 7) && (end == pos + 7 || pos[7] == ' ')) {
        h->unknown = true;
        return PROXY_OK;
    }
    int family = begins(pos, end, "TCP4 ", 5) ? AF_INET : begins(pos, end, "TCP6 ", 5) ? AF_INET6 : AF_UNSPEC;
    return family != AF_UNSPEC && take_addresses(pos + 5, end, family, h) ? PROXY_OK : PROXY_BAD;
}

/* Version 2: binary.
 *
 *     0            12       13       14        16
 *     | signature  | 2, cmd | family | length  | addresses and TLVs ...
 */

enum { V2_HEADER = 16, V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };
static const char v2_signature[] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static enum proxy_result parse_v2(const char *data, size_t len, struct proxy_header *h, size_t *used) {
    if (len < V2_HEADER)
        return PROXY_MORE;
    const uint8_t *u = (const uint8_t *)data;
    const char *at = data + V2_HEADER;
    size_t rest = (size_t)u[14] << 8 | u[15];
    if ((u[12] != V2_LOCAL && u[12] != V2_PROXY) || rest > PROXY_V2_MAX - V2_HEADER)
        return PROXY_BAD;
    if (len < V2_HEADER + rest)
        return PROXY_MORE;
    *used = V2_HEADER + rest;
    if (u[12] == V2_PROXY && u[13] == V2_TCP4 && rest >= 12) {
        h->source.in.sin_family = h->destination.in.sin_family = AF_INET;
        memcpy(&h->source.in.sin_addr, at, 4);
        memcpy(&h->destination.in.sin_addr, at + 4, 4);
        memcpy(&h->source.in.sin_port, at + 8, 2);
        memcpy(&h->destination.in.sin_port, at + 10, 2);
    } else if (u[12] == V2_PROXY && u[13] == V2_TCP6 && rest >= 36) {
        h->source.in6.sin6_family = h->destination.in6.sin6_family = AF_INET6;
        memcpy(&h->source.in6.sin6_addr, at, 16);
        memcpy(&h->destination.in6.sin6_addr, at + 16, 16);
        memcpy(&h->source.in6.sin6_port, at + 32, 2);
        memcpy(&h->destination.in6.sin6_port, at + 34, 2);
    } else {
        /* Section 2.2: addresses of another kind are skipped, and those of the connection count. */
        h->local = u[12] == V2_LOCAL;
        h->unknown = !h->local;
        return u[12] == V2_PROXY && (u[13] == V2_TCP4 || u[13] == V2_TCP6) ? PROXY_BAD : PROXY_OK;
    }
    return PROXY_OK;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

enum proxy_result proxy_header_parse(const char *data, size_t len, struct proxy_header *header, size_t *used) {
    static const char v1_signature[] = "PROXY ";
    *header = (struct proxy_header){0};
    if (!len)
        return PROXY_MORE;
    if (!memcmp(data, v1_signature, min_size(len, 6)))
        return len < 6 ? PROXY_MORE : parse_v1(data, len, header, used);
    if (!memcmp(data, v2_signature, min_size(len, sizeof v2_signature)))
        return len < sizeof v2_signature ? PROXY_MORE : parse_v2(data, len, header, used);
    return PROXY_BAD;
}
