import contextlib
import inspect
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "daemon")]

import bench as benches  # noqa: E402
import gate as gates  # noqa: E402
import proxies  # noqa: E402
from common import gate, pytest_configure, pytest_runtest_makereport  # noqa: E402,F401

# How often a proxy may fail by a defect of its own (deviations.DEFECTS): in one test, and in all of them.
REPEATS = 2
DEFECTS_MAX = 5


def again(item, number):
    """Runs the test once more, with a gate of its own: calls of the time before may still come to the first one."""
    args = {name: item.funcargs[name] for name in inspect.signature(item.obj).parameters}
    with contextlib.ExitStack() as stack:
        if "gate" in args:
            directory = os.path.dirname(args["gate"].path)
            args["gate"] = stack.enter_context(contextlib.closing(gates.Gate(directory, "again-%d" % number)))
        item.obj(**args)


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """A test in which the proxy fails by a defect of its own is repeated with a new process of it."""
    outcome = yield
    bench = pyfuncitem.funcargs.get("bench")
    for number in range(REPEATS):
        if outcome.excinfo is None or not bench or not bench.proxy.failed_by_itself():
            return
        proxies.defects.append(pyfuncitem.nodeid)
        if len(proxies.defects) > DEFECTS_MAX:
            return
        bench.proxy.restart()
        try:
            again(pyfuncitem, number)
            outcome.force_result(True)
            return
        except Exception:
            outcome._excinfo = sys.exc_info()


def pytest_terminal_summary(terminalreporter):
    if proxies.defects:
        terminalreporter.section("proxies that failed by a defect of their own; the tests were repeated")
        for where in proxies.defects:
            terminalreporter.line(where)


def running(*args, **more):
    bench = benches.Bench(*args, **more)
    try:
        yield bench
    finally:
        bench.close()


@pytest.fixture(scope="session", params=proxies.VARIANTS)
def bench(request):
    yield from running(request.param)


@pytest.fixture(scope="module", params=proxies.VARIANTS)
def breaking(request):
    """For answers that break off: what the proxy does next must not meet another test."""
    yield from running(request.param)


@pytest.fixture(scope="module", params=proxies.VARIANTS)
def relayed(request):
    yield from running(request.param, relayed=True)


@pytest.fixture(scope="module", params=proxies.TLS)
def secure(request):
    yield from running(request.param, tls=True)


@pytest.fixture(scope="module", params=proxies.MOUNT)
def mounted(request):
    yield from running(request.param.partition("-")[0], "--script-name", "/app", mount=request.param)
