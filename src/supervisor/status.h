/* What the service manager is told about the whole server (base/notify.h): that it serves, loads the application anew,
 * or stops, and how many workers there are.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_STATUS_H
#define WSGI_FCGI_SUPERVISOR_STATUS_H

#include "base/notify.h"

struct supervisor;

enum { STATUS_SIZE = 256 };

struct status {
    enum notify_state told;
    char text[STATUS_SIZE];         /* as it was told */
    char reload_error[STATUS_SIZE]; /* why the last reload has failed; "" if it has not */
};

/* The first worker has ended with `status` of wait(2), and has logged itself why. */
void status_not_loaded(int status);

/* Tells what has changed. Called at the end of each supervisor_look. */
void status_look(struct supervisor *s);

#endif
