/* The status page of the supervisor (--status): it answers whatever becomes of the workers, from what they leave in
 * shared memory. Nothing here when there is no such socket.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_PAGE_H
#define WSGI_FCGI_SUPERVISOR_PAGE_H

#include <stdbool.h>
#include <stdint.h>

struct supervisor;

/* Begins to answer, once the sockets are open and the memory is there. Returns 0, or a sysexits status after printing.
 */
int page_open(struct supervisor *s);

/* Nobody is to connect any more: closes its sockets. Who is connected gets an answer. */
void page_stop(struct supervisor *s);

/* Whether the execution of another program has to wait for a moment, so that nobody is cut off who is just being
 * answered. Then supervisor_look is wanted again. */
bool page_delays(struct supervisor *s, uint64_t now);

/* Closes its connections. */
void page_close(struct supervisor *s);

#endif
