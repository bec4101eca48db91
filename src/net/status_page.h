/* The status page, for both who answer with it: the lane, at a path on its own sockets (net/status_path.h), and the
 * socket of
 * --status (net/status_server.h), which is a lane's or the supervisor's. What it says is for status/status.h.
 *
 * It shows stacks, which the processes take when somebody asks for them (ipc/inspect.h). The loop does not wait for
 * them: it asks all processes, looks now and then whether they have answered, and gives up soon, since one that cannot
 * answer must not keep the page from telling about the others. Who asks meanwhile gets what was asked for already, so
 * that asking often costs no more than asking now and then.
 *
 * Threads: the one that runs the loop.
 */
#ifndef WSGI_FCGI_NET_STATUS_PAGE_H
#define WSGI_FCGI_NET_STATUS_PAGE_H

#include "base/buf.h"
#include "ipc/scoreboard.h"
#include "status/status.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum { STATUS_PAGE_WAIT_MS = 7 /* so long stacks are waited for: the page is out within 10 */ };

/* Somebody who is to get the page; part of what gets it. */
struct status_waiter {
    void (*ready)(struct status_waiter *waiter); /* it can be rendered; the waiter does not wait any more */
    bool stacks, due;
    TAILQ_ENTRY(status_waiter) link;
};

struct status_page {
    struct ev_loop *loop;
    struct status_source source;
    struct inspect *inspect; /* NULL: there are no stacks */
    TAILQ_HEAD(status_waiters, status_waiter) waiters;
    struct status_waiters due; /* who is told now */
    ev_timer timer;            /* active while somebody waits */
    bool asking;               /* the processes were asked for stacks */
    uint64_t give_up_at;       /* clock_ns; while `asking` */
    uint32_t questions[SCOREBOARD_SLOTS];
    bool asked[SCOREBOARD_SLOTS]; /* and have not answered yet */
};

/* `source` is copied; what it points to outlives the page. So does `inspect`, that of the source; NULL: nobody is
 * asked. */
void status_page_init(struct status_page *page, struct ev_loop *loop, const struct status_source *source,
                      struct inspect *inspect);

/* Nobody waits any more. */
void status_page_fini(struct status_page *page);

/* Calls waiter->ready once the page can be rendered: from the loop, and never from within this call. `stacks`: with
 * stacks, as far as they come in time. */
void status_page_wait(struct status_page *page, struct status_waiter *waiter, bool stacks);

/* The waiter does not wait any more. */
void status_page_cancel(struct status_page *page, struct status_waiter *waiter);

/* Appends the page. `stacks`: as the waiter was told. Returns what status_render does. */
int status_page_render(const struct status_page *page, enum status_form form, bool stacks, struct buf *out);

#endif
