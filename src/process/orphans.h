/* Process 1 of a container inherits the processes whose parents have ended, and has to take note of their ends, or they stay
 * as zombies until no further process can be made. The kernel does not tell them from the application's own children, whose
 * ends belong to the application (subprocess, os.waitpid). So the server leaves being process 1 to another process, which does
 * nothing else, as tini and "docker run --init" do it.
 */
#ifndef WSGI_FCGI_PROCESS_ORPHANS_H
#define WSGI_FCGI_PROCESS_ORPHANS_H

#include <stdbool.h>

/* In process 1: forks, returns true in the child, which is to serve, and never in the parent: that passes on every signal
 * and ends as its child does, 128 + N when that was ended by signal N. In any other process: returns false. So it does, after
 * a warning, when there can be no further process.
 * Before there is a second thread, and anything that a fork concerns. */
bool orphans_leave(void);

#endif
