"""What the server answers by itself: each has a log line that names what to change, and no more than one a second."""
import errno
import json
import re
import time

import pytest

import fcgi
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import good
from test_sched import finish, hold

OVER_HTTP = True
KIB = 1024


def refused(server, status, *sent, id=1):
    with server.connect() as connection:
        connection.send(*sent)
        response = connection.read_response(id)
    assert response.status == status and response.complete
    return response


def line(server, status, text):
    return server.wait_log(r"(warning|info|error): connection \d+: request 1: %d [^\n]*%s" % (status, text))


def test_body_limit(start):
    server = start("wsgiapp", "--limit-request-body", "1K")
    refused(server, 413, request(params("/echo", "POST", body=b"x" * 2000), b"x" * 2000))
    line(server, 413, "--limit-request-body: POST /echo")


@pytest.mark.fastcgi
def test_body_limit_while_the_application_runs(start, gate):
    """It cannot be answered by the server any more: the application reads an error, and the log says why."""
    server = start("faultapp", "--limit-request-body", "100K", "--stream-body")
    given = pairs(params("/read-or-fail", "POST", "gate=" + gate.path, CONTENT_LENGTH=""))
    with server.connect() as connection:
        connection.send(begin(), stream(fcgi.PARAMS, 1, given), record(fcgi.STDIN, 1, b"x" * 65535),
                        record(fcgi.STDIN, 1, b"x" * KIB))
        visitor = gate.arrived()
        connection.send(record(fcgi.STDIN, 1, b"x" * 60000))
        line(server, 413, "the application runs[^\n]*--limit-request-body: POST /read-or-fail")
        visitor.release()
        assert json.loads(connection.read_response(1).body) == ["failed", errno.EFBIG]


def test_params_limit(start):
    server = start("wsgiapp", "--limit-params", "4K")
    refused(server, 431, request(params("/hello", headers={"X-Large": "x" * 5000})))
    line(server, 431, "--limit-params")


def test_param_count_limit(start):
    server = start("wsgiapp", "--limit-param-count", 50)
    refused(server, 431, request(params("/hello", headers={"X-%d" % number: "x" for number in range(60)})))
    line(server, 431, "--limit-param-count: GET /hello")


@pytest.mark.fastcgi
def test_malformed_parameters(server):
    refused(server, 400, begin(), stream(fcgi.PARAMS, 1, b"\x04\x7fNAME"))
    line(server, 400, "parameters are malformed")


@pytest.mark.fastcgi
def test_header_timeout(start):
    server = start("wsgiapp", "--header-timeout", 1)
    refused(server, 408, begin())
    line(server, 408, "--header-timeout")


@pytest.mark.fastcgi
def test_short_body(server):
    refused(server, 400, request(params("/echo", "POST", CONTENT_LENGTH="10"), b"short"))
    line(server, 400, "ended before its CONTENT_LENGTH: POST /echo")


@pytest.mark.fastcgi
def test_too_many_on_a_connection(server):
    with server.connect() as connection:
        limit = int(connection.get_values()["FCGI_MAX_REQS"])
        connection.send(*[begin(id, keep=True) for id in range(2, limit + 2)])
        connection.send(request(params("/hello"), id=1, keep=True))
        assert connection.read_response(1).status == 503
    line(server, 503, "GET_VALUES")


@pytest.mark.parametrize("options, text", [
    (["--queue-limit", 1, "--queue-timeout", 0], "--queue-limit requests wait for a thread already"),
    (["--queue-limit", 100, "--queue-timeout", "0.1"], r"--queue-timeout\): it waited for \d+\.\d{3} s"),
])
def test_overload(start, gate, options, text):
    """One line a second, which counts the others."""
    server = start("wsgiapp", "-t", 1, *options)
    held = hold(server, gate)
    waiting = [server.connect() for _ in range(2)]
    waiting[0].send(request(params("/hello")))
    waiting[0].get_values()
    waiting[1].send(request(params("/hello")))
    response = waiting[1].read_response(1)
    assert response.status == 503 and dict(response.headers)["Retry-After"].isdigit()
    line(server, 503, text + ": GET /hello")
    finish(*held)
    for connection in waiting:
        connection.close()


@pytest.mark.fastcgi
def test_a_flood_is_a_line_a_second(server):
    """What peers can do at will does not fill the log."""
    def lines():
        return re.findall(r": (?:the peer does not speak FastCGI version 1) \(peer [^\n)]*\)(?: \(and (\d+) more since[^\n]*\))?",
                          server.log())
    told, began = 0, time.monotonic()
    while sum(bool(more) for more in lines()) < 2:
        for _ in range(50):
            with server.connect() as connection:
                connection.send(b"\2" * 8)
                assert connection.at_eof()
            told += 1
    counted = len(lines()) + sum(int(more or 0) for more in lines())
    assert len(lines()) <= 2 + time.monotonic() - began and counted <= told
    good(server.ask("/hello"))
