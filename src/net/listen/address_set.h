/* A set of peers by address, for --allow and --forwarded-allow: networks, everybody, or peers of Unix sockets.
 *
 * An IPv4 address in IPv6 form (::ffff:192.0.2.7), as dual-stack sockets have it, counts as IPv4.
 *
 * Threads: any, once the set is filled: then it is only read.
 */
#ifndef WSGI_FCGI_NET_LISTEN_ADDRESS_SET_H
#define WSGI_FCGI_NET_LISTEN_ADDRESS_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address_net {
    sa_family_t family; /* AF_INET or AF_INET6 */
    unsigned len;       /* bits of the address that count */
    uint8_t addr[16];   /* in network order, zero beyond `len` */
};

/* Empty when zeroed. */
struct address_set {
    bool any; /* everybody but peers of Unix sockets */
    bool unix_peers;
    struct address_net *nets;
    size_t nnets;
};

/* Fills *set from "ADDR", "ADDR/LEN", "any" or "unix" (peers of Unix sockets). `sources`: where each comes from, for the
 * log. Returns 0; or, after one log_error line, EX_USAGE or EX_OSERR. The caller calls address_set_fini in either case. */
int address_set_init(struct address_set *set, const char *const *sources, const char *const *texts, size_t count);

/* Adds one such text, but not "unix"; `source` names where it comes from. Returns and logs as address_set_init does. */
int address_set_add(struct address_set *set, const char *source, const char *text);

void address_set_fini(struct address_set *set);

/* Whether the address is in the set. A peer of a Unix socket has the family AF_UNIX. */
bool address_set_has(const struct address_set *set, const struct sockaddr *sa, socklen_t len);

/* Whether only this machine can have, or reach, the address: 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct sockaddr *sa, socklen_t len);

#endif
