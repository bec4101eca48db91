/* Which descriptors are the server's own, from before they are made until after they are closed.
 *
 * A process that the application forks closes all of them before anything else runs in it: as long as it held a connection
 * its peer would not see the end, and as long as it held a listening socket clients would connect to nobody. Programs that
 * are executed get none: every descriptor is made close-on-exec.
 *
 * Threads: any; the GIL is not needed, and may be held. A fork waits for who has the lock, and the other way round, so that
 * nothing but what makes descriptors stands between descriptors_lock and descriptors_unlock.
 */
#ifndef WSGI_FCGI_BASE_DESCRIPTORS_H
#define WSGI_FCGI_BASE_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on a child of fork(2) closes what is the server's. Call once, and before other users of pthread_atfork(3) that
 * make descriptors: what is registered first runs first in the child. Returns 0, or -1 with errno. */
int descriptors_init(void);

/* Around the making of descriptors and their adoption, between which no fork is to come. errno is left alone. */
void descriptors_lock(void);
void descriptors_unlock(void);

/* Makes `fd` the server's; -1 is passed on, with its errno. Returns the number that it has from now on, which is another one
 * (base/fdtable.h), or -1 with errno ENOMEM, and `fd` is closed. A number that is the server's already is one that was lost
 * (descriptors_lost). The lock is held. */
int descriptors_adopt(int fd);

/* The same for one that was accepted, which keeps its number when that is low. */
int descriptors_adopt_connection(int fd);

/* Takes note of a descriptor that belongs to a library, and has to keep its number. Returns 0, or -1 with errno ENOMEM. The
 * lock is held. */
int descriptors_note(int fd);

/* Forgets one that is closed by somebody else (a library), with the lock held. */
void descriptors_forget(int fd);

/* Closes one of the server's. In a child it does nothing: there it is closed, and the number may be of the child's own
 * files. errno is left alone. The lock is not held, and taken meanwhile, so that a fork finds it open and noted or neither:
 * what takes long to close, a file whose space is to be freed, is emptied before. */
void descriptors_close(int fd);

/* Whether it is one of the server's. The lock is not held. */
bool descriptors_is_own(int fd);

/* From now on a descriptor that something else has closed ends the process: `leave` is called, on any thread and maybe with
 * the lock held, and removes what the process would leave behind. It must not take the lock, nor need the GIL, which somebody
 * else may have. NULL: from now on it is left alone. Main thread. */
void descriptors_on_loss(void (*leave)(void));

/* What the line about a lost descriptor ends with: `describe` writes at most `size` bytes, with a zero at the end, on any
 * thread and under the same conditions as `leave`. NULL: nothing. It and `arg` are used until then. Main thread. */
void descriptors_describe(void (*describe)(void *arg, char *out, size_t size), void *arg);

/* Lets descriptors_check look at one of the server's that stays open, called `what` in the log, until descriptors_close or
 * descriptors_forget. At most DESCRIPTORS_GUARDED, others are not looked at. The lock is not held. */
enum { DESCRIPTORS_GUARDED = 64 };
void descriptors_guard(int fd, const char *what);

/* Looks whether those that are guarded are still what they were: a system call each. One that is not is lost. What the
 * kernel gives the same inode (eventfd, epoll, timerfd) cannot be told apart. The lock is not held. */
void descriptors_check(void);

/* Something else has closed `what` (-1: nobody knows its number): logs it, once, and ends the process with the status
 * EX_IOERR of sysexits.h. Returns only where nobody watches: in a child, before descriptors_on_loss, and after it was called
 * with NULL. Any thread; the lock is held or not. */
void descriptors_lost(int fd, const char *what);

#endif
