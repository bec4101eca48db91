"""The time of day steps, as it does when somebody sets it or a virtual machine goes on: what is read by people follows, and
time-outs do not."""
import contextlib
import email.utils
import re
import time

import pytest

import fcgi
from daemon import until
from fcgi import begin, pairs, params, stream
from tamper import Tamper
from test_fcgi import good
from test_slow_peers import HEADER

OVER_HTTP = True
HOUR, DAY = 3600, 86400
IDLE = 6  # seconds, half of which a machine may lose
HALF_HEAD = {"http": b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ", "fastcgi": begin() + b"\1"}


@pytest.fixture
def tamper(tmp_path):
    return Tamper(tmp_path)


def upload(connection, protocol):
    """The head of an upload, and half of its body. Returns what sends the rest."""
    if protocol == "http":
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        return lambda: connection.send(b"def")
    connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(params("/echo", "POST", CONTENT_LENGTH="6"))),
                    stream(fcgi.STDIN, 1, b"abc", end=False))
    return lambda: connection.send(stream(fcgi.STDIN, 1, b"def"))


def test_forward(start, protocol, tamper):
    """No healthy upload is refused, and no connection cut that rests."""
    server = start("wsgiapp", "--idle-timeout", IDLE, "--header-timeout", IDLE / 2, "--min-body-rate", 0, env=tamper.env)
    with contextlib.ExitStack() as opened:
        first, head = (opened.enter_context(server.connect()) for _ in range(2))
        good(first.ask("/hello"), b"Hello, world\n")
        head.send(HALF_HEAD[protocol])
        server.wait_log(HEADER)  # half the time of `first` is over
        slow, rests = (opened.enter_context(server.connect()) for _ in range(2))
        rest = upload(slow, protocol)
        good(rests.ask("/hello"), b"Hello, world\n")
        tamper.step(HOUR)
        good(rests.ask("/hello"), b"Hello, world\n")
        assert first.at_eof()
        rest()
        good(slow.read_response(), b"abcdef")
        good(rests.ask("/hello"), b"Hello, world\n")


@pytest.mark.parametrize("options", [["--header-timeout", 1], ["--idle-timeout", 1]])
def test_back(start, protocol, tamper, options):
    """The limits against slow peers still act."""
    server = start("wsgiapp", *options, env=tamper.env)
    with server.connect() as head, server.connect() as other:
        good(other.ask("/hello"), b"Hello, world\n")
        head.send(HALF_HEAD[protocol])
        tamper.step(-HOUR)
        response = head.read_response()
        assert response.broken or response.status == 408
        server.wait_log("-timeout")


def test_what_people_read(start, protocol, tamper):
    """The date of the log, and that of answers over HTTP."""
    server = start("wsgiapp", "--log-level", "debug", env=tamper.env)
    for days in (400, -400):
        tamper.step(days * DAY)
        at = len(server.log())
        earliest = int(time.time()) + days * DAY - 1
        response = server.ask("/hello")
        if protocol == "http":
            date = email.utils.parsedate_to_datetime(response.header("Date")[0]).timestamp()
            assert earliest <= date <= earliest + HOUR
        stamp = until(lambda: re.search(r"^\S+T[\d:]+", server.log()[at:], re.M), "a line of the log", server.log)
        assert stamp.group()[:4] == time.strftime("%Y", time.gmtime(earliest)), stamp.group()
