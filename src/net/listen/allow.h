/* Who may connect: TCP peers by address, peers of Unix sockets by user and group (--allow-uid, --allow-gid).
 *
 * --allow is for both protocols. Without it, HTTP serves whoever can reach its address, which was given for that. FastCGI
 * does not, since its peer is trusted with the environ: those that FCGI_WEB_SERVER_ADDRS names may connect (FastCGI 1.0,
 * 3.2), or else loopback peers. Without rules for them Unix sockets are guarded by the permissions of their files alone.
 *
 * Threads: the lists are only read between allow_init and allow_fini: any thread, but for allow_check.
 */
#ifndef WSGI_FCGI_NET_LISTEN_ALLOW_H
#define WSGI_FCGI_NET_LISTEN_ALLOW_H

#include "base/log_limit.h"
#include "net/listen/address_set.h"
#include "net/listen/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What to parse. Lists of rules as they were given; only read during allow_init. */
struct allow_settings {
    const char *const *allow; /* --allow: "ADDR", "ADDR/LEN" or "any" */
    size_t nallow;
    const char *web_server_addrs; /* FCGI_WEB_SERVER_ADDRS or NULL: the same, between commas; unless --allow is given */
    const char *const *users;     /* --allow-uid: names or numbers */
    size_t nusers;
    const char *const *groups; /* --allow-gid: names or numbers */
    size_t ngroups;
};

enum { ALLOW_TEXT_SIZE = 64 };

/* Where the rules for addresses come from. */
enum allow_source { ALLOW_DEFAULT, ALLOW_OPTION, ALLOW_ENVIRONMENT };

struct allow_rules {
    enum allow_source source;
    struct address_set peers; /* of TCP; of HTTP with ALLOW_OPTION alone */
    uid_t *uids;
    size_t nuids;
    gid_t *gids;
    size_t ngids;
    uid_t own; /* the server's user */
    struct log_table log_table;
    struct log_topic refusals; /* lines about refused peers */
};

/* Fills *a. Looks users and groups up (blocking).
 * Returns 0; or, after one log_error line, EX_USAGE, EX_NOUSER or EX_OSERR. allow_fini is called in either case. */
int allow_init(struct allow_rules *a, const struct allow_settings *settings);

void allow_fini(struct allow_rules *a);

/* Logs what one would otherwise learn from refused connections or never, about TCP sockets that other machines can reach:
 * the default keeps them out of FastCGI, and FCGI_WEB_SERVER_ADDRS keeps nobody out of HTTP. */
void allow_warn(const struct allow_rules *a, const struct listener *list, size_t count);

/* Writes what follows the address in the line about *l: its protocol, and whom it serves when other machines can reach
 * it; "" when it is FastCGI for this machine. Returns `out`. */
const char *allow_describe(const struct allow_rules *a, const struct listener *l, char out[static ALLOW_TEXT_SIZE]);

/* Tells whether the peer of connection `fd`, accepted on *l from `sa`, may stay. When not, an info line names it
 * and the option: one a second for each address or user (base/log_limit.h). A peer that cannot be identified may not. Owner
 * only. */
bool allow_check(struct allow_rules *a, const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len);

/* The rules alone. An IPv4 address in IPv6 form (::ffff:192.0.2.7), as dual-stack sockets have it, is an IPv4 address. */
bool allow_permits_address(const struct allow_rules *a, enum listener_protocol protocol, const struct sockaddr *sa,
                           socklen_t len);

/* root and the server's own user may always: both can do anything to the process anyhow. */
bool allow_permits_user(const struct allow_rules *a, uid_t uid, const gid_t *gids, size_t ngids);

#endif
