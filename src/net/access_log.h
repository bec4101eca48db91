/* The access log: a line for each request, however it ended (exchange_end), but for those of --warm-up.
 *
 * The line is made on the loop and given to a writer of its own (base/line_writer.h), so nothing here waits. Add a
 * field in proto/access_format.h, and say here what it is.
 *
 * Threads: owner only, except where the running thread is named.
 */
#ifndef WSGI_FCGI_NET_ACCESS_LOG_H
#define WSGI_FCGI_NET_ACCESS_LOG_H

#include "base/buf.h"
#include "proto/access_format.h"

#include <stdint.h>
#include <sys/types.h>

struct exchange;
struct line_writer;

enum { ACCESS_TIME_SIZE = 32 };

/* What --access-log says. It outlives the lane. */
struct access_log {
    const struct access_format *format;
    struct line_writer *writer;
    int worker; /* its number; -1: the process is none */
    pid_t pid;

    /* Those of access_log.c: memory for a line, and the text of the second that was shown last. */
    struct buf json;
    uint64_t second;
    char time[ACCESS_TIME_SIZE], time_iso[ACCESS_TIME_SIZE];
};

/* What is measured of a request for the log alone. */
struct access_times {
    uint64_t ended_at;      /* when its call ended (clock_ns); 0: it did not */
    uint64_t first_byte_at; /* when the first bytes of its answer were sent before its call ended; 0: none were */
    uint64_t cpu;           /* processor time of its call in nanoseconds; ACCESS_NOT_MEASURED */
    pid_t thread;           /* on which it was called; 0: it was not */
};

#define ACCESS_NOT_MEASURED UINT64_MAX

/* Writes the line of a request that ends. */
void access_log_write(struct access_log *log, const struct exchange *x);

/* Around the call of the application. Running thread. */
void access_log_call_begins(const struct access_log *log, struct access_times *times);
void access_log_call_ends(const struct access_log *log, struct access_times *times);

/* What one that was not measured has. */
static inline void access_times_reset(struct access_times *times) {
    *times = (struct access_times){.cpu = ACCESS_NOT_MEASURED};
}

#endif
