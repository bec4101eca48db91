/* Connections at rest move between the workers of a server: one that retires gives all of its own
 * away, and one in which a call computes gives away what becomes readable. A worker that serves takes them, like new
 * connections. Their peers notice nothing: what they send meanwhile waits in the socket.
 *
 * All workers share one queue (ipc/fd_socket.h), whose ends the supervisor holds as well, so that nothing in it is lost
 * with a worker. A message in it is a descriptor and what proto/handover.h says of it. Who sends one sets
 * scoreboard.queued and wakes one worker that could take it, by the eventfd(2) of its slot. Who takes clears the former
 * first. It takes a few at a time; when there may be more it sets it again and wakes the next one. So no worker is
 * woken in vain, and nothing waits for a certain one. scoreboard.queued is a hint, which every worker looks at once in
 * each turn of its loop; the truth is in the queue.
 *
 * A queue that is full is no error. The connection stays where it is and is served there, until there is room.
 *
 *     handover.c       the workers, waking them, and giving
 *     handover_take.c  taking
 *     retire.c         the lane that gives all away
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_HANDOVER_H
#define WSGI_FCGI_NET_HANDOVER_H

#include <stdbool.h>

struct conn;
struct lane;
struct scoreboard;

/* What a worker is told. The caller keeps all of it for longer than the lane. */
struct handover_config {
    int send_fd, receive_fd;  /* the ends of the queue */
    struct scoreboard *board; /* the owner of its slot says there when it serves; the lane, when it ends */
    unsigned slot;            /* this worker's */
};

enum {
    HANDOVER_BATCH = 16,  /* connections that are given, or taken, in one turn of the loop */
    HANDOVER_RESERVE = 64 /* descriptors that are left to those that are taken: RLIMIT_NOFILE is so far below its hard
                             limit from lane_new on, and is raised while they come */
};

/* Tells of the eventfd(2) that wakes the worker in a slot, the own one too, which is polled from then on. It belongs to
 * the lane, and takes the place of an earlier one. May be called before the lane starts. A lane without a struct
 * handover_config closes it. */
void handover_add_peer(struct lane *lane, unsigned slot, int fd);

/* Whether no other worker serves. True without a struct handover_config. */
bool handover_is_alone(const struct lane *lane);

/* Gives a connection away, if it rests (conn.rest) and if there is a worker that serves and room in the queue. Input
 * that was not read goes along. Returns whether it is gone: CONN_CLOSED, and freed unless somebody holds a reference.
 * If not, nothing has changed. Always false without a struct handover_config. */
bool handover_give(struct conn *c);

/* For files of net/. */

enum handover_outcome {
    HANDOVER_GIVEN,
    HANDOVER_KEPT,    /* it is not at rest */
    HANDOVER_NOT_NOW, /* there is no room in the queue, or nobody who can be woken yet */
    HANDOVER_NOBODY   /* no other worker serves */
};

/* As handover_give, and says why not. */
enum handover_outcome handover_try(struct conn *c);

/* Prepares what the lane's config asks for. Returns 0, or -1 with errno. */
int handover_init(struct lane *lane);
void handover_fini(struct lane *lane);

/* Called once in each turn of the loop when scoreboard.queued is set: takes what is there, if that is for this
 * worker. */
void handover_look(struct lane *lane);

/* From now on this worker takes nothing more. */
void handover_ends(struct lane *lane);

/* Takes all that is in the queue, for a lane that stops as the last one. */
void handover_drain(struct lane *lane);

/* lane.taking_paused: a connection has ended or has come to rest, so there may be room for another one. */
void handover_go_on(struct lane *lane);

#endif
