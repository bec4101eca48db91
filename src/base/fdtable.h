/* The process's table of descriptors: how large it is, and where in it the server's stand.
 *
 * The numbers below FDTABLE_FIRST are the application's: select(2) and FD_SET take no others, and a descriptor that
 * something closes twice, the commonest mistake of C extensions, has one of the lowest. What the server keeps open stands
 * above them, but not at the end of the table, as a fork copies it up to the highest descriptor that is open. Where the limit
 * of open files is too low for that, it stands in the upper half.
 *
 * Connections, which come and go with requests, would need two system calls more for it. They stay where accept(2) puts
 * them as long as that is below FDTABLE_LOW.
 *
 * Threads: any, after fdtable_prepare.
 */
#ifndef WSGI_FCGI_BASE_FDTABLE_H
#define WSGI_FCGI_BASE_FDTABLE_H

#include <stdbool.h>

enum {
    FDTABLE_FIRST = 1024, /* FD_SETSIZE */
    FDTABLE_LOW = 256     /* so many, less three, connections have numbers of the application's at most */
};

/* Grows the table to what `connections` and all else need, as far as the limit of open files lets it, and up to 65,536
 * descriptors, which take 528 KiB of the kernel's memory: 8 bytes and two bits each. Later each doubling would stop every
 * thread that opens something for 6 to 24 ms: the kernel waits for an RCU grace period when a process has threads.
 * A table that cannot be grown is logged at the level debug, and left as it is.
 * Call it while there is one thread. Before, and without it, the other functions leave descriptors where they are. */
void fdtable_prepare(unsigned connections);

/* Moves the close-on-exec descriptor `fd` to where the server's stand. Returns its number from now on, which is the same
 * when no other one is free. errno is left alone. */
int fdtable_raise(int fd);

/* Another close-on-exec descriptor of what `fd` names, where the server's stand if there is room. Returns its number, or -1
 * with errno as dup(2). */
int fdtable_duplicate(int fd);

/* The same as fdtable_raise for a connection that was accepted: moves it when numbers have risen, or when it has that of
 * standard input, output or error, which the application must have closed. */
int fdtable_raise_connection(int fd);

/* Takes all numbers below those of the server that are free, so that what a library opens stands above them; until
 * fdtable_release. Call both while there is one thread. */
struct fdtable_occupied {
    bool fds[FDTABLE_FIRST];
};
void fdtable_occupy(struct fdtable_occupied *low);
void fdtable_release(const struct fdtable_occupied *low);

#endif
