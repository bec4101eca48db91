#include "config.h"

#include "process/access_output.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/line_writer.h"
#include "base/log.h"
#include "base/log_file.h"
#include "base/thread_limit.h"
#include "base/trusted_open.h"
#include "cli/nearest.h"
#include "net/access_log.h"
#include "proto/access_format.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char SYSLOG[] = "/dev/log"; /* of syslog(3) */

enum { SHOWN = 80, FIELDS_SIZE = 1024 };

/* Between lines about lost ones, but for the first and the last of an error. */
#define AGAIN_NS UINT64_C(10000000000)

/* Mutable output: the main thread, while there is only one; from then on what is atomic, and what the thread that is
 * told of SIGUSR1 asks for. */
static struct {
    const char *path; /* of the file; NULL: the log goes to none */
    bool opened_here; /* not by a supervisor */
    uid_t uid;
    gid_t gid;
    int fd;
    struct access_format format;
    struct access_log log;
    struct line_writer *_Atomic writer;
    pid_t pid;
    char tag[64];
    _Atomic uint64_t said_at; /* clock_ns of the last line about lost ones */
    atomic_ulong said;        /* how many were by then */
} output = {.fd = -1};

/* --- the format */

static const char *list_fields(char out[static FIELDS_SIZE]) {
    char *end = out;
    for (unsigned i = 0; i < ACCESS_NAMED_COUNT; i++)
        end = stpcpy(stpcpy(end, access_field_name((enum access_field)i)), " ");
    strcpy(end, "header:NAME answer:NAME environ:NAME");
    return out;
}

static const char *nearest_field(struct slice name) {
    const char *words[ACCESS_NAMED_COUNT + 3];
    char text[SHOWN];
    size_t n = 0;
    for (unsigned i = 0; i < ACCESS_NAMED_COUNT; i++)
        words[n++] = access_field_name((enum access_field)i);
    words[n++] = "header";
    words[n++] = "answer";
    words[n++] = "environ";
    snprintf(text, sizeof text, "%.*s", (int)(name.n < sizeof text ? name.n : sizeof text - 1), name.p);
    return nearest_word(text, words, n);
}

static void complain_field(const char *option, struct slice name, const char *shown) {
    char fields[FIELDS_SIZE];
    const char *near = nearest_field(name);
    log_error("%s: there is no field {%s}%s%s%s: the fields are %s", option, shown, near ? ": did you mean {" : "",
              near ? near : "", near ? "}?" : "", list_fields(fields));
}

static int complain_format(const struct options *o, enum access_mistake mistake, const struct access_error *error) {
    static const char *const forms[] = {"combined", "json"};
    const char *option = options_name(o, "--access-log-format"), *near = nearest_word(o->access_log_format, forms, 2);
    char shown[SHOWN];
    log_escape(shown, sizeof shown, error->what.p, error->what.n);
    switch (mistake) {
    case ACCESS_FINE:
        break;
    case ACCESS_NO_FIELD:
        log_error("%s: %s has no field%s%s%s: it is combined, json, or a text with fields such as {client}", option,
                  *shown ? shown : "the format", near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
        break;
    case ACCESS_UNKNOWN:
        complain_field(option, error->what, shown);
        break;
    case ACCESS_NEEDS_NAME:
        log_error("%s: {%s} needs a name: write {%s:NAME}", option, shown, shown);
        break;
    case ACCESS_TAKES_NO_NAME:
        log_error("%s: {%s} takes no name: write {%s}", option, shown, shown);
        break;
    case ACCESS_BAD_NAME:
        log_error("%s: '%s' cannot be a name (letters, digits, - and _, up to %d)", option, shown, ACCESS_NAME_MAX - 5);
        break;
    case ACCESS_OPEN:
        log_error("%s: the { at character %zu has no }: a brace that is meant as such is doubled, {{", option,
                  error->at + 1);
        break;
    case ACCESS_CLOSED:
        log_error("%s: the } at character %zu has no {: a brace that is meant as such is doubled, }}", option,
                  error->at + 1);
        break;
    case ACCESS_CONTROL:
        log_error("%s: character %zu is a control character: only tabs may be there", option, error->at + 1);
        break;
    case ACCESS_LONG:
        log_error("%s: it is too long: up to %d characters, %d fields, and %d of them of headers or the environ",
                  option, ACCESS_TEXT_SIZE, ACCESS_STEPS, ACCESS_PARAMS);
    }
    return options_status(o, "--access-log-format", EX_USAGE);
}

static int read_format(const struct options *o) {
    struct access_error error;
    enum access_mistake mistake = access_format_compile(&output.format, o->access_log_format, &error);
    return mistake ? complain_format(o, mistake, &error) : 0;
}

/* --- the file */

static int open_file(const char *path, uid_t uid, gid_t gid) {
    descriptors_lock();
    int fd = descriptors_adopt(log_file_make(path, uid, gid));
    descriptors_unlock();
    return fd;
}

static int complain_open(const struct options *o) {
    char shown[PATH_MAX];
    int error = errno;
    const char *advice = trusted_open_advice(error);
    log_error("%s: cannot open %s: %s%s", options_name(o, "--access-log"),
              log_escape(shown, sizeof shown, o->access_log, strlen(o->access_log)), strerror(error),
              *advice ? advice : ": its directory must be there, and the server be allowed to write it");
    return EX_CANTCREAT;
}

int access_output_open(const struct options *o, const struct user *user) {
    if (!o->access_log)
        return 0;
    int status = read_format(o);
    if (status || o->check || options_access_log(o) != OPTIONS_ACCESS_FILE)
        return status;
    output.path = o->access_log;
    output.opened_here = true;
    output.uid = user_owner(user);
    output.gid = user_owning_group(user);
    output.fd = open_file(output.path, output.uid, output.gid);
    return output.fd < 0 ? complain_open(o) : 0;
}

int access_output_fd(void) {
    return output.fd;
}

int access_output_take(int fd) {
    struct line_writer *writer = atomic_load(&output.writer);
    if (writer)
        return line_writer_take(writer, fd);
    descriptors_lock();
    int copy = descriptors_adopt(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    descriptors_unlock();
    if (copy < 0)
        return -1;
    if (output.fd >= 0)
        descriptors_close(output.fd);
    output.fd = copy;
    return 0;
}

/* The new one takes the place of the old one under the same number. */
static int reopen(void) {
    struct line_writer *writer = atomic_load(&output.writer);
    int fd = open_file(output.path, output.uid, output.gid), failed = fd < 0 ? -1 : 0;
    if (!failed && writer)
        failed = line_writer_take(writer, fd);
    else if (!failed)
        failed = dup3(fd, output.fd, O_CLOEXEC) < 0 ? -1 : 0;
    int error = errno;
    if (fd >= 0)
        descriptors_close(fd);
    errno = error;
    return failed;
}

void access_output_reopen(void) {
    char shown[PATH_MAX];
    if (!output.path || !output.opened_here)
        return;
    log_escape(shown, sizeof shown, output.path, strlen(output.path));
    if (!reopen()) {
        log_info("%s was opened anew (SIGUSR1)", shown);
        return;
    }
    int error = errno;
    const char *advice = trusted_open_advice(error);
    if ((error == EACCES || error == EPERM) && geteuid() != 0)
        advice = ": let whoever rotates it make the new one for the user of this process";
    log_error("SIGUSR1: cannot open %s anew: %s: the access log goes on in the file that was open%s", shown,
              strerror(error), advice);
}

/* --- lines that are lost */

static const char *advise(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return ": make room there";
    case EPIPE:
        return ": what read it has ended; restart the server with its reader";
    case ENOENT:
    case ECONNREFUSED:
        return ": it goes on when the syslog daemon runs";
    default:
        return "";
    }
}

/* One thread at a time says it, and nobody waits for the other one. */
static bool is_due(void) {
    uint64_t at = atomic_load(&output.said_at), now = clock_ns();
    return (!at || now - at >= AGAIN_NS) && atomic_compare_exchange_strong(&output.said_at, &at, now);
}

/* How many were lost that no line was about. */
static unsigned long take_lost(void) {
    const unsigned long lost = line_writer_lost(atomic_load(&output.writer));
    return lost - atomic_exchange(&output.said, lost);
}

/* struct line_writer_config */
static void changed_cb(void *arg, enum line_writer_change change, int error) {
    unsigned long lost;
    (void)arg;
    switch (change) {
    case LINE_WRITER_FAILS:
        log_error("access log: it cannot be written: %s: lines are lost until it can%s", strerror(error),
                  advise(error));
        break;
    case LINE_WRITER_GOES_ON:
        lost = take_lost();
        log_info("access log: it is written again; %lu line%s lost", lost, lost == 1 ? " was" : "s were");
        break;
    case LINE_WRITER_NO_ROOM:
        if (is_due() && (lost = take_lost()) > 0)
            log_warning(
                "access log: %lu line%s lost, which came faster than they are written, or nobody reads them; no "
                "request has waited for that",
                lost, lost == 1 ? " was" : "s were");
    }
}

/* --- its life */

void access_output_flush(void) {
    struct line_writer *writer = atomic_load(&output.writer);
    if (writer)
        (void)line_writer_flush(writer);
}

/* What was lost at last is said as well. */
static void exit_cb(void) {
    access_output_flush();
    const unsigned long lost = getpid() == output.pid ? take_lost() : 0; /* else it is a child of the application's */
    if (lost)
        log_warning("access log: %lu line%s lost", lost, lost == 1 ? " was" : "s were");
}

int access_output_start(const struct options *o, int worker, _Atomic uint64_t *lost, struct access_log **log) {
    char limit[THREAD_LIMIT_SIZE];
    *log = NULL;
    if (!o->access_log)
        return 0;
    int status = worker >= 0 ? read_format(o) : 0;
    if (status)
        return status;
    const enum options_access where = options_access_log(o);
    output.pid = getpid();
    snprintf(output.tag, sizeof output.tag, "<190>wsgi-fcgi[%d]: ", (int)output.pid); /* local7, info: as nginx */
    const struct line_writer_config config = {
        .fd = where == OPTIONS_ACCESS_STDOUT ? STDOUT_FILENO : output.fd,
        .syslog = where != OPTIONS_ACCESS_SYSLOG ? NULL
                  : o->access_log[6]             ? o->access_log + 7
                                                 : SYSLOG,
        .tag = output.tag,
        .changed = changed_cb,
        .lost = lost,
    };
    struct line_writer *writer = line_writer_new(&config);
    if (!writer) {
        log_error("cannot start a thread: %s", thread_limit_explain(errno, limit));
        return EX_OSERR;
    }
    atomic_store(&output.writer, writer);
    (void)atexit(exit_cb);
    output.log = (struct access_log){.format = &output.format, .writer = writer, .worker = worker, .pid = output.pid};
    *log = &output.log;
    return 0;
}
