#include "config.h"

#include <Python.h>

#include "python/stack_fallback.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/pread.h"
#include "python/stack_ask.h"
#include "python/stack_doing.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_NS = 1000000,     /* between two looks at what the thread has written */
    QUIET_LOOKS = 5,       /* in a row without more of it, after which that is all */
    PATIENCE_NS = 50000000 /* for its first line */
};

/* Mutable signal_number, file: stack_fallback_init, before there is another thread that asks. */
static int signal_number; /* 0: there is none */
static int file;          /* what faulthandler writes to; its end is where it writes */

/* What nobody handles would end the process: the application may have taken it back from faulthandler. */
static bool is_handled(int number) {
    struct sigaction action;
    return !sigaction(number, NULL, &action) &&
           (action.sa_flags & SA_SIGINFO || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN));
}

static int open_file(void) {
    descriptors_lock();
    int fd = descriptors_adopt(memfd_create("wsgi-fcgi stack", MFD_CLOEXEC));
    descriptors_unlock();
    if (fd >= 0)
        (void)fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

/* faulthandler.register(number, file=file, all_threads=False) */
static bool register_with(int number) {
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *function = module ? PyObject_GetAttrString(module, "register") : NULL;
    PyObject *args = Py_BuildValue("(iiO)", number, file, Py_False);
    PyObject *result = function && args ? PyObject_CallObject(function, args) : NULL;
    bool done = result != NULL;
    Py_XDECREF(result);
    Py_XDECREF(args);
    Py_XDECREF(function);
    Py_XDECREF(module);
    PyErr_Clear();
    return done;
}

bool stack_fallback_init(void) {
    int number = stack_ask_find_signal();
    if (!number || (file = open_file()) < 0)
        return false;
    if (register_with(number))
        signal_number = number;
    else
        descriptors_close(file);
    return signal_number;
}

static void wait(void) {
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

/* Waits until the thread has written something, and no more comes. Returns how much. */
static off_t wait_for_text(void) {
    uint64_t end = clock_ns() + PATIENCE_NS;
    off_t before = 0;
    for (int quiet = 0; quiet < QUIET_LOOKS && (before || clock_ns() < end);) {
        wait();
        off_t now = lseek(file, 0, SEEK_END);
        quiet = now > 0 && now == before ? quiet + 1 : 0;
        before = now;
    }
    return before;
}

/* The length of a line up to where a traceback of Python has a comma that it lacks:
 *       File "/srv/app/views.py", line 12 in report */
static size_t find_comma(const char *line, size_t len) {
    static const char middle[] = "\", line ";
    const char *number = memmem(line, len, middle, sizeof middle - 1);
    size_t at = number ? (size_t)(number - line) + sizeof middle - 1 : len;
    while (at < len && line[at] >= '0' && line[at] <= '9')
        at++;
    return at;
}

/* faulthandler begins with the innermost frame, so `out` is filled from its end; the outer ones may not have room. */
static unsigned turn_round(const char *text, size_t size, char out[static STACK_SIZE]) {
    static const char begins[] = "  File \"";
    unsigned found = 0;
    char *to = out + STACK_SIZE - 1;
    *to = '\0';
    for (const char *line = text, *end; (end = memchr(line, '\n', size - (size_t)(line - text))); line = end + 1) {
        size_t len = (size_t)(end - line), comma = find_comma(line, len);
        if (len < sizeof begins || memcmp(line, begins, sizeof begins - 1) != 0)
            continue;
        if ((size_t)(to - out) < len + 2)
            break;
        *--to = '\n';
        to = memcpy(to - (len - comma), line + comma, len - comma);
        if (comma < len)
            *--to = ',';
        to = memcpy(to - comma, line, comma);
        found++;
    }
    memmove(out, to, strlen(to) + 1);
    return found;
}

unsigned stack_fallback_take(int tid, char out[static STACK_SIZE]) {
    char text[STACK_SIZE];
    int error;
    if (!signal_number || !is_handled(signal_number) || stack_doing_blocks(tid, signal_number) || ftruncate(file, 0))
        return 0;
    if (syscall(SYS_tgkill, getpid(), tid, signal_number) || !wait_for_text())
        return 0;
    size_t len = pread_full(file, text, sizeof text, 0, &error);
    return turn_round(text, len, out);
}
