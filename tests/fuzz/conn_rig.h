/* What the fuzzers of a whole connection share, whichever protocol it speaks: a lane, the peers of its connections, an
 * application and the clock, all of which do what the input says, byte by byte; what holds for every front end is
 * looked at after every step. src/sched is replaced by fake_sched.c, so that everything happens on one thread and in
 * the same order every time.
 *
 * The first byte of an input is the configuration. Then comes one byte for each step, which is its place in the front
 * end's table of steps, followed by the bytes that the step takes; missing ones are 0. */
#ifndef WSGI_FCGI_TESTS_CONN_RIG_H
#define WSGI_FCGI_TESTS_CONN_RIG_H

#include "net/lane_impl.h"

enum {
    RIG_PEERS = 4,
    RIG_THREADS = 3,
    RIG_CALLS = 64,    /* that run, with those that are lost */
    RIG_LATE_RUN = 16, /* so many bytes of a late call in a row are no accident */
    RIG_LENGTHS = 12,
    RIG_FILLER = 150000 /* bytes, more than the longest length */
};

static const double RIG_LONG = 1000; /* seconds; longer than every time-out */

/* What is particular about a front end. Peers are numbered from 0. */
struct rig_front {
    void (*const *steps)(void); /* stored inputs depend on the order */
    size_t nsteps;
    size_t lengths[RIG_LENGTHS]; /* of what is sent, received, read or answered at a time */
    void (*configure)(struct lane_config *config, uint8_t choice); /* adds to what all have; or NULL */
    void (*accept)(unsigned peer, int fd, bool is_unix);
    void (*sent)(unsigned peer, const uint8_t *data, size_t len); /* or NULL */
    void (*received)(unsigned peer, const uint8_t *data, size_t len);
    unsigned (*check_conn)(struct conn *conn); /* between two steps; returns how many waits of the lane are its own */
    void (*check_answered)(struct conn *conn); /* when all is done that can be without further input */
};

struct rig_peer {
    int fd;              /* -1: not connected */
    unsigned late_bytes; /* that it has received last, of a call whose time was over */
};

struct conn_rig {
    const struct rig_front *front;
    const uint8_t *pos, *end; /* of the input */
    struct lane *lane;
    struct rig_peer peers[RIG_PEERS];
    struct rig_peer *peer; /* that acts, or NULL */
    struct request *running[RIG_CALLS];
    unsigned nrunning;
    size_t piece; /* in which peers send; 0: whole */
    bool hold;    /* the loop runs only when asked to */
    size_t sent;  /* bytes of all peers */
    size_t answered;
};

extern struct conn_rig rig;
extern const uint8_t rig_filler[RIG_FILLER]; /* zeros */

/* Takes all the steps of an input, lets what they began come to its end, and leaves nothing behind. */
void rig_run(const struct rig_front *front, const uint8_t *data, size_t size);

/* The input. */

uint8_t rig_next(void);
size_t rig_next_length(void);

/* A byte says how many bytes. */
const uint8_t *rig_next_bytes(size_t *len);

/* The request that the next byte chooses among those that run, or NULL. */
struct request *rig_next_running(void);

/* The peer that acts sends in the current pieces; the loop runs in between, and when there is no room. */
void rig_send(const void *data, size_t len);

/* Whether the application may answer with so many bytes more; they are counted. */
bool rig_may_answer(size_t len);

/* How many requests of a connection are late. */
unsigned rig_late_requests(const struct conn *conn);

/* What a call answers: bytes that nobody gets, once its time is over. */
const char *rig_answer(const struct request *r);

/* The application reads a body. Returns 0 or the error. */
int rig_read(void);

/* Steps that are the same for all. */

void rig_connect(void);    /* flags: as TCP, little room to send */
void rig_choose(void);     /* which peer acts from now on */
void rig_bytes(void);      /* length, bytes */
void rig_pieces(void);     /* size of the pieces in which peers send from now on; 0: whole */
void rig_hold(void);       /* from now on, or no longer, the loop runs only when asked to */
void rig_loop(void);       /* the loop runs */
void rig_half_close(void); /* the peer sends nothing more */
void rig_close(void);      /* the peer goes away */
void rig_receive(void);    /* length */
void rig_job(void);        /* the request that waits longest gets a thread */
void rig_expire(void);     /* or has waited too long */
void rig_put(void);        /* which request, length */
void rig_transmit(void);   /* which request, length */
void rig_break_off(void);  /* which request; or its time is over */
void rig_return(void);     /* which request */
void rig_idle(void);       /* the idle time-out passes, that of headers or of bodies, a place is needed, a connection
                              is given away, or the lane retires */
void rig_late(struct timeouts *all);
void rig_linger(void);       /* the time passes that a connection may linger */
void rig_stop(void);         /* the lane stops */
void rig_stop_timeout(void); /* the time passes that connections without a request have at a stop */
void rig_abort(void);        /* the lane stops at once */

#endif
