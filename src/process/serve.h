/* Runs one serving process, from the options to the exit status. */
#ifndef WSGI_FCGI_PROCESS_SERVE_H
#define WSGI_FCGI_PROCESS_SERVE_H

#include "cli/options.h"

struct interp_life;
struct user;
struct worker;

/* Has `life` bring Python, loads the application, and serves it until a signal or the application ends the process. With
 * o->check, only loads the application and prints what was found. *o has gone through options_resolve. `user`: whom it
 * names (user_read), who is to run the application. `argv` is the command line with a terminating NULL; it must stay
 * until the end. `worker`: from worker_find; a worker gets its sockets and its orders from its supervisor. What the pointers
 * lead to is used until Python has ended, which may be after the return (interp_adopted). Call it once.
 *
 * Returns the exit status: a sysexits code after a failure, which was printed; 128 + N after signal N interrupted the
 * loading; 79 when requests were cut off. Does not return if requests or threads had to be left behind. Main thread. */
int serve(const struct options *o, const struct user *user, struct worker *worker, char *const *argv,
          const struct interp_life *life);

#endif
