import glob
import itertools
import os
import signal
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
# The modules stand in folders that are named like those of src/, and use some of each other's helpers.
sys.path[:0] = [HERE, *sorted({os.path.dirname(path) for path in glob.glob(os.path.join(HERE, "*/**/test_*.py"), recursive=True)})]

import daemon as daemons  # noqa: E402
import differences  # noqa: E402
import fcgi  # noqa: E402
import nginx as nginxes  # noqa: E402
import rawhttp  # noqa: E402
import supervised  # noqa: E402
from common import (  # noqa: E402,F401
    gate, pytest_configure, pytest_runtest_makereport, pytest_xdist_auto_num_workers)


# Servers would inherit it from nohup(1) that the signal is ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Of a program that does not speak HTTP there is nothing to test.
collect_ignore_glob = [] if "WSGI_FCGI" not in os.environ or daemons.speaks_http() else ["net/http/*"]
if "WSGI_FCGI" in os.environ and not os.path.exists(daemons.binary() + "-top"):  # configured without it
    collect_ignore_glob.append("top/*")
if "WSGI_FCGI" in os.environ and "otlp" not in daemons.build_options():
    collect_ignore_glob.append("net/test_traces.py")
if "WSGI_FCGI" not in os.environ or not daemons.is_extension():
    collect_ignore_glob.append("extension/*")
if daemons.SANITIZED:  # a sanitizer takes more address space than these leave
    collect_ignore_glob.append("net/test_no_more_threads.py")


# A process of pytest-xdist runs all of a module: those that take minutes begin first, so that none of them is left at the end.
LONGEST = {"test_leaks", "test_forks", "test_reload", "test_supervisor", "test_python", "test_stop_signals", "test_lost_calls"}


def pytest_collection_modifyitems(config, items):
    if "WSGI_FCGI" in os.environ and daemons.is_extension():
        left_out = [item for item in items if differences.is_left_out(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def is_over_http(metafunc):
    """Not where only some folders of tests are to be (HTTP_TEST_FOLDERS), and this one is in none of them."""
    folders = os.environ.get("HTTP_TEST_FOLDERS")
    folder = metafunc.definition.path.relative_to(os.path.dirname(os.path.abspath(__file__))).parts[0]
    return not folders or folder in folders.split()


def pytest_generate_tests(metafunc):
    """The tests of a module that says OVER_HTTP = True run over FastCGI, and over HTTP when the program speaks it."""
    if ("protocol" in metafunc.fixturenames and "client" not in metafunc.fixturenames
            and getattr(metafunc.module, "OVER_HTTP", False) and is_over_http(metafunc) and daemons.speaks_http()
            and not metafunc.definition.get_closest_marker("fastcgi")):
        metafunc.parametrize("protocol", ["fastcgi", "http"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def protocol(request):
    """What the servers of a test speak: "fastcgi" or "http"."""
    return getattr(request, "param", "fastcgi")


@pytest.fixture
def start(protocol):
    """Starts servers that belong to one test: start(APP, *OPTIONS, **more). Each must end well."""
    yield from starts(lambda *args, **more: daemons.Daemon(*args, **{"protocol": protocol, **more}))


@pytest.fixture
def supervise(protocol):
    """The same with workers: supervise(APP, COUNT, *OPTIONS, **more)."""
    yield from starts(lambda *args, **more: supervised.Supervised(*args, **{"protocol": protocol, **more}))


@pytest.fixture
def fake(tmp_path):
    """The same with workers that misbehave: fake(COUNT, *OPTIONS, steps=..., **more)."""
    yield from starts(lambda *args, **more: supervised.Faked(tmp_path, *args, **more))


def starts(make):
    def starter(*args, **more):
        server = make(*args, **more)
        starter.servers.append(server)
        return server
    starter.servers = []
    yield starter
    failed = []
    for server in starter.servers:
        try:
            server.stop()
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "\n".join(failed)


@pytest.fixture(scope="module")
def server(request, protocol):
    """A server that the tests of a module share; the module may name APP and OPTIONS."""
    running = daemons.Daemon(getattr(request.module, "APP", "wsgiapp"), *getattr(request.module, "OPTIONS", []),
                             protocol=protocol, both=daemons.speaks_http())
    yield running
    running.stop()


@pytest.fixture(scope="module")
def streaming(request, protocol):
    """The same that calls the application before the body is there."""
    running = daemons.Daemon(getattr(request.module, "APP", "wsgiapp"), "--stream-body", protocol=protocol)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def nginx(server):
    """nginx before it, with and without kept connections, and by HTTP."""
    backends = {"nginx": (server.path, False, "/"), "kept": (server.path, True, "/")}
    if server.http_address:
        backends["proxied"] = ("%s:%d" % server.http_address, "proxy", "/")
    running = nginxes.Nginx(backends)
    yield running
    running.stop()


class Direct:
    """Asks over FastCGI itself, and looks at every record of the answer."""
    name = "direct"

    def __init__(self, server):
        self.server = server

    def ask(self, path, method="GET", body=None, headers=()):
        path, _, query = path.partition("?")
        response = self.server.ask(path, method, query, body=body, headers=headers)
        if not response.broken:
            check_structure(response)
        result = Plain()
        result.complete = not response.broken
        result.stderr = bytes(response.stderr)
        result.body = response.body
        result.headers = [header for header in response.headers if header[0] != "Status"]
        result.status = response.status if response.head else None
        result.chunks = response.chunks
        return result


class DirectHTTP:
    """Asks over HTTP itself, and looks at every byte of the answer."""
    name = "http"

    def __init__(self, server):
        self.server = server

    def ask(self, path, method="GET", body=None, headers=()):
        given = dict(headers)
        if isinstance(body, str):
            body = body.encode()
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: localhost", "Connection: close"]
        lines += ["%s: %s" % pair for pair in given.items()]
        if body is not None and not isinstance(body, bytes):
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(map(rawhttp.chunked, body, itertools.repeat(65536), itertools.repeat(b""))) + b"0\r\n\r\n"
        elif body is not None or method in ("POST", "PUT", "PATCH"):
            lines.append("Content-Length: %d" % len(body or b""))
        with rawhttp.Connection(self.server.http_address) as connection:
            connection.methods.append(method)
            try:
                connection.send("\r\n".join(lines + ["", ""]).encode("latin-1"), body or b"")
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered before the body was read
            response = connection.read_response()
            if response.complete:
                response.check()
            return response


class Plain:
    def __repr__(self):
        return "<Plain %r>" % self.__dict__


class ThroughNginx:
    def __init__(self, nginx, name):
        self.nginx, self.name = nginx, name

    def ask(self, *args, **more):
        return self.nginx.ask(self.name, *args, **more)


def client_names():
    """nginx without kept connections sends what "direct" does, and as a proxy what "http" does: once is enough."""
    http = "WSGI_FCGI" in os.environ and daemons.speaks_http()
    once = ["nginx"] + (["proxied"] if http else [])
    return ["direct", "kept"] + (["http"] if http else []) + [pytest.param(name, marks=pytest.mark.once) for name in once]


@pytest.fixture(scope="module", params=client_names())
def client(request, server):
    """Ways to ask the same: raw FastCGI, stock nginx, nginx with kept connections; raw HTTP, and nginx as its proxy."""
    if request.param == "direct":
        return Direct(server)
    if request.param == "http":
        return DirectHTTP(server)
    return ThroughNginx(request.getfixturevalue("nginx"), request.param)


def check_structure(response):
    """The form that every complete answer has (FastCGI 1.0, 3.3 and 5.5)."""
    if isinstance(response, rawhttp.Response):
        return response.check()
    kinds = [record.type for record in response.records]
    assert kinds[-1] == fcgi.END_REQUEST and kinds.count(fcgi.END_REQUEST) == 1, kinds
    outs = [record for record in response.records if record.type == fcgi.STDOUT]
    assert [not record.content for record in outs] == [False] * (len(outs) - 1) + [True], "STDOUT ends once, at its end"
    errs = [record for record in response.records if record.type == fcgi.STDERR]
    assert [not record.content for record in errs] == [False] * (len(errs) - 1) + [True] * bool(errs)
    assert set(kinds) <= {fcgi.STDOUT, fcgi.STDERR, fcgi.END_REQUEST}, kinds
    for record in response.records:
        assert (len(record.content) + len(record.padding)) % 8 == 0, "padded to eight bytes"
        assert not any(record.padding), "padding is zero"
    assert response.headers and 200 <= response.status < 1000, response
    lengths = [value for name, value in response.headers if name.lower() == "content-length"]
    right = {204: [], 205: ["0"]}.get(response.status, lengths)
    assert lengths == right and len(lengths) <= 1 and not (response.status in (204, 205, 304) and response.body), response
    return response
