"""What connections without a request in work do to a stop: next to nothing."""
import resource
import signal
import time

import pytest

import fcgi
from daemon import until
from fcgi import params, request
from rawhttp import encode
from test_bodies import unread
from test_signals import hold, refuses

OVER_HTTP = True
APP = "wsgiapp"


@pytest.fixture
def connect(request):
    made = []

    def connect(server, *data):
        made.append(server.connect())
        made[-1].send(*data)
        return made[-1]
    yield connect
    for connection in made:
        connection.close()


def read_all(connection, server):
    """Waits until the server has read what was sent."""
    until(lambda: unread(connection) == 0, "the bytes to be read", server.log)


def accepted(server):
    """All that have connected are accepted when one that comes later is answered."""
    assert server.ask("/hello").status == 200


def freeze(server):
    server.signal(signal.SIGSTOP)
    until(lambda: server.proc("stat").rpartition(")")[2].split()[0] == "T", "the server to be stopped")


def ends_within(server, seconds):
    """Before, each of the waits took five seconds or more."""
    before = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert time.monotonic() - before < seconds, server.log()


def test_unused_connections(start, connect):
    """A browser's connection in reserve, a health checker's."""
    server = start(APP)
    for _ in range(3):
        connect(server)
    accepted(server)
    ends_within(server, 4)


def test_unused_connection_ends_before_the_requests_do(start, gate, connect):
    server = start(APP)
    unused = connect(server)
    accepted(server)
    running, visitor = hold(server, gate)
    before = time.monotonic()
    server.signal(signal.SIGTERM)
    assert unused.at_eof() and time.monotonic() - before < 4
    visitor.release()
    assert running.read_response(1).body == b"passed\n"
    assert server.wait_exit() == 0


def halves(server, what):
    """A request to /echo in two parts."""
    given = params("/echo", "POST", CONTENT_LENGTH="10")
    whole = bytes(request(given, b"1234567890")) if not server.speaks_http else encode(request(given, b"1234567890"))
    at = {"begin": 5, "header": 60, "body": whole.index(b"67890")}[what]
    return whole[:at], whole[at:]


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("what, seconds", [("begin", 4), ("header", 4), ("body", 15)])
def test_half_a_request(start, connect, what, seconds, used):
    """Its peer gets a moment for the rest of a header, and three seconds without a byte of a body: it is told that it was
    slow."""
    server = start(APP)
    connection = connect(server)
    if used:
        assert connection.ask("/hello").status == 200
    connection.send(halves(server, what)[0])
    read_all(connection, server)
    ends_within(server, seconds)
    if what == "body":
        assert connection.read_response().status == 408
    assert connection.at_eof()


@pytest.mark.parametrize("what", ["unused", "begin", "header"])
def test_moment_for_the_rest(start, connect, what):
    """Of many stops on a busy machine, one takes hardly more than the tenth of a second that such a peer gets."""
    took = []
    while not took or took[-1] > 0.8:
        server = start(APP, "--graceful-timeout", 60)
        for _ in range(20):
            connect(server, *([] if what == "unused" else [halves(server, what)[0]]))
        accepted(server)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        took.append(float(server.wait_log(r"stopped after ([\d.]+) s: .*, 0 cut off").group(1)))
        assert took[-1] < 5 and len(took) < 20, took


def test_rest_after_the_requests(start, gate, connect):
    """A connection whose header stays half does not outlive the moment, though another one has a request in work."""
    server = start(APP, "--graceful-timeout", 60)
    half = connect(server, halves(server, "header")[0])
    read_all(half, server)
    running, visitor = hold(server, gate)
    server.signal(signal.SIGTERM)
    assert half.at_eof()
    visitor.release()
    assert running.read_response(1).body == b"passed\n"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("what", ["begin", "header", "body"])
def test_rest_of_a_request(start, connect, what):
    """What comes in time is served, here as soon as the stop has begun."""
    server = start(APP)
    first, rest = halves(server, what)
    connection = connect(server, first)
    read_all(connection, server)
    freeze(server)
    server.signal(signal.SIGTERM)
    connection.send(rest)
    server.signal(signal.SIGCONT)
    response = connection.read_response(1)
    assert response.status == 200 and response.body == b"1234567890"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("kind", ["new", "unused", "kept"])
def test_requests_that_are_in_the_sockets(start, connect, kind):
    """They are served, whatever the connection has done before."""
    server = start(APP)
    made = [] if kind == "new" else [connect(server) for _ in range(20)]
    accepted(server)
    if kind == "kept":
        assert [connection.ask("/hello").status for connection in made] == [200] * 20
    freeze(server)
    made = made or [connect(server) for _ in range(20)]
    for number, connection in enumerate(made):
        connection.send(request(params("/hello"), keep=number % 2 == 0))
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    for connection in made:
        assert connection.read_response(1).body == b"Hello, world\n"
        assert connection.at_eof()
    assert server.wait_exit() == 0


def test_request_that_is_on_its_way(start, connect):
    """A proxy has just connected when the server stops: its request comes a moment later."""
    for _ in range(20):
        server = start(APP)
        freeze(server)
        connection = connect(server)
        server.signal(signal.SIGTERM)
        begun = time.monotonic()
        server.signal(signal.SIGCONT)
        until(lambda: refuses(server), "new connections to be refused", server.log)
        try:
            connection.send(request(params("/hello"), keep=True))
        except OSError:
            pass
        in_time = time.monotonic() - begun < 0.05  # else this machine was busy, and it is no wonder when nobody answers
        if in_time:
            assert connection.read_response(1).body == b"Hello, world\n"
        assert server.wait_exit() == 0
        if in_time:
            return
    raise AssertionError("no try was quick enough to tell anything")


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_idle_connections(start, connect, many_files):
    server = start(APP)
    for number in range(4000):
        connection = connect(server)
        if number % 2:
            assert connection.ask("/hello").status == 200
    ends_within(server, 4)


@pytest.mark.parametrize("more", ids=["request", "nonsense", "long"], argvalues=[b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", b"x" * 70000, b"G" * 1000000])
def test_client_that_stays(start, gate, connect, more):
    """It has sent more than is answered, and does not end its side: all that is waited for is that it gets its answer."""
    server = start(APP)
    connection, visitor = hold(server, gate, keep=True)
    connection.sock.setblocking(False)
    try:
        connection.sock.send(more if server.speaks_http else request(params("/hello"), keep=True) * 20)
    except BlockingIOError:
        pass
    connection.sock.settimeout(fcgi.PATIENCE)
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    before = time.monotonic()
    assert server.wait_exit() == 0
    assert time.monotonic() - before < 2.5, server.log()
    connection.close()
