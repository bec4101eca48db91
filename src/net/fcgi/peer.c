#include "config.h"

#include "net/fcgi/peer.h"

#include <string.h>

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static bool web_server_trusts(const struct lane_config *config, const struct buf *params) {
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct slice remote = LITERAL("");
    struct params_pair pair;
    union peer_address address;
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR)
        if (equals(pair.name, "REMOTE_ADDR"))
            remote = pair.value;
    if (equals(remote, "unix:")) /* nginx's word for a peer of a Unix socket */
        return peer_is_trusted(config, &(const struct sockaddr){.sa_family = AF_UNIX});
    return forwarded_address(remote, &address) && peer_is_proxy(config, &address);
}

/* Whether the parameter describes the proxy, where another now describes the client. */
static bool is_stale(const struct peer_said *said, struct slice name) {
    if (equals(name, "REMOTE_ADDR") || equals(name, "REMOTE_PORT") || equals(name, "REMOTE_HOST"))
        return said->known;
    if (equals(name, "HTTPS") || equals(name, "REQUEST_SCHEME"))
        return said->scheme != PEER_SCHEME_UNSAID;
    if (equals(name, "HTTP_HOST") || equals(name, "SERVER_NAME"))
        return said->host[0];
    /* The web server's own port does not matter; the client's is in the host, or follows from the scheme. */
    return equals(name, "SERVER_PORT") && (said->host[0] || said->port || said->scheme != PEER_SCHEME_UNSAID);
}

/* Removes stale parameters. Returns whether REQUEST_SCHEME was one of them. */
static bool drop_stale(const struct peer_said *said, struct buf *params) {
    const char *pos = buf_head(params), *end = buf_tail(params), *begin = pos;
    char *out = buf_head(params);
    struct params_pair pair;
    bool had_scheme = false;
    for (; params_next(&pos, end, &pair) == PARAMS_PAIR; begin = pos) {
        size_t n = (size_t)(pos - begin);
        if (is_stale(said, pair.name)) {
            had_scheme |= equals(pair.name, "REQUEST_SCHEME");
            continue;
        }
        memmove(out, begin, n);
        out += n;
    }
    /* Malformed pairs are kept, for cgi_scan to find. */
    size_t left = (size_t)(end - begin);
    memmove(out, begin, left);
    params->end = (size_t)(out - params->data) + left;
    return had_scheme;
}

static int put_scheme(const struct peer_said *said, bool request_scheme, struct buf *params) {
    bool https = said->scheme == PEER_SCHEME_HTTPS;
    if (request_scheme && peer_put(params, LITERAL("REQUEST_SCHEME"), https ? LITERAL("https") : LITERAL("http")))
        return -1;
    return https ? peer_put(params, LITERAL("HTTPS"), LITERAL("on")) : 0;
}

int fcgi_peer_params(struct peer_said *said, const struct lane_config *config, struct buf *params) {
    char port[8];
    memset(said, 0, sizeof *said);
    if (!web_server_trusts(config, params))
        return 0;
    peer_read(said, config, params);
    bool request_scheme = drop_stale(said, params);
    if ((said->known && peer_put_client(said, params)) || put_scheme(said, request_scheme, params))
        return -1;
    if (said->host[0] && peer_put(params, LITERAL("HTTP_HOST"), (struct slice){said->host, strlen(said->host)}))
        return -1;
    if (said->port && peer_put(params, LITERAL("SERVER_PORT"), peer_port_text(said->port, port)))
        return -1;
    return peer_reserve_prefix(said, config, params);
}
