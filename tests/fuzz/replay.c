/* Feeds every file of the given directories to a fuzz target, so that stored inputs are tested without libFuzzer.
 * Each input lies in memory of exactly its size. */
#include "config.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20 };

static int replay_file(const char *path) {
    static uint8_t input[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    size_t n = fread(input, 1, sizeof input, f);
    int failed = ferror(f) || n == sizeof input;
    fclose(f);
    uint8_t *copy = malloc(n ? n : 1);
    if (failed || !copy) {
        fprintf(stderr, "%s: cannot be read, or has a mebibyte or more\n", path);
        free(copy);
        return -1;
    }
    if (n)
        memcpy(copy, input, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return 0;
}

/* Returns the number of files, or -1. */
static int replay_directory(const char *name) {
    char path[4096];
    int files = 0, failed = 0;
    struct dirent *entry;
    DIR *dir = opendir(name);
    if (!dir) {
        perror(name);
        return -1;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        failed |= replay_file(path);
        files++;
    }
    closedir(dir);
    return failed ? -1 : files;
}

int main(int argc, char **argv) {
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int files = replay_directory(argv[i]);
        if (files < 0)
            return EX_NOINPUT;
        total += files;
    }
    printf("%d inputs\n", total);
    return total ? EXIT_SUCCESS : EX_NOINPUT;
}
