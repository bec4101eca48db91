/* What the service manager is told about this process, by the protocol of sd_notify(3): systemd, or who acts like it.
 *
 * The manager names a datagram socket in NOTIFY_SOCKET, and with WATCHDOG_USEC says that it wants to hear of the
 * process at least so often. These variables are for the server alone: what the application, or a program that it
 * executes, told the manager would be taken for the server's word.
 *
 * Where no manager has asked, nothing here does anything. No failure to tell something keeps the server from serving:
 * it is logged, once.
 *
 * Threads: the main thread until notify_begin has returned, then any, with or without the GIL. In a child of fork(2)
 * nothing is told.
 */
#ifndef WSGI_FCGI_BASE_NOTIFY_H
#define WSGI_FCGI_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Reads the variables and removes them from the environment. Call it before anything forks: WATCHDOG_PID names this
 * process. */
void notify_take(void);

/* Puts them back, for a program that this process is about to execute in its own place; notify_take removes them again
 * when that has failed. Returns 0, or -1 with errno ENOMEM. */
int notify_put_back(void);

/* Connects to the manager. From now on, until NOTIFY_READY is told, each error line of the log is told as the status
 * too, so that whoever asks the manager why the service does not start learns it. Call it once, in the process that serves
 * or supervises. */
void notify_begin(void);

/* Whether somebody is told. */
bool notify_is_on(void);

enum notify_state {
    NOTIFY_STARTING,  /* or what has been told before, with another status */
    NOTIFY_READY,     /* it serves; also at the end of NOTIFY_RELOADING */
    NOTIFY_RELOADING, /* it serves, and loads the application anew */
    NOTIFY_STOPPING
};

/* Tells the state, with a status for people: one line of UTF-8, cut at 500 bytes. NULL: the status stays as it is.
 * Waits up to a second for a manager that does not read. */
void notify_tell(enum notify_state state, const char *status);

/* Start, reload or stop go on and may take so long from now: the manager's own limit does not end the process
 * before. */
void notify_extend(double seconds);

/* How often the manager wants to hear of the process, in seconds; 0: it does not ask. */
double notify_watchdog(void);

/* The process is well. Does not wait. */
void notify_alive(void);

#endif
