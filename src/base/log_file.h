/* Lets standard error go to a file, and so the log and whatever else is written there (--log-file).
 *
 * The file takes the place of descriptor 2 in one step, so no thread that writes meanwhile, nor the writer of the log
 * (base/log_writer.h), has to know of it.
 */
#ifndef WSGI_FCGI_BASE_LOG_FILE_H
#define WSGI_FCGI_BASE_LOG_FILE_H

#include <sys/types.h>

/* Opens the file for appending, makes it with mode 0640 if it is not there, and puts it in the place of standard error.
 * What is made belongs to `uid` and `gid`; -1: to this process. As root it follows links as trusted_open does. Chooses
 * the form of lines anew (log_init). A relative `path` depends on the current directory, also later; it is copied.
 * Returns 0; or -1 with errno, and standard error stays. Main thread, while there is only one. */
int log_file_open(const char *path, uid_t uid, gid_t gid);

/* Opens a file for a log like that one, but puts it nowhere. Opening does not wait for the reader of a pipe (mkfifo),
 * which is an error instead; writing does. Returns a descriptor, close-on-exec; or -1 with errno. Any thread. */
int log_file_make(const char *path, uid_t uid, gid_t gid);

/* Standard error is that file already: the process that has started this one has opened it. Returns 0, or -1 with errno
 * ENAMETOOLONG. Main thread, while there is only one. */
int log_file_inherit(const char *path);

/* Opens the same path anew, since the file may have got another name (log rotation), and writes to that file from now
 * on. Returns 0; or -1 with errno, and the old one stays: ENOENT too if there never was one. Any thread, one at a
 * time; waits for the file system. */
int log_file_reopen(void);

/* Writes to the file `fd` from now on, which another process has opened; that descriptor stays the caller's. Returns as
 * log_file_reopen. */
int log_file_take(int fd);

/* The path of log_file_open, or NULL if standard error is what it was at the start. Any thread. */
const char *log_file_path(void);

#endif
