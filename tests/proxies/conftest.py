import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "daemon")]

import bench as benches  # noqa: E402
import daemon as daemons  # noqa: E402
import gate as gates  # noqa: E402
import proxies  # noqa: E402


def pytest_configure(config):
    try:
        daemons.binary()
    except AssertionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with the logs of the proxy and of the server that the test used."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome, report.longrepr = "failed", "nothing is skipped here: %s" % (report.longrepr,)
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            for server in getattr(value, "servers", []):
                try:
                    report.sections.append(("log of " + type(server).__name__, server.log()[-6000:]))
                except OSError:
                    pass


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
def relayed(request):
    yield from running(request.param, relayed=True)


@pytest.fixture(scope="module", params=proxies.TLS)
def secure(request):
    yield from running(request.param, tls=True)


@pytest.fixture(scope="module", params=proxies.MOUNT)
def mounted(request):
    yield from running(request.param.partition("-")[0], "--script-name", "/app", mount=request.param)


@pytest.fixture
def gate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("g")
    opened = gates.Gate(directory)
    yield opened
    opened.close()
