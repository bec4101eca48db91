/* Crashes: what was logged before goes out first, and nobody who shows more (faulthandler) waits for whoever reads the log:
 * the thread that crashes may have the interpreter lock, and the process would stay for ever, without being served by it.
 */
#ifndef WSGI_FCGI_PROCESS_CRASH_H
#define WSGI_FCGI_PROCESS_CRASH_H

/* Puts itself in front of who handles SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT until now. These come next, or the
 * default when standard error takes nothing. Main thread, when the application is loaded. */
void crash_install(void);

#endif
