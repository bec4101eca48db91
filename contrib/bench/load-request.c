#include "config.h"

#include "load-request.h"

#include <fastcgi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_MAX = 65528 }; /* the longest content that needs no padding */

/* Appending is sticky about its failure: build all, look at `failed` once. */
struct writer {
    struct blob blob;
    size_t size;
    bool failed;
};

static void append(struct writer *w, const void *p, size_t n) {
    if (w->size - w->blob.len < n) {
        size_t size = (w->blob.len + n) * 2;
        char *data = realloc(w->blob.data, size);
        if (!data) {
            w->failed = true;
            return;
        }
        w->blob.data = data;
        w->size = size;
    }
    if (n)
        memcpy(w->blob.data + w->blob.len, p, n);
    w->blob.len += n;
}

static void append_length(struct writer *w, size_t n) {
    unsigned char wide[4] = {(unsigned char)(0x80 | n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
                             (unsigned char)n};
    if (n < 128)
        append(w, &wide[3], 1);
    else
        append(w, wide, sizeof wide);
}

static void append_param(struct writer *w, const char *name, const char *value) {
    append_length(w, strlen(name));
    append_length(w, strlen(value));
    append(w, name, strlen(name));
    append(w, value, strlen(value));
}

static void append_record(struct writer *w, int type, unsigned id, const void *content, size_t n) {
    static const char zeros[8];
    unsigned char padding = (unsigned char)(-n & 7);
    FCGI_Header h = {
        .version = FCGI_VERSION_1,
        .type = (unsigned char)type,
        .requestIdB1 = (unsigned char)(id >> 8),
        .requestIdB0 = (unsigned char)id,
        .contentLengthB1 = (unsigned char)(n >> 8),
        .contentLengthB0 = (unsigned char)n,
        .paddingLength = padding,
    };
    append(w, &h, sizeof h);
    append(w, content, n);
    append(w, zeros, padding);
}

static void append_stream(struct writer *w, int type, unsigned id, const char *data, size_t n) {
    while (n) {
        size_t part = n < RECORD_MAX ? n : RECORD_MAX;
        append_record(w, type, id, data, part);
        data += part;
        n -= part;
    }
    append_record(w, type, id, NULL, 0);
}

/* What nginx with its stock fastcgi_params sends for a browser's request, but with PATH_INFO set and SCRIPT_NAME empty,
 * as not every peer puts stock paths right. */
static void append_params(struct writer *w, const struct request_spec *spec, const char *target) {
    char length[32] = "";
    if (spec->body)
        snprintf(length, sizeof length, "%zu", spec->body);
    const char *const pairs[][2] = {
        {"QUERY_STRING", spec->query},
        {"REQUEST_METHOD", spec->body ? "POST" : "GET"},
        {"CONTENT_TYPE", spec->body ? "application/octet-stream" : ""},
        {"CONTENT_LENGTH", length},
        {"SCRIPT_NAME", ""},
        {"PATH_INFO", spec->uri},
        {"REQUEST_URI", target},
        {"DOCUMENT_URI", spec->uri},
        {"DOCUMENT_ROOT", "/usr/share/nginx/html"},
        {"SERVER_PROTOCOL", "HTTP/1.1"},
        {"REQUEST_SCHEME", "http"},
        {"GATEWAY_INTERFACE", "CGI/1.1"},
        {"SERVER_SOFTWARE", "nginx/1.22.1"},
        {"REMOTE_ADDR", "127.0.0.1"},
        {"REMOTE_PORT", "51234"},
        {"SERVER_ADDR", "127.0.0.1"},
        {"SERVER_PORT", "80"},
        {"SERVER_NAME", "localhost"},
        {"REDIRECT_STATUS", "200"},
        {"HTTP_HOST", "localhost"},
        {"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
        {"HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
        {"HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"},
        {"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"},
        {"HTTP_CONNECTION", "keep-alive"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        append_param(w, pairs[i][0], pairs[i][1]);
}

static void append_fcgi_request(struct writer *w, const struct request_spec *spec, const struct blob *params,
                                const char *body, unsigned id) {
    FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER, .flags = spec->keep ? FCGI_KEEP_CONN : 0};
    append_record(w, FCGI_BEGIN_REQUEST, id, &begin, sizeof begin);
    append_stream(w, FCGI_PARAMS, id, params->data, params->len);
    append_stream(w, FCGI_STDIN, id, body, spec->body);
}

static void append_http_request(struct writer *w, const struct request_spec *spec, const char *target,
                                const char *body) {
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", spec->body);
    const char *const parts[] = {
        spec->body ? "POST " : "GET ",
        target,
        " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fcgi-load\r\nAccept: */*\r\n",
        spec->body ? length : "",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        append(w, parts[i], strlen(parts[i]));
    append(w, body, spec->body);
}

struct blob *request_build(const struct request_spec *spec, unsigned count) {
    struct writer params = {0};
    bool failed = true;
    char *target = NULL;
    char *body = malloc(spec->body + 1);
    struct blob *all = calloc(count, sizeof *all);
    if (!body || !all || asprintf(&target, "%s%s%s", spec->uri, *spec->query ? "?" : "", spec->query) < 0)
        goto out;
    memset(body, 'x', spec->body);
    append_params(&params, spec, target);
    failed = params.failed;
    for (unsigned i = 0; i < count && !failed; i++) {
        struct writer w = {0};
        if (spec->http)
            append_http_request(&w, spec, target, body);
        else
            append_fcgi_request(&w, spec, &params.blob, body, i + 1);
        failed = w.failed;
        all[i] = w.blob;
    }
out:
    free(params.blob.data);
    free(target);
    free(body);
    if (!failed)
        return all;
    for (unsigned i = 0; all && i < count; i++)
        free(all[i].data);
    free(all);
    return NULL;
}
