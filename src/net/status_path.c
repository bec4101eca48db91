#include "config.h"

#include "net/status_path.h"

#include "base/clock.h"
#include "net/lane_impl.h"
#include "net/status_page.h"
#include "proto/http_target.h"
#include "proto/status_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* Whose requests it is. */

static bool begins(struct slice s, const char *text) {
    return s.n >= strlen(text) && !memcmp(s.p, text, strlen(text));
}

/* By what the parameters say, something stood between the web server, or the client of HTTP, and the true client. */
static bool came_through_proxy(const struct buf *params) {
    static const char *const names[] = {"HTTP_VIA",         "HTTP_FORWARDED",      "HTTP_X_REAL_IP",
                                        "HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_CF_CONNECTING_IP"};
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (!begins(pair.name, "HTTP_"))
            continue;
        if (begins(pair.name, "HTTP_X_FORWARDED_"))
            return true;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (equals(pair.name, names[i]))
                return true;
        }
    }
    return false;
}

static struct slice find_param(const struct request *r, const char *name) {
    const char *pos = buf_head(&r->params), *end = buf_tail(&r->params);
    struct params_pair pair;
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (equals(pair.name, name))
            return pair.value;
    }
    return LITERAL("");
}

/* As at the sockets of --status: who names clients means all that comes from these. */
static bool is_lured(const struct allow_rules *allow, const struct request *r, enum status_path_client client) {
    return client == STATUS_CLIENT_PEER && !allow->status_given && !status_host_is_of_here(find_param(r, "HTTP_HOST"));
}

static void find_client(const struct request *r, enum status_path_client client, union peer_address *address) {
    *address = (union peer_address){.sa.sa_family = AF_UNSPEC};
    if (client == STATUS_CLIENT_LOCAL || equals(r->vars.remote_addr, "unix:")) /* nginx's word for that */
        address->sa.sa_family = AF_UNIX;
    else if (client != STATUS_CLIENT_UNKNOWN && !forwarded_address(r->vars.remote_addr, address))
        address->sa.sa_family = AF_UNSPEC;
}

static enum refusal judge(const struct lane *lane, const struct request *r, enum status_path_client client) {
    const struct allow_rules *allow = lane->config.allow;
    union peer_address address;
    if (!allow || allow->status.any)
        return NOT_REFUSED;
    if (client == STATUS_CLIENT_UNKNOWN || (client != STATUS_CLIENT_BELIEVED && came_through_proxy(&r->params)))
        return REFUSED_STATUS_PROXY;
    find_client(r, client, &address);
    if (!allow_permits_status(allow, &address.sa, sizeof address))
        return REFUSED_STATUS_CLIENT;
    return is_lured(allow, r, client) ? REFUSED_STATUS_HOST : NOT_REFUSED;
}

/* Whether it is its path. */

/* With percent-encoded bytes, of which there may be as many as a path has. */
static bool is_encoded_path(const struct cgi_vars *vars, const char *path, size_t n) {
    size_t encoded = vars->path_info[0].n + vars->path_info[1].n, first, second;
    if (encoded > 3 * n)
        return false;
    char *text = malloc(encoded);
    if (!text)
        return false;
    first = http_target_decode(vars->path_info[0], text);
    second = first == SIZE_MAX ? SIZE_MAX : http_target_decode(vars->path_info[1], text + first);
    bool is = second != SIZE_MAX && first + second == n && !memcmp(text, path, n);
    free(text);
    return is;
}

static bool is_path(const struct cgi_vars *vars, const char *path) {
    size_t n = strlen(path), first = vars->path_info[0].n;
    if (vars->path_encoded)
        return first + vars->path_info[1].n >= n && is_encoded_path(vars, path, n);
    return first + vars->path_info[1].n == n && !memcmp(vars->path_info[0].p, path, first) &&
           (first == n || !memcmp(vars->path_info[1].p, path + first, n - first));
}

enum refusal status_path_look(struct exchange *x, enum status_path_client client) {
    const struct lane *lane = x->conn->lane;
    const struct request *r = &x->r;
    if (!is_path(&r->vars, lane->config.status_path))
        return NOT_REFUSED;
    enum refusal why = judge(lane, r, client);
    if (why)
        return why;
    if (!equals(r->vars.method, "GET") && !equals(r->vars.method, "HEAD"))
        return REFUSED_STATUS_METHOD;
    x->status = true;
    return NOT_REFUSED;
}

/* Its answer. */

static enum status_form choose(const struct request *r) {
    struct slice accept = find_param(r, "HTTP_ACCEPT");
    return status_choose(accept.p, accept.n, r->vars.query.p, r->vars.query.n);
}

/* Stores the answer. Returns 0, or -1 with errno ENOMEM. */
static int store(struct exchange *x, struct buf *page) {
    struct request *r = &x->r;
    enum status_form form = choose(r);
    char lines[160];
    const int code = status_page_render(x->conn->lane->config.status_page, form, x->waiter.stacks, page);
    if (code < 0)
        return -1;
    snprintf(r->status, sizeof r->status, "%s", status_line(code));
    int n = snprintf(lines, sizeof lines, "Content-Type: %s\r\nContent-Length: %zu\r\n", status_content_type(form),
                     buf_len(page));
    const char *more = status_headers(form);
    if (buf_append(&r->head, lines, (size_t)n) || buf_append(&r->head, more, strlen(more)))
        return -1;
    return request_put(r, buf_len(page) ? buf_head(page) : "", equals(r->vars.method, "HEAD") ? 0 : buf_len(page));
}

/* Without memory nothing is stored, and the connection ends, as after a call that has failed. */
static void ready_cb(struct status_waiter *waiter) {
    struct exchange *x = (struct exchange *)(void *)((char *)waiter - offsetof(struct exchange, waiter));
    struct lane *lane = x->conn->lane;
    struct buf page = {0};
    sched_pause(lane->sched);
    if (!request_is_gone(&x->r) && store(x, &page))
        log_error("out of memory");
    buf_fini(&page);
    x->r.job.ops->settle(&x->r.job);
}

void status_path_answer(struct exchange *x) {
    struct request *r = &x->r;
    struct slice query = r->vars.query;
    r->job.begun_at = clock_ns(); /* for lines about what runs */
    x->waiter.ready = ready_cb;
    status_page_wait(x->conn->lane->config.status_page, &x->waiter, status_wants_stacks(choose(r), query.p, query.n));
}
