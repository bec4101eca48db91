"""Request ids (FastCGI 1.0, 3.3): any 16 bits, in use from BEGIN_REQUEST to END_REQUEST; many at a time."""
import hashlib
import json
import os

import pytest

import fcgi
from conftest import check_structure
from daemon import traced
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import IDS, good

MIB = 1 << 20
IN_USE = r"connection \d+: BEGIN_REQUEST for an id whose request is not complete"
TOO_MANY = r"connection \d+: too many pipelined requests"
APP = "faultapp"


def test_many_at_a_time(server, gate):
    """Each has its own body and answer, whatever the order in which they end."""
    ids = [*IDS, *range(65400, 65410), 77]
    with server.connect() as connection:
        for id in ids:
            given = params("/echo", "POST", body=b"%5d" % id)
            connection.send(begin(id, keep=True), stream(fcgi.PARAMS, id, pairs(given)))
        for id in reversed(ids):
            connection.send(stream(fcgi.STDIN, id, b"%5d" % id))
            response = good(connection.read_response(id), b"%5d" % id)
            assert {got.id for got in response.records} == {id}


def test_answers_that_are_ready_together_leave_together(start, tmp_path):
    """Each is whole and leaves once: several of them in one system call, or, where calls are slow, each in its own."""
    server = start("hello")
    trace = tmp_path / "trace"
    rounds, ids = 100, range(1, 9)
    with server.connect() as connection:
        for _ in range(40):
            connection.ask("/")
        with traced(server, trace, "sendto"):
            for _ in range(rounds):
                connection.send(*[request(params(), id=id, keep=True) for id in ids])
                for id in ids:
                    good(connection.read_response(id))
    sends = trace.read_text().count("sendto(")
    assert rounds <= sends <= rounds * len(ids)


def test_body_that_nobody_reads_blocks_no_other(server, gate):
    """The application waits before it reads: its STDIN is taken meanwhile, and others' between its records."""
    body = os.urandom(MIB) * 5
    with server.connect() as connection:
        connection.send(begin(1, keep=True), stream(fcgi.PARAMS, 1, pairs(params(
            "/hash", "POST", "gate=" + gate.path, body=body))), stream(fcgi.STDIN, 1, body[:65536], end=False))
        visitor = gate.arrived()
        for position in range(65536, len(body), 500000):
            connection.send(stream(fcgi.STDIN, 1, body[position:position + 500000], end=False))
            good(connection.ask("/echo", "POST", body=b"%d" % position, id=2), b"%d" % position)
        connection.send(record(fcgi.STDIN, 1))
        good(connection.ask("/hello", id=3))
        visitor.release()
        assert json.loads(connection.read_response(1).body) == [len(body), hashlib.sha256(body).hexdigest()]


def test_ids_are_used_again(server):
    with server.connect() as connection:
        for _ in range(200):
            for id in (7, 65535):
                good(connection.ask("/hello", id=id))


# --- BEGIN_REQUEST for an id in use

@pytest.mark.parametrize("state", ["params", "body", "running", "answered"])
def test_begin_for_a_request_that_is_still_received(start, gate, state):
    """What follows cannot be told apart any more: the connection ends, and no other."""
    server = start(APP)
    given = params("/hello" if state == "answered" else "/read-error", "POST", "gate=" + gate.path,
                   CONTENT_LENGTH="1000000")
    parts = [begin(5, keep=True)]
    if state != "params":
        parts.append(stream(fcgi.PARAMS, 5, pairs(given)))
    if state in ("running", "answered"):
        parts.append(stream(fcgi.STDIN, 5, b"x" * 100000, end=False))
    with server.connect() as other, server.connect() as connection:
        good(other.ask("/hello"))
        connection.send(*parts)
        if state == "running":
            visitor = gate.arrived()
        if state == "answered":
            while not connection.read_and_keep().content.endswith(b"Hello, world\n"):
                pass
        connection.send(begin(5, keep=True))
        response = connection.read_response(5)
        assert response.broken and not response.complete
        server.wait_log(IN_USE)
        if state == "running":
            visitor.release()
            assert gate.arrived().text == "raised ConnectionResetError"
        good(other.ask("/hello"))


def test_begin_for_a_request_that_is_received(server, gate):
    """Clients that pipeline with one id: the second request waits for the answer to the first, and others do not."""
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        connection.send(request(params("/echo", "POST", body=b"second"), b"second", keep=True),
                        request(params("/echo", "POST", body=b"third"), b"third", keep=True))
        good(connection.ask("/hello", id=2))
        assert 1 not in connection.pending
        visitor.release()
        for body in (b"passed\n", b"second", b"third"):
            good(connection.read_response(1), body)


# --- records of ids that are not active

def test_late_stdin(server):
    """After END_REQUEST, here that of an aborted upload, what the peer had sent on the way is swallowed, and the id is
    free."""
    given = pairs(params("/echo", "POST", CONTENT_LENGTH=str(10 * MIB)))
    with server.connect() as connection:
        for _ in range(3):
            connection.send(begin(9, keep=True), stream(fcgi.PARAMS, 9, given), record(fcgi.ABORT_REQUEST, 9))
            assert connection.read_response(9).complete
            connection.send(stream(fcgi.STDIN, 9, b"x" * MIB), record(fcgi.ABORT_REQUEST, 9))
            good(connection.ask("/echo", "POST", body=b"as new", id=9), b"as new")


def test_records_between_those_of_a_request(server):
    """Records of an id that was never begun, of every type, change nothing for the one that was."""
    body = b"body of the request"
    noise = b"".join(record(kind, 4, content) for kind in (fcgi.PARAMS, fcgi.STDIN, fcgi.ABORT_REQUEST, fcgi.DATA)
                     for content in (b"stray", b""))
    with server.connect() as connection:
        connection.send(noise, begin(5, keep=True), noise, stream(fcgi.PARAMS, 5, pairs(params(
            "/echo", "POST", body=body))), noise, record(fcgi.STDIN, 5, body[:4]), noise,
            stream(fcgi.STDIN, 5, body[4:]), noise)
        good(connection.read_response(5), body)
        good(connection.ask("/hello", id=4))


# --- how many

def test_more_than_the_limit_is_refused(server):
    """One more gets a real answer, and those that are open are served."""
    with server.connect() as connection:
        limit = int(connection.get_values()["FCGI_MAX_REQS"])
        ids = range(1, limit + 1)
        connection.send(*(begin(id, keep=True) for id in ids))
        response = check_structure(connection.ask("/hello", id=limit + 1))
        assert response.status == 503 and "Retry-After" not in dict(response.headers)  # it is no matter of time
        for id in ids:
            connection.send(stream(fcgi.PARAMS, id, pairs(params("/hello"))), stream(fcgi.STDIN, id, b""))
        for id in ids:
            good(connection.read_response(id))
        good(connection.ask("/hello", id=limit + 1))


def test_many_more_than_the_limit(start):
    """Refused ones are open as well until their PARAMS have come: at twice the limit the connection ends."""
    server = start("hello")
    with server.connect() as other, server.connect() as connection:
        limit = int(connection.get_values()["FCGI_MAX_REQS"])
        connection.send(*(begin(id, keep=True) for id in range(1, 2 * limit + 1)))
        assert connection.get_values()["FCGI_MAX_REQS"] == str(limit)
        connection.send(begin(2 * limit + 1, keep=True))
        assert connection.at_eof()
        server.wait_log(TOO_MANY)
        good(other.ask("/"))


def test_pipelined_beyond_the_limit(start, gate):
    """With one id there is no way to refuse one in time: it would be answered out of turn."""
    server = start(APP)
    with server.connect() as connection:
        limit = int(connection.get_values()["FCGI_MAX_REQS"])
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        connection.send(request(params("/hello"), keep=True) * (limit - 1))
        assert connection.get_values()["FCGI_MAX_REQS"] == str(limit)
        connection.send(begin(1, keep=True))
        assert connection.read_response(1).broken
        server.wait_log(TOO_MANY)
        visitor.release()
    good(server.ask("/hello"))


# --- one fails, the others do not notice

@pytest.mark.parametrize("route", ["raise-mid", "raise-mid&length=100"])
def test_cut_answer_on_a_shared_connection(server, gate, route):
    """The request ends with an application status, and the others go on; alone, the connection ends instead."""
    path, _, query = route.partition("&")
    query = "token=shared&" + query
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), id=1, keep=True),
                        begin(2, keep=True), stream(fcgi.PARAMS, 2, pairs(params("/echo", "POST", body=b"123456"))),
                        record(fcgi.STDIN, 2, b"123"))
        visitor = gate.arrived()
        cut = connection.ask("/" + path, query=query, id=3)
        assert (cut.app_status, cut.protocol_status) == (1, fcgi.REQUEST_COMPLETE)
        assert (cut.status, cut.body) == (200, b"first part\n")
        connection.send(stream(fcgi.STDIN, 2, b"456"))
        good(connection.read_response(2), b"123456")
        good(connection.ask("/hello", id=3))
        visitor.release()
        good(connection.read_response(1), b"passed\n")
        alone = connection.ask("/" + path, query=query, id=3)
        assert alone.broken and not alone.complete and alone.body == b"first part\n"


def test_connection_that_ends_takes_its_requests_along(start, gate):
    """A wrong byte ends one connection: its requests are told, and those of others go on."""
    server = start(APP)
    with server.connect() as other, server.connect() as connection:
        other.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        connection.send(request(params("/connected", query="gate=" + gate.path), id=1, keep=True))
        told = gate.arrived()
        connection.send(begin(2, keep=True), b"\x02" * 8)
        assert connection.read_response(1).broken
        server.wait_log("the peer does not speak FastCGI")
        told.release()
        assert gate.arrived().text == "gone"
        visitor.release()
        good(other.read_response(1), b"passed\n")
