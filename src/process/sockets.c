#include "config.h"

#include "process/sockets.h"

#include "base/log.h"
#include "cli/help.h"
#include "cli/option_table.h"
#include "net/listen/address.h"
#include "net/peer.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static bool is_inherited(const char *address) {
    return !strncmp(address, "fd:", 3);
}

static int check_address(const char *option, const char *address) {
    char reason[ADDRESS_REASON_SIZE];
    struct address *list;
    size_t count;
    int status = address_parse(address, &list, &count, reason);
    if (status)
        log_error("%s %s: %s", option, address, reason);
    else
        free(list);
    return status;
}

int listen_check(const struct options *o) {
    int status = 0;
    for (size_t i = 0; i < o->sockets.count && !status; i++)
        status = check_address("--socket", o->sockets.items[i]);
    for (size_t i = 0; i < o->http.count && !status; i++)
        status = check_address("--http", o->http.items[i]);
    if (!status && o->proxy_protocol && !o->forwarded_allow.count) {
        log_error("--proxy-protocol: name the proxies that speak it with --forwarded-allow");
        status = EX_USAGE;
    }
    return status;
}

/* Opens the addresses of a list that are, or are not, sockets of the parent process. */
static int open_list(const struct options *o, const struct options_list *addresses, enum listener_protocol protocol,
                     bool inherited, struct listener_set *set) {
    struct listener_settings settings = {.mode = o->socket_mode,
                                         .owner = o->socket_owner,
                                         .group = o->socket_group,
                                         .backlog = o->backlog,
                                         .protocol = protocol};
    int status = 0;
    for (size_t i = 0; i < addresses->count && !status; i++) {
        if (is_inherited(addresses->items[i]) == inherited)
            status = listener_open(set, addresses->items[i], &settings);
    }
    return status;
}

static int open_all(const struct options *o, bool inherited, struct listener_set *set) {
    int status = open_list(o, &o->sockets, LISTENER_FASTCGI, inherited, set);
    return status ? status : open_list(o, &o->http, LISTENER_HTTP, inherited, set);
}

int listen_open(const struct options *o, struct listener_set *set) {
    if (!o->sockets.count && !o->http.count && listener_stdin_is_socket())
        return listener_open_stdin(set);
    if (!o->sockets.count && !o->http.count && !o->check) {
        help_show_example();
        log_error("no socket to listen on: give one with %s (descriptor 0 is not a listening socket)",
                  WSGI_FCGI_HTTP ? "--http, or with --socket for FastCGI" : "--socket");
        return EX_USAGE;
    }
    int status = open_all(o, true, set);
    return status || o->check ? status : open_all(o, false, set);
}

void listen_warn(const struct options *o, const struct listener_set *set, const struct allow_rules *allow,
                 const struct address_set *forwarded) {
    unsigned have = o->forwarded_allow.count ? 1u << OPTION_NEEDS_FORWARDED : 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct listener *l = &set->items[i];
        listener_warn_web_user(l);
        have |= 1u << (l->is_unix ? OPTION_NEEDS_UNIX : OPTION_NEEDS_TCP);
        have |= 1u << (l->protocol == LISTENER_HTTP ? OPTION_NEEDS_HTTP : OPTION_NEEDS_FASTCGI);
        have |= l->path ? 1u << OPTION_NEEDS_FILE : 0;
        have |= l->inherited ? 0 : 1u << OPTION_NEEDS_OWN_SOCKET;
    }
    options_warn(o, have);
    allow_warn(allow, set->items, set->count);
    peer_warn(forwarded, set->items, set->count);
}
