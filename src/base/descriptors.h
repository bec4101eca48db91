/* The list of the server's own descriptors. No fork sees one that is open and not on the list. Use it wherever the
 * server opens or closes a descriptor.
 *
 * A child process that the application forks closes all of them before anything else runs in it. If it kept a
 * connection, the peer would not see the end; if it kept a listening socket, clients would connect to nobody. Executed
 * programs get none of them: every descriptor is made close-on-exec.
 *
 * Threads: any, with or without the GIL. A fork waits for the lock, and holds it in turn, so do nothing but make
 * descriptors between descriptors_lock and descriptors_unlock.
 */
#ifndef WSGI_FCGI_BASE_DESCRIPTORS_H
#define WSGI_FCGI_BASE_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on a child of fork(2) closes the server's descriptors. Call it once, before any other user of
 * pthread_atfork(3) that makes descriptors: in the child, handlers run in the order of registration. Returns 0, or -1
 * with errno. */
int descriptors_init(void);

/* This child was forked by the server itself, to be another process of it: its list begins anew, with nothing on it.
 * What the parent has taken off its own before the fork (descriptors_forget) is still open. Its only thread. */
void descriptors_restart(void);

/* Hold this lock while a descriptor is made and adopted, so that no fork comes in between. errno is preserved. */
void descriptors_lock(void);
void descriptors_unlock(void);

/* Makes `fd` the server's own. Returns its number from now on, which is usually another one (base/fdtable.h); or -1
 * with errno ENOMEM, and `fd` is closed. When `fd` is -1, returns -1 and keeps errno. If the number is already the
 * server's, its old descriptor was lost (descriptors_lost). Call with the lock held. */
int descriptors_adopt(int fd);

/* The same for an accepted connection, which keeps its number if that is low. */
int descriptors_adopt_connection(int fd);

/* Registers a descriptor that belongs to a library and must keep its number. Returns 0, or -1 with errno ENOMEM. Call
 * with the lock held. */
int descriptors_note(int fd);

/* Unregisters a descriptor that somebody else (a library) closes. Call with the lock held. */
void descriptors_forget(int fd);

/* Closes one of the server's descriptors. Does nothing in a forked child: there it is closed already, and the number
 * may belong to one of the child's own files. errno is preserved.
 *
 * Call without the lock. It is taken during close(2), so that a fork sees the descriptor either open and registered, or
 * neither. Empty first what is slow to close, such as a file whose space must be freed. */
void descriptors_close(int fd);

/* Whether it is one of the server's descriptors. Call without the lock. */
bool descriptors_is_own(int fd);

/* From now on, if something else closes one of the server's descriptors, the process ends. `leave` is called first, on
 * any thread and perhaps with the lock held, to remove what the process would leave behind. It must not take the lock
 * or need the GIL: another thread may hold them. NULL: from now on nothing is done about it. Main thread. */
void descriptors_on_loss(void (*leave)(void));

/* Adds to the log line about a lost descriptor: `describe` writes the end of the line, at most `size` bytes including
 * the terminating zero. It runs on any thread, under the same conditions as `leave`. NULL: adds nothing. `describe` and
 * `arg` are used until the next call. Main thread. */
void descriptors_describe(void (*describe)(void *arg, char *out, size_t size), void *arg);

/* Lets descriptors_check look at a descriptor that stays open, called `what` in the log, until descriptors_close or
 * descriptors_forget. At most DESCRIPTORS_GUARDED are guarded; further ones are not checked. Call without the lock. */
enum { DESCRIPTORS_GUARDED = 64 };
void descriptors_guard(int fd, const char *what);

/* Checks that the guarded descriptors are still what they were, with one system call each; one that is not was lost.
 * Descriptors to which the kernel gives the same inode (eventfd, epoll, timerfd) cannot be told apart. Call without the
 * lock. */
void descriptors_check(void);

/* Something else has closed `what` (`fd`: its number, or -1 if unknown). Logs this, once, and ends the process with
 * status EX_IOERR of sysexits.h. Returns only when nobody watches: in a child, before descriptors_on_loss, and after
 * descriptors_on_loss(NULL). Any thread, with or without the lock. */
void descriptors_lost(int fd, const char *what);

#endif
