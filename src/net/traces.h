/* Spans of requests, for a collector of traces (--otlp): which requests are recorded, and what is told of each at its
 * end.
 *
 * The span of the server is the parent of what the application records: its id replaces the caller's in
 * HTTP_TRACEPARENT, and a trace is made where there is none. Of one that is not recorded the application is told so in
 * the flags, so that a trace is recorded as a whole or not at all; the caller's id stays then, since there is no span
 * of ours.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_TRACES_H
#define WSGI_FCGI_NET_TRACES_H

struct exchange;

/* Its parameters have come. Only with lane_config.spans. */
void traces_begin(struct exchange *x);

/* It ends, and is recorded (request.recorded). */
void traces_end(struct exchange *x);

#endif
