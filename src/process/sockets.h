/* The sockets that the options name. Main thread. */
#ifndef WSGI_FCGI_PROCESS_SOCKETS_H
#define WSGI_FCGI_PROCESS_SOCKETS_H

#include "cli/options.h"
#include "net/listen/allow.h"
#include "net/listen/listener.h"

/* Looks at the addresses, and opens nothing. Returns 0, or a sysexits status after printing. */
int listen_check(const struct options *o);

/* Opens all sockets, which listen then; with --check only those of the parent process, of which nobody sees anything.
 * Call before Python runs: what is opened is close-on-exec and stands above the application's numbers, so that programs and
 * children of the application have nothing of it. Returns 0; or a sysexits status after printing, and *set has those that
 * were opened by then. */
int listen_open(const struct options *o, struct listener_set *set);

/* Warns of what was given and has no effect, and of web servers that may not connect. */
void listen_warn(const struct options *o, const struct listener_set *set, const struct allow_rules *allow,
                 const struct address_set *forwarded);

#endif
