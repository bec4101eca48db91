#include "config.h"

#include "python/stack_ask.h"

#include "base/clock.h"
#include "python/stack_doing.h"
#include "python/stack_walk.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_NS = 100000,   /* between looks whether there is an answer */
    ENOUGH_NS = 1000000 /* of a processor, to see a signal */
};

/* A question is one word, so that a thread that comes late, when another one or nobody is asked, does nothing: thread,
 * number, phase. */
enum phase { IDLE, ASKED, ANSWERS, DONE };

static uint64_t word_of(int tid, uint32_t number, enum phase phase) {
    return (uint64_t)(uint32_t)tid << 32 | (uint64_t)(number % (1u << 29)) << 3 | phase;
}

static enum phase phase_of(uint64_t word) {
    return (enum phase)(word & 7);
}

/* Mutable question: who asks, one at a time; what is not atomic belongs to the thread that is asked from ANSWERS to
 * DONE. */
static struct question {
    _Atomic uint64_t word;
    uint32_t number;
    int signal; /* 0: there is none */
    const struct stack_layout *layout;
    const void *state;
    bool strict;
    int found; /* as stack_text returns it */
    struct stack_frame frames[STACK_FRAMES_MAX];
    struct stack_scratch scratch;
    char text[STACK_SIZE];
} question;

static void answer(void) {
    struct stack_walk walk = {.frames = question.frames, .most = STACK_FRAMES_MAX};
    question.found = -1;
    if (stack_walk(question.layout, question.state, &walk) && !walk.fresh && !(question.strict && walk.detached))
        question.found = stack_text(question.layout, &walk, &question.scratch, question.text, STACK_SIZE);
}

static void asked_cb(int number, siginfo_t *info, void *context) {
    int error = errno;
    uint64_t word = atomic_load(&question.word);
    (void)number;
    (void)info;
    (void)context;
    /* The number of a thread may be that of another one in a child. */
    if (phase_of(word) == ASKED && word >> 32 == (uint64_t)(uint32_t)gettid() &&
        atomic_compare_exchange_strong(&question.word, &word, word - ASKED + ANSWERS)) {
        answer();
        atomic_store(&question.word, word - ASKED + DONE);
    }
    errno = error;
}

static bool is_free(int number) {
    struct sigaction action;
    return !sigaction(number, NULL, &action) && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

static bool is_own(int number) {
    struct sigaction action;
    return !sigaction(number, NULL, &action) && action.sa_flags & SA_SIGINFO && action.sa_sigaction == asked_cb;
}

/* From the end, since people begin to count at SIGRTMIN. */
int stack_ask_find_signal(void) {
    int number = SIGRTMAX - 1;
    while (number >= SIGRTMIN && !is_free(number))
        number--;
    return number >= SIGRTMIN ? number : 0;
}

bool stack_ask_init(const struct stack_layout *layout) {
    struct sigaction action = {.sa_sigaction = asked_cb, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    question.layout = layout;
    int number = stack_ask_find_signal();
    if (number && !sigaction(number, &action, NULL))
        question.signal = number;
    return question.signal;
}

/* Whether a thread that has not answered for so long will not. Where many compute, it may have had no processor to do so. */
static bool is_silent(int tid, uint64_t waited, uint64_t ran) {
    uint64_t now;
    return waited >= STACK_ASK_MAX_NS ||
           (waited >= STACK_ASK_NS && (!stack_doing_time(tid, &now) || now - ran >= ENOUGH_NS));
}

/* A thread that has begun to answer is waited for: nothing that it does takes longer than some milliseconds. Returns
 * whether it has answered. */
static bool wait_for_answer(uint64_t word, int tid) {
    uint64_t begun = clock_ns(), done = word - ASKED + DONE, ran = 0;
    (void)stack_doing_time(tid, &ran);
    while (atomic_load(&question.word) != done) {
        uint64_t asked = word;
        if (is_silent(tid, clock_ns() - begun, ran) &&
            atomic_compare_exchange_strong(&question.word, &asked, word - ASKED + IDLE))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    return true;
}

enum stack_answer stack_ask(int tid, const void *state, bool strict, char out[static STACK_SIZE], unsigned *found) {
    if (!question.signal || !is_own(question.signal))
        return STACK_TAKEN;
    if (stack_doing_blocks(tid, question.signal))
        return STACK_BLOCKED;
    uint64_t word = word_of(tid, ++question.number, ASKED);
    question.state = state;
    question.strict = strict;
    atomic_store(&question.word, word);
    if (syscall(SYS_tgkill, getpid(), tid, question.signal) || !wait_for_answer(word, tid)) {
        atomic_store(&question.word, word - ASKED + IDLE);
        return STACK_SILENT;
    }
    if (question.found < 0)
        return STACK_TORN;
    *found = (unsigned)question.found;
    memcpy(out, question.text, STACK_SIZE);
    return STACK_ANSWERED;
}
