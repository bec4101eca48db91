"""The server was paused for longer than a time-out, as happens when its machine is moved or its container is frozen: what has
come meanwhile is read before anybody is told that nothing came."""
import contextlib
import re
import signal
import socket
import time

import pytest

import fcgi
from daemon import until
from fcgi import begin, pairs, params, stream
from test_clock import HALF_HEAD, upload
from test_fcgi import good

OVER_HTTP = True
SECONDS = 4  # a time-out; half of it is enough for all that comes before the pause
HELLO = b"Hello, world\n"
OPTIONS = {"idle": ["--idle-timeout", SECONDS], "header": ["--header-timeout", SECONDS]}


@contextlib.contextmanager
def paused(server):
    """The server does nothing meanwhile, and for longer than SECONDS."""
    server.ask("/hello")  # it has read what was sent before
    server.signal(signal.SIGSTOP)
    until(lambda: re.search(r"^State:\s+T", server.proc("status"), re.M), "the server to stand still")
    end = time.monotonic() + 1.25 * SECONDS
    try:
        yield
        time.sleep(max(0, end - time.monotonic()))
    finally:
        server.signal(signal.SIGCONT)


def test_kept_connections(start):
    """More of them than the loop is told of at a time."""
    server = start("wsgiapp", *OPTIONS["idle"])
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(server.connect()) for _ in range(100)]
        for connection in connections:
            good(connection.ask("/hello"), HELLO)
        with paused(server):
            for connection in connections:
                connection.send(connection.wire(fcgi.request(params("/hello"), keep=True)))
        for connection in connections:
            good(connection.read_response(), HELLO)


@contextlib.contextmanager
def pause(server, when):
    """The block is run while the server is paused, or "after" that: by a peer that was paused with it, being on the same
    machine, and comes behind it."""
    if when == "after":
        with paused(server):
            pass
        server.ask("/hello")  # the loop has looked at what is late
        yield
    else:
        with paused(server):
            yield


@pytest.mark.parametrize("when", ["meanwhile", "after"])
@pytest.mark.parametrize("option", OPTIONS)
def test_upload(start, protocol, option, when):
    server = start("wsgiapp", *OPTIONS[option])
    with server.connect() as connection:
        rest = upload(connection, protocol)
        with pause(server, when):
            rest()
        good(connection.read_response(), b"abcdef")


@pytest.mark.parametrize("when", ["meanwhile", "after"])
@pytest.mark.parametrize("option", OPTIONS)
def test_half_head(start, protocol, option, when):
    server = start("wsgiapp", *OPTIONS[option])
    rest = {"http": b"\r\n\r\n", "fastcgi": fcgi.request(params("/hello"), keep=True)[len(HALF_HEAD["fastcgi"]):]}
    with server.connect() as connection:
        connection.send(HALF_HEAD[protocol] if protocol == "http" else begin(keep=True) + b"\1")
        with pause(server, when):
            connection.send(rest[protocol])
        good(connection.read_response(), HELLO)


@pytest.mark.fastcgi
def test_multiplexed(start):
    """What belongs to the one that has waited longer is behind more than is read at a time."""
    server = start("wsgiapp", *OPTIONS["idle"])
    large = bytes(80_000)
    with server.connect() as connection:
        for id in (1, 2):
            connection.send(begin(id, keep=True),
                            stream(fcgi.PARAMS, id, pairs(params("/echo", "POST", CONTENT_LENGTH=str(len(large))))))
            connection.send(stream(fcgi.STDIN, id, large[:9], end=False))
        with paused(server):
            connection.send(stream(fcgi.STDIN, 2, large[9:]), stream(fcgi.STDIN, 1, large[9:10], end=False))
        good(connection.read_response(2), large)
        connection.send(stream(fcgi.STDIN, 1, large[10:]))
        good(connection.read_response(1), large)


def test_answer(start):
    """Its reader was paused as well, being on the same machine, or could not send the rest of what it has to send first."""
    server = start("wsgiapp", *OPTIONS["idle"])
    with server.connect() as connection:
        connection.send(fcgi.request(params("/big", query="mib=8&token=paused"), keep=False))
        until(lambda: len(connection.sock.recv(1 << 20, socket.MSG_PEEK)) > 1 << 16, "a full socket", server.log)
        with paused(server):
            pass
        response = connection.read_response()
        assert response.status == 200 and len(response.body) == 8 << 20, (len(response.body), server.log())
