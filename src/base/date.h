/* Days as dates of the Gregorian calendar, as UTC has them: without the time zones and locks of gmtime(3).
 *
 * Threads: any. Pure. Async-signal-safe.
 */
#ifndef WSGI_FCGI_BASE_DATE_H
#define WSGI_FCGI_BASE_DATE_H

#include <stdint.h>

struct date {
    unsigned year, month, day; /* month and day from 1 */
};

/* Days since the beginning of 1970. They are counted in periods of 400 years, which have 146,097 days, and in years that
 * begin with March, so that a leap day is the last one. */
static inline struct date date_of(uint64_t days) {
    const uint64_t since_0000 = days + 719468, period = since_0000 / 146097, day = since_0000 - period * 146097,
                   year = (day - day / 1460 + day / 36524 - day / 146096) / 365,
                   of_year = day - (365 * year + year / 4 - year / 100), march = (5 * of_year + 2) / 153;
    const unsigned month = (unsigned)(march < 10 ? march + 3 : march - 9);
    return (struct date){
        .year = (unsigned)(year + period * 400 + (month <= 2)),
        .month = month,
        .day = (unsigned)(of_year - (153 * march + 2) / 5 + 1),
    };
}

#endif
