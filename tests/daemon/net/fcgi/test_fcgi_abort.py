"""ABORT_REQUEST (FastCGI 1.0, 5.4) and the end of the peer, in every state of a request: what has not come whole is
dropped, what waits is called, what runs is told, by whatever it does next, and close() is called. Other requests do not
notice."""
import json
import select
import socket

import pytest

import fcgi
from fcgi import begin, pairs, params, record, request, stream
from test_faults import Footprint
from test_fcgi import good
from test_peers import settle, state
from test_wsgi import tokens

MIB = 1 << 20
APP = "faultapp"
ABORT = record(fcgi.ABORT_REQUEST, 6)
OPTIONS = ["-t", 3, "--queue-timeout", 0]

# Where a request is when it ends early.
STATES = ["begun", "params", "body", "queued", "computes", "reads", "streams", "blocked", "answered"]
RUNNING = ["computes", "reads", "streams", "blocked"]
DECLARED = 10 * MIB


PATHS = {"computes": "/connected", "reads": "/read-error", "streams": "/stream", "blocked": "/big"}


def parts_of(name, query, paths=PATHS):
    """The bytes of request 6."""
    path = paths.get(name, "/hello")
    body = name in ("body", "reads", "answered")
    given = params(path, "POST" if body else "GET", query, CONTENT_LENGTH=str(DECLARED) if body else "")
    out = begin(6, keep=True)
    if name != "begun":
        data = pairs(given)
        out += stream(fcgi.PARAMS, 6, data[:100] if name == "params" else data, end=name != "params")
    if body:
        out += stream(fcgi.STDIN, 6, b"x" * (1000 if name == "body" else 100000), end=False)
    elif name not in ("begun", "params"):
        out += record(fcgi.STDIN, 6)
    return out


class Case:
    """A request in one of the states, on a connection with another one that runs."""

    def __init__(self, server, gate, name):
        self.server, self.gate, self.name, self.token = server, gate, name, next(tokens)
        good(server.ask("/hello"))
        self.query = "gate=%s&closegate=%s&token=%s&mib=40&count=1000000" % (gate.path, gate.path, self.token)
        self.held = []
        self.connection = server.connect()
        self.hold(self.connection, 1)
        for _ in range(2 if name == "queued" else 0):
            self.hold(server.connect(), 1)
        self.connection.send(parts_of(name, self.query))
        self.visitor = None
        if name in ("computes", "reads", "streams"):
            self.visitor = gate.arrived()
        if name in ("streams", "blocked", "answered"):
            while 6 not in self.connection.pending:
                self.connection.read_and_keep()
        settle(server)

    def hold(self, connection, id):
        """Another request that runs."""
        connection.send(request(params("/gate", query="gate=" + self.gate.path), id=id, keep=True))
        self.held.append((connection, self.gate.arrived()))

    def told(self):
        """The application learns of it by what it does next: asking, reading, or sending."""
        if self.name == "computes":
            self.visitor.release()
            assert self.gate.arrived().text == "gone"
        if self.name == "reads":
            self.visitor.release()
            assert self.gate.arrived().text == "raised ConnectionResetError"
        if self.name == "streams":
            self.visitor.release()
            assert self.gate.arrived().text == "close"
        if self.name == "blocked":
            assert self.gate.arrived().text == "close"

    def counts(self):
        found = state(self.server, self.token)
        called = self.name in RUNNING + ["queued", "answered"]
        closes = self.name in ("streams", "blocked")
        assert (found["calls"], found["closed"]) == (called, closes)
        assert found["progress"] < 40 * MIB, "the application was stopped"

    def release(self):
        for connection, visitor in self.held:
            visitor.release()

    def close(self):
        for connection, visitor in self.held:
            connection.close()


@pytest.fixture
def case(server, gate, request):
    before = Footprint(server)
    made = Case(server, gate, request.param)
    yield made
    made.close()
    before.same(threads=4)


# What has come of an answer by then. A short one, that the application makes in spite of it, comes as well.
AFTER_ABORT = {"begun": b"", "params": b"", "body": b"", "queued": b"Hello, world\n", "computes": b"too late\n",
               "reads": b"Internal Server Error", "streams": b"chunk 0\n", "blocked": b"%065535d\n" % 0,
               "answered": b"Hello, world\n"}


@pytest.mark.parametrize("case", STATES, indirect=True)
def test_abort(case):
    """END_REQUEST comes, with no more of an answer than what was on its way; the id is free, and the other request on
    the connection still runs."""
    connection = case.connection
    connection.send(ABORT)
    settle(case.server)
    if case.name == "blocked":
        # The peer takes what is on its way to it: without that END_REQUEST could not come either.
        response = connection.read_response(6)
        case.told()
    else:
        if case.name == "queued":
            case.release()
        case.told()
        response = connection.read_response(6)
    assert response.complete and response.protocol_status == fcgi.REQUEST_COMPLETE
    assert AFTER_ABORT[case.name] in response.body and bool(response.stdout) == bool(AFTER_ABORT[case.name])
    assert len(response.stdout) < 2 * MIB
    good(connection.ask("/hello", id=6), b"Hello, world\n")
    case.counts()
    if case.name != "queued":
        case.release()
    for held, visitor in case.held:
        good(held.read_response(1), b"passed\n")


@pytest.mark.parametrize("case", STATES, indirect=True)
def test_end_of_the_peer(case):
    """It closes its connection: nobody is left to answer."""
    case.connection.close()
    settle(case.server)
    case.told()
    good(case.server.ask("/hello") if case.name != "queued" else after_release(case))
    case.counts()
    if case.name != "queued":
        case.release()
    for held, visitor in case.held[1:]:
        good(held.read_response(1), b"passed\n")


def after_release(case):
    with case.server.connect() as connection:
        settle(case.server)
        connection.send(request(params("/hello")))
        case.release()
        return connection.read_response(1)


# What comes after the peer has ended its side only (shutdown(2) on a Unix socket): a status and a part of the body.
HALF = {"begun": None, "params": None, "body": None, "queued": (200, b"Hello, world\n"), "computes": (200, b"passed\n"),
        "reads": (500, b"Internal Server Error"), "streams": (200, b"chunk 0\nchunk 1\n"),
        "blocked": (200, b"%065535d\n" % 15), "answered": (200, b"Hello, world\n")}


@pytest.mark.parametrize("name", STATES)
def test_end_of_the_peers_side(server, gate, name):
    """It still reads: a request that has come whole is answered. One that has not is dropped, or its reading ends."""
    before = Footprint(server)
    token = next(tokens)
    good(server.ask("/hello"))
    query = "gate=%s&token=%s&mib=1&count=2" % (gate.path, token)
    held = [server.connect() for _ in range(3)] if name == "queued" else []
    for connection in held:
        connection.send(request(params("/gate", query="gate=" + gate.path)))
        gate.arrived()
    with server.connect() as connection:
        connection.send(parts_of(name, query, {**PATHS, "computes": "/gate"}))
        if name in ("computes", "reads", "streams"):
            gate.arrived()
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        for visitor in list(gate.visitors):
            visitor.release()
        if name == "reads":
            assert gate.arrived().text == "raised ConnectionAbortedError"
        response = connection.read_response(6)
        if HALF[name] is None:
            assert response.broken and not response.records
        else:
            status, part = HALF[name]
            assert response.complete and response.status == status and part in response.body
            assert connection.at_eof()
    for each in held:
        good(each.read_response(1), b"passed\n")
        each.close()
    assert json.loads(server.ask("/state", query="token=" + token).body)["calls"] == (HALF[name] is not None)
    before.same(threads=4)


def test_end_of_a_tcp_peers_side(start, gate):
    """TCP does not tell it from the end of both sides before something is sent: the application may give up, and whoever
    still reads gets its answer."""
    server = start(APP, "-s", "127.0.0.1:0")
    port = int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    with fcgi.Connection(("127.0.0.1", port)) as connection:
        connection.send(request(params("/connected", query="gate=" + gate.path)))
        visitor = gate.arrived()
        connection.sock.shutdown(socket.SHUT_WR)
        visitor.release()
        assert gate.arrived().text == "gone"
        good(connection.read_response(1), b"too late\n")
        assert connection.at_eof()


def test_abort_twice(server, gate):
    """The second one comes while the application still runs."""
    with server.connect() as connection:
        connection.send(request(params("/connected", query="gate=" + gate.path), id=6, keep=True))
        visitor = gate.arrived()
        connection.send(ABORT, ABORT, record(fcgi.STDIN, 6, b"late"), ABORT)
        connection.get_values()
        visitor.release()
        assert gate.arrived().text == "gone"
        response = connection.read_response(6)
        assert response.complete
        connection.send(ABORT)
        good(connection.ask("/hello", id=6))


def test_abort_without_keeping_the_connection(server, gate):
    with server.connect() as connection:
        connection.send(request(params("/connected", query="gate=" + gate.path), id=6))
        gate.arrived().release()
        connection.send(ABORT)
        assert gate.arrived().text == "gone"
        assert connection.read_response(6).complete
        assert connection.at_eof()


def test_abort_of_a_call_that_waits_for_room(server, gate):
    """It is told although the peer takes nothing; what was begun to be sent is whole."""
    with server.connect() as connection:
        connection.send(request(params("/writes-on", query="gate=" + gate.path), id=6, keep=True))
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
        for _ in range(50):
            good(server.ask("/hello"))
        connection.send(ABORT)
        assert gate.arrived().text == "BrokenPipeError"
        assert connection.read_response(6).complete
        good(connection.ask("/hello", id=6))
