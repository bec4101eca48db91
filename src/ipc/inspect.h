/* What runs in the processes of one server at this moment: questions, and answers with the stacks of all calls, in
 * memory that they share (ipc/shared_memory.h).
 *
 * Each process that serves has a slot, the one that it has in the scoreboard. Somebody who wants to know asks each of
 * them (inspect_question), and goes on; a thread of that process (process/inspector.h) wakes, finds out, and writes the
 * answer into its slot. It takes no lock of Python's, so it answers whatever the calls do. Nothing is kept up to date
 * meanwhile: only who asks costs anything.
 *
 * An answer comes in pieces: first what runs, and then, as `complete`, with all stacks. Who dies while it writes leaves
 * no answer. Readers are never kept waiting.
 *
 * A process writes its own answer, and counts questions in all slots; everybody reads all. Nothing in it is trusted to
 * be sensible: inspect_read gives texts that end and places that are in bounds, whatever is there. What they say may
 * come from a peer or from the application: who shows it escapes it.
 *
 * Open it to tell more of a call that runs.
 *
 * Threads: any, but inspect_wait and inspect_answer one of each slot. None of the functions waits, but inspect_wait.
 */
#ifndef WSGI_FCGI_IPC_INSPECT_H
#define WSGI_FCGI_IPC_INSPECT_H

#include "ipc/scoreboard.h"
#include "ipc/shared_memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes, of texts with their ends. */
enum {
    INSPECT_CALLS = 64, /* that are told of one by one: those that have run for longest */
    INSPECT_THREAD_SIZE = 24,
    INSPECT_ID_SIZE = 136,
    INSPECT_TRACE_SIZE = 40,
    INSPECT_METHOD_SIZE = 24,
    INSPECT_PATH_SIZE = 400,
    INSPECT_FILE_SIZE = 256,
    INSPECT_FUNCTION_SIZE = 128,
    INSPECT_STACKS_SIZE = 1 << 17 /* for the stacks of one process; what is equal is there once */
};

/* What the thread of a call is doing. The numbers are part of what versions have in common, as the next ones. */
enum inspect_state {
    INSPECT_UNKNOWN = 0,
    INSPECT_COMPUTES = 1,
    INSPECT_BLOCKED = 2,       /* it sleeps in the kernel: a database, a lock of the application's, a disk */
    INSPECT_WAITS_FOR_LOCK = 3 /* the interpreter lock */
};

enum inspect_phase {
    INSPECT_RUNNING = 0,
    INSPECT_OVERDUE = 1, /* beyond --request-timeout: the client was answered */
    INSPECT_READS = 2,   /* it waits for more of the request's body */
    INSPECT_SENDS = 3    /* it waits until the client takes more of the answer */
};

/* Who has the interpreter lock of the process. */
enum inspect_lock {
    INSPECT_LOCK_UNKNOWN = 0, /* or nobody */
    INSPECT_LOCK_CALL = 1,    /* the call that has has_lock */
    INSPECT_LOCK_OTHER = 2    /* none of the calls, and somebody waits for it: a thread of the application's own */
};

#define INSPECT_NOT_KNOWN UINT64_MAX

struct inspect_call {
    uint64_t begun_at;  /* clock_ns of base/clock.h: when the call began */
    uint64_t queued;    /* nanoseconds for which the request had waited for a thread before */
    uint64_t processor; /* nanoseconds of a processor that it has had; INSPECT_NOT_KNOWN */
    uint64_t waited;    /* for the interpreter lock, if it waits for that: nanoseconds until now; INSPECT_NOT_KNOWN */
    int32_t tid;        /* in the system */
    uint32_t state;     /* enum inspect_state */
    uint32_t phase;     /* enum inspect_phase */
    uint32_t has_lock;  /* it has the interpreter lock */
    uint32_t line;      /* where it is, in `file`; 0: not known */
    uint32_t
        frames; /* of its stack. 0: there is none, and in its place is the reason, such as "its stack cannot be..." */
    /* Where its stack is in struct inspect_answer.stacks, and how long, without its end: as python/stack.h writes it,
     * the innermost frame last. 0 bytes: it has yet to be read. */
    uint32_t stack, stack_len;
    char thread[INSPECT_THREAD_SIZE]; /* its name in the system */
    char request_id[INSPECT_ID_SIZE]; /* "" if it has none, as the next one */
    char trace_id[INSPECT_TRACE_SIZE];
    char method[INSPECT_METHOD_SIZE]; /* as it came, cut off at its size, as the next one */
    char path[INSPECT_PATH_SIZE];     /* without a query */
    char file[INSPECT_FILE_SIZE];     /* where it is: the innermost frame; "": not known. Cut off at the front */
    char function[INSPECT_FUNCTION_SIZE];
};

struct inspect_answer {
    uint64_t at;       /* clock_ns when it was found out; 0: never yet */
    int32_t pid;       /* whose it is: another process may have the slot by now */
    uint32_t number;   /* the last question that it answers */
    uint32_t complete; /* all stacks are there */
    uint32_t count;    /* calls, the one first that has run for longest... */
    uint32_t more;     /* ...and calls that have no place among these */
    uint32_t lock;     /* enum inspect_lock */
    uint32_t stacks_len;
    uint32_t unused;
    struct inspect_call calls[INSPECT_CALLS];
    char stacks[INSPECT_STACKS_SIZE]; /* each with a zero byte behind it */
};

/* What it begins with, without the rest, which is large. */
struct inspect_head {
    uint64_t at;
    int32_t pid;
    uint32_t number, complete, count, more, lock, stacks_len, unused;
};

struct inspect_slot {
    _Alignas(64) _Atomic uint32_t asked;    /* how many questions there were, modulo 2^32; a futex(2) */
    _Alignas(64) _Atomic uint32_t sequence; /* odd while the answer is written */
    _Alignas(64) struct inspect_answer answer;
};

struct inspect {
    struct shared_memory_head head;
    struct inspect_slot slots[SCOREBOARD_SLOTS];
};

/* Makes one, as shared_memory_new. */
struct inspect *inspect_new(int *fd);

/* Maps one that another process has made, as shared_memory_map. */
struct inspect *inspect_map(int fd);

void inspect_unmap(struct inspect *inspect);

/* Asking. */

/* Asks the process in a slot: one system call. Returns the number of the question. Nobody may be there to answer. */
uint32_t inspect_question(struct inspect *inspect, unsigned slot);

/* Whether an answer with this number answers a question, or a later one. */
static inline bool inspect_is_answered(uint32_t number, uint32_t question) {
    return (int32_t)(number - question) >= 0;
}

/* Copies the newest answer of a slot to *out: of `calls` and `stacks`, what is used. Returns false when there is none,
 * or just another one comes again and again. */
bool inspect_read(const struct inspect *inspect, unsigned slot, struct inspect_answer *out);

/* The same without calls and stacks. */
bool inspect_peek(const struct inspect *inspect, unsigned slot, struct inspect_head *out);

/* The text of the stack of a call, or why there is none, in an answer that was read; or "" when it has yet to be read.
 */
const char *inspect_stack(const struct inspect_answer *answer, const struct inspect_call *call);

/* "computing", "blocked", "waiting for the lock", "unknown". */
const char *inspect_state_text(uint32_t state);

/* "running", "overdue", "reading the request", "sending the answer". */
const char *inspect_phase_text(uint32_t phase);

/* Answering. */

/* Takes the slot: no answer is there any more. Returns the number of the last question. */
uint32_t inspect_begin(struct inspect *inspect, unsigned slot);

/* Waits for a question later than `seen`, or until inspect_question is called by this process, for its own ends.
 * Returns the number of the last one; or `seen`, when it was woken without. */
uint32_t inspect_wait(struct inspect *inspect, unsigned slot, uint32_t seen);

/* Writes the answer. */
void inspect_answer(struct inspect *inspect, unsigned slot, const struct inspect_answer *answer);

#endif
