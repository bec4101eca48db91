#include "config.h"

#include "net/fcgi/protocol.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/fcgi/conn.h"
#include "net/fcgi/request.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "proto/handover.h"

#include <stdlib.h>

static const ev_tstamp SILENCE = 0.05; /* seconds; a peer that means to send more of a body does so in less */
static const ev_tstamp STALL = 0.5;    /* unless it has too much else to do */

/* Returns NULL, with the descriptor closed, if there is no memory. */
static struct fcgi_conn *begin(struct fcgi_lane *fcgi, int fd, const struct listener *l, const struct sockaddr *peer,
                               socklen_t len) {
    struct lane *lane = fcgi->lane;
    struct fcgi_conn *c = conn_alloc(&fcgi->conns, sizeof *c);
    if (!c) {
        log_error("cannot accept a connection: out of memory");
        descriptors_close(fd);
        return NULL;
    }
    c->fcgi = fcgi;
    c->decoder = (struct fcgi_decoder){0};
    c->values = (struct fcgi_values){0};
    c->closing = lane->stopping;
    c->nrequests = c->nbegun = 0;
    c->asked = c->unread = c->not_kept = c->given_up = c->goes_on = c->ending = c->settling = false;
    c->trusted = peer_connection_is_trusted(&lane->config, l->is_unix, peer, len);
    c->stalls_looked_at = 0;
    TAILQ_INIT(&c->requests);
    conn_init(&c->conn, lane, fd, l->is_unix ? NULL : peer, &fcgi_conn_ops);
    c->conn.listener = l;
    return c;
}

static void fcgi_accept(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len) {
    struct fcgi_conn *c = begin(state, fd, l, peer, len);
    if (!c)
        return;
    conn_ref(&c->conn);
    conn_read(&c->conn);
    if (!c->conn.used)
        fcgi_conn_tell_rest(c);
    /* A connection that ends with a request that came whole is not polled yet: the request is answered before the loop
     * waits, or else the lane begins to poll the connection then (lane.c). */
    if (c->conn.state == CONN_OPEN && !fcgi_conn_ops.complete(&c->conn))
        conn_poll(&c->conn);
    conn_unref(&c->conn);
}

static void fcgi_take(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len,
                      const struct handover_message *m) {
    struct fcgi_conn *c = begin(state, fd, l, peer, len);
    if (!c)
        return;
    c->nbegun = m->requests;
    c->asked = m->asked;
    c->unread = m->unread;
    conn_taken(&c->conn, m);
    conn_ref(&c->conn);
    if (m->leftover.n)
        fcgi_conn_ops.input(&c->conn, (const uint8_t *)m->leftover.p, m->leftover.n);
    else
        fcgi_conn_tell_rest(c);
    conn_poll(&c->conn);
    conn_unref(&c->conn);
}

static void *fcgi_state_new(struct lane *lane) {
    struct fcgi_lane *fcgi = calloc(1, sizeof *fcgi);
    if (!fcgi)
        return NULL;
    fcgi->lane = lane;
    timeouts_init(&fcgi->silence, lane, SILENCE);
    timeouts_init(&fcgi->stall, lane, STALL);
    return fcgi;
}

static void fcgi_state_free(void *state) {
    struct fcgi_lane *fcgi = state;
    struct fcgi_conn *c;
    struct fcgi_request *q;
    while ((c = free_list_take(&fcgi->conns)))
        fcgi_conn_free(c);
    while ((q = free_list_take(&fcgi->requests)))
        fcgi_request_free(q);
    free(fcgi);
}

const struct protocol fcgi_protocol = {
    .state_new = fcgi_state_new, .state_free = fcgi_state_free, .accept = fcgi_accept, .take = fcgi_take};
