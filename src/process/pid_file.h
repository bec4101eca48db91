/* The file of --pidfile: the number of the process that a signal has to go to, for those who start servers by scripts.
 *
 * Who has the lock of the file (flock(2)) is the server; the number in it only tells who that is. So a file that was
 * left behind is taken over, whatever process has its number by now, and a second server is refused. The lock belongs
 * to the open file: it stays while the process executes another program that the descriptor is left to.
 *
 * Threads: the main thread, but for pid_file_remove.
 */
#ifndef WSGI_FCGI_PROCESS_PID_FILE_H
#define WSGI_FCGI_PROCESS_PID_FILE_H

/* Opens the file, locks it and writes the number of this process to it. `path` is absolute, and copied; `source` begins
 * lines about it, for example "--pidfile". As root it follows links as trusted_open does (base/trusted_open.h). One that
 * the process has already is removed when the new one is there; the same path stays as it is. Returns 0; or a sysexits
 * status after printing, and the old one stays: EX_UNAVAILABLE when another process has the lock, EX_CANTCREAT when the
 * file cannot be had. */
int pid_file_open(const char *path, const char *source);

/* Removes it (pid_file_remove) and gives up the lock. */
void pid_file_close(void);

/* This process has had the file open, and locked, before it executed this program: `fd` is one of the server's
 * descriptors already. Returns 0, or -1 with errno when that is not so; the descriptor is closed then. */
int pid_file_resume(int fd, const char *path);

/* The descriptor, -1 if there is none, and the path. */
int pid_file_fd(void);
const char *pid_file_path(void);

/* Removes the file, if this process has made it, and gives up the lock when it ends. Where it may not remove it, it leaves
 * it empty; and as it is, if root has opened it and the process is another user now. Any thread, and in signal
 * handlers. */
void pid_file_remove(void);

#endif
