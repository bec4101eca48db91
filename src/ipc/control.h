/* What the supervisor and its workers tell each other, on a pair of sockets for each worker (ipc/fd_socket.h).
 *
 * A worker is a process that runs the same program with the same command line as the supervisor, and finds its end of
 * the pair by the environment variable CONTROL_ENV. It gets everything else by messages:
 *
 *     supervisor                                        worker
 *       CONTROL_HELLO, CONTROL_PEER for each slot   ->    (waits for HELLO before anything else)
 *       CONTROL_MEMORY for each kind, ACCESS_LOG    ->    (before the PEER of its own slot, or CONTROL_PREPARE_TO_FORK)
                                                   <-  CONTROL_FILES (--reload: before, after, and when there are more)
 *                                                         loads the application
 *                                                   <-  CONTROL_LOADED
 *       CONTROL_LISTENER for each, CONTROL_SERVE    ->    hooks, lane, requests of --warm-up
 *                                                   <-  CONTROL_SERVING
 *       CONTROL_PEER for each new slot              ->
 *                                                   <-  CONTROL_WANTS_TO_RETIRE (a limit was reached, or it hangs)
 *       CONTROL_RETIRE, when another one serves     ->    accepts no more, hands its connections over
 *       CONTROL_STOP, at the end of the server      ->    stops as a single process does
 *                                                   <-  CONTROL_ENDS, the last message
 *
 * With --preload the first process that is started is the zygote. It gets CONTROL_HELLO and CONTROL_PREPARE_TO_FORK,
 * loads the application, and sends CONTROL_LOADED. From then on CONTROL_FORK makes it fork a worker, which goes on as
 * above behind CONTROL_LOADED with the pair that came with that message; and CONTROL_DIED tells of one that has ended,
 * since workers are its children.
 *
 * When the supervisor's end closes, the supervisor is gone: the worker stops. When the supervisor executes another
 * version of itself, the pairs stay open. So the two may be of different versions, and messages of unknown types are
 * ignored.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_IPC_CONTROL_H
#define WSGI_FCGI_IPC_CONTROL_H

#include "ipc/fd_socket.h"

#include <stdint.h>

/* The number of a worker's end of its pair, in decimal. The worker removes the variable from its environment. */
#define CONTROL_ENV "WSGI_FCGI_CONTROL"

/* The numbers are part of what versions have in common: none is ever used for something else. */
enum control_type {
    /* To the worker. */
    CONTROL_HELLO = 1,    /* `slot`: of the scoreboard; `a`: the worker's number, from 0, for people and applications;
                             `b`: its generation, from 1, which each reload increases. Descriptors: scoreboard, and the
                             end to send and the end to receive of the queue for connections (net/handover.h) */
    CONTROL_PEER = 2,     /* `slot`; descriptor: the eventfd(2) that wakes the worker of this slot, the own one too */
    CONTROL_LISTENER = 3, /* `a`: enum listener_protocol; `b`: a set of CONTROL_LISTENER_*; `text`: as struct
                             listener.text. Descriptor: the socket */
    CONTROL_SERVE = 4,
    CONTROL_RETIRE = 5,
    CONTROL_STOP = 6,            /* `a`: the number of the signal */
    CONTROL_REOPEN_LOG = 7,      /* the log file was opened again. Descriptor: that file; without it, open it */
    CONTROL_PREPARE_TO_FORK = 8, /* be the zygote */
    CONTROL_FORK = 9,            /* `slot`, for CONTROL_FORKED. Descriptor: the end of the new worker's pair */
    CONTROL_MEMORY = 10,         /* `a`: enum control_memory. Descriptor: that memory (ipc/shared_memory.h) */
    CONTROL_LOG_STACKS = 11,     /* log what runs, with the stacks of all calls */
    CONTROL_ACCESS_LOG = 12, /* the file of --access-log, at first and when it was opened anew. Descriptor: that file */
    CONTROL_TRACE_MEMORY = 13, /* log what Python allocates from now on, for `a` milliseconds: the worker has `b` bytes,
                                  most of what it may have */

    /* To the supervisor. */
    CONTROL_LOADED = 32,          /* the application is loaded */
    CONTROL_SERVING = 33,         /* it accepts connections */
    CONTROL_WANTS_TO_RETIRE = 34, /* `a`: enum control_reason */
    CONTROL_ENDS = 35,   /* `a`: requests finished since it began to stop or to retire, `b`: requests cut off */
    CONTROL_FORKED = 36, /* `slot`; `a`: the process; or, when it could not be made, `a` 0 and `b` the errno */
    CONTROL_DIED = 37,   /* `a`: the process; `b`: its status, as wait(2) gives it */
    CONTROL_FILES = 38 /* with --reload, the files that were loaded, or are missing, for whose changes the worker is to
                            be replaced. `a`: enum control_files. Descriptor: a sealed file in memory, with absolute
                            paths, each with a zero byte behind it */
};

/* What processes share beside the scoreboard. A process can do without each of them: the supervisor may be of a version
 * that has none. New numbers come at the end, before the count. */
enum control_memory {
    CONTROL_MEMORY_LOG = 0,     /* ipc/log_ring.h */
    CONTROL_MEMORY_INSPECT = 1, /* ipc/inspect.h */
    CONTROL_MEMORY_METRICS = 2, /* ipc/metrics.h */
    CONTROL_MEMORY_COUNT
};

enum control_files {
    CONTROL_FILES_FIRST, /* before the application is loaded: those of the command line, by all names they may have */
    CONTROL_FILES_ALL    /* all that are known */
};

enum { CONTROL_FILES_SIZE = 4 << 20, CONTROL_FILES_MAX = 16384 }; /* bytes, and paths, of one message at most */

enum { CONTROL_LISTENER_UNIX = 1, CONTROL_LISTENER_INHERITED = 2 };

enum control_reason {
    CONTROL_REASON_SIGNAL,   /* somebody has sent it a signal that ends a server */
    CONTROL_REASON_REQUESTS, /* --max-requests */
    CONTROL_REASON_LOST,     /* as many calls as --threads go on beyond --request-timeout */
    CONTROL_REASON_STUCK     /* one of these keeps the interpreter lock for longer than --stuck-timeout */
};

enum { CONTROL_TEXT_SIZE = 512 };

struct control_message {
    enum control_type type;
    uint32_t slot;
    uint64_t a, b;
    char text[CONTROL_TEXT_SIZE]; /* terminated; "" where nothing is said */
    int fds[FD_SOCKET_FDS];
    unsigned nfds;
};

/* Sends one message; the descriptors in it stay open here. Returns 0; or -1 with errno as fd_socket_send. EAGAIN is not
 * to be waited for: a peer that does not read the few messages there are is stuck. */
int control_send(int socket, const struct control_message *m);

/* Receives one message. Returns 1 with *m filled, whose descriptors the caller closes; 0 when the peer is gone; or -1
 * with errno: EAGAIN when there is none, EPROTO when it is none of this form, or as fd_socket_receive. Types that are
 * not known are given to the caller, who ignores them and closes their descriptors (control_close_fds). */
int control_receive(int socket, struct control_message *m);

/* Closes the descriptors of a received message that are left, those that are not -1. */
void control_close_fds(struct control_message *m);

#endif
