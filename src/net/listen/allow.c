#include "config.h"

#include "net/listen/allow.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "net/listen/id.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { SHOWN_SIZE = 100, GROUPS_USUAL = 64 /* more supplementary groups than this need memory from the heap */ };

static const char *const loopback[] = {"127.0.0.0/8", "::1"};
static const char *const loopback_sources[] = {"loopback", "loopback"};

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

/* Rules for addresses. */

/* Whether there are no rules for TCP peers of this protocol. */
static bool serves_everybody(const struct allow_rules *a, enum listener_protocol protocol) {
    return a->peers.any || (protocol == LISTENER_HTTP && a->source != ALLOW_OPTION);
}

bool allow_permits_address(const struct allow_rules *a, enum listener_protocol protocol, const struct sockaddr *sa,
                           socklen_t len) {
    return serves_everybody(a, protocol) || address_set_has(&a->peers, sa, len);
}

static int add_nets(struct allow_rules *a, const char *const *sources, const char *const *texts, size_t count) {
    int status = 0;
    for (size_t i = 0; i < count && !status; i++)
        status = address_set_add(&a->peers, sources[i], texts[i]);
    return status;
}

/* FastCGI 1.0, 3.2: addresses between commas. */
static int add_web_servers(struct allow_rules *a, const char *text) {
    char *copy = strdup(text), *rest = copy, *item;
    int status = 0;
    if (!copy)
        return no_memory();
    while (!status && (item = strsep(&rest, ","))) {
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        status = address_set_add(&a->peers, "FCGI_WEB_SERVER_ADDRS", item);
    }
    free(copy);
    return status;
}

static int init_nets(struct allow_rules *a, const struct allow_settings *s) {
    if (s->nallow) {
        a->source = ALLOW_OPTION;
        return add_nets(a, s->allow_sources, s->allow, s->nallow);
    }
    if (s->web_server_addrs && *s->web_server_addrs) {
        a->source = ALLOW_ENVIRONMENT;
        return add_web_servers(a, s->web_server_addrs);
    }
    a->source = ALLOW_DEFAULT;
    return add_nets(a, loopback_sources, loopback, sizeof loopback / sizeof *loopback);
}

/* Users and groups. */

static int refuse_name(const char *source, const char *kind, const char *text) {
    char shown[SHOWN_SIZE];
    log_error("%s: there is no %s \"%s\" on this machine", source, kind,
              log_escape(shown, sizeof shown, text, strlen(text)));
    return EX_NOUSER;
}

static int init_users(struct allow_rules *a, const struct allow_settings *s) {
    if (s->nusers && !(a->uids = calloc(s->nusers, sizeof *a->uids)))
        return no_memory();
    for (size_t i = 0; i < s->nusers; i++) {
        const struct passwd *pw = getpwnam(s->users[i]);
        if (pw)
            a->uids[i] = pw->pw_uid;
        else if (!id_read(s->users[i], &a->uids[i]))
            return refuse_name(s->user_sources[i], "user", s->users[i]);
        a->nuids++;
    }
    return 0;
}

static int init_groups(struct allow_rules *a, const struct allow_settings *s) {
    if (s->ngroups && !(a->gids = calloc(s->ngroups, sizeof *a->gids)))
        return no_memory();
    for (size_t i = 0; i < s->ngroups; i++) {
        const struct group *gr = getgrnam(s->groups[i]);
        if (gr)
            a->gids[i] = gr->gr_gid;
        else if (!id_read(s->groups[i], &a->gids[i]))
            return refuse_name(s->group_sources[i], "group", s->groups[i]);
        a->ngids++;
    }
    return 0;
}

static bool has_user_rules(const struct allow_rules *a) {
    return a->nuids || a->ngids;
}

bool allow_permits_user(const struct allow_rules *a, uid_t uid, const gid_t *gids, size_t ngids) {
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

/* SO_PEERCRED only tells the effective group. A web server that was added to a group to get in has it among its
 * supplementary groups: SO_PEERGROUPS (Linux 4.13). */
static bool allows_supplementary(const struct allow_rules *a, int fd, uid_t uid) {
    gid_t usual[GROUPS_USUAL], *more = NULL, *gids = usual;
    socklen_t size = sizeof usual;
    bool allowed = false;
    int failed = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, usual, &size);
    if (failed && errno == ERANGE && (gids = more = malloc(size)))
        failed = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, more, &size);
    if (!failed)
        allowed = allow_permits_user(a, uid, gids, size / sizeof *gids);
    free(more);
    return allowed;
}

/* Life cycle. */

int allow_init(struct allow_rules *a, const struct allow_settings *settings) {
    *a = (struct allow_rules){.own = geteuid(), .log_table.seed = hash_seed()};
    int status = init_nets(a, settings);
    if (!status)
        status = init_users(a, settings);
    return status ? status : init_groups(a, settings);
}

int allow_init_status(struct allow_rules *a, const char *const *sources, const char *const *texts, size_t count) {
    a->status_given = count > 0;
    return address_set_init(&a->status, sources, texts, count);
}

void allow_fini(struct allow_rules *a) {
    address_set_fini(&a->peers);
    address_set_fini(&a->status);
    free(a->uids);
    free(a->gids);
    *a = (struct allow_rules){0};
}

static bool is_loopback(const struct listener *l) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    return !getsockname(l->fd, (struct sockaddr *)&sa, &len) && address_is_loopback((const struct sockaddr *)&sa, len);
}

void allow_warn(const struct allow_rules *a, const struct listener *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct listener *l = &list[i];
        bool http = l->protocol == LISTENER_HTTP;
        if (l->is_unix || l->protocol == LISTENER_STATUS || is_loopback(l))
            continue;
        if (a->source == ALLOW_DEFAULT && !http)
            log_warning("%s: only peers from 127.0.0.0/8 and ::1 may connect over FastCGI: name the web server with "
                        "--allow",
                        l->text);
        else if (a->source == ALLOW_ENVIRONMENT && http && !a->peers.any)
            log_warning("%s: everybody is served: FCGI_WEB_SERVER_ADDRS is for FastCGI, name the clients of HTTP with "
                        "--allow",
                        l->text);
    }
}

const char *allow_describe(const struct allow_rules *a, const struct listener *l, char out[static ALLOW_TEXT_SIZE]) {
    static const char *const named[] = {[ALLOW_DEFAULT] = "only loopback peers",
                                        [ALLOW_OPTION] = "only those in --allow",
                                        [ALLOW_ENVIRONMENT] = "only those in FCGI_WEB_SERVER_ADDRS"};
    static const char *const protocols[] = {
        [LISTENER_FASTCGI] = "", [LISTENER_HTTP] = "HTTP", [LISTENER_STATUS] = "status page"};
    const char *protocol = protocols[l->protocol];
    const char *whom = serves_everybody(a, l->protocol) ? "everybody" : named[a->source];
    if (l->protocol == LISTENER_STATUS)
        whom = a->status.any ? "everybody" : a->status_given ? "only those in --status-allow" : "only loopback peers";
    if (l->is_unix || is_loopback(l))
        whom = "";
    out[0] = '\0';
    if (*protocol || *whom)
        snprintf(out, ALLOW_TEXT_SIZE, " (%s%s%s)", protocol, *protocol && *whom ? ", " : "", whom);
    return out;
}

/* Accepted peers. */

/* `who`: what tells this peer from others. */
static void report(struct allow_rules *a, const struct listener *l, const char *peer, const void *who, size_t n,
                   const char *why) {
    char more[LOG_TABLE_MORE_SIZE];
    if (log_table_due(&a->log_table, &a->refusals, who, n, clock_ns(), more))
        log_info("refused %s on %s: %s%s", peer, l->text, why, more);
}

static bool check_user(struct allow_rules *a, const struct listener *l, int fd) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    char peer[96];
    if (!has_user_rules(a))
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
        report(a, l, "a peer", "", 0, "its user is unknown, and --allow-uid or --allow-gid is given");
        return false;
    }
    if (allow_permits_user(a, cred.uid, &cred.gid, 1) || (a->ngids && allows_supplementary(a, fd, cred.uid)))
        return true;
    snprintf(peer, sizeof peer, "process %ld of user %lu and group %lu", (long)cred.pid, (unsigned long)cred.uid,
             (unsigned long)cred.gid);
    report(a, l, peer, &cred.uid, sizeof cred.uid, "not named by --allow-uid or --allow-gid");
    return false;
}

static bool check_address(struct allow_rules *a, const struct listener *l, const struct sockaddr *sa, socklen_t len) {
    static const char *const reasons[] = {
        [ALLOW_DEFAULT] = "over FastCGI only loopback peers may connect: name the web server with --allow",
        [ALLOW_OPTION] = "not named by --allow: add its address to let it in",
        [ALLOW_ENVIRONMENT] = "not in FCGI_WEB_SERVER_ADDRS: add its address there, or give --allow instead"};
    char peer[ADDRESS_TEXT_SIZE];
    uint8_t who[ADDRESS_IDENTITY_SIZE];
    if (allow_permits_address(a, l->protocol, sa, len))
        return true;
    size_t n = address_identity(sa, len, who);
    report(a, l, address_format(sa, len, peer), who, n, reasons[a->source]);
    return false;
}

/* The status page. */

bool allow_permits_status(const struct allow_rules *a, const struct sockaddr *client, socklen_t len) {
    if (a->status.any)
        return true;
    if (a->status_given)
        return address_set_has(&a->status, client, len);
    return client->sa_family == AF_UNIX || address_is_loopback(client, len);
}

static bool check_status(struct allow_rules *a, const struct listener *l, const struct sockaddr *sa, socklen_t len) {
    static const struct sockaddr local = {.sa_family = AF_UNIX};
    char peer[ADDRESS_TEXT_SIZE];
    uint8_t who[ADDRESS_IDENTITY_SIZE];
    if (l->is_unix) /* whose peer has no name, as a rule, and perhaps not even a family */
        sa = &local, len = sizeof local;
    if (allow_permits_status(a, sa, len))
        return true;
    size_t n = address_identity(sa, len, who);
    report(a, l, l->is_unix ? "a process of this machine" : address_format(sa, len, peer), who, n,
           "it may not see the status page: name its address with --status-allow to let it in");
    return false;
}

bool allow_check(struct allow_rules *a, const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len) {
    if (l->protocol == LISTENER_STATUS)
        return check_status(a, l, sa, len);
    return l->is_unix ? check_user(a, l, fd) : check_address(a, l, sa, len);
}
