/* The project's own server without Python: the same loop, scheduler, front end and requests, and an application in C.
 * What it takes is the floor for wsgi-fcgi.
 *
 *     null-responder /path/of.sock
 */
#include "config.h"

#include "base/log.h"
#include "net/fcgi/protocol.h"
#include "net/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static int wake_pipe[2];

static void hello(struct request *r, void *user) {
    static const char head[] = "Content-Type: text/plain\r\nContent-Length: 13\r\n";
    (void)user;
    memcpy(r->status, "200 OK", sizeof "200 OK");
    if (buf_append(&r->head, head, sizeof head - 1) || request_put(r, "Hello, world\n", 13))
        r->broken_off = true;
}

static volatile sig_atomic_t stopping;

static void stop_handler(int number) {
    (void)number;
    stopping = 1;
    ssize_t n = write(wake_pipe[1], "", 1);
    (void)n;
}

static bool on_wake(void *arg) {
    char bytes[64];
    (void)arg;
    while (read(wake_pipe[0], bytes, sizeof bytes) > 0)
        ;
    return stopping;
}

int main(int argc, char **argv) {
    struct listener_set listeners = {.count = 0};
    struct listener_settings settings = {.mode = 0600, .backlog = 511};
    if (argc != 2) {
        fprintf(stderr, "usage: null-responder /path/of.sock\n");
        return EX_USAGE;
    }
    struct address *list;
    size_t count;
    int status = address_read("PATH", argv[1], &list, &count);
    if (!status)
        status = listener_open(&listeners, list, count, &settings);
    if (status)
        return status;
    if (pipe2(wake_pipe, O_NONBLOCK | O_CLOEXEC)) {
        log_error("cannot make a pipe: %s", strerror(errno));
        return EX_OSERR;
    }
    struct lane_config config = {
        .protocols = {[LISTENER_FASTCGI] = &fcgi_protocol},
        .run = hello,
        .threads = 32,
        .queue_limit = 65536,
        .queue_timeout = 10,
        .idle_timeout = 120,
        .header_timeout = 30,
        .max_connections = 4096,
        .limit_params = 131072,
        .limit_param_count = 1000,
        .limit_requests = 128,
        .body = {.memory = 262144, .total = 1 << 30, .spool_dir = "/tmp"},
        .script_name = "",
        .wake_fd = wake_pipe[1],
    };
    struct lane *lane = lane_new(&config, &listeners);
    if (lane)
        lane_start_accepting(lane);
    if (!lane || lane_start(lane)) {
        log_error("cannot start: %s", strerror(errno));
        return EX_OSERR;
    }
    struct sigaction action = {.sa_handler = stop_handler};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sched_watch(lane_sched(lane), wake_pipe[0], 0, on_wake, NULL);
    lane_stop(lane);
    stopping = 0;
    sched_watch(lane_sched(lane), wake_pipe[0], 0, on_wake, NULL);
    sched_join(lane_sched(lane), UINT64_MAX / 2);
    lane_free(lane);
    listener_close_all(&listeners);
    return 0;
}
