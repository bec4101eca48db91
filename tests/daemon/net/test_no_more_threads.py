"""Slow peers have all the threads that the system lets the process have: those that have been slow for longest give way, and
requests of others are answered as if there were none."""
import resource

import pytest

import fcgi
from fcgi import begin, pairs, params, request, stream
from test_fcgi import good
from test_slow_peers import BEGINNING, MIB, NEVER, connect, fastcgi_post, http_post, others_are_served  # noqa: F401
from test_wsgi import tokens

OVER_HTTP = True
THREADS, PEERS = 4, 30
STACK, SPACE = 1 << 30, 16 << 30
WARNING = r"\d+ calls wait for their peers, and there can be no more threads: the one that has waited for longest"
CUT = r"a call waited for the peer, and its thread was needed"


def few_threads():
    """Some ten threads have room for their stacks, and there is room besides."""
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))


@pytest.fixture
def server(start):
    return start("wsgiapp", "-t", THREADS, *NEVER, preexec_fn=few_threads)


def expect_warnings(server):
    server.wait_log("cannot start thread")
    server.wait_log(WARNING)


def answer(connection):
    """All of it, or None if it was cut, over FastCGI in the middle of a record."""
    try:
        response = connection.read_response(1)
    except EOFError:
        return None
    return response if response.complete else None


def test_readers(server, connect):  # noqa: F811
    peers = []
    for _ in range(PEERS):
        peers.append(connect(server))
        peers[-1].send(request(params("/big", query="mib=8&token=" + next(tokens))))
    expect_warnings(server)
    others_are_served(server)
    server.wait_log(CUT)
    # Some were cut. The others are served, when they take their answers: a call for each.
    whole = [response for response in map(answer, peers) if response]
    assert 0 < len(whole) < PEERS
    assert all(len(response.body) == 8 * MIB for response in whole)


def test_senders(server, protocol, connect):  # noqa: F811
    send = {"http": http_post("Content-Length: 1000000", sent=BEGINNING, path="/echo"),
            "fastcgi": fastcgi_post(1000000, len(BEGINNING), path="/echo")}[protocol]
    for _ in range(PEERS):
        connect(server).send(*send(""))
    expect_warnings(server)
    others_are_served(server)
    server.wait_log(CUT)


@pytest.mark.fastcgi
def test_multiplexed_senders(server):
    """Only those requests of the connection give way that are slow."""
    with server.connect() as connection:
        for id in range(1, PEERS + 1):
            given = pairs(params("/echo", "POST", CONTENT_LENGTH="1000000"))
            connection.send(begin(id, keep=True), stream(fcgi.PARAMS, id, given),
                            stream(fcgi.STDIN, id, BEGINNING, end=False))
        expect_warnings(server)
        others_are_served(server)
        good(connection.ask("/hello", id=99))
        assert connection.read_response(1).app_status == 1
        # What still comes for it belongs to nothing.
        connection.send(stream(fcgi.STDIN, 1, BEGINNING))
        good(connection.ask("/hello", id=99))
        # The connection goes on, and so does a request that is not slow.
        connection.send(begin(PEERS + 1, keep=True),
                        stream(fcgi.PARAMS, PEERS + 1, pairs(params("/echo", "POST", CONTENT_LENGTH="1000000"))),
                        stream(fcgi.STDIN, PEERS + 1, bytes(1000000)))
        good(connection.read_response(PEERS + 1), bytes(1000000))


@pytest.mark.fastcgi
def test_multiplexed_readers(server):
    """An answer that is cut does not look like a whole one."""
    with server.connect() as connection:
        for id in range(1, PEERS + 1):
            connection.send(request(params("/big", query="mib=2&token=" + next(tokens)), id=id, keep=True))
        expect_warnings(server)
        others_are_served(server)
        whole = 0
        for id in range(1, PEERS + 1):
            response = connection.read_response(id)
            assert (response.app_status == 0) == (len(response.body) == 2 * MIB), (id, len(response.body))
            whole += response.app_status == 0
        assert 0 < whole < PEERS
