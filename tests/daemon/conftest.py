import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import daemon as daemons  # noqa: E402
import fcgi  # noqa: E402
import nginx as nginxes  # noqa: E402
from common import gate, pytest_configure, pytest_runtest_makereport  # noqa: E402,F401


@pytest.fixture
def start():
    """Starts servers that belong to one test: start(APP, *OPTIONS, **more). Each must end well."""
    def starter(*args, **more):
        server = daemons.Daemon(*args, **more)
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
def server(request):
    """A server that the tests of a module share; the module may name APP and OPTIONS."""
    running = daemons.Daemon(getattr(request.module, "APP", "wsgiapp"), *getattr(request.module, "OPTIONS", []))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def nginx(server):
    """nginx before it, with and without kept connections."""
    running = nginxes.Nginx({"nginx": (server.path, False, "/"), "kept": (server.path, True, "/")})
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


class Plain:
    def __repr__(self):
        return "<Plain %r>" % self.__dict__


class ThroughNginx:
    def __init__(self, nginx, name):
        self.nginx, self.name = nginx, name

    def ask(self, *args, **more):
        return self.nginx.ask(self.name, *args, **more)


@pytest.fixture(scope="module", params=["direct", "nginx", "kept"])
def client(request, server):
    """Three ways to ask the same: raw FastCGI, stock nginx, nginx with kept connections."""
    if request.param == "direct":
        return Direct(server)
    return ThroughNginx(request.getfixturevalue("nginx"), request.param)


def check_structure(response):
    """The form that every complete answer has (FastCGI 1.0, 3.3 and 5.5)."""
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
    assert response.headers and 100 <= response.status < 600, response
    return response
