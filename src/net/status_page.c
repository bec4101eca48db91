#include "config.h"

#include "net/status_page.h"

#include "base/clock.h"
#include "ipc/inspect.h"

#include <string.h>

static const ev_tstamp LOOK = 0.001; /* seconds between two looks whether stacks are there */

/* Those that load the application, or are gone, have nobody who would answer. */
static bool may_answer(const struct scoreboard *board, unsigned slot) {
    if (!board)
        return slot == 0; /* this process is the only one */
    uint32_t state = atomic_load_explicit(&board->slots[slot].state, memory_order_relaxed);
    return state == SCOREBOARD_SERVING || state == SCOREBOARD_ENDING;
}

static void ask_all(struct status_page *page) {
    const struct scoreboard *board = page->source.board;
    page->asking = true;
    page->give_up_at = clock_ns() + (uint64_t)STATUS_PAGE_WAIT_MS * 1000000;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        page->asked[i] = may_answer(board, i);
        if (page->asked[i])
            page->questions[i] = inspect_question(page->inspect, i);
    }
}

static bool has_answered(const struct status_page *page, unsigned slot) {
    struct inspect_head head;
    return inspect_peek(page->inspect, slot, &head) && head.complete &&
           inspect_is_answered(head.number, page->questions[slot]);
}

/* Whether all have answered, or have had their time. */
static bool is_answered(struct status_page *page) {
    bool all = true;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (page->asked[i])
            page->asked[i] = !has_answered(page, i);
        all &= !page->asked[i];
    }
    return all || clock_ns() >= page->give_up_at;
}

/* One that is told may begin to wait again, or let others go. */
static void tell_waiters(struct status_page *page, bool stacks) {
    struct status_waiter *w, *next;
    for (w = TAILQ_FIRST(&page->waiters); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->stacks && !stacks)
            continue;
        TAILQ_REMOVE(&page->waiters, w, link);
        w->due = true;
        TAILQ_INSERT_TAIL(&page->due, w, link);
    }
    while ((w = TAILQ_FIRST(&page->due))) {
        status_page_cancel(page, w);
        w->ready(w);
    }
}

static void look_cb(struct ev_loop *loop, ev_timer *timer, int revents) {
    struct status_page *page = timer->data;
    (void)revents;
    bool answered = page->asking && is_answered(page);
    if (answered)
        page->asking = false;
    tell_waiters(page, answered);
    if (TAILQ_EMPTY(&page->waiters))
        ev_timer_stop(loop, timer);
}

void status_page_init(struct status_page *page, struct ev_loop *loop, const struct status_source *source,
                      struct inspect *inspect) {
    *page = (struct status_page){.loop = loop, .source = *source, .inspect = inspect};
    TAILQ_INIT(&page->waiters);
    TAILQ_INIT(&page->due);
    ev_timer_init(&page->timer, look_cb, 0., LOOK);
    page->timer.data = page;
}

void status_page_fini(struct status_page *page) {
    if (page->loop)
        ev_timer_stop(page->loop, &page->timer);
}

void status_page_wait(struct status_page *page, struct status_waiter *waiter, bool stacks) {
    waiter->stacks = stacks && page->inspect;
    waiter->due = false;
    TAILQ_INSERT_TAIL(&page->waiters, waiter, link);
    if (waiter->stacks && !page->asking)
        ask_all(page);
    if (ev_is_active(&page->timer))
        return;
    ev_now_update(page->loop); /* it may have been long in a callback */
    ev_timer_set(&page->timer, waiter->stacks ? LOOK : 0., LOOK);
    ev_timer_start(page->loop, &page->timer);
}

void status_page_cancel(struct status_page *page, struct status_waiter *waiter) {
    TAILQ_REMOVE(waiter->due ? &page->due : &page->waiters, waiter, link);
}

/* What other processes know: signals change how many workers there are to be, and the supervisor has no Python. */
static void ask_board(const struct scoreboard *board, struct status_source *source,
                      char python[static SCOREBOARD_PYTHON_SIZE]) {
    uint32_t wanted = atomic_load_explicit(&board->wanted, memory_order_relaxed);
    source->workers = wanted ? wanted : source->workers;
    memcpy(python, board->python, SCOREBOARD_PYTHON_SIZE);
    python[SCOREBOARD_PYTHON_SIZE - 1] = '\0';
    source->python = python[0] ? python : NULL;
}

int status_page_render(const struct status_page *page, enum status_form form, bool stacks, struct buf *out) {
    struct status_source source = page->source;
    char python[SCOREBOARD_PYTHON_SIZE];
    source.stacks = stacks;
    if (source.board && source.workers)
        ask_board(source.board, &source, python);
    return status_render(form, &source, out);
}
