/* One process that serves: from the options to the exit status. */
#ifndef WSGI_FCGI_PROCESS_SERVE_H
#define WSGI_FCGI_PROCESS_SERVE_H

#include "cli/options.h"

/* Starts Python, loads the application, and serves it until a signal ends the process; with o->check only loads it and
 * prints what was found. *o went through options_resolve. `argv` is the command line with a NULL behind it, kept until the
 * end. Returns the exit status, a sysexits code after a failure that was printed; does not return when application threads
 * had to be left behind. Main thread. */
int serve(const struct options *o, char *const *argv);

#endif
