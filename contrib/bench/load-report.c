#include "config.h"

#include "load-visitors.h"

#include <stdio.h>
#include <unistd.h>

void load_tell_progress(struct load *l) {
    if (l->now - l->told < SECOND)
        return;
    double seconds = (double)(l->now - l->told) / (double)SECOND;
    bool terminal = isatty(STDERR_FILENO);
    if (terminal || l->progress_lines) {
        fprintf(stderr, "%sfcgi-load: %.0f s, %ld answered, %.0f/s, %ld wrong%s", terminal ? "\r" : "",
                (double)(l->now - l->begin) / (double)SECOND, l->done, (double)(l->done - l->told_done) / seconds,
                l->errors + l->not200 + l->bad_length, terminal ? "\x1b[K\r" : "\n");
        fflush(stderr);
    }
    l->told = l->now;
    l->told_done = l->done;
}

/* Pairs of microseconds and how many requests took about so long. */
static void print_buckets(const struct histogram *h, bool json) {
    const char *before = json ? ", \"histogram\": [" : "\n";
    for (unsigned i = 0; i < HIST_SIZE; i++) {
        if (!h->count[i])
            continue;
        printf(json ? "%s[%.3f, %llu]" : "%s%12.3f us %10llu", before, (double)histogram_value(i) / 1000,
               (unsigned long long)h->count[i]);
        before = json ? ", " : "\n";
    }
    if (json)
        fputs(h->total ? "]" : ", \"histogram\": []", stdout);
}

void report_fields(const struct report_field *fields, size_t n, bool json) {
    const char *before = json ? "{" : "", *between = json ? ", " : "  ";
    for (size_t i = 0; i < n; i++)
        printf(json ? "%s\"%s\": %.*f" : "%s%s %.*f", i ? between : before, fields[i].name, fields[i].decimals,
               fields[i].value);
}

static void print_tally(const char *name, struct tally t, bool json) {
    printf(json ? ", \"%s\": %ld, \"%s_all\": %ld" : "  %s %ld (all: %s %ld)", name, t.counted, name, t.all);
}

static void print_real(const char *name, double value, bool json) {
    printf(json ? ", \"%s\": %.3f" : "  %s %.3f", name, value);
}

static void print_visitors(const struct load *l, bool json) {
    const struct visitors *v = l->visitors;
    print_tally("due", v->due, json);
    print_tally("good", v->good, json);
    for (unsigned i = 0; i < l->nwithin; i++) {
        char name[48];
        snprintf(name, sizeof name, "within_%gs", l->within[i]);
        print_tally(name, v->within[i], json);
    }
    print_tally("refused", v->refused, json);
    print_tally("unreachable", v->unreachable, json);
    print_tally("given_up", v->given_up, json);
    print_tally("unsent", v->unsent, json);
    print_real("refused_p50_us", (double)histogram_quantile(&v->refusal, .5) / 1000, json);
    print_real("lag_p99_us", (double)histogram_quantile(&v->lag, .99) / 1000, json);
    print_real("generator_cpu", v->cpu, json);
    print_real("ready", (double)v->ready, json);
}

void load_print(const struct load *l, bool json) {
    double seconds = l->now > l->measured ? (double)(l->now - l->measured) / (double)SECOND : 0;
    double rate = seconds > 0 ? 1 / seconds : 0;
    const struct report_field fields[] = {
        {"requests", (double)l->counted, 0},
        {"requests_all", (double)l->done, 0},
        {"connections", (double)l->opened, 0},
        {"errors", (double)l->errors, 0},
        {"not200", (double)l->not200, 0},
        {"bad_length", (double)l->bad_length, 0},
        {"unanswered", (double)l->unanswered, 0},
        {"retried", (double)l->retried, 0},
        {"stalled", (double)l->stalled, 0},
        {"seconds", seconds, 3},
        {"rps", (double)l->counted * rate, 1},
        {"mb_per_s", (double)l->bytes * rate / 1e6, 1},
        {"p50_us", (double)histogram_quantile(&l->latency, .5) / 1000, 1},
        {"p90_us", (double)histogram_quantile(&l->latency, .9) / 1000, 1},
        {"p99_us", (double)histogram_quantile(&l->latency, .99) / 1000, 1},
        {"p999_us", (double)histogram_quantile(&l->latency, .999) / 1000, 1},
        {"max_us", (double)l->latency.max / 1000, 1},
    };
    report_fields(fields, sizeof fields / sizeof *fields, json);
    if (l->visitors)
        print_visitors(l, json);
    if (l->buckets)
        print_buckets(&l->latency, json);
    puts(json ? "}" : "");
    fflush(stdout);
}
