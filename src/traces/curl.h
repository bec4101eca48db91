/* libcurl, which is loaded when it is needed: only who wants traces has it, and what the application brings of the same
 * name is not disturbed (dl/dl.h says why).
 *
 * Threads: curl_load before others are started; the rest one thread, without the GIL.
 */
#ifndef WSGI_FCGI_TRACES_CURL_H
#define WSGI_FCGI_TRACES_CURL_H

#include "traces/settings.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { CURL_REASON_SIZE = TRACE_REASON_SIZE, CURL_ANSWER_MAX = 4096 };

/* Loads and prepares it. Returns 0, or -1 with what is wrong in `reason`. */
int curl_load(char reason[static CURL_REASON_SIZE]);

struct curl_answer {
    long status;                   /* of HTTP; 0: there was none, and `reason` says why */
    long retry_after;              /* seconds; 0: it does not say */
    char reason[CURL_REASON_SIZE]; /* one line */
    char text[CURL_ANSWER_MAX];    /* the beginning of the body... */
    size_t len;                    /* ...so many bytes */
};

/* Sends `len` bytes of JSON. Ends within the time of the settings, and soon after `*until` (clock_ns), which may become
 * less meanwhile. `session`: NULL at first; keeps the connection. */
void curl_post(void **session, const struct trace_settings *settings, const char *json, size_t len,
               const _Atomic uint64_t *until, struct curl_answer *out);

void curl_close(void **session);

#endif
