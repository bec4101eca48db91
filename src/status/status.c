#include "config.h"

#include "status/status.h"

#include "status/forms.h"

const char *status_content_type(enum status_form form) {
    switch (form) {
    case STATUS_JSON:
        return "application/json";
    case STATUS_TEXT:
    case STATUS_UNKNOWN:
        break;
    }
    return "text/plain; charset=utf-8";
}

/* What a page of another site must not do with this one: show it in a frame, read it, or take it for a script. */
#define FIELDS                                                                                                         \
    "Cache-Control: no-store\r\n"                                                                                      \
    "Vary: Accept\r\n"                                                                                                 \
    "X-Content-Type-Options: nosniff\r\n"                                                                              \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                                    \
    "Referrer-Policy: no-referrer\r\n"

const char *status_headers(enum status_form form) {
    (void)form;
    return FIELDS
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n";
}

static int render(enum status_form form, const struct snapshot *s, struct buf *out) {
    switch (form) {
    case STATUS_TEXT:
        return form_text(s, out);
    case STATUS_JSON:
        return form_json(s, out);
    case STATUS_UNKNOWN:
        break;
    }
    return form_unknown(out);
}

int status_render(enum status_form form, const struct status_source *source, struct buf *out) {
    struct snapshot *s = snapshot_take(source);
    if (!s)
        return -1;
    int result = render(form, s, out);
    snapshot_free(s);
    return result;
}
