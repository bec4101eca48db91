#include "config.h"

#include "request/body.h"

#include "unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char dir[] = "/tmp/wsgi-fcgi-test-XXXXXX";
static struct body_limits limits = {.memory = 16, .spool_dir = dir};
static struct body body;
static char taken[65536]; /* what the last take_all read */

static int count_files(const char *path) {
    DIR *d = opendir(path);
    ck_assert_ptr_ne(d, NULL);
    int n = 0;
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void put(const char *text) {
    ck_assert_int_eq(body_append(&body, &limits, text, strlen(text)), BODY_OK);
}

/* Reads `step` bytes at a time until there is nothing more. Returns 0 at the end, or errno. */
static int take_all(size_t step) {
    size_t have = 0;
    ssize_t n;
    while ((n = body_read(&body, taken + have, step)) > 0) {
        REQUIRE((size_t)n <= step);
        have += (size_t)n;
        REQUIRE(have + step < sizeof taken);
    }
    taken[have] = '\0';
    return n ? errno : 0;
}

static off_t spool_size(void) {
    struct stat st;
    ck_assert_int_eq(fstat(body.spool, &st), 0);
    return st.st_size;
}

/* Stands before descriptors_close (local.mk: --wrap), which nobody else may have to wait for. */
void __real_descriptors_close(int fd);
void __wrap_descriptors_close(int fd);
static int closed_with; /* bytes on the disk */

void __wrap_descriptors_close(int fd) {
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    closed_with = (int)st.st_size;
    __real_descriptors_close(fd);
}

static int files_before;

static void setup(void) {
    ck_assert_ptr_ne(mkdtemp(dir), NULL);
    files_before = count_files("/proc/self/fd");
    body_init(&body);
    body_begin(&body, -1);
}

static void teardown(void) {
    body_fini(&body);
    ck_assert_int_eq(count_files("/proc/self/fd"), files_before);
    ck_assert_int_eq(rmdir(dir), 0); /* no file was left */
}

START_TEST(test_memory)
{
    ck_assert_int_eq(take_all(5), EAGAIN);
    put("hello");
    put(", world");
    ck_assert_int_eq(take_all(5), EAGAIN);
    ck_assert_str_eq(taken, "hello, world");
    put("again");
    body_end(&body);
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "again");
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_int_eq(body.spool, -1);
}
END_TEST

/* To free the space of a file may take long, and its descriptor is closed with a lock that accept and fork want. */
START_TEST(test_empty_when_closed)
{
    put("0123456789012345678");
    ck_assert_int_gt(spool_size(), 0);
    closed_with = -1;
    if (_i)
        body_abort(&body, ECONNRESET);
    else
        body_reset(&body, NULL);
    ck_assert_int_eq(closed_with, 0);
}
END_TEST

/* The application has closed the descriptor, and the number is that of a file of its own. */
START_TEST(test_file_of_another)
{
    char path[sizeof dir + 10];
    struct stat st;
    snprintf(path, sizeof path, "%s/own", dir);
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    ck_assert_int_eq(write(fd, "precious", 8), 8);
    put("0123456789012345678");
    ck_assert_int_eq(dup2(fd, body.spool), body.spool);
    body_reset(&body, NULL);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
    close(fd);
    unlink(path);
}
END_TEST

START_TEST(test_nothing_asked_for)
{
    char byte;
    ck_assert_int_eq(body_read(&body, &byte, 0), 0);
    put("0123456789012345678");
    ck_assert_int_ge(body.spool, 0);
    ck_assert_int_eq(body_read(&body, &byte, 0), 0);
    ck_assert_int_eq(take_all(100), EAGAIN);
    ck_assert_str_eq(taken, "0123456789012345678");
}
END_TEST

START_TEST(test_no_body)
{
    body_begin(&body, 0);
    ck_assert(body_complete(&body));
    ck_assert(!body_short(&body));
    put("unasked");
    ck_assert_int_eq(take_all(10), 0);
    ck_assert_str_eq(taken, "");
    body_end(&body);
    ck_assert_int_eq(take_all(10), 0);
}
END_TEST

START_TEST(test_known_length)
{
    body_begin(&body, 10);
    put("01234");
    ck_assert(!body_complete(&body));
    ck_assert(body_short(&body));
    put("56789excess");
    ck_assert(body_complete(&body));
    ck_assert(!body_short(&body));
    put("more");
    ck_assert_int_eq(take_all(3), 0);
    ck_assert_str_eq(taken, "0123456789");
    body_end(&body);
    ck_assert_int_eq(take_all(3), 0);
}
END_TEST

START_TEST(test_short)
{
    body_begin(&body, 10);
    put("0123");
    body_end(&body);
    ck_assert(body_complete(&body));
    ck_assert(body_short(&body));
    ck_assert_int_eq(take_all(3), ECONNABORTED);
    ck_assert_str_eq(taken, "0123");
    ck_assert_int_eq(take_all(3), ECONNABORTED);
}
END_TEST

START_TEST(test_spool)
{
    put("0123456789abcdef");
    ck_assert_int_eq(body.spool, -1);
    put("g");
    ck_assert_int_ge(body.spool, 0);
    ck_assert_int_eq(spool_size(), 1);
    ck_assert_int_ne(fcntl(body.spool, F_GETFD) & FD_CLOEXEC, 0);
    /* Memory has room again, but order comes first. */
    char first[8];
    ck_assert_int_eq(body_read(&body, first, sizeof first), 8);
    ck_assert_mem_eq(first, "01234567", 8);
    put("hij");
    ck_assert_int_eq(spool_size(), 4);
    ck_assert_int_eq(take_all(3), EAGAIN);
    ck_assert_str_eq(taken, "89abcdefghij");
    /* The reader has caught up. */
    ck_assert_int_eq(spool_size(), 0);
    put("memory");
    ck_assert_int_eq(spool_size(), 0);
    put(", then the file");
    ck_assert_int_eq(spool_size(), 15);
    body_end(&body);
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "memory, then the file");
}
END_TEST

START_TEST(test_without_memory)
{
    limits.memory = 0;
    put("a");
    put("b");
    ck_assert_int_eq(spool_size(), 2);
    ck_assert_int_eq(take_all(1), EAGAIN);
    ck_assert_str_eq(taken, "ab");
    put("");
    ck_assert_int_eq(take_all(1), EAGAIN);
}
END_TEST

START_TEST(test_total)
{
    limits.total = 20;
    put("0123456789");
    put("0123456789");
    ck_assert_int_eq(body_append(&body, &limits, "x", 1), BODY_TOO_LARGE);
    ck_assert(body_complete(&body));
    put("ignored");
    body_end(&body);
    ck_assert_int_eq(take_all(7), EFBIG);
    ck_assert_str_eq(taken, "01234567890123456789");
}
END_TEST

/* What is beyond Content-Length is dropped before it is counted. */
START_TEST(test_total_without_excess)
{
    limits.total = 5;
    body_begin(&body, 5);
    put("01234excess");
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "01234");
}
END_TEST

START_TEST(test_abort)
{
    body_begin(&body, 100);
    put("0123456789abcdefghij");
    body_abort(&body, ECONNRESET);
    ck_assert_int_eq(body.spool, -1);
    ck_assert_int_eq(take_all(100), ECONNRESET);
    ck_assert_str_eq(taken, "");
    put("late");
    body_end(&body);
    ck_assert_int_eq(take_all(100), ECONNRESET);
    ck_assert_str_eq(taken, "");
}
END_TEST

START_TEST(test_reset)
{
    put("0123456789");
    put("abcdefghij");
    ck_assert_int_ge(body.spool, 0);
    body_end(&body);
    body_reset(&body, NULL);
    ck_assert_int_eq(body.spool, -1);
    ck_assert_ptr_ne(body.memory.data, NULL);
    body_begin(&body, -1);
    ck_assert(!body_complete(&body));
    ck_assert_int_eq(take_all(100), EAGAIN);
    ck_assert_str_eq(taken, "");
    put("next");
    body_abort(&body, EIO);
    body_reset(&body, NULL);
    body_begin(&body, 3);
    put("one");
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "one");
}
END_TEST

START_TEST(test_no_such_directory)
{
    limits.spool_dir = "/nonexistent/directory";
    put("in memory");
    ck_assert_int_eq(body_append(&body, &limits, "0123456789", 10), BODY_FAILED);
    ck_assert(body_complete(&body));
    ck_assert_int_eq(take_all(100), ENOENT);
    ck_assert_str_eq(taken, "in memory");
}
END_TEST

START_TEST(test_directory_name_too_long)
{
    char path[4095] = "";
    while (strlen(path) + 20 < sizeof path)
        strcat(path, "/nonexistent");
    limits.spool_dir = path;
    ck_assert_int_eq(body_append(&body, &limits, "01234567890123456", 17), BODY_FAILED);
    ck_assert_int_eq(take_all(100), ENAMETOOLONG);
}
END_TEST

START_TEST(test_no_space)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit small = {.rlim_cur = 12, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    limits.memory = 4;
    enum body_status in_memory = body_append(&body, &limits, "abcd", 4);
    enum body_status in_file = body_append(&body, &limits, "0123456789", 10);
    enum body_status beyond = body_append(&body, &limits, "xyz", 3);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(in_memory, BODY_OK);
    ck_assert_int_eq(in_file, BODY_OK);
    ck_assert_int_eq(beyond, BODY_FAILED);
    /* Whatever fitted comes first, then the error: never a clean end. */
    ck_assert_int_eq(take_all(100), EFBIG);
    ck_assert_str_eq(taken, "abcd0123456789xy");
}
END_TEST

/* With a reader the writer waits for it, instead of failing: the order stays, also where a piece was cut by the file. */
static struct rlimit file_limit;

static void limit_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &file_limit), 0);
    struct rlimit small = {.rlim_cur = bytes, .rlim_max = file_limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
}

static unsigned rooms;

static void count_room(struct body *b) {
    uint64_t ignored;
    ck_assert(!body_is_held(b, &ignored)); /* which locks: the lock is not held here */
    rooms++;
}

static void put_held(const char *text) {
    ck_assert_int_eq(body_append(&body, &limits, text, strlen(text)), BODY_HELD);
}

START_TEST(test_held)
{
    static const char all[] = "abcd0123456789xyzmore";
    uint64_t read_so_far;
    limits.memory = 4;
    rooms = 0;
    body.room = count_room;
    body.has_reader = true;
    limit_files(12);
    put("abcd");
    put("0123456789");
    put_held("xyz");
    put_held("more");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &file_limit), 0);
    /* Once something is held all goes behind it, whatever the file could take by now. */
    put_held("!");
    ck_assert(!body_complete(&body));
    ck_assert_int_eq(body_error(&body), 0);
    for (size_t n = 0; n < 16; n++) {
        char byte;
        ck_assert(body_is_held(&body, &read_so_far));
        ck_assert_uint_eq(read_so_far, n);
        ck_assert_int_eq(body_read(&body, &byte, 1), 1);
        ck_assert_int_eq(byte, all[n]);
        ck_assert_uint_eq(rooms, 0);
    }
    ck_assert_int_eq(take_all(3), EAGAIN);
    ck_assert_str_eq(taken, "zmore!");
    ck_assert_uint_eq(rooms, 1);
    ck_assert(!body_is_held(&body, &read_so_far));
    ck_assert_uint_eq(read_so_far, 22);
    put("on");
    body_end(&body);
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "on");
}
END_TEST

START_TEST(test_held_without_a_file)
{
    limits.spool_dir = "/nonexistent/directory";
    body.has_reader = true;
    put("in memory");
    put_held("0123456789");
    ck_assert_int_eq(body.held_error, ENOENT);
    ck_assert_int_eq(take_all(4), EAGAIN);
    ck_assert_str_eq(taken, "in memory0123456789");
    put("again");
    ck_assert_int_eq(take_all(100), EAGAIN);
}
END_TEST

START_TEST(test_held_and_complete)
{
    limits.memory = 0;
    limits.spool_dir = "/nonexistent/directory";
    body_begin(&body, 6);
    body.has_reader = true;
    put_held("abc");
    put("def"); /* nothing more comes, so nobody has to wait */
    ck_assert(body_complete(&body));
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "abcdef");
}
END_TEST

START_TEST(test_held_is_over)
{
    uint64_t ignored;
    limits.memory = 0;
    limits.spool_dir = "/nonexistent/directory";
    body.has_reader = true;
    put_held("abc");
    if (_i == 0) {
        body_give_up_held(&body);
        ck_assert_int_eq(take_all(100), ENOENT);
    } else if (_i == 1) {
        body_abort(&body, ECONNRESET);
        ck_assert_int_eq(take_all(100), ECONNRESET);
    } else {
        body_reset(&body, NULL);
        body_begin(&body, -1);
        ck_assert_int_eq(take_all(100), EAGAIN);
    }
    ck_assert_str_eq(taken, "");
    ck_assert_int_eq(body_unspooled(&body), _i == 0);
    ck_assert(!body_is_held(&body, &ignored));
}
END_TEST

/* Nobody reads yet: an error, of the file whatever errno it has. */
START_TEST(test_not_held)
{
    limits.memory = 0;
    limits.spool_dir = "/nonexistent/directory";
    ck_assert_int_eq(body_append(&body, &limits, "abc", 3), BODY_FAILED);
    ck_assert(body_unspooled(&body));
    body_reset(&body, NULL);
    body_begin(&body, -1);
    ck_assert(!body_unspooled(&body));
    limits.total = 2;
    ck_assert_int_eq(body_append(&body, &limits, "abc", 3), BODY_TOO_LARGE);
    ck_assert(!body_unspooled(&body));
    limits.total = 0;
}
END_TEST

START_TEST(test_announced_and_empty)
{
    body_begin(&body, 5);
    body_begin_empty(&body);
    ck_assert(body_complete(&body));
    ck_assert(!body_short(&body));
    body_end(&body);
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "");
}
END_TEST

static void replace_spool(int fd) {
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(dup2(fd, body.spool), 0);
    close(fd);
}

START_TEST(test_unreadable_file)
{
    limits.memory = 0;
    put("lost");
    replace_spool(open("/dev/null", O_WRONLY | O_CLOEXEC));
    ck_assert_int_eq(take_all(100), EBADF);
    ck_assert_str_eq(taken, "");
}
END_TEST

START_TEST(test_truncated_file)
{
    limits.memory = 0;
    put("lost");
    ck_assert_int_eq(ftruncate(body.spool, 2), 0);
    ck_assert_int_eq(take_all(100), EIO);
    ck_assert_str_eq(taken, "lo");
}
END_TEST

/* The disk space of what was read must not stay in use; where truncating fails a new file is made. */
START_TEST(test_file_that_cannot_be_truncated)
{
    char path[64];
    limits.memory = 0;
    put("first");
    snprintf(path, sizeof path, "/proc/self/fd/%d", body.spool);
    replace_spool(open(path, O_RDONLY | O_CLOEXEC));
    ck_assert_int_eq(take_all(100), EAGAIN);
    ck_assert_str_eq(taken, "first");
    ck_assert_int_eq(body.spool, -1);
    put("second");
    ck_assert_int_eq(take_all(100), EAGAIN);
    ck_assert_str_eq(taken, "second");
}
END_TEST

/* Makes open(2) with O_TMPFILE fail in this process, as it does on file systems that do not have it. */
static void forbid_tmpfile(int error) {
    const bool little = *(const unsigned char *)&(const int){1};
    unsigned flags_at = (unsigned)offsetof(struct seccomp_data, args[2]) + (little ? 0 : 4);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, flags_at),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT(code), .filter = code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_lt(open(dir, O_TMPFILE | O_RDWR, 0600), 0);
    ck_assert_int_eq(errno, error);
}

static const int tmpfile_errors[] = {EOPNOTSUPP, EISDIR, ENOENT, EINVAL};

START_TEST(test_no_tmpfile)
{
    forbid_tmpfile(tmpfile_errors[_i]);
    limits.memory = 0;
    put("spooled");
    struct stat st;
    ck_assert_int_eq(fstat(body.spool, &st), 0);
    ck_assert_int_eq((int)st.st_nlink, 0);
    ck_assert_int_eq((int)(st.st_mode & 0777), 0600);
    ck_assert_int_ne(fcntl(body.spool, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_eq(take_all(100), EAGAIN);
    ck_assert_str_eq(taken, "spooled");
}
END_TEST

START_TEST(test_tmpfile_error_that_counts)
{
    forbid_tmpfile(EACCES);
    limits.memory = 0;
    ck_assert_int_eq(body_append(&body, &limits, "x", 1), BODY_FAILED);
    ck_assert_int_eq(take_all(100), EACCES);
}
END_TEST

START_TEST(test_no_memory)
{
    limits.memory = SIZE_MAX;
    put("some");
    /* The length alone is refused, before a byte is looked at. */
    ck_assert_int_eq(body_append(&body, &limits, "", SIZE_MAX - 8), BODY_FAILED);
    ck_assert_int_eq(take_all(100), ENOMEM);
    ck_assert_str_eq(taken, "some");
}
END_TEST

/* Readers on other threads. */

struct reader {
    pthread_t id;
    ssize_t n;
    int error;
};

static void *reader_main(void *arg) {
    struct reader *r = arg;
    char bytes[64];
    while ((r->n = body_read(&body, bytes, sizeof bytes)) < 0 && errno == EAGAIN)
        body_wait(&body);
    r->error = r->n < 0 ? errno : 0;
    return NULL;
}

static void readers_start(struct reader *readers, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(pthread_create(&readers[i].id, NULL, reader_main, &readers[i]), 0);
    for (unsigned waiting = 0; waiting < count; sched_yield()) {
        pthread_mutex_lock(&body.lock);
        waiting = body.readers;
        pthread_mutex_unlock(&body.lock);
    }
}

enum wake_up {
    WAKE_APPEND,
    WAKE_SPOOL,
    WAKE_END,
    WAKE_SHORT,
    WAKE_FULL,
    WAKE_ABORT,
    WAKE_TOO_LARGE,
    WAKE_FAILED,
    WAKES
};

static void wake_up(enum wake_up how) {
    switch (how) {
    case WAKE_APPEND:
        put("abc");
        break;
    case WAKE_SPOOL:
        limits.memory = 0;
        put("abc");
        break;
    case WAKE_END:
        body_end(&body);
        break;
    case WAKE_SHORT:
        body.expected = 9;
        body_end(&body);
        break;
    case WAKE_FULL:
        body.expected = 3;
        put("abc");
        break;
    case WAKE_ABORT:
        body_abort(&body, ECONNRESET);
        break;
    case WAKE_TOO_LARGE:
        limits.total = 1;
        ck_assert_int_eq(body_append(&body, &limits, "abc", 3), BODY_TOO_LARGE);
        break;
    case WAKE_FAILED:
        limits.memory = 0;
        limits.spool_dir = "/nonexistent";
        ck_assert_int_eq(body_append(&body, &limits, "abc", 3), BODY_FAILED);
        break;
    case WAKES:
        break;
    }
}

START_TEST(test_wake_up)
{
    static const struct {
        ssize_t n;
        int error;
    } expect[WAKES] = {{3, 0}, {3, 0}, {0, 0}, {-1, ECONNABORTED}, {3, 0}, {-1, ECONNRESET}, {-1, EFBIG}, {-1, ENOENT}};
    struct reader reader;
    readers_start(&reader, 1);
    wake_up((enum wake_up)_i);
    pthread_join(reader.id, NULL);
    ck_assert_int_eq(reader.n, expect[_i].n);
    ck_assert_int_eq(reader.error, expect[_i].error);
    ck_assert_uint_eq(body.readers, 0);
}
END_TEST

START_TEST(test_all_readers_wake)
{
    struct reader readers[4];
    readers_start(readers, 4);
    body_abort(&body, EPIPE);
    for (int i = 0; i < 4; i++) {
        pthread_join(readers[i].id, NULL);
        ck_assert_int_eq(readers[i].error, EPIPE);
    }
}
END_TEST

enum { STREAM_BYTES = 2000000 };

static char pattern(uint64_t at) {
    return (char)(at * 2654435761u >> 13);
}

static void *writer_main(void *arg) {
    char chunk[3000];
    uint64_t at = 0;
    unsigned random = 1;
    while (at < STREAM_BYTES) {
        random = random * 1103515245 + 12345;
        size_t len = (random >> 8) % sizeof chunk;
        for (size_t i = 0; i < len; i++)
            chunk[i] = pattern(at + i);
        REQUIRE(body_append(&body, &limits, chunk, len) == BODY_OK);
        at += len;
    }
    body_end(&body);
    (void)arg;
    return NULL;
}

/* The end of a call ends reading, not the body: that is the writer's. */
START_TEST(test_abandoned)
{
    struct reader reader;
    body_begin(&body, 100);
    readers_start(&reader, 1);
    body_abandon(&body);
    ck_assert_int_eq(pthread_join(reader.id, NULL), 0);
    ck_assert_int_eq(reader.error, ECONNRESET);
    ck_assert(!body_complete(&body));
    ck_assert_int_eq(body_append(&body, &limits, "some", 4), BODY_OK);
    ck_assert_int_eq(take_all(100), ECONNRESET);
    body_reset(&body, NULL);
    body_begin(&body, 4);
    ck_assert_int_eq(body_append(&body, &limits, "more", 4), BODY_OK);
    ck_assert_int_eq(take_all(100), 0);
    ck_assert_str_eq(taken, "more");
}
END_TEST

/* Sizes that let the reader fall behind and catch up, again and again; with and without a known length. */
START_TEST(test_stream)
{
    pthread_t writer;
    char bytes[5000];
    uint64_t at = 0;
    unsigned random = 7;
    limits.memory = 4096;
    body_begin(&body, _i ? STREAM_BYTES : -1);
    ck_assert_int_eq(pthread_create(&writer, NULL, writer_main, NULL), 0);
    for (;;) {
        random = random * 1103515245 + 12345;
        ssize_t n = body_read(&body, bytes, (random >> 8) % sizeof bytes + 1);
        if (n < 0) {
            REQUIRE(errno == EAGAIN);
            body_wait(&body);
            continue;
        }
        if (!n)
            break;
        for (ssize_t i = 0; i < n; i++)
            REQUIRE(bytes[i] == pattern(at + (uint64_t)i));
        at += (uint64_t)n;
    }
    pthread_join(writer, NULL);
    if (_i)
        ck_assert_uint_eq(at, STREAM_BYTES);
    else
        ck_assert_uint_eq(at, body.received);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("body");
    TCase *c = tcase_create("body");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_memory);
    tcase_add_loop_test(c, test_empty_when_closed, 0, 2);
    tcase_add_test(c, test_file_of_another);
    tcase_add_test(c, test_nothing_asked_for);
    tcase_add_test(c, test_no_body);
    tcase_add_test(c, test_known_length);
    tcase_add_test(c, test_short);
    tcase_add_test(c, test_spool);
    tcase_add_test(c, test_without_memory);
    tcase_add_test(c, test_total);
    tcase_add_test(c, test_total_without_excess);
    tcase_add_test(c, test_abort);
    tcase_add_test(c, test_reset);
    tcase_add_test(c, test_no_such_directory);
    tcase_add_test(c, test_directory_name_too_long);
    tcase_add_test(c, test_no_space);
    tcase_add_test(c, test_held);
    tcase_add_test(c, test_held_without_a_file);
    tcase_add_test(c, test_held_and_complete);
    tcase_add_loop_test(c, test_held_is_over, 0, 3);
    tcase_add_test(c, test_not_held);
    tcase_add_test(c, test_announced_and_empty);
    tcase_add_test(c, test_unreadable_file);
    tcase_add_test(c, test_truncated_file);
    tcase_add_test(c, test_file_that_cannot_be_truncated);
    tcase_add_loop_test(c, test_no_tmpfile, 0, COUNT(tmpfile_errors));
    tcase_add_test(c, test_tmpfile_error_that_counts);
    tcase_add_test(c, test_no_memory);
    tcase_add_loop_test(c, test_wake_up, 0, WAKES);
    tcase_add_test(c, test_abandoned);
    tcase_add_test(c, test_all_readers_wake);
    tcase_add_loop_test(c, test_stream, 0, 2);
    return unit_run(suite);
}
