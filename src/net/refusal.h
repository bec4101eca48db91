/* Answers that the server gives itself, without the application: their statuses and log texts. Add a reason to refuse a
 * request here.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_REFUSAL_H
#define WSGI_FCGI_NET_REFUSAL_H

#include "base/log.h"
#include "proto/status_head.h"
#include "request/request.h"

struct conn;
struct lane;

/* Why a request is not given to the application, or why its body ends with an error there: X(name, status, log level,
 * text). The text is for the log; it names the option to change, if there is one. What is to be done about overload is
 * said once for all (net/overload.h). */
#define REFUSALS(X)                                                                                                    \
    X(REFUSED_MALFORMED, "400 Bad Request", WARNING, "its parameters are malformed")                                   \
    X(REFUSED_BODY_SHORT, "400 Bad Request", INFO, "its body ended before its CONTENT_LENGTH")                         \
    X(REFUSED_STATUS_CLIENT, "403 Forbidden", INFO,                                                                    \
      "its client may not see the status page: name it with --status-allow to let it in")                              \
    X(REFUSED_STATUS_PROXY, "403 Forbidden", INFO,                                                                     \
      "who asks for the status page is not known: a proxy has passed it on whose word does not count: see "            \
      "--forwarded-allow")                                                                                             \
    X(REFUSED_STATUS_HOST, "403 Forbidden", INFO, STATUS_HOST_REFUSED)                                                 \
    X(REFUSED_OUTSIDE, "404 Not Found", INFO,                                                                          \
      "its path is outside the mount point of the application: see --script-name")                                     \
    X(REFUSED_STATUS_METHOD, "405 Method Not Allowed", INFO,                                                           \
      "its method is neither GET nor HEAD, and the status page has no other")                                          \
    X(REFUSED_PARAMS_LATE, "408 Request Timeout", WARNING, "its parameters did not come within --header-timeout")      \
    X(REFUSED_HEAD_STALLED, "408 Request Timeout", INFO, "nothing more of its header came within --idle-timeout")      \
    X(REFUSED_BODY_LATE, "408 Request Timeout", INFO, "nothing of its body came within --header-timeout")              \
    X(REFUSED_BODY_STALLED, "408 Request Timeout", INFO, "nothing more of its body came within --idle-timeout")        \
    X(REFUSED_BODY_SLOW, "408 Request Timeout", INFO, "its body comes at less than --min-body-rate")                   \
    X(REFUSED_BODY_LARGE, "413 Content Too Large", WARNING, "its body is larger than --limit-request-body")            \
    X(REFUSED_LINE_LARGE, "414 URI Too Long", WARNING, "its first line takes more bytes than --limit-params")          \
    X(REFUSED_PARAMS_LARGE, "431 Request Header Fields Too Large", WARNING,                                            \
      "its parameters take more bytes than --limit-params")                                                            \
    X(REFUSED_PARAMS_MANY, "431 Request Header Fields Too Large", WARNING,                                             \
      "it has more parameters than --limit-param-count")                                                               \
    X(REFUSED_CONN_FULL, "503 Service Unavailable", WARNING,                                                           \
      "the peer has more requests open on this connection than GET_VALUES allows it")                                  \
    X(REFUSED_QUEUE_FULL, "503 Service Unavailable", INFO, "--queue-limit requests wait for a thread already")         \
    X(REFUSED_QUEUE_LATE, "503 Service Unavailable", INFO, "no thread was free for it in time (--queue-timeout)")      \
    X(REFUSED_NO_MEMORY, "503 Service Unavailable", ERROR, "out of memory")                                            \
    X(REFUSED_OVERDUE, "504 Gateway Timeout", WARNING, "its call did not end in time")                                 \
    X(REFUSED_NO_SPOOL, "507 Insufficient Storage", ERROR, "its body cannot be kept: see --spool-dir")

#define REFUSAL_NAME(name, status, level, text) name,
enum refusal { NOT_REFUSED, REFUSALS(REFUSAL_NAME) REFUSAL_COUNT };
#undef REFUSAL_NAME

/* The status line: "413 Content Too Large". */
const char *refusal_status(enum refusal why);

/* Logs that request `id` of a connection is refused; or, if the application `runs` already, that it cannot read its
 * body. At most one line a second for each reason and client (base/log_limit.h). */
void refusal_log(struct conn *c, enum refusal why, unsigned id, struct request *r, bool runs);

/* The same with a status and text of its own, which contain nothing from a peer. Counts as REFUSED_MALFORMED for the
 * limit. */
void refusal_log_as(struct conn *c, const char *status, const char *why, unsigned id, struct request *r);

/* Logs that a body is kept in memory only, so that the peer must wait with the rest until the application reads. At
 * most one line a second for each client. */
void refusal_log_held(struct conn *c, unsigned id, struct request *r);

/* Stores the answer, which says what else is to be said of the status. If no thread was free in time, it says when to
 * try again (Retry-After): in the time that the queue takes, and up to half of it more, by chance, so that not all come
 * back at once. Returns 0, or -1 with errno ENOMEM. */
int refusal_answer(struct lane *lane, struct request *r, enum refusal why);

#endif
