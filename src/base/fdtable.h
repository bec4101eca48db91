/* The process's table of descriptors: how large it is.
 *
 * Threads: at the start, before there is a second one.
 */
#ifndef WSGI_FCGI_BASE_FDTABLE_H
#define WSGI_FCGI_BASE_FDTABLE_H

/* Grows the table to what `connections` and all else need, as far as the limit of open files lets it, and up to 65,536
 * descriptors, which take 528 KiB of the kernel's memory: 8 bytes and two bits each. Later each doubling would stop every
 * thread that opens something for 6 to 24 ms: the kernel waits for an RCU grace period when a process has threads.
 * A table that cannot be grown is logged at the level debug, and left as it is. */
void fdtable_prepare(unsigned connections);

#endif
