/* A directory that stands in for the root of the file system, for what reads /proc and /sys. */
#ifndef WSGI_FCGI_TESTS_FAKE_ROOT_H
#define WSGI_FCGI_TESTS_FAKE_ROOT_H

#include "unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static char root[] = "/tmp/wsgi-fcgi-unit.XXXXXX";

static inline void root_make(void) {
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(root));
}

/* Writes a file below `root`, and makes the directories above it. */
static inline void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        ck_assert(!mkdir(path, 0755) || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

#endif
