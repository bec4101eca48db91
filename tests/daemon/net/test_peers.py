"""Peers that abort, go away, send too much or read slowly."""
import hashlib
import json
import os
import re

import pytest

import fcgi
from conftest import check_structure
from daemon import SANITIZED, until
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import good
from test_wsgi import tokens

OVER_HTTP = True
MIB = 1 << 20
# What a sanitizer's allocator keeps in quarantine is not the server's.
ROOM = (400 if SANITIZED else 16) * MIB


def state(server, token):
    return json.loads(server.ask("/state", query="token=" + token).body)


def settle(server):
    """Two round trips: everything that was ready in the loop before has been handled."""
    with server.connect() as connection:
        connection.get_values()
        connection.get_values()


# --- ABORT_REQUEST (FastCGI 1.0, 5.4)

@pytest.mark.fastcgi
@pytest.mark.parametrize("begun", ["begin", "params", "body"])
def test_abort_before_the_application_is_called(server, begun):
    token = next(tokens)
    parts = [begin(5, keep=True)]
    if begun != "begin":
        given = pairs(params("/echo", "POST", "token=" + token, CONTENT_LENGTH="1000000"))
        parts.append(stream(fcgi.PARAMS, 5, given, end=begun == "body"))
    if begun == "body":
        parts.append(record(fcgi.STDIN, 5, b"x" * 1000))
    with server.connect() as connection:
        connection.send(*parts, record(fcgi.ABORT_REQUEST, 5))
        response = connection.read_response(5)
        assert response.complete and response.records[-1].id == 5
        good(connection.ask("/hello", id=5))
    assert state(server, token)["calls"] == 0


@pytest.mark.fastcgi
def test_abort_while_the_application_runs(server, gate):
    token = next(tokens)
    query = "gate=%s&closegate=%s&count=1000000&token=%s" % (gate.path, gate.path, token)
    with server.connect() as connection:
        connection.send(request(params("/stream", query=query), id=6, keep=True))
        visitor = gate.arrived()
        connection.send(record(fcgi.ABORT_REQUEST, 6))
        connection.get_values()
        while visitor.text != "close":
            visitor.release()
            visitor = gate.arrived()
        assert connection.read_response(6).complete
        good(connection.ask("/hello", id=6))
    assert state(server, token)["closed"] == 1


# --- a peer that goes away

def test_client_connected_tells(server, gate):
    with server.connect() as connection:
        connection.send(request(params("/connected", query="gate=" + gate.path)))
        visitor = gate.arrived()
        assert visitor.text == "connected True"
    visitor.release()
    assert gate.arrived().text == "gone"
    good(server.ask("/hello"))


def test_peer_gone_while_its_body_is_read(server, gate):
    """The application is told by an exception, not by a body that seems to end."""
    with server.connect() as connection:
        given = params("/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="10000000")
        connection.send(request(given, b"x" * 200000, end=False))
        visitor = gate.arrived()
    visitor.release()
    assert gate.arrived().text.startswith("raised ")
    good(server.ask("/hello"))


@pytest.mark.parametrize("cut", [1, 7, 12, 30, 200])
def test_peer_gone_in_the_middle_of_its_request(server, cut):
    before = server.fds()
    with server.connect() as connection:
        connection.send(connection.wire(request(params("/hello")))[:cut])
    until(lambda: server.fds() <= before, "the connection to be closed", server.log)
    good(server.ask("/hello"))


def test_peer_gone_before_a_large_answer(server, gate):
    token = next(tokens)
    for _ in range(5):
        with server.connect() as connection:
            connection.send(request(params("/big", query="mib=40&token=%s&closegate=%s" % (token, gate.path))))
            assert connection.read_record().type == fcgi.STDOUT
        assert gate.arrived().text == "close"
    assert state(server, token)["progress"] < 5 * 40 * MIB, "the application was stopped"
    good(server.ask("/hello"))


def test_queued_request_of_a_peer_that_is_gone_is_called(start, gate):
    server = start("wsgiapp", "-t", 1, "--queue-timeout", 0)
    token = next(tokens)
    with server.connect() as stuck:
        stuck.send(request(params("/gate", query="gate=" + gate.path)))
        visitor = gate.arrived()
        with server.connect() as queued:
            queued.send(request(params("/hello", query="token=" + token)))
            settle(server)
        settle(server)
        visitor.release()
        good(stuck.read_response(1), b"passed\n")
    assert state(server, token)["calls"] == 1


# --- limits

@pytest.mark.fastcgi
def test_params_too_large(start):
    server = start("wsgiapp", "--limit-params", "4K")
    with server.connect() as connection:
        response = connection.ask("/hello", headers={"X-Large": "x" * 5000})
        assert check_structure(response).status == 431
        good(connection.ask("/hello"))
    assert len(re.findall(r"request 1: 431 [^\n]*: its parameters take more bytes than --limit-params", server.log())) == 1
    with server.connect() as connection:
        connection.send(begin(), stream(fcgi.PARAMS, 1, b"x" * 3000000))
        assert check_structure(connection.read_response(1)).status == 431
    good(server.ask("/hello", headers={"X-Large": "x" * 3000}))


@pytest.mark.fastcgi
def test_too_many_params(start):
    server = start("wsgiapp", "--limit-param-count", 50)
    with server.connect() as connection:
        given = params("/hello", headers={"X-%d" % number: "x" for number in range(60)})
        connection.send(request(given, keep=True))
        assert check_structure(connection.read_response(1)).status == 431
        good(connection.ask("/hello"))
    server.wait_log(r"request 1: 431 [^\n]*: it has more parameters than --limit-param-count: GET /hello")
    exact = {key: given[key] for key in list(given)[:50]}
    good(server_asked(server, exact))
    assert server_asked(server, {**exact, "ONE_MORE": ""}).status == 431


def server_asked(server, given):
    with server.connect() as connection:
        connection.send(request(given))
        return check_structure(connection.read_response(1))


@pytest.mark.parametrize("declared", [True, False])
def test_body_too_large(start, declared):
    server = start("wsgiapp", "--limit-request-body", "100K")
    token = next(tokens)
    body = b"x" * (3 * MIB)
    given = params("/echo", "POST", "token=" + token, body=body)
    if not declared:
        given["CONTENT_LENGTH"] = ""
    with server.connect() as connection:
        connection.send(request(given, body, keep=True))
        response = connection.read_response(1)
        assert check_structure(response).status == 413
    assert state(server, token)["calls"] == 0
    good(server.ask("/echo", "POST", body=b"x" * 102400), b"x" * 102400)


# --- much data

def test_large_upload_to_a_slow_application(server, gate):
    """STDIN is read also while the application does not: most proxies send all of it before they read anything."""
    body = os.urandom(MIB) * 50
    good(server.ask("/echo", "POST", body=body[:MIB]), body[:MIB])
    server.reset_peak()
    before = server.rss()
    with server.connect() as connection:
        connection.send(request(params("/hash", "POST", "gate=" + gate.path, body=body), body))
        visitor = gate.arrived()
        good(server.ask("/hello"))
        visitor.release()
        response = connection.read_response(1)
    assert json.loads(response.body) == [len(body), hashlib.sha256(body).hexdigest()]
    assert server.peak() - before < ROOM, "the body is not kept in memory"


def test_large_download_to_a_slow_reader(server):
    token = next(tokens)
    mib = 40
    good(server.ask("/hello"))
    server.reset_peak()
    before = server.rss()
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=%d&token=%s" % (mib, token))))
        connection.read_and_keep()
        for _ in range(200):
            good(server.ask("/hello"))
        assert state(server, token)["progress"] < 20 * MIB, "the application is held back"
        response = check_structure(connection.read_response(1))
        assert len(response.body) == mib * MIB
        assert hashlib.sha256(response.body).digest() == hashlib.sha256(
            b"".join(b"%065535d\n" % number for number in range(mib * 16))).digest()
    assert server.peak() - before < ROOM


def test_upload_and_download_at_once(server):
    """The peer sends everything before it reads; the application answers while it reads."""
    body = os.urandom(MIB) * 12
    with server.connect() as connection:
        connection.send(request(params("/echo-stream", "POST", body=body), body))
        good(connection.read_response(1), body)


def test_idle_connections_are_ended(start):
    server = start("wsgiapp", "--idle-timeout", 1)
    with server.connect() as connection:
        good(connection.ask("/hello"))
        assert connection.at_eof()


def test_a_request_that_runs_is_not_idle(start, gate):
    server = start("wsgiapp", "--idle-timeout", 1)
    with server.connect() as running:
        running.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        with server.connect() as idle:
            good(idle.ask("/hello"))
            assert idle.at_eof()  # longer than the time-out for the one that runs as well
        visitor.release()
        good(running.read_response(1), b"passed\n")
