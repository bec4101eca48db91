#include "config.h"

#include <Python.h>

#include "python/error_lines.h"

#include "base/buf.h"
#include "base/error_destinations.h"
#include "base/log.h"
#include "python/child.h"
#include "python/running.h"
#include "request/request.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192, LINE_KEEP_BYTES = 1024 };

/* Static, as what writes at the end of a thread is handed nothing else.
 *
 * Mutable destinations: the main thread, before there is text. */
static unsigned destinations = ERRORS_TO_LOG;

/* The incomplete line of a thread, and whether it was begun in a child that was forked: what was begun before is the
 * parent's to end.
 *
 * Mutable line, line_in_child: the thread, with or without the GIL. */
static _Thread_local struct buf line;
static _Thread_local bool line_in_child;

/* Without a key (a process may run out of them) only an ended thread's incomplete line is lost.
 *
 * Mutable line_key, line_key_valid, line_key_once: the thread that writes the first text; the same from then on. */
static pthread_key_t line_key;
static bool line_key_valid;
static pthread_once_t line_key_once = PTHREAD_ONCE_INIT;

static void emit(const char *p, size_t n) {
    struct request *r = running_request();
    bool passed_on = false;
    if (r && destinations & ERRORS_TO_PEER && !child_is())
        passed_on = !request_error(r, p, n);
    if (destinations & ERRORS_TO_LOG || !passed_on)
        log_text(LOG_LEVEL_WARNING, p, n);
}

static void line_write(struct buf *b) {
    emit(buf_head(b), buf_len(b));
    buf_reset(b, LINE_KEEP_BYTES);
}

/* A thread ends: what it left is written, whoever started it. */
static void line_destroy_cb(void *arg) {
    struct buf *b = arg;
    if (buf_len(b))
        line_write(b);
    buf_fini(b);
}

static void line_key_create(void) {
    line_key_valid = !pthread_key_create(&line_key, line_destroy_cb);
}

/* No memory to keep the text: a torn line is better than a lost one. */
static void line_append(const char *p, size_t n) {
    (void)pthread_once(&line_key_once, line_key_create);
    if (!line.data && line_key_valid)
        (void)pthread_setspecific(line_key, &line);
    if (!buf_append(&line, p, n))
        return;
    if (buf_len(&line))
        line_write(&line);
    emit(p, n);
}

static void line_forget_parents(void) {
    if (child_is() && !line_in_child) {
        line_in_child = true;
        buf_reset(&line, LINE_KEEP_BYTES);
    }
}

void error_lines_set_destinations(unsigned set) {
    destinations = set;
}

void error_lines_write(const char *p, size_t n) {
    line_forget_parents();
    const char *lf = memrchr(p, '\n', n);
    size_t complete = lf ? (size_t)(lf - p) + 1 : 0;
    if (complete && !buf_len(&line)) {
        emit(p, complete);
    } else if (complete) {
        line_append(p, complete);
        if (buf_len(&line))
            line_write(&line);
    }
    if (n > complete)
        line_append(p + complete, n - complete);
    if (buf_len(&line) > LINE_MAX_BYTES)
        line_write(&line);
}

void error_lines_flush(void) {
    line_forget_parents();
    if (buf_len(&line)) {
        Py_BEGIN_ALLOW_THREADS
        line_write(&line);
        Py_END_ALLOW_THREADS
    }
}
