/* The forms of what the server shows of itself, each from one snapshot (status/status.h).
 *
 * Each appends to `out`. Returns 0, or -1 with errno ENOMEM.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_STATUS_FORMS_H
#define WSGI_FCGI_STATUS_FORMS_H

#include "base/buf.h"
#include "status/snapshot.h"

int form_json(const struct snapshot *s, struct buf *out);
int form_html(const struct snapshot *s, struct buf *out);
int form_openmetrics(const struct snapshot *s, bool open, struct buf *out); /* open: else the older format, 0.0.4 */
int form_text(const struct snapshot *s, struct buf *out);

/* Which forms there are, for somebody who has asked for another. */
int form_unknown(struct buf *out);

#endif
