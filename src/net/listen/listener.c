#include "config.h"

#include "net/listen/listener.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "net/listen/socket_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcgios.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

/* The memory of a set. A signal handler may still be reading the old memory. */
struct block {
    struct block *before;
    struct listener items[];
};

static struct block *block_of(struct listener *items) {
    return items ? (struct block *)(void *)((char *)items - offsetof(struct block, items)) : NULL;
}

/* Appends *l, which then belongs to the set. */
static int append(struct listener_set *set, struct listener *l) {
    size_t count = set->count;
    struct block *block = malloc(sizeof(*block) + (count + 1) * sizeof(block->items[0]));
    if (!block) {
        log_error("out of memory");
        listener_close(l);
        return EX_OSERR;
    }
    block->before = block_of(set->items);
    for (size_t i = 0; i < count; i++)
        block->items[i] = set->items[i];
    block->items[count] = *l;
    set->items = block->items;
    set->count = count + 1;
    descriptors_guard(l->fd, "on which connections are accepted");
    return 0;
}

/* ss(8) shows such a socket in the same way. */
static void name_any(char text[static ADDRESS_TEXT_SIZE], const struct sockaddr_in6 *sin6) {
    snprintf(text, ADDRESS_TEXT_SIZE, "*:%u", ntohs(sin6->sin6_port));
}

static bool takes_both(int fd, const struct sockaddr_in6 *sin6) {
    int v6only = 1;
    socklen_t len = sizeof(v6only);
    return sin6->sin6_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr) &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0 && !v6only;
}

static void name_socket(struct listener *l) {
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getsockname(l->fd, (struct sockaddr *)&sa, &len))
        len = 0;
    l->is_unix = sa.ss_family == AF_UNIX;
    if (takes_both(l->fd, (const void *)&sa))
        name_any(l->text, (const void *)&sa);
    else
        address_format((const struct sockaddr *)&sa, len, l->text);
}

static bool is_absent(int error) {
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

/* Makes a listening TCP or abstract socket. Returns the descriptor, or -1 with errno. */
static int listen_at(const struct address *a, unsigned backlog) {
    const int on = 1, v6only = !a->any;
    descriptors_lock();
    int fd = descriptors_adopt(socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    descriptors_unlock();
    if (fd < 0)
        return -1;
    if ((a->kind == ADDRESS_TCP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))) ||
        (a->sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only))) ||
        bind(fd, (const struct sockaddr *)&a->sa, a->len) || listen(fd, (int)backlog)) {
        descriptors_close(fd);
        return -1;
    }
    return fd;
}

/* A machine without IPv6 listens on every IPv4 address instead. */
static int listen_any(const struct address *a, unsigned backlog) {
    const struct sockaddr_in6 *sin6 = (const void *)&a->sa;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = sin6->sin6_port};
    struct address v4 = {.kind = ADDRESS_TCP, .fd = -1, .len = sizeof(sin)};
    int fd = listen_at(a, backlog);
    if (fd >= 0 || !is_absent(errno))
        return fd;
    memcpy(&v4.sa, &sin, sizeof(sin));
    return listen_at(&v4, backlog);
}

static const char *name_address(char text[static ADDRESS_TEXT_SIZE], const struct address *a) {
    if (a->any)
        name_any(text, (const void *)&a->sa);
    else
        address_format((const struct sockaddr *)&a->sa, a->len, text);
    return text;
}

/* What a TCP address takes of the machine. */
struct endpoint {
    bool v4, v6, any; /* of which families; every address of them, or `host` */
    uint16_t port;
    struct in6_addr host; /* IPv4 in its first four bytes */
};

/* False for other addresses. `dual`: the IPv6 wildcard takes IPv4, too. */
static bool read_endpoint(const struct sockaddr_storage *sa, bool dual, struct endpoint *e) {
    *e = (struct endpoint){0};
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *sin = (const void *)sa;
        e->v4 = true;
        e->any = sin->sin_addr.s_addr == htonl(INADDR_ANY);
        e->port = sin->sin_port;
        memcpy(&e->host, &sin->sin_addr, sizeof sin->sin_addr);
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const void *)sa;
        e->v6 = true;
        e->any = IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr);
        e->v4 = e->any && dual;
        e->port = sin6->sin6_port;
        e->host = sin6->sin6_addr;
    }
    return e->v4 || e->v6;
}

static bool overlap(const struct endpoint *a, const struct endpoint *b) {
    return a->port == b->port && ((a->v4 && b->v4) || (a->v6 && b->v6)) &&
           (a->any || b->any || !memcmp(&a->host, &b->host, sizeof a->host));
}

/* Whether `l` prevents a socket from being bound to `a`. */
static bool occupies(const struct listener *l, const struct address *a) {
    struct sockaddr_storage sa = {0};
    struct endpoint mine, wanted;
    struct stat st;
    socklen_t len = sizeof sa;
    if (a->kind == ADDRESS_UNIX)
        return l->path && !lstat(((const struct sockaddr_un *)&a->sa)->sun_path, &st) && st.st_dev == l->dev &&
               st.st_ino == l->ino;
    if (getsockname(l->fd, (struct sockaddr *)&sa, &len))
        return false;
    if (read_endpoint(&sa, takes_both(l->fd, (const void *)&sa), &mine) && read_endpoint(&a->sa, a->any, &wanted))
        return overlap(&mine, &wanted);
    return len == a->len && !memcmp(&sa, &a->sa, len);
}

/* Whether this server itself uses the address; if so, logs it. */
static bool is_given_twice(const struct listener_set *set, const struct address *a) {
    char text[ADDRESS_TEXT_SIZE];
    for (size_t i = 0; i < set->count; i++) {
        if (!occupies(&set->items[i], a))
            continue;
        log_error("%s is given twice: this server listens on %s already", name_address(text, a), set->items[i].text);
        return true;
    }
    return false;
}

static int complain_listen(const struct listener_set *set, const struct address *a, int error) {
    char text[ADDRESS_TEXT_SIZE];
    name_address(text, a);
    if (error == EADDRINUSE && is_given_twice(set, a))
        return EX_USAGE;
    switch (error) {
    case EADDRINUSE:
        log_error("%s is in use by another process: stop it, or choose another %s", text,
                  a->kind == ADDRESS_TCP ? "port" : "name");
        return EX_UNAVAILABLE;
    case EACCES:
    case EPERM:
        log_error("no permission to listen on %s: choose a port from 1024 on, or run as root", text);
        return EX_NOPERM;
    case EADDRNOTAVAIL:
        log_error("cannot listen on %s: this machine does not have that address (see: ip address)", text);
        return EX_UNAVAILABLE;
    case EAFNOSUPPORT:
        log_error("cannot listen on %s: this machine has no IPv%c", text, a->sa.ss_family == AF_INET6 ? '6' : '4');
        return EX_UNAVAILABLE;
    default:
        log_error("cannot listen on %s: %s", text, strerror(error));
        return EX_OSERR;
    }
}

static bool is_stream(int fd) {
    int type = 0;
    socklen_t len = sizeof(type);
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_STREAM;
}

static bool accepts_connections(int fd) {
    int accepts = 0;
    socklen_t len = sizeof(accepts);
    return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) && accepts;
}

/* Turns a descriptor that was handed over into a listener. Returns NULL, or what is wrong with it. */
static const char *adopt(struct listener *l, int fd) {
    struct stat st;
    int flags;
    if (fstat(fd, &st))
        return "is not open";
    if (!S_ISSOCK(st.st_mode) || !is_stream(fd))
        return "is not a stream socket";
    if (!accepts_connections(fd))
        return "is a socket that does not listen";
    if ((flags = fcntl(fd, F_GETFL)) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return "cannot be made non-blocking";
    *l = (struct listener){.fd = fd, .inherited = true, .given = fd};
    name_socket(l);
    return NULL;
}

/* From now on the descriptor is the server's, whoever made it. */
static const char *keep(struct listener *l) {
    descriptors_lock();
    l->fd = descriptors_adopt(l->fd);
    descriptors_unlock();
    return l->fd >= 0 ? NULL : "cannot be kept: there is no memory";
}

/* Moves the listener away from descriptors 0 to 2, which the application and the programs that it starts use as
 * standard input, output and error. */
static const char *leave_standard_file(struct listener *l) {
    descriptors_lock();
    int fd = descriptors_adopt(fcntl(l->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    descriptors_unlock();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool moved = fd >= 0 && null >= 0 && dup2(null, l->fd) == l->fd;
    if (null >= 0)
        close(null);
    if (moved)
        l->fd = fd;
    else if (fd >= 0)
        descriptors_close(fd);
    return moved ? NULL : "cannot be replaced by /dev/null";
}

/* Returns NULL, or what is wrong with the descriptor. */
static const char *take_over(const struct listener_set *set, int fd, struct listener *l) {
    const char *problem = NULL;
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].inherited && set->items[i].given == fd)
            problem = "was given twice";
    if (!problem)
        problem = adopt(l, fd);
    if (!problem)
        problem = fd <= STDERR_FILENO ? leave_standard_file(l) : keep(l);
    return problem;
}

static int open_fd(struct listener_set *set, int fd) {
    struct listener l;
    const char *problem = take_over(set, fd, &l);
    if (!problem)
        return append(set, &l);
    log_error("descriptor %d %s: it has to be a listening stream socket, opened by the parent process", fd, problem);
    return EX_CONFIG;
}

/* `optional`: if the machine lacks the address, this is not an error, and nothing is appended. */
static int open_one(struct listener_set *set, const struct address *a, const struct listener_settings *settings,
                    bool optional) {
    struct listener l = {.fd = -1, .owner = getpid()};
    int status;
    if (a->kind == ADDRESS_FD)
        return open_fd(set, a->fd);
    if (a->kind == ADDRESS_UNIX) {
        if (is_given_twice(set, a))
            return EX_USAGE;
        status = socket_file_open(&l, a, settings);
        return status ? status : append(set, &l);
    }
    l.fd = a->any ? listen_any(a, settings->backlog) : listen_at(a, settings->backlog);
    if (l.fd < 0)
        return optional && is_absent(errno) ? 0 : complain_listen(set, a, errno);
    name_socket(&l);
    return append(set, &l);
}

static void close_from(struct listener_set *set, size_t first) {
    while (set->count > first) {
        struct listener *l = &set->items[set->count - 1];
        listener_stop(l); /* as long as it is in the set, a signal handler removes its file */
        set->count--;
        listener_close(l);
    }
}

static int note_settings(struct listener *l, const struct listener_settings *settings) {
    l->protocol = settings->protocol;
    l->asked = settings->asked ? strdup(settings->asked) : NULL;
    if (!settings->asked == !l->asked)
        return 0;
    log_error("out of memory");
    return EX_OSERR;
}

int listener_open(struct listener_set *set, const struct address *list, size_t count,
                  const struct listener_settings *settings) {
    const size_t first = set->count;
    int status = 0;
    /* "localhost" may stand for [::1] on a machine without IPv6: one of its addresses is enough. */
    for (size_t i = 0; i < count && !status; i++)
        status = open_one(set, &list[i], settings, i + 1 < count || set->count > first);
    for (size_t i = first; i < set->count && !status; i++)
        status = note_settings(&set->items[i], settings);
    if (status)
        close_from(set, first);
    return status;
}

int listener_open_activated(struct listener_set *set, int fd, const char *name, enum listener_protocol protocol) {
    struct listener l;
    const char *problem = take_over(set, fd, &l);
    if (!problem) {
        l.protocol = protocol;
        l.activated = true;
        return append(set, &l);
    }
    log_error(
        "the socket \"%s\" of systemd (descriptor %d) %s: it has to be a listening stream socket: ListenStream= and "
        "Accept=no in its unit",
        name, fd, problem);
    return EX_CONFIG;
}

int listener_resume(struct listener_set *set, struct listener *l) {
    return append(set, l);
}

bool listener_set_has(const struct listener_set *set, enum listener_protocol protocol) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].protocol == protocol)
            return true;
    }
    return false;
}

bool listener_stdin_is_socket(void) {
    struct stat st;
    /* OS_IsFcgi only asks whether getpeername(2) says ENOTCONN: that is true of sockets that do not listen, too. */
    return fstat(STDIN_FILENO, &st) == 0 && S_ISSOCK(st.st_mode) && OS_IsFcgi(STDIN_FILENO) &&
           is_stream(STDIN_FILENO) && accepts_connections(STDIN_FILENO);
}

int listener_open_stdin(struct listener_set *set) {
    if (listener_stdin_is_socket())
        return open_fd(set, STDIN_FILENO);
    log_error("no socket to listen on: give --socket ADDR, for example --socket /run/app.sock");
    return EX_USAGE;
}

int listener_add_sent(struct listener_set *set, const struct listener_sent *sent) {
    struct listener l = {
        .fd = sent->fd, .is_unix = sent->is_unix, .inherited = sent->inherited, .protocol = sent->protocol};
    if (!is_stream(l.fd) || !accepts_connections(l.fd)) {
        descriptors_close(l.fd);
        errno = EPROTO;
        return -1;
    }
    snprintf(l.text, sizeof l.text, "%s", sent->text);
    l.given = -1;
    if (!append(set, &l))
        return 0;
    errno = ENOMEM;
    return -1;
}

bool listener_is_own(const struct listener *l) {
    return l->owner == getpid();
}

void listener_refuse(const struct listener *l) {
    if (l->is_unix && l->fd >= 0 && listener_is_own(l))
        shutdown(l->fd, SHUT_RD);
}

void listener_leave(struct listener *l) {
    if (l->fd >= 0)
        descriptors_close(l->fd);
    l->fd = -1;
}

void listener_stop(struct listener *l) {
    socket_file_unlink(l);
    /* A child that was made without the handlers of pthread_atfork(3) still has the socket, which must not go on to
     * accept connections. A parent process may want its socket again. */
    if (l->fd >= 0 && listener_is_own(l))
        shutdown(l->fd, SHUT_RDWR);
    if (l->fd >= 0)
        descriptors_close(l->fd);
    l->fd = -1;
    l->owner = 0; /* the file of a later server may have the same number by then */
}

void listener_close(struct listener *l) {
    listener_stop(l);
    free(l->path);
    free(l->asked);
    l->path = l->asked = NULL;
}

void listener_close_all(struct listener_set *set) {
    struct block *block = block_of(set->items);
    close_from(set, 0);
    set->items = NULL;
    while (block) {
        struct block *before = block->before;
        free(block);
        block = before;
    }
}

void listener_unlink_all(const struct listener_set *set) {
    size_t count = set->count;
    const struct listener *items = set->items;
    for (size_t i = 0; i < count; i++)
        socket_file_unlink(&items[i]);
}
