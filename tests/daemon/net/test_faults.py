"""Faults of peers and of the machine: each hits the request or the connection that it belongs to, and nothing stays."""
import fcntl
import hashlib
import json
import os
import re
import resource
import select
import socket
import struct
import termios
import time

import pytest

import daemon as daemons
import fcgi
from conftest import check_structure
from daemon import SANITIZED, until
from fcgi import params, record, request, stream
from test_fcgi import good
from test_wsgi import tokens

OVER_HTTP = True
MIB = 1 << 20
APP = "faultapp"


class Footprint:
    """What a server has open and in memory; `same` waits until it has no more than that."""

    def __init__(self, server, memory=8 * MIB):
        self.server, self.memory = server, memory
        with server.connect() as connection:
            for _ in range(2):  # connections that were closed before this one are gone by then
                if server.speaks_http:
                    connection.ask("/hello")
                else:
                    connection.get_values()
            self.fds, self.threads, self.rss = server.fds() - 1, server.threads(), server.rss()

    def same(self, threads=1):
        """One more thread is there as soon as a quick call was interrupted for so long that it looked like one that blocks."""
        until(lambda: self.server.fds() <= self.fds, "descriptors to be closed", self.server.log)
        assert self.server.threads() <= self.threads + threads
        if not SANITIZED:
            assert self.server.rss() - self.rss < self.memory


def limit_files(number):
    """For preexec_fn: the limit of open files of the server."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


# --- resets

@pytest.fixture(scope="module")
def reached(protocol):
    """A server with two threads, and the addresses of its sockets by family."""
    server = daemons.Daemon(APP, daemons.OPTIONS[protocol], "127.0.0.1:0", "-t", 2, "--queue-timeout", 0,
                            protocol=protocol)
    port = int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    yield server, {"unix": server.path, "tcp": ("127.0.0.1", port)}
    server.stop()


def reset(connection, family, left):
    """Ends a connection so that the server gets ECONNRESET: a Unix socket does so when something is left unread."""
    if family == "tcp":
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif left:
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
    connection.close()


STATES = ["fresh", "begun", "params", "stdin", "held", "queued", "running", "reading", "streaming", "blocked", "early",
          "draining", "answered"]
CALLED = ["held", "queued", "running", "reading", "streaming", "blocked", "early", "draining", "answered"]


@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize("state", STATES)
def test_reset(reached, gate, state, family):
    server, addresses = reached
    token = next(tokens)
    query = "gate=%s&closegate=%s&token=%s&mib=50" % (gate.path, gate.path, token)
    good(server.ask("/hello"))
    before = Footprint(server)
    held = []
    if state == "queued":
        held = [server.connect() for _ in range(2)]
        for connection in held:
            connection.send(request(params("/gate", query="gate=" + gate.path)))
            gate.arrived()
    connection = server.connect(addresses[family])
    if state == "answered":
        good(connection.ask("/hello", query=query))
    left = not server.speaks_http or state in ("streaming", "blocked")
    if not server.speaks_http and state not in ("streaming", "blocked"):
        connection.send(record(fcgi.GET_VALUES, 0))  # its answer is left unread
    if state in ("begun", "params"):
        connection.send(connection.wire(request(params("/hello", query=query)))[:16 if state == "begun" else 100])
    if state == "stdin":
        connection.send(request(params("/hello", "POST", query, CONTENT_LENGTH="50000"), b"x" * 1000, end=False))
    if state == "held":  # by an earlier request with the same id, or on the same connection
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True),
                        request(params("/gate", query=query), keep=True))
        gate.arrived()
    if state == "queued":
        connection.send(request(params("/gate", query=query)))
        with server.connect() as other:
            other.get_values()
    if state in ("reading", "early", "draining"):
        # Over HTTP a connection with more than that to come would not be kept.
        given = params("/read-error" if state == "reading" else "/hello", "POST", query,
                       CONTENT_LENGTH="200000" if state == "early" else "1000000")
        connection.send(request(given, b"x" * 70000, keep=state != "draining", end=False))
    if state == "reading":
        gate.arrived()
    if state == "early":  # END_REQUEST waits for the end of STDIN
        while not connection.read_record().content.endswith(b"Hello, world\n"):
            pass
        connection.send(b"x" if server.speaks_http else record(fcgi.GET_VALUES, 0))
    if state == "draining":  # the connection lingers
        good(connection.read_response(1))
        connection.send(b"x" if server.speaks_http else record(fcgi.STDIN, 1, b"x"))
    if state == "running":
        connection.send(request(params("/gate", query=query)))
        gate.arrived()
    if state in ("streaming", "blocked"):
        connection.send(request(params("/big", query=query)))
        connection.read_record()
    if state == "blocked":
        with server.connect() as other:
            other.get_values()
    reset(connection, family, left)
    if state in ("streaming", "blocked"):
        assert gate.arrived().text == "close"
    else:
        with server.connect() as other:
            other.get_values()
            other.get_values()
    for visitor in gate.visitors:
        if visitor.text != "close":
            visitor.release()
    if state in ("held", "queued"):  # now it is called
        gate.arrived().release()
    for connection in held:
        good(connection.read_response(1), b"passed\n")
        connection.close()
    good(server.ask("/hello"))
    called = json.loads(server.ask("/state", query="token=" + token).body)["calls"]
    assert called == (state in CALLED)
    before.same(threads=2)  # those that requests needed which ran at the same time


# --- many and slow peers

def test_half_open_connections(start):
    """A thousand peers that have begun a request and say no more: others are served, and nothing stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3000)), hard))
    server = start(APP, "--header-timeout", 0, "--idle-timeout", 0, preexec_fn=limit_files(3000))
    good(server.ask("/hello"))
    before = Footprint(server)
    whole = server.connect().wire(request(params("/hello")))
    peers = []
    try:
        for number in range(1000):
            peers.append(until(lambda: patient(server), "room in the backlog", server.log))
            peers[-1].send(whole[:number % (len(whole) - 8)])
        for _ in range(200):
            good(server.ask("/hello"))
        assert server.fds() >= before.fds + 999
        peers[500].send(whole[500 % (len(whole) - 8):])
        good(peers[500].read_response(1))
    finally:
        for peer in peers:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    before.same()


def patient(server):
    """A connection, or None while the backlog is full."""
    try:
        return server.connect()
    except BlockingIOError:
        return None


def unread(connection):
    """Bytes that the peer of a Unix socket has not received yet (unix(7))."""
    return struct.unpack("i", fcntl.ioctl(connection.sock, termios.TIOCOUTQ, bytes(4)))[0]


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_one_byte_per_write(reached, family):
    """As from a peer that sends one byte per second: each is read by itself, and others are served meanwhile."""
    server, addresses = reached
    body = bytes(range(200))
    with server.connect(addresses[family]) as connection:
        data = connection.wire(request(params("/echo", "POST", body=body), body, keep=True))
        if family == "tcp":
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(data)):
            connection.send(data[position:position + 1])
            if family == "unix":
                until(lambda: unread(connection) == 0, "the byte to be read", server.log)
            if position % 50 == 0:
                good(server.ask("/hello"))
        good(connection.read_response(1), body)
        good(connection.ask("/hello"))


def warm(server):
    """Whatever is allocated once is allocated."""
    good(server.ask("/echo", "POST", body=b"x" * MIB), b"x" * MIB)
    check_structure(server.ask("/big", query="mib=1&token=" + next(tokens)))


def test_upload_of_200_mib_read_slowly(server, gate):
    """The peer gets rid of it all at once; the application reads it in four goes, and others are served meanwhile."""
    warm(server)
    before = Footprint(server)
    server.reset_peak()
    block = os.urandom(MIB)
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(block)
    query = "gate=%s&every=%d" % (gate.path, 50 * MIB)
    with server.connect() as connection:
        connection.send(request(params("/pauses", "POST", query, CONTENT_LENGTH=str(200 * MIB)), end=False))
        for _ in range(200):
            connection.send(block if server.speaks_http else stream(fcgi.STDIN, 1, block, end=False))
        if not server.speaks_http:
            connection.send(record(fcgi.STDIN, 1))
        for number in range(5):
            visitor = gate.arrived()
            assert int(visitor.text.split()[1]) >= 50 * MIB * number
            for _ in range(20):
                good(server.ask("/hello"))
            visitor.release()
        response = connection.read_response(1)
    assert json.loads(response.body) == [200 * MIB, digest.hexdigest()]
    if not SANITIZED:
        assert server.peak() - before.rss < 8 * MIB, "the body is not kept in memory"
    before.same()


def test_answer_of_50_mib_read_slowly(server):
    warm(server)
    before = Footprint(server)
    server.reset_peak()
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=50&token=" + token)))
        received = 0
        while received < 50 * MIB:
            received += len(connection.read_and_keep().content)
            if received % (5 * MIB) < 65536:
                good(server.ask("/hello"))
                ahead = json.loads(server.ask("/state", query="token=" + token).body)["progress"] - received
                # The buffers of TCP have some megabytes by themselves.
                assert ahead < (16 if server.http_address == server.address else 4) * MIB, "the application is held back"
        response = check_structure(connection.read_response(1))
    expected = hashlib.sha256(b"".join(b"%065535d\n" % number for number in range(50 * 16)))
    assert hashlib.sha256(response.body).digest() == expected.digest()
    if not SANITIZED:
        assert server.peak() - before.rss < 8 * MIB
    before.same()


# --- the machine

def test_no_descriptor_for_the_state_of_a_thread(start):
    """The advice is about the limit that was reached."""
    server = start(APP)
    with server.connect() as reader, server.connect() as other:
        for each in (reader, other):
            each.get_values()
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        # It waits for its body and runs the loop, until another request needs a thread.
        reader.send(request(params("/hash", "POST", CONTENT_LENGTH="100000"), b"x" * 70000, end=False))

        def told():
            other.send(request(params("/hello"), keep=True))
            good(other.read_response(1))
            return re.search(r"cannot open /proc/thread-self/stat: ([^\n]*)\n", server.log())
        try:
            line = until(told, "a thread without a descriptor", server.log).group(1)
        finally:
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        assert line == ("Too many open files: blocked requests are noticed late; raise the limit of open files "
                        "(ulimit -n, LimitNOFILE of systemd)")


@pytest.mark.parametrize("limit", ["files", "connections"])
def test_out_of_descriptors(start, limit):
    """Those whose requests are in work stay; the others wait until there is room. The log says so, once in a while. (Those
    without a request: test_room.py.)"""
    if limit == "files":
        server = start(APP, "--max-connections", 1000, preexec_fn=limit_files(48))
        line = r"cannot accept connections: Too many open files: waiting"
    else:
        server = start(APP, "--max-connections", 20)
        line = r"20 connections are open \(--max-connections\), and all are busy"
    good(server.ask("/hello"))
    before = Footprint(server)
    began = time.monotonic()
    peers = []
    for _ in range(60):
        peers.append(server.connect())
        peers[-1].send(request(params("/echo", "POST", CONTENT_LENGTH="1000"), b"x", keep=True, end=False))
    server.wait_log(line)
    cpu = server.cpu()
    last = peers.pop()
    assert not select.select([last.sock], [], [], 1)[0], "nobody is accepted while there is no room"
    assert server.cpu() - cpu < 0.7, "the loop does not spin"
    for peer in peers:
        peer.close()
    last.send(b"x" * 999 if server.speaks_http else stream(fcgi.STDIN, 1, b"x" * 999))
    good(last.read_response(1), b"x" * 1000)
    last.close()
    for _ in range(100):
        good(server.ask("/hello"))
    assert len(re.findall(line, server.log())) <= 2 + time.monotonic() - began, "one line a second"
    before.same()
