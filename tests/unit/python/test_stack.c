#include "config.h"

#include "unit/python/python_rig.h"

#include "python/stack.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static char text[STACK_SIZE], why[STACK_REASON_SIZE];
static enum stack_state doing;

/* Each test is a process of its own, so its threads need not end. */
static void setup(void) {
    Py_InitializeEx(0);
    ck_assert_msg(!stack_init(why), "%s", why);
    PyEval_SaveThread();
}

static unsigned take(const struct runner *runner) {
    return stack_take(atomic_load(&runner->tid), runner->state, text, &doing);
}

static bool begins_with(const char *in, const char *what) {
    return !strncmp(in, what, strlen(what));
}

static bool ends_with(const char *in, const char *what) {
    size_t n = strlen(in), m = strlen(what);
    return n >= m && !strcmp(in + n - m, what);
}

/* Takes it until the thread does that, and its innermost frame is there: where it says here() is a moment before. */
static unsigned take_at(const struct runner *runner, enum stack_state wanted, const char *innermost) {
    unsigned found;
    do
        found = take(runner);
    while (doing != wanted || !ends_with(text, innermost));
    return found;
}

/* The same wherever that is. */
static unsigned take_while(const struct runner *runner, enum stack_state wanted) {
    unsigned found;
    do
        found = take(runner);
    while (doing != wanted);
    return found;
}

/* Python's own words, with the innermost frame last; also of frames that C code called. */
START_TEST(test_sleeps)
{
    struct runner runner;
    runner_start(&runner, "/srv/app/views.py",
                 "import time\n"
                 "class View:\n"
                 "    def get(self, key):\n"
                 "        here()\n"
                 "        time.sleep(\n"
                 "            1000)\n"
                 "\n"
                 "def items():\n"
                 "    yield sorted([1], key=View().get)\n"
                 "next(items())\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 5, in View.get\n"), 3);
    ck_assert_str_eq(text, "  File \"/srv/app/views.py\", line 10, in <module>\n"
                           "  File \"/srv/app/views.py\", line 9, in items\n"
                           "  File \"/srv/app/views.py\", line 5, in View.get\n");
    ck_assert_str_eq(stack_state_text(doing), "sleeps");
}
END_TEST

START_TEST(test_computes)
{
    struct runner runner;
    runner_start(&runner, "/srv/loop.py",
                 "def work(n):\n"
                 "    here()\n"
                 "    while True:\n"
                 "        n = (n * 7 + 1) % 1000003\n"
                 "work(1)\n");
    ck_assert_uint_eq(take_at(&runner, STACK_COMPUTES, ", line 4, in work\n"), 2);
    ck_assert_str_eq(text, "  File \"/srv/loop.py\", line 5, in <module>\n"
                           "  File \"/srv/loop.py\", line 4, in work\n");
    ck_assert_str_eq(stack_state_text(doing), "is computing");
}
END_TEST

/* A stack that is never the same twice: the thread has to be asked. */
START_TEST(test_changes_all_the_time)
{
    struct runner runner;
    unsigned found;
    runner_start(&runner, "/srv/fib.py",
                 "def fib(n):\n"
                 "    return fib(n - 1) + fib(n - 2) if n > 1 else 1\n"
                 "here()\n"
                 "while True:\n"
                 "    fib(30)\n");
    take_at(&runner, STACK_COMPUTES, "in fib\n");
    for (int i = 0; i<100; i += found> 0) {
        found = take_while(&runner, STACK_COMPUTES);
        /* On a busy machine it may get no processor to answer. */
        REQUIRE(found || ends_with(text, "the thread did not answer in time"));
        REQUIRE(!found || begins_with(text, "  File \"/srv/fib.py\", line 5, in <module>\n") ||
                begins_with(text, "  File \"/srv/fib.py\", line 4, in <module>\n"));
    }
}
END_TEST

/* With the interpreter lock, so that nobody could run Python to find out. */
START_TEST(test_computes_in_c)
{
    struct runner runner;
    runner_start(&runner, "/srv/loop.py", "def work():\n    here()\n    sum(range(10**15))\nwork()\n");
    take_at(&runner, STACK_COMPUTES, ", line 3, in work\n");
}
END_TEST

static const char SLEEPS_WITH_LOCK[] = "import ctypes\n"
                                       "def work():\n"
                                       "    here()\n"
                                       "    while True: ctypes.PyDLL(None).sleep(1000)\n"
                                       "work()\n";

START_TEST(test_sleeps_with_lock)
{
    struct runner runner;
    runner_start(&runner, "/srv/c.py", SLEEPS_WITH_LOCK);
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 4, in work\n"), 2);
}
END_TEST

START_TEST(test_waits_for_lock)
{
    struct runner waits, sleeps;
    runner_start(&waits, "/srv/wait.py",
                 "import time\n"
                 "here()\n"
                 "while True:\n"
                 "    time.sleep(0.001)\n");
    runner_start(&sleeps, "/srv/c.py", SLEEPS_WITH_LOCK);
    ck_assert_uint_eq(take_at(&waits, STACK_WAITS, ", line 4, in <module>\n"), 1);
    ck_assert_str_eq(text, "  File \"/srv/wait.py\", line 4, in <module>\n");
    ck_assert_str_eq(stack_state_text(doing), "waits for the interpreter lock");
    /* A lock of the application's is another one. */
    ck_assert_uint_eq(take_at(&sleeps, STACK_SLEEPS, ", line 4, in work\n"), 2);
}
END_TEST

START_TEST(test_lock_of_application)
{
    struct runner runner;
    runner_start(&runner, "/srv/dead.py",
                 "import threading\n"
                 "lock = threading.Lock()\n"
                 "lock.acquire()\n"
                 "here()\n"
                 "lock.acquire()\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 5, in <module>\n"), 1);
    ck_assert_str_eq(text, "  File \"/srv/dead.py\", line 5, in <module>\n");
}
END_TEST

/* The innermost frames are those that have room. */
START_TEST(test_deep)
{
    struct runner runner;
    unsigned left_out;
    char line[100];
    runner_start(&runner, "/srv/deep.py",
                 "import sys, time\n"
                 "sys.setrecursionlimit(10000)\n"
                 "def f(n):\n"
                 "    g(n - 1)\n"
                 "def g(n):\n"
                 "    if n > 0:\n"
                 "        f(n)\n"
                 "    here()\n"
                 "    time.sleep(1000)\n"
                 "f(700)\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 9, in g\n"), 1401);
    ck_assert_int_eq(sscanf(text, "  ... %u frames left out\n", &left_out), 1);
    snprintf(line, sizeof line, "  ... %u frames left out\n", left_out);
    ck_assert(begins_with(text, line));
    ck_assert_uint_gt(left_out, 500);
    ck_assert_uint_gt(strlen(text), STACK_SIZE - 200);
    unsigned lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    ck_assert_uint_eq(lines - 1 + left_out, 1401);
    ck_assert(ends_with(text, "  File \"/srv/deep.py\", line 4, in f\n  File \"/srv/deep.py\", line 9, in g\n"));
}
END_TEST

/* Code objects that come and go, each at the place of the one before, with the same names and with tables of lines at
 * the same place: what was read of one a moment ago is not told of another. The line that calls tells which it is. */
START_TEST(test_other_code_at_its_place)
{
    struct runner runner;
    static const char first[] = "line 7, in <module>\n  File \"x\", line 1, in <module>\n",
                      second[] = "line 8, in <module>\n  File \"x\", line 2, in <module>\n";
    int firsts = 0, seconds = 0;
    runner_start(&runner, "/srv/fresh.py",
                 "import time\n"
                 "sleep = time.sleep\n"
                 "here()\n"
                 "def run(text):\n"
                 "    return compile(text, 'x', 'exec')\n"
                 "while True:\n"
                 "    for _ in 1, 2, 3: exec(run('sleep(.0003)'))\n"
                 "    for _ in 1, 2, 3: exec(run('\\nsleep(.0003)'))\n");
    while (firsts < 100 || seconds < 100) {
        if (!take(&runner) || doing != STACK_SLEEPS || !strstr(text, "\"x\""))
            continue;
        bool is_first = ends_with(text, first), is_second = ends_with(text, second);
        ck_assert_msg(is_first || is_second, "%s", text);
        firsts += is_first;
        seconds += is_second;
    }
}
END_TEST

/* As Python shows it. */
START_TEST(test_repeated)
{
    struct runner runner;
    runner_start(&runner, "/srv/again.py",
                 "import time\n"
                 "def f(n):\n"
                 "    if n:\n"
                 "        f(n - 1) if n % 2 else f(n - 1)\n"
                 "    here()\n"
                 "    time.sleep(1000)\n"
                 "f(600)\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 6, in f\n"), 602);
    ck_assert_str_eq(text, "  File \"/srv/again.py\", line 7, in <module>\n"
                           "  File \"/srv/again.py\", line 4, in f\n"
                           "  File \"/srv/again.py\", line 4, in f\n"
                           "  File \"/srv/again.py\", line 4, in f\n"
                           "  [Previous line repeated 597 more times]\n"
                           "  File \"/srv/again.py\", line 6, in f\n");
}
END_TEST

/* Bounded whatever the recursion. */
START_TEST(test_deeper_than_is_read)
{
    struct runner runner;
    runner_start(&runner, "/srv/again.py",
                 "import sys, time\n"
                 "sys.setrecursionlimit(10000)\n"
                 "def f(n):\n"
                 "    if n:\n"
                 "        f(n - 1)\n"
                 "    here()\n"
                 "    time.sleep(1000)\n"
                 "f(5000)\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 7, in f\n"), 3000);
    ck_assert_msg(begins_with(text, "  ...\n  File \"/srv/again.py\", line 5, in f\n"), "%s", text);
}
END_TEST

/* What would be something else in a log. */
START_TEST(test_names)
{
    struct runner runner;
    runner_start(&runner, "/srv/a.py",
                 "import time\n"
                 "def wait(*args):\n"
                 "    here()\n"
                 "    time.sleep(1000)\n"
                 "source = 'def \xe6\xbc\xa2():\\n  wait()\\n\xe6\xbc\xa2()\\n'\n"
                 "exec(compile(source, '/srv/\xc3\xa9\\n\\udcff\\u202e' + 'x' * 2000 + '.py', 'exec'))\n");
    ck_assert_uint_eq(take_at(&runner, STACK_SLEEPS, ", line 4, in wait\n"), 4);
    const char *second = strchr(text, '\n') + 1;
    ck_assert_msg(begins_with(second, "  File \"/srv/\xc3\xa9\\x0a\\xff\\xe2\\x80\\xaexxxx"), "%s", text);
    ck_assert_ptr_nonnull(strstr(text, "xxx...\", line 2, in \xe6\xbc\xa2\n"));
}
END_TEST

START_TEST(test_signal_is_blocked)
{
    struct runner runner;
    runner_start(&runner, "/srv/loop.py",
                 "import signal\n"
                 "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
                 "def fib(n):\n"
                 "    return fib(n - 1) + fib(n - 2) if n > 1 else 1\n"
                 "here()\n"
                 "while True:\n"
                 "    fib(30)\n");
    while (take_while(&runner, STACK_COMPUTES)) /* by chance it was the same */
        continue;
    ck_assert_str_eq(
        text, "its stack cannot be told: it changes all the time, and blocks the signal by which it would be asked");
}
END_TEST

static int signal_of_ours(void) {
    struct sigaction action;
    for (int number = SIGRTMAX; number >= SIGRTMIN; number--)
        if (!sigaction(number, NULL, &action) && action.sa_flags & SA_SIGINFO)
            return number;
    return 0;
}

/* It is the application's, if that wants it: nothing is sent to a handler that is not ours, nor to one that would end
 * the process. */
START_TEST(test_signal_is_taken)
{
    struct runner runner;
    signal(signal_of_ours(), SIG_DFL);
    runner_start(&runner, "/srv/loop.py",
                 "def fib(n):\n"
                 "    return fib(n - 1) + fib(n - 2) if n > 1 else 1\n"
                 "here()\n"
                 "while True:\n"
                 "    fib(30)\n");
    while (take_while(&runner, STACK_COMPUTES))
        continue;
    ck_assert_ptr_nonnull(strstr(text, "the application uses the signal"));
}
END_TEST

/* One that comes when nobody is asked, here and in a child. */
START_TEST(test_late_signal)
{
    int number = signal_of_ours(), status = -1;
    errno = 4711;
    ck_assert_int_eq(raise(number), 0);
    ck_assert_int_eq(errno, 4711);
    pid_t pid = fork();
    if (!pid)
        _exit(raise(number) ? 1 : 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_gone)
{
    struct runner runner;
    runner_start(&runner, "/srv/ends.py", "here()\n");
    pthread_join(runner.thread, NULL);
    do /* the system may show it for a moment */
        ck_assert_uint_eq(take(&runner), 0);
    while (doing != STACK_GONE);
    ck_assert_str_eq(stack_state_text(doing), "has ended");
    ck_assert_str_eq(text, "its stack cannot be told: the thread has ended");
}
END_TEST

/* A thread that waits for the interpreter lock for the first time. */
START_TEST(test_no_state)
{
    ck_assert_uint_eq(stack_take(gettid(), NULL, text, &doing), 0);
    ck_assert_str_eq(text, "its stack cannot be told: it has yet to get the interpreter lock, to call the application");
}
END_TEST

/* Each is a case, to be run alone by CK_RUN_CASE. */
static void add(Suite *suite, const TTest *test) {
    TCase *c = tcase_create(test->name);
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, NULL);
    suite_add_tcase(suite, c);
    tcase_add_test(c, test);
}

int main(void) {
    Suite *suite = suite_create("stack");
    add(suite, test_sleeps);
    add(suite, test_computes);
    add(suite, test_changes_all_the_time);
    add(suite, test_computes_in_c);
    add(suite, test_sleeps_with_lock);
    add(suite, test_waits_for_lock);
    add(suite, test_lock_of_application);
    add(suite, test_deep);
    add(suite, test_other_code_at_its_place);
    add(suite, test_repeated);
    add(suite, test_deeper_than_is_read);
    add(suite, test_names);
    add(suite, test_signal_is_blocked);
    add(suite, test_signal_is_taken);
    add(suite, test_late_signal);
    add(suite, test_gone);
    add(suite, test_no_state);
    return unit_run(suite);
}
