/* Standard input, output and error, which not everybody who starts a program has open.
 *
 * Threads: the first thing that the process does.
 */
#ifndef WSGI_FCGI_PROCESS_STANDARD_FILES_H
#define WSGI_FCGI_PROCESS_STANDARD_FILES_H

/* Opens /dev/null for those that are closed: cron, init scripts, and every web server that starts FastCGI applications
 * (FastCGI 1.0, 2.2) close some, and what is opened next would be in their place, to be read and written as such. What is
 * logged, when it is standard error that was closed, is lost.
 * Returns 0; or, after one log_error line, EX_OSERR. */
int standard_files_open(void);

#endif
