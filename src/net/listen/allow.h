/* Who may connect: TCP peers by address, peers of Unix sockets by user and group (--allow-uid, --allow-gid).
 *
 * --allow is for both protocols. Without it, HTTP serves whoever can reach its address, which was given for that. FastCGI
 * does not, since its peer is trusted with the environ: those that FCGI_WEB_SERVER_ADDRS names may connect (FastCGI 1.0,
 * 3.2), or else loopback peers. Without rules for them Unix sockets are guarded by the permissions of their files alone.
 *
 * Threads: the lists are only read between access_init and access_fini: any thread, but for access_check.
 */
#ifndef WSGI_FCGI_NET_LISTEN_ALLOW_H
#define WSGI_FCGI_NET_LISTEN_ALLOW_H

#include "base/log_table.h"
#include "net/listen/listener.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What to parse. Lists of rules as they were given; only read during access_init. */
struct access_settings {
    const char *const *allow; /* --allow: "ADDR", "ADDR/LEN" or "any" */
    size_t nallow;
    const char *web_server_addrs; /* FCGI_WEB_SERVER_ADDRS or NULL: the same, between commas; unless --allow is given */
    const char *const *users;     /* --allow-uid: names or numbers */
    size_t nusers;
    const char *const *groups; /* --allow-gid: names or numbers */
    size_t ngroups;
};

enum { ACCESS_TEXT_SIZE = 64 };

/* Where the rules for addresses come from. */
enum access_source { ACCESS_DEFAULT, ACCESS_OPTION, ACCESS_ENVIRONMENT };

struct access_net {
    sa_family_t family; /* AF_INET or AF_INET6 */
    unsigned len;       /* bits of the address that count */
    uint8_t addr[16];   /* in network order, zero beyond `len` */
};

/* A set of addresses. */
struct access_list {
    bool any; /* everybody */
    bool unix_peers;
    struct access_net *nets;
    size_t nnets;
};

struct access {
    enum access_source source;
    struct access_list peers; /* of TCP; of HTTP with ACCESS_OPTION alone */
    uid_t *uids;
    size_t nuids;
    gid_t *gids;
    size_t ngids;
    uid_t own; /* the server's user */
    struct log_table log_table;
    struct log_topic refusals; /* lines about refused peers */
};

/* Fills *a. Looks users and groups up (blocking).
 * Returns 0; or, after one log_error line, EX_USAGE, EX_NOUSER or EX_OSERR. access_fini is called in either case. */
int access_init(struct access *a, const struct access_settings *settings);

void access_fini(struct access *a);

/* Logs what one would otherwise learn from refused connections or never, about TCP sockets that other machines can reach:
 * the default keeps them out of FastCGI, and FCGI_WEB_SERVER_ADDRS keeps nobody out of HTTP. */
void access_warn(const struct access *a, const struct listener *list, size_t count);

/* Writes what follows the address in the line about *l: its protocol, and whom it serves when other machines can reach
 * it; "" when it is FastCGI for this machine. Returns `out`. */
const char *access_describe(const struct access *a, const struct listener *l, char out[static ACCESS_TEXT_SIZE]);

/* Tells whether the peer of connection `fd`, accepted on *l from `sa`, may stay. When not, an info line names it
 * and the option: one a second for each address or user (base/log_table.h). A peer that cannot be identified may not. Owner
 * only. */
bool access_check(struct access *a, const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len);

/* Fills *list, of peers whose word about the client counts, from "ADDR", "ADDR/LEN", "any" or "unix" (peers of Unix
 * sockets), as `option` gave them. Returns 0; or, after one log_error line, EX_USAGE or EX_OSERR. access_list_fini is
 * called in either case. */
int access_list_init(struct access_list *list, const char *option, const char *const *texts, size_t count);
void access_list_fini(struct access_list *list);

/* Whether the address is in the set; that of a peer of a Unix socket has the family AF_UNIX. An IPv4 address in IPv6
 * form is an IPv4 address. */
bool access_list_has(const struct access_list *list, const struct sockaddr *sa, socklen_t len);

/* The rules alone. An IPv4 address in IPv6 form (::ffff:192.0.2.7), as dual-stack sockets have it, is an IPv4 address. */
bool access_allows_address(const struct access *a, enum listener_protocol protocol, const struct sockaddr *sa,
                           socklen_t len);

/* root and the server's own user may always: both can do anything to the process anyhow. */
bool access_allows_user(const struct access *a, uid_t uid, const gid_t *gids, size_t ngids);

#endif
