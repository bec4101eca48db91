/* Writes lines to a file, a pipe or syslog by a thread of its own, for logs that the loop adds to (net/access_log.h).
 *
 * The loop never waits: lines go into a ring of fixed size, and only the writer's thread can be stuck in write(2).
 * Lines that find no room, or cannot be written (a full disk, a reader that is gone), are lost and counted, and what
 * `changed` does says so. Lines keep their order and are never torn: each writev(2) has whole lines, so that those of
 * several processes which append to the same file do not mix; into a pipe as many as it takes in one piece (PIPE_BUF).
 *
 * The thread is woken for the first line, and looks by itself for some time afterwards: a busy loop wakes nobody.
 *
 * Threads: see each function.
 */
#ifndef WSGI_FCGI_BASE_LINE_WRITER_H
#define WSGI_FCGI_BASE_LINE_WRITER_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINE_WRITER_RING_SIZE = 4096 * 1024, /* bytes */
    LINE_WRITER_LINE_MAX = PIPE_BUF      /* bytes of a line, with its line feed */
};

enum line_writer_change {
    LINE_WRITER_FAILS,   /* lines cannot be written, */
    LINE_WRITER_GOES_ON, /* and can be again */
    LINE_WRITER_NO_ROOM  /* lines found no room */
};

struct line_writer_config {
    int fd; /* where to write; it stays the caller's, and open for as long as the process runs */
    const char
        *syslog; /* or, if it is not NULL, the socket of a syslog daemon, which is connected to when there is something
                           to write, and again when it is lost; outlives the writer */
    const char *tag; /* what its messages begin with: "<190>name[1]: "; outlives the writer */
    /* What is new about lines that are lost; how many says line_writer_lost. The writer's thread; LINE_WRITER_NO_ROOM
     * also the one of line_writer_begin, for each line: must not wait. `error`: an errno of LINE_WRITER_FAILS. */
    void (*changed)(void *arg, enum line_writer_change change, int error);
    void *arg;
    _Atomic uint64_t
        *lost; /* where lost lines are counted as well, for others to read; NULL: nowhere. Outlives the writer */
};

struct line_writer;

/* Starts a thread that writes. Returns NULL with errno. It is never freed: the thread may be stuck for ever. */
struct line_writer *line_writer_new(const struct line_writer_config *config);

/* A line is made where it stays until it is written: returns where LINE_WRITER_LINE_MAX bytes are for it, or NULL if
 * there is no room; then it is lost and counted. One thread at a time; never waits. */
char *line_writer_begin(struct line_writer *w);

/* The line is so long, with its line feed. One that was begun need not end: the next one begins in its place. */
void line_writer_end(struct line_writer *w, size_t len);

/* How many lines were lost so far. Any thread. */
unsigned long line_writer_lost(const struct line_writer *w);

/* Writes to this descriptor's file from now on: its duplicate takes the place of the one before under the same number.
 * What is written meanwhile is in either of the files. Returns 0, or -1 with errno. Any thread. */
int line_writer_take(struct line_writer *w, int fd);

/* Waits until everything put so far is written, but at most a second, since nobody may be reading. Returns whether it
 * is. In a process that was forked it does nothing. Async-signal-safe. errno is preserved. */
bool line_writer_flush(struct line_writer *w);

#endif
