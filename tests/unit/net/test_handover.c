#include "config.h"

#include "net/handover.h"

#include "base/descriptors.h"
#include "ipc/fd_socket.h"
#include "ipc/scoreboard.h"
#include "net/fcgi/request.h"
#include "net/http/protocol.h"
#include "net/lane_impl.h"
#include "proto/fcgi_encode.h"
#include "proto/handover.h"
#if WSGI_FCGI_HTTP
#include "net/http/request.h"
#endif
#include "unit/unit.h"

#include <errno.h>
#include <fastcgi.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connections that move between the lanes of two workers, which are both in this process. Nothing runs by itself: the
 * loops and the application do when a test says so. What the application answers is the path that it was asked for, so
 * that an answer which belongs to another request is seen. */

enum { WORKERS = 2, MANY = 10000, ROOM = 4 /* --max-connections */, ANSWER = 300 };

static struct worker {
    struct lane *lane;
    struct handover_config config;
    struct listener_set set;
    struct listener listener;
    uid_t uids[1];
    struct allow_rules rules;
} workers[WORKERS];

static int queue[2], board_fd;
static struct scoreboard *board;
static int peer; /* the other end of the connection; below 0 once a test has closed it */
static bool http;
static size_t more;         /* bytes that the application adds to its answer */
static bool breaks;         /* it breaks off */
static char client[ANSWER]; /* REMOTE_ADDR of the last request */

static void run_cb(struct request *r, void *user) {
    static char zeros[1 << 20];
    char answer[ANSWER];
    struct slice path = r->vars.path_info[0];
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    snprintf(client, sizeof client, "%.*s", (int)r->vars.remote_addr.n, r->vars.remote_addr.p);
    r->broken_off = breaks;
    int n = snprintf(answer, sizeof answer, "(%.*s)", (int)path.n, path.p);
    ck_assert_int_eq(r->answer_ops->put(r, answer, (size_t)n), 0);
    if (more)
        ck_assert_int_eq(r->answer_ops->put(r, zeros, more), 0);
}

/* The workers. */

static void set_state(unsigned i, enum scoreboard_state state) {
    atomic_store(&board->slots[i].state, state);
}

static int adopted(int fd) {
    ck_assert_int_ge(fd, 0);
    descriptors_lock();
    fd = descriptors_adopt(fd);
    descriptors_unlock();
    ck_assert_int_ge(fd, 0);
    return fd;
}

static int listen_socket(void) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof any.sun_family), 0);
    ck_assert_int_eq(listen(fd, 10), 0);
    return fd;
}

static void worker_open(struct worker *w, unsigned i, int listener) {
    *w = (struct worker){.config = {.send_fd = queue[1], .receive_fd = queue[0], .board = board, .slot = i}};
    w->listener = (struct listener){.fd = adopted(dup(listener)),
                                    .is_unix = true,
                                    .protocol = http ? LISTENER_HTTP : LISTENER_FASTCGI,
                                    .text = "/run/test.sock"};
    w->set.items = &w->listener;
    w->set.count = 1;
    const struct lane_config config = {.protocols =
                                           {
                                               [LISTENER_FASTCGI] = &fcgi_protocol,
#if WSGI_FCGI_HTTP
                                               [LISTENER_HTTP] = &http_protocol,
#endif
                                           },
                                       .threads = 2,
                                       .queue_limit = 10,
                                       .max_connections = ROOM,
                                       .limit_requests = 8,
                                       .limit_params = 30000,
                                       .limit_param_count = 20,
                                       .idle_timeout = 60,
                                       .header_timeout = 60,
                                       .body = {.memory = 65536},
                                       .script_name = "",
                                       .handover = &w->config,
                                       .run = run_cb};
    w->lane = lane_new(&config, &w->set);
    ck_assert_ptr_nonnull(w->lane);
    set_state(i, SCOREBOARD_SERVING);
}

static void setup(void) {
    int listener = listen_socket();
    peer = -1;
    more = 0;
    breaks = false;
    ck_assert_int_eq(fd_socket_pair(queue), 0);
    board = scoreboard_new(&board_fd);
    ck_assert_ptr_nonnull(board);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_open(&workers[i], i, listener);
    close(listener);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        for (unsigned i = 0; i < WORKERS; i++)
            handover_add_peer(workers[i].lane, slot, adopted(dup(fd)));
        close(fd);
    }
}

static void setup_fcgi(void) {
    http = false;
    setup();
}

#if WSGI_FCGI_HTTP
static void setup_http(void) {
    http = true;
    setup();
}
#endif

static void turn(unsigned i) {
    ev_run(workers[i].lane->loop, EVRUN_NOWAIT);
}

static void turns(void) {
    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < WORKERS; i++)
            turn(i);
    }
}

static unsigned count(unsigned i) {
    return atomic_load(&workers[i].lane->nconns);
}

static void teardown(void) {
    if (peer >= 0)
        close(peer);
    turns();
    for (unsigned i = 0; i < WORKERS; i++) {
        ck_assert_uint_eq(count(i), 0);
        ck_assert_uint_eq(workers[i].lane->nlive, 0);
        lane_free(workers[i].lane);
        if (workers[i].listener.fd >= 0)
            descriptors_close(workers[i].listener.fd);
    }
    scoreboard_unmap(board);
    descriptors_close(board_fd);
    descriptors_close(queue[0]);
    descriptors_close(queue[1]);
}

/* Connections. */

/* Returns the peer's end. */
static int connect_to(unsigned i) {
    struct worker *w = &workers[i];
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    enum listener_protocol protocol = w->listener.protocol;
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    w->lane->config.protocols[protocol]->accept(w->lane->protocol_states[protocol], adopted(pair[0]), &w->listener,
                                                (struct sockaddr *)&sa, sizeof sa.ss_family);
    return pair[1];
}

static void open_at(unsigned i) {
    peer = connect_to(i);
    turn(i);
}

static struct conn *conn_at(unsigned i) {
    return TAILQ_LAST(&workers[i].lane->conns, conn_list);
}

static bool give(unsigned i) {
    return handover_give(conn_at(i));
}

/* It is given by one and taken by the other. */
static void move(unsigned from) {
    unsigned to = !from, had = count(to);
    ck_assert(give(from));
    turn(to);
    ck_assert_uint_eq(count(to), had + 1);
}

/* What the peer sends. */

static char bytes[70000];
static size_t nbytes;

static void add(const void *data, size_t len) {
    ck_assert_uint_le(nbytes + len, sizeof bytes);
    memcpy(bytes + nbytes, data, len);
    nbytes += len;
}

static void add_record(uint8_t type, uint16_t id, const void *content, size_t len) {
    uint8_t header[FCGI_RECORD_HEADER];
    static const uint8_t zeros[8];
    fcgi_put_header(header, type, id, len);
    add(header, sizeof header);
    add(content ? content : zeros, len);
    add(zeros, fcgi_padding(len));
}

static void add_begin(uint16_t id, bool keep) {
    const uint8_t begin[8] = {0, FCGI_RESPONDER, keep};
    add_record(FCGI_BEGIN_REQUEST, id, begin, sizeof begin);
}

static void add_params(uint16_t id, const char *path) {
    char params[200];
    size_t n = params_put(params, sizeof params, LITERAL("PATH_INFO"), (struct slice){path, strlen(path)});
    n += params_put(params + n, sizeof params - n, LITERAL("SCRIPT_NAME"), LITERAL(""));
    add_record(FCGI_PARAMS, id, params, n);
    add_record(FCGI_PARAMS, id, NULL, 0);
}

static void add_request(uint16_t id, const char *path) {
    char text[200];
    if (http) {
        add(text, (size_t)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path));
        return;
    }
    add_begin(id, true);
    add_params(id, path);
    add_record(FCGI_STDIN, id, NULL, 0);
}

static void say_part(size_t from, size_t to) {
    ck_assert_int_eq(send(peer, bytes + from, to - from, MSG_NOSIGNAL), (ssize_t)(to - from));
}

static void say(void) {
    say_part(0, nbytes);
    nbytes = 0;
}

/* The application. */

static struct sched_job *job_of(struct conn *c) {
#if WSGI_FCGI_HTTP
    if (http)
        return http_conn_of(c)->q ? &http_conn_of(c)->q->x.r.job : NULL;
#endif
    struct fcgi_request *q;
    TAILQ_FOREACH(q, &fcgi_conn_of(c)->requests, link) {
        if (q->state == FCGI_JOB_STATE)
            return &q->x.r.job;
    }
    return NULL;
}

/* Calls the application for one request. Returns false when none waits for it. */
static bool call(unsigned i) {
    struct conn *c;
    struct sched_job *job = NULL;
    TAILQ_FOREACH(c, &workers[i].lane->conns, link) {
        if (!job)
            job = job_of(c);
    }
    if (!job || !sched_cancel(workers[i].lane->sched, job))
        return false;
    job->ops->run(job, NULL);
    job->ops->settle(job);
    return true;
}

/* Whether exactly one answer came, and it is the one for this path. */
static bool answered(const char *path) {
    static char came[1 << 16];
    char wanted[ANSWER];
    ssize_t n = recv(peer, came, sizeof came - 1, MSG_DONTWAIT);
    if (n <= 0)
        return false;
    came[n] = '\0';
    int len = snprintf(wanted, sizeof wanted, "(%s)", path);
    char *begin = memmem(came, (size_t)n, "(", 1);
    return begin && !strncmp(begin, wanted, (size_t)len) && !memmem(begin + 1, (size_t)(came + n - begin - 1), "(", 1);
}

static bool is_silent(void) {
    char byte;
    return recv(peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool at_end(void) {
    char byte;
    ssize_t n;
    while ((n = recv(peer, &byte, 1, MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || errno == ECONNRESET;
}

/* A request that this worker answers. */
static void serve(unsigned i, const char *path) {
    nbytes = 0;
    add_request(1, path);
    say();
    turn(i);
    REQUIRE(call(i));
    turn(i);
    REQUIRE(answered(path));
}

/* A connection that rests goes. */

START_TEST(a_new_connection_is_given)
{
    open_at(0);
    ck_assert_int_eq(conn_at(0)->rest, CONN_RESTING);
    move(0);
    ck_assert_uint_eq(count(0), 0);
    ck_assert(is_silent());
    serve(1, "/a");
    move(1);
    serve(0, "/b");
}
END_TEST

START_TEST(a_used_one_goes_on)
{
    open_at(0);
    serve(0, "/a");
    serve(0, "/b");
    ck_assert_int_eq(conn_at(0)->rest, CONN_RESTING);
    double active_at = conn_at(0)->active_at;
    move(0);
    ck_assert(conn_at(1)->used);
    ck_assert_int_eq(conn_at(1)->rest, CONN_RESTING);
    ck_assert_double_le(conn_at(1)->active_at, active_at + 1e-6);
    ck_assert_ptr_eq(conn_at(1)->listener, &workers[1].listener);
#if WSGI_FCGI_HTTP
    if (http)
        ck_assert_uint_eq(http_conn_of(conn_at(1))->nbegun, 2);
#endif
    if (!http)
        ck_assert_uint_eq(fcgi_conn_of(conn_at(1))->nbegun, 2);
    serve(1, "/c");
}
END_TEST

/* It is readable, and neither worker has read it. */
START_TEST(what_was_not_read_goes_along)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    move(0);
    turn(1);
    ck_assert(call(1));
    ck_assert(answered("/a"));
}
END_TEST

START_TEST(a_peer_that_has_left_is_noticed_where_it_goes)
{
    open_at(0);
    if (_i)
        serve(0, "/a");
    close(peer);
    peer = -1;
    move(0);
    turn(1);
    ck_assert_uint_eq(count(1), 0);
}
END_TEST

START_TEST(a_peer_may_leave_while_it_waits_in_the_queue)
{
    open_at(0);
    ck_assert(give(0));
    close(peer);
    peer = -1;
    turns();
    ck_assert_uint_eq(count(0) + count(1), 0);
}
END_TEST

START_TEST(nothing_is_lost_however_often_it_goes)
{
    char path[20];
    open_at(0);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "/%u", i);
        nbytes = 0;
        add_request((uint16_t)(1 + i % 7), path);
        bool read = i % 3 == 0; /* it goes before the request comes, or between its halves, or with all of it unread */
        size_t half = i % 3 == 1 ? nbytes / 2 : 0;
        if (!read)
            say_part(half, half ? half : nbytes);
        unsigned from = i % 2;
        REQUIRE(handover_give(conn_at(from)));
        if (read)
            say_part(0, nbytes);
        else if (half)
            say_part(0, nbytes);
        turn(!from);
        turn(!from);
        REQUIRE(call(!from));
        REQUIRE(answered(path));
        REQUIRE(count(from) == 0 && count(!from) == 1);
    }
}
END_TEST

/* The limit counts what was served elsewhere. */
START_TEST(requests_are_counted_on)
{
    workers[1].lane->config.keepalive_requests = 3;
    open_at(0);
    serve(0, "/a");
    serve(0, "/b");
    move(0);
    serve(1, "/c");
    ck_assert(at_end());
}
END_TEST

/* Others stay. */

START_TEST(one_with_a_request_in_work_stays)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    ck_assert(!give(0));
    ck_assert(call(0));
    ck_assert(answered("/a"));
    ck_assert(give(0));
}
END_TEST

START_TEST(one_with_a_part_of_a_body_stays)
{
    open_at(0);
    nbytes = 0;
    if (http)
        add("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", 48);
    else {
        add_begin(1, true);
        add_params(1, "/");
        add_record(FCGI_STDIN, 1, "ab", 2);
    }
    say();
    turn(0);
    ck_assert(!give(0));
}
END_TEST

START_TEST(one_that_owes_output_stays)
{
    open_at(0);
    ck_assert_int_eq(setsockopt(conn_at(0)->fd, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    more = 1 << 20;
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    ck_assert(call(0));
    ck_assert(conn_blocked(conn_at(0)));
    ck_assert(!give(0));
    while (count(0) && conn_blocked(conn_at(0))) {
        (void)recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
        turn(0);
    }
    ck_assert(give(0));
}
END_TEST

START_TEST(one_whose_peer_ended_its_side_stays)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    turn(0);
    ck_assert(!give(0));
    ck_assert(call(0));
    ck_assert(answered("/a"));
    ck_assert(at_end());
}
END_TEST

START_TEST(one_that_is_not_kept_stays)
{
    open_at(0);
    nbytes = 0;
    if (http)
        add("GET /a HTTP/1.0\r\n\r\n", 19);
    else {
        add_begin(1, false);
        add_params(1, "/a");
        add_record(FCGI_STDIN, 1, NULL, 0);
    }
    say();
    turn(0);
    ck_assert(call(0));
    ck_assert(TAILQ_EMPTY(&workers[0].lane->rests[CONN_RESTING]));
    if (conn_at(0))
        ck_assert(!give(0));
    ck_assert(answered("/a"));
    ck_assert(at_end());
}
END_TEST

START_TEST(all_stay_when_nobody_else_serves)
{
    open_at(0);
    set_state(1, _i ? SCOREBOARD_ENDING : SCOREBOARD_STARTING);
    ck_assert(!give(0));
    serve(0, "/a");
    set_state(1, SCOREBOARD_SERVING);
    ck_assert(give(0));
}
END_TEST

/* At every byte of a request: either it goes, and the other worker goes on where this one was, or it stays and is
 * answered here. */
START_TEST(at_any_byte_of_a_request)
{
    unsigned given = 0, at = 0;
    nbytes = 0;
    add_request(3, "/abc");
    size_t len = nbytes;
    open_at(at);
    for (size_t cut = 0; cut <= len; cut++) {
        say_part(0, cut);
        turn(at);
        bool gone = give(at);
        given += gone;
        at ^= gone;
        turn(at);
        ck_assert_uint_eq(count(at), 1);
        if (cut < len)
            say_part(cut, len);
        turn(at);
        turn(at);
        ck_assert(call(at));
        ck_assert(answered("/abc"));
    }
    /* All of an HTTP header is left over until it is complete; of FastCGI it is the first header. */
    ck_assert_uint_eq(given, http ? len : FCGI_RECORD_HEADER);
}
END_TEST

/* The queue. */

START_TEST(a_full_queue_is_no_error)
{
    enum { PEERS = 1000 };
    static int peers[PEERS];
    unsigned n = 0;
    ck_assert_int_eq(setsockopt(queue[1], SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
    do {
        ck_assert_uint_lt(n, PEERS);
        peers[n++] = connect_to(0);
    } while (give(0));
    ck_assert_uint_ge(n, 2);
    peer = peers[n - 1];
    serve(0, "/a");
    /* There is room again when the other has taken one. */
    turn(1);
    ck_assert(give(0));
    for (unsigned i = 0; i < n - 1; i++)
        close(peers[i]);
    turns();
}
END_TEST

/* Those that are there are busy: others wait until one ends. */
START_TEST(beyond_max_connections_none_is_taken)
{
    int busy[ROOM];
    nbytes = 0;
    add_request(1, "/busy");
    for (int i = 0; i < ROOM; i++) {
        peer = busy[i] = connect_to(1);
        say_part(0, nbytes);
    }
    turn(1);
    open_at(0);
    serve(0, "/a");
    ck_assert(give(0));
    set_state(0, SCOREBOARD_ENDING); /* nobody else has room */
    turn(1);
    ck_assert_uint_eq(count(1), ROOM);
    ck_assert_uint_eq(board->slots[1].full, 1);
    ck_assert(call(1)); /* an answer: that connection rests, and gives way */
    turn(1);
    turn(1);
    ck_assert_uint_eq(count(1), ROOM);
    ck_assert_uint_eq(board->queued, 0);
    while (call(1))
        ;
    serve(1, "/b");
    for (int i = 0; i < ROOM; i++)
        close(busy[i]);
    turns();
    ck_assert_uint_eq(board->slots[1].full, 0);
}
END_TEST

START_TEST(those_that_rest_give_way)
{
    int resting[ROOM];
    for (int i = 0; i < ROOM; i++)
        resting[i] = connect_to(1);
    turn(1);
    open_at(0);
    ck_assert(give(0));
    set_state(0, SCOREBOARD_ENDING); /* nobody else has room */
    turn(1);
    ck_assert_uint_eq(count(1), ROOM);
    char byte;
    ck_assert_int_eq(recv(resting[0], &byte, 1, MSG_DONTWAIT), 0);
    ck_assert_int_eq(recv(resting[1], &byte, 1, MSG_DONTWAIT), -1);
    serve(1, "/a");
    for (int i = 0; i < ROOM; i++)
        close(resting[i]);
}
END_TEST

START_TEST(another_one_that_has_room_takes_it)
{
    int resting[ROOM];
    for (int i = 0; i < ROOM; i++)
        resting[i] = connect_to(1);
    turn(1);
    open_at(0);
    ck_assert(give(0));
    turn(1);
    ck_assert_uint_eq(count(1), ROOM);
    turn(0);
    ck_assert_uint_eq(count(0), 1);
    serve(0, "/a");
    for (int i = 0; i < ROOM; i++) {
        char byte;
        ck_assert_int_eq(recv(resting[i], &byte, 1, MSG_DONTWAIT), -1);
        close(resting[i]);
    }
}
END_TEST

/* The only one that does not compute has no room: nobody passes it on to and fro. */
START_TEST(who_computes_takes_what_a_full_one_cannot)
{
    int busy[ROOM];
    nbytes = 0;
    add_request(1, "/busy");
    for (int i = 0; i < ROOM; i++) {
        busy[i] = connect_to(1);
        peer = busy[i];
        say_part(0, nbytes);
    }
    turn(1);
    open_at(0);
    atomic_store(&board->slots[0].computing, 1);
    ck_assert(give(0));
    turn(1);
    ck_assert_uint_eq(board->slots[1].full, 1);
    turn(0);
    ck_assert_uint_eq(count(0), 1);
    atomic_store(&board->slots[0].computing, 0);
    serve(0, "/a");
    while (call(1))
        ;
    for (int i = 0; i < ROOM; i++)
        close(busy[i]);
}
END_TEST

/* Who is told of it cannot take it: it tells the next one. */
START_TEST(one_that_ends_wakes_another)
{
    open_at(0);
    ck_assert(give(0)); /* wakes 1 */
    set_state(1, SCOREBOARD_ENDING);
    turn(1);
    ck_assert_uint_eq(count(1), 0);
    turn(0);
    ck_assert_uint_eq(count(0), 1);
    serve(0, "/a");
    set_state(1, SCOREBOARD_SERVING);
}
END_TEST

START_TEST(while_a_call_computes_an_idle_one_takes)
{
    open_at(0);
    ck_assert(give(0));
    atomic_store(&board->slots[1].computing, 1);
    turn(1);
    ck_assert_uint_eq(count(1), 0);
    turn(0);
    ck_assert_uint_eq(count(0), 1);
    atomic_store(&board->slots[0].computing, 1);
    move(0);
    serve(1, "/a");
}
END_TEST

/* Descriptors. */

/* Another one would be lost if there was no place for it. */
START_TEST(descriptors_are_kept_for_those_that_come)
{
    struct rlimit limit, before;
    enum { MAX = 300 };
    int spare[MAX], n = 0;
    limit = (struct rlimit){MAX - HANDOVER_RESERVE, MAX};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    open_at(0);
    ck_assert(give(0));
    while ((spare[n] = dup(0)) >= 0)
        n++;
    ck_assert_int_eq(errno, EMFILE);
    turn(1);
    ck_assert_uint_eq(count(1), 1);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(before.rlim_cur, limit.rlim_cur);
    while (n)
        close(spare[--n]);
    serve(1, "/a");
}
END_TEST

START_TEST(the_limit_of_a_worker_is_below_that_of_the_system)
{
    struct rlimit limit = {1000, 1000};
    int listener = listen_socket();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct worker other;
    worker_open(&other, WORKERS, listener);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 1000 - HANDOVER_RESERVE);
    ck_assert_uint_eq(limit.rlim_max, 1000);
    lane_free(other.lane);
    descriptors_close(other.listener.fd);
    close(listener);
}
END_TEST

/* Messages. */

static void send_message(const void *message, size_t len) {
    int pair[2];
    struct iovec part = {(void *)(uintptr_t)message, len};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    ck_assert_int_eq(fd_socket_send(queue[1], &part, 1, &pair[0], 1), 0);
    close(pair[0]);
    atomic_store(&board->queued, 1);
}

START_TEST(one_of_another_version_is_put_back)
{
    static const uint8_t message[] = {HANDOVER_VERSION + 1, 0, 'x'};
    uint8_t came[100];
    int fds[FD_SOCKET_FDS];
    unsigned nfds;
    send_message(message, sizeof message);
    turn(1);
    turn(1); /* others come first now */
    ck_assert_int_eq(fd_socket_receive(queue[0], came, sizeof came, fds, &nfds), sizeof message);
    ck_assert_uint_eq(nfds, 1);
    ck_assert_int_eq(came[1], 1);
    ck_assert(is_silent());
    descriptors_close(fds[0]);
    ck_assert(at_end());
}
END_TEST

START_TEST(one_that_nobody_understands_is_closed)
{
    static const uint8_t message[] = {HANDOVER_VERSION + 1, HANDOVER_HOPS_MAX, 'x'};
    send_message(message, sizeof message);
    turn(1);
    ck_assert(at_end());
}
END_TEST

START_TEST(nonsense_is_closed)
{
    static const uint8_t message[] = {HANDOVER_VERSION, 0, 'x'};
    send_message(message, sizeof message);
    turn(1);
    ck_assert(at_end());
    open_at(0);
    move(0);
    serve(1, "/a");
}
END_TEST

/* The new configuration does not listen there any more. */
/* What the scheduler would say. */
static void set_caught(unsigned i, bool caught) {
    struct sched_config config = {0};
    level_configure(workers[i].lane, &config);
    config.caught(caught, config.others_arg);
}

/* The request is answered by this worker, which was not the one that had the connection. */
static void expect_served(unsigned i, const char *path) {
    turns();
    ck_assert(!call(!i));
    ck_assert(call(i));
    turn(i);
    ck_assert(answered(path));
}

START_TEST(what_becomes_readable_is_left_to_an_idle_one)
{
    open_at(0);
    serve(0, "/first");
    set_caught(0, true);
    turns();
    ck_assert_uint_eq(count(0), 1); /* nothing has come on it */
    nbytes = 0;
    add_request(1, "/second");
    say();
    expect_served(1, "/second");
    ck_assert_uint_eq(count(0), 0);
    set_caught(0, false);
    set_caught(1, true);
    add_request(1, "/third");
    say();
    expect_served(0, "/third");
    set_caught(1, false);
}
END_TEST

START_TEST(all_compute_and_nothing_is_left)
{
    open_at(0);
    set_caught(1, true);
    set_caught(0, true);
    serve(0, "/here");
    ck_assert_uint_eq(count(0), 1);
}
END_TEST

/* It was given to one that has begun to compute before it has taken it. */
START_TEST(what_nobody_has_taken_is_taken_back)
{
    open_at(0);
    set_caught(0, true);
    nbytes = 0;
    add_request(1, "/back");
    say();
    turn(0);
    turn(0);
    ck_assert_uint_eq(count(0), 0);
    set_caught(1, true);
    while (!count(0)) /* by its own timer */
        ev_run(workers[0].lane->loop, EVRUN_ONCE);
    turn(0);
    ck_assert(call(0));
    turn(0);
    ck_assert(answered("/back"));
}
END_TEST

START_TEST(one_that_has_computed_keeps_the_others)
{
    open_at(0);
    set_caught(0, true);
    turns();
    set_caught(0, false);
    serve(0, "/here");
    ck_assert_uint_eq(count(0), 1);
}
END_TEST

START_TEST(one_of_an_unknown_listener_goes_on)
{
    strcpy(workers[0].listener.text, "/run/earlier.sock");
    open_at(0);
    move(0);
    ck_assert_str_eq(conn_at(1)->listener->text, "/run/earlier.sock");
    serve(1, "/a");
    move(1);
    ck_assert_ptr_eq(conn_at(0)->listener, &workers[0].listener);
    serve(0, "/b");
}
END_TEST

START_TEST(who_may_not_connect_any_more_is_closed)
{
    open_at(0);
    workers[1].uids[0] = getuid() + 1;
    workers[1].rules = (struct allow_rules){.uids = workers[1].uids, .nuids = 1, .own = getuid() + 1};
    workers[1].lane->config.allow = &workers[1].rules;
    ck_assert(give(0));
    turn(1);
    /* root may always connect */
    ck_assert_uint_eq(count(1), getuid() ? 0 : 1);
}
END_TEST

/* FastCGI. */

START_TEST(what_the_peer_has_asked_goes_along)
{
    open_at(0);
    nbytes = 0;
    add_record(FCGI_GET_VALUES, 0, "\017\0FCGI_MPXS_CONNS", 17);
    say();
    turn(0);
    ck_assert_int_gt(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), 0);
    move(0);
    ck_assert(fcgi_conn_of(conn_at(1))->asked);
}
END_TEST

/* The rest of a body was not waited for. The connection ends soon, unless its peer multiplexes. */
START_TEST(one_that_is_about_to_end_stays)
{
    open_at(0);
    struct fcgi_conn *c = fcgi_conn_of(conn_at(0));
    nbytes = 0;
    add_begin(1, true);
    add_params(1, "/a");
    add_record(FCGI_STDIN, 1, "ab", 2);
    say();
    turn(0);
    struct fcgi_request *q = TAILQ_FIRST(&c->requests);
    q->x.refusal = REFUSED_BODY_LARGE;
    fcgi_request_maybe_start(q);
    ck_assert_int_eq(q->state, FCGI_STDIN_STATE);
    fcgi_request_stdin_given_up(q);
    ck_assert(c->ending);
    ck_assert_int_eq(c->conn.rest, CONN_RESTING);
    ck_assert(!give(0));
    c->asked = true;
    ck_assert(give(0));
    turn(1);
    ck_assert(fcgi_conn_of(conn_at(1))->unread);
}
END_TEST

/* It has been answered where the connection was before (FastCGI 1.0, 3.3). */
START_TEST(late_records_are_ignored)
{
    open_at(0);
    serve(0, "/a");
    move(0);
    nbytes = 0;
    add_record(FCGI_STDIN, 1, "late", 4);
    add_record(FCGI_STDIN, 1, NULL, 0);
    add_record(FCGI_ABORT_REQUEST, 1, NULL, 0);
    say();
    turn(1);
    ck_assert(is_silent());
    ck_assert_int_eq(conn_at(1)->rest, CONN_RESTING);
    serve(1, "/b");
}
END_TEST

/* HTTP: what a proxy has said once counts for all requests of its connection, wherever they are served. */

#if WSGI_FCGI_HTTP
static const struct address_set proxies = {.unix_peers = true};

static void say_text(const char *text) {
    ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect_proxy(bool proxy) {
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].lane->config.forwarded = &proxies;
        workers[i].lane->config.proxy_protocol = proxy;
    }
}

static const struct {
    const char *header, *client;
} headers[] = {
    {"PROXY TCP4 203.0.113.9 192.0.2.2 1 2\r\n", "203.0.113.9"},
    {"PROXY TCP6 2001:db8::9 2001:db8::2 1 2\r\n", "2001:db8::9"},
    {"PROXY UNKNOWN\r\n", ""},
};

START_TEST(a_proxy_header_counts)
{
    expect_proxy(true);
    open_at(0);
    say_text(headers[_i].header);
    turn(0);
    expect_proxy(false); /* it was there: what follows is a request anyway */
    move(0);
    serve(1, "/a");
    ck_assert_str_eq(client, headers[_i].client);
    ck_assert(!http_conn_of(conn_at(1))->peer.trusted);
    move(1);
    serve(0, "/b");
    ck_assert_str_eq(client, headers[_i].client);
}
END_TEST

START_TEST(half_a_proxy_header_is_left_over)
{
    expect_proxy(true);
    open_at(0);
    say_text("PROXY TCP4 203.0.113.9");
    turn(0);
    expect_proxy(false); /* the connection has come under rules that ask for it */
    move(0);
    say_text(" 192.0.2.2 1 2\r\n");
    turn(1);
    serve(1, "/a");
    ck_assert_str_eq(client, "203.0.113.9");
}
END_TEST

START_TEST(none_is_asked_for_afterwards)
{
    open_at(0);
    serve(0, "/a");
    expect_proxy(true);
    move(0);
    serve(1, "/b");
    ck_assert_str_eq(client, "");
}
END_TEST
#endif

/* Retiring. */

static bool has_quit(unsigned i) {
    return workers[i].lane->quit;
}

START_TEST(a_lane_that_retires_gives_all_away)
{
    int peers[ROOM];
    for (int i = 0; i < ROOM - 1; i++)
        peers[i] = connect_to(0);
    open_at(0);
    serve(0, "/a");
    lane_retire(workers[0].lane);
    turns();
    ck_assert_uint_eq(count(0), 0);
    ck_assert_uint_eq(count(1), ROOM);
    ck_assert(has_quit(0));
    ck_assert_int_ge(workers[0].listener.fd, 0);
    ck_assert_uint_eq(board->slots[0].state, SCOREBOARD_ENDING);
    serve(1, "/b");
    for (int i = 0; i < ROOM - 1; i++) {
        char byte;
        ck_assert_int_eq(recv(peers[i], &byte, 1, MSG_DONTWAIT), -1);
        close(peers[i]);
    }
}
END_TEST

/* It would wait for a worker that nobody has woken. */
START_TEST(one_that_cannot_be_woken_gets_nothing)
{
    set_state(1, SCOREBOARD_ENDING);
    set_state(2, SCOREBOARD_SERVING);
    open_at(0);
    ck_assert(!give(0));
    serve(0, "/a");
    lane_retire(workers[0].lane);
    turns();
    ck_assert_uint_eq(count(0), 1);
    ck_assert(!has_quit(0));
    set_state(1, SCOREBOARD_SERVING);
    while (count(0)) /* by a timer */
        ev_run(workers[0].lane->loop, EVRUN_ONCE);
    ck_assert(has_quit(0));
    turn(1);
    serve(1, "/b");
    set_state(2, SCOREBOARD_FREE);
}
END_TEST

/* What is to begin with its last step of the start begins no more. */
START_TEST(one_that_retires_does_not_begin_to_accept)
{
    open_at(0);
    serve(0, "/a");
    set_state(2, SCOREBOARD_SERVING); /* and the connection stays, since that one is not known */
    set_state(1, SCOREBOARD_ENDING);
    lane_retire(workers[0].lane);
    turn(0);
    lane_start_accepting(workers[0].lane);
    ck_assert(!ev_is_active(&workers[0].lane->accepting[0].io));
    set_state(2, SCOREBOARD_FREE);
}
END_TEST

START_TEST(a_request_is_answered_first)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    size_t half = nbytes - 4;
    say_part(0, half);
    turn(0);
    if (_i)
        lane_retire(workers[0].lane);
    turn(0);
    turn(0);
    bool left_over = http && _i; /* a header that has not come to its end may go */
    say_part(half, nbytes);
    if (!left_over) {
        turn(0);
        lane_retire(workers[0].lane);
        turns();
        ck_assert_uint_eq(count(0), 1);
        ck_assert(!has_quit(0));
    }
    turns();
    ck_assert(call(left_over));
    ck_assert(answered("/a"));
    turns();
    ck_assert_uint_eq(count(0), 0);
    ck_assert_uint_eq(count(1), 1);
    ck_assert(has_quit(0));
    serve(1, "/b");
}
END_TEST

START_TEST(its_answer_is_sent_first)
{
    open_at(0);
    ck_assert_int_eq(setsockopt(conn_at(0)->fd, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    more = 1 << 20;
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    ck_assert(call(0));
    ck_assert(conn_blocked(conn_at(0)));
    lane_retire(workers[0].lane);
    turns();
    ck_assert_uint_eq(count(0), 1);
    while (count(0)) {
        REQUIRE(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT) > 0);
        turn(0);
        turn(0);
    }
    ck_assert(has_quit(0));
    turn(1);
    more = 0;
    while (recv(peer, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    serve(1, "/b");
}
END_TEST

/* Its connection ends with it, and is not given away. */
START_TEST(an_answer_that_breaks_off)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    lane_retire(workers[0].lane);
    turn(0);
    add_request(2, "/b");
    say();
    breaks = true;
    ck_assert(call(0));
    turns();
    ck_assert_uint_eq(count(1), 0);
    ck_assert(at_end());
    close(peer);
    peer = -1;
    turn(0);
    ck_assert(has_quit(0));
}
END_TEST

/* The time for a graceful end is over. Nothing new begins, even if nobody else serves any more. */
START_TEST(an_abort_ends_it)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    lane_retire(workers[0].lane);
    turn(0);
    turn(0); /* there is nothing to give */
    int other = connect_to(1);
    set_state(0, SCOREBOARD_SERVING); /* it was when that one looked */
    ck_assert(give(1));
    set_state(0, SCOREBOARD_ENDING);
    set_state(1, SCOREBOARD_ENDING);
    lane_abort(workers[0].lane);
    turn(0);
    turn(0);
    ck_assert(at_end());
    while (call(0))
        ;
    turn(0);
    ck_assert(has_quit(0));
    close(other);
}
END_TEST

/* Further requests have come with the one that is answered: they are for the other worker. */
START_TEST(what_was_read_too_far_is_left_over)
{
    open_at(0);
    nbytes = 0;
    if (!http) { /* the first one is not whole when the others come */
        add_begin(1, true);
        add_params(1, "/a");
        say();
        turn(0);
    }
    lane_retire(workers[0].lane);
    if (http)
        add_request(1, "/a");
    else {
        turn(0);
        add_record(FCGI_STDIN, 1, NULL, 0);
    }
    add_request(2, "/b");
    add_request(3, "/c");
    say();
    if (http) {
        conn_read(conn_at(0)); /* before the lane hears that it retires */
        turn(0);
    }
    turns();
    ck_assert_uint_eq(count(0), 1);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    turns();
    ck_assert_uint_eq(count(0), 0);
    ck_assert(call(1));
    ck_assert(answered("/b"));
    ck_assert(call(1));
    ck_assert(answered("/c"));
}
END_TEST

START_TEST(the_last_one_stops)
{
    open_at(0);
    serve(0, "/a");
    set_state(1, SCOREBOARD_ENDING);
    lane_retire(workers[0].lane);
    turns();
    ck_assert(at_end());
    ck_assert(has_quit(0));
    ck_assert_int_eq(workers[0].listener.fd, -1);
}
END_TEST

/* What waits for it in the queue is served as what waits in the backlog. */
START_TEST(the_last_one_takes_what_is_in_the_queue)
{
    open_at(1);
    nbytes = 0;
    add_request(1, "/a");
    say();
    ck_assert(give(1));
    set_state(1, SCOREBOARD_ENDING);
    lane_retire(workers[0].lane);
    turns();
    ck_assert_uint_eq(count(0), 1);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    ck_assert(at_end());
}
END_TEST

/* The other one has ended before it has taken what it got. */
START_TEST(what_the_last_one_did_not_take_comes_back)
{
    open_at(0);
    struct conn *c = conn_at(0);
    lane_retire(workers[0].lane);
    turn(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    conn_ref(c);
    ck_assert(give(0));
    set_state(1, SCOREBOARD_ENDING);
    conn_unref(c); /* the last connection has gone */
    ck_assert_uint_eq(count(0), 1);
    turn(0);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    ck_assert(at_end());
}
END_TEST

START_TEST(a_stop_ends_what_was_to_be_given)
{
    int other = connect_to(0);
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    lane_retire(workers[0].lane);
    turn(0);
    ck_assert(!has_quit(0));
    lane_stop(workers[0].lane);
    turn(0);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    turn(0);
    ck_assert(at_end());
    close(peer);
    peer = -1;
    turn(0);
    ck_assert(has_quit(0));
    close(other);
}
END_TEST

START_TEST(a_stop_serves_what_was_left_over)
{
    open_at(0);
    nbytes = 0;
    add_request(1, "/a");
    say();
    turn(0);
    lane_retire(workers[0].lane);
    turn(0);
    add_request(2, "/b"); /* FastCGI: not read; HTTP: kept */
    say();
    turn(0);
    lane_stop(workers[0].lane);
    turn(0);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    if (!http) { /* HTTP: the client learns from the answer that it is the last one */
        ck_assert(call(0));
        ck_assert(answered("/b"));
    }
    turn(0);
    ck_assert(at_end());
}
END_TEST

static void fill_queue(void) {
    struct iovec part = {(char[]){"?"}, 1};
    while (!fd_socket_send(queue[1], &part, 1, NULL, 0))
        ;
    ck_assert_int_eq(errno, EAGAIN);
}

/* There was no room in the queue until then. */
START_TEST(a_stop_serves_what_could_not_be_given)
{
    open_at(0);
    nbytes = 0;
    if (!http) {
        add_begin(1, true);
        add_params(1, "/a");
    } else
        add_request(1, "/a");
    say();
    turn(0);
    lane_retire(workers[0].lane);
    turn(0);
    fill_queue();
    if (!http)
        add_record(FCGI_STDIN, 1, NULL, 0);
    add_request(2, "/b");
    say();
    turn(0);
    ck_assert(call(0));
    ck_assert(answered("/a"));
    turn(0);
    turn(0);
    ck_assert(!call(0));
    lane_stop(workers[0].lane);
    turn(0);
    turn(0);
    ck_assert(call(0));
    ck_assert(answered("/b"));
    turn(0);
    ck_assert(at_end());
}
END_TEST

static void add_tests(TCase *tc) {
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_new_connection_is_given);
    tcase_add_test(tc, a_used_one_goes_on);
    tcase_add_test(tc, what_was_not_read_goes_along);
    tcase_add_loop_test(tc, a_peer_that_has_left_is_noticed_where_it_goes, 0, 2);
    tcase_add_test(tc, a_peer_may_leave_while_it_waits_in_the_queue);
    tcase_add_test(tc, nothing_is_lost_however_often_it_goes);
    tcase_add_test(tc, requests_are_counted_on);
    tcase_add_test(tc, one_with_a_request_in_work_stays);
    tcase_add_test(tc, one_with_a_part_of_a_body_stays);
    tcase_add_test(tc, one_that_owes_output_stays);
    tcase_add_test(tc, one_whose_peer_ended_its_side_stays);
    tcase_add_test(tc, one_that_is_not_kept_stays);
    tcase_add_loop_test(tc, all_stay_when_nobody_else_serves, 0, 2);
    tcase_add_test(tc, at_any_byte_of_a_request);
    tcase_add_test(tc, a_full_queue_is_no_error);
    tcase_add_test(tc, beyond_max_connections_none_is_taken);
    tcase_add_test(tc, those_that_rest_give_way);
    tcase_add_test(tc, another_one_that_has_room_takes_it);
    tcase_add_test(tc, who_computes_takes_what_a_full_one_cannot);
    tcase_add_test(tc, one_that_ends_wakes_another);
    tcase_add_test(tc, while_a_call_computes_an_idle_one_takes);
    tcase_add_test(tc, what_becomes_readable_is_left_to_an_idle_one);
    tcase_add_test(tc, all_compute_and_nothing_is_left);
    tcase_add_test(tc, what_nobody_has_taken_is_taken_back);
    tcase_add_test(tc, one_that_has_computed_keeps_the_others);
    tcase_add_test(tc, one_of_an_unknown_listener_goes_on);
    tcase_add_test(tc, who_may_not_connect_any_more_is_closed);
    tcase_add_test(tc, a_lane_that_retires_gives_all_away);
    tcase_add_test(tc, one_that_cannot_be_woken_gets_nothing);
    tcase_add_test(tc, one_that_retires_does_not_begin_to_accept);
    tcase_add_loop_test(tc, a_request_is_answered_first, 0, 2);
    tcase_add_test(tc, its_answer_is_sent_first);
    tcase_add_test(tc, an_answer_that_breaks_off);
    tcase_add_test(tc, an_abort_ends_it);
    tcase_add_test(tc, what_was_read_too_far_is_left_over);
    tcase_add_test(tc, the_last_one_stops);
    tcase_add_test(tc, the_last_one_takes_what_is_in_the_queue);
    tcase_add_test(tc, what_the_last_one_did_not_take_comes_back);
    tcase_add_test(tc, a_stop_ends_what_was_to_be_given);
    tcase_add_test(tc, a_stop_serves_what_was_left_over);
    tcase_add_test(tc, a_stop_serves_what_could_not_be_given);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("handover");
    TCase *fcgi = tcase_create("fcgi");
    tcase_add_checked_fixture(fcgi, setup_fcgi, teardown);
    add_tests(fcgi);
    tcase_add_test(fcgi, descriptors_are_kept_for_those_that_come);
    tcase_add_test(fcgi, the_limit_of_a_worker_is_below_that_of_the_system);
    tcase_add_test(fcgi, one_of_another_version_is_put_back);
    tcase_add_test(fcgi, one_that_nobody_understands_is_closed);
    tcase_add_test(fcgi, nonsense_is_closed);
    tcase_add_test(fcgi, what_the_peer_has_asked_goes_along);
    tcase_add_test(fcgi, one_that_is_about_to_end_stays);
    tcase_add_test(fcgi, late_records_are_ignored);
    suite_add_tcase(suite, fcgi);
#if WSGI_FCGI_HTTP
    TCase *over_http = tcase_create("http");
    tcase_add_checked_fixture(over_http, setup_http, teardown);
    add_tests(over_http);
    tcase_add_loop_test(over_http, a_proxy_header_counts, 0, COUNT(headers));
    tcase_add_test(over_http, half_a_proxy_header_is_left_over);
    tcase_add_test(over_http, none_is_asked_for_afterwards);
    suite_add_tcase(suite, over_http);
#endif
    return unit_run(suite);
}
