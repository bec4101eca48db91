#include "config.h"

#include "net/calls.h"

#include "ipc/scoreboard.h"
#include "net/exchange.h"
#include "net/lane_impl.h"

#include <assert.h>
#include <string.h>

static_assert(SCOREBOARD_CALLS == 64, "there is a bit for each place");

/* In the order that ipc/scoreboard.h asks for. A process that dies in between leaves a call untold, and no text that is
 * half that of another. */
static void fill(struct scoreboard_call *place, const struct request *r) {
    char text[SCOREBOARD_TEXT_SIZE];
    request_text(r, text, sizeof text);
    memcpy(place->text, text, sizeof text);
    atomic_store_explicit(&place->begun_at, r->job.begun_at, memory_order_release);
}

static void empty(struct scoreboard_call *place) {
    (void)atomic_exchange_explicit(&place->begun_at, 0, memory_order_acq_rel);
}

void calls_init(struct lane *lane) {
    struct calls *calls = &lane->calls;
    const struct lane_config *config = &lane->config;
    if (!config->board)
        return;
    calls->places = config->board->calls[config->slot];
    calls->vacant = UINT64_MAX;
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++) {
        /* Without writing to memory that nobody has used. */
        if (atomic_load_explicit(&calls->places[i].begun_at, memory_order_relaxed))
            empty(&calls->places[i]);
    }
}

void calls_add(struct exchange *x) {
    struct calls *calls = &x->conn->lane->calls;
    if (!calls->places || !calls->vacant)
        return;
    unsigned place = (unsigned)__builtin_ctzll(calls->vacant);
    calls->vacant &= calls->vacant - 1;
    x->told_at = place + 1;
    fill(&calls->places[place], &x->r);
}

void calls_remove(struct exchange *x) {
    struct calls *calls = &x->conn->lane->calls;
    if (!x->told_at)
        return;
    unsigned place = x->told_at - 1;
    x->told_at = 0;
    empty(&calls->places[place]);
    calls->vacant |= UINT64_C(1) << place;
}
