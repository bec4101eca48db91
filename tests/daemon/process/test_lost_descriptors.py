"""The application closes descriptors that are the server's: it is said, and the process ends with a status of its own."""
import contextlib
import os
import re
import signal

import pytest

import fcgi
from daemon import LABEL, until
from fcgi import params, request
from test_descriptors import asks

OVER_HTTP = True
APP = "descriptorapp"
EX_IOERR = 74
LOST = r"(?:descriptor \d+|a descriptor), .*, was closed by the application or one of its extensions"


def numbers(server, pattern):
    """Of the server's own descriptors, above those of the application, which are `pattern`."""
    directory = "/proc/%d/fd" % server.pid
    found = []
    for name in os.listdir(directory):
        try:
            if re.match(pattern, os.readlink(os.path.join(directory, name))):
                found.append(int(name))
        except FileNotFoundError:
            pass  # closed meanwhile
    return sorted(found)


def number_of_connection(server):
    """Of the only one there is: those before may not be closed yet."""
    def low():
        return [number for number in numbers(server, "socket:") if number < 1024]
    until(lambda: len(low()) == 1, "one connection", server.log)
    return low()[0]


def sends(peer, path, query=""):
    """Asks, and leaves the answer, which may not come any more, alone."""
    try:
        peer.ask(path, query=query)
    except (OSError, AssertionError, fcgi.Closed):
        pass


def ends(server):
    assert server.wait_exit() == EX_IOERR, server.log()
    log = server.log()
    assert len(re.findall(LOST, log)) == 1, log
    assert not os.path.exists(server.path), log
    server.expect_status = EX_IOERR


KINDS = {"wake": "pipe:", "loop": r"anon_inode:\[eventfd\]", "epoll": r"anon_inode:\[eventpoll\]", "listener": "socket:"}


@pytest.mark.parametrize("how", ["/close", "/replace"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_one_kind(start, kind, how):
    """Also when a file of the application's own has the number by then."""
    server = start(APP)
    asks(server, "/standard")
    own = [number for number in numbers(server, KINDS[kind]) if number >= 1024]
    assert own
    sends(server, how, ",".join(map(str, own)))
    ends(server)


@pytest.mark.parametrize("how", ["/close", "/replace"])
def test_set_that_the_next_connection_is_to_be_watched_by(start, how):
    """libev takes that for a mistake of its caller's, and aborts."""
    server = start(APP)
    asks(server, "/standard")
    own, = numbers(server, KINDS["epoll"])
    with server.connect() as kept:
        sends(kept, how, str(own))
        ends(server)


@pytest.mark.parametrize("how", ["/close", "/replace"])
def test_connection(start, how):
    """What is sent on it does not go into the application's file."""
    server = start(APP)
    with server.connect() as kept:
        asks(kept, "/standard")
        sends(kept, how, str(number_of_connection(server)))
        ends(server)


def test_connection_whose_number_comes_again(start):
    """The next client gets the number, but nothing that was meant for the one before it."""
    server = start(APP)
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(server.connect())
        asks(idle, "/standard")
        number = number_of_connection(server)
        assert stack.enter_context(server.connect()).ask("/close", query=str(number)).status == 200
        with contextlib.suppress(OSError):
            for _ in range(number):  # lower ones may be free
                stack.enter_context(server.connect())
        ends(server)


@pytest.mark.parametrize("how", ["/close", "/replace"])
def test_state_of_threads(start, how):
    """Without it a call that waits would be taken for one that computes, for which others have to wait."""
    server = start(APP)
    asks(server, "/standard")
    sends(server, how, ",".join(map(str, numbers(server, r"/proc/.*/stat$"))))
    sends(server, "/wait")
    ends(server)


@pytest.mark.parametrize("path", ["/close-all", "/slow-close-all"])
def test_all(start, path):
    server = start(APP)
    sends(server, path)
    ends(server)


def test_fork_at_exit(start):
    """The child does not wait for threads that it does not have, nor free what they may use."""
    server = start(APP, env={"ASAN_OPTIONS": "detect_leaks=0"})
    asks(server, "/fork-at-exit")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "child ended with 0" in server.log()


def test_the_requests_that_run_are_named(start, gate):
    """One of them may be what did it; what their clients have sent is escaped, and comes last."""
    server = start(APP)
    waiting = []
    for name, headers in (("first", {}), ("\\second", {"X-Request-ID": "number.2"})):
        waiting.append(server.connect())
        waiting[-1].send(request(params("/hold", query="%s=%s" % (name, gate.path), headers=headers)))
        gate.arrived()
    own = [number for number in numbers(server, KINDS["listener"]) if number >= 1024]
    sends(server, "/close", ",".join(map(str, own)))
    ends(server)
    told = re.search(LOST + r"[^\n]*: ending, as nothing can be served; requests that run: ([^\n]*)\n", server.log()).group(1)
    assert re.search(r"GET /hold\?first=%s%s(, |$)" % (re.escape(gate.path), LABEL), told), told
    assert "GET /hold?\\x5csecond=%s [number.2]" % gate.path in told
    for connection in waiting:
        connection.close()


def test_what_has_ended_is_not_named(start):
    server = start(APP)
    asks(server, "/standard")
    own = [number for number in numbers(server, KINDS["listener"]) if number >= 1024]
    sends(server, "/close", ",".join(map(str, own)))
    ends(server)
    assert "/standard" not in server.log()
