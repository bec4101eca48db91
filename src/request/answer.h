/* What the status of an answer means for its content: one rule for every front end, which neither the application nor
 * the server can change (RFC 9110, 8.6, 15.3.5, 15.3.6 and 15.4.5).
 *
 * Also where every front end puts the label of the request into its answer (--request-id echo).
 *
 * 1xx statuses are not answers; start_response refuses them.
 *
 * Threads: the running thread, or the owner for an answer of the server's own; answer_content any.
 */
#ifndef WSGI_FCGI_REQUEST_ANSWER_H
#define WSGI_FCGI_REQUEST_ANSWER_H

#include "request/request.h"

enum answer_content {
    ANSWER_ANY,      /* what the application gives, with its Content-Length */
    ANSWER_NONE,     /* 204: no content, and no Content-Length */
    ANSWER_EMPTY,    /* 205: no content, and a Content-Length of 0 */
    ANSWER_DESCRIBED /* 304: no content; a Content-Length describes the answer that it replaces */
};

/* For a status such as "204 No Content": three digits, followed by anything. Pure. */
static inline enum answer_content answer_content(const char *status) {
    if (status[1] != '0' || status[2] < '4')
        return ANSWER_ANY;
    if (status[0] == '2' && status[2] == '4')
        return ANSWER_NONE;
    if (status[0] == '2' && status[2] == '5')
        return ANSWER_EMPTY;
    return status[0] == '3' && status[2] == '4' ? ANSWER_DESCRIBED : ANSWER_ANY;
}

/* The part of answer_settle_head for 204 and 205. */
int answer_set_length(struct request *r, enum answer_content content);

/* The part of answer_settle_head for the label of the request, unless the application has set one. */
int answer_add_id(struct request *r);

/* Makes the lines of r->head agree with r->status. A front end calls this when it stores the head. Returns 0, or -1
 * with errno ENOMEM. */
static inline int answer_settle_head(struct request *r) {
    if (r->echoes_id && answer_add_id(r))
        return -1;
    enum answer_content content = answer_content(r->status);
    return content == ANSWER_NONE || content == ANSWER_EMPTY ? answer_set_length(r, content) : 0;
}

#endif
