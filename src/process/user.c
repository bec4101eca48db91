#include "config.h"

#include "process/user.h"

#include "base/log.h"
#include "net/listen/id.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { SHOWN_SIZE = 100 };

/* Names. */

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

static int complain_name(const char *source, const char *what, const char *name) {
    char shown[SHOWN_SIZE];
    log_error("%s: there is no %s \"%s\" on this machine", source, what,
              log_escape(shown, sizeof shown, name, strlen(name)));
    return EX_NOUSER;
}

/* Fills uid, name and home, and gid with the user's own group. *has_group tells whether it is known. */
static int find_user(struct user *u, const struct options *o, bool *has_group) {
    const char *text = o->user;
    uid_t number = 0;
    const struct passwd *pw = text ? getpwnam(text) : getpwuid(geteuid());
    const bool is_number = text && !pw && id_read(text, &number);
    if (is_number)
        pw = getpwuid(number);
    if (text && !pw && !is_number)
        return complain_name(options_name(o, "--user"), "user", text);
    u->uid = pw ? pw->pw_uid : is_number ? number : geteuid();
    u->gid = pw ? pw->pw_gid : getegid();
    *has_group = pw;
    if (!pw)
        return 0;
    u->name = strdup(pw->pw_name);
    u->home = strdup(pw->pw_dir);
    return u->name && u->home ? 0 : no_memory();
}

static int find_group(struct user *u, const struct options *o) {
    const struct group *gr = getgrnam(o->group);
    if (!gr && !id_read(o->group, &u->gid))
        return complain_name(options_name(o, "--group"), "group", o->group);
    if (gr)
        u->gid = gr->gr_gid;
    return 0;
}

/* Those of the user's name; of a number alone, its one group. */
static int find_groups(struct user *u) {
    int count = 16, room = 0;
    while (room < count) {
        room = count;
        gid_t *larger = realloc(u->groups, (size_t)room * sizeof *larger);
        if (!larger)
            return no_memory();
        u->groups = larger;
        if (!u->name) {
            u->groups[0] = u->gid;
            count = 1;
        } else if (getgrouplist(u->name, u->gid, u->groups, &count) >= 0)
            break;
    }
    u->ngroups = (size_t)count;
    return 0;
}

/* Rights. */

/* Sets of capabilities 0 to 31 and 32 to 63. Returns 0, or -1 with errno. */
static int read_capabilities(struct __user_cap_data_struct data[static _LINUX_CAPABILITY_U32S_3]) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    return (int)syscall(SYS_capget, &head, data);
}

static bool has_capabilities(uint32_t wanted) {
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    return !read_capabilities(data) && (data[0].effective & wanted) == wanted;
}

static bool may_change(void) {
    return has_capabilities(1u << CAP_SETUID | 1u << CAP_SETGID);
}

static bool is_already(const struct user *u) {
    uid_t uid[3];
    gid_t gid[3];
    if (getresuid(&uid[0], &uid[1], &uid[2]) || getresgid(&gid[0], &gid[1], &gid[2]))
        return false;
    for (int i = 0; i < 3; i++) {
        if (uid[i] != u->uid || gid[i] != u->gid)
            return false;
    }
    return true;
}

int user_read(struct user *u, const struct options *o) {
    bool has_group = false;
    *u = (struct user){.changes = false};
    if (!o->user && !o->group)
        return 0;
    int status = find_user(u, o, &has_group);
    if (!status && o->group)
        status = find_group(u, o);
    else if (!status && !has_group) {
        log_error("%s: user %u has no entry in passwd(5), which would tell its group: give --group as well",
                  options_name(o, "--user"), u->uid);
        status = EX_NOUSER;
    }
    if (!status)
        status = find_groups(u);
    if (status)
        return status;
    /* Whoever is that user already, and not root, has the groups that somebody has given it, as systemd does. */
    u->changes = !is_already(u) || may_change();
    if (!u->changes || may_change())
        return 0;
    log_error("%s: only root may change to another user or group (CAP_SETUID and CAP_SETGID): start the server as "
              "root, or leave --user and --group out",
              options_name(o, o->user ? "--user" : "--group"));
    return EX_NOPERM;
}

void user_fini(struct user *u) {
    free(u->groups);
    free(u->name);
    free(u->home);
    *u = (struct user){.changes = false};
}

uid_t user_owner(const struct user *u) {
    return u->changes ? u->uid : (uid_t)-1;
}

gid_t user_owning_group(const struct user *u) {
    return u->changes ? u->gid : (gid_t)-1;
}

/* The change. */

static int complain(const struct user *u, const char *what) {
    log_error("cannot become user %u with group %u: %s: %s", u->uid, u->gid, what, strerror(errno));
    return EX_OSERR;
}

/* What user_act_as(u, true) has left.
 * Mutable before: the main thread. */
static struct {
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    int ngroups;
} before;

static int read_before(void) {
    before.uid = geteuid();
    before.gid = getegid();
    before.ngroups = getgroups(0, NULL);
    if (before.ngroups < 0 || !(before.groups = calloc((size_t)before.ngroups + 1, sizeof *before.groups)))
        return -1;
    return getgroups(before.ngroups, before.groups) == before.ngroups ? 0 : -1;
}

int user_act_as(const struct user *u, bool as) {
    if (!u->changes)
        return 0;
    if (as)
        return read_before() || setgroups(u->ngroups, u->groups) || setegid(u->gid) || seteuid(u->uid)
                   ? complain(u, "to look at directories")
                   : 0;
    int status = seteuid(before.uid) || setegid(before.gid) || setgroups((size_t)before.ngroups, before.groups)
                     ? complain(u, "behind a look at directories")
                     : 0;
    free(before.groups);
    before.groups = NULL;
    return status;
}

/* Root stays root with all that it has. */
static int drop_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return (int)syscall(SYS_capset, &head, none);
}

/* Whether anything of what it was could be had again. */
static bool can_go_back(const struct user *u) {
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (!is_already(u))
        return true;
    if (!u->uid)
        return false;
    if (!setresuid((uid_t)-1, 0, (uid_t)-1) || read_capabilities(data))
        return true;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        if (data[i].effective | data[i].permitted | data[i].inheritable)
            return true;
    }
    return u->gid && !setresgid((gid_t)-1, 0, (gid_t)-1);
}

static int change(const struct user *u) {
    if (setgroups(u->ngroups, u->groups))
        return complain(u, "setgroups");
    if (setresgid(u->gid, u->gid, u->gid))
        return complain(u, "setresgid");
    if (setresuid(u->uid, u->uid, u->uid))
        return complain(u, "setresuid");
    if (u->uid && drop_capabilities())
        return complain(u, "capset");
    if (can_go_back(u)) {
        log_error("could become root again as user %u with group %u: ending, since --user would protect from nothing",
                  u->uid, u->gid);
        return EX_OSERR;
    }
    /* The change has made the files of the process in /proc those of root, by which the server sees what calls do that
     * take too long (python/stack.h), and whether threads sleep. */
    (void)prctl(PR_SET_DUMPABLE, 1);
    return 0;
}

/* The environment. */

static int set(const char *name, const char *value) {
    return value ? setenv(name, value, 1) : unsetenv(name);
}

static int set_all(const struct user *u, const struct options *o) {
    if (o->user && (set("HOME", u->home ? u->home : "/") || set("USER", u->name) || set("LOGNAME", u->name)))
        return -1;
    for (size_t i = 0; i < o->env.count; i++) {
        const char *item = o->env.items[i], *value = strchr(item, '=');
        char *name = strndup(item, (size_t)(value - item));
        int failed = !name || setenv(name, value + 1, 1);
        free(name);
        if (failed)
            return -1;
    }
    return 0;
}

int user_become(const struct user *u, const struct options *o) {
    int status = u->changes ? change(u) : 0;
    if (!status && set_all(u, o))
        status = no_memory();
    return status;
}

/* In a child, as the rights of another thread would be within reach of that user. */
int user_kill(const struct user *u, pid_t pid, int number) {
    int status;
    if (!u->changes)
        return kill(pid, number);
    const pid_t child = fork();
    if (!child)
        _exit(setresuid(u->uid, u->uid, u->uid) || kill(pid, number) ? errno : 0);
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return errno ? -1 : 0;
}

void user_warn_supervisor(const struct user *u) {
    if (u->changes && u->uid != geteuid() && !has_capabilities(1u << CAP_KILL))
        log_warning("--user: the supervisor cannot kill a worker that hangs, which is of another user: let it have the "
                    "capability CAP_KILL");
}

void user_warn_root(const struct options *o) {
    if (!geteuid() && !o->user)
        log_warning("the application runs as root: whoever breaks into it has the whole machine: give --user NAME, for "
                    "example --user www-data, or --user root if that is meant");
}
