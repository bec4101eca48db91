"""Tests of the program that are not run with the module (--enable-python-module), and why: {module: (tests, reason)}."""

OF_THE_MODULE = {
    "test_pending_calls": (
        {"test_runs_in_the_main_thread", "test_thread_of_the_application", "test_exception_is_logged", "test_many_exceptions",
         "test_system_exit_ends_the_server", "test_child"},
        "the linker finds Python's own Py_AddPendingCall before that of a module: see python/pending_calls.h"),
    "test_signals_others": (
        {"test_handler_that_is_set_later"},
        "a call of the application asks by Py_AddPendingCall for what only the main thread may do, and waits for it, as above"),
    "test_signals_start": (
        {"test_before_python_runs"},
        "Python runs before the server there, and what a signal does is its business"),
    "test_titles": (
        {"test_single_process_keeps_its_command_line"},
        "its command line is that of the interpreter"),
    "test_user": (
        {"test_env_is_gone_before_python"},
        "what Python itself reads of the environment as it begins it has read by then"),
    "test_reload": (
        {"test_new_program", "test_broken_program", "test_program_that_knows_another_state", "test_address_comes_and_goes",
         "test_address_in_use", "test_wrong_option"},
        "they put other programs in the place of the one that a reload executes: extension/test_workers.py replaces the "
        "package, and cli/test_config.py changes options"),
}


def is_left_out(item):
    tests, _ = OF_THE_MODULE.get(item.path.stem, ((), ""))
    return item.function.__name__ in tests
