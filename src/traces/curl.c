#include "config.h"

#include "traces/curl.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#if WSGI_FCGI_OTLP
#define CURL_DISABLE_TYPECHECK /* its macros would stand in for the members below */
#include <curl/curl.h>
#include <dlfcn.h>

/* clang-format off */
#define FUNCTIONS(X)                                                                                                   \
    X(CURLcode, curl_global_init, (long))                                                                              \
    X(CURL *, curl_easy_init, (void))                                                                                  \
    X(CURLcode, curl_easy_setopt, (CURL *, CURLoption, ...))                                                           \
    X(CURLcode, curl_easy_perform, (CURL *))                                                                           \
    X(CURLcode, curl_easy_getinfo, (CURL *, CURLINFO, ...))                                                            \
    X(void, curl_easy_cleanup, (CURL *))                                                                               \
    X(const char *, curl_easy_strerror, (CURLcode))                                                                    \
    X(struct curl_slist *, curl_slist_append, (struct curl_slist *, const char *))                                     \
    X(void, curl_slist_free_all, (struct curl_slist *))
/* clang-format on */

/* Mutable curl: curl_load, before another thread has been started. */
#define MEMBER(type, name, parameters) type(*name) parameters;
static struct { FUNCTIONS(MEMBER) } curl;

int curl_load(char reason[static CURL_REASON_SIZE]) {
    void *library = dlopen(CURL_SONAME, RTLD_NOW | RTLD_LOCAL);
    bool whole = library != NULL;
    /* ISO C has no conversion to a function pointer from a void *, POSIX has. */
#define FIND(type, name, parameters)                                                                                   \
    curl.name = whole ? __extension__(type(*) parameters) dlsym(library, #name) : NULL;                                \
    whole = whole && curl.name;
    FUNCTIONS(FIND)
    if (!whole) {
        const char *why = dlerror();
        snprintf(reason, CURL_REASON_SIZE, "cannot load %s: %s: install libcurl", CURL_SONAME,
                 why ? why : "unknown error");
        return -1;
    }
    /* Safe beside other threads and other users of it since 7.84; nobody else runs yet. */
    CURLcode code = curl.curl_global_init(CURL_GLOBAL_DEFAULT);
    if (code) {
        snprintf(reason, CURL_REASON_SIZE, "cannot prepare libcurl: %s", curl.curl_easy_strerror(code));
        return -1;
    }
    return 0;
}

static size_t take(char *data, size_t size, size_t n, void *arg) {
    struct curl_answer *out = arg;
    size_t room = sizeof out->text - out->len, bytes = size * n;
    memcpy(out->text + out->len, data, bytes < room ? bytes : room);
    out->len += bytes < room ? bytes : room;
    return bytes;
}

/* Called about once a second, and when something happens. */
static int look(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const _Atomic uint64_t *until = arg;
    (void)a, (void)b, (void)c, (void)d;
    return clock_ns() > atomic_load(until);
}

/* Children of the application must not have it. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)arg, (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURL *prepare(const struct trace_settings *settings) {
    CURL *c = curl.curl_easy_init();
    if (!c)
        return NULL;
    curl.curl_easy_setopt(c, CURLOPT_URL, settings->url);
    curl.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    /* Variables such as http_proxy would be read while the application may change its environment. */
    curl.curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl.curl_easy_setopt(c, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    curl.curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)settings->timeout_ms);
    curl.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl.curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look);
    curl.curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl.curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    if (settings->certificate[0])
        curl.curl_easy_setopt(c, CURLOPT_CAINFO, settings->certificate);
    return c;
}

static struct curl_slist *make_fields(const struct trace_settings *settings) {
    struct curl_slist *list = curl.curl_slist_append(NULL, "Content-Type: application/json");
    /* No wait for 100 Continue before a long body. */
    list = curl.curl_slist_append(list, "Expect:");
    for (size_t i = 0; list && i < settings->nheaders; i++) {
        char line[TRACE_NAME_SIZE + TRACE_VALUE_SIZE + 2];
        snprintf(line, sizeof line, "%s: %s", settings->headers[i].name, settings->headers[i].value);
        list = curl.curl_slist_append(list, line);
    }
    return list;
}

void curl_post(void **session, const struct trace_settings *settings, const char *json, size_t len,
               const _Atomic uint64_t *until, struct curl_answer *out) {
    char why[CURL_ERROR_SIZE] = "";
    struct curl_slist *fields = make_fields(settings);
    *out = (struct curl_answer){.status = 0};
    if (!*session)
        *session = prepare(settings);
    CURL *c = *session;
    if (!c || !fields) {
        snprintf(out->reason, sizeof out->reason, "out of memory");
        curl.curl_slist_free_all(fields);
        return;
    }
    curl.curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields);
    curl.curl_easy_setopt(c, CURLOPT_POSTFIELDS, json);
    curl.curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)len);
    curl.curl_easy_setopt(c, CURLOPT_WRITEDATA, (void *)out);
    curl.curl_easy_setopt(c, CURLOPT_XFERINFODATA, (void *)(uintptr_t)until);
    curl.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    CURLcode code = curl.curl_easy_perform(c);
    curl_off_t after = 0;
    if (!code) {
        curl.curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
        curl.curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &after);
        out->retry_after = after > 0 && after < 3600 ? (long)after : 0;
        snprintf(out->reason, sizeof out->reason, "status %ld", out->status);
    } else
        snprintf(out->reason, sizeof out->reason, "%s", why[0] ? why : curl.curl_easy_strerror(code));
    curl.curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    curl.curl_easy_setopt(c, CURLOPT_HTTPHEADER, NULL);
    curl.curl_slist_free_all(fields);
}

void curl_close(void **session) {
    if (*session)
        curl.curl_easy_cleanup(*session);
    *session = NULL;
}

#else /* the option is refused before */

int curl_load(char reason[static CURL_REASON_SIZE]) {
    snprintf(reason, CURL_REASON_SIZE, "this program was built without libcurl");
    return -1;
}

void curl_post(void **session, const struct trace_settings *settings, const char *json, size_t len,
               const _Atomic uint64_t *until, struct curl_answer *out) {
    (void)session, (void)settings, (void)json, (void)len, (void)until;
    *out = (struct curl_answer){.status = 0};
}

void curl_close(void **session) {
    (void)session;
}
#endif
