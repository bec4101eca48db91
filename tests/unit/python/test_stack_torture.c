/* Stacks of threads that do all that changes stacks, as often as they can. Each one that is taken is compared with what
 * functions there are: an entry names a function of the program below, at a line within it, called from one that calls it,
 * and the outermost is that with which the thread began.
 *
 * STACK_SAMPLES in the environment: how many are taken. */
#include "config.h"

#include "unit/python/python_rig.h"

#include "base/ascii.h"
#include "python/stack.h"

enum { SAMPLES = 20000 };

/* Functions of torture.py, a thread each. */
static const char *const WORK[] = {"calls", "raises",     "generators", "finalizers", "recursion",
                                   "fresh", "coroutines", "imports",    "sleeps"};

static PyObject *check;
static struct runner runners[COUNT(WORK)];

static void setup(void) {
    char why[STACK_REASON_SIZE];
    Py_InitializeEx(0);
    ck_assert_msg(!stack_init(why), "%s", why);
    PyObject *globals = PyModule_GetDict(PyImport_AddModule("__main__")), *name = PyUnicode_FromString(TORTURE_PY);
    FILE *file = fopen(TORTURE_PY, "r");
    ck_assert_ptr_nonnull(file);
    PyDict_SetItemString(globals, "__file__", name);
    PyObject *result = PyRun_FileEx(file, TORTURE_PY, Py_file_input, globals, globals, 1);
    if (!result)
        PyErr_Print();
    ck_assert_ptr_nonnull(result);
    check = PyDict_GetItemString(globals, "check");
    ck_assert_ptr_nonnull(check);
    PyEval_SaveThread();
    for (int i = 0; i < COUNT(WORK); i++) {
        static char code_of[COUNT(WORK)][100];
        snprintf(code_of[i], sizeof code_of[i], "import __main__\nhere()\n__main__.%s()\n", WORK[i]);
        runner_start(&runners[i], "/srv/begin.py", code_of[i]);
    }
}

static uint64_t samples(void) {
    const char *text = getenv("STACK_SAMPLES");
    uint64_t n;
    return text && ascii_is_number(text, UINT64_MAX, &n) ? n : SAMPLES;
}

/* What is checked at a time, since each check has to wait for the interpreter lock among all the others. */
enum { BATCH = 200 };
static char batch[BATCH][STACK_SIZE];

static void check_batch(int n) {
    PyGILState_STATE state = PyGILState_Ensure();
    for (int i = 0; i < n; i++) {
        PyObject *problem = PyObject_CallFunction(check, "s", batch[i]);
        if (!problem)
            PyErr_Print();
        ck_assert_ptr_nonnull(problem);
        if (problem != Py_None)
            ck_abort_msg("%s in\n%s", PyUnicode_AsUTF8(problem), batch[i]);
        Py_DECREF(problem);
    }
    PyGILState_Release(state);
}

START_TEST(test_torture)
{
    uint64_t taken[COUNT(WORK)] = {0}, none[COUNT(WORK)] = {0}, wanted = samples();
    enum stack_state doing;
    int n = 0;
    for (uint64_t i = 0; i < wanted; i++) {
        int which = (int)(i % COUNT(WORK));
        if (stack_take(atomic_load(&runners[which].tid), runners[which].state, batch[n], &doing)) {
            taken[which]++;
            n++;
        } else {
            none[which]++;
        }
        if (n == BATCH) {
            check_batch(n);
            n = 0;
        }
    }
    check_batch(n);
    for (int i = 0; i < COUNT(WORK); i++) {
        if (getenv("STACK_SAMPLES"))
            fprintf(stderr, "%s: %llu stacks, %llu not to be told\n", WORK[i], (unsigned long long)taken[i],
                    (unsigned long long)none[i]);
        ck_assert_uint_gt(taken[i], 0);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("torture");
    TCase *c = tcase_create("torture");
    tcase_set_timeout(c, 3600);
    tcase_add_checked_fixture(c, setup, NULL);
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_torture);
    return unit_run(suite);
}
