/* The sockets that the options name, and whose connections they take.
 *
 * Threads: the main thread, but for sockets_unlink.
 */
#ifndef WSGI_FCGI_PROCESS_SOCKETS_H
#define WSGI_FCGI_PROCESS_SOCKETS_H

#include "cli/options.h"
#include "net/listen/address_set.h"
#include "net/listen/allow.h"
#include "net/listen/listener.h"

#include <stddef.h>

/* What one --socket or --http names. */
struct sockets_wanted {
    char *text; /* with an absolute path, as the log shows it */
    enum listener_protocol protocol;
    struct address *list;
    size_t count;
};

struct sockets {
    struct sockets_wanted *wanted; /* --socket, then --http, each in the order given */
    size_t wanted_count;
    struct allow_rules allow;
    struct address_set proxies; /* of --forwarded-allow */
    struct listener_set opened; /* stays where it is until sockets_fini */
};

/* Reads addresses and rules of the options, and opens nothing. *s is zeroed at first. Returns 0, or a sysexits status after
 * printing. sockets_fini is called in either case. */
int sockets_read(struct sockets *s, const struct options *o);

/* Opens all of them, which listen then; with --check only those of the parent process, of which nobody sees anything.
 * Call before Python runs: what is opened is close-on-exec and stands above the application's numbers, so that programs and
 * children of the application have nothing of it. Returns 0; or a sysexits status after printing, and s->opened has those that
 * were opened by then. */
int sockets_open(struct sockets *s, const struct options *o);

/* Warns of what was given and has no effect, and of web servers that may not connect. */
void sockets_warn(const struct sockets *s, const struct options *o);

/* Closes those that are open: whoever waits to be accepted learns now that nobody will answer. */
void sockets_stop(struct sockets *s);

/* Removes the files of those that sockets_open has made by now, when this process is their owner. Any thread, and within handlers
 * of signals. */
void sockets_unlink(void);

void sockets_fini(struct sockets *s);

#endif
