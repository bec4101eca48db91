/* Options of other servers: what a hand types that knows gunicorn, uWSGI or another one, and what to type here.
 *
 * Any thread; no allocation.
 */
#ifndef WSGI_FCGI_CLI_FOREIGN_H
#define WSGI_FCGI_CLI_FOREIGN_H

#include <stddef.h>

struct foreign_row {
    const char *words; /* as they are typed, with their dashes, between single spaces; none is an option here */
    const char *whose; /* "gunicorn's" */
    const char *here;  /* reads on behind "here" */
};

/* The whole table, for a test. */
const struct foreign_row *foreign_rows(size_t *count);

/* The row that has the word, `len` bytes with its dashes, without "=value"; or NULL. */
const struct foreign_row *foreign_find(const char *word, size_t len);

#endif
