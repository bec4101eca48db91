#include "config.h"

#include "net/http/protocol.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/http/conn.h"
#include "net/http/input.h"
#include "net/http/request.h"
#include "net/lane_impl.h"
#include "proto/handover.h"

#include <stdlib.h>

enum { BODY_WINDOW_SECONDS = 30 /* without --header-timeout */ };

/* Returns NULL, with the descriptor closed, if there is no memory. */
static struct http_conn *begin(struct http_lane *http, int fd, const struct listener *l, const struct sockaddr *peer,
                               socklen_t len) {
    struct lane *lane = http->lane;
    struct http_conn *c = conn_alloc(&http->conns, sizeof *c);
    if (!c) {
        log_error("cannot accept a connection: out of memory");
        descriptors_close(fd);
        return NULL;
    }
    c->http = http;
    http_peer_init(&c->peer, &lane->config, fd, l->is_unix, peer, len);
    c->state = lane->config.proxy_protocol && c->peer.trusted ? HTTP_PROXY_STATE : HTTP_IDLE_STATE;
    c->q = NULL;
    c->waiting = c->skipped_line = false;
    c->closing = lane->stopping;
    c->nbegun = 0;
    conn_init(&c->conn, lane, fd, l->is_unix ? NULL : peer, &http_conn_ops);
    c->conn.listener = l;
    return c;
}

static void http_accept(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len) {
    struct http_conn *c = begin(state, fd, l, peer, len);
    if (!c)
        return;
    conn_ref(&c->conn);
    conn_read(&c->conn);
    http_conn_tell_rest(c);
    if (c->conn.state == CONN_OPEN) {
        if (!c->q && !c->nbegun)
            http_head_wait_begins(c);
        if (!http_conn_ops.complete(&c->conn))
            conn_poll(&c->conn);
    }
    conn_unref(&c->conn);
}

/* A PROXY header that was not there before is not waited for, whatever this process has been told. */
static void take_peer(struct http_conn *c, const struct handover_message *m) {
    struct proxy_header header = {.unknown = m->proxy == HANDOVER_PROXY_UNKNOWN};
    c->state = m->proxy == HANDOVER_PROXY_AWAITED ? HTTP_PROXY_STATE : HTTP_IDLE_STATE;
    if (m->proxy != HANDOVER_PROXY_UNKNOWN && m->proxy != HANDOVER_PROXY_ADDRESSES)
        return;
    header.source = m->client;
    header.destination = m->server;
    http_peer_proxied(&c->peer, &c->conn.lane->config, &header);
}

static void http_take(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len,
                      const struct handover_message *m) {
    struct http_conn *c = begin(state, fd, l, peer, len);
    if (!c)
        return;
    take_peer(c, m);
    c->nbegun = m->requests;
    conn_taken(&c->conn, m);
    conn_ref(&c->conn);
    if (!c->nbegun) {
        http_head_wait_begins(c);
        c->timeout.began_at = c->conn.active_at;
    }
    if (m->leftover.n)
        http_conn_ops.input(&c->conn, (const uint8_t *)m->leftover.p, m->leftover.n);
    else
        http_conn_tell_rest(c);
    conn_poll(&c->conn);
    conn_unref(&c->conn);
}

static void *http_state_new(struct lane *lane) {
    struct http_lane *http = calloc(1, sizeof *http);
    double window = lane->config.header_timeout;
    if (!http)
        return NULL;
    http->lane = lane;
    timeouts_init(&http->bodies, lane, window > 0 ? window : BODY_WINDOW_SECONDS);
    return http;
}

static void http_state_free(void *state) {
    struct http_lane *http = state;
    struct http_conn *c;
    struct http_request *q;
    while ((c = free_list_take(&http->conns)))
        http_conn_free(c);
    while ((q = free_list_take(&http->requests)))
        http_request_free(q);
    free(http);
}

const struct protocol http_protocol = {
    .state_new = http_state_new, .state_free = http_state_free, .accept = http_accept, .take = http_take};
