#include "config.h"

#include "python/running.h"

#include "request/request.h"

/* Mutable current: the thread. */
static _Thread_local struct request *current;

void running_set(struct request *r) {
    current = r;
}

struct request *running_request(void) {
    return current;
}

char *running_text(char *out, size_t size) {
    return current ? request_text(current, out, size) : NULL;
}
