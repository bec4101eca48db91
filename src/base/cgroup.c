#include "config.h"

#include "base/cgroup.h"

#include "base/ascii.h"
#include "base/descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void cgroup_read_text(const char *root, const char *name, char *out, size_t size) {
    char path[PATH_MAX];
    out[0] = '\0';
    if ((size_t)snprintf(path, sizeof path, "%s%s", root, name) >= sizeof path)
        return;
    descriptors_lock();
    int fd = descriptors_adopt(open(path, O_RDONLY | O_CLOEXEC));
    descriptors_unlock();
    if (fd < 0)
        return;
    ssize_t n = pread(fd, out, size - 1, 0);
    descriptors_close(fd);
    out[n > 0 ? n : 0] = '\0';
}

bool cgroup_read_number(const char *root, const char *name, uint64_t *number) {
    char text[32];
    cgroup_read_text(root, name, text, sizeof text);
    return ascii_read_number(text, 10, number) != NULL;
}

/* The group itself and those above it. Returns whether to go on. */
static bool visit_upwards(const char *root, const char *hierarchy, const char *group, size_t len, bool version_2,
                          cgroup_cb *visit, void *arg) {
    char path[PATH_MAX];
    const size_t top = strlen(hierarchy);
    if (top + len >= sizeof path)
        return true;
    memcpy(path, hierarchy, top);
    memcpy(path + top, group, len);
    path[top + len] = '\0';
    for (char *end = path + top + len; end; end = strrchr(path + top, '/')) {
        *end = '\0';
        if (!visit(arg, root, path, version_2))
            return false;
    }
    return true;
}

static bool has_controller(const char *list, size_t len, const char *controller) {
    const size_t n = strlen(controller);
    for (const char *end = list + len; list <= end; list += strcspn(list, ",:") + 1) {
        if (!strncmp(list, controller, n) && strcspn(list, ",:") == n)
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH", with no controllers for version 2. */
void cgroup_each(const char *root, const char *controller, cgroup_cb *visit, void *arg) {
    char text[4096], hierarchy[64];
    cgroup_read_text(root, "/proc/self/cgroup", text, sizeof text);
    snprintf(hierarchy, sizeof hierarchy, "/%s", controller);
    for (const char *line = text, *next; *line; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        const char *controllers = memchr(line, ':', len);
        const char *path = controllers ? memchr(controllers + 1, ':', (size_t)(line + len - controllers - 1)) : NULL;
        if (!path)
            continue;
        bool version_2 = path == ++controllers;
        size_t path_len = (size_t)(line + len - path - 1);
        if (!version_2 && !has_controller(controllers, (size_t)(path - controllers), controller))
            continue;
        if (!visit_upwards(root, version_2 ? "" : hierarchy, path + 1, path_len, version_2, visit, arg))
            return;
    }
}
