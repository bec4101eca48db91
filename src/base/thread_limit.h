/* Why no thread can be started. pthread_create(3) says EAGAIN whichever limit is reached: of the control group, of the user,
 * of the machine, or of memory. */
#ifndef WSGI_FCGI_BASE_THREAD_LIMIT_H
#define WSGI_FCGI_BASE_THREAD_LIMIT_H

enum { THREAD_LIMIT_SIZE = 384 };

/* Writes which limit that is, and where it is set, for the errno of a pthread_create(3) that has just failed; goes on reading
 * as "cannot start a thread: ". What cannot be told apart is the text of `error`. Reads a few small files of /proc and /sys.
 * Any thread, with any lock but that of the descriptors; errno is preserved. Returns `out`. */
char *thread_limit_explain(int error, char out[static THREAD_LIMIT_SIZE]);

/* The same with `root` in front of the files' names; for tests. */
char *thread_limit_explain_at(const char *root, int error, char out[static THREAD_LIMIT_SIZE]);

#endif
