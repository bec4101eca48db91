#include "config.h"

#include "status/status.h"

#include "status/forms.h"
#include "status/page.h"

const char *status_content_type(enum status_form form) {
    switch (form) {
    case STATUS_JSON:
        return "application/json";
    case STATUS_HTML:
        return "text/html; charset=utf-8";
    case STATUS_OPENMETRICS:
        return "application/openmetrics-text; version=1.0.0; charset=utf-8";
    case STATUS_PROMETHEUS:
        return "text/plain; version=0.0.4; charset=utf-8";
    case STATUS_TEXT:
    case STATUS_UNKNOWN:
        break;
    }
    return "text/plain; charset=utf-8";
}

const char *status_headers(enum status_form form) {
    return form == STATUS_HTML ? page_headers
                               : PAGE_FIELDS "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
}

static int render(enum status_form form, const struct snapshot *s, struct buf *out) {
    switch (form) {
    case STATUS_TEXT:
        return form_text(s, out);
    case STATUS_JSON:
        return form_json(s, out);
    case STATUS_HTML:
        return form_html(s, out);
    case STATUS_OPENMETRICS:
        return form_openmetrics(s, true, out);
    case STATUS_PROMETHEUS:
        return form_openmetrics(s, false, out);
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
