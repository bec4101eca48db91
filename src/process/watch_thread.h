/* The thread that watches: whether the loop is stuck (sched_watch), and which signals come. It stops the server, or
 * lets a worker retire, and cuts off what does not finish within --graceful-timeout. It never takes the GIL, so nothing
 * that the application does delays it: what Python wants it leaves to the main thread.
 *
 * Open it for the order of a stop, its time-outs and its lines of the log.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_WATCH_THREAD_H
#define WSGI_FCGI_PROCESS_WATCH_THREAD_H

struct run;

/* Starts it, before the lane: it takes the server's signals and blocks all others. From then on what is its own in *run
 * is the watch's. Returns 0, or -1 after a log line. */
int watch_thread_start(struct run *run);

/* Waits until the watch has stopped the server, or noticed that the lane could not be started. If the main thread runs
 * the calls and cannot be here since one of them does not end, the watch has ended the process instead. */
void watch_thread_join(struct run *run);

/* Takes back what calls on the main thread have left of the server's signals (signals_take_back): struct
 * lane_config.check, with the run. Not while a handler runs, which may be about to end the process by such a signal.
 * The watch. */
void watch_thread_check_cb(void *arg);

#endif
