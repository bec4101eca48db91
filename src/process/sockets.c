#include "config.h"

#include "process/sockets.h"

#include "base/log.h"
#include "base/path.h"
#include "cli/help.h"
#include "cli/option_table.h"
#include "net/listen/address.h"
#include "net/peer.h"
#include "process/activation.h"
#include "process/user.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

/* Whose files sockets_unlink removes.
 * Mutable removed: the main thread; read by any, and within handlers of signals. */
static const struct listener_set *_Atomic removed;

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

/* A directory may be too deep for its sockets to have absolute addresses. Then the relative one is kept, which means
 * the same as long as nobody changes to another directory. Returns NULL if memory runs out. */
static char *absolute_address(const struct options *o, const char *address) {
    const char *path = address_path(address);
    char *absolute = path && path[0] ? path_absolute(o->start_directory, path) : strdup(address);
    if (!absolute || o->chdir || strlen(absolute) < sizeof((struct sockaddr_un *)0)->sun_path)
        return absolute;
    free(absolute);
    return strdup(address);
}

static int read_list(struct sockets *s, const struct options *o, const char *option,
                     const struct options_list *addresses, enum listener_protocol protocol) {
    const char *const *where = options_where(o, option);
    int status = 0;
    for (size_t i = 0; i < addresses->count && !status; i++) {
        struct sockets_wanted *w = &s->wanted[s->wanted_count];
        *w = (struct sockets_wanted){.text = absolute_address(o, addresses->items[i]), .protocol = protocol};
        s->wanted_count++;
        status = w->text ? address_read(where[i], w->text, &w->list, &w->count) : no_memory();
        status = options_status(o, option, status);
    }
    return status;
}

static int read_addresses(struct sockets *s, const struct options *o) {
    s->wanted = calloc(o->sockets.count + o->http.count + o->status.count + 1, sizeof *s->wanted);
    if (!s->wanted)
        return no_memory();
    int status = read_list(s, o, "--socket", &o->sockets, LISTENER_FASTCGI);
    if (!status)
        status = read_list(s, o, "--http", &o->http, LISTENER_HTTP);
    s->wanted_serving = s->wanted_count;
    return status ? status : read_list(s, o, "--status", &o->status, LISTENER_STATUS);
}

static int read_allow(struct sockets *s, const struct options *o) {
    struct allow_settings settings = {
        .allow = o->allow.items,
        .allow_sources = options_where(o, "--allow"),
        .nallow = o->allow.count,
        .web_server_addrs = getenv("FCGI_WEB_SERVER_ADDRS"),
        .users = o->allow_uid.items,
        .user_sources = options_where(o, "--allow-uid"),
        .nusers = o->allow_uid.count,
        .groups = o->allow_gid.items,
        .group_sources = options_where(o, "--allow-gid"),
        .ngroups = o->allow_gid.count,
    };
    int status = options_status(o, "--allow", allow_init(&s->allow, &settings));
    if (status)
        return status;
    status =
        allow_init_status(&s->allow, options_where(o, "--status-allow"), o->status_allow.items, o->status_allow.count);
    return options_status(o, "--status-allow", status);
}

int sockets_read(struct sockets *s, const struct options *o) {
    int status = read_addresses(s, o);
    if (!status && o->proxy_protocol && !o->forwarded_allow.count) {
        log_error("%s: name the proxies that speak it with --forwarded-allow", options_name(o, "--proxy-protocol"));
        status = options_status(o, "--proxy-protocol", EX_USAGE);
    }
    if (!status)
        status = read_allow(s, o);
    if (status)
        return status;
    status = address_set_init(&s->proxies, options_where(o, "--forwarded-allow"), o->forwarded_allow.items,
                              o->forwarded_allow.count);
    return options_status(o, "--forwarded-allow", status);
}

static int open_wanted(struct sockets *s, const struct options *o, const struct sockets_wanted *w) {
    struct listener_user user = {s->user ? user_owner(s->user) : 0, s->user ? user_owning_group(s->user) : 0};
    struct listener_settings settings = {.mode = o->socket_mode,
                                         .owner = o->socket_owner,
                                         .group = o->socket_group,
                                         .owner_source = options_name(o, "--socket-owner"),
                                         .group_source = options_name(o, "--socket-group"),
                                         .backlog = o->backlog,
                                         .protocol = w->protocol,
                                         .asked = w->text,
                                         .user = s->user && s->user->changes ? &user : NULL};
    return listener_open(&s->opened, w->list, w->count, &settings);
}

/* Opens the sockets that are (`inherited`), or are not, those of the parent process. */
static int open_some(struct sockets *s, const struct options *o, bool inherited) {
    int status = 0;
    for (size_t i = 0; i < s->wanted_count && !status; i++) {
        if ((s->wanted[i].list[0].kind == ADDRESS_FD) == inherited)
            status = open_wanted(s, o, &s->wanted[i]);
    }
    return status;
}

static int complain_none(void) {
    help_show_example();
    log_error("no socket to listen on: give one with %s (descriptor 0 is not a listening socket)",
              WSGI_FCGI_HTTP ? "--http, or with --socket for FastCGI" : "--socket");
    return EX_USAGE;
}

static bool is_named(const void *arg, int fd) {
    const struct sockets *s = arg;
    for (size_t i = 0; i < s->wanted_count; i++) {
        if (s->wanted[i].list[0].kind == ADDRESS_FD && s->wanted[i].list[0].fd == fd)
            return true;
    }
    return false;
}

int sockets_open(struct sockets *s, const struct options *o) {
    removed = &s->opened; /* from before there is a file that would be left behind */
    int status = activation_open(&s->opened, is_named, s);
    if (status)
        return status;
    if (!s->wanted_serving && listener_stdin_is_socket())
        status = listener_open_stdin(&s->opened);
    else if (!s->wanted_serving && !s->opened.count && !o->check)
        status = complain_none();
    if (!status)
        status = open_some(s, o, true);
    return status || o->check ? status : open_some(s, o, false);
}

/* Appends *l to the set. It is marked as taken. */
static int take(struct listener_set *set, struct listener *l) {
    struct listener taken = *l;
    *l = (struct listener){.fd = -1};
    return listener_resume(set, &taken);
}

/* `asked` NULL: descriptor 0. Sets *found if there is one. */
static int take_asked(struct sockets *s, const char *asked, enum listener_protocol protocol, struct listener *old,
                      size_t nold, bool *found) {
    int status = 0;
    for (size_t i = 0; i < nold && !status; i++) {
        struct listener *l = &old[i];
        if (l->fd >= 0 && l->protocol == protocol && !l->activated && !l->asked == !asked &&
            (!asked || !strcmp(l->asked, asked))) {
            *found = true;
            status = take(&s->opened, l);
        }
    }
    return status;
}

/* Those of systemd, which passes nothing to a program that this process executes. */
static int take_activated(struct sockets *s, struct listener *old, size_t nold, bool *found) {
    int status = 0;
    for (size_t i = 0; i < nold && !status; i++) {
        if (old[i].fd >= 0 && old[i].activated) {
            *found = true;
            status = take(&s->opened, &old[i]);
        }
    }
    return status;
}

static int take_or_open(struct sockets *s, const struct options *o, struct listener *old, size_t nold) {
    bool *found = calloc(s->wanted_count + 1, sizeof *found);
    int status = found ? 0 : no_memory();
    for (size_t i = 0; i < s->wanted_count && !status; i++)
        status = take_asked(s, s->wanted[i].text, s->wanted[i].protocol, old, nold, &found[i]);
    /* Last, because it may fail: then those that are there are all taken. */
    for (size_t i = 0; i < s->wanted_count && !status; i++) {
        if (!found[i])
            status = open_wanted(s, o, &s->wanted[i]);
    }
    free(found);
    return status;
}

static int take_rest(struct listener_set *set, struct listener *old, size_t nold) {
    int status = 0;
    for (size_t i = 0; i < nold; i++) {
        int failed = old[i].fd >= 0 ? take(set, &old[i]) : 0;
        status = status ? status : failed;
    }
    return status;
}

int sockets_keep(struct sockets *s, struct listener *old, size_t nold) {
    removed = &s->opened;
    return take_rest(&s->opened, old, nold);
}

int sockets_resume(struct sockets *s, const struct options *o, struct listener *old, size_t nold,
                   struct listener_set *left) {
    bool found = false;
    removed = &s->opened;
    int status = take_activated(s, old, nold, &found);
    if (!status && !s->wanted_serving)
        status = take_asked(s, NULL, LISTENER_FASTCGI, old, nold, &found);
    if (!status && !s->wanted_serving && !found)
        status = complain_none();
    if (!status)
        status = take_or_open(s, o, old, nold);
    int failed = take_rest(left, old, nold);
    return status ? status : failed;
}

void sockets_warn(const struct sockets *s, const struct options *o) {
    const struct listener_set *set = &s->opened;
    unsigned have = o->forwarded_allow.count ? 1u << OPTION_NEEDS_FORWARDED : 0;
    have |= o->status_path ? 1u << OPTION_NEEDS_STATUS : 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct listener *l = &set->items[i];
        have |= l->path ? 1u << OPTION_NEEDS_FILE : 0;
        have |= l->inherited ? 0 : 1u << OPTION_NEEDS_OWN_SOCKET;
        if (l->protocol == LISTENER_STATUS) {
            have |= 1u << OPTION_NEEDS_STATUS;
            continue;
        }
        listener_warn_web_user(l);
        have |= 1u << (l->is_unix ? OPTION_NEEDS_UNIX : OPTION_NEEDS_TCP);
        have |= 1u << (l->protocol == LISTENER_HTTP ? OPTION_NEEDS_HTTP : OPTION_NEEDS_FASTCGI);
    }
    options_warn(o, have);
    allow_warn(&s->allow, set->items, set->count);
    peer_warn(&s->proxies, set->items, set->count);
}

void sockets_stop(struct sockets *s) {
    for (size_t i = 0; i < s->opened.count; i++)
        listener_stop(&s->opened.items[i]);
}

void sockets_unlink(void) {
    const struct listener_set *set = removed;
    if (set)
        listener_unlink_all(set);
}

void sockets_fini(struct sockets *s) {
    removed = NULL;
    listener_close_all(&s->opened);
    allow_fini(&s->allow);
    address_set_fini(&s->proxies);
    for (size_t i = 0; i < s->wanted_count; i++) {
        free(s->wanted[i].text);
        free(s->wanted[i].list);
    }
    free(s->wanted);
}
