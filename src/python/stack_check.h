/* Whether stacks are read as Python itself reads them: each process tries it once with a few frames that have what is
 * special in frames, names and line numbers. So no release of Python that changed one of its private structures, and no
 * build of somebody's own, can bring lines into the log that are not true.
 *
 * Threads: the main thread, GIL held. */
#ifndef WSGI_FCGI_PYTHON_STACK_CHECK_H
#define WSGI_FCGI_PYTHON_STACK_CHECK_H

#include "python/stack_layout.h"

#include <stdbool.h>

/* No exception is left. */
bool stack_check(const struct stack_layout *layout);

#endif
