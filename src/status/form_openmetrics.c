/* For Prometheus and what reads its formats: OpenMetrics 1.0, and the text format 0.0.4, which differ in the names of
 * counters, in units, and in how they end. */
#include "config.h"

#include "status/forms.h"

#include "base/decimal_text.h"
#include "base/utf8.h"
#include "status/families.h"

#include <string.h>

struct metrics_form {
    struct family_sink sink;
    struct buf *out;
    const struct family *family;
    bool open; /* it is OpenMetrics */
    bool failed;
};

static void put_bytes(struct metrics_form *m, const char *bytes, size_t n) {
    if (!m->failed && buf_append(m->out, bytes, n))
        m->failed = true;
}

static void put(struct metrics_form *m, const char *text) {
    put_bytes(m, text, strlen(text));
}

/* What a label's value may not have is escaped, what is no UTF-8 replaced. */
static void put_escaped(struct metrics_form *m, const char *text) {
    size_t len = strlen(text);
    for (size_t i = 0, width; i < len; i += width) {
        uint32_t code;
        width = utf8_read(text + i, len - i, &code);
        if (!width || !utf8_is_plain(code)) {
            put(m, "\xef\xbf\xbd");
            width = width ? width : 1;
        } else {
            if (code == '"' || code == '\\')
                put(m, "\\");
            put_bytes(m, text + i, width);
        }
    }
}

static void put_value(struct metrics_form *m, uint64_t value, bool is_time) {
    char digits[DECIMAL_TEXT_SIZE];
    const size_t n = is_time ? decimal_text_seconds(digits, value) : decimal_text(digits, value);
    put(m, " ");
    put_bytes(m, digits, n);
    put(m, "\n");
}

static void put_name(struct metrics_form *m, const char *suffix) {
    put(m, FAMILY_PREFIX);
    put(m, m->family->name);
    put(m, suffix);
}

static void put_sample(struct family_sink *sink, const char *const labels[static FAMILY_LABELS], uint64_t value) {
    struct metrics_form *m = (struct metrics_form *)sink;
    const struct family *f = m->family;
    put_name(m, f->type == FAMILY_COUNTER ? "_total" : "");
    for (unsigned i = 0; i < FAMILY_LABELS && f->labels[i]; i++) {
        put(m, i ? "," : "{");
        put(m, f->labels[i]);
        put(m, "=\"");
        put_escaped(m, labels[i]);
        put(m, "\"");
    }
    if (f->labels[0])
        put(m, "}");
    put_value(m, value, f->unit == FAMILY_SECONDS);
}

/* Few of them: each is a series for each server. */
static const struct {
    const char *text;
    uint64_t ns;
} bounds[] = {
    {"0.0005", 500000},  {"0.001", 1000000},    {"0.0025", 2500000},   {"0.005", 5000000},
    {"0.01", 10000000},  {"0.025", 25000000},   {"0.05", 50000000},    {"0.1", 100000000},
    {"0.25", 250000000}, {"0.5", 500000000},    {"1.0", 1000000000},   {"2.5", 2500000000},
    {"5.0", 5000000000}, {"10.0", 10000000000}, {"25.0", 25000000000}, {"60.0", 60000000000},
};

static void put_histogram(struct metrics_form *m, const struct metrics_distribution *d) {
    for (unsigned i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        put_name(m, "_bucket{le=\"");
        put(m, bounds[i].text);
        put(m, "\"}");
        put_value(m, metrics_up_to(d, bounds[i].ns), false);
    }
    put_name(m, "_bucket{le=\"+Inf\"}");
    put_value(m, d->count, false);
    put_name(m, "_sum");
    put_value(m, d->sum, true);
    put_name(m, "_count");
    put_value(m, d->count, false);
}

/* A line about a family. What the newer format knows as a name alone, the older one knows with what samples add to it.
 */
static void put_about(struct metrics_form *m, const char *what, const char *text) {
    put(m, what);
    if (m->open && m->family->type == FAMILY_INFO)
        put_bytes(m, FAMILY_PREFIX, sizeof FAMILY_PREFIX - 2); /* whose samples have "_info" behind it */
    else
        put_name(m, m->family->type == FAMILY_COUNTER && !m->open ? "_total" : "");
    put(m, " ");
    put(m, text);
    put(m, "\n");
}

static void put_family(struct metrics_form *m, const struct snapshot *s, const struct family *f) {
    static const char *const types[] = {"info", "gauge", "counter", "histogram"};
    static const char *const units[] = {"", "seconds", "bytes"};
    m->family = f;
    put_about(m, "# TYPE ", types[f->type == FAMILY_INFO && !m->open ? FAMILY_GAUGE : f->type]);
    if (m->open && f->unit != FAMILY_NO_UNIT)
        put_about(m, "# UNIT ", units[f->unit]);
    put_about(m, "# HELP ", f->help);
    if (f->type == FAMILY_HISTOGRAM)
        put_histogram(m, &s->sums.durations[f->which]);
    else
        f->give(s, f, &m->sink);
}

int form_openmetrics(const struct snapshot *s, bool open, struct buf *out) {
    struct metrics_form m = {.sink = {put_sample}, .out = out, .open = open};
    for (unsigned i = 0; i < family_count; i++) {
        if (family_is_known(s, &families[i]))
            put_family(&m, s, &families[i]);
    }
    if (open)
        put(&m, "# EOF\n");
    return m.failed ? -1 : 0;
}
