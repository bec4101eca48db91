/* The command line of wsgi-fcgi-top.
 *
 * Threads: main only, at the start.
 */
#ifndef WSGI_FCGI_TOP_OPTIONS_H
#define WSGI_FCGI_TOP_OPTIONS_H

#include "top/target.h"

#include <stdbool.h>

struct options {
    struct target target;
    const char *shown; /* the target as it was given */
    unsigned interval_ms;
    bool once, json, stacks, health;
};

/* Returns true; or false, and the program is to exit with *status: it has said why, or shown what was asked for. */
bool options_read(struct options *o, int argc, char **argv, int *status);

#endif
