"""Streaming, breaks, clients that go away, kept connections, many requests, restarts: behind each proxy."""
import http.client
import os
import shutil
import signal
import socket
import tempfile
import threading
from urllib.parse import quote

import pytest

import fcgi
from bench import Bench
from daemon import until
from deviations import expected

# Seconds in which something is shown not to happen.
MOMENT = 0.5


def test_streaming(bench, gate):
    response = bench.open("/stream?count=4&gate=" + quote(gate.path))
    try:
        assert response.status == 200
        gate.check_stream(response, 4)
    finally:
        response.hang_up()


# --- what goes wrong

@pytest.mark.parametrize("route", ["raise-before", "raise-after-start", "raise-first?token=first"])
def test_error_before_headers(bench, route):
    for number in range(2):
        response = bench.ask("/" + route, keep=True)
        assert response.status == 500 and response.body and not response.cut
        assert b"Traceback" not in response.body
    assert bench.ask("/hello").status == 200


@pytest.mark.parametrize("length", [False, True], ids=["chunked", "length"])
def test_error_in_the_body(breaking, length):
    """The application raises when a part of its answer is out: what the client can tell."""
    bench = breaking
    case = "break with a length" if length else "break"
    right = expected(case, bench, "cut")
    right = right if isinstance(right, set) else {right}
    try:
        response = bench.open("/raise-mid?token=mid" + "&length=100" * length, keep=True)
        if "waits" in right:
            response.sock.settimeout(MOMENT)
        try:
            result = bench.proxy.read(response)
            if result.status == 502:
                seen = "cut"  # the proxy got the part and the end of the connection at once, and says so itself
            else:
                seen = "cut" if result.cut else "whole"
                assert result.body in (b"first part\n", None)
        except TimeoutError:
            seen = "waits"
        response.hang_up()
    except ConnectionError:
        seen = "cut"  # even before the headers
    assert seen in right
    right = expected("request after a break", bench, {200})
    until(lambda: check_in(bench.ask("/hello").status, right) == 200, "an answer after the break")


def check_in(status, right):
    assert status in right
    return status


def test_client_gone_silently(bench, gate):
    """The client goes away while the application makes no output; environ['wsgi_fcgi.client_connected'] tells."""
    connection = bench.proxy.connection()
    connection.request("GET", "/waits?gate=" + quote(gate.path))
    visitor = gate.arrived(connection.sock)
    assert visitor.text == "waiting"
    connection.close()
    right = expected("client gone", bench, {"gone"})
    if "silence" in right:
        visitor.sock.settimeout(MOMENT)
    try:
        assert visitor.line() in right
    except TimeoutError:
        assert "silence" in right
        visitor.release()
    assert bench.ask("/hello").status == 200


def test_client_gone_while_sending(bench, gate):
    """The client goes away in the middle of an answer: the application is stopped, and close() called."""
    response = bench.open("/endless?gate=" + quote(gate.path))
    assert response.read(100000) == b"x" * 100000
    response.hang_up()
    assert gate.arrived().text == "close"
    assert bench.ask("/hello").status == 200


# --- connections between the proxy and the server

# Per variant: whether connections are kept, and how many of them ten requests one after the other need.
CONNECTIONS = {
    "nginx": (False, 10), "nginx-kept": (True, 1), "nginx-unbuffered": (True, 1), "caddy": (False, 10),
    "apache": (False, 10), "apache-kept": (True, 1), "lighttpd": (False, 10), "lighttpd-streaming": (False, 10),
    "haproxy": (True, 1), "haproxy-mpxs": (True, 1), "h2o": (False, 10), "h2o-kept": (True, 1),
}


def test_connections(relayed):
    relayed.relay.reset()
    connection = relayed.proxy.connection()
    for number in range(10):
        connection.request("POST", "/echo", b"%d" % number)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"%d" % number)
        if response.will_close:
            connection.sock = relayed.proxy.connect()
    connection.close()
    kept, count = CONNECTIONS[relayed.variant]
    links = [link for link in relayed.relay.links if link.begun]
    assert sum(len(link.begun) for link in links) == 10
    assert {keep for link in links for id, keep in link.begun} == {kept}
    assert len(links) == count
    ids = [id for link in links for id, keep in link.begun]
    assert len(set(ids)) == (10 if relayed.kind == "haproxy" else 1)


def test_first_record(relayed):
    """HAProxy's get-values asks GET_VALUES first; nobody else does."""
    relayed.ask("/hello")
    first = fcgi.GET_VALUES if relayed.variant == "haproxy-mpxs" else fcgi.BEGIN_REQUEST
    assert {link.first for link in relayed.relay.links if link.first} == {first}


def test_multiplexing(relayed, gate):
    """Five requests that all wait for the gate: on one connection where the proxy multiplexes."""
    relayed.relay.reset()
    connections = [relayed.proxy.connection() for number in range(5)]
    try:
        for number, connection in enumerate(connections):
            connection.request("GET", "/gate?token=%d&gate=%s" % (number, quote(gate.path)))
        visitors = [gate.arrived() for connection in connections]
        assert {visitor.text for visitor in visitors} == {"0", "1", "2", "3", "4"}
        for visitor in reversed(visitors):
            visitor.release()
        for connection in connections:
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"passed\n")
    finally:
        for connection in connections:
            connection.close()
    if relayed.variant == "haproxy-mpxs":
        assert max(link.most_open for link in relayed.relay.links) > 1
    else:
        assert {link.most_open for link in relayed.relay.links if link.begun} == {1}


def burst(bench, clients=300):
    """So many clients at a time, each with an answer of its own. Returns the statuses that came."""
    seen = set()
    sockets = [bench.proxy.connect() for number in range(clients)]
    try:
        for number, sock in enumerate(sockets):
            body = b"client %d " % number * 50
            sock.sendall(b"POST /slow-echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        for number, sock in enumerate(sockets):
            with sock.makefile("rb") as file:
                answer = file.read()
            status = int(answer.split()[1])
            assert status != 200 or b"client %d " % number * 50 in answer, answer
            assert status != 500 or OWN_500 in answer, answer
            seen.add(status)
    finally:
        for sock in sockets:
            sock.close()
    return seen


# The page of HAProxy, which is not that of the server.
OWN_500 = b"<h1>500 Internal Server Error</h1>\nAn internal server error occurred.\n"


def test_300_requests(bench):
    """Three rounds of three hundred: the later ones find connections that are kept."""
    right = expected("300 requests", bench, {200})
    for turn in range(3):
        seen = burst(bench)
        assert 200 in seen and seen <= right


# --- a restart

# What a client gets while nothing listens: a status, or None where the proxy waits for the server to come back.
BETWEEN = {"nginx": 502, "caddy": None, "apache": 503, "lighttpd": 503, "haproxy": 503, "h2o": 503}


class Load:
    """Clients that ask without a pause until they are told to stop."""

    def __init__(self, proxy, log, count=8):
        self.proxy, self.log = proxy, log
        self.answers = {}       # id -> (status, body)
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask(self, number):
        turn = 0
        while not self.ending.is_set():
            turn += 1
            id = "%d-%d" % (number, turn)
            try:
                response = self.proxy.ask("/counted?id=%s&log=%s" % (id, quote(self.log)))
                self.answers[id] = response.status, response.body
            except (OSError, http.client.HTTPException) as error:
                self.answers[id] = 0, repr(error).encode()

    def served_by(self, pid):
        return sum(status == 200 and body.endswith(b" %d" % pid) for status, body in list(self.answers.values()))

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture(params=CONNECTIONS)
def restartable(request):
    directory = tempfile.mkdtemp(prefix="wsgi-fcgi-restart.")
    os.chmod(directory, 0o755)
    bench = Bench(request.param, socket_path=os.path.join(directory, "app.sock"))
    bench.dir = directory
    yield bench
    try:
        bench.close()
    finally:
        shutil.rmtree(directory)


def test_restart(restartable, gate):
    """The server gets SIGTERM under load and while requests run, and another one starts on the same socket."""
    bench, old = restartable, restartable.server
    log = os.path.join(bench.dir, "log")
    open(log, "w").close()
    running = [bench.proxy.connection() for number in range(4)]
    for number, connection in enumerate(running):
        connection.request("GET", "/counted?id=running-%d&log=%s&gate=%s" % (number, quote(log), quote(gate.path)))
    visitors = [gate.arrived() for connection in running]
    load = Load(bench.proxy, log)
    try:
        until(lambda: load.served_by(old.pid) > 50, "answers of the old server")
        old.signal(signal.SIGTERM)
        until(lambda: not listens(bench.socket_path), "the old server to stop listening")
        waiting = []
        if BETWEEN[bench.kind]:
            first = expected("first request after a stop", bench, {BETWEEN[bench.kind]})
            assert bench.ask("/hello").status in first
        else:
            threading.Thread(target=lambda: waiting.append(bench.ask("/hello").status)).start()
        new = bench.start_server()
        until(lambda: load.served_by(new.pid) > 50, "answers of the new server", new.log)
        if not BETWEEN[bench.kind]:
            until(lambda: waiting, "the request that waited")
            assert waiting == [200]
        assert old.process.poll() is None, "its requests still run"
        for visitor in visitors:
            visitor.release()
        for number, connection in enumerate(running):
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"running-%d %d" % (number, old.pid))
            connection.close()
        assert old.wait_exit() == 0
        response = bench.ask("/counted?id=last&log=" + quote(log))
        assert (response.status, response.body) == (200, b"last %d" % new.pid)
        assert listens(bench.socket_path), "the old server left the new one's socket alone"
    finally:
        load.end()
    with open(log) as file:
        reached = {line.strip() for line in file} - {"last"} - {"running-%d" % number for number in range(4)}
    lost = {id: load.answers[id] for id in reached if load.answers[id][0] != 200}
    assert not lost, "requests that reached the application and have no answer"
    assert all(body.startswith(id.encode() + b" ") for id, (status, body) in load.answers.items() if status == 200)
    others = {status for status, body in load.answers.values()} - {200} - expected("300 requests", bench, {200})
    # A request may go out on a kept connection in the moment the server closes it: it did not reach the application.
    assert others <= {BETWEEN[bench.kind]} | ({502, 503} if CONNECTIONS[bench.variant][0] else set()), others


def listens(path):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
            return True
        except (ConnectionRefusedError, FileNotFoundError):
            return False


# --- --keepalive-requests

def test_connections_that_end_after_some_requests():
    """nginx sends again what it sent on a connection that was about to end: no client notices."""
    bench = Bench("nginx-kept", "--keepalive-requests", "3", relayed=True)
    try:
        for number in range(30):
            response = bench.ask("/hello")
            assert (response.status, response.body) == (200, b"Hello, world\n")
        assert burst(bench, 50) == {200}
        answers = [link.ended for link in bench.relay.links]
        assert max(answers) == 3 and sum(answers) == 80
    finally:
        bench.close()
