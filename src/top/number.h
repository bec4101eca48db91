/* Numbers as people read them, without the locale: 1.5 ms, 3 d 4 h, 12.3 MiB.
 *
 * Threads: any. Pure. Negative numbers, which stand for what is not known, become "-". Each returns `out`.
 */
#ifndef WSGI_FCGI_TOP_NUMBER_H
#define WSGI_FCGI_TOP_NUMBER_H

enum { NUMBER_SIZE = 24 };

const char *number_seconds(char out[static NUMBER_SIZE], double seconds);
const char *number_bytes(char out[static NUMBER_SIZE], double bytes);
/* 0.05, 1.5, 120, 12345 */
const char *number_plain(char out[static NUMBER_SIZE], double number);

#endif
