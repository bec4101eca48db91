"""Who gets a place when all are taken (--max-connections, or descriptors): connections that do nothing give way to new
ones, those with half a header next, and those with a request in work never."""
import re
import resource
import select
import signal
import time

import pytest

import fcgi
from daemon import until
from fcgi import begin, pairs, params, record, request, stream
from test_faults import limit_files
from test_fcgi import good
from test_sched import finish, hold

OVER_HTTP = True
APP = "wsgiapp"
PLACES = 64
CLOSED = "idle ones are closed for new ones"
WAIT = "all are busy: others wait until one ends"


@pytest.fixture
def limited(start):
    return start(APP, "--max-connections", PLACES, "--idle-timeout", 600, "--header-timeout", 600)


def half_header(server):
    if server.speaks_http:
        return b"GET /hello HTTP/1.1\r\nHost: a\r\n"
    return begin(keep=True) + stream(fcgi.PARAMS, 1, pairs(params("/hello")), end=False)


def rest_of_header(server):
    return b"\r\n" if server.speaks_http else record(fcgi.PARAMS, 1) + record(fcgi.STDIN, 1)


def is_closed(connection):
    """Whether the server has closed it; nothing else may have come."""
    return bool(select.select([connection.sock], [], [], 0)[0]) and connection.at_eof()


def asleep(connection):
    return not select.select([connection.sock], [], [], 0)[0]


@pytest.fixture
def connect(request):
    made = []

    def connect(server, *data):
        made.append(server.connect())
        if data:
            made[-1].send(*data)
        return made[-1]
    yield connect
    for connection in made:
        connection.close()


@pytest.mark.parametrize("begun", [False, True])
def test_a_crowd_locks_nobody_out(limited, connect, begun):
    """Twelve times as many as there are places: others come and go."""
    for _ in range(24):
        for _ in range(PLACES // 2):
            connect(limited, *[half_header(limited)] * begun)
        for _ in range(3):
            good(limited.ask("/hello"))
    limited.wait_log(CLOSED)
    assert limited.fds() < PLACES + 40


def test_who_is_in_use_stays(limited, connect):
    """The one that has been idle for longest goes first."""
    kept = [connect(limited) for _ in range(4)]
    for _ in range(6):
        for connection in kept:
            good(connection.ask("/hello"))
        for _ in range(PLACES // 2):
            connect(limited)
        good(limited.ask("/hello"))
    for connection in kept:
        good(connection.ask("/hello"))


def settle(connection):
    """Two round trips: what was sent before on other connections has been read."""
    for _ in range(2):
        good(connection.ask("/hello"))


def test_order(limited, connect):
    """Of two kinds, the idle ones first; of each, the oldest."""
    half = PLACES // 2
    other = connect(limited)
    begun = []
    for _ in range(half):
        begun.append(connect(limited, half_header(limited)))
        settle(other)
    idle = [connect(limited) for _ in range(half - 1)]
    settle(idle[-1])
    settle(idle[0])
    for _ in range(half - 1):
        connect(limited, half_header(limited))
    until(lambda: is_closed(idle[-1]), "the last but one", limited.log)
    assert is_closed(other) and all(is_closed(connection) for connection in idle[1:]) and asleep(idle[0])
    settle(idle[0])
    connect(limited, half_header(limited))
    until(lambda: is_closed(idle[0]), "the last", limited.log)
    assert all(asleep(connection) for connection in begun)
    connect(limited, half_header(limited))
    until(lambda: is_closed(begun[0]), "the first of the others", limited.log)
    assert all(asleep(connection) for connection in begun[1:])
    begun[1].send(rest_of_header(limited))
    good(begun[1].read_response(1))


def test_what_has_arrived_counts(limited, connect, gate):
    """A request in the socket of the connection that is to be closed is served: nothing that can be seen is lost. Which
    event the loop looks at first is not known, so that it is tried several times."""
    held = hold(limited, gate)
    for _ in range(8):
        idle = [connect(limited) for _ in range(PLACES - 1)]
        settle(idle[-1])
        limited.signal(signal.SIGSTOP)
        for connection in idle[:10]:
            connection.send(request(params("/hello"), keep=True))
        new = [connect(limited, request(params("/hello"))) for _ in range(5)]
        limited.signal(signal.SIGCONT)
        for connection in idle[:10] + new:
            good(connection.read_response(1))
    finish(*held)


def test_all_busy(start, connect, gate):
    """Whoever comes then waits in the backlog, and is served when one ends, or has nothing more to do."""
    server = start(APP, "-t", 8, "--max-connections", 8)
    connections, visitors = hold(server, gate, count=8)
    waiting = [connect(server, request(params("/hello"))) for _ in range(3)]
    server.wait_log(r"8 connections are open \(--max-connections\), and " + WAIT)
    cpu = server.cpu()
    assert not select.select([c.sock for c in waiting], [], [], 1)[0]
    assert server.cpu() - cpu < 0.7, "the loop does not spin"
    visitors[0].release()
    assert connections[0].read_response(1).status == 200
    for connection in waiting:
        good(connection.read_response(1))
    finish(connections[1:], visitors[1:])
    assert CLOSED not in server.log()


def test_a_busy_one_that_comes_to_rest_makes_room(start, connect, gate):
    server = start(APP, "-t", 8, "--max-connections", 8)
    kept = [connect(server, request(params("/gate", query="gate=" + gate.path), keep=True)) for _ in range(8)]
    visitors = [gate.arrived() for _ in range(8)]
    waiting = connect(server, request(params("/hello"), keep=True))
    server.wait_log(WAIT)
    visitors[0].release()
    good(waiting.read_response(1))
    for visitor in visitors[1:]:
        visitor.release()
    answers = [connection.read_response(1) for connection in kept]
    assert [answer.status for answer in answers] == [200] * 8


def test_output_that_waits(start, connect):
    """A connection whose answer was not taken yet is not idle, though its request is over."""
    server = start(APP, "--max-connections", 8)
    body = bytes(4 << 20)
    readers = [connect(server, request(params("/echo", "POST", body=body), body, keep=True)) for _ in range(7)]
    for connection in readers:
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
    for _ in range(20):
        good(server.ask("/hello"))
        connect(server)
    for connection in readers:
        good(connection.read_response(1), body)
    for _ in range(20):
        good(connect(server).ask("/hello"))


def test_out_of_descriptors(start, connect):
    server = start(APP, "--max-connections", 1000, preexec_fn=limit_files(48))
    began = time.monotonic()
    for _ in range(100):
        connect(server)
        good(server.ask("/hello"))
    server.wait_log("cannot accept connections: Too many open files: idle ones are closed for them")
    assert len(re.findall("cannot accept", server.log())) <= 2 + time.monotonic() - began


def test_log_lines(limited, connect):
    """However many are closed, a line every ten seconds says it."""
    began = time.monotonic()
    for _ in range(10 * PLACES):
        connect(limited)
    good(limited.ask("/hello"))
    assert len(re.findall(CLOSED, limited.log())) <= 2 + (time.monotonic() - began) / 10


FILES = 87384  # four thirds of 65,535
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@pytest.mark.parametrize("soft, hard", [(64, HARD), (64, 4000), (300, 300), (1024, 1024)])
def test_limit_of_files_is_raised(start, soft, hard):
    """As far as connections need it, and the hard limit lets it."""
    server = start(APP, "--log-level", "debug",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    now = min(hard, FILES)
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (now, hard)
    assert ("the limit of open files is %d now, instead of %d" % (now, soft) in server.log()) == (now != soft)


def test_limit_of_files_for_more_connections(start):
    """--max-connections may ask for more, and never for less."""
    for most, files in ((100, FILES), (1000000, 1333336)):
        server = start(APP, "--max-connections", most,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, HARD)))
        assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (min(HARD, files), HARD)


@pytest.mark.fastcgi
@pytest.mark.parametrize("hard", [4000, HARD])
def test_default_follows_from_it(start, hard):
    server = start(APP, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    with server.connect() as connection:
        assert int(connection.get_values()["FCGI_MAX_CONNS"]) == min(hard // 4 * 3, 65535)


def test_a_single_place(start, gate):
    """Who reads the log is told in words that fit."""
    server = start(APP, "--max-connections", 1)
    held = hold(server, gate)
    with server.connect() as waits:
        waits.send(request(params("/hello")))
        server.wait_log(r"warning: 1 connection is open \(--max-connections\), and is busy: others wait until one ends\n")
        finish(*held)
        good(waits.read_response(1))
