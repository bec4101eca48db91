"""Nothing is left behind by requests, however they end. Memory that stays is seen by the growth of many requests."""
import contextlib
import urllib.parse

import pytest

import fcgi
from daemon import SANITIZED, until
from fcgi import params, record, request
from test_fcgi import good

OVER_HTTP = True
ROUNDS = 300
BODY = b"line of a body\n" * 5000
OPS = urllib.parse.quote('[["readline"], ["read", 10000], ["readlines", 20000], ["iter"]]')
# What one round must not leave behind is at least one such body or header block: 300 of them would be over 20 MiB.
# What is kept on purpose: 16 times 128 KiB.
GROWTH = (512 if SANITIZED else 8) << 20


def plain(server):
    good(server.ask("/hello", headers={"X-Large": "x" * 60000}))


def echo(server):
    with server.connect() as connection:
        good(connection.ask("/echo", "POST", body=BODY), BODY)
        good(connection.ask("/echo-stream", "POST", body=BODY), BODY)


def lines(server):
    assert server.ask("/read", "POST", "ops=" + OPS, body=BODY).status == 200


def unread(server):
    good(server.ask("/hello", "POST", body=BODY))


def failing(server):
    assert server.ask("/raise-before", "POST", body=BODY).status == 500
    server.ask("/raise-mid", "POST", "token=memory", body=BODY)
    assert server.ask("/bad-result", "POST", "kind=ints", body=BODY).status == 500


def kept(server):
    server.ask("/keep", "POST", body=BODY)


def aborted(server):
    given = params("/echo", "POST", CONTENT_LENGTH="1000000")
    before = server.fds()
    with server.connect() as connection:
        connection.send(request(given, BODY, keep=True, end=False))
        if not server.speaks_http:
            connection.send(record(fcgi.ABORT_REQUEST, 1))
            connection.read_response(1)
    # Over HTTP going away is the only way: not many at a time, which would need as many threads.
    until(lambda: server.fds() <= before, "the connection to be closed", server.log)


def cut(server):
    with server.connect() as connection:
        connection.send(connection.wire(request(params("/echo", "POST", body=BODY), BODY))[:50000])


def unread_answer(server):
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=1&token=memory")))
        connection.read_record()


@pytest.mark.parametrize("what", [plain, echo, lines, unread, failing, kept, aborted, cut, unread_answer])
def test_many_requests_leave_nothing_behind(server, what):
    for _ in range(ROUNDS // 3):
        what(server)
    good(server.ask("/hello"))
    memory, descriptors = server.rss(), server.fds()
    for _ in range(ROUNDS):
        what(server)
    good(server.ask("/hello"))
    assert server.rss() - memory < GROWTH
    until(lambda: server.fds() <= descriptors + 2, "connections to be closed", server.log)


def test_what_is_only_announced(server):
    """Of a body, memory is reserved for what its length says; but only what comes is backed by any."""
    count = 100
    good(server.ask("/hello"))
    before, descriptors = server.rss(), server.fds()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(server.connect())
            given = params("/echo", "POST", CONTENT_LENGTH="1000000")
            connection.send(connection.wire(request(given, b"x", end=False)))
        # Those of earlier requests may still be closed meanwhile.
        until(lambda: server.fds() > count, "the connections to be accepted", server.log)
        good(server.ask("/hello"))
        assert server.rss() - before < (64 if SANITIZED else 6) << 20, "a reserve is 128 KiB"
    until(lambda: server.fds() <= descriptors + 2, "connections to be closed", server.log)
