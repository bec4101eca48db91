#include "config.h"

#include "base/own_memory.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Behind its end nothing is mapped: a page that must not be touched can be read by the file all the same. */
static struct guard room;

static void setup(void) {
    guard_init(&room, 1);
    ck_assert_int_eq(munmap(room.end, (size_t)sysconf(_SC_PAGESIZE)), 0);
}

static void teardown(void) {
    munmap(room.base, (size_t)(room.end - room.base));
}

/* As a profile of a container does: from now on in this process, which is one of Check's for one test. */
static void forbid_call(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(code), code};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    struct iovec one = {code, 1};
    ck_assert(process_vm_readv(getpid(), &one, 1, &one, 1, 0) < 0);
}

static void check_copies(void) {
    char text[8] = "";
    const char *end = guard_put(&room, "abcd", 4);
    ck_assert(!own_memory_is_forbidden());
    ck_assert(own_memory_copy(text, end, 4) && !strcmp(text, "abcd"));
    ck_assert(!own_memory_copy(text, end, 5));
    ck_assert(!own_memory_copy(text, end + 4, 1));
    ck_assert(!own_memory_copy(text, NULL, 1));
    ck_assert(own_memory_copy(text, NULL, 0));
}

/* One behind the other, also where a piece is empty; and all or nothing counts. */
static void check_gathers(void) {
    char text[8] = "", other[] = "xyz";
    char *end = guard_put(&room, "abcd", 4);
    struct iovec good[] = {{end + 2, 2}, {other, 0}, {other, 3}, {end, 1}};
    ck_assert(own_memory_gather(text, good, 4) && !strcmp(text, "cdxyza"));
    ck_assert(own_memory_gather(text, good, 0));
    struct iovec at_first[] = {{end + 4, 1}, {other, 3}}, at_last[] = {{other, 3}, {end + 3, 2}};
    ck_assert(!own_memory_gather(text, at_first, 2));
    ck_assert(!own_memory_gather(text, at_last, 2));
}

START_TEST(by_call)
{
    ck_assert_int_eq(own_memory_init(), 0);
    check_copies();
    check_gathers();
}
END_TEST

START_TEST(by_file)
{
    forbid_call();
    ck_assert_int_eq(own_memory_init(), 0);
    check_copies();
    check_gathers();
}
END_TEST

/* The file of the parent goes on to have the memory of the parent. */
START_TEST(child_reads_its_own)
{
    static int number = 1;
    int status;
    forbid_call();
    ck_assert_int_eq(own_memory_init(), 0);
    pid_t child = fork();
    if (!child) {
        int copied = 0;
        number = 2;
        _exit(own_memory_init() || !own_memory_copy(&copied, &number, sizeof copied) ? 99 : copied);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 2);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("own_memory");
    TCase *tc = tcase_create("core");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, by_call);
    tcase_add_test(tc, by_file);
    tcase_add_test(tc, child_reads_its_own);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
