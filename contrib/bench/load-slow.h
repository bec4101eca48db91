/* A crowd of slow readers: each has one request, and reads its answer so slowly that the answer does not fit into what
 * the kernel holds for it. */
#ifndef WSGI_FCGI_BENCH_LOAD_SLOW_H
#define WSGI_FCGI_BENCH_LOAD_SLOW_H

#include "load.h"

/* Instead of load_run: `read_rate` is set. Prints the figures once every answer has begun (at the latest after ten
 * seconds, and then how many have), and again when standard input ends, up to which the readers go on. None sends a
 * second request. At the end what the kernel holds for them is read at once, as the peer's end is behind that. Returns
 * whether every answer began and went on, and none was cut or wrong.
 *
 * Readers are not woken by what comes, but have their turn four times a second, one after the other: a thousand of them
 * cost the machine that also runs the server a few thousand small reads a second, and no more. */
bool load_run_slow(struct load *l, bool json);

#endif
