import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "daemon")]

# The servers are here, whatever the machine needs to reach others.
os.environ["no_proxy"] = "*"
pytest.register_assert_rewrite("frameworks", "served")

import common  # noqa: E402
import daemon  # noqa: E402
import postgres as postgreses  # noqa: E402
import served  # noqa: E402
from common import gate, pytest_runtest_makereport, pytest_xdist_auto_num_workers  # noqa: E402,F401


# Of a program that sends no spans there is nothing to test.
collect_ignore_glob = ["test_traces.py"] if "WSGI_FCGI" in os.environ and "otlp" not in daemon.build_options() else []


def pytest_configure(config):
    common.pytest_configure(config)
    if sys.prefix == sys.base_prefix:
        raise pytest.UsageError("run this suite with `make check-apps`: it needs the virtual environment made there")


@pytest.fixture(scope="session")
def static(tmp_path_factory):
    """A directory of static files."""
    directory = tmp_path_factory.mktemp("static")
    (directory / "sample.bin").write_bytes(os.urandom(20 << 20))
    return directory


@pytest.fixture(scope="session")
def sample(static):
    """What static/sample.bin contains."""
    return (static / "sample.bin").read_bytes()


@pytest.fixture(scope="session")
def postgres():
    running = postgreses.Postgres()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def environment():
    """Further environment variables for the server; a module may have its own."""
    return {}


def serve(request, static, environment, *options):
    return served.serve(request.module.APP, *getattr(request.module, "OPTIONS", []), *options, STATIC=static, **environment)


@pytest.fixture(scope="module")
def server(request, static, environment):
    """The application that the module names as APP, with its OPTIONS."""
    running = serve(request, static, environment)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def proxy(server):
    running = served.proxy(server)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def unbuffered(server):
    """The application behind an nginx that passes bodies on as they come: a chunked one has no length then."""
    running = served.proxy(server, "fastcgi_request_buffering off;")
    yield served.Site(server, running, "kept")
    running.stop()


@pytest.fixture(scope="module")
def streaming(request, static, environment):
    """The same, and over HTTP, of a server that calls the application before the body is there."""
    server = serve(request, static, environment, "--stream-body")
    proxy = served.proxy(server, "fastcgi_request_buffering off;")
    yield [served.Site(server, proxy, name) for name in ("kept", "http") if name in proxy.ports]
    proxy.stop()
    server.stop()


@pytest.fixture(scope="module", params=served.ways() if "WSGI_FCGI" in os.environ else ["plain"])
def site(request, server, proxy):
    """The application behind stock nginx, without and with kept connections, and over HTTP."""
    return served.Site(server, proxy, request.param)
