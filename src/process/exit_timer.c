#include "config.h"

#include "process/exit_timer.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_create.h"
#include "base/thread_limit.h"
#include "process/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* Mutable timer: who has its lock. */
static struct exit_timer {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* by CLOCK_MONOTONIC */
    uint64_t at;            /* clock_ns */
    int status;
    bool started; /* the thread is there */
} timer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *timer_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&timer.lock);
    while (clock_ns() < timer.at) {
        struct timespec until = clock_timespec(timer.at);
        pthread_cond_timedwait(&timer.changed, &timer.lock, &until);
    }
    log_last(LOG_LEVEL_WARNING, "the interpreter did not end in time: ending without it");
    _exit(timer.status);
}

/* This thread takes only the server's signals. */
static int start(void) {
    sigset_t others;
    pthread_t thread;
    clock_cond_init(&timer.changed);
    signals_fill_others(&others);
    int error = thread_create(&thread, &others, "wsgi-fcgi-end", timer_main, NULL);
    if (!error)
        pthread_detach(thread);
    return error;
}

void exit_timer_set(unsigned seconds, int status) {
    int error = 0;
    pthread_mutex_lock(&timer.lock);
    timer.at = clock_ns() + (uint64_t)seconds * 1000000000;
    timer.status = status;
    if (timer.started)
        pthread_cond_signal(&timer.changed);
    else
        timer.started = !(error = start());
    pthread_mutex_unlock(&timer.lock);
    if (error) {
        char limit[THREAD_LIMIT_SIZE];
        log_warning("cannot start a thread: %s: nothing ends the server should the application not end",
                    thread_limit_explain(error, limit));
    }
}
