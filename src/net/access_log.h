/* The access log: a line for each request, however it ended (exchange_end), but for those of --warm-up.
 *
 * The line is made on the loop and given to a writer of its own (base/line_writer.h), so nothing here waits. Add a
 * field in proto/access_format.h, and say here what it is.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_ACCESS_LOG_H
#define WSGI_FCGI_NET_ACCESS_LOG_H

#include "base/buf.h"
#include "proto/access_format.h"
#include "proto/cgi_memo.h"

#include <stdint.h>
#include <sys/types.h>

struct exchange;
struct line_writer;

enum { ACCESS_TIME_SIZE = 32, ACCESS_TIME_LENGTH = 26, ACCESS_TIME_ISO_LENGTH = 24 };

/* In requests that are like this sample (proto/cgi_memo.h). */
struct access_shape {
    uint64_t sample; /* 0: none */
    unsigned count;
    struct access_found {
        uint8_t index, param; /* of the pair, and of what the format looks for */
    } found[ACCESS_PARAMS];   /* in the order of the pairs */
};

/* What --access-log says. It outlives the lane. */
struct access_log {
    const struct access_format *format;
    struct line_writer *writer;
    int worker; /* its number; -1: the process is none */
    pid_t pid;

    /* Those of access_log.c: memory for a value, where the parameters are that the format names, in requests that are like a
     * sample, and the text of the second that was shown last. */
    struct buf spare;
    struct access_shape shapes[CGI_MEMO_SAMPLES];
    uint64_t second;
    char time[ACCESS_TIME_SIZE], time_iso[ACCESS_TIME_SIZE];
};

/* Writes the line of a request that ends. */
void access_log_write(struct access_log *log, const struct exchange *x);

#endif
