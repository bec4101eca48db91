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
