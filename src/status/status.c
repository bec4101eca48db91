#include "config.h"

#include "status/status.h"

#include "status/forms.h"
#include "status/health.h"
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
    case STATUS_HEALTH:
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
    case STATUS_HEALTH:
    case STATUS_UNKNOWN:
        break;
    }
    return form_unknown(out);
}

int status_render(enum status_form form, const struct status_source *source, struct buf *out) {
    struct snapshot *s = snapshot_take(source);
    if (!s)
        return -1;
    int code = form == STATUS_UNKNOWN ? 400 : 200;
    if (form == STATUS_HEALTH)
        code = health_put(s, out);
    else if (render(form, s, out))
        code = -1;
    snapshot_free(s);
    return code;
}

const char *status_line(int code) {
    return code == 200 ? "200 OK" : code == 503 ? "503 Service Unavailable" : "400 Bad Request";
}
