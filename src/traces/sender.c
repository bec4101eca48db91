#include "config.h"

#include "traces/sender.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_create.h"
#include "traces/curl.h"
#include "traces/otlp.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)

enum { BACK_OFF_MAX = 30, SAY_SECONDS = 60, FLUSH_MS = 700, JOIN_MS = 1000, KEEP_BYTES = 1 << 20 };

struct sender {
    const struct trace_settings *settings;
    struct spans *spans;
    pthread_t thread;
    _Atomic uint64_t until; /* clock_ns: when the thread is to end; UINT64_MAX: not yet */
    atomic_bool ended;      /* the thread, which says so last: ThreadSanitizer does not know pthread_clockjoin_np */
    /* The thread's. */
    void *session;
    struct buf json;
    unsigned back_off;           /* seconds before the next attempt; 0: the last one went well */
    uint64_t said_at, said_lost; /* the last line, and how many it told of */
};

static bool ends(const struct sender *s) {
    return atomic_load(&s->until) != UINT64_MAX;
}

/* What has happened is in `why`, which the collector or libcurl has made. */
static void say(struct sender *s, const char *what, const char *why) {
    char shown[4 * CURL_REASON_SIZE];
    uint64_t now = clock_ns(), lost = spans_lost(s->spans);
    if (s->said_at && now - s->said_at < SAY_SECONDS * SECOND)
        return;
    s->said_at = now;
    log_warning("spans %s by the collector at %s (%s); %llu lost by now: look at the collector, and at --otlp", what,
                s->settings->url, log_escape(shown, sizeof shown, why, strlen(why)), (unsigned long long)lost);
    s->said_lost = lost;
}

/* Spans that found no room; the collector may be well, but too slow. */
static void say_lost(struct sender *s) {
    uint64_t now = clock_ns(), lost = spans_lost(s->spans);
    if (lost == s->said_lost || (s->said_at && now - s->said_at < SAY_SECONDS * SECOND))
        return;
    s->said_at = now;
    log_warning("%llu spans are lost by now, as the collector at %s takes them too slowly: have fewer sampled "
                "(OTEL_TRACES_SAMPLER)",
                (unsigned long long)lost, s->settings->url);
    s->said_lost = lost;
}

static bool is_temporary(long status) {
    return !status || status == 429 || status == 502 || status == 503 || status == 504;
}

/* Returns whether the batch is done with. */
static bool judge(struct sender *s, size_t n, const struct curl_answer *answer) {
    if (answer->status / 100 == 2) {
        uint64_t rejected = otlp_rejected(answer->text, answer->len);
        if (rejected) {
            spans_lose(s->spans, rejected < n ? rejected : n);
            say(s, "were refused", "partialSuccess");
        }
        s->back_off = 0;
        return true;
    }
    if (is_temporary(answer->status)) {
        unsigned next = s->back_off ? 2 * s->back_off : 1;
        s->back_off = answer->retry_after ? (unsigned)answer->retry_after : next < BACK_OFF_MAX ? next : BACK_OFF_MAX;
        say(s, "are not taken", answer->reason);
        return false;
    }
    spans_lose(s->spans, n);
    say(s, "were refused", answer->reason);
    s->back_off = 0;
    return true;
}

/* Sends the first `n`. */
static void send_batch(struct sender *s, size_t n) {
    struct curl_answer answer;
    buf_reset(&s->json, KEEP_BYTES);
    if (otlp_put(s->spans, n, s->settings, &s->json)) {
        spans_lose(s->spans, n);
        spans_drop(s->spans, n);
        say(s, "are not told", "out of memory");
        return;
    }
    curl_post(&s->session, s->settings, buf_head(&s->json), buf_len(&s->json), &s->until, &answer);
    if (judge(s, n, &answer))
        spans_drop(s->spans, n);
}

/* Waits before a batch is sent again, or until the end. */
static void back_off(struct sender *s) {
    uint64_t until = clock_ns() + s->back_off * SECOND, now;
    while (s->back_off && !ends(s) && (now = clock_ns()) < until)
        (void)spans_wait_more(s->spans, until - now);
}

static void *run(void *arg) {
    struct sender *s = arg;
    uint64_t delay = s->settings->delay_ms * (SECOND / 1000);
    while (!ends(s)) {
        size_t n = spans_wait(s->spans, delay);
        while (n && !ends(s)) {
            back_off(s);
            if (ends(s))
                break;
            send_batch(s, n < SPANS_BATCH ? n : SPANS_BATCH);
            if (!s->back_off)
                n = n < SPANS_BATCH ? 0 : n - SPANS_BATCH;
        }
        say_lost(s);
    }
    s->back_off = 0;
    for (size_t n; !s->back_off && (n = spans_wait_more(s->spans, 0)) && clock_ns() < atomic_load(&s->until);)
        send_batch(s, n < SPANS_BATCH ? n : SPANS_BATCH);
    curl_close(&s->session);
    atomic_store(&s->ended, true);
    return NULL;
}

struct sender *sender_new(const struct trace_settings *settings, struct spans *spans) {
    struct sender *s = malloc(sizeof *s);
    if (!s)
        return NULL;
    *s = (struct sender){.settings = settings, .spans = spans, .until = UINT64_MAX};
    int error = thread_create(&s->thread, NULL, "wsgi-fcgi-otlp", run, s);
    if (error) {
        free(s);
        errno = error;
        return NULL;
    }
    return s;
}

bool sender_free(struct sender *s) {
    if (!s)
        return true;
    uint64_t at = clock_ns() + JOIN_MS * (SECOND / 1000);
    struct timespec late = {.tv_sec = (time_t)(at / SECOND), .tv_nsec = (long)(at % SECOND)};
    atomic_store(&s->until, clock_ns() + FLUSH_MS * (SECOND / 1000));
    spans_wake(s->spans);
    bool ended = !pthread_clockjoin_np(s->thread, NULL, CLOCK_MONOTONIC, &late) && atomic_load(&s->ended);
    spans_lose(s->spans, spans_wait_more(s->spans, 0));
    uint64_t lost = spans_lost(s->spans);
    if (lost)
        log_warning("%llu spans were lost, as the collector at %s did not take them", (unsigned long long)lost,
                    s->settings->url);
    if (!ended)
        return false;
    buf_fini(&s->json);
    free(s);
    return true;
}
