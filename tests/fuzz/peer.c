#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "peer.h"

#include "proto/fcgi_encode.h"

#include <fastcgi.h>
#include <string.h>

void peer_begin(struct peer *p) {
    peer_fini(p);
    *p = (struct peer){0};
}

/* What the server is allowed to answer depends on what it was sent. */
void peer_sent(struct peer *p, const uint8_t *data, size_t len) {
    const uint8_t *end = data + len;
    struct fcgi_event e;
    while (fcgi_decode(&p->sent, &data, end, &e) != FCGI_EVENT_MORE && e.type != FCGI_EVENT_ERROR) {
        if (e.type == FCGI_EVENT_BEGIN && e.id < PEER_IDS)
            p->begun[e.id]++;
        else if (e.type == FCGI_EVENT_VALUES_END || e.type == FCGI_EVENT_UNKNOWN)
            p->asked++;
    }
}

/* FastCGI 1.0, 5.3 and 5.5: a stream that was used ends once, all of them before END_REQUEST. */
static void check_request_record(struct peer *p, unsigned type, unsigned id, const uint8_t *content, size_t len) {
    assert(id != FCGI_NULL_REQUEST_ID);
    if (type == FCGI_END_REQUEST)
        assert(len == 8 && content[4] <= FCGI_UNKNOWN_ROLE && !content[5] && !content[6] && !content[7]);
    else
        assert(type == FCGI_STDOUT || type == FCGI_STDERR);
    if (id >= PEER_IDS)
        return;
    assert(p->ended[id] < p->begun[id]);
    bool *ended = type == FCGI_STDERR ? p->stderr_ended : p->stdout_ended;
    bool *used = type == FCGI_STDERR ? p->stderr_used : p->stdout_used;
    if (type != FCGI_END_REQUEST) {
        assert(!ended[id]);
        ended[id] = !len;
        used[id] = true;
        return;
    }
    assert(p->stdout_ended[id] == p->stdout_used[id] && p->stderr_ended[id] == p->stderr_used[id]);
    p->stdout_ended[id] = p->stdout_used[id] = p->stderr_ended[id] = p->stderr_used[id] = false;
    p->ended[id]++;
}

static void check_record(struct peer *p, const uint8_t *record, size_t len, size_t padding) {
    static const uint8_t zeros[8];
    unsigned type = record[1], id = (unsigned)(record[2] << 8 | record[3]);
    assert(record[0] == FCGI_VERSION_1 && !record[7] && !((len + padding) % 8) && padding < 8);
    assert(!memcmp(record + FCGI_RECORD_HEADER + len, zeros, padding));
    if (type != FCGI_GET_VALUES_RESULT && type != FCGI_UNKNOWN_TYPE) {
        check_request_record(p, type, id, record + FCGI_RECORD_HEADER, len);
        return;
    }
    assert(id == FCGI_NULL_REQUEST_ID && ++p->told <= p->asked);
}

static void check_answers(struct peer *p) {
    while (buf_len(&p->in) >= FCGI_RECORD_HEADER) {
        const uint8_t *record = (const uint8_t *)buf_head(&p->in);
        static const uint8_t broken_off[FCGI_RECORD_HEADER];
        if (!memcmp(record, broken_off, sizeof broken_off)) {
            assert(buf_len(&p->in) == sizeof broken_off); /* the end of an answer that was cut off, and of all */
            return;
        }
        size_t len = (size_t)record[4] << 8 | record[5], padding = record[6];
        if (buf_len(&p->in) < FCGI_RECORD_HEADER + len + padding)
            return;
        check_record(p, record, len, padding);
        buf_consume(&p->in, FCGI_RECORD_HEADER + len + padding);
    }
}

void peer_received(struct peer *p, const uint8_t *data, size_t len) {
    assert(!buf_append(&p->in, data, len));
    check_answers(p);
}

void peer_fini(struct peer *p) {
    buf_fini(&p->in);
}
