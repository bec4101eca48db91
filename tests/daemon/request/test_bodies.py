"""When the application is called: what has no length is taken whole first, and its length told; --stream-body is called at
once."""
import hashlib
import json
import os
import re
import signal
import socket
import time

import pytest

import fcgi
import nginx as nginxes
import rawhttp
from conftest import check_structure
from daemon import LABEL, until
from fcgi import begin, pairs, params, record, request, stream
from test_faults import unread
from test_fcgi import good
from test_peers import settle, state
from test_wsgi import tokens

OVER_HTTP = True
APP = "wsgiapp"
BODY = os.urandom(3 << 20)


def unknown(path, query=""):
    """Parameters of a request whose body has no length."""
    given = params(path, "POST", query)
    del given["CONTENT_LENGTH"]
    return given


def piece(server, data):
    """A part of such a body as it is sent; b"" is its end."""
    if not server.speaks_http:
        return record(fcgi.STDIN, 1, data)
    return rawhttp.chunked(data, last=b"") if data else b"0\r\n\r\n"


def told(length, body):
    return [None if length is None else str(length), len(body), hashlib.sha256(body).hexdigest()]


# --- a body of unknown length

@pytest.mark.parametrize("size", [1, 65535, 65536, 70000, 262145, len(BODY)])
def test_length_is_told(server, size):
    """In memory and beyond it (--body-memory)."""
    with server.connect() as connection:
        for _ in range(2):
            connection.send(request(unknown("/told"), BODY[:size], keep=True))
            response = check_structure(connection.read_response(1))
            assert json.loads(response.body) == told(size, BODY[:size])


@pytest.mark.fastcgi
@pytest.mark.parametrize("length", ["", "-1", "none"])
def test_length_that_is_none(server, length):
    response = server.ask("/told", "POST", CONTENT_LENGTH=length, body=BODY[:70000])
    assert json.loads(response.body) == told(70000, BODY[:70000])


def test_no_body_has_no_length(server):
    """RFC 3875, 4.1.2: without a body CONTENT_LENGTH is left out."""
    with server.connect() as connection:
        connection.send(request(unknown("/told"), end=False), piece(server, b""))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(None, b"")
    assert json.loads(server.ask("/told").body) == told(None, b"")


@pytest.mark.parametrize("size", [1, 100])
def test_comes_slowly(server, size):
    """However it comes, and however long it takes, the application is called once, when all is there."""
    token = next(tokens)
    body = bytes(range(256)) * (size * 100 // 256 + 1)
    with server.connect() as connection:
        connection.send(request(unknown("/told", "token=" + token), end=False))
        for start in range(0, len(body), size):
            connection.send(piece(server, body[start:start + size]))
            if start < 20 * size:
                until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
        settle(server)
        assert state(server, token)["calls"] == 0
        connection.send(piece(server, b""))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(len(body), body)
    assert state(server, token)["calls"] == 2, "this one, and the question before"


def test_large_one_is_not_begun(server):
    """Beyond what the application is started with when the length is known, and beyond memory."""
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(unknown("/told", "token=" + token), end=False), piece(server, BODY[:60000]) * 20)
        until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
        settle(server)
        assert state(server, token)["calls"] == 0
        connection.send(piece(server, b""))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(1200000, BODY[:60000] * 20)


@pytest.mark.parametrize("half", [False, True])
def test_cut_off(server, half):
    """A peer that goes away in mid-body: no call."""
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(unknown("/told", "token=" + token), BODY[:200000], end=False))
        until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
        if half:
            connection.sock.shutdown(socket.SHUT_WR)
            response = connection.read_response(1)
            assert response.broken or response.status == 400
    settle(server)
    good(server.ask("/hello"))
    assert state(server, token)["calls"] == 0


def test_grows_too_large(start):
    server = start(APP, "--limit-request-body", "200K")
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(unknown("/told", "token=" + token), BODY[:204801]))
        assert check_structure(connection.read_response(1)).status == 413
    assert state(server, token)["calls"] == 0
    assert json.loads(server.ask("/told", "POST", body=BODY[:204800]).body) == told(204800, BODY[:204800])


def test_stalls(start):
    """--idle-timeout: 408 over HTTP, and the end of the connection; no call."""
    server = start(APP, "--idle-timeout", 1)
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(unknown("/told", "token=" + token), BODY[:100000], end=False))
        response = connection.read_response(1)
        assert response.status == 408 if server.speaks_http else response.broken
        assert connection.at_eof()
    assert state(server, token)["calls"] == 0


def test_server_stops_meanwhile(start):
    """What has begun to come is waited for, called, and answered."""
    server = start(APP)
    with server.connect() as connection:
        connection.send(request(unknown("/told"), BODY[:100000], keep=True, end=False))
        until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
        server.signal(signal.SIGTERM)
        server.wait_log("stopping")
        connection.send(piece(server, BODY[100000:150000]), piece(server, b""))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(150000, BODY[:150000])
    assert server.wait_exit() == 0


# --- the threshold of a known length

@pytest.mark.parametrize("size, called", [(65535, False), (65536, True)])
def test_long_body_is_read_while_it_comes(server, gate, size, called):
    token = next(tokens)
    given = params("/told", "POST", "gate=%s&token=%s" % (gate.path, token), CONTENT_LENGTH="100000")
    with server.connect() as connection:
        connection.send(request(given, BODY[:size], end=False))
        if called:
            assert gate.arrived().text == "told 100000"
        else:
            until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
            settle(server)
            assert state(server, token)["calls"] == 0


@pytest.mark.parametrize("way", ["short", "stalls", "grows too large"])
def test_bad_end_is_no_fault_of_the_application(start, gate, way):
    """What it raises for want of its body is a line without a traceback, so that no peer fills the log with them."""
    server = start(APP, "--stream-body", "--limit-request-body", "150K", *["--idle-timeout", 1] * (way == "stalls"))
    with server.connect() as connection:
        given = unknown("/read-error", "gate=" + gate.path)
        connection.send(request(given, BODY[:100000], end=False))
        gate.arrived().release()
        if way == "short":
            connection.sock.shutdown(socket.SHUT_WR)
        elif way == "grows too large":
            connection.send(piece(server, BODY[:60000]))
        assert gate.arrived().text.startswith("raised ")
    server.wait_log("POST /read-error.*: (the application could not read the body|the client went away)")
    settle(server)
    assert "Traceback" not in server.log()


def test_bad_ends_do_not_fill_the_log(start):
    """One line a second about the same, and none of them is lost from the count."""
    server, began, count = start(APP), time.monotonic(), 0

    def broken():
        nonlocal count
        with server.connect() as connection:
            connection.send(request(params("/hash", "POST", CONTENT_LENGTH="200000"), BODY[:100000], end=False))
            until(lambda: unread(connection) == 0, "the bytes to be read", server.log)
        count += 1
        return re.findall(r"POST /hash" + LABEL + r": the client went away \(and (\d+) more since the last line about this\)\n", server.log())
    told = until(broken, "the number of those without a line", server.log)
    lines = len(re.findall("POST /hash" + LABEL + ": the client went away", server.log()))
    assert 2 <= lines <= 2 + time.monotonic() - began
    assert lines + sum(map(int, told)) <= count


# --- --stream-body

@pytest.mark.parametrize("length", [None, 5, 200000])
def test_stream_is_called_at_once(streaming, gate, length):
    """With the head, whatever the length is; one that was not announced is not told."""
    query = "gate=" + gate.path
    given = unknown("/told", query) if length is None else params("/told", "POST", query, CONTENT_LENGTH=str(length))
    body = BODY[:length or 70000]
    with streaming.connect() as connection:
        connection.send(request(given, end=False))
        visitor = gate.arrived()
        assert visitor.text == "told %s" % length
        if streaming.speaks_http and length:
            connection.send(body)
        else:
            for start in range(0, len(body), 60000):
                connection.send(piece(streaming, body[start:start + 60000]))
            connection.send(piece(streaming, b""))
        visitor.release()
        assert json.loads(check_structure(connection.read_response(1)).body) == told(length, body)


def test_stream_that_came_whole(streaming):
    """Not told either: what the application sees does not depend on how the packets came."""
    with streaming.connect() as connection:
        connection.send(request(unknown("/told"), b"12345", keep=True))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(None, b"12345")


def test_stream_in_both_directions(streaming):
    with streaming.connect() as connection:
        connection.send(request(unknown("/talk"), end=False))
        for number in range(10):
            connection.send(piece(streaming, b"line %d\n" % number))
            heard = b""
            while b"line %d\n" % number not in heard:
                heard += connection.read_record().content
        connection.send(piece(streaming, b""))
        connection.read_response(1)


def test_stream_is_refused_early(streaming):
    with streaming.connect() as connection:
        given = params("/no/such/route", "POST", CONTENT_LENGTH="100000000")
        connection.send(request(given, end=False))
        assert b"no such route" in connection.read_record().content or streaming.speaks_http


# --- FastCGI: a length without a body

@pytest.mark.fastcgi
@pytest.mark.parametrize("length", ["5", "65536", "1000000", "9223372036854775807"])
def test_length_without_body(start, length):
    """It is told that there is none (nginx: "fastcgi_pass_request_body off"): not an error, as it is when one began."""
    server = start(APP, "--limit-request-body", "0")
    with server.connect() as connection:
        for body, status in ((b"", 200), (b"1234", 400), (b"", 200)):
            connection.send(request(params("/told", "POST", CONTENT_LENGTH=length), body, keep=True))
            response = check_structure(connection.read_response(1))
            assert response.status == status
            assert status == 400 or json.loads(response.body) == told(0, b"")


@pytest.mark.fastcgi
def test_stream_of_a_length_without_body(streaming, gate):
    """Known before the call, or found when it reads."""
    given = params("/told", "POST", "gate=" + gate.path, CONTENT_LENGTH="5")
    with streaming.connect() as connection:
        connection.send(request(params("/told", "POST", CONTENT_LENGTH="5"), b"", keep=True))
        assert json.loads(check_structure(connection.read_response(1)).body) == told(0, b"")
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(given)))
        visitor = gate.arrived()
        connection.send(record(fcgi.STDIN, 1))
        visitor.release()
        assert json.loads(check_structure(connection.read_response(1)).body) == told(5, b"")


@pytest.mark.fastcgi
def test_length_without_body_behind_another(streaming, gate):
    """It waits for one with the same id, and is not called before its STDIN ends."""
    with streaming.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True),
                        begin(keep=True), stream(fcgi.PARAMS, 1, pairs(params("/told", "POST", CONTENT_LENGTH="5"))),
                        record(fcgi.STDIN, 1))
        visitor = gate.arrived()
        settle(streaming)
        visitor.release()
        assert check_structure(connection.read_response(1)).status == 200
        response = check_structure(connection.read_response(1))
        assert response.status == 200 and json.loads(response.body) == told(0, b"")


@pytest.mark.fastcgi
def test_stdin_that_ends_with_the_connection(streaming, gate):
    """That is no body that was kept from us, but one that does not come."""
    given = params("/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="5")
    with streaming.connect() as connection:
        connection.send(begin(), stream(fcgi.PARAMS, 1, pairs(given)))
        visitor = gate.arrived()
        connection.sock.shutdown(socket.SHUT_WR)
        settle(streaming)
        visitor.release()
        assert gate.arrived().text == "raised ConnectionAbortedError"


AUTH = """
            auth_request /auth;
            error_page 413 =200 /told;
            client_max_body_size 100;
        }}
        location = /auth {{
            internal;
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_NAME /allow;
            fastcgi_pass unix:{socket};
            fastcgi_pass_request_body off;
        }}
        location = /told {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass unix:{socket};
"""


@pytest.mark.fastcgi
def test_nginx_auth_request(server):
    """Word for word as its users write it; and a page for what nginx has found too large."""
    running = nginxes.Nginx({"plain": (server.path, False, "/"), "kept": (server.path, True, "/")},
                            AUTH.format(socket=server.path))
    try:
        for name in ("plain", "kept"):
            response = running.ask(name, "/echo", "POST", body=b"12345")
            assert (response.status, response.body) == (200, b"12345"), response
            response = running.ask(name, "/echo", "POST", body=b"x" * 101)
            assert response.status == 200 and json.loads(response.body) == told(0, b""), response
    finally:
        running.stop()
