/* Writes the answer of a request as FastCGI records: its struct answer_ops (FastCGI 1.0, 5.3 and 5.5; RFC 3875, 6 for
 * the head).
 *
 * Threads: as struct answer_ops says, except where a function says otherwise.
 */
#ifndef WSGI_FCGI_NET_FCGI_ANSWER_H
#define WSGI_FCGI_NET_FCGI_ANSWER_H

#include "net/fcgi/request.h"

extern const struct answer_ops fcgi_answer_ops;

/* Stores the end of the answer: an empty record for each of STDERR and STDOUT that was used, and END_REQUEST. Returns
 * 0, or -1 with errno ENOMEM. Owner only. */
int fcgi_put_end(struct fcgi_request *q, uint32_t app_status, uint8_t protocol_status);

#endif
