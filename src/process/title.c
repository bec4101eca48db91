#include "config.h"

#include "process/title.h"

#include "base/ascii.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { FIRST_PLACE = 48, PLACES = 4 };
enum { NAME_SIZE = 64, ROLE_SIZE = 32, TITLE_SIZE = 160 };

#define LONGEST ": worker 127 (retiring)"

/* The strings of the command line, and those of the environment, stand one behind the other.
 * Mutable memory: title_init or title_find and the first title_set, before there is a second thread. */
static struct {
    char name[NAME_SIZE];
    char *start; /* NULL: unknown */
    size_t args; /* bytes of the command line, */
    size_t all;  /* and of the environment behind it */
    size_t size; /* bytes that may be written; 0: not decided yet */
} memory;

/* Returns where the strings end that begin at `at`, as far as each follows the one before. */
static char *end_of(char *const *strings, char *at) {
    for (; *strings && *strings == at; strings++)
        at += strlen(at) + 1;
    return at;
}

static void take_name(const char *program) {
    const char *slash = strrchr(program, '/');
    snprintf(memory.name, sizeof memory.name, "%s", slash ? slash + 1 : program);
}

void title_init(int argc, char *const *argv) {
    if (argc < 1 || !*argv[0])
        return;
    take_name(argv[0]);
    memory.start = argv[0];
    char *end = end_of(argv, argv[0]);
    memory.args = (size_t)(end - argv[0]);
    memory.all = (size_t)(end_of(environ, end) - argv[0]);
}

/* Reads where the kernel has put the command line and the environment (proc(5): fields 48 to 51). */
static bool read_places(uint64_t places[static PLACES]) {
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* a name may hold anything */
    for (int field = 2; at && field < FIRST_PLACE; field++)
        at = strchr(at + 1, ' ');
    for (int i = 0; at && i < PLACES; i++)
        at = *at == ' ' ? ascii_read_number(at + 1, 10, &places[i]) : NULL;
    return at;
}

void title_find(const char *name) {
    uint64_t places[PLACES];
    if (!read_places(places) || !places[0] || places[1] <= places[0])
        return;
    take_name(name);
    memory.start = (char *)(uintptr_t)places[0];
    memory.args = places[1] - places[0];
    memory.all = places[2] == places[1] && places[3] > places[2] ? places[3] - places[0] : memory.args;
}

/* Copies, which stay as long as the process, take the place of all that refers to the memory. Returns whether that could
 * be done. */
static bool move_environment(void) {
    const char *const end = memory.start + memory.all;
    for (char **item = environ; *item; item++) {
        if (*item < memory.start || *item >= end)
            continue;
        char *copy = strdup(*item);
        if (!copy)
            return false;
        *item = copy;
    }
    return true;
}

/* Where the command line has no room for the titles that may come, the kernel reads on in the environment
 * (setproctitle). Otherwise that stays where it is, and /proc/PID/environ shows it. */
static void reserve(void) {
    const size_t most = strlen(memory.name) + sizeof LONGEST;
    memory.size = memory.args;
    if (memory.args < most && memory.all > memory.args && move_environment())
        memory.size = memory.all < most ? memory.all : most;
}

void title_set(const char *role, const char *state) {
    char text[TITLE_SIZE];
    if (!memory.start)
        return;
    if (!memory.size)
        reserve();
    int n = snprintf(text, sizeof text, state ? "%s: %s (%s)" : "%s: %s", memory.name, role, state);
    size_t len = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    if (len >= memory.size)
        len = memory.size - 1;
    /* The end first: whoever looks meanwhile finds a zero behind what is there. */
    memset(memory.start + len, 0, memory.size - len);
    memcpy(memory.start, text, len);
    /* The kernel shows the whole memory of the command line, with all zeros, unless it does not end in one. */
    if (len + 1 < memory.args)
        memory.start[memory.args - 1] = ' ';
}

void title_set_worker(unsigned number, const char *state) {
    char role[ROLE_SIZE];
    snprintf(role, sizeof role, "worker %u", number);
    title_set(role, state);
}

void title_name_worker(unsigned number) {
    char name[ROLE_SIZE];
    snprintf(name, sizeof name, "wsgi-fcgi-w%u", number);
    (void)prctl(PR_SET_NAME, name);
}
