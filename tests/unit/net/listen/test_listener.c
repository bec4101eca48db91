#include "config.h"

#include "net/listen/listener.h"

#include "base/descriptors.h"
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

enum { NOBODY = 65534 };

static const struct listener_settings settings = {
    .mode = 0660, .backlog = 5, .owner_source = "WSGI_FCGI_SOCKET_OWNER", .group_source = "--socket-group"};
static struct listener_set set;
static char dir[] = "/tmp/wsgi-fcgi-unit.XXXXXX", path[64], output[4096];
static int saved_stderr = -1;

static int open_text(struct listener_set *to, const char *text, const struct listener_settings *how) {
    struct address *list;
    size_t count;
    int status = address_read("--socket", text, &list, &count);
    if (!status)
        status = listener_open(to, list, count, how);
    free(list);
    return status;
}

/* A directory of its own for each test, as the current one; what is logged goes to `output`. */
static void setup(void) {
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_int_eq(chdir(dir), 0);
    snprintf(path, sizeof(path), "%s/app.sock", dir);
    set = (struct listener_set){.count = 0};
    FILE *file = tmpfile();
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    fclose(file);
}

static void teardown(void) {
    char command[64];
    listener_close_all(&set);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *logged(void) {
    ssize_t n = pread(STDERR_FILENO, output, sizeof(output) - 1, 0);
    output[n > 0 ? n : 0] = '\0';
    ck_assert_int_eq(ftruncate(STDERR_FILENO, 0), 0);
    lseek(STDERR_FILENO, 0, SEEK_SET);
    return output;
}

static void check_logged(const char *text) {
    logged();
    ck_assert_msg(strstr(output, text) != NULL, "logged \"%s\", wanted \"%s\"", output, text);
    ck_assert_msg(strchr(output, '\n') == output + strlen(output) - 1, "not one line: \"%s\"", output);
}

static void check_opens(const char *address) {
    int status = open_text(&set, address, &settings);
    ck_assert_msg(status == 0, "%s: status %d, \"%s\"", address, status, logged());
    ck_assert_str_eq(logged(), "");
}

static void check_refuses(const char *address, int status, const char *complaint) {
    size_t count = set.count;
    ck_assert_int_eq(open_text(&set, address, &settings), status);
    check_logged(complaint);
    ck_assert_uint_eq(set.count, count);
}

/* As another process finds it, which has nothing of `set`. */
static void check_refuses_others(const char *address, const char *complaint) {
    struct listener_set other = {.count = 0};
    ck_assert_int_eq(open_text(&other, address, &settings), EX_UNAVAILABLE);
    check_logged(complaint);
    listener_close_all(&other);
}

/* Only what the test put there may be in the directory: nothing is left behind. */
static void check_entries(int expected) {
    char command[96];
    snprintf(command, sizeof(command), "test $(ls -A %s | wc -l) = %d", dir, expected);
    ck_assert_int_eq(system(command), 0);
}

static void check_flags(int fd) {
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

/* Connects to where `fd` listens, by its own name; then accepts that connection. */
static void check_accepts(int fd) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    int client = socket(sa.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&sa, len), 0);
    int accepted = accept(fd, NULL, NULL);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(client);
}

static int connect_unix(const char *name) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void connect_and_accept(const char *name, int listening) {
    int client = connect_unix(name), accepted = accept(listening, NULL, NULL);
    ck_assert_int_ge(client, 0);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(client);
}

static int bind_unix(const char *name, int type) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", name);
    int fd = socket(AF_UNIX, type, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

START_TEST(test_unix)
{
    struct stat st;
    mode_t mask = umask(0);
    check_opens(path);
    umask(mask);
    ck_assert_uint_eq(set.count, 1);
    const struct listener *l = set.items;
    ck_assert(l->is_unix);
    ck_assert(!l->inherited);
    ck_assert_str_eq(l->path, path);
    ck_assert_str_eq(l->text, path);
    check_flags(l->fd);
    connect_and_accept(path, l->fd);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    check_entries(1);
    listener_close_all(&set);
    check_entries(0);
}
END_TEST

/* The umask must neither widen nor narrow what was asked for. */
START_TEST(test_mode)
{
    struct listener_settings open_to_all = {.mode = 0666, .backlog = 1}, closed = {.mode = 0600, .backlog = 1};
    struct stat st;
    umask(0777);
    ck_assert_int_eq(open_text(&set, "./a", &open_to_all), 0);
    umask(0);
    ck_assert_int_eq(open_text(&set, "./b", &closed), 0);
    ck_assert_int_eq(stat("a", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0666);
    ck_assert_int_eq(stat("b", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(test_owner)
{
    char group[16];
    struct stat st;
    struct listener_settings owned = settings;
    const bool root = geteuid() == 0;
    snprintf(group, sizeof(group), "%u", root ? 12345 : getegid());
    owned.group = group;
    owned.owner = root ? "nobody" : NULL;
    ck_assert_int_eq(open_text(&set, path, &owned), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, root ? getpwnam("nobody")->pw_uid : geteuid());
    ck_assert_uint_eq(st.st_gid, root ? 12345 : getegid());
    ck_assert_uint_eq(st.st_mode & 07777, 0660);

    struct listener_settings wrong = settings;
    wrong.owner = "no-such\nuser";
    ck_assert_int_eq(open_text(&set, "./b", &wrong), EX_NOUSER);
    check_logged("WSGI_FCGI_SOCKET_OWNER: there is no user \"no-such\\x0auser\"");
    wrong.owner = NULL;
    wrong.group = "4294967295"; /* would mean "unchanged" to chown(2) */
    ck_assert_int_eq(open_text(&set, "./b", &wrong), EX_NOUSER);
    check_logged("--socket-group: there is no group \"4294967295\"");
    check_entries(1);
}
END_TEST

START_TEST(test_stale)
{
    close(bind_unix(path, SOCK_STREAM));
    check_opens(path);
    connect_and_accept(path, set.items[0].fd);
    check_entries(1);
}
END_TEST

START_TEST(test_live)
{
    int fd = bind_unix(path, SOCK_STREAM);
    char complaint[128];
    listen(fd, 1);
    snprintf(complaint, sizeof(complaint), "%s is in use by another process (pid %d): stop it", path, (int)getpid());
    check_refuses(path, EX_UNAVAILABLE, complaint);
    while (connect_unix(path) >= 0) /* until the backlog is full */
        ;
    ck_assert_int_eq(errno, EAGAIN);
    check_refuses(path, EX_UNAVAILABLE, "is in use by another process: stop it");
    check_entries(1);
    close(fd);
}
END_TEST

/* Whatever it is called the second time. */
START_TEST(test_given_twice)
{
    char other[sizeof path + 16], complaint[2 * sizeof path + 64];
    check_opens(path);
    snprintf(complaint, sizeof complaint, "%s is given twice: this server listens on %s already", path, path);
    check_refuses(path, EX_USAGE, complaint);
    snprintf(other, sizeof other, "%s/../%s/app.sock", dir, strrchr(dir, '/') + 1);
    check_refuses(other, EX_USAGE, " is given twice: this server listens on ");
    connect_and_accept(path, set.items[0].fd);

    check_opens("@wsgi-fcgi-test-twice");
    check_refuses("@wsgi-fcgi-test-twice", EX_USAGE,
                  "@wsgi-fcgi-test-twice is given twice: this server listens on @wsgi-fcgi-test-twice already");

    check_opens("127.0.0.1:0");
    check_opens("127.0.0.1:0");
    const char *bound = set.items[2].text, *port = strrchr(bound, ':') + 1;
    snprintf(complaint, sizeof complaint, "%s is given twice: this server listens on %s already", bound, bound);
    check_refuses(bound, EX_USAGE, complaint);
    snprintf(other, sizeof other, "localhost:%s", port);
    check_refuses(other, EX_USAGE, complaint);
    snprintf(other, sizeof other, "0.0.0.0:%s", port);
    snprintf(complaint, sizeof complaint, "%s is given twice: this server listens on %s already", other, bound);
    check_refuses(other, EX_USAGE, complaint);
    snprintf(other, sizeof other, "*:%s", port);
    check_refuses(other, EX_USAGE, " is given twice: this server listens on 127.0.0.1:");
    ck_assert_uint_eq(set.count, 4);
}
END_TEST

/* The same port of the other family is somebody else's. */
START_TEST(test_not_given_twice)
{
    struct listener_set other = {.count = 0};
    char address[32];
    check_opens("[::]:0");
    snprintf(address, sizeof address, "0.0.0.0:%s", strrchr(set.items[0].text, ':') + 1);
    ck_assert_int_eq(open_text(&other, address, &settings), 0);
    check_refuses(address, EX_UNAVAILABLE, "is in use by another process");
    listener_close_all(&other);
    check_opens(address);
    check_refuses(address, EX_USAGE, " is given twice");
}
END_TEST

START_TEST(test_datagram)
{
    int fd = bind_unix(path, SOCK_DGRAM);
    check_refuses(path, EX_UNAVAILABLE, "is in use by another process");
    check_entries(1);
    close(fd);
}
END_TEST

START_TEST(test_not_a_socket)
{
    struct stat st;
    ck_assert_int_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    check_refuses(path, EX_CANTCREAT, "app.sock exists and is not a socket: it was left alone");
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISREG(st.st_mode));
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    check_refuses(path, EX_CANTCREAT, "app.sock exists and is not a socket");
    rmdir(path);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    check_refuses(path, EX_CANTCREAT, "app.sock exists and is not a socket");
    check_entries(1);
}
END_TEST

START_TEST(test_bad_directory)
{
    ck_assert_int_eq(close(open("file", O_CREAT | O_WRONLY, 0600)), 0);
    check_refuses("./none/app.sock", EX_CANTCREAT, "/none, create it first");
    check_refuses("./file/app.sock", EX_CANTCREAT, "/file is not a directory");
    check_refuses("./", EX_USAGE, "names a directory");
}
END_TEST

/* Runs in a child, which may not write the directory; its exit status is the number of the line that failed. */
static int check_without_permission(const char *live) {
    struct listener_settings to_root = settings;
    if (geteuid() == 0 && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))
        return __LINE__;
    if (open_text(&set, "./x.sock", &settings) != EX_NOPERM)
        return __LINE__;
    if (!strstr(logged(), "no permission to create ") ||
        !strstr(output, "run as root, or choose a directory that user"))
        return __LINE__;
    if (open_text(&set, "./closed/x.sock", &settings) != EX_NOPERM || !strstr(logged(), "no permission to enter "))
        return __LINE__;
    if (open_text(&set, live, &settings) != EX_NOPERM || !strstr(logged(), "no permission to find out whether"))
        return __LINE__;
    to_root.group = "0";
    if (open_text(&set, "./mine/x.sock", &to_root) != EX_NOPERM || !strstr(logged(), "to another group: run as"))
        return __LINE__;
    to_root.owner = "0";
    if (open_text(&set, "./mine/x.sock", &to_root) != EX_NOPERM || !strstr(logged(), "to another owner: run as"))
        return __LINE__;
    if (rmdir("mine/x") == 0 || errno != ENOENT || set.count)
        return __LINE__;
    return 0;
}

START_TEST(test_no_permission)
{
    int fd = bind_unix(path, SOCK_STREAM), status;
    listen(fd, 1);
    ck_assert_int_eq(chmod(path, 0), 0);
    ck_assert_int_eq(mkdir("closed", 0), 0);
    ck_assert_int_eq(mkdir("mine", 0777), 0);
    ck_assert_int_eq(chmod("mine", 0777), 0);
    ck_assert_int_eq(chmod(dir, 0555), 0);
    fflush(NULL);
    pid_t child = fork();
    if (!child)
        _exit(check_without_permission(path) & 0xff);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(status == 0, "line %d (modulo 256): \"%s\"", WEXITSTATUS(status), logged());
    ck_assert_int_eq(chmod(dir, 0755), 0);
    ck_assert_int_eq(chmod("closed", 0700), 0);
    ck_assert_int_eq(rmdir("mine"), 0);
    close(fd);
}
END_TEST

/* The file goes although the process is in another directory by then, and only while it is the one that was made. */
START_TEST(test_unlink_only_own)
{
    struct stat st;
    check_opens("unix:app.sock");
    ck_assert_str_eq(set.items[0].path, path);
    ck_assert_int_eq(chdir("/"), 0);
    listener_unlink_all(&set);
    check_entries(0);
    int other = bind_unix(path, SOCK_STREAM);
    listener_unlink_all(&set);
    listener_close(&set.items[0]);
    listener_close(&set.items[0]);
    ck_assert_int_eq(stat(path, &st), 0);
    close(other);
}
END_TEST

START_TEST(test_child_does_not_unlink)
{
    int status;
    check_opens(path);
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        listener_close_all(&set);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    connect_and_accept(path, set.items[0].fd);
}
END_TEST

/* Up to the longest one there is. */
START_TEST(test_long_path)
{
    struct sockaddr_un sun;
    char name[sizeof(sun.sun_path)];
    size_t len = strlen(dir);
    memcpy(name, dir, len);
    name[len++] = '/';
    while (len < (size_t)_i)
        name[len++] = 'x';
    name[len] = '\0';
    close(bind_unix(name, SOCK_STREAM));
    check_opens(name);
    ck_assert_str_eq(set.items[0].path, name);
    connect_and_accept(name, set.items[0].fd);
    check_entries(1);
}
END_TEST

/* A relative path may be short where its absolute form would not fit. */
START_TEST(test_long_directory)
{
    char deep[128];
    struct stat st;
    memset(deep, 'd', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    ck_assert_int_eq(mkdir(deep, 0700), 0);
    ck_assert_int_eq(chdir(deep), 0);
    check_opens("./app.sock");
    connect_and_accept("app.sock", set.items[0].fd);
    listener_close_all(&set);
    ck_assert_int_ne(stat("app.sock", &st), 0);
}
END_TEST

/* Ends when the pipe's writing end is closed. */
static void await_end(int fd) {
    char byte;
    if (read(fd, &byte, 1) != 0)
        _exit(2);
}

/* Servers that start at the same moment, over a stale file or none: exactly one of them gets the path. */
START_TEST(test_race)
{
    enum { SERVERS = 8 };
    int gate[2], hold[2], status;
    ck_assert_int_eq(pipe(gate), 0);
    ck_assert_int_eq(pipe(hold), 0);
    if (_i % 2)
        close(bind_unix(path, SOCK_STREAM));
    fflush(NULL);
    for (int i = 0; i < SERVERS; i++) {
        if (fork())
            continue;
        close(gate[1]);
        close(hold[1]);
        await_end(gate[0]);
        status = open_text(&set, path, &settings);
        if (status)
            _exit(status);
        await_end(hold[0]);
        while (accept(set.items[0].fd, NULL, NULL) >= 0) /* the probes of the others */
            ;
        _exit(connect_unix(path) < 0 || accept(set.items[0].fd, NULL, NULL) < 0 ? 3 : 0);
    }
    close(gate[0]);
    close(gate[1]);
    for (int left = SERVERS; left > 1; left--) { /* the winner waits for the others; two winners would hang here */
        ck_assert_int_gt(wait(&status), 0);
        ck_assert_msg(WEXITSTATUS(status) == EX_UNAVAILABLE, "status %#x, \"%s\"", (unsigned)status, logged());
    }
    close(hold[0]);
    close(hold[1]);
    ck_assert_int_gt(wait(&status), 0);
    ck_assert_msg(status == 0, "the winner: %#x, \"%s\"", (unsigned)status, logged());
    logged();
    check_entries(1);
}
END_TEST

START_TEST(test_abstract)
{
    char name[32], expected[96];
    snprintf(name, sizeof(name), "@wsgi-fcgi-test-%d", (int)getpid());
    check_opens(name);
    ck_assert(set.items[0].is_unix);
    ck_assert_ptr_null(set.items[0].path);
    ck_assert_str_eq(set.items[0].text, name);
    check_flags(set.items[0].fd);
    check_accepts(set.items[0].fd);
    snprintf(expected, sizeof(expected), "%s is in use by another process: stop it, or choose another name", name);
    check_refuses_others(name, expected);
}
END_TEST

START_TEST(test_tcp)
{
    static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "*:0", "localhost:0"};
    char address[ADDRESS_TEXT_SIZE];
    check_opens(addresses[_i]);
    const struct listener *l = set.items;
    ck_assert(!l->is_unix);
    ck_assert_ptr_null(l->path);
    check_flags(l->fd);
    check_accepts(l->fd);
    const char *port = strrchr(l->text, ':') + 1;
    ck_assert_int_gt(atoi(port), 0);
    snprintf(address, sizeof(address), "%s", l->text);
    check_refuses_others(address, "is in use by another process: stop it, or choose another port");
    ck_assert_int_eq(l->text[0] == '*', addresses[_i][0] == '*');
    if (addresses[_i][0] == '*') {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        sin.sin_port = htons((uint16_t)atoi(port));
        int client = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(client, (struct sockaddr *)&sin, sizeof(sin)), 0);
        close(client);
    }
}
END_TEST

START_TEST(test_tcp_refused)
{
    check_refuses("192.0.2.1:80", EX_UNAVAILABLE, "cannot listen on 192.0.2.1:80: this machine does not have that");
    check_refuses("nonsense", EX_USAGE, "--socket nonsense: write ./nonsense for");
}
END_TEST

/* All or nothing: what one address opened is closed again, what was there before stays. */
START_TEST(test_set_unchanged)
{
    check_opens("127.0.0.1:0");
    check_refuses("192.0.2.1:80", EX_UNAVAILABLE, "does not have that address");
    ck_assert_uint_eq(set.count, 1);
    check_accepts(set.items[0].fd);
}
END_TEST

/* Nobody comes between the last one that is accepted and the end. */
START_TEST(test_refuse)
{
    check_opens(path);
    const struct listener *l = set.items;
    int client = connect_unix(path);
    ck_assert_int_ge(client, 0);
    listener_refuse(l);
    ck_assert_int_eq(connect_unix(path), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    int accepted = accept(l->fd, NULL, NULL);
    ck_assert_int_ge(accepted, 0);
    close(accepted);
    close(client);
}
END_TEST

/* What serves others too, or would drop those who wait, goes on. */
START_TEST(test_refuse_not)
{
    char address[16];
    int fd = bind_unix(path, SOCK_STREAM);
    listen(fd, 1);
    snprintf(address, sizeof(address), "fd:%d", fd);
    check_opens(address);
    listener_refuse(&set.items[0]);
    connect_and_accept(path, fd);
    check_opens("127.0.0.1:0");
    listener_refuse(&set.items[1]);
    check_accepts(set.items[1].fd);
}
END_TEST

START_TEST(test_fd)
{
    char address[16], complaint[64];
    int fd = bind_unix(path, SOCK_STREAM), pipes[2];
    snprintf(address, sizeof(address), "fd:%d", fd);
    snprintf(complaint, sizeof(complaint), "descriptor %d is a socket that does not listen", fd);
    check_refuses(address, EX_CONFIG, complaint);
    listen(fd, 1);
    check_opens(address);
    ck_assert_int_eq(set.items[0].fd, fd);
    ck_assert(set.items[0].inherited);
    ck_assert(set.items[0].is_unix);
    ck_assert_str_eq(set.items[0].text, path);
    check_flags(fd);
    check_refuses(address, EX_CONFIG, "was given twice");
    listener_close_all(&set);
    check_entries(1);
    check_refuses(address, EX_CONFIG, "is not open");
    ck_assert_int_eq(pipe(pipes), 0);
    snprintf(address, sizeof(address), "fd:%d", pipes[0]);
    check_refuses(address, EX_CONFIG, "is not a stream socket");
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(address, sizeof(address), "fd:%d", datagram);
    check_refuses(address, EX_CONFIG, "is not a stream socket");
    close(datagram);
}
END_TEST

START_TEST(test_stdin)
{
    struct stat null, now;
    int saved = dup(STDIN_FILENO), fd, pair[2];
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    ck_assert(!listener_stdin_is_socket());
    ck_assert_int_eq(listener_open_stdin(&set), EX_USAGE);
    check_logged("no socket to listen on: give --socket ADDR, for example --socket /run/app.sock");
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    dup2(pair[0], STDIN_FILENO);
    ck_assert(!listener_stdin_is_socket());
    fd = socket(AF_INET, SOCK_STREAM, 0); /* not connected, and not listening either */
    dup2(fd, STDIN_FILENO);
    ck_assert(!listener_stdin_is_socket());
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert(listener_stdin_is_socket());
    ck_assert_int_eq(listener_open_stdin(&set), 0);
    ck_assert_int_gt(set.items[0].fd, STDERR_FILENO);
    ck_assert(set.items[0].inherited);
    ck_assert_int_eq(strncmp(set.items[0].text, "0.0.0.0:", 8), 0);
    check_flags(set.items[0].fd);
    check_accepts(set.items[0].fd);
    ck_assert_int_eq(stat("/dev/null", &null), 0);
    ck_assert_int_eq(fstat(STDIN_FILENO, &now), 0);
    ck_assert_uint_eq(null.st_rdev, now.st_rdev);
    dup2(saved, STDIN_FILENO);
}
END_TEST

/* As a descriptor that has come from another process. */
static int received(int fd) {
    descriptors_lock();
    int own = descriptors_adopt(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    descriptors_unlock();
    return own;
}

/* Closing it neither removes the file nor keeps the other process from accepting. */
START_TEST(test_sent)
{
    struct listener_set others = {.count = 0};
    ck_assert_int_eq(open_text(&set, path, &settings), 0);
    struct listener_sent sent = {
        .fd = received(set.items[0].fd), .text = "what it is called there", .protocol = LISTENER_HTTP, .is_unix = true};
    ck_assert_int_eq(listener_add_sent(&others, &sent), 0);
    const struct listener *l = &others.items[0];
    ck_assert_int_eq(l->fd, sent.fd);
    ck_assert_str_eq(l->text, sent.text);
    ck_assert(l->is_unix && !l->inherited && l->protocol == LISTENER_HTTP);
    ck_assert(!listener_is_own(l));
    listener_refuse(l);
    listener_close_all(&others);
    check_accepts(set.items[0].fd);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_sent_that_is_none)
{
    int pair[2], idle = socket(AF_INET, SOCK_STREAM, 0), null = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const int none[] = {idle, null, pair[0]};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct listener_sent sent = {.fd = received(none[i]), .text = ""};
        errno = 0;
        ck_assert_int_eq(listener_add_sent(&set, &sent), -1);
        ck_assert_int_eq(errno, EPROTO);
        ck_assert_uint_eq(set.count, 0);
        ck_assert_int_eq(fcntl(sent.fd, F_GETFD), -1);
        close(none[i]);
    }
    close(pair[1]);
}
END_TEST

/* The users in question: those of the packages of nginx, Caddy and others, as far as this machine has them. */
static bool has_web_user(const char **first, char group[static 64]) {
    static const char *const names[] = {"www-data", "nginx", "caddy", "apache", "http"};
    for (int i = 0; i < COUNT(names); i++) {
        const struct passwd *pw = getpwnam(names[i]);
        const struct group *gr = pw ? getgrgid(pw->pw_gid) : NULL;
        if (!gr)
            continue;
        *first = names[i];
        snprintf(group, 64, "%s", gr->gr_name);
        return true;
    }
    return false;
}

START_TEST(test_resume)
{
    struct listener_settings named = settings;
    named.asked = "app.sock";
    ck_assert_int_eq(open_text(&set, "app.sock", &named), 0);
    ck_assert_str_eq(set.items[0].asked, "app.sock");
    struct listener_set other = {.count = 0};
    struct listener l = set.items[0];
    set.count = 0; /* the strings are the other set's from here on */
    ck_assert_int_eq(listener_resume(&other, &l), 0);
    ck_assert_uint_eq(other.count, 1);
    ck_assert_int_eq(other.items[0].fd, l.fd);
    ck_assert_int_eq(access(path, F_OK), 0);
    listener_close_all(&other);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(fcntl(l.fd, F_GETFD), -1);
}
END_TEST

START_TEST(test_warn_web_user)
{
    char group[64], text[256];
    const char *user;
    if (!has_web_user(&user, group)) { /* then it has nothing to say */
        check_opens(path);
        ck_assert_int_eq(chmod(path, 0), 0);
        listener_warn_web_user(&set.items[0]);
        ck_assert_str_eq(logged(), "");
        return;
    }
    check_opens(path);
    listener_warn_web_user(&set.items[0]);
    snprintf(text, sizeof(text), "warning: web servers run as %s here, which may not connect to %s (mode 0660, ", user,
             path);
    check_logged(text);
    snprintf(text, sizeof(text), "): add --socket-group %s\n", group);
    ck_assert_ptr_nonnull(strstr(output, text));

    ck_assert_int_eq(chmod(path, 0600), 0);
    listener_warn_web_user(&set.items[0]);
    snprintf(text, sizeof(text), "): add --socket-group %s --socket-mode 0660\n", group);
    check_logged(text);

    ck_assert_int_eq(chmod(path, 0606), 0);
    listener_warn_web_user(&set.items[0]);
    ck_assert_str_eq(logged(), "");

    ck_assert_int_eq(chmod(dir, 0700), 0);
    listener_warn_web_user(&set.items[0]);
    snprintf(text, sizeof(text), "which may not enter %s (mode 0700, ", dir);
    check_logged(text);
    ck_assert_ptr_null(strstr(output, "--socket-group"));
    ck_assert_int_eq(chmod(path, 0660), 0);
    listener_warn_web_user(&set.items[0]);
    check_logged("and add --socket-group");

    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(dir, 0755), 0);
        ck_assert_int_eq(chown(path, 0, getgrnam(group)->gr_gid), 0);
        listener_warn_web_user(&set.items[0]);
        ck_assert_str_eq(logged(), "");
    }
}
END_TEST

START_TEST(test_warn_not_for_tcp)
{
    check_opens("127.0.0.1:0");
    listener_warn_web_user(&set.items[0]);
    ck_assert_str_eq(logged(), "");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("listener");
    TCase *tc = tcase_create("listener");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_unix);
    tcase_add_test(tc, test_refuse);
    tcase_add_test(tc, test_refuse_not);
    tcase_add_test(tc, test_mode);
    tcase_add_test(tc, test_owner);
    tcase_add_test(tc, test_stale);
    tcase_add_test(tc, test_live);
    tcase_add_test(tc, test_given_twice);
    tcase_add_test(tc, test_not_given_twice);
    tcase_add_test(tc, test_datagram);
    tcase_add_test(tc, test_not_a_socket);
    tcase_add_test(tc, test_bad_directory);
    tcase_add_test(tc, test_no_permission);
    tcase_add_test(tc, test_unlink_only_own);
    tcase_add_test(tc, test_child_does_not_unlink);
    tcase_add_loop_test(tc, test_long_path, 96, 108);
    tcase_add_test(tc, test_long_directory);
    tcase_add_loop_test(tc, test_race, 0, 20);
    tcase_add_test(tc, test_abstract);
    tcase_add_loop_test(tc, test_tcp, 0, 4);
    tcase_add_test(tc, test_tcp_refused);
    tcase_add_test(tc, test_set_unchanged);
    tcase_add_test(tc, test_fd);
    tcase_add_test(tc, test_stdin);
    tcase_add_test(tc, test_resume);

    tcase_add_test(tc, test_sent);
    tcase_add_test(tc, test_sent_that_is_none);
    tcase_add_test(tc, test_warn_web_user);
    tcase_add_test(tc, test_warn_not_for_tcp);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
