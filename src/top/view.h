/* What is shown of a document, as a page of text.
 *
 * Threads: one at a time.
 */
#ifndef WSGI_FCGI_TOP_VIEW_H
#define WSGI_FCGI_TOP_VIEW_H

#include "top/doc.h"
#include "top/page.h"

enum view_order { VIEW_BY_TIME, VIEW_BY_CPU, VIEW_BY_PATH, VIEW_ORDERS };

enum { VIEW_RUNNING_MOST = 1000 }; /* requests that are put in order, of those that the document has */

struct view {
    const json_t *doc;
    const json_t *before; /* an earlier one, for rates; NULL: the document's own history has to do */
    enum view_order order;
    bool stacks;     /* whole, under each request (`rows` 0), or of the selected one alone */
    int selected;    /* the number of a running request, in order; -1: none */
    unsigned rows;   /* of the terminal; 0: everything is shown */
    unsigned scroll; /* lines of the stack that are passed over */
};

/* Adds the page to `p`, which was begun. */
void view_put(struct page *p, const struct view *v);

/* Fills `sorted` with the running requests in order. Returns how many. References are borrowed. */
unsigned view_running(const struct view *v, const json_t *sorted[static VIEW_RUNNING_MOST]);

/* Which of them, in order, is the request that was begun there: -1: none. */
int view_find(const struct view *v, double pid, double thread, const char *path);

/* How an order is called. */
const char *view_order_name(enum view_order order);

#endif
