"""The application ends the process: a line of the server's own says so, and in which request it was."""
import re
import signal

import pytest

from daemon import LABEL, SANITIZED
from fcgi import params, request

OVER_HTTP = True
APP = "endsapp"
CRASHES = ["SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"]


def asks(server, path, how):
    with server.connect() as connection:
        connection.send(request(params(path, query="how=" + how)))
        assert connection.read_response(1).broken
    server.expect_status = server.wait_exit()
    return server.log()


@pytest.mark.parametrize("path, where", [("/ends", r"GET /ends\?how=exit" + LABEL), ("/ends-in-thread", "outside of a request")])
def test_exit(start, path, where):
    server = start(APP)
    log = asks(server, path, "exit")
    assert re.search(where + r": the application ended the process by os\._exit\(5\)", log), log
    assert server.expect_status == 5


@pytest.fixture
def crashing(protocol):
    """A server that is not to end well."""
    import daemon
    servers = []

    def starter(**more):
        servers.append(daemon.Daemon(APP, protocol=protocol, **more))
        return servers[-1]
    yield starter
    for server in servers:
        server.kill()


@pytest.mark.parametrize("handler", ["0", "1"])
@pytest.mark.parametrize("how", ["read", *CRASHES])
def test_crash(crashing, how, handler):
    """The line is the last one, behind the tracebacks, and the process ends by the signal."""
    number = signal.Signals["SIGSEGV" if how == "read" else how]
    server = crashing(env={"PYTHONFAULTHANDLER": handler})
    log = asks(server, "/ends", how)
    line = r"GET /ends\?how=%s%s: the process crashed \(%s\)" % (how, LABEL, number.name)
    assert re.search(("Fatal Python error(.*\n)*" if handler == "1" else "") + ".*" + line, log), log
    assert ("Fatal Python error" in log) == (handler == "1")
    assert server.expect_status == -number or SANITIZED and server.expect_status


def test_crash_of_a_thread(crashing):
    assert "outside of a request: the process crashed (SIGSEGV)" in asks(crashing(), "/ends-in-thread", "read")


@pytest.mark.parametrize("how, status", [("exit", 5), *((name, -signal.Signals[name]) for name in CRASHES)])
def test_child(crashing, how, status):
    """Its end is its own business."""
    server = crashing(env={"PYTHONFAULTHANDLER": "0"})
    response = server.ask("/child-ends", query="how=" + how)
    assert int(response.body) == status or SANITIZED and int(response.body)
    assert "the process" not in server.log()
