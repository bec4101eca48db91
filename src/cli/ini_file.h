/* The lines of an INI file, told apart by libinih: sections, keys and comments.
 *
 * libinih has lines of 200 bytes, and takes a value to end where " ;" is in it. So it gets no values: they are taken from
 * the line as they are, however long, but for blanks at either end. Blanks at the beginning of a line mean nothing: no
 * value goes on in the next one.
 *
 * Threads: any. No allocation of its own.
 */
#ifndef WSGI_FCGI_CLI_INI_FILE_H
#define WSGI_FCGI_CLI_INI_FILE_H

#include <stddef.h>

enum ini_kind {
    INI_SECTION, /* [NAME] */
    INI_KEY,     /* NAME = VALUE, or NAME: VALUE */
    INI_WRONG,   /* neither */
};

struct ini_line {
    enum ini_kind kind;
    unsigned number;   /* from 1 on */
    const char *name;  /* ends in a null byte; INI_WRONG: what is wrong, to follow the line in a message */
    const char *value; /* of INI_KEY; of INI_WRONG the whole line; no null byte behind it */
    size_t len;        /* of the value */
};

/* Called for each line that is neither empty nor a comment, in their order. What it is given is valid until it returns.
 * Returns 0 to go on. */
typedef int ini_line_cb(const struct ini_line *line, void *user);

/* Returns 0, or what the callback has returned that was not 0: then it is not called any more. */
int ini_file_read(const char *bytes, size_t len, ini_line_cb *cb, void *user);

#endif
