/* Starts a thread of the server's own, which leaves signals to others: it begins with them blocked.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_BASE_THREAD_CREATE_H
#define WSGI_FCGI_BASE_THREAD_CREATE_H

#include <pthread.h>
#include <signal.h>

/* pthread_create(3) of a thread that blocks these signals, or all if `blocked` is NULL. `name` is for the system
 * (pthread_setname_np(3), 15 bytes at most); NULL: that of the caller. Those of the caller are as before. Returns 0, or an
 * errno, which thread_limit_explain knows. */
int thread_create(pthread_t *thread, const sigset_t *blocked, const char *name, void *(*run)(void *), void *arg);

#endif
