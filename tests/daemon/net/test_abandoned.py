"""Clients that leave, or end their side, before they are answered. What has come whole is called, however busy the server
is; a half-close is only the end of the input, and the answer goes to whoever can still read."""
import array
import fcntl
import hashlib
import json
import os
import re
import signal
import socket
import struct
import termios
import time

import pytest

import daemon as daemons
import fcgi
import nginx as nginxes
import rawhttp
from daemon import until
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import good
from test_wsgi import tokens

APP = "abandonedapp"
KINDS = {"fastcgi": fcgi, "http": rawhttp}
PLACES = ["fastcgi-unix", "fastcgi-tcp"]
if "WSGI_FCGI" in os.environ and daemons.speaks_http():
    PLACES += ["http-unix", "http-tcp"]
TCP = [place for place in PLACES if place.endswith("tcp")]


class Place:
    """Starts a server that is reached in one of the ways."""

    def __init__(self, start, name):
        self.start = start
        self.protocol, self.how = name.split("-")

    def __call__(self, *options):
        tcp = [daemons.OPTIONS[self.protocol], "127.0.0.1:0"] if self.how == "tcp" else []
        # What waits is to wait as long as a test likes, unless the test says otherwise.
        server = self.start(APP, *tcp, "--queue-timeout", 0, *options, protocol=self.protocol)
        if tcp:
            port = server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1)
            server.address = ("127.0.0.1", int(port))
        return server


@pytest.fixture(params=PLACES)
def place(start, request):
    return Place(start, request.param)


@pytest.fixture(params=TCP)
def tcp(start, request):
    return Place(start, request.param)


class Notes:
    """What the application has written down about its calls."""

    def __init__(self, directory):
        self.path = str(directory / "notes")
        open(self.path, "w").close()

    def query(self, n="", **more):
        return "&".join("%s=%s" % pair for pair in {"notes": self.path, "n": n, **more}.items())

    def read(self):
        with open(self.path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def wait(self, count, server):
        until(lambda: len(self.read()) >= count, "%d calls" % count, lambda: "%d came\n%s" % (len(self.read()), server.log()))
        found = self.read()
        assert len(found) == count
        return found


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path)


def body_of(number, size):
    return (b"%d " % number * size)[:size]


def post(notes, number, size, **more):
    """A POST that is noted."""
    body = body_of(number, size)
    return request(params("/noted", "POST", notes.query(number, **more), body=body), body, keep=True)


def expected(number, size):
    return [str(number), size, hashlib.sha256(body_of(number, size)).hexdigest()]


def settle(server):
    """Everything that was ready in the loop before has been handled. A connection that is new is answered before others
    are looked at: 64 of them in one round of the loop, at most."""
    if server.speaks_http:
        for _ in range(2 * 64 + 2):
            assert rawhttp.alive(server.address)
        return
    with server.connect() as connection:
        for _ in range(4):
            connection.get_values()


def hold(server, gate, count=1):
    """Keeps so many threads of the server busy. Returns what lets them go, and takes their answers."""
    held = [server.connect() for _ in range(count)]
    visitors = []
    for connection in held:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitors.append(gate.arrived())

    def release():
        for visitor in visitors:
            visitor.release()
        for connection in held:
            good(connection.read_response(1), b"passed\n")
            connection.close()
    release.connections = held
    release.visitors = visitors
    return release


def arrive(connection):
    """Waits until the system of the server has all that was sent to it."""
    left = array.array("i", [1])

    def none_left():
        fcntl.ioctl(connection.sock, termios.TIOCOUTQ, left)
        return left[0] == 0
    if connection.sock.family == socket.AF_INET:
        until(none_left, "the bytes to arrive")


# --- clients that leave

SIZES = [3000] * 8 + [100000, 300000]  # the last ones are more than is waited for, and more than is kept in memory


@pytest.mark.parametrize("threads, busy", [(4, True), (32, True), (4, False)])
def test_bodies_of_clients_that_left(place, gate, notes, threads, busy):
    """A POST and the end of the connection: all are called, each with its whole body."""
    server = place("-t", threads)
    release = hold(server, gate, threads) if busy else lambda: None
    for number in range(100):
        with server.connect() as connection:
            connection.send(post(notes, number, SIZES[number % 10], ms=20))
    if busy:
        settle(server)
    release()
    found = notes.wait(100, server)
    assert sorted(line[:3] for line in found) == sorted(expected(number, SIZES[number % 10]) for number in range(100))
    good(server.ask("/hello"))


def test_the_application_is_told(place, gate, notes):
    """Its client has left before the call."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10))
    settle(server)
    release()
    assert notes.wait(1, server) == [expected(1, 10) + [False]]


@pytest.mark.parametrize("place", [place for place in PLACES if place.endswith("unix")], indirect=True)
def test_answers_that_nobody_takes(place, gate, notes):
    """An application that sends is told by that, and no traceback is written for it."""
    server = place("-t", 1)
    release = hold(server, gate)
    for number in range(2):
        with server.connect() as connection:
            connection.send(request(params("/streamed", query=notes.query(number)), keep=True))
    settle(server)
    release()
    assert notes.wait(2, server) == [["0", 0], ["1", 0]]
    good(server.ask("/hello"))
    assert "Traceback" not in server.log()
    server.wait_log("GET /streamed[^\n]*: the client went away")


def test_a_body_that_came_whole_is_kept(place, gate, notes):
    """Its client leaves while the call runs, and before it has read."""
    server = place("-t", 2)
    body = body_of(1, 300000)
    with server.connect() as connection:
        given = params("/read-at-the-gate", "POST", notes.query(1, gate=gate.path), body=body)
        connection.send(request(given, body))
        visitor = gate.arrived()
        arrive(connection)
        settle(server)
    settle(server)
    visitor.release()
    assert notes.wait(1, server) == [["1", 300000, "end"]]


def test_what_came_of_a_body_is_read(place, gate, notes):
    """The rest of it does not come: the application reads what there is, and is told."""
    server = place("-t", 2)
    with server.connect() as connection:
        given = params("/read-at-the-gate", "POST", notes.query(1, gate=gate.path), CONTENT_LENGTH="1000000")
        connection.send(request(given, b"x" * 200000, end=False))
        visitor = gate.arrived()
        arrive(connection)
        settle(server)
    settle(server)
    visitor.release()
    (number, length, error), = notes.wait(1, server)
    assert length == 200000 and error in ("ConnectionResetError", "ConnectionAbortedError")


@pytest.mark.parametrize("sent", [1000, 100000])
def test_what_did_not_come_whole_is_dropped(place, gate, notes, sent):
    """With a line in the log."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        given = params("/noted", "POST", notes.query(1), CONTENT_LENGTH="1000000")
        connection.send(request(given, b"x" * sent, end=False))
        arrive(connection)
        settle(server)
    server.wait_log(r"request 1(:| dropped )[^\n]*(left before all of it had come|body ended before[^\n]*): POST /noted")
    settle(server)
    release()
    good(server.ask("/hello"))
    assert notes.read() == []


# --- several requests on one connection

def pipeline(notes, count, size, ms):
    return [post(notes, number, size, ms=ms) for number in range(count)]


@pytest.mark.parametrize("ms", [0, 20])
@pytest.mark.parametrize("size", [10, 20000])
def test_pipelined_requests_and_a_half_close(place, notes, size, ms):
    """All are answered, in their order."""
    server = place("-t", 4)
    with server.connect() as connection:
        connection.send(*pipeline(notes, 20, size, ms))
        connection.sock.shutdown(socket.SHUT_WR)
        for number in range(20):
            good(connection.read_response(1), b"%d" % number)
        assert connection.at_eof()
    assert [line[:3] for line in notes.wait(20, server)] == [expected(number, size) for number in range(20)]


def fill(server, connection, requests):
    """Sends them all. Of long ones the server takes as many as it keeps in front of the call, and then its socket does."""
    data = b"".join(map(connection.wire, requests))
    for part in data[:80000], data[80000:]:
        connection.send(part)
        arrive(connection)
        settle(server)


@pytest.mark.parametrize("size", [10, 6500])
def test_pipelined_requests_of_a_client_that_left(place, gate, notes, size):
    """All are called, also what waits in the socket when the first answer finds nobody."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        fill(server, connection, pipeline(notes, 20, size, 1))
    settle(server)
    release()
    assert [line[:3] for line in notes.wait(20, server)] == [expected(number, size) for number in range(20)]
    good(server.ask("/hello"))


def test_pipelined_requests_behind_answers_that_nobody_takes(place, gate, notes):
    """One that breaks off because its client has left is not the last one."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        for number in range(5):
            connection.send(request(params("/streamed", query=notes.query(number)), keep=True))
        connection.send(post(notes, 5, 10))
        arrive(connection)
        settle(server)
    settle(server)
    release()
    assert [line[0] for line in notes.wait(6, server)] == list("012345")


def test_reset_behind_requests(tcp, gate, notes):
    """What was received before a reset is called."""
    server = tcp("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        fill(server, connection, pipeline(notes, 20, 6500, 1))
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    settle(server)
    release()
    assert [line[:3] for line in notes.wait(20, server)] == [expected(number, 6500) for number in range(20)]


def test_a_peer_that_takes_no_answers(place, gate, notes):
    """It ends its reading side only, and goes on sending: that cannot be told before something is sent."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        fill(server, connection, pipeline(notes, 20, 6500, 1))
        connection.sock.shutdown(socket.SHUT_RD)
        release()
        assert [line[:3] for line in notes.wait(20, server)] == [expected(number, 6500) for number in range(20)]


@pytest.mark.parametrize("place", ["fastcgi-unix", "fastcgi-tcp"], indirect=True)
def test_multiplexed_requests_of_a_client_that_left(place, gate, notes):
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        for number in range(10):
            body = body_of(number, 5000)
            given = params("/noted", "POST", notes.query(number), body=body)
            connection.send(request(given, body, id=number + 1, keep=True))
        connection.send(begin(20), stream(fcgi.PARAMS, 20, pairs(given), end=False))
    server.wait_log(r"request 20 dropped [^\n]*: its client left before all of it had come")
    release()
    assert [line[:3] for line in notes.wait(10, server)] == [expected(number, 5000) for number in range(10)]


@pytest.mark.parametrize("place", ["fastcgi-unix"], indirect=True)
def test_garbage_behind_requests(place, gate, notes):
    """The server ends the connection: what had come whole before is called all the same, as it is when threads are free."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10), b"\xff" * 8)
        assert connection.read_response(1).broken
    release()
    assert notes.wait(1, server)[0][:3] == expected(1, 10)


# --- half-closes

def test_half_close_before_a_slow_answer(place, gate):
    server = place("-t", 1)
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path)))
        visitor = gate.arrived()
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        visitor.release()
        good(connection.read_response(1), b"passed\n")
        assert connection.at_eof()


def test_half_close_before_a_thread_is_free(place, gate, notes):
    """Only on a Unix socket the application knows that its client is still there."""
    server = place("-t", 1)
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10))
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        release()
        good(connection.read_response(1), b"1")
        assert connection.at_eof()
    assert notes.read() == [expected(1, 10) + [place.how == "unix"]]


def test_half_close_before_parts_of_an_answer(place, gate):
    server = place("-t", 1)
    with server.connect() as connection:
        connection.send(request(params("/stream", query="count=3&gate=" + gate.path)))
        visitor = gate.arrived()
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        visitor.release()
        gate.arrived().release()
        response = connection.read_response(1)
        assert response.complete and response.body == b"chunk 0\nchunk 1\nchunk 2\n"
        assert connection.at_eof()


def test_half_close_and_client_connected(tcp, gate):
    """Over TCP it looks like the end of a proxy that left: the application may give up, and what it answers is sent."""
    server = tcp("-t", 1)
    with server.connect() as connection:
        connection.send(request(params("/connected", query="gate=" + gate.path)))
        visitor = gate.arrived()
        assert visitor.text == "connected True"
        connection.sock.shutdown(socket.SHUT_WR)
        visitor.release()
        assert gate.arrived().text == "gone"
        good(connection.read_response(1), b"too late\n")
        assert connection.at_eof()


def test_end_of_a_tcp_peer_within_an_answer(tcp, gate):
    """What is sent finds out that nobody is there."""
    server = tcp("-t", 1)
    with server.connect() as connection:
        query = "count=1000000&gate=%s&closegate=%s&token=%s" % (gate.path, gate.path, next(tokens))
        connection.send(request(params("/stream", query=query)))
        connection.read_and_keep()
        visitor = gate.arrived()
    while visitor.text != "close":
        visitor.release()
        visitor = gate.arrived()
    good(server.ask("/hello"))


def test_half_closed_connections_cost_nothing(place, gate):
    """Nothing is done about them before their calls end, and then they end."""
    server = place("-t", 4)
    good(server.ask("/hello"))
    settle(server)
    before = server.fds()
    connections = [server.connect() for _ in range(3)]
    visitors = []
    for connection in connections:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitors.append(gate.arrived())
        connection.sock.shutdown(socket.SHUT_WR)
    settle(server)
    used = server.cpu()
    time.sleep(1)
    assert server.cpu() - used < 0.3
    for connection, visitor in zip(connections, visitors):
        visitor.release()
        good(connection.read_response(1), b"passed\n")
        assert connection.at_eof()
        connection.close()
    for visitor in visitors:
        visitor.close()
    until(lambda: server.fds() <= before, "the connections to be closed", server.log)


def test_half_close_and_a_slow_reader(place):
    """It is cut off like any other."""
    server = place("--idle-timeout", 1)
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=40&token=" + next(tokens))))
        connection.sock.shutdown(socket.SHUT_WR)
        server.wait_log("the peer took nothing of an answer for --idle-timeout")
    good(server.ask("/hello"))


def test_queue_timeout_of_a_client_that_left(place, gate, notes):
    """Its request waited too long: that is told once, and it is not called. Over TCP it may still read."""
    server = place("-t", 1, "--queue-timeout", "0.2")
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10))
    told = ("503 Service Unavailable .*no thread was free for it in time" if place.how == "tcp" else
            "dropped .*its client left while it waited, and no thread was free for all")
    server.wait_log(told)
    release()
    good(server.ask("/hello"))
    assert notes.read() == [] and len(re.findall(told, server.log())) == 1


def full(server, notes, number):
    """Two more come: with one that waits already, somebody has to go. Returns their connections."""
    connections = []
    for each in (number, number + 1):
        connections.append(server.connect())
        connections[-1].send(post(notes, each, 10))
        settle(server)
    return connections


def test_half_close_and_overload(tcp, gate, notes):
    """Its client may have left: it is the first to be refused, and as it may still read it is told."""
    server = tcp("-t", 1, "--queue-limit", 2)
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10))
        connection.sock.shutdown(socket.SHUT_WR)
        arrive(connection)
        settle(server)
        others = full(server, notes, 2)
        assert connection.read_response(1).status == 503
    release()
    assert [other.read_response(1).status for other in others] == [200, 200]
    assert [line[0] for line in notes.read()] == ["2", "3"]


def test_half_close_before_it_waits(tcp, gate, notes):
    """The same of a request that waited behind another one of its connection."""
    server = tcp("-t", 1, "--queue-limit", 2)
    with server.connect() as connection:
        ahead = request(params("/gate", query="gate=" + gate.path), keep=True)
        connection.send(ahead)
        visitor = gate.arrived()
        connection.send(post(notes, 1, 10))
        connection.sock.shutdown(socket.SHUT_WR)
        arrive(connection)
        settle(server)
        with server.connect() as next_one:
            next_one.send(ahead)
            settle(server)
            visitor.release()
            good(connection.read_response(1), b"passed\n")
            visitor = gate.arrived()
            others = full(server, notes, 2)
            assert connection.read_response(1).status == 503
            visitor.release()
            good(next_one.read_response(1), b"passed\n")
    assert [other.read_response(1).status for other in others] == [200, 200]
    assert [line[0] for line in notes.read()] == ["2", "3"]


def test_half_close_on_a_unix_socket_and_overload(start, gate, notes):
    """There it is no leaving: the new one finds no place."""
    server = Place(start, "fastcgi-unix")("-t", 1, "--queue-limit", 2)
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10))
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        others = full(server, notes, 2)
        assert others[1].read_response(1).status == 503
        release()
        assert connection.read_response(1).status == others[0].read_response(1).status == 200
    assert [line[0] for line in notes.read()] == ["1", "2"]


def test_descriptors_of_clients_that_left(place, gate, notes):
    """They are given back before there is a thread: on Unix sockets at once, over TCP after a reset."""
    server = place("-t", 1)
    release = hold(server, gate)
    settle(server)
    before = server.fds()
    for number in range(20):
        with server.connect() as connection:
            connection.send(post(notes, number, 10))
            arrive(connection)
            settle(server)
            if connection.sock.family == socket.AF_INET:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: server.fds() <= before, "the connections to be closed", server.log)
    assert notes.read() == []
    release()
    notes.wait(20, server)


# --- --drop-abandoned

def dropped(server):
    """How many requests the log tells of."""
    lines = re.findall(r"dropped [^\n]*: its client left while it waited \(--drop-abandoned\)([^\n]*)", server.log())
    more = [re.search(r"and (\d+) more since", line) for line in lines]
    return len(lines) + sum(int(each.group(1)) for each in more if each)


def test_drop_abandoned(place, gate, notes):
    """What waits when its client leaves is not called; each is counted, if not with a line of its own. Who stays is answered."""
    server = place("-t", 1, "--drop-abandoned")
    release = hold(server, gate)
    stays = server.connect()
    stays.send(post(notes, 0, 10))
    settle(server)
    count = 0

    def one_more():
        nonlocal count
        with server.connect() as connection:
            connection.send(post(notes, 1, 100))
        count += 1
        settle(server)
        return dropped(server) == count and count >= 10
    until(one_more, "all to be counted", lambda: "%d of %d\n%s" % (dropped(server), count, server.log()))
    release()
    good(stays.read_response(1), b"0")
    stays.close()
    assert [line[0] for line in notes.read()] == ["0"]


def test_drop_abandoned_behind_a_call(place, gate, notes):
    """The call that runs goes on; what waits behind it on its connection is dropped."""
    server = place("-t", 1, "--drop-abandoned")
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        connection.send(*pipeline(notes, 3, 10, 0))
        arrive(connection)
        settle(server)
    settle(server)
    visitor.release()
    good(server.ask("/hello"))
    server.wait_log(r"dropped [^\n]*: its client left while it waited")
    assert notes.read() == []


@pytest.mark.parametrize("place", [place for place in PLACES if place.endswith("unix")], indirect=True)
def test_drop_abandoned_and_a_half_close(place, gate, notes):
    """On a Unix socket that is no leaving."""
    server = place("-t", 1, "--drop-abandoned")
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(*pipeline(notes, 3, 10, 0))
        connection.sock.shutdown(socket.SHUT_WR)
        settle(server)
        release()
        for number in range(3):
            good(connection.read_response(1), b"%d" % number)
        assert connection.at_eof()


def test_drop_abandoned_and_a_half_close_over_tcp(tcp, gate, notes):
    """There the two look alike: whoever asks for this takes it for a leaving."""
    server = tcp("-t", 1, "--drop-abandoned")
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(*pipeline(notes, 3, 10, 0))
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.at_eof()
    release()
    good(server.ask("/hello"))
    assert notes.read() == []


@pytest.mark.parametrize("place", ["fastcgi-unix"], indirect=True)
def test_drop_abandoned_and_an_abort(place, gate, notes):
    server = place("-t", 1, "--drop-abandoned")
    release = hold(server, gate)
    with server.connect() as connection:
        connection.send(post(notes, 1, 10), post(notes, 2, 10), record(fcgi.ABORT_REQUEST, 1))
        connection.send(record(fcgi.ABORT_REQUEST, 1))
        settle(server)
        release()
        good(connection.read_response(1), b"1")
        response = connection.read_response(1)
        assert response.complete and not response.stdout
    assert [line[0] for line in notes.read()] == ["1"]


# --- the end of the server

def leave_five(server, gate, notes):
    release = hold(server, gate)
    for number in range(5):
        with server.connect() as connection:
            connection.send(post(notes, number, 10))
    with server.connect() as connection:
        connection.send(*pipeline(notes, 5, 10, 0))
        arrive(connection)
        settle(server)
    settle(server)
    return release


def test_stop(place, gate, notes):
    """What came whole is called before the server ends."""
    server = place("-t", 1)
    release = leave_five(server, gate, notes)
    server.signal(signal.SIGTERM)
    server.wait_log("stopping")
    release()
    assert server.wait_exit() == 0
    assert len(notes.read()) == 10


def test_stop_in_time(place, gate, notes):
    """After --graceful-timeout nothing more is called."""
    server = place("-t", 1, "--graceful-timeout", "0.2")
    release = leave_five(server, gate, notes)
    server.signal(signal.SIGTERM)
    server.wait_log("ending without them")
    assert release.connections[0].at_eof()
    for visitor in release.visitors:
        visitor.release()
    server.wait_cut()
    assert notes.read() == []


# --- behind nginx

nginxes.TEMPLATES["tcp"] = nginxes.PLAIN.replace("unix:{socket}", "{socket}")
FRONTS = [("fastcgi-unix", False), ("fastcgi-unix", True), ("fastcgi-tcp", "tcp")]
if "http-tcp" in PLACES:
    FRONTS.append(("http-tcp", "proxy"))


@pytest.fixture(params=FRONTS, ids=lambda front: "%s-%s" % front)
def front(request, start):
    """A server with one thread, which the tests reach directly as well, and nginx before it."""
    (protocol, family), how = request.param[0].split("-"), request.param[1]
    tcp = [daemons.OPTIONS[protocol], "127.0.0.1:0"] if family == "tcp" else []
    server = start(APP, *tcp, "-t", 1, "--queue-timeout", 0)
    address = server.wait_log(r"listening on (127\.0\.0\.1:\d+)").group(1) if tcp else server.path
    running = nginxes.Nginx({"it": (address, how, "/")})
    yield server, running
    running.stop()


def descriptors(server):
    """How many there are, when connections that were closed are gone."""
    with server.connect() as connection:
        for _ in range(4):
            connection.get_values()
        return server.fds() - 1


def left(server, running, fds, sock):
    """The client leaves when the server has its request, and nginx then closes its connection."""
    until(lambda: descriptors(server) > fds, "nginx to connect", server.log)
    settle(server)
    sock.close()
    until(lambda: "prematurely closed connection" in running.log(), "nginx to notice", running.log)
    settle(server)


def test_client_of_nginx_gives_up(front, gate, notes):
    """Its POST waits for a thread, and is called."""
    server, running = front
    release = hold(server, gate)
    fds = descriptors(server)
    body = body_of(1, 5000)
    connection = running.connection("it")
    connection.request("POST", "/noted?" + notes.query(1), body)
    left(server, running, fds, connection)
    release()
    assert notes.wait(1, server)[0][:3] == expected(1, 5000)


def test_client_of_nginx_leaves_a_stream(front, gate):
    """The call that streams to it ends, and is closed."""
    server, running = front
    fds = descriptors(server)
    query = "count=1000000&gate=%s&closegate=%s&token=%s" % (gate.path, gate.path, next(tokens))
    connection = running.connection("it")
    connection.request("GET", "/stream?" + query)
    visitor = gate.arrived()
    left(server, running, fds, connection)
    while visitor.text != "close":
        visitor.release()
        visitor = gate.arrived()
    good(server.ask("/hello"))
