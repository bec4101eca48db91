#include "config.h"

#include "net/listen/listener.h"

#include "base/log.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { GROUPS_MAX = 256, NAME_SIZE = 64 };

/* The users as whom distribution packages run nginx, Apache, lighttpd and Caddy. */
static const char *const usual_users[] = {"www-data", "nginx", "caddy", "apache", "http"};

struct web_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

static bool find_user(const char *name, struct web_user *u) {
    const struct passwd *pw = getpwnam(name);
    if (!pw)
        return false;
    u->uid = pw->pw_uid;
    u->gid = pw->pw_gid;
    u->group_count = GROUPS_MAX;
    if (getgrouplist(name, pw->pw_gid, u->groups, &u->group_count) < 0)
        u->group_count = GROUPS_MAX;
    return true;
}

/* `bit` is the one for others: 1 to search a directory, 2 to write. An access list counts as permission: somebody made
 * it on purpose, and the mode alone would not tell. */
static bool may(const struct web_user *u, const char *path, const struct stat *st, mode_t bit) {
    if (u->uid == 0 || lgetxattr(path, "system.posix_acl_access", NULL, 0) > 0)
        return true;
    if (u->uid == st->st_uid)
        return st->st_mode & bit << 6;
    for (int i = 0; i < u->group_count; i++)
        if (u->groups[i] == st->st_gid)
            return st->st_mode & bit << 3;
    return st->st_mode & bit;
}

/* Returns whether something on the way keeps the user from connecting to `path`. If so, cuts `path` (a copy that the
 * caller made) to what is in the way, and *st describes it. */
static bool find_obstacle(const struct web_user *u, char *path, struct stat *st) {
    for (char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        char *end = slash == path ? slash + 1 : slash, saved = *end;
        *end = '\0';
        if (stat(path, st) == 0 && !may(u, path, st, 1))
            return true;
        *end = saved;
    }
    return lstat(path, st) == 0 && !may(u, path, st, 2);
}

static const char *group_name(gid_t gid, char out[static NAME_SIZE]) {
    const struct group *gr = getgrgid(gid);
    if (gr)
        snprintf(out, NAME_SIZE, "%s", gr->gr_name);
    else
        snprintf(out, NAME_SIZE, "%u", gid);
    return out;
}

static const char *user_name(uid_t uid, char out[static NAME_SIZE]) {
    const struct passwd *pw = getpwuid(uid);
    if (pw)
        snprintf(out, NAME_SIZE, "%s", pw->pw_name);
    else
        snprintf(out, NAME_SIZE, "%u", uid);
    return out;
}

static void warn(const struct listener *l, const char *name, const struct web_user *u, const char *obstacle,
                 const struct stat *st) {
    char owner[NAME_SIZE], group[NAME_SIZE], wanted[NAME_SIZE], shown[ADDRESS_TEXT_SIZE], advice[256] = "";
    struct stat file;
    user_name(st->st_uid, owner);
    group_name(st->st_gid, group);
    group_name(u->gid, wanted);
    unsigned mode = st->st_mode & 07777;
    if (lstat(l->path, &file) == 0 && !may(u, l->path, &file, 2))
        snprintf(advice, sizeof(advice), "add --socket-group %s%s", wanted,
                 file.st_mode & 020 ? "" : " --socket-mode 0660");
    if (S_ISDIR(st->st_mode))
        log_warning("web servers run as %s here, which may not enter %s (mode %04o, %s:%s) and so not connect to %s: "
                    "choose a directory it may enter, such as /run%s%s",
                    name, log_escape(shown, sizeof(shown), obstacle, strlen(obstacle)), mode, owner, group, l->text,
                    *advice ? ", and " : "", advice);
    else
        log_warning("web servers run as %s here, which may not connect to %s (mode %04o, %s:%s): %s", name, l->text,
                    mode, owner, group, advice);
}

void listener_warn_web_user(const struct listener *l) {
    struct web_user u;
    struct stat st;
    const char *first = NULL;
    bool refused = true;
    char *path = l->path ? strdup(l->path) : NULL;
    if (!path)
        return;
    for (size_t i = 0; i < sizeof(usual_users) / sizeof(usual_users[0]) && refused; i++) {
        if (!find_user(usual_users[i], &u))
            continue;
        first = first ? first : usual_users[i];
        refused = find_obstacle(&u, path, &st);
        strcpy(path, l->path);
    }
    if (first && refused && find_user(first, &u) && find_obstacle(&u, path, &st))
        warn(l, first, &u, path, &st);
    free(path);
}
