"""What the conftest.py of this suite and those of tests/proxies and tests/apps share; each imports it by name."""
import os
import signal

import pytest

import daemon as daemons
import gate as gates


# So many processes run tests at least.
WAITING_MIN = 8


def pytest_configure(config):
    # A shell starts its background jobs with both ignored, and the servers of the tests would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    config.addinivalue_line("markers", "fastcgi: about FastCGI itself, where a module runs over HTTP as well")
    config.addinivalue_line("markers", "once: not run again under a sanitizer by contrib/test: of what it executes the rest is enough")
    try:
        daemons.binary()
    except AssertionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """How many processes share the modules, with pytest-xdist. A test waits three quarters of its time: where there are
    few processors, each of them is shared by more."""
    return max(WAITING_MIN, 2 * len(os.sched_getaffinity(0)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Nothing is skipped, and a failure comes with the logs of the servers that the test used."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome, report.longrepr = "failed", "nothing is skipped here: %s" % (report.longrepr,)
    if report.failed:
        for value in list(getattr(item, "funcargs", {}).values()):
            for server in getattr(value, "servers", [value]):
                if callable(getattr(server, "log", None)):
                    try:
                        report.sections.append(("log of " + type(server).__name__, server.log()[-8000:]))
                    except OSError:
                        pass


@pytest.fixture
def gate(tmp_path_factory):
    opened = gates.Gate(tmp_path_factory.mktemp("g"))
    yield opened
    opened.close()
