/* What Python's main thread does while the server serves: it runs what Python wants of that thread (handlers of signals
 * and pending calls, python/signal_handlers.h); and if the application is promised one call at a time (--threads 1),
 * the calls.
 *
 * Then everything works in a call that works in the main thread of a program and nowhere else: signal.signal(), a
 * timeout by SIGALRM, what was made for that thread when the application was imported. While such a call runs, Python
 * itself runs the handlers in it. Between calls they are a job of the scheduler, which brings it to the main thread
 * like any call: if it takes long, the loop goes on elsewhere. What is due when a call begins is run before the
 * application is called.
 *
 * Otherwise the main thread sleeps until there is something to run.
 *
 * Open it when handlers run late, at the wrong time or not at all.
 */
#ifndef WSGI_FCGI_PROCESS_MAIN_THREAD_H
#define WSGI_FCGI_PROCESS_MAIN_THREAD_H

#include "sched/sched.h"

#include <pthread.h>
#include <stdbool.h>

struct lane;

struct main_thread {
    struct lane *lane;
    bool runs_calls;
    /* The rest is that of main_thread.c. */
    pthread_mutex_t lock; /* guards what follows, but for the job */
    pthread_cond_t told;
    unsigned signals; /* what signals_drain has returned */
    bool wanted;      /* handlers are to be run */
    bool handling;    /* they are being run */
    bool interrupted; /* a SIGINT was simulated, whose handler has not run, or in the present round at the earliest; */
    bool old;         /* or in the last round at the earliest */
    bool terminated;  /* a SIGTERM was simulated: handlers wait for the end */
    bool over;
    bool posted;
    bool end_wanted;
    int status;
    struct sched_note note;
    struct sched_job job; /* the owner's, as the next one is */
    bool job_is_there;    /* it is queued or runs */
};

/* Main thread, before the watch is there. The lane, if it is made already, has threads that fit `runs_calls`. */
void main_thread_init(struct main_thread *m, struct lane *lane, bool runs_calls);

/* Starts the lane, and does its part until the lane's scheduler has quit (with runs_calls) or main_thread_let_go.
 * Returns 0, or -1 at once after a log line. Main thread, without the GIL. */
int main_thread_serve(struct main_thread *m);

/* What signals_drain returns, which is to be called in this way only; together with what the main thread has drained.
 * The watch. */
unsigned main_thread_drain(struct main_thread *m);

/* Has handlers of signals and pending calls run, and returns at once. The watch. */
void main_thread_run_handlers(struct main_thread *m);

/* Whether they are being run. Any thread. */
bool main_thread_is_handling(struct main_thread *m);

/* Whether a handler wants the process to end. *status becomes the exit status that it wants, unless that is 0, or
 * *status another one already. The pipe of process/signals.h is written to when this becomes true. Any thread. */
bool main_thread_wants_end(struct main_thread *m, int *status);

/* Serving is over. Without runs_calls main_thread_serve returns, after the handlers that run. The watch. */
void main_thread_let_go(struct main_thread *m);

#endif
