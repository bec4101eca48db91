"""Bodies that come slowly, or not at all, over HTTP: --header-timeout for the first byte, then --min-body-rate.

Time passes for a test when a header that never ends is refused (passes): nothing here waits for a clock of its own."""
import select

import pytest

from test_fcgi import good
from test_http import head, protocol  # noqa: F401
from test_paused import SECONDS, paused

LATE = "408 [^\n]*: nothing of its body came within --header-timeout: POST "
SLOW = "408 [^\n]*: its body comes at less than --min-body-rate: POST "
SHORT = ["--header-timeout", 1]


def passes(server, times=1):
    """The time of --header-timeout passes."""
    for _ in range(times):
        with server.connect() as connection:
            connection.send(b"GET / HTTP/1.1\r\nX: ")
            assert connection.read_response().status == 408


def ends(connection, status=408):
    response = connection.read_response().check()
    assert response.status == status and response.header("Connection") == ["close"] and connection.at_eof()


def drip(connection, pause=0.02):
    """Sends the body byte by byte until there is an answer."""
    while not select.select([connection.sock], [], [], pause)[0]:
        connection.send(b"x")


@pytest.mark.parametrize("lines", [["Content-Length: 10"], ["Content-Length: 1000000"], ["Transfer-Encoding: chunked"]])
def test_body_that_does_not_begin(start, lines):
    server = start("wsgiapp", *SHORT)
    with server.connect() as connection:
        connection.send(head(*lines, path="/echo", method="POST"))
        ends(connection)
    server.wait_log(LATE + "/echo")


def test_first_byte_without_a_rate(start):
    """Without --min-body-rate only the beginning has a time."""
    server = start("wsgiapp", *SHORT, "--min-body-rate", 0)
    with server.connect() as connection, server.connect() as late:
        connection.send(head("Content-Length: 2", path="/echo", method="POST"), b"x")
        late.send(head("Content-Length: 2", path="/echo", method="POST"))
        ends(late)
        passes(server, 3)
        connection.send(b"y")
        good(connection.read_response(), b"xy")


def test_no_time_for_the_first_byte(start):
    """Nor a rate before it, without --header-timeout: then it is --idle-timeout that ends the wait."""
    server = start("wsgiapp", "--header-timeout", 0, "--idle-timeout", 1)
    with server.connect() as connection:
        connection.send(head("Content-Length: 2", path="/echo", method="POST"))
        ends(connection)
    server.wait_log("408 [^\n]*--idle-timeout: POST /echo")


@pytest.mark.parametrize("size", [0, 5000])
def test_body_by_drops(start, size):
    """What came early is no credit for later."""
    server = start("wsgiapp", *SHORT, "--min-body-rate", 1000)
    with server.connect() as connection:
        connection.send(head("Content-Length: 50000", path="/echo", method="POST"), b"x" * size)
        drip(connection)
        ends(connection)
    server.wait_log(SLOW + "/echo")


def test_body_that_stands_still(start):
    """Nothing has to come for this to be noticed."""
    server = start("wsgiapp", *SHORT)
    with server.connect() as connection:
        connection.send(head("Content-Length: 50000", path="/echo", method="POST"), b"x" * 5000)
        ends(connection)
    server.wait_log(SLOW + "/echo")


def test_body_that_stands_still_under_a_call(start, gate):
    """The application reads what is there, and then an error."""
    server = start("faultapp", *SHORT)
    with server.connect() as connection:
        connection.send(head("Content-Length: 1000000", path="/read-error?gate=" + gate.path, method="POST"),
                        b"x" * 70000)
        gate.arrived().release()
        assert gate.arrived().text == "raised TimeoutError"
        ends(connection)
    server.wait_log(SLOW + "/read-error")


def test_body_that_is_fast_enough(start):
    server = start("wsgiapp", *SHORT, "--min-body-rate", 1)
    with server.connect() as connection:
        connection.send(head("Content-Length: 60", path="/echo", method="POST"))
        for _ in range(59):
            connection.send(b"x")
            assert not select.select([connection.sock], [], [], 0.05)[0]
        connection.send(b"x")
        good(connection.read_response(), b"x" * 60)


EXPECTED = head("Expect: 100-continue", "Content-Length: 1000000", path="/{}", method="POST").decode()


def test_time_before_100_continue_does_not_count(start, gate):
    """The client may not send before the application asks, however late that is."""
    server = start("faultapp", *SHORT)
    with server.connect() as connection:
        connection.send(EXPECTED.format("hash?gate=" + gate.path).encode())
        visitor = gate.arrived()
        passes(server, 3)
        visitor.release()
        while b"100 Continue" not in connection.held:
            assert connection._more()
        connection.send(b"x" * 1000000)
        assert connection.read_response().check().status == 200


def test_time_after_100_continue_counts(start, gate):
    server = start("faultapp", *SHORT)
    with server.connect() as connection:
        connection.send(EXPECTED.format("read-error?gate=" + gate.path).encode())
        gate.arrived().release()
        assert gate.arrived().text == "raised TimeoutError"
        response = connection.read_response()
        assert response.status == 408 and len(response.interim) == 1 and connection.at_eof()
    server.wait_log(LATE + "/read-error")


@pytest.mark.parametrize("size", [0, 5])
def test_rest_of_a_body_behind_its_answer(start, size):
    """A kept connection does not wait for it for long."""
    server = start("wsgiapp", *SHORT, "--log-level", "debug")
    with server.connect() as connection:
        connection.send(head("Content-Length: 70000", path="/hello", method="POST"), b"x" * 69990)
        good(connection.read_response())
        connection.send(b"x" * size)
        assert connection.at_eof()
    server.wait_log("the peer did not end its side in time")


def test_client_that_leaves(start, gate):
    """Nothing is waited for any more."""
    server = start("faultapp", *SHORT)
    for _ in range(3):
        with server.connect() as connection:
            connection.send(head("Content-Length: 1000000", path="/read-error?gate=" + gate.path, method="POST"),
                            b"x" * 70000)
            visitor = gate.arrived()
        passes(server, 2)
        visitor.release()
        assert gate.arrived().text == "raised ConnectionResetError"
    assert "min-body-rate" not in server.log()


def test_paused(start):
    """Who could not send more, since nobody read it, is not slow."""
    size, meanwhile = 300_000, 60_000
    server = start("wsgiapp", "--header-timeout", SECONDS, "--min-body-rate", size // 2 // SECONDS)
    with server.connect() as connection:
        connection.send(head("Content-Length: %d" % size, path="/echo", method="POST"), b"abc")
        with paused(server):
            connection.send(bytes(meanwhile))
        good(server.ask("/hello"))  # which it looks at after that
        connection.send(bytes(size - meanwhile - 3))
        good(connection.read_response(), b"abc" + bytes(size - 3))
