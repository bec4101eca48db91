/* Lets the server run as process 1 of a container.
 *
 * Process 1 inherits the processes whose parents have ended. It must reap them, or they stay as zombies until no
 * further process can be made. The kernel does not tell them from the application's own children, which the application
 * itself reaps (subprocess, os.waitpid). So the server forks, and leaves being process 1 to a process that does nothing
 * else, as tini and "docker run --init" do.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_ORPHANS_H
#define WSGI_FCGI_PROCESS_ORPHANS_H

#include <stdbool.h>

/* In process 1: forks, and returns true in the child, which is to serve. Never returns in the parent, which passes on
 * every signal that the child does not get by itself (as from Ctrl-C), and ends when its child does, with the same
 * status: 128 + N when signal N ended the child. In any other process: returns false. Also returns false, after a
 * warning, if no further process can be made. Call it before there is a second thread, and before anything that a fork
 * affects. */
bool orphans_leave(void);

#endif
