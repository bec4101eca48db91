#include "config.h"

#include "traces/settings.h"

#include "base/ascii.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTER "OTEL_EXPORTER_OTLP_"
#define DEFAULT_URL "http://localhost:4318"
#define PATH "/v1/traces"

enum { TIMEOUT_MS = 10000, DELAY_MS = 5000, MILLISECONDS_MAX = 3600000 };

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL; /* an empty one counts as one that is not set */
}

/* The variable for traces, or the one for all signals; *name becomes which. */
static const char *exporter(const char *what, char name[static 64]) {
    snprintf(name, 64, EXPORTER "TRACES_%s", what);
    if (variable(name))
        return variable(name);
    snprintf(name, 64, EXPORTER "%s", what);
    return variable(name);
}

static int complain(char *reason, const char *name, const char *what) {
    snprintf(reason, TRACE_REASON_SIZE, "%s %s", name, what);
    return -1;
}

/* Behind the scheme; NULL: it is no URL of ours. */
static const char *behind_scheme(const char *url) {
    if (!strncmp(url, "http://", 7))
        return url + 7;
    return strncmp(url, "https://", 8) != 0 ? NULL : url + 8;
}

const char *trace_settings_complaint(const char *otlp) {
    const char *host = behind_scheme(otlp);
    if (!strcmp(otlp, "env"))
        return NULL;
    if (!host || !host[0] || host[0] == '/')
        return "is not a URL such as http://localhost:4318, nor env";
    if (strlen(otlp) > TRACE_URL_SIZE - sizeof PATH)
        return "is too long";
    for (const char *p = otlp; *p; p++)
        if (*p <= ' ' || *p > '~')
            return "is not a URL: it has a blank, a control or a character beyond ASCII in it";
    if (memchr(host, '@', strcspn(host, "/?#")))
        return "has a name or a password in it, which others would see: give these by " EXPORTER "HEADERS";
    return NULL;
}

/* `base`: the path of traces comes behind it (OTLP Exporter Configuration, "Endpoint URLs for OTLP/HTTP"). */
static void set_url(struct trace_settings *out, const char *url, bool base) {
    size_t n = strlen(url);
    const char *slash = n && url[n - 1] == '/' ? &PATH[1] : PATH;
    snprintf(out->url, sizeof out->url, "%s%s", url, base ? slash : "");
}

static int read_url(struct trace_settings *out, const char *otlp, char *reason) {
    const char *traces = variable(EXPORTER "TRACES_ENDPOINT"), *all = variable(EXPORTER "ENDPOINT");
    const char *url = traces ? traces : all ? all : DEFAULT_URL;
    if (strcmp(otlp, "env") != 0) {
        const char *host = behind_scheme(otlp), *path = strchr(host, '/');
        set_url(out, otlp, !path || !path[1]);
        return 0;
    }
    const char *complaint = strcmp(url, "env") != 0 ? trace_settings_complaint(url) : "is not a URL";
    if (complaint)
        return complain(reason, traces ? EXPORTER "TRACES_ENDPOINT" : EXPORTER "ENDPOINT", complaint);
    set_url(out, url, !traces);
    return 0;
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Values are percent-encoded, as in W3C Baggage. Returns whether there is room, and no control in it. */
static bool decode(char *out, size_t size, const char *text, size_t n) {
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '%' && i + 2 < n && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
            c = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
            i += 2;
        }
        if (to + 1 >= size || (unsigned char)c < ' ' || c == 0x7f)
            return false;
        out[to++] = c;
    }
    out[to] = '\0';
    return true;
}

static void trim(const char **text, size_t *n) {
    while (*n && (**text == ' ' || **text == '\t'))
        ++*text, --*n;
    while (*n && ((*text)[*n - 1] == ' ' || (*text)[*n - 1] == '\t'))
        --*n;
}

/* Sets a pair, in place of one of that name. */
static int set_pair(struct trace_pair *pairs, size_t *count, const char *name, size_t nname, const char *value,
                    size_t nvalue) {
    struct trace_pair pair;
    size_t i = 0;
    if (!nname || !decode(pair.name, sizeof pair.name, name, nname) ||
        !decode(pair.value, sizeof pair.value, value, nvalue))
        return -1;
    while (i < *count && strcmp(pairs[i].name, pair.name) != 0)
        i++;
    if (i == TRACE_PAIRS)
        return -1;
    pairs[i] = pair;
    *count += i == *count;
    return 0;
}

/* "name=value,name=value" */
static int read_pairs(struct trace_pair *pairs, size_t *count, const char *text) {
    for (const char *end; *text; text = end + (*end == ',')) {
        end = strchrnul(text, ',');
        const char *equals = memchr(text, '=', (size_t)(end - text)), *name = text;
        size_t nname = (size_t)((equals ? equals : end) - text), nvalue;
        trim(&name, &nname);
        if (!nname && !equals)
            continue;
        if (!equals)
            return -1;
        const char *value = equals + 1;
        nvalue = (size_t)(end - value);
        trim(&value, &nvalue);
        if (set_pair(pairs, count, name, nname, value, nvalue))
            return -1;
    }
    return 0;
}

/* The name of a field ends at the colon that curl is given. */
static bool are_fields(const struct trace_pair *pairs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strpbrk(pairs[i].name, ": \t"))
            return false;
    return true;
}

static int read_milliseconds(const char *text, uint64_t *out) {
    uint64_t n = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > MILLISECONDS_MAX)
            return -1;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *out = n;
    return n && n <= MILLISECONDS_MAX ? 0 : -1;
}

/* A number from 0 to 1, whatever the locale says. */
static int read_ratio(const char *text, double *out) {
    double value = 0, digit = 1;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && value < 10; p++)
        value = value * 10 + (*p - '0');
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++)
            value += (*p - '0') * (digit /= 10);
    *out = value;
    return p == text || *p || value > 1 ? -1 : 0;
}

static int read_sampler(struct trace_settings *out, char *reason) {
    static const struct {
        const char *name;
        bool parent, ratio;
        uint64_t bound;
    } samplers[] = {{"parentbased_always_on", true, false, UINT64_MAX},
                    {"parentbased_always_off", true, false, 0},
                    {"parentbased_traceidratio", true, true, 0},
                    {"always_on", false, false, UINT64_MAX},
                    {"always_off", false, false, 0},
                    {"traceidratio", false, true, 0}};
    const char *name = variable("OTEL_TRACES_SAMPLER"), *arg = variable("OTEL_TRACES_SAMPLER_ARG");
    double ratio = 1;
    size_t i = 0;
    while (name && i < sizeof samplers / sizeof *samplers && strcmp(samplers[i].name, name) != 0)
        i++;
    if (i == sizeof samplers / sizeof *samplers)
        return complain(reason, "OTEL_TRACES_SAMPLER",
                        "is none of always_on, always_off, traceidratio and parentbased_ with one of these");
    if (samplers[i].ratio && arg && read_ratio(arg, &ratio))
        return complain(reason, "OTEL_TRACES_SAMPLER_ARG", "is not a number from 0 to 1");
    out->asks_parent = samplers[i].parent;
    out->bound = samplers[i].bound;
    if (samplers[i].ratio)
        out->bound = ratio >= 1 ? UINT64_MAX : (uint64_t)(ratio * 18446744073709551616.0);
    return 0;
}

static int read_resource(struct trace_settings *out, char *reason) {
    const char *attributes = variable("OTEL_RESOURCE_ATTRIBUTES"), *name = variable("OTEL_SERVICE_NAME");
    static const char key[] = "service.name", unknown[] = "unknown_service:wsgi-fcgi";
    (void)set_pair(out->attributes, &out->nattributes, key, sizeof key - 1, unknown, sizeof unknown - 1);
    if (attributes && read_pairs(out->attributes, &out->nattributes, attributes))
        return complain(reason, "OTEL_RESOURCE_ATTRIBUTES", "is not NAME=VALUE,NAME=VALUE, or has too many of them");
    if (!name)
        return 0;
    snprintf(out->attributes[0].value, sizeof out->attributes[0].value, "%s", name);
    return 0;
}

static int read_exporter(struct trace_settings *out, char *reason) {
    char name[64];
    const char *value = exporter("PROTOCOL", name);
    /* Collectors take JSON wherever they take protobuf over HTTP: who asks for that is served as well. */
    if (value && strcmp(value, "http/json") != 0 && strcmp(value, "http/protobuf") != 0)
        return complain(reason, name,
                        "is not http/json or http/protobuf, which are one to the collector: there is no gRPC");
    value = exporter("HEADERS", name);
    if (value && (read_pairs(out->headers, &out->nheaders, value) || !are_fields(out->headers, out->nheaders)))
        return complain(reason, name, "is not NAME=VALUE,NAME=VALUE, or has too many of them");
    value = exporter("TIMEOUT", name);
    if (value && read_milliseconds(value, &out->timeout_ms))
        return complain(reason, name, "is not a number of milliseconds");
    value = exporter("CERTIFICATE", name);
    if (value)
        snprintf(out->certificate, sizeof out->certificate, "%s", value);
    value = exporter("COMPRESSION", name);
    if (value && strcmp(value, "none") != 0)
        snprintf(out->warning, sizeof out->warning,
                 "%s has no effect but for the application: spans of the server are sent as they are", name);
    value = variable("OTEL_BSP_SCHEDULE_DELAY");
    if (value && read_milliseconds(value, &out->delay_ms))
        return complain(reason, "OTEL_BSP_SCHEDULE_DELAY", "is not a number of milliseconds");
    return 0;
}

int trace_settings_read(struct trace_settings *out, const char *otlp, char reason[static TRACE_REASON_SIZE]) {
    const char *disabled = variable("OTEL_SDK_DISABLED");
    *out = (struct trace_settings){.timeout_ms = TIMEOUT_MS, .delay_ms = DELAY_MS};
    out->disabled = disabled && ascii_str_equals_nocase(disabled, "true");
    return read_url(out, otlp, reason) || read_exporter(out, reason) || read_sampler(out, reason) ||
                   read_resource(out, reason)
               ? -1
               : 0;
}

bool trace_settings_sample(const struct trace_settings *s, const struct trace_context *parent,
                           const uint8_t trace[static TRACE_ID_SIZE]) {
    uint64_t end = 0;
    if (parent && s->asks_parent)
        return parent->flags & TRACE_SAMPLED;
    for (size_t i = 8; i < TRACE_ID_SIZE; i++)
        end = end << 8 | trace[i];
    return s->bound == UINT64_MAX || end < s->bound;
}
