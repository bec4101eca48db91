#include "config.h"

#include "net/who.h"

#include "base/clock.h"
#include "net/listen/address.h"
#include "net/lane_impl.h"
#include "net/peer.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* *address is left alone when the text is none. */
static bool read_address(struct slice text, union peer_address *address) {
    union peer_address read;
    if (!forwarded_address(text, &read))
        return false;
    *address = read;
    return true;
}

bool who_read_remote(const struct buf *params, union peer_address *address) {
    static const char name[] = "REMOTE_ADDR";
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    struct slice remote = {"", 0};
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (pair.name.n == sizeof name - 1 && !memcmp(pair.name.p, name, pair.name.n))
            remote = pair.value; /* of several the last one counts (cgi_scan) */
    }
    return read_address(remote, address);
}

struct who who_find(const struct conn *c, const struct request *r) {
    struct who who = {.conn = c};
    if (r && r->vars.method.n)
        (void)read_address(r->vars.remote_addr, &who.client);
    else if (c->ops->client)
        c->ops->client(c, r, &who.client);
    return who;
}

/* If there are ever more topics than places, the last ones share a place. */
static struct log_topic *find_topic(struct lane *lane, const void *about) {
    struct lane_topic *t = lane->topics, *last = t + LANE_TOPICS - 1;
    while (t < last && t->about && t->about != about)
        t++;
    t->about = about;
    return &t->topic;
}

bool who_log_due(const struct who *who, const void *about, char more[static LOG_TABLE_MORE_SIZE]) {
    struct lane *lane = who->conn->lane;
    bool known = who->client.sa.sa_family != AF_UNSPEC;
    const union peer_address *whose = known ? &who->client : &who->conn->peer;
    uint8_t bytes[ADDRESS_IDENTITY_SIZE];
    size_t n = address_identity(&whose->sa, sizeof *whose, bytes);
    return log_table_due(&lane->log_table, find_topic(lane, about), bytes, n, clock_ns(), more);
}

static void put_process(const struct conn *c, char *out, size_t size) {
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (c->fd < 0 || getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        snprintf(out, size, "peer a process of this machine");
    else
        snprintf(out, size, "peer process %ld of user %lu", (long)cred.pid, (unsigned long)cred.uid);
}

const char *who_text(const struct who *who, char out[static WHO_TEXT_SIZE]) {
    const struct conn *c = who->conn;
    char address[INET6_ADDRSTRLEN];
    size_t n = 0;
    if (who->client.sa.sa_family != AF_UNSPEC)
        n = (size_t)snprintf(out, WHO_TEXT_SIZE, "client %s, ", peer_address_text(&who->client.sa, address).p);
    if (c->is_unix) {
        put_process(c, out + n, WHO_TEXT_SIZE - n);
        return out;
    }
    char peer[ADDRESS_TEXT_SIZE];
    snprintf(out + n, WHO_TEXT_SIZE - n, "peer %s", address_format(&c->peer.sa, sizeof c->peer, peer));
    return out;
}
