#include "config.h"

#include "proto/cgi_names.h"

#include <string.h>

/* The caller has made sure that enough bytes are there: the compiler turns these into comparisons of words. */
#define IS(p, text) (memcmp((p), (text), sizeof(text) - 1) == 0)
#define BEGINS(slice, text) ((slice).n >= sizeof(text) - 1 && IS((slice).p, (text)))
#define EQUALS(slice, text) ((slice).n == sizeof(text) - 1 && IS((slice).p, (text)))

/* The length and one telling byte leave one or two candidates: this runs for every parameter of every request. */
static enum cgi_var find_known(struct slice name) {
    const char *p = name.p;
    switch (name.n) {
    case sizeof "HTTPS" - 1:
        return IS(p, "HTTPS") ? CGI_VAR_HTTPS : CGI_VAR_OTHER;
    case sizeof "PATH_INFO" - 1:
        if (p[0] == 'P')
            return IS(p, "PATH_INFO") ? CGI_VAR_PATH_INFO : CGI_VAR_OTHER;
        return IS(p, "HTTP_HOST") ? CGI_VAR_HTTP_HOST : CGI_VAR_OTHER;
    case sizeof "SERVER_NAME" - 1:
        switch (p[7]) {
        case '_':
            return IS(p, "REQUEST_URI") ? CGI_VAR_REQUEST_URI : CGI_VAR_OTHER;
        case 'A':
            if (p[0] == 'R')
                return IS(p, "REMOTE_ADDR") ? CGI_VAR_REMOTE_ADDR : CGI_VAR_OTHER;
            return IS(p, "SERVER_ADDR") ? CGI_VAR_SERVER_ADDR : CGI_VAR_OTHER;
        case 'N':
            if (p[1] == 'C')
                return IS(p, "SCRIPT_NAME") ? CGI_VAR_SCRIPT_NAME : CGI_VAR_OTHER;
            return IS(p, "SERVER_NAME") ? CGI_VAR_SERVER_NAME : CGI_VAR_OTHER;
        case 'P':
            return IS(p, "SERVER_PORT") ? CGI_VAR_SERVER_PORT : CGI_VAR_OTHER;
        }
        return CGI_VAR_OTHER;
    case sizeof "QUERY_STRING" - 1:
        switch (p[0]) {
        case 'C':
            return IS(p, "CONTENT_TYPE") ? CGI_VAR_FIELD : CGI_VAR_OTHER;
        case 'D':
            return IS(p, "DOCUMENT_URI") ? CGI_VAR_DOCUMENT_URI : CGI_VAR_OTHER;
        case 'Q':
            return IS(p, "QUERY_STRING") ? CGI_VAR_QUERY_STRING : CGI_VAR_OTHER;
        }
        return CGI_VAR_OTHER;
    case sizeof "CONTENT_LENGTH" - 1:
        switch (p[8]) {
        case 'L':
            return IS(p, "CONTENT_LENGTH") ? CGI_VAR_CONTENT_LENGTH : CGI_VAR_OTHER;
        case 'M':
            return IS(p, "REQUEST_METHOD") ? CGI_VAR_REQUEST_METHOD : CGI_VAR_OTHER;
        case 'S':
            return IS(p, "REQUEST_SCHEME") ? CGI_VAR_REQUEST_SCHEME : CGI_VAR_OTHER;
        }
        return CGI_VAR_OTHER;
    case sizeof "SERVER_PROTOCOL" - 1:
        if (p[0] == 'S')
            return IS(p, "SERVER_PROTOCOL") ? CGI_VAR_SERVER_PROTOCOL : CGI_VAR_OTHER;
        return IS(p, "HTTP_TRACESTATE") ? CGI_VAR_HTTP_TRACESTATE : CGI_VAR_OTHER;
    case sizeof "HTTP_TRACEPARENT" - 1:
        return IS(p, "HTTP_TRACEPARENT") ? CGI_VAR_HTTP_TRACEPARENT : CGI_VAR_OTHER;
    case sizeof "HTTP_X_REQUEST_ID" - 1:
        return IS(p, "HTTP_X_REQUEST_ID") ? CGI_VAR_HTTP_X_REQUEST_ID : CGI_VAR_OTHER;
    }
    return CGI_VAR_OTHER;
}

enum cgi_var cgi_find_var(struct slice name) {
    enum cgi_var var = find_known(name);
    return var == CGI_VAR_OTHER && BEGINS(name, "HTTP_") ? CGI_VAR_FIELD : var;
}

static enum cgi_class classify_header(struct slice name) {
    if (EQUALS(name, "HTTP_COOKIE"))
        return CGI_COOKIE;
    /* There is one Host (RFC 9112, 3.2): a second HTTP_HOST overrides what a stock configuration file has set. */
    if (EQUALS(name, "HTTP_HOST"))
        return CGI_PASS;
    /* HTTP_PROXY: libraries of the application would take a client's Proxy header for their proxy setting (httpoxy).
     * The others describe the body as the client sent it; the proxy's CONTENT_* describe what arrives here. */
    if (EQUALS(name, "HTTP_PROXY") || EQUALS(name, "HTTP_CONTENT_LENGTH") || EQUALS(name, "HTTP_CONTENT_TYPE") ||
        EQUALS(name, "HTTP_TRANSFER_ENCODING"))
        return CGI_DROP;
    return CGI_HEADER;
}

enum cgi_class cgi_classify(struct slice name) {
    switch (cgi_find_var(name)) {
    case CGI_VAR_CONTENT_LENGTH:
    case CGI_VAR_PATH_INFO:
    case CGI_VAR_QUERY_STRING:
    case CGI_VAR_REQUEST_METHOD:
    case CGI_VAR_SCRIPT_NAME:
    case CGI_VAR_SERVER_NAME:
    case CGI_VAR_SERVER_PORT:
    case CGI_VAR_SERVER_PROTOCOL:
    case CGI_VAR_HTTP_TRACEPARENT:
    case CGI_VAR_HTTP_X_REQUEST_ID:
        return CGI_OWN;
    default:
        break;
    }
    if (BEGINS(name, "HTTP_"))
        return classify_header(name);
    /* A pair without a name is meaningless. The role is in BEGIN_REQUEST. */
    if (!name.n || BEGINS(name, "wsgi.") || BEGINS(name, "wsgi_fcgi.") || EQUALS(name, "FCGI_ROLE"))
        return CGI_DROP;
    return CGI_PASS;
}

/* Words in names for what identifies somebody or lets somebody in. */
static bool begins_personal(struct slice rest) {
    switch (rest.p[0]) {
    case 'A':
        return BEGINS(rest, "AUTH");
    case 'C':
        return BEGINS(rest, "CERT") || BEGINS(rest, "COOKIE") || BEGINS(rest, "CREDENTIAL") || BEGINS(rest, "CSRF");
    case 'E':
        return BEGINS(rest, "EMAIL");
    case 'I':
        return BEGINS(rest, "IDENT");
    case 'J':
        return BEGINS(rest, "JWT");
    case 'K':
        return BEGINS(rest, "KEY");
    case 'O':
        return BEGINS(rest, "OIDC");
    case 'P':
        return BEGINS(rest, "PASSW");
    case 'Q':
        return BEGINS(rest, "QUERY");
    case 'S':
        return BEGINS(rest, "SAML") || BEGINS(rest, "SECRET") || BEGINS(rest, "SESSION") || BEGINS(rest, "SSL_CLIENT");
    case 'T':
        return BEGINS(rest, "TOKEN");
    case 'U':
        return BEGINS(rest, "USER");
    case 'X':
        return BEGINS(rest, "XSRF");
    }
    return false;
}

bool cgi_is_personal(struct slice name) {
    if (EQUALS(name, "HTTP_USER_AGENT"))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (begins_personal((struct slice){name.p + i, name.n - i}))
            return true;
    }
    return false;
}
