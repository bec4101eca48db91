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

/* From now on a child of fork(2) closes what is the server's. Call once, and before other users of pthread_atfork(3) that
 * make descriptors: what is registered first runs first in the child. Returns 0, or -1 with errno. */
int descriptors_init(void);

/* Around the making of descriptors and their adoption, between which no fork is to come. errno is left alone. */
void descriptors_lock(void);
void descriptors_unlock(void);

/* Makes `fd` the server's; -1 is passed on, with its errno. Returns the number that it has from now on, which is another one
 * (base/fdtable.h), or -1 with errno ENOMEM, and `fd` is closed. The lock is held. */
int descriptors_adopt(int fd);

/* The same for one that was accepted, which keeps its number when that is low. */
int descriptors_adopt_connection(int fd);

/* Takes note of a descriptor that belongs to a library, and has to keep its number. Returns 0, or -1 with errno ENOMEM. The
 * lock is held. */
int descriptors_note(int fd);

/* Forgets one that is closed by somebody else (a library), with the lock held. */
void descriptors_forget(int fd);

/* Closes one of the server's. In a child it does nothing: there it is closed, and the number may be of the child's own
 * files. errno is left alone. The lock is not held. */
void descriptors_close(int fd);

/* Whether it is one of the server's. The lock is not held. */
bool descriptors_is_own(int fd);

#endif
