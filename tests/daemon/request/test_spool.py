"""A directory for bodies that is full: who reads waits for nothing but its peer, and the peer waits for it."""
import contextlib
import errno
import hashlib
import json
import os
import threading
import time

import pytest

import daemon
import fcgi
from conftest import check_structure
from daemon import until
from fcgi import begin, pairs, params, record, request, stream
from test_faults import Footprint
from test_fcgi import good
from test_peers import settle, state
from test_wsgi import tokens

OVER_HTTP = True
APP = "faultapp"
MIB = 1 << 20
BODY = os.urandom(3 * MIB)
DIGEST = [len(BODY), hashlib.sha256(BODY).hexdigest()]
CALLED_AT = 70000  # a request of known length of which so many bytes are there has been called
PAUSES = "every=%d&gate=%%s" % MIB
WAITS = "its body waits until the application reads it.*--spool-dir: No space left on device: POST /%s"


@pytest.fixture
def small_disk(start, tmp_path, protocol):
    """Starts a server that has 1 MiB for request bodies, on a file system that only it sees."""
    spool = tmp_path / "spool"
    spool.mkdir()
    path = str(tmp_path / "app.sock")
    script = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    return lambda *options: start(APP, socket=path, command=[
        *unshare, "sh", "-c", script, str(spool), daemon.binary(), daemon.OPTIONS[protocol], path, "--spool-dir", str(spool),
        "--body-memory", "64K", *map(str, options), APP])


@contextlib.contextmanager
def upload(server, path, query, body=BODY, go=None):
    """A connection on which a thread sends the body, as fast as the server takes it. With `go` only so much of it is sent
    that the application is called, and the rest when this event is set."""
    with server.connect() as connection:
        whole = connection.wire(request(params(path, "POST", query, body=body), body, keep=True))
        begun = CALLED_AT if go else 0
        connection.send(whole[:begun])

        def send():
            if go:
                go.wait()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(whole[begun:])
        connection.sender = sender = threading.Thread(target=send)
        sender.start()
        try:
            yield connection
        finally:
            if go:
                go.set()
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)
            sender.join()


def answer(connection):
    return check_structure(connection.read_response(1))


def test_spool_disk_full(small_disk, gate):
    """A request that runs gets all of its body; one that has not started is refused (507); no other is touched."""
    server = small_disk()
    before = Footprint(server)
    first = BODY[:900 * 1024]
    with upload(server, "/hash", "gate=" + gate.path, first) as connection:
        holding = gate.arrived()
        connection.sender.join()  # all of it has its place, before others want one
        settle(server)
        with upload(server, "/read-or-fail", "gate=" + gate.path) as other:
            reading = gate.arrived()
            server.wait_log(WAITS % "read-or-fail")
            # The rest of the disk is taken by now: what is to come whole before it is called is refused.
            given = params("/hello", "POST", CONTENT_LENGTH="")
            with server.connect() as third:
                third.send(request(given, BODY[:MIB], keep=True))
                assert answer(third).status == 507
            server.wait_log(r"507 Insufficient Storage \([^\n]*\)[^\n]*: its body cannot be kept: see --spool-dir: No space left")
            good(server.ask("/hello"))
            reading.release()
            assert json.loads(answer(other).body) == ["read", len(BODY)]
        holding.release()
        assert json.loads(answer(connection).body) == [len(first), hashlib.sha256(first).hexdigest()]
    with upload(server, "/hash", "") as connection:
        assert json.loads(answer(connection).body) == DIGEST
    before.same(threads=3)


def test_many_are_read_at_once(small_disk, gate):
    """Eight of 3 MiB with room for a third of one: all of them arrive, once all of them have been called."""
    server = small_disk()
    go = threading.Event()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(upload(server, "/hash", "gate=" + gate.path, go=go)) for _ in range(8)]
        visitors = [gate.arrived() for _ in connections]
        go.set()
        server.wait_log(WAITS % "hash")
        for visitor in visitors:
            visitor.release()
        for connection in connections:
            response = answer(connection)
            assert response.status == 200 and json.loads(response.body) == DIGEST


def test_those_that_wait_for_a_thread(small_disk, gate):
    """One runs, and gets its body; seven do not, and are refused without a call."""
    server = small_disk("--threads", 1, "--queue-timeout", 0)
    token = next(tokens)
    with upload(server, "/pauses", PAUSES % gate.path) as running:
        visitor = gate.arrived()
        server.wait_log(WAITS % "pauses")
        with contextlib.ExitStack() as stack:
            others = [stack.enter_context(upload(server, "/hash", "token=" + token)) for _ in range(7)]
            for other in others:
                assert answer(other).status == 507
        for _ in range(3):
            visitor.release()
            visitor = gate.arrived()
        visitor.release()
        assert json.loads(answer(running).body) == DIGEST
    assert state(server, token)["calls"] == 0


def test_reader_that_waits_for_something_else(small_disk, gate):
    """It has begun to read, and does other things for longer than any time that a peer has."""
    server = small_disk("--header-timeout", "2", *(["--min-body-rate", "1M"] if daemon.speaks_http() else []))
    with upload(server, "/pauses", PAUSES % gate.path) as connection:
        gate.arrived().release()
        visitor = gate.arrived()
        server.wait_log(WAITS % "pauses")
        # In this time the rate asks for more than has come.
        end = time.monotonic() + 5
        until(lambda: time.monotonic() > end, "the time of the peer to pass")
        visitor.release()
        for _ in range(2):
            gate.arrived().release()
        assert json.loads(answer(connection).body) == DIGEST


def test_reader_that_never_comes(small_disk, gate):
    """It holds neither the disk nor the connection for longer than --idle-timeout, and is no slow peer (408)."""
    server = small_disk("--idle-timeout", "1")
    with upload(server, "/read-or-fail", "gate=" + gate.path) as connection:
        visitor = gate.arrived()
        server.wait_log(WAITS % "read-or-fail")
        server.wait_log("507 .*the application runs.*--spool-dir: No space left on device: POST /read-or-fail")
        # What it had of the disk is free.
        with upload(server, "/hash", "", BODY[:900 * 1024]) as other:
            assert json.loads(answer(other).body)[0] == 900 * 1024
        visitor.release()
        failed = answer(connection)
        assert (failed.status, json.loads(failed.body)) == (507, ["failed", errno.ENOSPC])
    assert "408 Request Timeout" not in server.log()


def test_exception_of_such_a_reader(small_disk, gate):
    """It becomes 507, not 500."""
    server = small_disk("--idle-timeout", "1")
    with upload(server, "/read-error", "gate=" + gate.path) as connection:
        visitor = gate.arrived()
        server.wait_log("507 .*the application runs")
        visitor.release()
        assert gate.arrived().text == "raised OSError"
        assert answer(connection).status == 507


def test_slow_reader_is_no_such_reader(small_disk, gate):
    """Who reads something in each --idle-timeout goes on."""
    server = small_disk("--idle-timeout", "3")
    with upload(server, "/pauses", "every=%d&gate=%s" % (65536, gate.path)) as connection:
        for number in range(len(BODY) // 65536 + 1):
            visitor = gate.arrived()
            if number < 20:  # it comes to what is held after 17 of them, more than that time later
                end = time.monotonic() + 0.25
                until(lambda: time.monotonic() > end, "a part of the time")
            visitor.release()
        assert json.loads(answer(connection).body) == DIGEST


def test_answer_without_reading(small_disk, gate):
    """The rest of the body is read for nothing, as ever."""
    server = small_disk()
    with upload(server, "/late", "mib=1&gate=" + gate.path) as connection:
        visitor = gate.arrived()
        server.wait_log(WAITS % "late")
        visitor.release()
        response = answer(connection)
        assert response.status == 200 and len(response.body) == MIB
        if not server.speaks_http:
            good(connection.ask("/hello"))


@pytest.mark.parametrize("route", ["read-error", "late"])
def test_peer_that_goes_meanwhile(small_disk, gate, route):
    """It is noticed when the body is read on, or the call ends; nothing stays."""
    server = small_disk()
    before = Footprint(server)
    with upload(server, "/" + route, "mib=1&gate=" + gate.path):
        visitor = gate.arrived()
        server.wait_log(WAITS % route)
    visitor.release()
    if route == "read-error":
        assert gate.arrived().text.startswith("raised Connection")
    before.same(threads=3)


def test_server_stops_meanwhile(small_disk, gate):
    server = small_disk()
    with upload(server, "/hash", "gate=" + gate.path) as connection:
        visitor = gate.arrived()
        server.wait_log(WAITS % "hash")
        server.signal(15)
        server.wait_log("stopping")
        visitor.release()
        assert json.loads(answer(connection).body) == DIGEST
    assert server.wait_exit() == 0


# --- others on the same connection

def multiplexed(connection, gate, route="hash"):
    """A request 1 whose body is held, and behind what is still to come of it a whole request 2. Returns a thread."""
    query = "gate=" + gate.path
    parts = [begin(1, keep=True), stream(fcgi.PARAMS, 1, pairs(params("/" + route, "POST", query, body=BODY))),
             stream(fcgi.STDIN, 1, BODY), request(params("/hello"), id=2, keep=True)]
    sender = threading.Thread(target=lambda: connection.send(*parts))
    sender.start()
    return sender


@pytest.mark.fastcgi
def test_multiplexed_requests_wait_for_the_reader(small_disk, gate):
    server = small_disk()
    with server.connect() as connection:
        sender = multiplexed(connection, gate)
        visitor = gate.arrived()
        server.wait_log(WAITS % "hash")
        settle(server)
        assert not connection.pending and sender.is_alive()
        visitor.release()
        good(connection.read_response(2))
        assert json.loads(answer(connection).body) == DIGEST
        sender.join()


@pytest.mark.fastcgi
def test_header_behind_a_body_that_waits(small_disk, gate):
    """While nothing is read from a connection no time runs for what is to come on it."""
    server = small_disk("--header-timeout", "1")
    given = pairs(params("/hello"))
    with server.connect() as connection:
        connection.send(begin(2, keep=True), record(fcgi.PARAMS, 2, given[:10]))
        parts = [begin(1, keep=True), stream(fcgi.PARAMS, 1, pairs(params("/pauses", "POST", PAUSES % gate.path, body=BODY))),
                 stream(fcgi.STDIN, 1, BODY), record(fcgi.PARAMS, 2, given[10:]), record(fcgi.PARAMS, 2),
                 record(fcgi.STDIN, 2)]
        sender = threading.Thread(target=lambda: connection.send(*parts))
        sender.start()
        visitor = gate.arrived()
        server.wait_log(WAITS % "pauses")
        end = time.monotonic() + 2.5
        until(lambda: time.monotonic() > end, "the time of a header to pass")
        visitor.release()
        for _ in range(3):
            gate.arrived().release()
        good(connection.read_response(2))
        assert json.loads(answer(connection).body) == DIGEST
        sender.join()
    assert "408 Request Timeout" not in server.log()


@pytest.mark.fastcgi
def test_multiplexed_requests_do_not_wait_for_ever(small_disk, gate):
    """One that the application waits for before it reads, say."""
    server = small_disk("--idle-timeout", "1")
    with server.connect() as connection:
        sender = multiplexed(connection, gate, "read-or-fail")
        visitor = gate.arrived()
        good(connection.read_response(2))
        visitor.release()
        assert json.loads(answer(connection).body) == ["failed", errno.ENOSPC]
        sender.join()


@pytest.mark.fastcgi
def test_aborted_while_it_waits(small_disk, gate):
    """ABORT_REQUEST that came behind the bytes which filled the disk."""
    server = small_disk()
    given = params("/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH=str(3 * MIB))
    with server.connect() as connection:
        connection.send(begin(1, keep=True), stream(fcgi.PARAMS, 1, pairs(given)), record(fcgi.STDIN, 1, BODY[:65000]),
                        record(fcgi.STDIN, 1, BODY[:600]))
        visitor = gate.arrived()
        sender = threading.Thread(target=lambda: connection.send(
            stream(fcgi.STDIN, 1, BODY[:MIB], size=1000, end=False), record(fcgi.STDIN, 1, BODY[:100]),
            record(fcgi.ABORT_REQUEST, 1), request(params("/hello"), id=2, keep=True)))
        sender.start()
        server.wait_log(WAITS % "read-error")
        visitor.release()
        assert gate.arrived().text.startswith("raised Connection")
        good(connection.read_response(2))
        sender.join()
