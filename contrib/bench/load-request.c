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

/* A stream of one piece, which may need several records; the empty record at its end is the caller's. */
static void append_stream(struct writer *w, int type, unsigned id, const char *data, size_t n) {
    while (n) {
        size_t part = n < RECORD_MAX ? n : RECORD_MAX;
        append_record(w, type, id, data, part);
        data += part;
        n -= part;
    }
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

static void build_fcgi(struct writer parts[3], const struct request_spec *spec, const struct blob *params,
                       const char *block, unsigned id) {
    FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER, .flags = spec->keep ? FCGI_KEEP_CONN : 0};
    append_record(&parts[0], FCGI_BEGIN_REQUEST, id, &begin, sizeof begin);
    append_stream(&parts[0], FCGI_PARAMS, id, params->data, params->len);
    append_record(&parts[0], FCGI_PARAMS, id, NULL, 0);
    if (spec->body >= RECORD_MAX)
        append_record(&parts[1], FCGI_STDIN, id, block, RECORD_MAX);
    append_stream(&parts[2], FCGI_STDIN, id, block, spec->body % RECORD_MAX);
    append_record(&parts[2], FCGI_STDIN, id, NULL, 0);
}

static void build_http(struct writer parts[3], const struct request_spec *spec, const char *target, const char *block) {
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", spec->body);
    const char *const head[] = {
        spec->body ? "POST " : "GET ",
        target,
        " HTTP/1.1\r\nHost: localhost\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
        "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n",
        spec->keep ? "Connection: keep-alive\r\n" : "Connection: close\r\n",
        spec->body ? "Content-Type: application/octet-stream\r\n" : "",
        spec->body ? length : "",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        append(&parts[0], head[i], strlen(head[i]));
    if (spec->body >= RECORD_MAX)
        append(&parts[1], block, RECORD_MAX);
    append(&parts[2], block, spec->body % RECORD_MAX);
}

struct request *request_build(const struct request_spec *spec, unsigned count) {
    struct writer params = {0};
    bool failed = true;
    char *target = NULL;
    char *block = malloc(RECORD_MAX);
    struct request *all = calloc(count, sizeof *all);
    if (!block || !all || asprintf(&target, "%s%s%s", spec->uri, *spec->query ? "?" : "", spec->query) < 0)
        goto out;
    memset(block, 'x', RECORD_MAX);
    append_params(&params, spec, target);
    failed = params.failed;
    for (unsigned i = 0; i < count && !failed; i++) {
        struct writer parts[3] = {0};
        if (spec->http)
            build_http(parts, spec, target, block);
        else
            build_fcgi(parts, spec, &params.blob, block, i + 1);
        failed = parts[0].failed || parts[1].failed || parts[2].failed;
        all[i] = (struct request){parts[0].blob, parts[1].blob, parts[2].blob, spec->body / RECORD_MAX};
    }
out:
    free(params.blob.data);
    free(target);
    free(block);
    if (!failed)
        return all;
    request_free(all, count);
    return NULL;
}

void request_free(struct request *all, unsigned count) {
    for (unsigned i = 0; all && i < count; i++) {
        free(all[i].first.data);
        free(all[i].block.data);
        free(all[i].last.data);
    }
    free(all);
}

size_t request_length(const struct request *r) {
    return r->first.len + r->block.len * r->blocks + r->last.len;
}

unsigned request_pieces(const struct request *r, size_t skip, struct iovec *pieces, unsigned max) {
    size_t length = request_length(r), blocks = r->block.len * r->blocks;
    unsigned n = 0;
    for (; n < max && skip < length; n++) {
        const struct blob *part = &r->first;
        size_t offset = skip;
        if (skip >= r->first.len + blocks) {
            part = &r->last;
            offset = skip - r->first.len - blocks;
        } else if (skip >= r->first.len) {
            part = &r->block;
            offset = (skip - r->first.len) % r->block.len;
        }
        pieces[n] = (struct iovec){.iov_base = part->data + offset, .iov_len = part->len - offset};
        skip += part->len - offset;
    }
    return n;
}
