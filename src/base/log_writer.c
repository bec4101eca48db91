#include "config.h"

#include "base/log_writer.h"

#include "base/clock.h"
#include "base/thread_create.h"
#include "base/write_all.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    FLUSH_NS = 1000000000,  /* that an end waits for the reader of the log */
    FLUSH_LOOK_NS = 200000, /* between looks meanwhile */
    ALONE_MS = 1000         /* that a line waits for its reader when there is no writer */
};

/* Lines for the writer, each with its line feed. `head` and `tail` count bytes from the beginning: those from tail to
 * head are in the text, the one at `base` at its start. The base moves when the ring is empty, so that most of the ring
 * is never touched when the log is read.
 * Mutable ring: whoever adds lines has the lock, and moves the head behind them; the writer moves the tail and takes no
 * lock, so that it continues whatever a thread was doing when a signal stopped it for ever. */
static struct ring {
    char text[LOG_RING_SIZE];
    atomic_size_t head, tail;
    size_t base;
    pthread_mutex_t lock;
    /* Lines that found no room. While there are any, the ring takes no other line: its place would be wrong. */
    atomic_ulong lost;
    atomic_bool unread; /* when there is no writer: nobody has read the last line */
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The last line, when its length is not 0.
 * Mutable last: whoever takes it first, for ever; then the writer. */
static struct last {
    char line[LOG_OWN_MAX];
    atomic_size_t len;
    atomic_flag taken;
} last = {.taken = ATOMIC_FLAG_INIT};

/* The thread that writes.
 * Mutable writer: the main thread starts it; what is not atomic is its own from then on. */
static struct writer {
    atomic_bool sleeping; /* or is about to, unless it finds something to do */
    sem_t wake;
    _Atomic pid_t pid; /* the process that has one; 0: none */
    log_writer_note_cb *note;
    unsigned long failed; /* lines that could not be written since the last one that was, */
    int failed_error;     /* and why */
    bool torn;            /* what was written ends within a line */
} writer;

static unsigned long count_lines(const char *text, size_t len) {
    unsigned long count = 0;
    for (const char *end = text + len, *p; text < end && (p = memchr(text, '\n', (size_t)(end - text))); text = p + 1)
        count++;
    return count;
}

/* Where lines that are lost are counted for others.
 * Mutable losses: any thread. */
static struct losses {
    _Atomic uint64_t *_Atomic counter; /* NULL: nowhere yet */
    atomic_ulong before;               /* those until then */
} losses;

static void note_losses(unsigned long lines) {
    _Atomic uint64_t *counter = atomic_load(&losses.counter);
    atomic_fetch_add(&losses.before, lines);
    if (counter)
        atomic_fetch_add_explicit(counter, atomic_exchange(&losses.before, 0), memory_order_relaxed);
}

void log_writer_count_lost(_Atomic uint64_t *counter) {
    atomic_store(&losses.counter, counter);
    note_losses(0);
}

/* They found no room. */
static void lose(unsigned long lines) {
    atomic_fetch_add(&ring.lost, lines);
    note_losses(lines);
}

static struct iovec piece_of(const char *text, size_t len) {
    struct iovec piece = {.iov_len = len};
    memcpy(&piece.iov_base, &text, sizeof text); /* it is not const, whatever writev(2) promises */
    return piece;
}

static bool has_writer(void) {
    pid_t pid = atomic_load_explicit(&writer.pid, memory_order_relaxed);
    return pid && pid == getpid(); /* a child may have been made by a system call of somebody's own */
}

/* The writer's side. */

static bool has_work(void) {
    return atomic_load(&ring.head) != atomic_load(&ring.tail) || atomic_load(&ring.lost) || atomic_load(&last.len);
}

static void wake_writer(void) {
    if (atomic_exchange(&writer.sleeping, false))
        sem_post(&writer.wake);
}

static void wait_for_work(void) {
    atomic_store(&writer.sleeping, true);
    if (has_work() && atomic_exchange(&writer.sleeping, false))
        return;
    while (sem_wait(&writer.wake))
        continue;
}

/* Lines of the writer's own. Returns whether it is written whole. */
static bool write_own(const char *text, size_t len) {
    struct iovec iov = piece_of(text, len);
    size_t written = write_all(STDERR_FILENO, &iov, 1, true);
    if (written == len)
        return true;
    writer.failed_error = errno;
    writer.torn |= written > 0;
    return false;
}

static bool write_lost(unsigned long lines, int error) {
    char note[1 + LOG_OWN_MAX] = "\n";
    size_t len = writer.note(note + 1, LOG_OWN_MAX, lines, error);
    return writer.torn ? write_own(note, len + 1) : write_own(note + 1, len);
}

/* Says first what could not be written before. Returns whether something can be written now. */
static bool tell_failed(void) {
    if (writer.failed && !write_lost(writer.failed, writer.failed_error))
        return false;
    writer.failed = 0;
    writer.torn = false;
    return true;
}

static size_t index_of(size_t position) {
    return (position - ring.base) % LOG_RING_SIZE;
}

static char at(size_t position) {
    return ring.text[index_of(position)];
}

/* How much to write at a time: as many lines as a pipe takes in one piece (PIPE_BUF of write(2)), or a longer one. */
static size_t batch(size_t from, size_t to) {
    size_t most = to - from < PIPE_BUF ? to - from : PIPE_BUF, n = most;
    while (n && at(from + n - 1) != '\n')
        n--;
    if (n)
        return n;
    for (n = most; at(from + n) != '\n'; n++)
        continue;
    return n + 1;
}

static void write_batch(void) {
    size_t from = atomic_load(&ring.tail), n = batch(from, atomic_load(&ring.head)), written = 0;
    size_t start = index_of(from), straight = n < LOG_RING_SIZE - start ? n : LOG_RING_SIZE - start;
    struct iovec iov[2] = {{.iov_base = ring.text + start, .iov_len = straight},
                           {.iov_base = ring.text, .iov_len = n - straight}};
    if (tell_failed()) {
        written = write_all(STDERR_FILENO, iov, n > straight ? 2 : 1, true);
        if (written < n) {
            writer.failed_error = errno;
            writer.torn = written && at(from + written - 1) != '\n';
        }
    }
    unsigned long failed = 0;
    for (size_t i = written; i < n; i++)
        failed += at(from + i) == '\n';
    if (failed)
        note_losses(failed);
    writer.failed += failed;
    atomic_store(&ring.tail, from + n);
}

/* Reports the lines that found no room, before the ring takes others: lines put from now on come after this. */
static void tell_lost(void) {
    unsigned long lines = atomic_exchange(&ring.lost, 0);
    if (!tell_failed() || !write_lost(lines, 0))
        writer.failed += lines;
}

static void write_last(void) {
    if (tell_failed())
        write_own(last.line, atomic_load(&last.len));
    atomic_store(&last.len, 0);
}

static void *writer_main(void *unused) {
    for (;;) {
        bool any_lost = atomic_load(&ring.lost); /* first: if so, the head stays where it is */
        if (atomic_load(&ring.head) != atomic_load(&ring.tail))
            write_batch();
        else if (any_lost)
            tell_lost();
        else if (atomic_load(&last.len))
            write_last();
        else
            wait_for_work();
    }
    return unused;
}

static void forked_cb(void) {
    atomic_store(&writer.pid, 0);
}

int log_writer_start(log_writer_note_cb *note) {
    pthread_t thread;
    writer.note = note;
    sem_init(&writer.wake, 0, 0);
    int error = pthread_atfork(NULL, NULL, forked_cb);
    /* It does not take the signals of a terminal or a pipe either: SIGTTOU, SIGPIPE. */
    if (!error)
        error = thread_create(&thread, NULL, "wsgi-fcgi-log", writer_main, NULL);
    if (error) {
        errno = error;
        return -1;
    }
    pthread_detach(thread);
    atomic_store(&writer.pid, getpid());
    return 0;
}

/* The others' side. */

/* Returns the position behind it. */
static size_t place(size_t to, const char *text, size_t len) {
    size_t start = index_of(to), straight = len < LOG_RING_SIZE - start ? len : LOG_RING_SIZE - start;
    memcpy(ring.text + start, text, straight);
    memcpy(ring.text, text + straight, len - straight);
    return to + len;
}

/* The first line alone is too long for the whole ring, or nearly: puts its beginning in. Returns how much of the text
 * was handled. */
static size_t place_cut(size_t to, const char *text, size_t len, size_t room) {
    static const char rest[] = "... (the rest of this line is left out)\n";
    size_t keep = room - (sizeof rest - 1);
    while (keep && ((unsigned char)text[keep] & 0xc0) == 0x80) /* not within a character of UTF-8 */
        keep--;
    atomic_store(&ring.head, place(place(to, text, keep), rest, sizeof rest - 1));
    const char *next = memchr(text + keep, '\n', len - keep);
    return next ? (size_t)(next - text) + 1 : len;
}

/* Puts the lines that fit, of a text that does not fit as a whole; the others are lost. */
static void place_lines(size_t to, const char *text, size_t len, bool feed, size_t room) {
    const char *end = memrchr(text, '\n', room < len ? room : len);
    size_t done = end ? (size_t)(end - text) + 1 : 0;
    if (done)
        atomic_store(&ring.head, place(to, text, done));
    else if (room > LOG_RING_SIZE / 2)
        done = place_cut(to, text, len, room);
    lose(count_lines(text + done, len - done) + (feed && done < len));
}

/* Where the ring takes something now. */
static size_t begin(size_t *room) {
    size_t to = atomic_load(&ring.head);
    *room = LOG_RING_SIZE - (to - atomic_load(&ring.tail));
    if (*room == LOG_RING_SIZE)
        ring.base = to;
    return to;
}

static void put(const char *text, size_t len, bool feed) {
    size_t room, to = begin(&room);
    if (atomic_load(&ring.lost)) {
        lose(count_lines(text, len) + feed);
    } else if (len + feed > room) {
        place_lines(to, text, len, feed, room);
    } else {
        to = place(to, text, len);
        atomic_store(&ring.head, feed ? place(to, "\n", 1) : to);
    }
}

/* Without the writer's thread: whether somebody reads, so that `lines` can be written. What cannot be written is lost:
 * there is no better place to complain. If nobody reads, the reader is waited for only once, and a writer that starts
 * later reports the loss. */
static bool has_reader(unsigned long lines) {
    bool unread =
        !poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, atomic_load(&ring.unread) ? 0 : ALONE_MS);
    atomic_store(&ring.unread, unread);
    if (unread)
        lose(lines);
    return !unread;
}

void log_writer_put(const char *text, size_t len, bool feed) {
    if (has_writer()) {
        pthread_mutex_lock(&ring.lock);
        put(text, len, feed);
        pthread_mutex_unlock(&ring.lock);
        wake_writer();
        return;
    }
    struct iovec iov[2] = {piece_of(text, len), piece_of("\n", 1)};
    if (has_reader(count_lines(text, len) + feed))
        write_all(STDERR_FILENO, iov, feed ? 2 : 1, false);
}

/* Where the line at the beginning of the text ends, and where the next one begins. */
static size_t marked_line(const char *text, size_t len, size_t *next) {
    size_t n = 0;
    while (n < len && n < LOG_MARKED_MAX && text[n] != '\n' && text[n] != '\0')
        n++;
    *next = n + (n < len && (text[n] == '\n' || text[n] == '\0'));
    while (*next == n && n < len && n + 4 > LOG_MARKED_MAX && ((unsigned char)text[n] & 0xc0) == 0x80)
        *next = --n; /* not within a character of UTF-8 */
    return n;
}

static void put_marked(const char *mark, const char *text, size_t len) {
    const size_t n = strlen(mark);
    for (size_t next; len; text += next, len -= next) {
        size_t of_line = marked_line(text, len, &next), room, to = begin(&room);
        if (atomic_load(&ring.lost) || n + of_line + 1 > room)
            lose(1);
        else
            atomic_store(&ring.head, place(place(place(to, mark, n), text, of_line), "\n", 1));
    }
}

/* Without the writer's thread: several lines at a time, so that those of other processes do not come in between. */
static void write_marked(const char *mark, const char *text, size_t len) {
    enum { LINES = 64 };
    struct iovec iov[3 * LINES];
    int n = 0;
    for (size_t next; len; text += next, len -= next) {
        iov[n++] = piece_of(mark, strlen(mark));
        iov[n++] = piece_of(text, marked_line(text, len, &next));
        iov[n++] = piece_of("\n", 1);
        if (n < 3 * LINES && next < len)
            continue;
        if (has_reader((unsigned long)n / 3))
            write_all(STDERR_FILENO, iov, n, false);
        n = 0;
    }
}

void log_writer_put_marked(const char *mark, const char *text, size_t len) {
    if (!has_writer()) {
        write_marked(mark, text, len);
        return;
    }
    pthread_mutex_lock(&ring.lock);
    put_marked(mark, text, len);
    pthread_mutex_unlock(&ring.lock);
    wake_writer();
}

void log_writer_put_last(const char *line, size_t len) {
    if (!has_writer()) {
        struct pollfd errors = {.fd = STDERR_FILENO, .events = POLLOUT};
        struct iovec iov = piece_of(line, len);
        if (poll(&errors, 1, 0) > 0)
            write_all(STDERR_FILENO, &iov, 1, false);
        return;
    }
    if (!atomic_flag_test_and_set(&last.taken)) {
        len = len < sizeof last.line ? len : sizeof last.line;
        memcpy(last.line, line, len);
        atomic_store(&last.len, len);
        wake_writer();
    }
    log_writer_flush();
}

static bool is_settled(void) {
    return atomic_load(&writer.sleeping) && !has_work();
}

bool log_writer_flush(void) {
    if (!has_writer())
        return true;
    uint64_t end = clock_ns() + FLUSH_NS;
    bool settled;
    while (!(settled = is_settled()) && clock_ns() < end)
        nanosleep(&(struct timespec){.tv_nsec = FLUSH_LOOK_NS}, NULL);
    return settled;
}
