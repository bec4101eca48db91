/* The calls of this process in the memory that it shares with others (ipc/scoreboard.h): should it die, they can still
 * say what it was running. Only calls that run without the loop are told of. All others are shorter than the time after
 * which the loop is taken from a call, and cost nothing.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_CALLS_H
#define WSGI_FCGI_NET_CALLS_H

#include <stdint.h>

struct exchange;
struct lane;
struct scoreboard_call;

struct calls {
    struct scoreboard_call *places; /* SCOREBOARD_CALLS, of this process; NULL: it tells nobody */
    uint64_t vacant;                /* a bit for each */
};

/* Takes the places of the process, and empties them. */
void calls_init(struct lane *lane);

/* The call of a request runs without the loop from now on. Does nothing when all places are taken. */
void calls_add(struct exchange *x);

/* It has ended. */
void calls_remove(struct exchange *x);

#endif
