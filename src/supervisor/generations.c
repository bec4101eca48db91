#include "config.h"

#include "supervisor/generations.h"

#include "supervisor/supervisor.h"
#include "supervisor/workers.h"

struct worker *generations_find_new(struct supervisor *s, unsigned number) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (worker_is_live(w) && w->number == number && w->generation == s->generation)
            return w;
    }
    return NULL;
}

bool generations_has_old(const struct supervisor *s) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        if (s->workers[i].state != WORKER_NONE && s->workers[i].generation != s->generation)
            return true;
    }
    return false;
}

void generations_retire_old(struct supervisor *s, uint64_t now) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        struct worker *w = &s->workers[i];
        if (!worker_is_live(w) || w->generation == s->generation)
            continue;
        w->wish = WISH_RELOAD;
        if (w->state == WORKER_STARTING)
            workers_stop(w, now);
        else
            workers_retire(w, now);
    }
}

/* By the scoreboard, which workers of every version write. One that was told to retire before it served may do so for a
 * moment. */
const struct worker *generations_find_accepting(const struct supervisor *s) {
    for (unsigned i = 0; i < s->slots_made; i++) {
        const struct worker *w = &s->workers[i];
        if (w->state == WORKER_RETIRING && w->generation != s->generation && !w->killed &&
            atomic_load(&worker_score(w)->state) != SCOREBOARD_ENDING)
            return w;
    }
    return NULL;
}
