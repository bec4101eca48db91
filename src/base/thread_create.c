#include "config.h"

#include "base/thread_create.h"

int thread_create(pthread_t *thread, const sigset_t *blocked, const char *name, void *(*run)(void *), void *arg) {
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, blocked ? blocked : &all, &mask);
    int error = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!error && name)
        pthread_setname_np(*thread, name);
    return error;
}
