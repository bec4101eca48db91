/* The ready queue, and admission: which jobs come in, which one begins next, and which ones are refused. The rule is
 * that of backlog.h; here are the jobs, the clock and the timer. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

enum { REFUSALS_MAX = 256 }; /* at one look, for each reason and line: each is an answer that the owner sends */

/* Lines. */

static struct sched_job *oldest_of(const struct sched_line *line) {
    return TAILQ_FIRST(&line->jobs);
}

static inline void append(struct sched *s, struct sched_line *line, struct sched_job *job) {
    job->line = line;
    TAILQ_INSERT_TAIL(&line->jobs, job, link);
    if (job->left)
        TAILQ_INSERT_TAIL(&line->left, job, left_link);
    job->queued = true;
    line->backlog.waiting++;
    atomic_store_explicit(&s->queue.count, s->queue.count + 1, memory_order_relaxed);
}

/* The one for jobs of this kind that have to wait. */
static struct sched_line *line_for(struct sched *s, const struct sched_job *job) {
    return &s->queue.lines[predict_is_free(measure_kind(s, job)) ? LINE_FREE : LINE_ORDINARY];
}

/* Who has left first, or else the oldest; NULL: there are new ones at most. */
static struct sched_job *next_to_refuse(const struct sched *s) {
    struct sched_job *oldest = NULL;
    for (int i = 0; i < LINE_COUNT; i++) {
        if (!TAILQ_EMPTY(&s->queue.lines[i].left))
            return TAILQ_FIRST(&s->queue.lines[i].left);
    }
    for (int i = LINE_NEW + 1; i < LINE_COUNT; i++) {
        struct sched_job *job = oldest_of(&s->queue.lines[i]);
        if (job && (!oldest || job->queued_at < oldest->queued_at))
            oldest = job;
    }
    return oldest;
}

/* Admission on arrival: what memory allows. */

static unsigned free_threads(const struct sched *s) {
    unsigned busy = atomic_load(&s->busy) + s->owner.job_runs_loop;
    return busy < s->config.threads ? s->config.threads - busy : 0;
}

/* How many free jobs may begin. */
static unsigned free_cpus(const struct sched *s) {
    unsigned watched = atomic_load(&s->watched);
    return !s->config.cpus ? s->config.threads : watched < s->config.cpus ? s->config.cpus - watched : 0;
}

bool sched_has_threads(const struct sched *s) {
    return s->queue.count <= free_threads(s) && s->queue.lines[LINE_FREE].backlog.waiting <= free_cpus(s);
}

unsigned queue_counted(const struct sched *s) {
    return s->queue.count - (s->queue.uncounted && s->queue.uncounted->queued);
}

/* A job for which a thread is free does not count towards queue_limit, nor does the uncounted one. */
static bool is_full(const struct sched *s) {
    unsigned limit = s->config.queue_limit;
    if (s->queue.count < limit)
        return false;
    unsigned count = queue_counted(s);
    return count >= limit && count - limit >= free_threads(s);
}

/* Whether another job makes room for one that comes. It is refused at the next look and not here: the caller is in the
 * middle of a connection's input, perhaps that of the very connection which would have to send the answer. */
static bool makes_room(struct sched *s) {
    if (s->queue.owed >= REFUSALS_MAX)
        return false;
    const struct sched_job *job = next_to_refuse(s);
    if (!job || !(job->left || backlog_is_late(&s->queue.limits, job->queued_at, owner_time(s))))
        return false;
    s->queue.owed++;
    return true;
}

static inline void enter(struct sched *s, struct sched_job *job) {
    job->sched = s;
    job->done.call = job_done;
    job->left = false;
    job->queued_at = 0;
    append(s, &s->queue.lines[LINE_NEW], job);
}

bool sched_submit(struct sched *s, struct sched_job *job) {
    if (is_full(s) && !makes_room(s)) {
        const struct sched_line *line = line_for(s, job);
        s->queue.refused = oldest_of(line) ? line : NULL;
        return false;
    }
    enter(s, job);
    return true;
}

void sched_submit_uncounted(struct sched *s, struct sched_job *job) {
    s->queue.uncounted = job;
    enter(s, job);
}

/* For its peer it waited on no thread that others could have had. How long a lost one took says nothing of those for
 * which somebody waits, and where it was made up for, others have begun meanwhile, which tell the rate. */
void queue_note_end(struct sched *s, struct sched_job *job, bool was_lost) {
    uint64_t now = owner_time(s), begun = job->begun_at + job->waited;
    job->waited = 0;
    if (was_lost)
        return;
    backlog_note_end(&line_for(s, job)->backlog, &s->queue.limits, now > begun ? now - begun : 0);
}

bool sched_cancel(struct sched *s, struct sched_job *job) {
    if (!job->queued)
        return false;
    queue_remove(s, job);
    return true;
}

void sched_job_left(struct sched *s, struct sched_job *job) {
    (void)s;
    if (!job->queued || job->left)
        return;
    job->left = true;
    TAILQ_INSERT_TAIL(&job->line->left, job, left_link);
}

unsigned sched_retry_after(const struct sched *s) {
    const struct sched_line *line = s->queue.refused;
    return line ? backlog_retry_after(&line->backlog, &s->queue.limits, owner_time(s)) : 1;
}

unsigned sched_queued(const struct sched *s, uint64_t *oldest) {
    uint64_t now = clock_ns();
    *oldest = 0;
    for (int i = 0; i < LINE_COUNT; i++) {
        const struct sched_job *job = oldest_of(&s->queue.lines[i]);
        if (job && job == s->queue.uncounted)
            job = TAILQ_NEXT(job, link);
        if (job && job->queued_at && now - job->queued_at > *oldest)
            *oldest = now - job->queued_at;
    }
    return queue_counted(s);
}

uint64_t sched_last_end(const struct sched *s) {
    return s->owner.last_end;
}

uint64_t sched_stuck_since(const struct sched *s) {
    if (free_threads(s))
        return 0;
    return s->owner.last_end > s->owner.last_detached ? s->owner.last_end : s->owner.last_detached;
}

uint64_t sched_usual(const struct sched *s) {
    uint64_t usual = 0;
    for (int i = LINE_NEW + 1; i < LINE_COUNT; i++) {
        uint64_t duration = backlog_duration(&s->queue.lines[i].backlog);
        usual = duration > usual ? duration : usual;
    }
    return usual;
}

/* Admission while it waits: what time allows. */

/* `expired` may submit jobs, which are new then, and cancel others. */
static void refuse(struct sched *s, struct sched_job *job) {
    queue_remove(s, job);
    s->queue.refused = job->line;
    job->ops->expired(job);
}

/* Returns how many were refused. */
static unsigned refuse_for_room(struct sched *s) {
    unsigned n = 0;
    struct sched_job *job;
    for (; n < s->queue.owed && s->queue.count > s->config.queue_limit && (job = next_to_refuse(s)); n++)
        refuse(s, job);
    s->queue.owed = 0;
    return n;
}

static unsigned refuse_late(struct sched *s, const struct sched_line *line, uint64_t now) {
    unsigned n = 0;
    for (struct sched_job *oldest; n < REFUSALS_MAX && (oldest = oldest_of(line)); n++) {
        enum backlog_verdict verdict = backlog_judge(&line->backlog, &s->queue.limits, oldest->queued_at, now);
        if (verdict == BACKLOG_KEEP)
            break;
        struct sched_job *left = TAILQ_FIRST(&line->left);
        refuse(s, verdict == BACKLOG_REFUSE_ANY && left ? left : oldest);
    }
    return n;
}

/* Returns whether there may be more to refuse. */
static bool refuse_some(struct sched *s) {
    unsigned most = 0, all = 0;
    if (s->queue.owed)
        all += refuse_for_room(s);
    for (int i = LINE_NEW + 1; i < LINE_COUNT; i++) {
        unsigned n = refuse_late(s, &s->queue.lines[i], s->owner.now);
        all += n;
        most = n > most ? n : most;
    }
    if (all) /* it took its time, which is none of the next job's */
        s->owner.now = clock_ns();
    return most == REFUSALS_MAX;
}

static struct sched_job *first_counted(const struct sched *s) {
    for (int i = 0; i < LINE_COUNT; i++) {
        struct sched_job *job = oldest_of(&s->queue.lines[i]);
        if (job && job == s->queue.uncounted)
            job = TAILQ_NEXT(job, link);
        if (job)
            return job;
    }
    return NULL;
}

/* Those that are submitted meanwhile come the next time. */
void sched_refuse_all(struct sched *s) {
    struct sched_job *job;
    for (unsigned n = s->queue.count; n && (job = first_counted(s)); n--)
        refuse(s, job);
}

/* Which job begins. */

/* A job's time starts when the queue is first looked at and the job stays in it. A slow callback (a slow disk, a full
 * pipe) is not a wait for a thread, and jobs that came during it must not be turned away when they could run. */
static void sort_one(struct sched *s, struct sched_job *job) {
    struct sched_line *line = line_for(s, job);
    if (!oldest_of(line))
        backlog_begin(&line->backlog, s->owner.now);
    queue_remove(s, job);
    job->queued_at = s->owner.now;
    append(s, line, job);
}

/* Of jobs that have come together those go first that are known to be quick. One of the others may compute for long,
 * and another process could serve meanwhile what was not read yet, but not what is in the queue. */
static void sort_quick(struct sched *s) {
    struct sched_job *job, *next;
    for (job = oldest_of(&s->queue.lines[LINE_NEW]); job; job = next) {
        next = TAILQ_NEXT(job, link);
        if (predict_is_quick(measure_kind(s, job)))
            sort_one(s, job);
    }
}

static void sort_new(struct sched *s) {
    struct sched_job *job;
    if (s->config.caught)
        sort_quick(s);
    while ((job = oldest_of(&s->queue.lines[LINE_NEW])))
        sort_one(s, job);
}

static void look_at_lines(struct sched *s) {
    for (int i = LINE_NEW + 1; i < LINE_COUNT; i++)
        backlog_look(&s->queue.lines[i].backlog, &s->queue.limits, s->owner.now);
    sort_new(s);
}

/* Whose turn it is in a line; NULL: nobody's. */
static struct sched_job *turn_of(struct sched *s, const struct sched_line *line, struct backlog_turn *turn) {
    struct sched_job *job = oldest_of(line);
    if (!job)
        return NULL;
    turn->newest = backlog_takes_newest(&line->backlog, &s->queue.limits, job->queued_at, s->owner.now);
    if (turn->newest)
        job = TAILQ_LAST(&line->jobs, sched_jobs);
    turn->since = job->queued_at;
    return job;
}

/* Which of several jobs begins; NULL: none may. */
static struct sched_job *choose(struct sched *s) {
    struct backlog_turn turns[LINE_COUNT];
    struct sched_job *ordinary = turn_of(s, &s->queue.lines[LINE_ORDINARY], &turns[LINE_ORDINARY]);
    struct sched_job *free = free_cpus(s) ? turn_of(s, &s->queue.lines[LINE_FREE], &turns[LINE_FREE]) : NULL;
    if (ordinary && free)
        return backlog_goes_first(&turns[LINE_ORDINARY], &turns[LINE_FREE]) ? ordinary : free;
    return ordinary ? ordinary : free;
}

/* Whether there will be a thread for the loop in addition to one more job. `threads` jobs run in any case. Those that
 * wait for their peers, or are lost and made up for, come on top; if there can be no more threads, the job must wait,
 * not the loop. */
static bool has_thread_for_loop(struct sched *s) {
    unsigned beside = atomic_load(&s->peer_waits.count) + atomic_load(&s->lost.made_up);
    return atomic_load(&s->busy) + beside < s->config.threads || threads_can_take(s);
}

static bool may_begin(struct sched *s) {
    if (hold_is_on(s) || atomic_load(&s->busy) >= s->config.threads)
        return false;
    if (has_thread_for_loop(s))
        return true;
    peer_wait_give_way(s);
    return false;
}

/* The timer, so that those who wait are looked at even when nothing happens, with every thread stuck. */

static uint64_t next_look(const struct sched *s) {
    uint64_t next = UINT64_MAX;
    for (int i = LINE_NEW + 1; i < LINE_COUNT; i++) {
        const struct sched_job *oldest = oldest_of(&s->queue.lines[i]);
        uint64_t due = oldest ? backlog_next_look(&s->queue.limits, oldest->queued_at, s->owner.now) : UINT64_MAX;
        next = due < next ? due : next;
    }
    return next;
}

/* One that runs is due early enough: the oldest is followed by younger ones only. */
static void timer_start(struct sched *s, bool at_once) {
    ev_timer *timer = &s->queue.timer;
    uint64_t now = s->owner.now, due = at_once ? now : next_look(s);
    if (at_once)
        ev_timer_stop(s->config.loop, timer);
    if (due == UINT64_MAX || ev_is_active(timer))
        return;
    ev_now_update(s->config.loop);
    ev_timer_set(timer, due > now ? (double)(due - now) / 1e9 + 0.001 : 0., 0.);
    ev_timer_start(s->config.loop, timer);
}

/* Only wakes the owner, which looks at the queue after every event. */
static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)w;
    (void)revents;
}

/* The general case of queue_admit. */
static struct sched_job *admit_of_many(struct sched *s, bool begins) {
    look_at_lines(s);
    bool more = refuse_some(s);
    sort_new(s); /* those that came meanwhile */
    struct sched_job *job = begins ? choose(s) : NULL;
    if (!job && !queue_is_empty(s))
        timer_start(s, more);
    return job;
}

struct sched_job *queue_admit(struct sched *s) {
    /* The end of a job is the beginning of the next one. */
    if (!s->owner.now_fresh)
        s->owner.now = clock_ns();
    s->owner.now_fresh = false;
    /* A new one that is alone begins, and nothing has to be known of it. */
    struct sched_job *job = oldest_of(&s->queue.lines[LINE_NEW]);
    bool begins = may_begin(s);
    if (!begins || !job || s->queue.count > 1 || atomic_load_explicit(&s->watched, memory_order_relaxed))
        job = admit_of_many(s, begins);
    if (job && s->hold.job)
        hold_end(s);
    return job;
}

void queue_init(struct sched *s) {
    for (int i = 0; i < LINE_COUNT; i++) {
        TAILQ_INIT(&s->queue.lines[i].jobs);
        TAILQ_INIT(&s->queue.lines[i].left);
    }
    s->queue.limits = backlog_limits_of(s->config.queue_timeout, s->config.threads);
    ev_timer_init(&s->queue.timer, timer_cb, 0., 0.);
}

void queue_fini(struct sched *s) {
    ev_timer_stop(s->config.loop, &s->queue.timer);
}
