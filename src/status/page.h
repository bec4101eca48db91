/* The page of status/page.html, which the build puts into the program in pieces (embed.py): between two of them stands
 * what the server fills in.
 *
 * Open it to have another thing filled in: {{name}} in the page is PAGE_NAME here, and a row of the table in
 * form_html.c.
 */
#ifndef WSGI_FCGI_STATUS_PAGE_H
#define WSGI_FCGI_STATUS_PAGE_H

#include <stddef.h>

enum page_part {
    PAGE_APPLICATION,
    PAGE_SERVER,
    PAGE_NOTES,
    PAGE_RUNNING,
    PAGE_WORKERS,
    PAGE_HISTORY,
    PAGE_TIMES,
    PAGE_SLOWEST,
    PAGE_FREQUENT,
    PAGE_ENDS,
    PAGE_LOG,
    PAGE_TOTALS,
    PAGE_END /* nothing is filled in behind the last piece */
};

struct page_piece {
    const unsigned char *text;
    size_t len;
    enum page_part part; /* what follows it */
};

extern const struct page_piece page_pieces[]; /* up to that with PAGE_END */

/* Header fields of every form: what a page of another site must not do with it (read it, or take it for something
 * else), and that nobody keeps it. */
#define PAGE_FIELDS                                                                                                    \
    "Cache-Control: no-store\r\n"                                                                                      \
    "Vary: Accept\r\n"                                                                                                 \
    "X-Content-Type-Options: nosniff\r\n"                                                                              \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                                    \
    "Referrer-Policy: no-referrer\r\n"

/* These, with a policy by which browsers run the script of the page, and use its style, and no other: by hashes of
 * them. */
extern const char page_headers[];

#endif
