/* Explains why a thread cannot be started. pthread_create(3) gives EAGAIN whichever limit is reached: of the control
 * group, the user, the machine, or memory.
 */
#ifndef WSGI_FCGI_BASE_THREAD_LIMIT_H
#define WSGI_FCGI_BASE_THREAD_LIMIT_H

enum { THREAD_LIMIT_SIZE = 384 };

/* Writes which limit was reached, and where it is set, for the errno of a pthread_create(3) that has just failed. The
 * text follows "cannot start a thread: " or the like. If the limit cannot be determined, it is the text of `error`, for
 * EAGAIN with advice on where else to look. Reads a few small files of /proc and /sys. Any thread, with any lock but
 * that of the descriptors. errno is preserved. Returns `out`. */
char *thread_limit_explain(int error, char out[static THREAD_LIMIT_SIZE]);

/* The same with `root` in front of the file names; for tests. errno is not preserved. */
char *thread_limit_explain_at(const char *root, int error, char out[static THREAD_LIMIT_SIZE]);

#endif
