/* Makes sure that standard input, output and error are open.
 *
 * Threads: the main thread, right after log_init and before anything is opened.
 */
#ifndef WSGI_FCGI_PROCESS_STANDARD_FILES_H
#define WSGI_FCGI_PROCESS_STANDARD_FILES_H

/* Opens /dev/null for those that are closed. cron, init scripts, and every web server that starts FastCGI applications
 * (FastCGI 1.0, 2.2) close some of them. Whatever was opened next would take their place, and be read and written as if
 * it were one of them. If standard error was closed, what is logged is lost. Returns 0; or, after one log_error line,
 * EX_OSERR. */
int standard_files_open(void);

#endif
