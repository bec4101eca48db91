/* What the load generators have in common. They are commands that end when they cannot go on: an error of set-up prints
 * one line and exits with a sysexits code. */
#ifndef WSGI_FCGI_BENCH_LOAD_BASE_H
#define WSGI_FCGI_BENCH_LOAD_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define SECOND ((uint64_t)1000000000)
#define MILLISECOND ((uint64_t)1000000)

/* Prints the program's name, ": ..." and a newline on standard error and exits. */
_Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like calloc, but never returns NULL. */
void *allocate(size_t count, size_t size);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t clock_now(void);

/* The number that `text`, the value of option `what`, is; exits unless it lies between `min` and `max`. */
long parse_count(const char *what, const char *text, long min, long max);

/* As many descriptors as this process may have: for thousands of connections. */
void raise_file_limit(void);

/* Resolves "/path", "@abstract", "host:port" or "[::1]:port", or exits. */
void address_parse(const char *text, struct sockaddr_storage *address, socklen_t *length);

#endif
