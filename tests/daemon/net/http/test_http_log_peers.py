"""The same as test_log_peers.py over HTTP, where the peer may be the client, or a proxy that says who that is."""
import pytest

from test_log_peers import CLIENT, banned, line, hold, finish
from fcgi import params, request

H = b"Host: a\r\n"
LARGE = b"POST /app/echo HTTP/1.1\r\n" + H + b"Content-Length: 2000\r\n%s\r\n"


@pytest.fixture
def serve(start):
    def starter(*options):
        server = start("wsgiapp", "--limit-request-body", "1K", "--limit-params", "4K", "--script-name", "/app", *options,
                       socket="127.0.0.1:0", protocol="http", wait=False)
        server.address = ("127.0.0.1", int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+) \(HTTP\)").group(1)))
        server.only_http = True
        return server
    return starter


def asked(server, *data, status):
    """Returns the name of the peer."""
    with server.connect() as connection:
        name = "127.0.0.1:%d" % connection.sock.getsockname()[1]
        connection.send(*data)
        response = connection.read_response()
    assert response.status == status, response
    return "peer " + name


def test_status_by_status(serve):
    server = serve("--header-timeout", 1)
    for data, status, text in [
            (LARGE % b"", 413, "--limit-request-body: POST /app/echo"),
            (b"GET /" + b"x" * 5000, 414, "--limit-params"),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 5000, 431, "--limit-params"),
            (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
            (b"GET /pear HTTP/1.1\r\n" + H + b"\r\n", 404, "--script-name: GET /pear"),
            (b"GET / HTTP/1.1\r\n" + H, 408, "--header-timeout")]:
        peer = asked(server, data, status=status)
        line(server, status, r"client 127\.0\.0\.1, " + peer, text)
    assert banned(server.log()) == ["127.0.0.1"] * 5


def test_trusted_proxy(serve):
    """Where a head is not whole, or malformed, nobody knows the client, and the proxy is not to be banned."""
    server = serve("--forwarded-allow", "127.0.0.1")
    said = b"X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n"
    peer = asked(server, LARGE % said, status=413)
    line(server, 413, r"client 203\.0\.113\.9, " + peer, "--limit-request-body: POST /app/echo")
    peer = asked(server, b"GET / HTTP/1.1\r\n" + said + b"\r\n", status=400)
    line(server, 400, peer)
    peer = asked(server, b"GET / HTTP/1.1\r\n" + said + b"X: " + b"x" * 5000, status=431)
    line(server, 431, peer)
    assert banned(server.log()) == [CLIENT]


def test_proxy_header(serve):
    """It says who the peer of a proxy is; that on the wire stays the peer."""
    server = serve("--forwarded-allow", "127.0.0.1", "--proxy-protocol")
    peer = asked(server, b"PROXY TCP4 203.0.113.9 192.0.2.2 1 2\r\n", LARGE % b"", status=413)
    line(server, 413, r"client 203\.0\.113\.9, " + peer)
    peer = asked(server, b"PROXY TCP4 203.0.113.9 192.0.2.2 1 2\r\n", b"GET / HTTP/1.1\r\n\r\n", status=400)
    line(server, 400, r"client 203\.0\.113\.9, " + peer)
    with server.connect() as connection:
        peer = "peer 127.0.0.1:%d" % connection.sock.getsockname()[1]
        connection.send(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.at_eof()
    server.wait_log(r"connection \d+: it does not begin with a PROXY header[^\n]* \(%s\)\n" % peer)


def test_overload(serve, gate):
    server = serve("-t", 1, "--queue-limit", 1, "--queue-timeout", 0)
    held = hold(server, gate, "/app/gate")
    with server.connect() as waits:
        waits.send(request(params("/app/hello")))
        waits.get_values()
        peer = asked(server, request(params("/app/hello")), status=503)
        line(server, 503, r"client 127\.0\.0\.1, " + peer, "--queue-limit [^\\n]*: GET /app/hello")
        finish(*held)
