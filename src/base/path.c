#include "config.h"

#include "base/path.h"

#include <stdio.h>
#include <string.h>

char *path_absolute(const char *directory, const char *path) {
    char *absolute;
    if (path[0] == '/' || !directory)
        return strdup(path);
    return asprintf(&absolute, "%s/%s", directory, path) < 0 ? NULL : absolute;
}

char *path_clean(const char *directory, const char *path) {
    char *clean = path_absolute(directory, path), *out = clean;
    if (!clean)
        return NULL;
    for (const char *in = clean, *next; *in; in = next) {
        const size_t slash = *in == '/', n = strcspn(in + slash, "/");
        next = in + slash + n;
        const char *part = in + slash;
        if (!n || (n == 1 && part[0] == '.'))
            continue;
        if (n == 2 && !memcmp(part, "..", 2)) {
            while (out > clean && *--out != '/')
                ;
            continue;
        }
        memmove(out, in, slash + n);
        out += slash + n;
    }
    *out = '\0';
    return clean;
}
