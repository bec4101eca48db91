/* Opens the sockets that the options name, and reads who may connect to them.
 *
 * Threads: the main thread, except for sockets_unlink.
 */
#ifndef WSGI_FCGI_PROCESS_SOCKETS_H
#define WSGI_FCGI_PROCESS_SOCKETS_H

#include "cli/options.h"
#include "net/listen/address_set.h"
#include "net/listen/allow.h"
#include "net/listen/listener.h"

#include <stddef.h>

struct user;

/* What one --socket, --http or --status names. */
struct sockets_wanted {
    char *text; /* as given, but a path is made absolute, unless it is too long for a socket then */
    enum listener_protocol protocol;
    struct address *list;
    size_t count;
};

struct sockets {
    const struct user *user;       /* who is to have the files of sockets; NULL: who makes them */
    struct sockets_wanted *wanted; /* --socket, --http, then --status, each in the order given */
    size_t wanted_count;
    size_t wanted_serving; /* of these, not of --status */
    struct allow_rules allow;
    struct address_set proxies; /* of --forwarded-allow */
    struct listener_set opened; /* stays where it is until sockets_fini */
};

/* Reads addresses and rules from the options; opens nothing. The caller has zeroed *s, but for `user`.
 * Returns 0, or a sysexits status after printing. The caller calls sockets_fini in either case. */
int sockets_read(struct sockets *s, const struct options *o);

/* Opens all sockets, which then listen, besides those that systemd has passed (process/activation.h). With --check it
 * opens only those of the parent process, because nobody notices that.
 *
 * Call it before Python runs. The sockets are close-on-exec and above the application's numbers, so that programs and
 * children of the application get none of them. Returns 0; or a sysexits status after printing, with those opened by
 * then in s->opened. */
int sockets_open(struct sockets *s, const struct options *o);

/* As sockets_open, in a program that this process has executed: `old` are the listeners that it had before. Takes those
 * that systemd has passed, and those that were opened for the same words of the command line and the same protocol,
 * then opens what is missing. Those that nobody names any more go to *left, also after a failure, so that none is lost.
 * */
int sockets_resume(struct sockets *s, const struct options *o, struct listener *old, size_t nold,
                   struct listener_set *left);

/* As sockets_resume, but takes all of them, whatever the options say. */
int sockets_keep(struct sockets *s, struct listener *old, size_t nold);

/* Warns about options that have no effect, web servers that may not connect, and rules that may surprise (allow_warn,
 * peer_warn). */
void sockets_warn(const struct sockets *s, const struct options *o);

/* Closes the open sockets and removes their files, so that peers which wait to be accepted learn now that nobody will
 * answer. Sockets of the parent process stay open there. */
void sockets_stop(struct sockets *s);

/* Removes the socket files that sockets_open has made so far, if this process owns them. Any thread, and in signal
 * handlers. */
void sockets_unlink(void);

void sockets_fini(struct sockets *s);

#endif
