/* Numbers and text of others as people read them, for the forms that are for people. The script of page.html writes
 * them alike.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Nothing follows the locale.
 */
#ifndef WSGI_FCGI_STATUS_WORDS_H
#define WSGI_FCGI_STATUS_WORDS_H

#include <stdint.h>

enum { WORDS_SIZE = 48 };

/* How long something has lasted: "12.3 s", "4 min 05 s", "3 h 07 min", "12 d 3 h". Each returns `out`. */
const char *words_span(char out[static WORDS_SIZE], uint64_t ns);

/* How long something takes: "850 us", "1.2 ms", "340 ms", "2.50 s". */
const char *words_duration(char out[static WORDS_SIZE], uint64_t ns);

/* A time of day in UTC: "13:05:59". */
const char *words_moment(char out[static WORDS_SIZE], uint64_t unix_ns);

/* So many in ten, as a decimal: 125 is "12.5". */
const char *words_tenths(char out[static WORDS_SIZE], uint64_t tenths);

/* How old what began then is at `now`; "-" if it has not begun. */
const char *words_age(char out[static WORDS_SIZE], uint64_t now, uint64_t then);

#endif
