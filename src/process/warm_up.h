/* Warms the application up: the lane answers a few requests to nobody before it begins to accept, so that the first
 * client does not wait for what the application loads and fills at its first calls (--warm-up).
 *
 * The requests are made one after the other, over FastCGI by connections from within (lane_connect), with the
 * parameters that a plain proxy sends. An answer of a status from 500 on, and one that is not whole, is a failure; one
 * from 400 on is a warning, since it may be that of a page for which one has to log in.
 *
 * Threads: owner of the lane (sched/sched.h) only, except where it is mentioned. No function needs the GIL.
 */
#ifndef WSGI_FCGI_PROCESS_WARM_UP_H
#define WSGI_FCGI_PROCESS_WARM_UP_H

#include <stdbool.h>
#include <stddef.h>

struct lane;
struct warm_up;

struct warm_up_config {
    const char *const *paths; /* each with its query, within the application, as value_parse_paths allows; outlive it */
    const char *const *sources; /* what has named each, which begins lines about it; outlive it */
    size_t count;
    const char *script_name; /* mount point, "" or "/x"; outlives it */
    bool log_errors;         /* what the application has written to wsgi.errors goes to the web server alone, so that
                                nobody would see it: it is logged */
    /* All requests are answered, which was logged; or (`ok` is false) one has failed, after an error line, and the
     * others were not made. Called once, on the owner, when it may start to accept; not at all if the lane stops
     * before. May not free the warm-up. */
    void (*done)(void *arg, bool ok);
    void *arg;
};

/* Prepares it for a lane that has FastCGI among its protocols. Returns NULL with errno. Main thread. */
struct warm_up *warm_up_new(struct lane *lane, const struct warm_up_config *config);

/* Makes the requests as soon as the lane runs. Returns at once. Any thread; once. */
void warm_up_begin(struct warm_up *w);

/* Frees it, if it is not NULL: after the scheduler of the lane has ended, and before lane_free. Main thread. */
void warm_up_free(struct warm_up *w);

#endif
