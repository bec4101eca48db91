/* The size of the process's descriptor table, and where in it the server's descriptors are.
 *
 * The numbers below FDTABLE_FIRST are left to the application: select(2) and FD_SET accept no others. They are also the
 * likely victims when something is closed twice, the commonest mistake of C extensions. What the server keeps open is
 * therefore above them, but not at the end of the table, because fork copies the table up to the highest open
 * descriptor. If the limit of open files is too low for that, the server uses the upper half of the table.
 *
 * Moving a descriptor costs two system calls. Connections come and go with requests, so they stay where accept(2) puts
 * them as long as the number is below FDTABLE_LOW.
 *
 * Threads: any, after fdtable_prepare.
 */
#ifndef WSGI_FCGI_BASE_FDTABLE_H
#define WSGI_FCGI_BASE_FDTABLE_H

#include <stdbool.h>

enum {
    FDTABLE_FIRST = 1024, /* FD_SETSIZE */
    FDTABLE_LOW = 256     /* at most this many connections, less three, use numbers of the application */
};

/* Grows the table to what `connections` and everything else need, as far as the limit of open files allows and up to
 * 65,536 descriptors. Those take 528 KiB of kernel memory: 8 bytes and two bits each. The table is grown early because
 * each later doubling would stop every thread that opens something for 6 to 24 ms: in a process with threads, the
 * kernel waits for an RCU grace period. If the table cannot be grown, this is logged at the level debug and it stays as
 * it is.
 *
 * Call it while there is only one thread. Until then the other functions leave descriptors where they are. */
void fdtable_prepare(unsigned connections);

/* Moves the close-on-exec descriptor `fd` to the server's range. Returns its new number, which is the old one when no
 * other is free. errno is preserved. */
int fdtable_raise(int fd);

/* Duplicates `fd` as a close-on-exec descriptor, in the server's range if there is room. Returns the new number, or -1
 * with errno as dup(2). */
int fdtable_duplicate(int fd);

/* Like fdtable_raise, for an accepted connection: moves it only when numbers have risen to FDTABLE_LOW and the server's
 * range begins at FDTABLE_FIRST, or when it has the number of standard input, output or error, which the application
 * must have closed. */
int fdtable_raise_connection(int fd);

/* Occupies all free numbers below the server's range until fdtable_release, so that a library opens its descriptors
 * above them. Call both while there is only one thread. */
struct fdtable_occupied {
    bool fds[FDTABLE_FIRST];
};
void fdtable_occupy(struct fdtable_occupied *low);
void fdtable_release(const struct fdtable_occupied *low);

#endif
