/* Probes for bpftrace, perf and SystemTap (sys/sdt.h), of the provider wsgi_fcgi. While nobody looks, each is one nop;
 * what it would show is where it is anyway, in registers and fields. man/wsgi-fcgi.8, PROBES, says what the arguments
 * of each are; tests/check-probes compares that with the program.
 *
 * Pass what costs nothing: fields and addresses, nothing that is computed, and no call. Text is an address and a
 * length. Times are clock_ns, which is the nsecs of bpftrace. Six arguments at most: bpftrace takes no more.
 *
 * Threads: any. Async-signal-safe.
 */
#ifndef WSGI_FCGI_BASE_PROBES_H
#define WSGI_FCGI_BASE_PROBES_H

#if WSGI_FCGI_PROBES
#include <sys/sdt.h>
/* clang tells of macros of that header where they are used, which is no system header. */
#if defined __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define PROBE3(name, ...) DTRACE_PROBE3(wsgi_fcgi, name, __VA_ARGS__)
#define PROBE4(name, ...) DTRACE_PROBE4(wsgi_fcgi, name, __VA_ARGS__)
#define PROBE5(name, ...) DTRACE_PROBE5(wsgi_fcgi, name, __VA_ARGS__)
#define PROBE6(name, ...) DTRACE_PROBE6(wsgi_fcgi, name, __VA_ARGS__)
#else
#define PROBE3(name, ...) ((void)0)
#define PROBE4(name, ...) ((void)0)
#define PROBE5(name, ...) ((void)0)
#define PROBE6(name, ...) ((void)0)
#endif

#endif
