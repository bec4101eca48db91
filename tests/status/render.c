/* Renders a status of memory that is made up: for tests that look at the forms from outside, with parsers and a
 * browser, and for the picture in the README.
 *
 * usage: render SCENE ACCEPT [QUERY]
 *   SCENE    nothing (no process serves), shop (two workers, one of which is stuck), hostile (with names that peers and
 *            applications should not have), full (128 workers, and more of all else than there is room for)
 *
 * Writes "CONTENT-TYPE\n", the header fields, an empty line and the content. Environment: RENDER_TIMES=N renders N
 * times, and tells on standard error how many microseconds of a processor each has taken.
 */
#include "config.h"

#include "unit/status/scene.h"

#include <unistd.h>

static const char DEADLOCK[] = "      File \"/srv/shop/wsgi.py\", line 9, in application\n"
                               "      File \"/srv/shop/views.py\", line 118, in checkout\n"
                               "      File \"/srv/shop/stock.py\", line 57, in reserve\n";
static const char QUERY[] = "      File \"/srv/shop/wsgi.py\", line 9, in application\n"
                            "      File \"/srv/shop/views.py\", line 64, in report\n"
                            "      File \"/srv/shop/database.py\", line 23, in fetch_all\n";

static void set_where(struct inspect_call *call, const char *file, unsigned line, const char *function,
                      const char *id) {
    snprintf(call->file, sizeof call->file, "%s", file);
    snprintf(call->function, sizeof call->function, "%s", function);
    snprintf(call->request_id, sizeof call->request_id, "%s", id);
    call->line = line;
}

/* Ten minutes of requests, which have become slow two minutes ago. */
static void add_history(struct scene *c) {
    const uint64_t now = clock_ns(), ago = 595 * SCENE_SECOND, from = now > ago ? now - ago : 0;
    struct metrics_slot *s = &c->metrics->slots[0].slot;
    uint32_t random = 1;
    for (uint64_t at = from; at < now; at += SCENE_SECOND / 3) {
        random = random * 1103515245 + 12345;
        const bool late = at + 120 * SCENE_SECOND > now;
        const uint64_t ns = 3000000 + (random >> 16) % 9000000 + (late && random >> 16 & 1 ? SCENE_SECOND / 2 : 0);
        static const char *const paths[] = {"GET /", "GET /item/17", "POST /checkout", "GET /basket", "GET /search"};
        scene_count(s, at, ns, paths[(random >> 20) % 5], late && !(random >> 18 & 7));
    }
    scene_count(s, now, 14 * SCENE_SECOND, "GET /report/yearly", false);
}

static void make_shop(struct scene *c) {
    const int pid = (int)getppid(); /* the same each time */
    scene_add_worker(c, 0, 0, pid, SCOREBOARD_SERVING);
    scene_add_worker(c, 1, 1, 1, SCOREBOARD_SERVING);
    c->board->slots[0].computing = 1;
    add_history(c);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const uint64_t now = (uint64_t)t.tv_sec * SCENE_SECOND;
    for (unsigned slot = 0; slot < 2; slot++) {
        struct metrics_slot *s = &c->metrics->slots[slot].slot;
        metrics_set(s, METRICS_STARTED_AT, now - (slot ? 4000 : 90000) * SCENE_SECOND);
        metrics_set(s, METRICS_CONNECTIONS, 12);
        metrics_set(s, METRICS_THREADS, 4);
        metrics_set(s, METRICS_THREADS_MAX, 4);
        metrics_set(s, METRICS_THREADS_RUNNING, slot ? 0 : 4);
        metrics_set(s, METRICS_REQUESTS_ACTIVE, slot ? 1 : 23);
        metrics_set(s, METRICS_REQUESTS_QUEUED, slot ? 0 : 19);
        metrics_add(s, METRICS_ACCEPTED + METRICS_HTTP, 120);
        metrics_add(s, METRICS_RECEIVED_BYTES, 70000);
    }
    atomic_store(&c->metrics->supervisor.started_at, now - 90000 * SCENE_SECOND);
    atomic_store(&c->metrics->supervisor.workers_started, 3);
    for (unsigned i = 0; i < 3; i++) {
        struct inspect_call *call = scene_add_call(c, (41 - i * 7) * SCENE_SECOND, "/checkout");
        char id[40];
        snprintf(id, sizeof id, "0196f0a2-7c%02x", i * 37 + 16);
        set_where(call, "/srv/shop/stock.py", 57, "reserve", id);
        snprintf(call->method, sizeof call->method, "POST");
        scene_add_stack(c, call, 3, DEADLOCK);
    }
    struct inspect_call *call = scene_add_call(c, 3 * SCENE_SECOND, "/report/yearly");
    set_where(call, "/srv/shop/database.py", 23, "fetch_all", "0196f0a2-8d11");
    scene_add_stack(c, call, 3, QUERY);
    scene_answer(c, 0, pid, 0);
    metrics_worker_ended(c->metrics, now - 4000 * SCENE_SECOND, 1, pid - 5, METRICS_REASON_CRASH,
                         "was killed by SIGSEGV");
    static const char line[] = "overload: all 4 threads are busy, 19 requests wait";
    log_ring_put(c->log, 0, LOG_LEVEL_INFO, "serves", 6);
    log_ring_put(c->log, 0, LOG_LEVEL_WARNING, line, sizeof line - 1);
}

/* Each of these would do harm in one form or another. */
static void make_hostile(struct scene *c) {
    static const char *const texts[] = {"/\"><script>document.title='owned'</script>",
                                        "/<img src=x onerror=document.title='owned'>",
                                        "/\\\"} wsgi_fcgi_info 1\nwsgi_fcgi_owned 1",
                                        "/\xe2\x80\xae txt.exe\x1b]0;owned\x07",
                                        "/\xff\xfe\xc3(",
                                        "/{{7*7}}</textarea></pre></style>"};
    scene_add_worker(c, 0, 0, (int)getpid(), SCOREBOARD_SERVING);
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct inspect_call *call = scene_add_call(c, (20 - i) * SCENE_SECOND, texts[i]);
        set_where(call, texts[i], 1, texts[i], texts[i]);
        snprintf(call->method, sizeof call->method, "%s", texts[i]);
        scene_add_stack(c, call, 1, texts[i]);
        scene_count(&c->metrics->slots[0].slot, clock_ns(), (1 + i) * SCENE_SECOND, texts[i], true);
        metrics_worker_ended(c->metrics, SCENE_SECOND, i, 7, METRICS_REASON_OTHER, texts[i]);
        log_ring_put(c->log, 0, LOG_LEVEL_ERROR, texts[i], strlen(texts[i]));
    }
    scene_answer(c, 0, (int)getpid(), 0);
    c->source.application = "</title><script>document.title='owned'</script>";
    c->source.python = "3\"\\\n<b>";
}

static void make_full(struct scene *c) {
    for (unsigned slot = 0; slot < 128; slot++) {
        scene_add_worker(c, slot, slot, (int)getpid(), SCOREBOARD_SERVING);
        for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
            scene_add_told(c, slot, i, (i + 1) * SCENE_SECOND, "GET /a/path/of/some/length/that/is/told/for/each/call");
        for (unsigned i = 0; slot == 127 && i < INSPECT_CALLS; i++) {
            struct inspect_call *call = scene_add_call(c, (100 + i) * SCENE_SECOND, "/deep");
            char stack[2000] = "";
            for (unsigned frame = 0; frame < 20; frame++)
                sprintf(stack + strlen(stack), "      File \"/srv/shop/module%u.py\", line %u, in function_%u\n", frame,
                        i, frame);
            scene_add_stack(c, call, 20, stack);
        }
        if (slot == 127)
            scene_answer(c, slot, (int)getpid(), 0);
        for (unsigned i = 0; i < 64; i++) {
            char text[40];
            snprintf(text, sizeof text, "GET /%u/%u", slot, i);
            scene_count(&c->metrics->slots[slot].slot, clock_ns(), SCENE_SECOND, text, false);
            log_ring_put(c->log, slot, LOG_LEVEL_INFO, "a line of the log that is as long as such lines often are", 57);
        }
    }
}

static uint64_t processor_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SCENE_SECOND + (uint64_t)t.tv_nsec;
}

static int render(struct scene *c, enum status_form form, struct buf *out) {
    const char *times = getenv("RENDER_TIMES");
    const unsigned count = times ? (unsigned)strtoul(times, NULL, 10) : 1;
    const uint64_t begin = processor_time();
    for (unsigned i = 0; i < count; i++) {
        buf_reset(out, SIZE_MAX);
        if (status_render(form, &c->source, out) < 0)
            return -1;
    }
    if (times)
        fprintf(stderr, "%u us\n", (unsigned)((processor_time() - begin) / count / 1000));
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(struct scene *);
    } scenes[] = {{"nothing", NULL}, {"shop", make_shop}, {"hostile", make_hostile}, {"full", make_full}};
    struct scene c;
    struct buf out = {0};
    scene_init(&c);
    for (unsigned i = 0; argc > 2 && i < sizeof scenes / sizeof scenes[0]; i++) {
        if (strcmp(argv[1], scenes[i].name) != 0)
            continue;
        if (scenes[i].make)
            scenes[i].make(&c);
        const char *query = argc > 3 ? argv[3] : "";
        const enum status_form form = status_choose(argv[2], strlen(argv[2]), query, strlen(query));
        c.source.stacks = status_wants_stacks(form, query, strlen(query));
        if (render(&c, form, &out))
            return 1;
        printf("%s\n%s\n", status_content_type(form), status_headers(form));
        fwrite(buf_head(&out), 1, buf_len(&out), stdout);
        buf_fini(&out);
        scene_fini(&c);
        return 0;
    }
    fprintf(stderr, "usage: render nothing|shop|hostile|full ACCEPT [QUERY]\n");
    return 64;
}
