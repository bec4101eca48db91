"""What the log tells of requests: each at its end at --log-level debug, and those that keep the threads busy."""
import os
import re

import pytest

import fcgi
from daemon import LABEL, until
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import good
from test_sched import finish, hold

OVER_HTTP = True
CLIENT = "203.0.113.9"
END = r"debug: connection (\d+): request (\d+) ended \(([^\n]*?)\): %s(\d+\.\d{6}) s: %s" + LABEL + r"\n"


def ended(server, answer, text):
    return server.wait_log(END % (answer, text))


# --- each request

@pytest.fixture
def telling(start):
    return start("wsgiapp", "--log-level", "debug", "--limit-request-body", "1M")


def test_an_answer(telling):
    good(telling.ask("/hello", query="a=\"\\"))
    match = ended(telling, "200 OK, 13 bytes, ", r'GET /hello\?a="\\x5c')
    assert match.group(3) == ("" if telling.speaks_http else "client 127.0.0.1, ") + "peer process %d of user %d" % (
        os.getpid(), os.geteuid())
    assert 0 <= float(match.group(4)) < fcgi.PATIENCE


def test_answers_of_all_sorts(telling, tmp_path):
    """The bytes are those of the body, however it is sent."""
    for length in (0, 1, 100, 8192, 8193, 200000):
        body = b"x" * length
        assert telling.ask("/echo", "POST", body=body).body == body
        ended(telling, "200 OK, %d byte%s, " % (length, "" if length == 1 else "s"), "POST /echo")
        assert telling.ask("/echo-stream", "POST", body=body).body == body
        ended(telling, "200 OK, %d byte%s, " % (length, "" if length == 1 else "s"), "POST /echo-stream")


def test_requests_that_the_server_answers(telling):
    body = b"x" * (1 << 20) + b"x"
    with telling.connect() as connection:
        connection.send(request(params("/echo", "POST", body=body), body))
        assert connection.read_response(1).status == 413
    ended(telling, r"413 Content Too Large, \d+ bytes, ", "POST /echo")


def test_numbers_of_a_kept_connection(telling):
    with telling.connect() as connection:
        for path in ("/hello", "/echo"):
            connection.send(request(params(path), keep=True))
            assert connection.read_response(1).status == 200
    first, second = ended(telling, "200 OK, 13 bytes, ", "GET /hello"), ended(telling, "200 OK, 0 bytes, ", "GET /echo")
    assert first.group(1) == second.group(1)
    assert [first.group(2), second.group(2)] == (["1", "2"] if telling.speaks_http else ["1", "1"])


@pytest.mark.fastcgi
def test_requests_that_end_early(telling):
    """Aborted in the middle of their parameters, behind one that was served in the same memory; and nothing is told of that."""
    for length in (10, 100000):
        good(telling.ask("/hello", headers={"X-Large": "x" * length}))
        with telling.connect() as connection:
            connection.send(begin(7, keep=True), stream(fcgi.PARAMS, 7, pairs(params("/secret")), end=False),
                            record(fcgi.ABORT_REQUEST, 7))
            assert connection.read_record().type == fcgi.END_REQUEST
    until(lambda: len(re.findall(r"request 7 ended \([^\n]*\): no answer, 0 bytes, [\d.]+ s\n", telling.log())) == 2, "two lines",
          telling.log)


def test_nothing_is_told_by_default(start):
    server = start("wsgiapp")
    for _ in range(3):
        good(server.ask("/hello"))
    assert "ended (" not in server.log()


# --- those that run

BUSY = r"warning: overload since [^\n]*; those that have run for longest: ([^\n]*)\n"
ONE = r"(\d+)\.\d{3} s \(connection (\d+): request 1\): GET (/gate\?gate=[^ ,]*)" + LABEL


def overload(server, path="/hello"):
    """A request that finds no place in the queue, where one waits."""
    waits = server.connect()
    waits.send(request(params(path)))
    waits.get_values()
    with server.connect() as connection:
        connection.send(request(params(path)))
        assert connection.read_response(1).status == 503
    return waits


def test_overload_names_the_oldest_calls(start, gate):
    """In the order in which they began; each with its numbers; what has begun later is left out."""
    server = start("wsgiapp", "-t", 5, "--queue-limit", 1, "--queue-timeout", 0)
    held = [hold(server, gate, path) for path in ["/gate"] * 5]
    waits = overload(server)
    told = server.wait_log(BUSY).group(1)
    found = re.fullmatch(", ".join([ONE] * 3), told)
    assert found, told
    numbers = [int(found.group(i)) for i in (2, 5, 8)]
    assert numbers == sorted(numbers)
    for connections, visitors in held:
        finish(connections, visitors)
    assert waits.read_response(1).status == 200
    waits.close()
    assert len(re.findall(BUSY, server.log())) == 1


@pytest.mark.parametrize("options", [["--queue-limit", 1, "--queue-timeout", 0], ["--queue-timeout", "0.1"]])
def test_calls_whose_client_has_left_are_named(start, gate, options):
    """It is the call that holds the thread."""
    server = start("wsgiapp", "-t", 2, *options)
    connections, visitors = hold(server, gate, count=2)
    for connection in connections:
        connection.close()
    waits = overload(server, "/echo")
    told = server.wait_log(BUSY).group(1)
    assert re.fullmatch(", ".join([ONE] * 2), told), told
    for visitor in visitors:
        visitor.release()
    waits.close()


@pytest.mark.fastcgi
def test_burst_before_any_call(start, gate):
    """They come all at once: when the first one finds no place, no call has begun yet."""
    server = start("wsgiapp", "-t", 1, "--queue-limit", 1, "--queue-timeout", 0)
    with server.connect() as connection:
        connection.send(*[request(params("/gate", query="gate=" + gate.path), id=n, keep=True) for n in (1, 2, 3)])
        visitor = gate.arrived()
        assert connection.read_response(3).status == 503
        told = server.wait_log(BUSY).group(1)
        assert re.fullmatch(ONE, told), told
        visitor.release()
        gate.arrived().release()
        for n in (1, 2):
            assert connection.read_response(n).status == 200
