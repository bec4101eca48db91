#include "config.h"

#include "net/peer.h"

#include "base/ascii.h"
#include "base/log.h"
#include "proto/http_target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

bool peer_is_trusted(const struct lane_config *config, const struct sockaddr *sa) {
    return config->forwarded && address_set_has(config->forwarded, sa, sizeof(struct sockaddr_storage));
}

bool peer_connection_is_trusted(const struct lane_config *config, bool is_unix, const struct sockaddr *sa,
                                socklen_t len) {
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    if (!config->forwarded || (!is_unix && (!len || len > sizeof address)))
        return false;
    if (!is_unix)
        memcpy(&address, sa, len);
    return peer_is_trusted(config, (const struct sockaddr *)&address);
}

bool peer_is_proxy(const struct lane_config *config, const union peer_address *address) {
    struct sockaddr_storage sa = {0};
    memcpy(&sa, address, sizeof *address);
    return peer_is_trusted(config, (const struct sockaddr *)&sa);
}

int peer_put(struct buf *params, struct slice name, struct slice value) {
    size_t n = params_put(NULL, 0, name, value);
    if (buf_reserve(params, n))
        return -1;
    params->end += params_put(buf_tail(params), n, name, value);
    return 0;
}

struct slice peer_address_text(const struct sockaddr *sa, char out[static INET6_ADDRSTRLEN]) {
    const union peer_address *a = (const void *)sa;
    out[0] = '\0';
    if (sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &a->in.sin_addr, out, INET6_ADDRSTRLEN);
    else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
        inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
    else if (sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->in6.sin6_addr, out, INET6_ADDRSTRLEN);
    return (struct slice){out, strlen(out)};
}

struct slice peer_port_text(unsigned port, char out[static 8]) {
    return (struct slice){out, (size_t)snprintf(out, 8, "%u", port)};
}

unsigned peer_port(const struct sockaddr *sa) {
    const union peer_address *a = (const void *)sa;
    return ntohs(sa->sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

int peer_put_client(const struct peer_said *said, struct buf *params) {
    char text[INET6_ADDRSTRLEN], port[8];
    unsigned number = peer_port(&said->address.sa);
    if (peer_put(params, LITERAL("REMOTE_ADDR"), peer_address_text(&said->address.sa, text)))
        return -1;
    return number ? peer_put(params, LITERAL("REMOTE_PORT"), peer_port_text(number, port)) : 0;
}

/* What the fields say. */

struct fields {
    struct forwarded_list addresses, protos, hosts, ports, prefixes, forwarded;
};

static struct forwarded_list *list_of(struct fields *f, enum forwarded_kind kind, struct slice name) {
    if (equals(name, "HTTP_X_FORWARDED_FOR"))
        return kind == FORWARDED_X ? &f->addresses : NULL;
    if (equals(name, "HTTP_X_REAL_IP"))
        return kind == FORWARDED_X_REAL_IP ? &f->addresses : NULL;
    if (equals(name, "HTTP_X_FORWARDED_PROTO"))
        return &f->protos;
    if (equals(name, "HTTP_X_FORWARDED_HOST"))
        return &f->hosts;
    if (equals(name, "HTTP_X_FORWARDED_PORT"))
        return &f->ports;
    return equals(name, "HTTP_X_FORWARDED_PREFIX") ? &f->prefixes : NULL;
}

static void collect(struct fields *f, enum forwarded_kind kind, const struct buf *params) {
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    *f = (struct fields){0};
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (pair.name.n < sizeof "HTTP_X" - 1 || memcmp(pair.name.p, "HTTP_", 5))
            continue;
        if (kind == FORWARDED_RFC7239) {
            if (equals(pair.name, "HTTP_FORWARDED"))
                forwarded_append_elements(&f->forwarded, pair.value);
            continue;
        }
        struct forwarded_list *list = list_of(f, kind, pair.name);
        if (list)
            forwarded_append(list, pair.value);
    }
}

/* Finds the item that is the client: the nearest address that is not a trusted proxy's; if all are, the farthest.
 * Whatever comes before something that is no address was not written by anybody trusted. */
static size_t find_client(struct peer_said *said, const struct lane_config *config, const struct forwarded_list *list) {
    bool elements = config->forwarded_kind == FORWARDED_RFC7239;
    size_t found = list->count;
    for (size_t i = list->count; i-- > 0;) {
        union peer_address address;
        struct slice text = elements ? forwarded_parameter(list->items[i], "for") : list->items[i];
        if (!forwarded_address(text, &address))
            break;
        said->known = true;
        said->address = address;
        found = i;
        /* X-Real-IP is one address, not the way to it. */
        if (config->forwarded_kind == FORWARDED_X_REAL_IP || !peer_is_proxy(config, &address))
            break;
    }
    return found;
}

static struct slice last_of(const struct forwarded_list *list) {
    return list->count ? list->items[list->count - 1] : LITERAL("");
}

/* A web socket begins as a request of HTTP (RFC 6455, 3). */
static enum peer_scheme read_scheme(struct slice text) {
    static const struct {
        const char *name;
        enum peer_scheme scheme;
    } schemes[] = {
        {"https", PEER_SCHEME_HTTPS}, {"http", PEER_SCHEME_HTTP}, {"wss", PEER_SCHEME_HTTPS}, {"ws", PEER_SCHEME_HTTP}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (text.n == strlen(schemes[i].name) && ascii_equals_nocase(text.p, schemes[i].name, text.n))
            return schemes[i].scheme;
    return PEER_SCHEME_UNSAID;
}

static unsigned read_port(struct slice text) {
    unsigned port = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!ascii_is_digit(text.p[i]) || port > 65535)
            return 0;
        port = port * 10 + (unsigned)(text.p[i] - '0');
    }
    return port <= 65535 ? port : 0;
}

static void keep(char out[static PEER_TEXT_SIZE], struct slice text) {
    size_t n = text.n < PEER_TEXT_SIZE ? text.n : 0;
    if (n)
        memcpy(out, text.p, n);
    out[n] = '\0';
}

/* PEP 3333, "environ Variables": SCRIPT_NAME is empty or begins with a slash; it has none at its end. A second slash at
 * its beginning would make another host of it in URLs (RFC 3986, 4.2). */
static struct slice read_prefix(struct slice text) {
    while (text.n && text.p[text.n - 1] == '/')
        text.n--;
    if (!text.n || text.p[0] != '/' || (text.n > 1 && text.p[1] == '/'))
        return LITERAL("");
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f || strchr("\"#<>?\\^`{|}", text.p[i]))
            return LITERAL("");
    return text;
}

static void read_x_forwarded(struct peer_said *said, const struct lane_config *config, const struct fields *fields) {
    find_client(said, config, &fields->addresses);
    said->scheme = read_scheme(last_of(&fields->protos));
    said->port = read_port(last_of(&fields->ports));
    keep(said->host, last_of(&fields->hosts));
    keep(said->prefix, read_prefix(last_of(&fields->prefixes)));
}

static void read_forwarded(struct peer_said *said, const struct lane_config *config, const struct fields *fields) {
    const struct forwarded_list *list = &fields->forwarded;
    size_t found = find_client(said, config, list);
    if (!list->count)
        return;
    /* Even without an address, the nearest proxy has at least said how it was reached. */
    struct slice element = list->items[found < list->count ? found : found - 1];
    said->scheme = read_scheme(forwarded_parameter(element, "proto"));
    keep(said->host, forwarded_parameter(element, "host"));
}

void peer_read(struct peer_said *said, const struct lane_config *config, const struct buf *params) {
    struct fields fields;
    memset(said, 0, sizeof *said);
    collect(&fields, config->forwarded_kind, params);
    if (config->forwarded_kind == FORWARDED_RFC7239)
        read_forwarded(said, config, &fields);
    else
        read_x_forwarded(said, config, &fields);
    if (!http_is_authority((struct slice){said->host, strlen(said->host)}))
        said->host[0] = '\0';
}

/* The prefix. */

int peer_reserve_prefix(const struct peer_said *said, const struct lane_config *config, struct buf *params) {
    if (!said->prefix[0])
        return 0;
    /* SCRIPT_NAME is that of --script-name, or among the parameters. */
    return buf_reserve(params, strlen(said->prefix) + strlen(config->script_name) + buf_len(params));
}

void peer_set_prefix(const struct peer_said *said, struct buf *params, struct slice *script_name) {
    size_t n = strlen(said->prefix);
    if (!n)
        return;
    char *out = buf_tail(params);
    memcpy(out, said->prefix, n);
    if (script_name->n)
        memcpy(out + n, script_name->p, script_name->n);
    *script_name = (struct slice){out, n + script_name->n};
}

void peer_warn(const struct address_set *forwarded, const struct listener *list, size_t count) {
    bool has_unix = false, has_tcp = false, has_http = false, addresses = forwarded->any || forwarded->nnets;
    for (size_t i = 0; i < count; i++) {
        if (list[i].protocol == LISTENER_STATUS)
            continue;
        has_unix |= list[i].is_unix;
        has_tcp |= !list[i].is_unix;
        has_http |= list[i].protocol == LISTENER_HTTP;
    }
    if (forwarded->unix_peers && !has_unix)
        log_warning("--forwarded-allow unix has no effect: no Unix socket listens");
    else if (addresses && !forwarded->unix_peers && !has_tcp)
        log_warning("--forwarded-allow has no effect: only Unix sockets listen, whose peers are named by unix");
    else if (forwarded->unix_peers && !addresses && !has_http)
        log_warning(
            "--forwarded-allow names the web server alone: over FastCGI, name the proxies in front of it as well, by "
            "the addresses that it sends as REMOTE_ADDR");
}
