#include "config.h"

#include "net/fcgi/request.h"

#include "unit/net/file_rig.h"
#include "unit/net/lane_rig.h"
#include "proto/fcgi_encode.h"
#include "unit/unit.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A body that is kept in a file, and ends before its call does. Nothing runs by itself: the loop does when a test says so,
 * and the application does not. */

enum { KEPT = 100 /* bytes of a body that stay in memory */ };

static struct fcgi_conn *c;

static void setup(void) {
    const struct lane_config config = {.threads = 2,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 4,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .idle_timeout = 10,
                                       .header_timeout = 30,
                                       .body = {.memory = KEPT, .total = 1 << 20, .spool_dir = "/tmp"},
                                       .stream_body = true,
                                       .script_name = ""};
    struct conn *conn = rig_open(&config, &fcgi_protocol, 0);
    c = (struct fcgi_conn *)(void *)((char *)conn - offsetof(struct fcgi_conn, conn));
}

static void put(uint8_t type, uint16_t id, const void *content, size_t len) {
    uint8_t record[FCGI_RECORD_HEADER + 1000 + 8] = {0};
    size_t size = FCGI_RECORD_HEADER + len + fcgi_padding(len);
    fcgi_put_header(record, type, id, len);
    if (len)
        memcpy(record + FCGI_RECORD_HEADER, content, len);
    ck_assert_int_eq(send(peer, record, size, MSG_NOSIGNAL), (ssize_t)size);
    turn();
}

/* A request with a body of 1000 bytes, half of which is there, most of it in a file. */
static struct fcgi_request *spooled(uint16_t id) {
    static const char half[500], params[] = "\016\004CONTENT_LENGTH1000";
    static const uint8_t begin[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};
    put(FCGI_BEGIN_REQUEST, id, begin, sizeof begin);
    put(FCGI_PARAMS, id, params, sizeof params - 1);
    put(FCGI_PARAMS, id, NULL, 0);
    put(FCGI_STDIN, id, half, sizeof half);
    struct fcgi_request *q = TAILQ_LAST(&c->requests, fcgi_requests);
    ck_assert_ptr_nonnull(q);
    ck_assert(body_has_file(&q->x.r.body));
    return q;
}

/* The call is under way, and stays so until `end`. */
static void begin(struct fcgi_request *q) {
    ck_assert_int_eq(q->state, FCGI_JOB_STATE);
    ck_assert(sched_cancel(lane->sched, &q->x.r.job));
}

static void end(struct fcgi_request *q) {
    lock_held = false;
    q->x.r.job.ops->settle(&q->x.r.job);
}

/* The thread that does what comes next may have kept the lock; it is not given back for a line in the log, as that was said
 * in this second. */
static void keep_lock(enum refusal why) {
    struct fcgi_request *q = TAILQ_FIRST(&c->requests);
    refusal_log(&c->conn, why, q->x.id, &q->x.r, true);
    files_closed = 0;
    lock_held = true;
}

START_TEST(closed_when_nobody_reads)
{
    struct fcgi_request *q = spooled(1);
    begin(q);
    disk_full = true;
    put(FCGI_STDIN, 1, "more", 4);
    ck_assert(q->x.body_held);
    keep_lock(REFUSED_NO_SPOOL);
    ck_assert_ptr_eq(c->conn.ops->idle(&c->conn), CONN_DONE);
    ck_assert_int_eq(files_closed, 1);
    end(q);
}
END_TEST

START_TEST(closed_when_the_rest_does_not_come)
{
    struct fcgi_request *q = spooled(1), *other = spooled(2);
    begin(q);
    begin(other);
    q->stdin_at -= 1000;
    c->stalls_looked_at -= 1000;
    keep_lock(REFUSED_BODY_STALLED);
    put(FCGI_STDIN, 2, "more", 4);
    ck_assert_int_eq(body_error(&q->x.r.body), ETIMEDOUT);
    ck_assert_int_eq(files_closed, 1);
    end(q);
    end(other);
}
END_TEST

/* One whose id is that of an aborted request, which still runs. */
START_TEST(closed_when_it_is_aborted_while_it_waits)
{
    struct fcgi_request *running = spooled(1);
    begin(running);
    put(FCGI_ABORT_REQUEST, 1, NULL, 0);
    struct fcgi_request *q = spooled(1);
    ck_assert_ptr_ne(q, running);
    keep_lock(REFUSED_BODY_STALLED);
    put(FCGI_ABORT_REQUEST, 1, NULL, 0);
    ck_assert_int_eq(files_closed, 1);
    end(running);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("fcgi_files");
    TCase *tc = tcase_create("files");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, closed_when_nobody_reads);
    tcase_add_test(tc, closed_when_the_rest_does_not_come);
    tcase_add_test(tc, closed_when_it_is_aborted_while_it_waits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
