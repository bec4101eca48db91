#include "config.h"

#include <Python.h>

#include "python/compat.h"
#include "python/interrupt.h"
#include "python/stack_doing.h"

#include "base/clock.h"
#include "request/request.h"
#include "unit/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

/* What stands for the server: a request for each thread, which is used again and again. */
struct worker {
    struct request r;
    pthread_mutex_t lock; /* around its beginning, its end and the end of its time */
    unsigned long number;
    struct worker *next;
};

/* Mutable: with the GIL. */
static struct worker *workers;
static _Thread_local struct worker *own;
static unsigned long numbers;

static struct worker *new_worker(void) {
    struct worker *w = calloc(1, sizeof *w);
    REQUIRE(w);
    request_init(&w->r);
    pthread_mutex_init(&w->lock, NULL);
    w->r.vars.method = (struct slice){"GET", 3};
    w->r.vars.request_uri = (struct slice){"/here", 5};
    w->next = workers;
    return workers = w;
}

/* rig.call(function): runs function(number) as a call. Returns ("returned", what it returned), ("interrupted", None) or
 * ("raised", the name of the exception). */
static PyObject *rig_call(PyObject *self, PyObject *function) {
    (void)self;
    struct worker *w = own ? own : (own = new_worker());
    unsigned long number = ++numbers;
    pthread_mutex_lock(&w->lock);
    w->number = number;
    atomic_store(&w->r.overdue, false);
    pthread_mutex_unlock(&w->lock);
    interrupt_call_begins(&w->r);
    PyObject *result = PyObject_CallFunction(function, "k", number);
    interrupt_hold();
    const char *how = result ? "returned" : interrupt_is_pending() ? "interrupted" : "raised";
    PyObject *raised = compat_err_take();
    interrupt_let_go();
    interrupt_call_ends();
    pthread_mutex_lock(&w->lock);
    w->number = 0;
    pthread_mutex_unlock(&w->lock);
    PyObject *name = raised ? PyUnicode_FromString(Py_TYPE(raised)->tp_name) : NULL;
    PyObject *told = Py_BuildValue("(sO)", how, result ? result : *how == 'i' ? Py_None : name);
    Py_XDECREF(name);
    Py_XDECREF(raised);
    Py_XDECREF(result);
    return told;
}

/* rig.overdue(number): the time of that call is over, unless it has ended. As the loop does it, without the GIL. */
static PyObject *rig_overdue(PyObject *self, PyObject *which) {
    (void)self;
    unsigned long number = PyLong_AsUnsignedLong(which);
    for (struct worker *w = workers, *next; w; w = next) {
        next = w->next;
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&w->lock);
        if (w->number == number) {
            atomic_store(&w->r.overdue, true);
            interrupt_begin();
        }
        pthread_mutex_unlock(&w->lock);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

/* rig.until_set(number): a call in C whose time is over, and that returns when the exception is set and not raised. */
static PyObject *rig_until_set(PyObject *self, PyObject *number) {
    PyObject *none = rig_overdue(self, number);
    while (none && !compat_async_exc(PyThreadState_Get())) {
        Py_BEGIN_ALLOW_THREADS
        usleep(1000);
        Py_END_ALLOW_THREADS
    }
    return none;
}

static PyMethodDef methods[] = {
    {"call", rig_call, METH_O, NULL},
    {"overdue", rig_overdue, METH_O, NULL},
    {"until_set", rig_until_set, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "rig", .m_size = -1, .m_methods = methods};

static PyObject *make(void) {
    PyObject *module = PyModule_Create(&definition), *type = interrupt_type();
    if (module && PyModule_AddObjectRef(module, "RequestTimeout", type))
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}

static const char common[] = "import random, rig, sys, threading, time\n"
                             "from rig import RequestTimeout\n"
                             "said, lost = [], []\n"
                             "sys.unraisablehook = lambda raised: lost.append(raised.exc_type.__name__)\n"
                             "def step(): pass\n"
                             "def forever(*_):\n"
                             "    while True: step()\n"
                             "def overdue(function):\n"
                             "    'A call whose time is over as it begins.'\n"
                             "    return rig.call(lambda number: (rig.overdue(number), function()))\n";

static PyThreadState *main_state;

static void setup(void) {
    PyImport_AppendInittab("rig", make);
    Py_InitializeEx(0);
    PyObject *type = interrupt_type();
    REQUIRE(type);
    Py_DECREF(type);
    ck_assert(stack_doing_init());
    main_state = PyEval_SaveThread();
    ck_assert_int_eq(interrupt_start(true), 0);
    PyEval_RestoreThread(main_state);
    ck_assert_int_eq(PyRun_SimpleString(common), 0);
}

static void teardown(void) {
    main_state = PyEval_SaveThread();
    interrupt_stop();
    PyEval_RestoreThread(main_state);
    ck_assert_int_eq(Py_FinalizeEx(), 0);
    for (struct worker *w; (w = workers);) {
        workers = w->next;
        request_fini(&w->r);
        free(w);
    }
}

#define SCRIPT(name, text)                                                                                             \
    START_TEST(name)                                                                                                   \
    { ck_assert_int_eq(PyRun_SimpleString(text), 0); }                                                                 \
    END_TEST

SCRIPT(
    test_loops,
    "for loop in (forever, lambda: [time.sleep(0.001) for _ in iter(int, 1)], lambda: sum(iter(int, 1)) if 0 else "
    "forever(),\n"
    "             lambda: sum(step() or 1 for _ in iter(int, 1)), lambda: list(map(lambda _: step(), iter(int, 1)))):\n"
    "    assert overdue(loop) == ('interrupted', None)\n")

SCRIPT(test_function_in_c, "begin = time.monotonic()\n"
                           "assert overdue(lambda: time.sleep(0.3)) == ('interrupted', None)\n"
                           "assert time.monotonic() - begin >= 0.3\n")

SCRIPT(test_call_that_ends, "assert rig.call(lambda number: number) == ('returned', 1)\n"
                            "assert overdue(lambda: 7) == ('returned', (None, 7))\n"
                            "for _ in range(300): step(); time.sleep(0.0001)\n")

SCRIPT(test_not_overdue, "def fail(number): raise RequestTimeout\n"
                         "assert rig.call(fail) == ('raised', 'RequestTimeout')\n")

SCRIPT(test_handlers_run,
       "class Managed:\n"
       "    def __enter__(self): said.append('enter')\n"
       "    def __exit__(self, *raised): said.append('exit ' + raised[0].__name__)\n"
       "def generator():\n"
       "    try:\n"
       "        while True: yield time.sleep(0.001)\n"
       "    finally: said.append('generator')\n"
       "def inner():\n"
       "    try:\n"
       "        with Managed():\n"
       "            for _ in generator(): step()\n"
       "    except Exception: said.append('never')\n"
       "    finally: said.append('inner')\n"
       "def outer():\n"
       "    try: inner()\n"
       "    finally: said.append('outer')\n"
       "assert overdue(outer) == ('interrupted', None)\n"
       "assert sorted(said) == sorted(['enter', 'generator', 'exit RequestTimeout', 'inner', 'outer']), said\n"
       "assert issubclass(RequestTimeout, BaseException) and not issubclass(RequestTimeout, Exception)\n")

SCRIPT(test_swallowed, "def stubborn():\n"
                       "    for _ in range(2):\n"
                       "        try:\n"
                       "            while True: time.sleep(0.001)\n"
                       "        except: said.append('swallowed')\n"
                       "    while True: time.sleep(0.001)\n"
                       "assert overdue(stubborn) == ('interrupted', None)\n"
                       "assert said == ['swallowed'] * 2\n")

/* Half a second, and then twice that: as the manual page says. More only if the machine is busy. */
SCRIPT(test_time_to_clean_up, "def clean_up():\n"
                              "    for _ in range(2):\n"
                              "        try:\n"
                              "            while True: time.sleep(0.001)\n"
                              "        except RequestTimeout: said.append(time.monotonic())\n"
                              "    try:\n"
                              "        while True: time.sleep(0.001)\n"
                              "    finally: said.append(time.monotonic())\n"
                              "assert overdue(clean_up) == ('interrupted', None)\n"
                              "first, second, third = said\n"
                              "assert second - first > 0.4 and third - second > 0.8, said\n")

/* Python prints what is raised in a finalizer, and goes on. */
SCRIPT(test_lost_in_a_finalizer, "class Final:\n"
                                 "    def __del__(self):\n"
                                 "        while True: time.sleep(0.001)\n"
                                 "def lose():\n"
                                 "    Final()\n"
                                 "    said.append('went on')\n"
                                 "    forever()\n"
                                 "assert overdue(lose) == ('interrupted', None)\n"
                                 "assert said == ['went on'] and lost == ['RequestTimeout']\n")

/* A thread waits for a lock until its time has long been over, longer than a place that does no harm is looked for, and
 * gets it. Nobody releases what it holds in the moment
 * before "with" and "try" see to it. */
SCRIPT(test_locks, "def acquire(lock):\n"
                   "    lock.acquire()\n"
                   "    try: forever()\n"
                   "    finally: lock.release()\n"
                   "def enter(lock):\n"
                   "    with lock: forever()\n"
                   "def begin(make, use):\n"
                   "    lock, done = make(), []\n"
                   "    lock.acquire()\n"
                   "    thread = threading.Thread(target=lambda: done.append(overdue(lambda: use(lock))))\n"
                   "    thread.start()\n"
                   "    return make, use, lock, thread, done\n"
                   "makes = threading.Lock, threading.RLock, threading.Condition, threading.Semaphore\n"
                   "all = [begin(make, use) for make in makes for use in (acquire, enter)]\n"
                   "time.sleep(1.3)\n" /* longer than for a place that is bad */
                   "for make, use, lock, thread, done in all:\n"
                   "    lock.release()\n"
                   "    thread.join()\n"
                   "    assert done == [('interrupted', None)], (make, use, done)\n"
                   "    assert lock.acquire(timeout=1), (make, use)\n")

/* What waits in a condition expects exceptions: it would be of no use to wait until it is somewhere else. */
SCRIPT(test_events, "import queue\n"
                    "event, items = threading.Event(), queue.Queue()\n"
                    "def wait():\n"
                    "    while not event.wait(0.05): pass\n"
                    "def get():\n"
                    "    while True:\n"
                    "        try: items.get(timeout=0.05)\n"
                    "        except queue.Empty: pass\n"
                    "assert overdue(wait) == ('interrupted', None)\n"
                    "assert overdue(get) == ('interrupted', None)\n"
                    "items.put(1)\n"
                    "assert items.get(timeout=1) == 1\n")

/* The exception comes between the last step of a call and its end. */
SCRIPT(test_too_late, "def innocent(*_):\n"
                      "    for _ in range(50): step()\n"
                      "    return 'innocent'\n"
                      "for _ in range(20):\n"
                      "    assert rig.call(rig.until_set) == ('returned', None)\n"
                      "    assert innocent() == 'innocent'\n"
                      "    assert rig.call(innocent) == ('returned', 'innocent')\n")

/* At 1,000 random moments: what follows a call on its thread never sees the exception. */
SCRIPT(test_never_in_the_next_call,
       "ended = {'returned': 0, 'interrupted': 0}\n"
       "def work(number):\n"
       "    until = time.monotonic() + random.uniform(0, 0.03)\n"
       "    rig_later.append((time.monotonic() + random.uniform(0, 0.02), number))\n"
       "    while time.monotonic() < until:\n"
       "        step() if number % 2 else time.sleep(0.001)\n"
       "def innocent(*_):\n"
       "    for _ in range(50): step()\n"
       "    return 'innocent'\n"
       "rig_later, faults, over = [], [], False\n"
       "def run():\n"
       "    for _ in range(125):\n"
       "        try:\n"
       "            how, what = rig.call(work)\n"
       "        except BaseException as error:\n"
       "            faults.append(('behind', error)); continue\n"
       "        try:\n"
       "            innocent()\n"
       "            if rig.call(innocent) != ('returned', 'innocent'): faults.append('next')\n"
       "            ended[how] += 1\n"
       "        except BaseException as error: faults.append(('between', error))\n"
       "def end_times():\n"
       "    while not over:\n"
       "        now = time.monotonic()\n"
       "        for entry in [entry for entry in rig_later if entry[0] <= now]:\n"
       "            rig_later.remove(entry)\n"
       "            rig.overdue(entry[1])\n"
       "        time.sleep(0.0005)\n"
       "threads = [threading.Thread(target=run) for _ in range(8)]\n"
       "ender = threading.Thread(target=end_times)\n"
       "for thread in threads + [ender]: thread.start()\n"
       "for thread in threads: thread.join()\n"
       "over = True\n"
       "ender.join()\n"
       "assert not faults, faults\n"
       "assert sum(ended.values()) == 1000 and ended['interrupted'] > 50, ended\n")

/* Whoever has the GIL is noticed by the time for which the thread waits. */
START_TEST(test_probe)
{
    PyThreadState *state;
    ck_assert_uint_eq(interrupt_waits(), 0);
    interrupt_probe();
    while (interrupt_waits() < 1000000)
        continue; /* with the GIL */
    state = PyEval_SaveThread();
    while (interrupt_waits())
        continue;
    PyEval_RestoreThread(state);
}
END_TEST

/* It waits for the GIL in vain: the end of Python comes all the same. */
START_TEST(test_stop_in_vain)
{
    interrupt_probe();
    while (!interrupt_waits())
        continue;
    interrupt_stop(); /* with the GIL, so that it cannot get it */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("interrupts");
    TCase *c = tcase_create("interrupts");
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_loops);
    tcase_add_test(c, test_function_in_c);
    tcase_add_test(c, test_call_that_ends);
    tcase_add_test(c, test_not_overdue);
    tcase_add_test(c, test_handlers_run);
    tcase_add_test(c, test_swallowed);
    tcase_add_test(c, test_time_to_clean_up);
    tcase_add_test(c, test_lost_in_a_finalizer);
    tcase_add_test(c, test_locks);
    tcase_add_test(c, test_events);
    tcase_add_test(c, test_too_late);
    tcase_add_test(c, test_never_in_the_next_call);
    tcase_add_test(c, test_probe);
    tcase_add_test(c, test_stop_in_vain);
    return unit_run(suite);
}
