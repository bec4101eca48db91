"""How connections end: after so many requests, after a bounded drain, when a peer is too slow."""
import re
import select
import time

import pytest

import fcgi
from fcgi import begin, pairs, params, record, request, stream
from test_faults import Footprint
from test_fcgi import good
from test_peers import settle, state
from test_wsgi import tokens

MIB = 1 << 20
APP = "faultapp"
DROP_MAX = 1024 * MIB  # what is read of a body that nobody wants (conn.h)
SILENCE = 0.05       # seconds without a byte after which more of it is not waited for (lane.c)
LINGER = 5           # seconds without a byte of it
START = 65536        # bytes of a body with which the application is started
ROOM = 8 * MIB       # of socket buffers at both ends, generously

DRAINED = r"connection \d+: the peer did not end its side in time"
SLOW_REQUEST = r"info: connection \d+: a request was not completed within --idle-timeout"
SLOW_READER = r"info: connection \d+: the peer took nothing of an answer for --idle-timeout"
IDLE = r"connection \d+: idle for longer than --idle-timeout"


# --- --keepalive-requests

@pytest.mark.parametrize("size", [0, 200000])
def test_requests_per_connection(start, size):
    """The last answer is whole; then comes the end, not a reset. The other connections have counts of their own."""
    server = start(APP, "--keepalive-requests", 3)
    body = bytes(size)
    with server.connect() as other:
        good(other.ask("/hello"))
        for _ in range(3):
            with server.connect() as connection:
                for id in (1, 2, 1):
                    response = good(connection.ask("/echo", "POST", body=body, id=id), body)
                    assert response.records[-1].type == fcgi.END_REQUEST
                assert connection.sock.recv(1) == b"", "no reset"
        good(other.ask("/hello"))
        good(other.ask("/hello"))
        assert other.sock.recv(1) == b""


def test_one_request_per_connection(start):
    server = start(APP, "--keepalive-requests", 1)
    for _ in range(5):
        with server.connect() as connection:
            assert connection.get_values()["FCGI_MPXS_CONNS"] == "1"  # is not counted
            good(connection.ask("/hello"))
            assert connection.sock.recv(1) == b""


def test_last_request_has_more_to_send(start):
    """Its answer is there before its body: END_REQUEST and the end of the connection come behind STDIN all the same."""
    server = start(APP, "--keepalive-requests", 2)
    for _ in range(TRIES):
        with server.connect() as connection:
            good(connection.ask("/hello"))
            sender = Sender(connection, "/hello", MIB)
            sender.send(START)
            while 1 not in connection.pending:
                connection.read_and_keep()
            connection.get_values()
            early = select.select([connection.sock], [], [], 0)[0]
            sender.send(MIB - START)
            sender.end()
            good(connection.read_response(1))
            assert connection.sock.recv(1) == b""
            if sender.steady:
                assert not early, "nothing before the end of STDIN"
                return
    raise AssertionError("this machine is too slow to send without a pause")


def test_no_limit_by_default(server):
    with server.connect() as connection:
        for _ in range(1500):
            good(connection.ask("/hello"))


# --- the drain: STDIN that comes behind the answer

TRIES = 100


class Sender:
    """Sends a body, and knows whether it did so without a pause that the server may take for silence."""

    def __init__(self, connection, path, declared=None):
        self.connection, self.steady = connection, True
        length = {} if declared is None else {"CONTENT_LENGTH": str(declared)}
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(params(path, "POST", **length))))
        self.began = time.monotonic()

    def _send(self, data):
        """No byte of this is later than the one before by more than the time from its begin to the end of this."""
        began = time.monotonic()
        self.connection.send(data)
        self.steady = self.steady and time.monotonic() - self.began < SILENCE
        self.began = began

    def send(self, count):
        block = record(fcgi.STDIN, 1, b"x" * 32768)
        for _ in range(count // 32768):
            self._send(block)

    def end(self):
        self._send(record(fcgi.STDIN, 1))


def early(connection, keep, declared=200 * MIB):
    """Sends so much of a body that the application is started and answers without reading it."""
    given = params("/hello", "POST", CONTENT_LENGTH=str(declared))
    connection.send(begin(keep=keep), stream(fcgi.PARAMS, 1, pairs(given)),
                    stream(fcgi.STDIN, 1, b"x" * START, end=False))


def send_until_refused(connection, limit):
    """Sends STDIN. Returns the bytes that were taken before the connection was ended."""
    block = stream(fcgi.STDIN, 1, b"x" * MIB, end=False)
    sent = 0
    while sent < limit:
        try:
            connection.send(block)
        except (BrokenPipeError, ConnectionResetError):
            return sent
        sent += MIB
    raise AssertionError("%d MiB were taken" % (sent // MIB))


@pytest.mark.parametrize("size", [MIB, 100 * MIB])
def test_drain(server, size):
    """The peer sends all before it reads, as Caddy does: it gets its answer, whole, and no reset."""
    before = Footprint(server)
    with server.connect() as connection:
        early(connection, False, size)
        connection.send(stream(fcgi.STDIN, 1, bytes(size - START)))
        good(connection.read_response(1))
        assert connection.sock.recv(1) == b""
    before.same()


@pytest.mark.parametrize("size", [MIB, 20 * MIB])
def test_drain_of_a_kept_connection(server, size):
    """END_REQUEST comes behind STDIN, and the connection is kept."""
    before = Footprint(server)
    for _ in range(TRIES):
        with server.connect() as connection:
            sender = Sender(connection, "/hello", size)
            sender.send(size)
            sender.end()
            good(connection.read_response(1))
            if sender.steady:
                good(connection.ask("/echo", "POST", body=b"next"), b"next")
                break
    else:
        raise AssertionError("this machine is too slow to send without a pause")
    before.same()


def test_answer_comes_before_the_drain(server):
    """Whoever reads first has it first: STDOUT at once; END_REQUEST at once unless the connection is kept."""
    for _ in range(TRIES):
        with server.connect() as connection:
            sender = Sender(connection, "/hello", 200 * MIB)
            sender.send(START)
            assert connection.read_and_keep().content.endswith(b"\r\n\r\nHello, world\n")
            connection.get_values()
            early_end = select.select([connection.sock], [], [], 0)[0]
            sender.end()
            good(connection.read_response(1))
            if sender.steady:
                assert not early_end
                good(connection.ask("/hello"))
                break
    else:
        raise AssertionError("this machine is too slow to send without a pause")
    with server.connect() as connection:
        early(connection, False)
        good(connection.read_response(1))
        assert connection.sock.recv(1) == b"", "half-closed"
        connection.send(stream(fcgi.STDIN, 1, bytes(10 * MIB)))  # is taken


@pytest.mark.parametrize("keep", [True, False])
def test_drain_is_bounded_in_bytes(start, keep):
    server = start(APP, "--log-level", "debug", "--limit-request-body", 0)
    before = Footprint(server)
    with server.connect() as connection:
        early(connection, keep, 10000 * MIB)
        assert connection.read_and_keep().content.endswith(b"Hello, world\n")
        most = 1 + keep  # one that was silent for a moment has its END_REQUEST, and then lingers
        assert DROP_MAX - MIB <= send_until_refused(connection, 3 * DROP_MAX) <= most * DROP_MAX + ROOM
        server.wait_log(DRAINED)
        good(server.ask("/hello"))
    before.same()


def test_drain_is_bounded_in_time(start):
    """A peer that neither sends nor ends its side is let go after some seconds; one that sends is not."""
    server = start(APP, "--log-level", "debug")
    before = Footprint(server)
    with server.connect() as silent, server.connect() as sender:
        for connection in (silent, sender):
            early(connection, False)
            good(connection.read_response(1))
            assert connection.sock.recv(1) == b""
        poll = select.poll()
        poll.register(silent.sock, select.POLLHUP)
        poll.register(sender.sock, select.POLLHUP)
        ended = []
        while not ended:
            sender.send(record(fcgi.STDIN, 1, b"x" * 1000))
            ended = poll.poll(LINGER * 100)
        assert [fd for fd, event in ended] == [silent.sock.fileno()], "both sides are closed"
        server.wait_log(DRAINED)
        sender.send(record(fcgi.STDIN, 1, b"x" * 1000))
    before.same()


# --- slow peers, by --idle-timeout

def waits_for_end(connection):
    try:
        while connection.sock.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass


@pytest.mark.parametrize("keep", [True, False])
def test_reader_that_takes_nothing_of_a_stream(start, gate, keep):
    """The application is stopped, its close() called; nobody else waits meanwhile."""
    server = start(APP, "--idle-timeout", 1)
    before = Footprint(server)
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=40&token=%s&closegate=%s" % (token, gate.path)), keep=keep))
        good(server.ask("/hello"))
        assert gate.arrived().text == "close"
        server.wait_log(SLOW_READER)
        found = state(server, token)
        assert found["closed"] == 1 and found["progress"] < 4 * MIB
        waits_for_end(connection)
    before.same()


@pytest.mark.parametrize("keep", [True, False])
def test_reader_that_takes_nothing_of_a_whole_answer(start, keep):
    """The application has ended long before; what waits is the server's."""
    server = start(APP, "--idle-timeout", 1)
    body = bytes(5 * MIB)
    before = Footprint(server, memory=16 * MIB)
    with server.connect() as connection:
        connection.send(request(params("/echo", "POST", body=body), body, keep=keep))
        good(server.ask("/hello"))
        server.wait_log(SLOW_READER)
        waits_for_end(connection)
    before.same(threads=3)  # the call, which waited for its body, others beside it, and the loop


@pytest.mark.parametrize("size, path", [(None, "/big"), (5 * MIB, "/echo")])
def test_reader_that_takes_nothing_and_sends(start, size, path):
    """What it sends keeps neither the connection nor the thread whose answer it does not take."""
    server = start(APP, "-t", 1, "--idle-timeout", 1)
    body = bytes(size or 0)
    with server.connect() as connection:
        connection.send(request(params(path, "POST", "mib=40&token=" + next(tokens), body=body), body))
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
        try:
            while not re.search(SLOW_READER, server.log()):
                connection.send(record(fcgi.STDIN, 77, b"x"))
                select.select([], [], [], 0.02)
        except (BrokenPipeError, ConnectionResetError):
            server.wait_log(SLOW_READER)
    good(server.ask("/hello"))


def test_answer_behind_one_with_an_unread_body(start, gate):
    """The end of the connection must not be a reset, which would destroy the second answer."""
    server = start(APP, socket="127.0.0.1:0", address=("127.0.0.1", 0), wait=False)
    server.address = "127.0.0.1", int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    for _ in range(20):
        with server.connect() as connection:
            given = params("/gate", "POST", "gate=" + gate.path, CONTENT_LENGTH="10000000")
            connection.send(begin(1), stream(fcgi.PARAMS, 1, pairs(given)),
                            stream(fcgi.STDIN, 1, b"x" * 100000, end=False))
            visitor = gate.arrived()
            connection.send(request(params("/big", query="mib=8&token=" + next(tokens)), id=2))
            while 2 not in connection.pending:
                connection.read_and_keep()
            visitor.release()
            good(connection.read_response(1), b"passed\n")
            connection.send(*[record(fcgi.STDIN, 1, b"x" * 60000)] * 20)
            response = connection.read_response(2)
            assert not response.broken and len(response.body) == 8 * MIB


def test_reader_that_takes_little(start):
    """Who takes something in time is no slow reader, however long all of it takes."""
    server = start(APP, "--idle-timeout", 1)
    body = bytes(range(256)) * 4096 * 4
    with server.connect() as connection, server.connect() as idle:
        connection.send(request(params("/echo", "POST", body=body), body, keep=True))
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
        good(idle.ask("/hello"))
        for _ in range(2):
            while not select.select([idle.sock], [], [], 0.05)[0]:
                connection.held += connection.sock.recv(4096)
            assert idle.at_eof(), "the time-out has passed"
            idle.close()
            idle = server.connect()
        good(connection.read_response(1), body)


@pytest.mark.parametrize("state", ["params", "body", "reads"])
def test_sender_that_stops(start, gate, state):
    """Where a request waits for the peer, the connection ends after the time-out, and the log says why."""
    server = start(APP, "--idle-timeout", 1)
    before = Footprint(server)
    given = params("/hello" if state == "body" else "/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="1000000")
    with server.connect() as connection:
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(given), end=state != "params"))
        if state != "params":
            connection.send(stream(fcgi.STDIN, 1, b"x" * (1000 if state == "body" else 100000), end=False))
        if state == "reads":
            gate.arrived().release()
        response = connection.read_response(1)
        assert response.broken
        server.wait_log(SLOW_REQUEST)
        if state == "reads":
            assert gate.arrived().text == "raised ConnectionResetError"
        good(server.ask("/hello"))
    before.same()


@pytest.mark.parametrize("state", ["body", "reads"])
def test_stalled_request_beside_a_busy_one(start, gate, state):
    """It ends, with an answer, and lets its thread go; the others on the connection notice nothing."""
    server = start(APP, "-t", 3, "--idle-timeout", 1)
    given = params("/hello" if state == "body" else "/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="1000000")
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), id=9, keep=True))
        busy = gate.arrived()
        connection.send(begin(1, keep=True), stream(fcgi.PARAMS, 1, pairs(given)),
                        stream(fcgi.STDIN, 1, b"x" * (1000 if state == "body" else 100000), end=False))
        if state == "reads":
            gate.arrived().release()
        while 1 not in connection.pending or not connection.pending[1].complete:
            good(connection.ask("/hello", id=2))
        response = connection.read_response(1)
        assert response.status == 408, response
        if state == "reads":
            assert gate.arrived().text == "raised TimeoutError"
        server.wait_log("408 [^\n]*nothing more of its body came within --idle-timeout")
        connection.send(stream(fcgi.STDIN, 1, b"late"))
        good(connection.ask("/hello", id=1))
        busy.release()
        good(connection.read_response(9), b"passed\n")


def test_idle_connection(start):
    """Its end is the ordinary case: a line for those who look for it only, and no reset."""
    server = start(APP, "--idle-timeout", 1, "--log-level", "debug")
    before = Footprint(server)
    with server.connect() as used, server.connect() as fresh:
        good(used.ask("/hello"))
        assert used.sock.recv(1) == b"" and fresh.sock.recv(1) == b""
        server.wait_log("debug: " + IDLE)
    before.same()


def test_inside_a_record(start):
    """Half a header is the beginning of a request."""
    server = start(APP, "--idle-timeout", 1)
    with server.connect() as connection:
        good(connection.ask("/hello"))
        connection.send(begin()[:5])
        assert connection.sock.recv(1) == b""
        server.wait_log(SLOW_REQUEST)
