#include "config.h"

#include "net/listen/allow.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/listen/id.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    SHOWN_SIZE = 100,
    MAPPED_BITS = 96,  /* of ::ffff:0:0/96, the IPv4 addresses in IPv6 form (RFC 4291, 2.5.5.2) */
    GROUPS_USUAL = 64, /* more supplementary groups than this need memory from the heap */
};
#define NET_TEXT_SIZE (INET6_ADDRSTRLEN + sizeof "/128")

static const char *const loopback[] = {"127.0.0.0/8", "::1"};
static const char *const source_names[] = {
    [ACCESS_DEFAULT] = "loopback", [ACCESS_OPTION] = "--allow", [ACCESS_ENVIRONMENT] = "FCGI_WEB_SERVER_ADDRS"};

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

/* Addresses. */

static unsigned family_bits(sa_family_t family) {
    return family == AF_INET ? 32 : 128;
}

/* Clears the bits of `addr` beyond the first `len`. Returns whether one of them was set. */
static bool clear_beyond(uint8_t addr[static 16], unsigned len) {
    bool was_set = false;
    for (unsigned i = len / 8; i < 16; i++) {
        uint8_t keep = i > len / 8 ? 0 : (uint8_t)(0xff00u >> len % 8);
        was_set |= (addr[i] & ~keep) != 0;
        addr[i] &= keep;
    }
    return was_set;
}

static void unmap(struct access_net *net) {
    if (net->family != AF_INET6 || net->len < MAPPED_BITS || !IN6_IS_ADDR_V4MAPPED((const void *)net->addr))
        return;
    memmove(net->addr, net->addr + MAPPED_BITS / 8, 4);
    memset(net->addr + 4, 0, sizeof net->addr - 4);
    net->family = AF_INET;
    net->len -= MAPPED_BITS;
}

/* Reads a peer's address into *net, with all of its bits. Returns false when it is not one of IPv4 or IPv6. */
static bool read_peer(struct access_net *net, const struct sockaddr *sa, socklen_t len) {
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    *net = (struct access_net){0};
    if (len >= sizeof sin && sa->sa_family == AF_INET) {
        memcpy(&sin, sa, sizeof sin);
        memcpy(net->addr, &sin.sin_addr, sizeof sin.sin_addr);
    } else if (len >= sizeof sin6 && sa->sa_family == AF_INET6) {
        memcpy(&sin6, sa, sizeof sin6);
        memcpy(net->addr, &sin6.sin6_addr, sizeof sin6.sin6_addr);
    } else {
        return false;
    }
    net->family = sa->sa_family;
    net->len = family_bits(net->family);
    unmap(net);
    return true;
}

static bool net_has(const struct access_net *net, const struct access_net *peer) {
    if (net->family != peer->family)
        return false;
    struct access_net cut = *peer;
    clear_beyond(cut.addr, net->len);
    return !memcmp(cut.addr, net->addr, sizeof cut.addr);
}

bool access_list_has(const struct access_list *list, const struct sockaddr *sa, socklen_t len) {
    struct access_net peer;
    if (sa->sa_family == AF_UNIX)
        return list->unix_peers;
    if (list->any)
        return true;
    if (!list->nnets || !read_peer(&peer, sa, len))
        return false;
    for (size_t i = 0; i < list->nnets; i++)
        if (net_has(&list->nets[i], &peer))
            return true;
    return false;
}

/* Whether the rules say nothing about peers of TCP sockets of this protocol. */
static bool serves_everybody(const struct access *a, enum listener_protocol protocol) {
    return a->peers.any || (protocol == LISTENER_HTTP && a->source != ACCESS_OPTION);
}

bool access_allows_address(const struct access *a, enum listener_protocol protocol, const struct sockaddr *sa,
                           socklen_t len) {
    return serves_everybody(a, protocol) || access_list_has(&a->peers, sa, len);
}

/* Rules for addresses. */

/* Takes "/LEN" off `text`. Returns false when LEN is no number of at most `max`. */
static bool read_len(const char *slash, unsigned max, unsigned *len) {
    *len = max;
    if (!slash)
        return true;
    uint64_t n;
    if (strlen(slash + 1) > 3 || !ascii_is_number(slash + 1, max, &n))
        return false;
    *len = (unsigned)n;
    return true;
}

static const char *format_net(const struct access_net *net, char out[static NET_TEXT_SIZE]) {
    char addr[INET6_ADDRSTRLEN];
    inet_ntop(net->family, net->addr, addr, sizeof addr);
    snprintf(out, NET_TEXT_SIZE, "%s/%u", addr, net->len);
    return out;
}

static int refuse_net(const char *source, const char *text, const char *complaint, const char *advice) {
    char shown[SHOWN_SIZE];
    log_error("%s: \"%s\" %s: write %s", source, log_escape(shown, sizeof shown, text, strlen(text)), complaint,
              advice);
    return EX_USAGE;
}

static int parse_net(const char *source, const char *text, struct access_net *net) {
    char addr[INET6_ADDRSTRLEN], complaint[64], advice[NET_TEXT_SIZE + INET6_ADDRSTRLEN + 32];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (text[0] == '[')
        return refuse_net(source, text, "has brackets", "the address without them");
    snprintf(addr, sizeof addr, "%.*s", (int)len, text);
    *net = (struct access_net){.family = strchr(addr, ':') ? AF_INET6 : AF_INET};
    if (len >= sizeof addr || inet_pton(net->family, addr, net->addr) != 1)
        return refuse_net(source, text, "is not an IP address",
                          "one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, or any for everybody");
    if (!read_len(slash, family_bits(net->family), &net->len)) {
        snprintf(advice, sizeof advice, "a number of bits from 0 to %u behind the slash", family_bits(net->family));
        return refuse_net(source, text, "has a wrong length", advice);
    }
    if (clear_beyond(net->addr, net->len)) {
        char whole[NET_TEXT_SIZE];
        snprintf(complaint, sizeof complaint, "has bits set behind the first %u", net->len);
        snprintf(advice, sizeof advice, "%s for the network, or %s for one peer", format_net(net, whole), addr);
        return refuse_net(source, text, complaint, advice);
    }
    unmap(net);
    return 0;
}

static int add_net(struct access_list *list, const char *source, const char *text) {
    struct access_net net;
    if (!strcmp(text, "any")) {
        list->any = true;
        return 0;
    }
    int status = parse_net(source, text, &net);
    if (status)
        return status;
    struct access_net *nets = realloc(list->nets, (list->nnets + 1) * sizeof *nets);
    if (!nets)
        return no_memory();
    nets[list->nnets++] = net;
    list->nets = nets;
    return 0;
}

static int add_nets(struct access *a, const char *const *texts, size_t count) {
    int status = 0;
    for (size_t i = 0; i < count && !status; i++)
        status = add_net(&a->peers, source_names[a->source], texts[i]);
    return status;
}

int access_list_init(struct access_list *list, const char *option, const char *const *texts, size_t count) {
    int status = 0;
    *list = (struct access_list){0};
    for (size_t i = 0; i < count && !status; i++) {
        if (!strcmp(texts[i], "unix"))
            list->unix_peers = true;
        else
            status = add_net(list, option, texts[i]);
    }
    return status;
}

void access_list_fini(struct access_list *list) {
    free(list->nets);
    *list = (struct access_list){0};
}

/* FastCGI 1.0, 3.2: addresses between commas. */
static int add_web_servers(struct access *a, const char *text) {
    char *copy = strdup(text), *rest = copy, *item;
    int status = 0;
    if (!copy)
        return no_memory();
    while (!status && (item = strsep(&rest, ","))) {
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        status = add_net(&a->peers, source_names[a->source], item);
    }
    free(copy);
    return status;
}

static int init_nets(struct access *a, const struct access_settings *s) {
    if (s->nallow) {
        a->source = ACCESS_OPTION;
        return add_nets(a, s->allow, s->nallow);
    }
    if (s->web_server_addrs && *s->web_server_addrs) {
        a->source = ACCESS_ENVIRONMENT;
        return add_web_servers(a, s->web_server_addrs);
    }
    a->source = ACCESS_DEFAULT;
    return add_nets(a, loopback, sizeof loopback / sizeof *loopback);
}

/* Users and groups. */

static int refuse_name(const char *option, const char *kind, const char *text) {
    char shown[SHOWN_SIZE];
    log_error("%s: there is no %s \"%s\" on this machine", option, kind,
              log_escape(shown, sizeof shown, text, strlen(text)));
    return EX_NOUSER;
}

static int init_users(struct access *a, const struct access_settings *s) {
    if (s->nusers && !(a->uids = calloc(s->nusers, sizeof *a->uids)))
        return no_memory();
    for (size_t i = 0; i < s->nusers; i++) {
        const struct passwd *pw = getpwnam(s->users[i]);
        if (pw)
            a->uids[i] = pw->pw_uid;
        else if (!id_read(s->users[i], &a->uids[i]))
            return refuse_name("--allow-uid", "user", s->users[i]);
        a->nuids++;
    }
    return 0;
}

static int init_groups(struct access *a, const struct access_settings *s) {
    if (s->ngroups && !(a->gids = calloc(s->ngroups, sizeof *a->gids)))
        return no_memory();
    for (size_t i = 0; i < s->ngroups; i++) {
        const struct group *gr = getgrnam(s->groups[i]);
        if (gr)
            a->gids[i] = gr->gr_gid;
        else if (!id_read(s->groups[i], &a->gids[i]))
            return refuse_name("--allow-gid", "group", s->groups[i]);
        a->ngids++;
    }
    return 0;
}

static bool has_user_rules(const struct access *a) {
    return a->nuids || a->ngids;
}

bool access_allows_user(const struct access *a, uid_t uid, const gid_t *gids, size_t ngids) {
    if (!has_user_rules(a) || uid == 0 || uid == a->own)
        return true;
    for (size_t i = 0; i < a->nuids; i++)
        if (a->uids[i] == uid)
            return true;
    for (size_t i = 0; i < a->ngids; i++)
        for (size_t k = 0; k < ngids; k++)
            if (a->gids[i] == gids[k])
                return true;
    return false;
}

/* SO_PEERCRED has the effective group alone, but a web server that was put into a group to get in has it among the
 * supplementary ones: SO_PEERGROUPS (Linux 4.13). */
static bool allows_supplementary(const struct access *a, int fd, uid_t uid) {
    gid_t usual[GROUPS_USUAL], *more = NULL, *gids = usual;
    socklen_t size = sizeof usual;
    bool allowed = false;
    int failed = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, usual, &size);
    if (failed && errno == ERANGE && (gids = more = malloc(size)))
        failed = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, more, &size);
    if (!failed)
        allowed = access_allows_user(a, uid, gids, size / sizeof *gids);
    free(more);
    return allowed;
}

/* Life cycle. */

int access_init(struct access *a, const struct access_settings *settings) {
    *a = (struct access){.own = geteuid(), .log_table.seed = hash_seed()};
    int status = init_nets(a, settings);
    if (!status)
        status = init_users(a, settings);
    return status ? status : init_groups(a, settings);
}

void access_fini(struct access *a) {
    access_list_fini(&a->peers);
    free(a->uids);
    free(a->gids);
    *a = (struct access){0};
}

static bool is_loopback(const struct listener *l) {
    static const struct access_net nets[] = {{AF_INET, 8, {127}}, {AF_INET6, 128, {[15] = 1}}};
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct access_net own;
    if (getsockname(l->fd, (struct sockaddr *)&sa, &len) || !read_peer(&own, (const struct sockaddr *)&sa, len))
        return false;
    return net_has(&nets[0], &own) || net_has(&nets[1], &own);
}

void access_warn(const struct access *a, const struct listener *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct listener *l = &list[i];
        bool http = l->protocol == LISTENER_HTTP;
        if (l->is_unix || is_loopback(l))
            continue;
        if (a->source == ACCESS_DEFAULT && !http)
            log_warning("%s: only peers from 127.0.0.0/8 and ::1 may connect over FastCGI: name the web server with "
                        "--allow",
                        l->text);
        else if (a->source == ACCESS_ENVIRONMENT && http && !a->peers.any)
            log_warning("%s: everybody is served: FCGI_WEB_SERVER_ADDRS is for FastCGI, name the clients of HTTP with "
                        "--allow",
                        l->text);
    }
}

const char *access_describe(const struct access *a, const struct listener *l, char out[static ACCESS_TEXT_SIZE]) {
    static const char *const named[] = {[ACCESS_DEFAULT] = "only loopback peers",
                                        [ACCESS_OPTION] = "only those in --allow",
                                        [ACCESS_ENVIRONMENT] = "only those in FCGI_WEB_SERVER_ADDRS"};
    const char *protocol = l->protocol == LISTENER_HTTP ? "HTTP" : "";
    const char *whom = serves_everybody(a, l->protocol) ? "everybody" : named[a->source];
    if (l->is_unix || is_loopback(l))
        whom = "";
    out[0] = '\0';
    if (*protocol || *whom)
        snprintf(out, ACCESS_TEXT_SIZE, " (%s%s%s)", protocol, *protocol && *whom ? ", " : "", whom);
    return out;
}

/* Accepted peers. */

/* `who`: what tells this peer from others. */
static void report(struct access *a, const struct listener *l, const char *peer, const void *who, size_t n,
                   const char *why) {
    char more[LOG_TABLE_MORE_SIZE];
    if (log_table_due(&a->log_table, &a->refusals, who, n, clock_ns(), more))
        log_info("refused %s on %s: %s%s", peer, l->text, why, more);
}

static bool check_user(struct access *a, const struct listener *l, int fd) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    char peer[96];
    if (!has_user_rules(a))
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
        report(a, l, "a peer", "", 0, "its user is unknown, and --allow-uid or --allow-gid is given");
        return false;
    }
    if (access_allows_user(a, cred.uid, &cred.gid, 1) || (a->ngids && allows_supplementary(a, fd, cred.uid)))
        return true;
    snprintf(peer, sizeof peer, "process %ld of user %lu and group %lu", (long)cred.pid, (unsigned long)cred.uid,
             (unsigned long)cred.gid);
    report(a, l, peer, &cred.uid, sizeof cred.uid, "not named by --allow-uid or --allow-gid");
    return false;
}

static bool check_address(struct access *a, const struct listener *l, const struct sockaddr *sa, socklen_t len) {
    static const char *const reasons[] = {
        [ACCESS_DEFAULT] = "over FastCGI only loopback peers may connect: name the web server with --allow",
        [ACCESS_OPTION] = "not named by --allow: add its address to let it in",
        [ACCESS_ENVIRONMENT] = "not in FCGI_WEB_SERVER_ADDRS: add its address there, or give --allow instead"};
    char peer[ADDRESS_TEXT_SIZE];
    uint8_t who[ADDRESS_IDENTITY_SIZE];
    if (access_allows_address(a, l->protocol, sa, len))
        return true;
    size_t n = address_identity(sa, len, who);
    report(a, l, address_format(sa, len, peer), who, n, reasons[a->source]);
    return false;
}

bool access_check(struct access *a, const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len) {
    return l->is_unix ? check_user(a, l, fd) : check_address(a, l, sa, len);
}
