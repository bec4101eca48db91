"""Forty peers that are slow in one way, with four threads: requests of others are answered as if there were none, and
each of the peers ends as the manual page says, with a line in the log."""
import contextlib
import json
import os
import re
import select
import socket

import pytest

import daemon as daemons
import fcgi
from daemon import until
from fcgi import begin, pairs, params, record, request, stream
from test_faults import limit_files
from test_fcgi import good
from test_http import head
from test_wsgi import tokens

OVER_HTTP = True
THREADS, PEERS, QUICK = 4, 40, 100
MIB = 1 << 20
BEGINNING = b"x" * 70000  # of a body: so much that the application is called
NEVER = ["--header-timeout", 600, "--idle-timeout", 600]
SOON = {"header": ["--header-timeout", 1], "rate": ["--header-timeout", 1], "idle": ["--idle-timeout", 1]}

HEADER = r"408 [^\n]*: its parameters did not come within --header-timeout"
FIRST = r"408 [^\n]*: nothing of its body came within --header-timeout"
RATE = r"408 [^\n]*: its body comes at less than --min-body-rate"
REQUEST = "a request was not completed within --idle-timeout"
READER = "the peer took nothing of an answer for --idle-timeout"
DRIPS = r"the peer took an answer at less than --min-send-rate: \d+ bytes a second for \d+ s \("


class Slow:
    """A kind of slow peer: `send` does what it does once, `time` is the key of SOON that ends it."""

    def __init__(self, time, line, http=None, fastcgi=None, drips=False, calls=False):
        self.time, self.line, self.http, self.fastcgi = time, line, http, fastcgi
        self.drips = drips  # it goes on, a byte at a time
        self.calls = calls  # each of them is in a call: `http` or `fastcgi` gets the query of one that says so

    def send(self, connection, protocol, query=""):
        connection.send(*(self.http if protocol == "http" else self.fastcgi)(query))


def http_post(*lines, sent=b"", path="/read-error"):
    return lambda query: [head(*lines, path=path + "?" + query, method="POST"), sent]


def fastcgi_post(length, size, keep=False, path="/read-error"):
    def parts(query):
        given = pairs(params(path, "POST", query, CONTENT_LENGTH=str(length)))
        return [begin(keep=keep), stream(fcgi.PARAMS, 1, given), stream(fcgi.STDIN, 1, b"x" * size, end=False)]
    return parts


def half_head(query):
    return [b"GET /hello HTTP/1.1\r\nHost: a\r\nX: "]


def half_params(query):
    return [begin(), stream(fcgi.PARAMS, 1, pairs(params("/hello")), end=False)]


SENDERS = {
    "head": Slow("header", HEADER, http=half_head, fastcgi=half_params),
    "expect": Slow("header", FIRST, http=http_post("Expect: 100-continue", "Content-Length: 10", path="/echo")),
    "expect large": Slow("header", FIRST, http=http_post("Expect: 100-continue", "Content-Length: 1000000",
                                                         path="/echo")),
    "small": Slow("header", FIRST, http=http_post("Content-Length: 10")),
    "large": Slow("header", FIRST, http=http_post("Content-Length: 1000000")),
    "chunked": Slow("header", FIRST, http=http_post("Transfer-Encoding: chunked")),
    "drops": Slow("rate", RATE, http=http_post("Content-Length: 1000000"), drips=True),
    "begun": Slow("rate", RATE, http=http_post("Content-Length: 1000000", sent=BEGINNING), calls=True),
    "begun, drops": Slow("rate", RATE, http=http_post("Content-Length: 1000000", sent=BEGINNING), drips=True,
                         calls=True),
    "answered": Slow("header", "the peer did not end its side in time",
                     http=http_post("Content-Length: 70000", sent=b"x" * 69000, path="/hello")),
    "no stdin": Slow("idle", REQUEST, fastcgi=fastcgi_post(10, 0)),
    "stdin begun": Slow("idle", REQUEST, fastcgi=fastcgi_post(1000000, 70000), calls=True),
    "stdin begun, kept": Slow("idle", REQUEST, fastcgi=fastcgi_post(1000000, 70000, keep=True), calls=True),
}


# What there is of each protocol: the fixture is given its value here.
PROTOCOLS = ["fastcgi"] + ["http"] * ("WSGI_FCGI" in os.environ and daemons.speaks_http())
each_sender = pytest.mark.parametrize("protocol, kind", [
    pytest.param(protocol, kind, id="%s-%s" % (protocol, name.replace(", ", "-").replace(" ", "-")))
    for protocol in PROTOCOLS for name, kind in SENDERS.items() if getattr(kind, protocol)], indirect=["protocol"])


def others_are_served(server):
    with server.connect() as kept:
        for _ in range(QUICK // 2):
            good(kept.ask("/hello"))
            good(server.ask("/hello"))


@pytest.fixture
def connect():
    """Connects to a server, for as long as the test takes, or until connect.close() ends all that it has made."""
    with contextlib.ExitStack() as stack:
        def connect(server):
            return stack.enter_context(server.connect())
        connect.close = stack.close
        yield connect


def ended(connection):
    """Whether the server has closed it; what it said is read."""
    try:
        while select.select([connection.sock], [], [], 0)[0]:
            if not connection.sock.recv(1 << 16):
                return True
    except ConnectionResetError:
        return True
    return False


def drip(connections):
    for connection in connections:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(b"x")


def send_all(kind, server, protocol, gate, connect):
    """Each connects when it is its turn: one that does nothing is soon ended."""
    peers = []
    for _ in range(PEERS):
        peers.append(connect(server))
        kind.send(peers[-1], protocol, "gate=" + gate.path)
        if kind.calls:
            gate.arrived().release()
    return peers


def all_raise(kind, gate):
    for _ in range(PEERS if kind.calls else 0):
        assert gate.arrived().text in ("raised TimeoutError", "raised ConnectionResetError")


@pytest.mark.fastcgi
@each_sender
def test_slow_senders_hold_nobody_up(start, protocol, gate, connect, kind):
    server = start("wsgiapp", "-t", THREADS, *NEVER)
    peers = send_all(kind, server, protocol, gate, connect)
    for _ in range(2):
        if kind.drips:
            drip(peers)
        others_are_served(server)
    connect.close()
    all_raise(kind, gate)


@pytest.mark.fastcgi
@each_sender
def test_slow_senders_end(start, protocol, gate, connect, kind):
    server = start("wsgiapp", "-t", THREADS, *SOON[kind.time], "--log-level", "debug")
    left = send_all(kind, server, protocol, gate, connect)

    def all_ended():
        left[:] = [peer for peer in left if not ended(peer)]
        if kind.drips:
            drip(left)
        return not left
    until(all_ended, "all of them to end", server.log)
    server.wait_log(kind.line)
    all_raise(kind, gate)
    others_are_served(server)


def test_their_threads_take_no_descriptors(start, protocol, gate, connect):
    """However many calls wait, connections find the descriptors that --max-connections reckons with."""
    server = start("wsgiapp", "-t", THREADS, *NEVER, preexec_fn=limit_files(100))
    kind = SENDERS["begun" if protocol == "http" else "stdin begun"]
    for _ in range(60):
        kind.send(connect(server), protocol, "gate=" + gate.path)
        gate.arrived().release()
    others_are_served(server)
    assert "Too many open files" not in server.log()
    connect.close()
    for _ in range(60):
        assert gate.arrived().text == "raised ConnectionResetError"


# --- slow readers: of an iterable, a list, and a file

@pytest.fixture(params=["iterable", "list", "file"])
def large_answer(request, tmp_path):
    """Makes the parameters and the body of what asks for one."""
    if request.param == "list":
        body = bytes(5 * MIB)
        return lambda: (params("/echo", "POST", body=body), body)
    if request.param == "file":
        path = tmp_path / "large"
        path.write_bytes(bytes(8 * MIB))
        return lambda: (params("/file", query="path=%s" % path), b"")
    return lambda: (params("/big", query="mib=8&token=" + next(tokens)), b"")


def begin_all(server, connect, large_answer):
    """All of them have something of their answers, and take nothing."""
    for _ in range(PEERS):
        peer = connect(server)
        peer.send(request(*large_answer()))
        assert select.select([peer.sock], [], [], fcgi.PATIENCE)[0]
        yield peer


def test_slow_readers_hold_nobody_up(start, connect, large_answer):
    server = start("wsgiapp", "-t", THREADS, *NEVER)
    peers = list(begin_all(server, connect, large_answer))
    others_are_served(server)
    # Each gets all of its answer, when it takes it.
    for peer in peers:
        response = peer.read_response(1)
        assert response.complete and len(response.body) >= 5 * MIB


def test_slow_readers_end(start, connect, large_answer):
    server = start("wsgiapp", "-t", THREADS, *SOON["idle"])
    peers = list(begin_all(server, connect, large_answer))
    server.wait_log(READER)
    until(lambda: server.fds() < len(peers), "connections to end", server.log)
    others_are_served(server)


def sip(connections):
    """Each takes a byte."""
    for connection in connections:
        with contextlib.suppress(ConnectionResetError, BlockingIOError):
            connection.sock.recv(1, socket.MSG_DONTWAIT)


def test_readers_by_drops_end(start, connect, large_answer):
    """However steadily they drip. One that takes enough gets all of its answer beside them."""
    server = start("wsgiapp", "-t", THREADS, *NEVER, "--min-send-rate", "20K", "--log-level", "debug")
    steady = connect(server)
    steady.send(request(params("/big", query="mib=64&token=" + next(tokens))))
    peers = list(begin_all(server, connect, large_answer))

    def all_ended():
        sip(peers)
        # Three seconds of what it has to take: a busy machine may take long for a round.
        steady.held += steady.sock.recv(64 << 10)
        return server.fds() < len(peers)
    until(all_ended, "connections to end", server.log)
    response = steady.read_response(1)
    assert response.complete and len(response.body) == 64 * MIB
    server.wait_log(DRIPS)
    server.wait_log("request 1 ended ")
    others_are_served(server)


def test_their_threads_end(start, connect):
    """Once nobody needs them any more. What an application keeps for them ends with them."""
    server = start("wsgiapp", "-t", THREADS, *NEVER)
    few = server.threads() + THREADS + 1
    peers = [connect(server) for _ in range(PEERS)]
    for peer in peers:
        peer.send(request(params("/of-thread-stream")))
    until(lambda: json.loads(server.ask("/of-threads").body)["kept"] == PEERS, "all of them to begin", server.log)
    assert server.threads() > PEERS
    connect.close()
    until(lambda: server.threads() <= few, "threads to end", server.log)
    seen = json.loads(server.ask("/of-threads").body)
    assert seen["kept"] <= few and len(seen["threads"]) <= few, seen


# --- many requests on one connection

@pytest.mark.fastcgi
@pytest.mark.parametrize("end", [False, True])
def test_multiplexed_senders(start, gate, end):
    server = start("wsgiapp", "-t", THREADS, *(SOON["idle"] if end else NEVER))
    with server.connect() as connection:
        for id in range(1, PEERS + 1):
            given = pairs(params("/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="1000000"))
            connection.send(begin(id, keep=True), stream(fcgi.PARAMS, id, given),
                            stream(fcgi.STDIN, id, BEGINNING, end=False))
            gate.arrived().release()
        if end:
            until(lambda: re.search(REQUEST, server.log()), "the connection to end", server.log)
            for _ in range(PEERS):
                assert gate.arrived().text.startswith("raised ")
            good(server.ask("/hello"))
            return
        others_are_served(server)
        good(connection.ask("/hello", id=99))
        for id in range(1, PEERS + 1):
            connection.send(record(fcgi.ABORT_REQUEST, id))
        for _ in range(PEERS):
            assert gate.arrived().text == "raised ConnectionResetError"


@pytest.mark.fastcgi
def test_multiplexed_readers(start):
    server = start("wsgiapp", "-t", THREADS, *NEVER)
    with server.connect() as connection:
        tickets = [next(tokens) for _ in range(PEERS)]
        for id, token in enumerate(tickets, 1):
            connection.send(request(params("/big", query="mib=2&token=" + token), id=id, keep=True))

        def begun(token):
            return json.loads(server.ask("/state", query="token=" + token).body)["progress"]
        until(lambda: all(begun(token) for token in tickets), "all to begin", server.log)
        others_are_served(server)
        for id in range(1, PEERS + 1):
            assert len(connection.read_response(id).body) == 2 * MIB
