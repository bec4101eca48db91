"""Peers that send no more of a body once they have the head of the answer, as nginx does, or never read what is behind the
end of a request: whoever waits for whom, the answer comes to its end, and is not lost."""
import json
import select
import socket
from urllib.parse import quote

import pytest

import daemon as daemons
import fcgi
from conftest import check_structure
from fcgi import begin, pairs, params, record, request, stream
from test_faults import Footprint
from test_fcgi import good
from test_peers import settle
from test_wsgi import tokens

MIB = 1 << 20
LIMIT = 4 * MIB
START = 65536  # bytes of a body with which the application is started


def start(*options):
    """A server, and the addresses of its sockets by family. Nothing in it times out while a test waits."""
    server = daemons.Daemon("faultapp", "-s", "127.0.0.1:0", "--limit-request-body", LIMIT, "--idle-timeout", 600,
                            "--log-level", "debug", *options)
    port = int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    yield server, {"unix": server.path, "tcp": ("127.0.0.1", port)}
    server.stop()


def connect(served, family):
    """A connection that is asked and then falls silent."""
    server, addresses = served
    before = Footprint(server)
    with server.connect(addresses[family]) as connection:
        yield connection
    before.same()


@pytest.fixture(scope="module")
def served():
    yield from start()


@pytest.fixture(params=["unix", "tcp"])
def link(served, request):
    yield from connect(served, request.param)


@pytest.fixture(scope="module")
def streaming():
    yield from start("--stream-body")


@pytest.fixture(params=["unix", "tcp"])
def streaming_link(streaming, request):
    """The same, where a body whose length nobody knows is not waited for."""
    yield from connect(streaming, request.param)


def spec(status, *headers):
    return "/respond", "spec=" + quote(json.dumps({"status": status, "headers": headers, "chunks": ["the body"]}))


TEXT = ["Content-Type", "text/plain"]
# Path, query, and the status and the body that come.
ANSWERS = {
    "200": ("/hello", "", 200, b"Hello, world\n"),
    "302": (*spec("302 Found", ["Location", "http://www.example.org/"], TEXT), 302, b"the body"),
    "401": (*spec("401 Unauthorized", ["WWW-Authenticate", "Basic realm=x"], TEXT), 401, b"the body"),
    "403": (*spec("403 Forbidden", TEXT), 403, b"the body"),
    "500": ("/raise-before", "", 500, None),
    "streamed": ("/big", "mib=1&token=silent", 200, None),
    "413": ("/echo", "", 413, None),
}


def upload(connection, path, query="", id=1, keep=True, length=None, sent=START):
    """The head of a POST, and so much of its body."""
    given = params(path, "POST", query, CONTENT_LENGTH="" if length is None else str(length))
    connection.send(begin(id, keep=keep), stream(fcgi.PARAMS, id, pairs(given)),
                    stream(fcgi.STDIN, id, b"x" * sent, end=False))


def check_whole_answer(link, name, keep, length):
    """It comes to its end, and so does the connection, with no reset."""
    path, query, status, body = ANSWERS[name]
    announced = (20 * MIB if name == "413" else 3 * MIB) if length else None
    sent = START if name != "413" else 0 if length else LIMIT + 1
    upload(link, path, query, keep=keep, length=announced, sent=sent)
    response = check_structure(link.read_response(1))
    assert response.status == status and body in (None, response.body)
    if name == "streamed":
        assert len(response.body) == MIB
    link.send(record(fcgi.STDIN, 1, b"late"))
    assert link.sock.recv(1) == b""
    link.send(record(fcgi.STDIN, 1, b"late"))
    assert select.select([link.sock], [], [], 0)[0] and link.sock.recv(1) == b"", "not a reset"


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not-kept"])
@pytest.mark.parametrize("name", ANSWERS)
def test_whole_answer(link, name, keep):
    check_whole_answer(link, name, keep, length=True)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not-kept"])
@pytest.mark.parametrize("name", ANSWERS)
def test_whole_answer_to_a_body_without_a_length(streaming_link, name, keep):
    check_whole_answer(streaming_link, name, keep, length=False)


def test_silence_to_the_end(link):
    """A peer that sends nothing any more sees the end of both sides, where it may have begun another request."""
    upload(link, "/hello", length=3 * MIB)
    good(link.read_response(1))
    assert link.sock.recv(1) == b""
    poll = select.poll()
    poll.register(link.sock, select.POLLHUP if link.sock.family == socket.AF_UNIX else select.POLLRDHUP)
    assert poll.poll(0)


@pytest.mark.parametrize("refusal", ["params", "malformed", "short"])
def test_refused_by_the_server(link, refusal):
    given = params("/hello", "POST", CONTENT_LENGTH=str(3 * MIB))
    if refusal == "params":
        given["HTTP_X_LARGE"] = "x" * 200000
    content = pairs(given) + (b"\x7f" if refusal == "malformed" else b"")
    link.send(begin(1, keep=True), stream(fcgi.PARAMS, 1, content), stream(fcgi.STDIN, 1, b"x" * 1000, end=refusal == "short"))
    response = check_structure(link.read_response(1))
    assert response.status == {"params": 431, "malformed": 400, "short": 400}[refusal]
    if refusal == "short":
        good(link.ask("/hello"))
    else:
        assert link.sock.recv(1) == b""


def test_others_on_the_connection(served, link, gate):
    """They go on to their ends; late records of the ended request are ignored, its id may be used again."""
    link.send(request(params("/gate", query="gate=" + gate.path), id=9, keep=True))
    busy = gate.arrived()
    upload(link, "/hello", length=3 * MIB)
    good(link.read_response(1))
    link.send(stream(fcgi.STDIN, 1, b"x" * 100000))
    good(link.ask("/echo", "POST", body=b"again", id=1), b"again")
    upload(link, "/hello", length=3 * MIB)
    good(link.read_response(1))
    good(link.ask("/echo", "POST", body=b"other", id=2), b"other")
    busy.release()
    good(link.read_response(9), b"passed\n")
    assert link.sock.recv(1) == b""


def test_many_at_a_time(link):
    ids = range(1, 40)
    for id in ids:
        upload(link, "/hello", id=id, length=3 * MIB)
    for id in ids:
        good(link.read_response(id))
    assert link.sock.recv(1) == b""


def test_large_answer_that_is_read_late(served, link):
    """What waits for the peer, it does not have yet: nothing of it is lost, whenever it is read."""
    server, _ = served
    token = next(tokens)
    upload(link, "/big", "mib=20&token=" + token, length=3 * MIB)
    assert select.select([link.sock], [], [], fcgi.PATIENCE)[0]
    settle(server)
    response = check_structure(link.read_response(1))
    assert len(response.body) == 20 * MIB
    assert link.sock.recv(1) == b""


# --- clients that write something behind the end of their request

def wait_for_end(sock):
    """Until the server has ended its side, of which nothing is read."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    assert poll.poll(fcgi.PATIENCE * 1000), "the server does not end"


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_one_more_record(served, family):
    """flup ends every request with an empty FCGI_DATA; others write a request in many pieces: none loses its answer."""
    server, addresses = served
    before = Footprint(server)
    whole = request(params("/hello"))
    lost = 0
    for _ in range(2000):
        with server.connect(addresses[family]) as connection:
            connection.send(whole)
            wait_for_end(connection.sock)
            try:
                connection.send(record(fcgi.DATA, 1))
                connection.send(record(fcgi.DATA, 1))
                good(connection.read_response(1))
                assert connection.sock.recv(1) == b"", "an end, and no reset"
            except (BrokenPipeError, ConnectionResetError):
                lost += 1
    assert lost == 0
    before.same()


@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize("end", ["role", "refused", "error", "broken", "abort"])
def test_one_more_record_after_other_ends(served, family, end):
    server, addresses = served
    with server.connect(addresses[family]) as connection:
        if end == "role":
            connection.send(begin(1, 7))
        elif end == "abort":
            connection.send(begin(1), record(fcgi.ABORT_REQUEST, 1))
        else:
            path, length = {"refused": ("/hello", 20 * MIB), "error": ("/raise-before", None),
                            "broken": ("/raise-mid", None)}[end]
            query = "token=" + next(tokens)
            connection.send(request(params(path, "POST", query, CONTENT_LENGTH="" if length is None else str(length))))
        wait_for_end(connection.sock)
        connection.send(record(fcgi.STDIN, 1, b"x"))
        connection.send(record(fcgi.STDIN, 1))
        response = connection.read_response(1)
        assert response.broken == (end == "broken")
        assert end == "abort" or response.records


def test_peer_that_stays(served):
    """Its descriptor is not held for long, and not by one who goes on writing either."""
    server, addresses = served
    before = Footprint(server)
    with server.connect(addresses["unix"]) as connection:
        good(connection.ask("/hello", keep=False))
        poll = select.poll()
        poll.register(connection.sock, select.POLLHUP)
        assert poll.poll(fcgi.PATIENCE * 1000), "both sides are closed"
        server.wait_log("the peer did not end its side in time")
        before.same()


def test_peers_that_stay_are_in_nobodys_way(start):
    """At --max-connections they go first: their answers are out."""
    server = start("faultapp", "--max-connections", 10)
    peers = []
    try:
        for _ in range(200):
            peers.append(server.connect())
            peers[-1].send(request(params("/hello")))
            good(peers[-1].read_response(1))
    finally:
        for peer in peers:
            peer.close()
    assert "are open (--max-connections)" not in server.log()


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_pieces(served, family):
    """A request that is written byte by byte, to its last one."""
    server, addresses = served
    whole = request(params("/hello"))
    for _ in range(20):
        with server.connect(addresses[family]) as connection:
            if family == "tcp":
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(len(whole)):
                connection.send(whole[at:at + 1])
            good(connection.read_response(1))
            assert connection.sock.recv(1) == b""
