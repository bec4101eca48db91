#include "config.h"

#include "net/loop.h"

#include "base/descriptors.h"
#include "base/fdtable.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* New descriptors have the lowest numbers that are free, so that libev's few are among these. */
enum { WINDOW = 64 };

/* What libev has open, and what wakes it; the loop's user data. */
struct made {
    ev_async wakeup;
    int first;
    int epoll;    /* or -1: libev has no epoll(7) here */
    uint64_t set; /* bit N: the number first + N */
};

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static uint64_t open_from(int first) {
    uint64_t set = 0;
    for (int i = 0; i < WINDOW; i++)
        set |= (uint64_t)is_open(first + i) << i;
    return set;
}

static void async_cb(struct ev_loop *loop, ev_async *w, int revents) {
    (void)loop;
    (void)w;
    (void)revents;
}

/* libev makes what wakes a loop when it is first wanted, and keeps it. */
static void make_wakeup(struct ev_loop *loop, struct made *made) {
    ev_async_init(&made->wakeup, async_cb);
    ev_async_start(loop, &made->wakeup);
}

/* The loop is about to wait. When epoll_ctl(2) has failed for a descriptor just now, libev keeps that as an event, and
 * would come to it only when another one has come. */
static void release_cb(struct ev_loop *loop) {
    struct made *made = ev_userdata(loop);
    if (ev_pending_count(loop))
        ev_async_send(loop, &made->wakeup);
}

static bool is_eventfd(int fd) {
    char path[32], target[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    return !strcmp(target, "anon_inode:[eventfd]");
}

/* Not that of epoll, which libev may make anew: it fails when it is gone. */
static void guard(const struct made *made) {
    for (int i = 0; i < WINDOW; i++) {
        if (made->set >> i & 1 && is_eventfd(made->first + i))
            descriptors_guard(made->first + i, "which wakes the event loop");
    }
}

/* Without it libev would abort. EINVAL of epoll_wait(2): what has the number now is no epoll. */
static void failed_cb(const char *call) EV_NOEXCEPT {
    int error = errno;
    if (error == EBADF || (error == EINVAL && strstr(call, "epoll_wait")))
        descriptors_lost(-1, "that of the event loop");
    log_error("the event loop cannot go on: %s: %s", call, strerror(error));
    abort();
}

static void forget(const struct made *made) {
    for (int i = 0; i < WINDOW; i++) {
        if (made->set >> i & 1)
            descriptors_forget(made->first + i);
    }
}

static int note(const struct made *made) {
    for (int i = 0; i < WINDOW; i++) {
        if (made->set >> i & 1 && descriptors_note(made->first + i)) {
            forget(made);
            return -1;
        }
    }
    return 0;
}

/* Every other kind of descriptor is refused as such. */
static bool is_epoll(int fd) {
    struct epoll_event event;
    return epoll_wait(fd, &event, 1, 0) >= 0;
}

static int find_epoll(const struct made *made) {
    for (int i = 0; i < WINDOW; i++) {
        if (made->set >> i & 1 && is_epoll(made->first + i))
            return made->first + i;
    }
    return -1;
}

static struct ev_loop *make(struct made *made) {
    while (is_open(made->first))
        made->first++;
    uint64_t before = open_from(made->first);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    if (!loop)
        return NULL;
    make_wakeup(loop, made);
    made->set = open_from(made->first) & ~before;
    if (note(made)) {
        ev_loop_destroy(loop);
        errno = ENOMEM;
        return NULL;
    }
    made->epoll = find_epoll(made);
    ev_set_userdata(loop, made);
    ev_set_loop_release_cb(loop, release_cb, NULL);
    return loop;
}

struct ev_loop *loop_new(void) {
    struct made *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    struct fdtable_occupied low;
    descriptors_lock();
    fdtable_occupy(&low);
    struct ev_loop *loop = make(made);
    fdtable_release(&low);
    descriptors_unlock();
    if (!loop) {
        free(made);
        return NULL;
    }
    guard(made);
    ev_set_syserr_cb(failed_cb);
    return loop;
}

void loop_forget(struct ev_loop *loop, int fd) {
    const struct made *made = ev_userdata(loop);
    int error = errno;
    if (made->epoll >= 0)
        (void)epoll_ctl(made->epoll, EPOLL_CTL_DEL, fd, NULL);
    errno = error;
}

void loop_free(struct ev_loop *loop) {
    if (!loop)
        return;
    struct made *made = ev_userdata(loop);
    descriptors_lock();
    forget(made);
    ev_loop_destroy(loop);
    descriptors_unlock();
    free(made);
}
