#include "config.h"

#include "dl/dl.h"

#include <ev.h>

/* clang-format off */
#define EV_FUNCTIONS(VALUE, NOTHING)                                                                                   \
    VALUE(int, ev_version_major, (void), ())                                                                           \
    VALUE(int, ev_version_minor, (void), ())                                                                           \
    VALUE(unsigned, ev_recommended_backends, (void), ())                                                               \
    VALUE(struct ev_loop *, ev_loop_new, (unsigned flags), (flags))                                                    \
    NOTHING(void, ev_loop_destroy, (struct ev_loop *loop), (loop))                                                     \
    NOTHING(void, ev_set_syserr_cb, (void (*callback)(const char *call)), (callback))                                  \
    NOTHING(void, ev_set_userdata, (struct ev_loop *loop, void *data), (loop, data))                                   \
    VALUE(void *, ev_userdata, (struct ev_loop *loop), (loop))                                                         \
    NOTHING(void, ev_set_loop_release_cb, (struct ev_loop *loop, ev_loop_callback release, ev_loop_callback acquire),  \
            (loop, release, acquire))                                                                                  \
    VALUE(unsigned, ev_pending_count, (struct ev_loop *loop), (loop))                                                  \
    VALUE(int, ev_run, (struct ev_loop *loop, int flags), (loop, flags))                                               \
    NOTHING(void, ev_break, (struct ev_loop *loop, int how), (loop, how))                                              \
    VALUE(ev_tstamp, ev_now, (struct ev_loop *loop), (loop))                                                           \
    NOTHING(void, ev_now_update, (struct ev_loop *loop), (loop))                                                       \
    NOTHING(void, ev_invoke, (struct ev_loop *loop, void *watcher, int events), (loop, watcher, events))               \
    NOTHING(void, ev_feed_event, (struct ev_loop *loop, void *watcher, int events), (loop, watcher, events))           \
    NOTHING(void, ev_io_start, (struct ev_loop *loop, ev_io *watcher), (loop, watcher))                                \
    NOTHING(void, ev_io_stop, (struct ev_loop *loop, ev_io *watcher), (loop, watcher))                                 \
    NOTHING(void, ev_timer_start, (struct ev_loop *loop, ev_timer *watcher), (loop, watcher))                          \
    NOTHING(void, ev_timer_stop, (struct ev_loop *loop, ev_timer *watcher), (loop, watcher))                           \
    NOTHING(void, ev_timer_again, (struct ev_loop *loop, ev_timer *watcher), (loop, watcher))                          \
    NOTHING(void, ev_prepare_start, (struct ev_loop *loop, ev_prepare *watcher), (loop, watcher))                      \
    NOTHING(void, ev_prepare_stop, (struct ev_loop *loop, ev_prepare *watcher), (loop, watcher))                       \
    NOTHING(void, ev_check_start, (struct ev_loop *loop, ev_check *watcher), (loop, watcher))                          \
    NOTHING(void, ev_check_stop, (struct ev_loop *loop, ev_check *watcher), (loop, watcher))                           \
    NOTHING(void, ev_async_start, (struct ev_loop *loop, ev_async *watcher), (loop, watcher))                          \
    NOTHING(void, ev_async_stop, (struct ev_loop *loop, ev_async *watcher), (loop, watcher))                           \
    NOTHING(void, ev_async_send, (struct ev_loop *loop, ev_async *watcher), (loop, watcher))
/* clang-format on */

DL_DEFINE(EV_FUNCTIONS, EV_SONAME)
