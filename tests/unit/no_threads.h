/* A system that has no more threads: pthread_create fails while the default stack is larger than the address space. */
#ifndef WSGI_FCGI_TESTS_NO_THREADS_H
#define WSGI_FCGI_TESTS_NO_THREADS_H

#include <pthread.h>

#include "unit/unit.h"

static const size_t FORBIDDEN_STACK = (size_t)1 << 47;

static inline void forbid_threads(bool forbid) {
    static size_t usual_stack;
    pthread_attr_t attr;
    ck_assert_int_eq(pthread_getattr_default_np(&attr), 0);
    if (!usual_stack)
        pthread_attr_getstacksize(&attr, &usual_stack);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, forbid ? FORBIDDEN_STACK : usual_stack), 0);
    ck_assert_int_eq(pthread_setattr_default_np(&attr), 0);
    pthread_attr_destroy(&attr);
}

#endif
