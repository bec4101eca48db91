/* Decides who may connect: TCP peers by address (--allow), peers of Unix sockets by user and group (--allow-uid,
 * --allow-gid); and who may see the status page (--status-allow), by connecting to a socket of its own or by asking for
 * its path.
 *
 * --allow is for both protocols. Without it, HTTP serves everybody who can reach the address, which was given for that
 * purpose. FastCGI does not, because its peer is trusted with the environ. There the peers that FCGI_WEB_SERVER_ADDRS
 * names may connect (FastCGI 1.0, 3.2), or else loopback peers. Without rules for users or groups, only the permissions
 * of the socket file protect a Unix socket.
 *
 * Threads: any between allow_init and allow_fini, because the rules are only read; allow_check is for the owner only.
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

/* What to parse: the rules as they were given, and where each was, for the log. Only read during allow_init. */
struct allow_settings {
    const char *const *allow; /* --allow: "ADDR", "ADDR/LEN" or "any" */
    const char *const *allow_sources;
    size_t nallow;
    const char *web_server_addrs; /* FCGI_WEB_SERVER_ADDRS or NULL: the same, between commas; unless --allow is given */
    const char *const *users;     /* --allow-uid: names or numbers */
    const char *const *user_sources;
    size_t nusers;
    const char *const *groups; /* --allow-gid: names or numbers */
    const char *const *group_sources;
    size_t ngroups;
};

enum { ALLOW_TEXT_SIZE = 64 };

/* Where the rules for addresses come from. */
enum allow_source { ALLOW_DEFAULT, ALLOW_OPTION, ALLOW_ENVIRONMENT };

struct allow_rules {
    enum allow_source source;
    struct address_set peers; /* TCP peers; for HTTP with ALLOW_OPTION only */
    uid_t *uids;
    size_t nuids;
    gid_t *gids;
    size_t ngids;
    uid_t own;                 /* the server's user */
    bool status_given;         /* else those of this machine */
    struct address_set status; /* who may see the status page */
    struct log_table log_table;
    struct log_topic refusals; /* lines about refused peers */
};

/* Fills *a. Looks users and groups up, which blocks. Returns 0; or, after one log_error line, EX_USAGE, EX_NOUSER or
 * EX_OSERR. The caller calls allow_fini in either case. */
int allow_init(struct allow_rules *a, const struct allow_settings *settings);

/* Fills in who may see the status page, behind allow_init: --status-allow, as --allow, or "unix", and where each was.
 * Without it nobody but this machine may. Returns as allow_init. */
int allow_init_status(struct allow_rules *a, const char *const *sources, const char *const *texts, size_t count);

void allow_fini(struct allow_rules *a);

/* Warns about TCP sockets that other machines can reach, where the rules may surprise: the default keeps these machines
 * out of FastCGI, and FCGI_WEB_SERVER_ADDRS keeps nobody out of HTTP. The user would otherwise learn that only from
 * refused connections, or never. */
void allow_warn(const struct allow_rules *a, const struct listener *list, size_t count);

/* Writes what follows the address in the log line about *l: its protocol, if that is HTTP, and whom it serves, if other
 * machines can reach it. "" if it is FastCGI for this machine only. Returns `out`. */
const char *allow_describe(const struct allow_rules *a, const struct listener *l, char out[static ALLOW_TEXT_SIZE]);

/* Whether the peer of connection `fd`, accepted on *l from `sa`, may stay. If not, logs a line at info level that names
 * the peer and the option: one a second for each address or user (base/log_limit.h). A peer that cannot be identified
 * may not stay. Owner only. */
bool allow_check(struct allow_rules *a, const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len);

/* Checks an address against the rules, without logging. An IPv4 address in IPv6 form (::ffff:192.0.2.7), as dual-stack
 * sockets have it, counts as IPv4. */
bool allow_permits_address(const struct allow_rules *a, enum listener_protocol protocol, const struct sockaddr *sa,
                           socklen_t len);

/* Whether a client may see the status page. AF_UNIX: a process of this machine; AF_UNSPEC: nobody knows who it is. */
bool allow_permits_status(const struct allow_rules *a, const struct sockaddr *client, socklen_t len);

/* Checks a user against the rules. root and the server's own user always may: both can do anything to the process
 * anyhow. */
bool allow_permits_user(const struct allow_rules *a, uid_t uid, const gid_t *gids, size_t ngids);

#endif
