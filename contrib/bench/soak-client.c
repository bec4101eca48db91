/* The client of the soak: HTTP/1.1 over kept connections, half of the requests POSTs. Every answer is compared with
 * what was sent. It never sends a request twice, as a POST may not be: what got no answer is counted by how it was
 * lost. */
#include "config.h"

#include "histogram.h"
#include "load-answer.h"
#include "load-base.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    INPUT_SIZE = 64 * 1024,
    EVENTS = 256,
    SMALL_BODY = 2000,
    LARGE_BODY = 70000, /* more than a record of FastCGI holds */
    BODY_MAX = LARGE_BODY + 8,
    LINE_MAX_LENGTH = 64, /* of the answer, before the body that comes back */
    REQUEST_MAX = BODY_MAX + 512,
    LOST_MAX = 10000,  /* that are listed */
    WORKERS_MAX = 8192 /* that are told apart */
};

#define STUCK (30 * SECOND)
#define TELL (50 * MILLISECOND)
#define AFTER_ERROR (10 * MILLISECOND)
#define SEND_PAUSE (5 * MILLISECOND)

/* How a request was lost. */
#define LOSSES(X)                                                                                                      \
    X(REFUSED, "refused") /* no connection could be made */                                                            \
    X(RESET, "reset")     /* before any of its answer */                                                               \
    X(CLOSED, "closed")   /* the same, but in good order */                                                            \
    X(CUT, "cut")         /* within its answer */                                                                      \
    X(S502, "502")                                                                                                     \
    X(S503, "503")                                                                                                     \
    X(S504, "504")                                                                                                     \
    X(STATUS, "status") /* any other but 200 */                                                                        \
    X(WRONG, "wrong")   /* not the answer to this request, or no HTTP */                                               \
    X(STUCK, "stuck")   /* no answer in 30 s */

#define AS_ENUM(name, text) LOSS_##name,
#define AS_TEXT(name, text) text,
enum loss { LOSSES(AS_ENUM) LOSS_COUNT };
static const char *const loss_names[] = {LOSSES(AS_TEXT)};

enum state {
    RESTING,   /* no request: the next begins at `wake` */
    SENDING,   /* not all of the request was sent */
    PAUSING,   /* the same, and the rest follows at `wake` */
    RECEIVING, /* the answer is not whole */
};

struct conn {
    enum state state;
    int fd; /* -1: closed */
    bool connected, want_out;
    bool last; /* this side closes after the answer */
    uint64_t wake, start;
    long id;
    size_t length, body_at, pause_at, sent;
    char *request;
    struct answer answer;
};

struct soak {
    const char *socket;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    long clients, limit, first;

    int epoll;
    struct conn *conns;
    char *input;
    uint64_t now, told;
    bool ending; /* standard input has ended */
    long issued, posts, answered, opened;
    long idle_closed; /* kept connections that the peer closed while no request was on them: no error */
    long said_close;  /* and those that it had announced to close */
    long losses[LOSS_COUNT];
    long lost[LOST_MAX], lost_count;
    long pids[WORKERS_MAX], workers;
    struct histogram latency;
};

/* --- what is asked: all of it follows from the request's number */

/* splitmix64: every bit of the result depends on every bit of the number. */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static bool is_post(long id) {
    return id & 1;
}

static size_t body_length(long id) {
    uint64_t h = mix((uint64_t)id) >> 8;
    if (!is_post(id))
        return 0;
    return h % 64 ? 1 + h % SMALL_BODY : LARGE_BODY;
}

/* Rounded up to eight bytes, for which there must be room. */
static void body_fill(long id, char *p, size_t n) {
    uint64_t seed = (uint64_t)id << 20;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = mix(seed++);
        memcpy(p + i, &word, 8);
    }
}

static void request_make(struct soak *s, struct conn *c) {
    uint64_t h = mix((uint64_t)s->issued);
    c->id = s->first + s->issued++;
    s->posts += is_post(c->id);
    size_t body = body_length(c->id);
    const char *call = (h & 31) == 7 ? "slow" : "quick";
    int n = snprintf(c->request, 512, "%s /%s/%ld HTTP/1.1\r\nHost: localhost\r\n", body ? "POST" : "GET", call, c->id);
    if (body)
        n += snprintf(c->request + n, 256, "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n", body);
    n += snprintf(c->request + n, 8, "\r\n");
    c->body_at = (size_t)n;
    c->length = c->body_at + body;
    body_fill(c->id, c->request + c->body_at, body);
    /* Some come in two parts, and some are the last of their connection. */
    c->pause_at = (h >> 8 & 63) == 1 ? c->body_at + body / 2 : 0;
    if (!body && c->pause_at)
        c->pause_at = c->length / 2;
    c->last = (h >> 16 & 127) == 3;
    c->sent = 0;
    answer_reset(&c->answer);
}

/* Most connections are asked again at once, some rest up to 20 ms. */
static uint64_t rest_after(long id) {
    uint64_t h = mix((uint64_t)id) >> 32;
    return h & 15 ? 0 : (1 + (h >> 4) % 20) * MILLISECOND;
}

/* Whether the answer is "NUMBER PID" and the body that was sent; notes the process. */
static bool answer_fits(struct soak *s, const struct conn *c) {
    const struct answer *a = &c->answer;
    size_t body = c->length - c->body_at;
    if (a->body > a->content_max || a->body < body)
        return false;
    size_t line = (size_t)a->body - body;
    char text[LINE_MAX_LENGTH];
    long id, pid;
    if (line >= sizeof text)
        return false;
    memcpy(text, a->content, line);
    text[line] = 0;
    int end = -1;
    if (sscanf(text, "%ld %ld\n%n", &id, &pid, &end) != 2 || end != (int)line || id != c->id)
        return false;
    if (memcmp(a->content + line, c->request + c->body_at, body))
        return false;
    long i = 0;
    while (i < s->workers && s->pids[s->workers - 1 - i] != pid)
        i++;
    if (i == s->workers && s->workers < WORKERS_MAX) {
        s->pids[s->workers++] = pid;
        printf("worker %ld\n", pid);
        fflush(stdout);
    }
    return true;
}

/* --- connections */

static void conn_watch(struct soak *s, struct conn *c, bool out, int op) {
    struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(s->epoll, op, c->fd, &e))
        fail(EX_OSERR, "epoll_ctl: %s", strerror(errno));
    c->want_out = out;
}

static void conn_close(struct conn *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->connected = false;
}

static void conn_rest(struct soak *s, struct conn *c, uint64_t pause) {
    c->state = RESTING;
    c->wake = s->now + pause;
}

static void conn_lose(struct soak *s, struct conn *c, enum loss loss) {
    s->losses[loss]++;
    if (s->lost_count < LOST_MAX)
        s->lost[s->lost_count++] = c->id;
    conn_close(c);
    conn_rest(s, c, AFTER_ERROR);
}

static void conn_broke(struct soak *s, struct conn *c, int error) {
    if (!c->connected)
        conn_lose(s, c, LOSS_REFUSED);
    else if (c->answer.state != ANSWER_HEAD || c->answer.text_len)
        conn_lose(s, c, LOSS_CUT);
    else
        conn_lose(s, c, error ? LOSS_RESET : LOSS_CLOSED);
}

/* Returns 0, or -1 when there is no connection and the request is lost. */
static int conn_open(struct soak *s, struct conn *c) {
    int family = s->addr.ss_family;
    c->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        fail(EX_OSERR, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    s->opened++;
    if (connect(c->fd, (struct sockaddr *)&s->addr, s->addr_len) && errno != EINPROGRESS) {
        conn_lose(s, c, LOSS_REFUSED);
        return -1;
    }
    conn_watch(s, c, false, EPOLL_CTL_ADD);
    return 0;
}

/* An error of sending is left to the read that follows, which sees the answer sent before it too. */
static void conn_send(struct soak *s, struct conn *c) {
    size_t end = c->pause_at > c->sent ? c->pause_at : c->length;
    while (c->sent < end) {
        ssize_t n = send(c->fd, c->request + c->sent, end - c->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            c->sent += (size_t)n;
            c->connected = true;
            continue;
        }
        bool later = errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN;
        if (c->want_out != later)
            conn_watch(s, c, later, EPOLL_CTL_MOD);
        c->state = SENDING;
        return;
    }
    if (c->want_out)
        conn_watch(s, c, false, EPOLL_CTL_MOD);
    c->state = c->sent < c->length ? PAUSING : RECEIVING;
    c->wake = s->now + SEND_PAUSE;
}

/* A peer may have closed a kept connection before anything was sent on it, which is its right. */
static bool has_been_closed(const struct conn *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};
    return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void conn_begin(struct soak *s, struct conn *c) {
    if (c->fd >= 0 && has_been_closed(c)) {
        s->idle_closed++;
        conn_close(c);
    }
    request_make(s, c);
    c->start = s->now;
    if (c->fd >= 0 || !conn_open(s, c))
        conn_send(s, c);
}

/* The answer is whole. */
static void conn_judge(struct soak *s, struct conn *c) {
    const struct head *head = &c->answer.head;
    if (head->status != 200) {
        enum loss loss =
            head->status >= 502 && head->status <= 504 ? LOSS_S502 + (enum loss)(head->status - 502) : LOSS_STATUS;
        conn_lose(s, c, loss);
    } else if (answer_judge(&c->answer, -1) != ANSWER_GOOD || c->sent < c->length || !answer_fits(s, c)) {
        conn_lose(s, c, LOSS_WRONG);
    } else {
        s->answered++;
        histogram_add(&s->latency, s->now - c->start);
        s->said_close += head->closes;
        if (head->closes || c->last)
            conn_close(c);
        conn_rest(s, c, rest_after(c->id));
    }
}

static void conn_ended(struct soak *s, struct conn *c, int error) {
    if (c->state == RESTING) {
        s->idle_closed++;
        conn_close(c);
    } else if (!error && c->answer.state == ANSWER_TO_CLOSE) {
        conn_judge(s, c);
    } else {
        conn_broke(s, c, error);
    }
}

static void conn_read(struct soak *s, struct conn *c) {
    ssize_t n = recv(c->fd, s->input, INPUT_SIZE, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_ended(s, c, n ? errno : 0);
        return;
    }
    c->connected = true;
    if (c->state == RESTING) {
        /* Nothing was asked: a 408 to a connection that is being closed, or an answer to somebody else. */
        conn_lose(s, c, LOSS_WRONG);
        return;
    }
    ssize_t taken = answer_take_http(&c->answer, s->input, (size_t)n);
    if (taken < 0 || taken < n)
        conn_lose(s, c, LOSS_WRONG);
    else if (c->answer.state == ANSWER_DONE)
        conn_judge(s, c);
}

static void conn_event(struct soak *s, struct conn *c, uint32_t events) {
    if (events & EPOLLOUT && c->state == SENDING)
        conn_send(s, c);
    if (c->fd >= 0 && events & ~(uint32_t)EPOLLOUT)
        conn_read(s, c);
}

/* --- the run */

static volatile sig_atomic_t given_up;

static void give_up(int signal) {
    (void)signal;
    given_up = 1;
}

static bool may_begin(const struct soak *s) {
    return !s->ending || s->issued < s->limit;
}

/* Does what is due. Returns how many connections have a request, or are still to have one. */
static long attend(struct soak *s) {
    long busy = 0;
    for (long i = 0; i < s->clients; i++) {
        struct conn *c = &s->conns[i];
        if (c->state == RESTING && !may_begin(s))
            continue;
        busy++;
        if (c->state == RESTING && c->wake <= s->now)
            conn_begin(s, c);
        else if (c->state == PAUSING && c->wake <= s->now)
            conn_send(s, c);
        else if (c->state != RESTING && s->now > c->start + STUCK)
            conn_lose(s, c, LOSS_STUCK);
    }
    return busy;
}

static long errors(const struct soak *s) {
    long sum = 0;
    for (int i = 0; i < LOSS_COUNT; i++)
        sum += s->losses[i];
    return sum;
}

/* A line for whoever paces events by it. And looks whether standard input has ended. */
static void tell(struct soak *s) {
    if (s->now < s->told + TELL)
        return;
    s->told = s->now;
    printf("%ld %ld\n", s->answered, errors(s));
    fflush(stdout);
    char byte;
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    if (!s->ending && poll(&p, 1, 0) > 0)
        s->ending = read(STDIN_FILENO, &byte, 1) <= 0;
}

static void run(struct soak *s) {
    struct epoll_event events[EVENTS];
    s->now = clock_now();
    while (attend(s) && !given_up) {
        int n = epoll_wait(s->epoll, events, EVENTS, 1);
        s->now = clock_now();
        for (int i = 0; i < n; i++)
            conn_event(s, events[i].data.ptr, events[i].events);
        tell(s);
    }
}

static void print_result(const struct soak *s, double seconds) {
    printf("{\"requests\": %ld, \"posts\": %ld, \"answered\": %ld, \"errors\": {", s->issued, s->posts, s->answered);
    for (int i = 0; i < LOSS_COUNT; i++)
        printf("%s\"%s\": %ld", i ? ", " : "", loss_names[i], s->losses[i]);
    printf("}, \"connections\": %ld, \"idle_closed\": %ld, \"said_close\": %ld, \"workers\": %ld, \"seconds\": %.3f",
           s->opened, s->idle_closed, s->said_close, s->workers, seconds);
    const struct histogram *h = &s->latency;
    printf(", \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"lost\": [",
           (double)histogram_quantile(h, 0.5) / 1000, (double)histogram_quantile(h, 0.99) / 1000,
           (double)histogram_quantile(h, 0.999) / 1000, (double)h->max / 1000);
    for (long i = 0; i < s->lost_count; i++)
        printf("%s%ld", i ? ", " : "", s->lost[i]);
    puts("]}");
}

static const char help[] =
    "Usage: soak-client -s ADDRESS [OPTIONS]\n"
    "Asks contrib/bench/apps/soak_app.py by HTTP/1.1 over kept connections, compares every answer with what was sent,\n"
    "and sends nothing twice. Goes on until standard input has ended, and so many requests were sent. Prints a line\n"
    "\"ANSWERED ERRORS\" every 50 ms, \"worker PID\" at the first answer of each process, and at the end a JSON "
    "object.\n"
    "\n"
    "  -s, --socket ADDRESS   /path, @abstract, host:port or [::1]:port\n"
    "  -c, --clients N        connections at a time (default 64)\n"
    "  -n, --requests N       at least so many (default 100000)\n"
    "  -f, --first N          number of the first (default 0): numbers are to be used once with a server\n"
    "  -h, --help             this text\n"
    "\n"
    "SIGTERM ends it at once: what is under way is neither answered nor lost.\n"
    "Exit status: 0 when every answer was right, 1 when not, 64 to 78 (sysexits) when it could not run.\n";

static const struct option options[] = {
    {"socket", required_argument, NULL, 's'},   {"clients", required_argument, NULL, 'c'},
    {"requests", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
    {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
};

static void parse_options(struct soak *s, int argc, char **argv) {
    for (int o; (o = getopt_long(argc, argv, "s:c:n:f:h", options, NULL)) != -1;) {
        switch (o) {
        case 's':
            s->socket = optarg;
            break;
        case 'c':
            s->clients = parse_count("--clients", optarg, 1, 100000);
            break;
        case 'n':
            s->limit = parse_count("--requests", optarg, 1, LONG_MAX / 2);
            break;
        case 'f':
            s->first = parse_count("--first", optarg, 0, LONG_MAX / 2);
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            fail(EX_USAGE, "see soak-client --help");
        }
    }
    if (!s->socket || optind < argc)
        fail(EX_USAGE, "%s; see soak-client --help", s->socket ? "only options, please" : "--socket is missing");
}

int main(int argc, char **argv) {
    static struct soak s = {.clients = 64, .limit = 100000};
    parse_options(&s, argc, argv);
    address_parse(s.socket, &s.addr, &s.addr_len);
    raise_file_limit();
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s.epoll < 0)
        fail(EX_OSERR, "epoll_create1: %s", strerror(errno));
    s.input = allocate(1, INPUT_SIZE);
    s.conns = allocate((size_t)s.clients, sizeof *s.conns);
    for (long i = 0; i < s.clients; i++) {
        struct conn *c = &s.conns[i];
        c->fd = -1;
        c->request = allocate(1, REQUEST_MAX);
        c->answer.text = allocate(1, HEAD_MAX);
        c->answer.content_max = BODY_MAX + LINE_MAX_LENGTH;
        c->answer.content = allocate(1, c->answer.content_max);
    }
    signal(SIGTERM, give_up);
    uint64_t begin = clock_now();
    run(&s);
    print_result(&s, (double)(s.now - begin) / (double)SECOND);
    return errors(&s) ? 1 : 0;
}
