#include "config.h"

#include "base/line_writer.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/thread_create.h"
#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH_MAX = 64 * 1024, /* bytes that are written to a file at a time */
    NAP_NS = 10000000,     /* between looks for lines while there are some */
    FLUSH_NS = 1000000000, /* that an end waits for the reader */
    FLUSH_LOOK_NS = 200000 /* between looks meanwhile */
};

_Static_assert((LINE_WRITER_RING_SIZE & (LINE_WRITER_RING_SIZE - 1)) == 0, "positions wrap");

enum sleep { AWAKE, NAPS, SLEEPS };

/* `head` and `tail` count bytes from the beginning: those from tail to head are in the text, the one at `base` at its
 * start. The base moves when the ring is empty, so that most of it is never touched. Whoever puts lines moves the head,
 * the writer's thread the tail. */
struct line_writer {
    struct line_writer_config config;
    pid_t pid; /* whose thread it is */

    _Alignas(64) atomic_size_t head;
    size_t base;
    atomic_ulong unplaced; /* lines that found no room */

    _Alignas(64) atomic_size_t tail;
    atomic_int sleep; /* enum sleep */
    sem_t wake;
    atomic_ulong unwritten; /* lines that could not be written */
    int error;              /* why lines cannot be written now; 0: they can */
    bool torn;              /* what was written ends within a line */
    unsigned long unplaced_told;
    int socket; /* to syslog; -1: not connected */

    /* A line that begins before the end of the ring is made in one piece, and what is behind that end copied then. */
    _Alignas(64) char text[LINE_WRITER_RING_SIZE + LINE_WRITER_LINE_MAX];
};

/* --- the loop's side */

static void count_lost(struct line_writer *w, atomic_ulong *counter, unsigned long lines) {
    atomic_fetch_add_explicit(counter, lines, memory_order_relaxed);
    if (w->config.lost)
        atomic_fetch_add_explicit(w->config.lost, lines, memory_order_relaxed);
}

static void wake(struct line_writer *w) {
    if (atomic_exchange(&w->sleep, AWAKE) != AWAKE)
        sem_post(&w->wake);
}

char *line_writer_begin(struct line_writer *w) {
    const size_t head = atomic_load_explicit(&w->head, memory_order_relaxed),
                 used = head - atomic_load_explicit(&w->tail, memory_order_acquire);
    if (LINE_WRITER_LINE_MAX > LINE_WRITER_RING_SIZE - used) {
        count_lost(w, &w->unplaced, 1);
        w->config.changed(w->config.arg, LINE_WRITER_NO_ROOM, 0);
        return NULL;
    }
    if (!used)
        w->base = head;
    return w->text + (head - w->base) % LINE_WRITER_RING_SIZE;
}

void line_writer_end(struct line_writer *w, size_t len) {
    const size_t head = atomic_load_explicit(&w->head, memory_order_relaxed),
                 end = (head - w->base) % LINE_WRITER_RING_SIZE + len;
    if (end > LINE_WRITER_RING_SIZE)
        memcpy(w->text, w->text + LINE_WRITER_RING_SIZE, end - LINE_WRITER_RING_SIZE);
    atomic_store(&w->head, head + len); /* before the look at whether it sleeps */
    const int sleep = atomic_load(&w->sleep);
    if (sleep == SLEEPS || (sleep == NAPS && head + len - atomic_load_explicit(&w->tail, memory_order_relaxed) >
                                                 LINE_WRITER_RING_SIZE / 2))
        wake(w);
}

unsigned long line_writer_lost(const struct line_writer *w) {
    return atomic_load_explicit(&w->unplaced, memory_order_relaxed) +
           atomic_load_explicit(&w->unwritten, memory_order_relaxed);
}

int line_writer_take(struct line_writer *w, int fd) {
    int to;
    do {
        to = dup3(fd, w->config.fd, O_CLOEXEC);
    } while (to < 0 && (errno == EINTR || errno == EBUSY)); /* another thread opens something in its place */
    return to < 0 ? -1 : 0;
}

static bool has_work(struct line_writer *w) {
    return atomic_load(&w->head) != atomic_load(&w->tail);
}

/* Hurries the writer, which may nap, at each look. */
bool line_writer_flush(struct line_writer *w) {
    const int error = errno;
    const uint64_t end = clock_ns() + FLUSH_NS;
    bool is_written = w->pid != getpid();
    while (!is_written && !(is_written = !has_work(w)) && clock_ns() < end) {
        wake(w);
        nanosleep(&(struct timespec){.tv_nsec = FLUSH_LOOK_NS}, NULL);
    }
    errno = error;
    return is_written;
}

/* --- the writer's side */

static char at(const struct line_writer *w, size_t position) {
    return w->text[(position - w->base) % LINE_WRITER_RING_SIZE];
}

static bool is_file(const struct line_writer *w) {
    struct stat st;
    return !fstat(w->config.fd, &st) && S_ISREG(st.st_mode);
}

/* How much of what there is to write at a time: whole lines. */
static size_t batch(const struct line_writer *w, size_t from, size_t to) {
    const size_t most = is_file(w) ? BATCH_MAX : PIPE_BUF;
    size_t n = to - from < most ? to - from : most;
    while (at(w, from + n - 1) != '\n') /* no line is longer than that */
        n--;
    return n;
}

static size_t line_end(const struct line_writer *w, size_t from) {
    while (at(w, from) != '\n')
        from++;
    return from + 1;
}

static unsigned long count_lines(const struct line_writer *w, size_t from, size_t to) {
    unsigned long count = 0;
    for (; from < to; from++)
        count += at(w, from) == '\n';
    return count;
}

/* The pieces of the ring between two positions. Returns how many. */
static int pieces(struct line_writer *w, size_t from, size_t to, struct iovec out[static 2]) {
    const size_t start = (from - w->base) % LINE_WRITER_RING_SIZE, rest = LINE_WRITER_RING_SIZE - start,
                 len = to - from, straight = len < rest ? len : rest;
    out[0] = (struct iovec){w->text + start, straight};
    out[1] = (struct iovec){w->text, len - straight};
    return len > straight ? 2 : 1;
}

static void note_written(struct line_writer *w, int error) {
    const bool changed = w->error != error;
    w->error = error;
    if (changed)
        w->config.changed(w->config.arg, error ? LINE_WRITER_FAILS : LINE_WRITER_GOES_ON, error);
}

/* Returns how many bytes of those from `from` to `to` were written. A line that another attempt has left torn is ended
 * first. */
static size_t write_lines(struct line_writer *w, size_t from, size_t to) {
    char feed[] = "\n";
    struct iovec iov[3] = {{feed, 1}};
    const int skipped = w->torn ? 0 : 1, n = pieces(w, from, to, iov + 1) + 1 - skipped;
    size_t written = write_all(w->config.fd, iov + skipped, n, true);
    const bool all = written == to - from + w->torn;
    const int error = all ? 0 : errno;
    if (w->torn && written)
        written--;
    else if (w->torn)
        return note_written(w, error), 0;
    w->torn = written && at(w, from + written - 1) != '\n';
    note_written(w, error);
    return written;
}

static int connect_syslog(struct line_writer *w) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t n = strlen(w->config.syslog);
    if (n >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, w->config.syslog, n);
    descriptors_lock();
    w->socket = descriptors_adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    descriptors_unlock();
    if (w->socket >= 0 && connect(w->socket, (struct sockaddr *)&address, sizeof address)) {
        descriptors_close(w->socket);
        w->socket = -1;
    }
    return w->socket < 0 ? -1 : 0;
}

/* The daemon may have begun anew since the last message. */
static int send_message(struct line_writer *w, const struct msghdr *message) {
    for (int attempt = 0; attempt < 2; attempt++) {
        if (w->socket < 0 && connect_syslog(w))
            return -1;
        ssize_t sent;
        do {
            sent = sendmsg(w->socket, message, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent >= 0)
            return 0;
        descriptors_close(w->socket);
        w->socket = -1;
    }
    return -1;
}

/* One line, without its line feed, as a message (RFC 3164). It has no time: daemons set their own, and no time zone has
 * to be agreed upon. Returns how many bytes of it were taken: all, or none. */
static size_t send_line(struct line_writer *w, size_t from, size_t to) {
    struct iovec iov[3] = {{.iov_len = strlen(w->config.tag)}};
    memcpy(&iov[0].iov_base, &w->config.tag, sizeof w->config.tag); /* it is not const, whatever sendmsg(2) promises */
    const int n = 1 + pieces(w, from, to - 1, iov + 1);
    const int failed = send_message(w, &(struct msghdr){.msg_iov = iov, .msg_iovlen = (size_t)n});
    note_written(w, failed ? errno : 0);
    return failed ? 0 : to - from;
}

static void write_some(struct line_writer *w) {
    const size_t from = atomic_load_explicit(&w->tail, memory_order_relaxed), head = atomic_load(&w->head),
                 to = w->config.syslog ? line_end(w, from) : from + batch(w, from, head),
                 written = w->config.syslog ? send_line(w, from, to) : write_lines(w, from, to);
    if (from + written < to)
        count_lost(w, &w->unwritten, count_lines(w, from + written, to));
    atomic_store(&w->tail, to);
}

/* There is room again for lines, of which some found none. */
static void tell_unplaced(struct line_writer *w) {
    const unsigned long unplaced = atomic_load_explicit(&w->unplaced, memory_order_relaxed);
    if (unplaced == w->unplaced_told || w->error)
        return;
    w->unplaced_told = unplaced;
    w->config.changed(w->config.arg, LINE_WRITER_NO_ROOM, 0);
}

static void wait_for_lines(struct line_writer *w, enum sleep how) {
    const struct timespec until = clock_timespec(clock_ns() + NAP_NS);
    atomic_store(&w->sleep, how);
    if (how == SLEEPS && has_work(w) && atomic_exchange(&w->sleep, AWAKE) != AWAKE)
        return;
    while (how == NAPS ? sem_clockwait(&w->wake, CLOCK_MONOTONIC, &until) && errno == EINTR : sem_wait(&w->wake))
        continue;
    /* Somebody may have posted when the nap was over: then the next one is a short one. */
    atomic_store(&w->sleep, AWAKE);
}

static void *writer_main(void *arg) {
    struct line_writer *w = arg;
    for (bool napped = false;;) {
        const bool had_work = has_work(w);
        while (has_work(w))
            write_some(w);
        tell_unplaced(w);
        wait_for_lines(w, had_work || !napped ? NAPS : SLEEPS);
        napped = !had_work;
    }
    return NULL;
}

struct line_writer *line_writer_new(const struct line_writer_config *config) {
    pthread_t thread;
    struct line_writer *w = aligned_alloc(_Alignof(struct line_writer), sizeof *w);
    if (!w)
        return NULL;
    memset(w, 0, offsetof(struct line_writer, text));
    w->config = *config;
    w->pid = getpid();
    w->socket = -1;
    sem_init(&w->wake, 0, 0);
    int error = thread_create(&thread, NULL, "wsgi-fcgi-lines", writer_main, w);
    if (error) {
        free(w);
        errno = error;
        return NULL;
    }
    pthread_detach(thread);
    return w;
}
