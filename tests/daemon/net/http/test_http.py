"""HTTP/1.1 as a client sees it, byte for byte (RFC 9112)."""
import json
import re
import select
import signal
import socket
import time

import pytest

import rawhttp
from daemon import SANITIZED, traced, until
from fcgi import params, request
from test_fcgi import good
from test_paths import own_name
from test_wsgi import spec, tokens

HELLO = b"Hello, world\n"
GET = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def protocol():
    return "http"


def head(*lines, path="/hello", method="GET", version="1.1", host=True):
    lines = ["%s %s HTTP/%s" % (method, path, version)] + ["Host: localhost"] * host + list(lines)
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


def exchange(server, *data, method="GET"):
    """The answer to the bytes, on a connection of their own."""
    with server.connect() as connection:
        connection.methods.append(method)
        connection.send(*data)
        return connection.read_response()


def environ_of(server, *data):
    response = exchange(server, *data)
    assert response.status == 200, response
    return {key: value for key, (kind, value) in json.loads(response.body).items()}


# --- connections (RFC 9112, 9)

def test_kept_connection(server):
    with server.connect() as connection:
        for number in range(50):
            body = b"body %d" % number
            connection.send(head("Content-Length: %d" % len(body), path="/echo", method="POST"), body)
            response = connection.read_response().check()
            assert response.body == body and response.header("Connection") == []


def test_close(server):
    with server.connect() as connection:
        connection.send(head("Connection: close"))
        response = connection.read_response().check()
        assert response.header("Connection") == ["close"] and connection.at_eof()


@pytest.mark.parametrize("count", [2, 20, 3000])
def test_pipelining(server, count):
    """Answers come in the order of the requests, however many are sent at once."""
    with server.connect() as connection:
        requests = [head("Content-Length: 5", path="/echo", method="POST") + b"%05d" % n for n in range(count)]
        connection.send(b"".join(requests))
        for number in range(count):
            assert connection.read_response().check().body == b"%05d" % number


def test_pipelined_behind_one_that_waits(server, gate):
    """What comes behind it is not started; the connection is not read beyond a bound, and nothing is lost."""
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        connection.sock.settimeout(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 1 << 26:
                sent += connection.sock.send(GET * 1000)
        connection.sock.settimeout(30)
        memory = server.rss()
        visitor.release()
        good(connection.read_response(), b"passed\n")
        for _ in range(sent // len(GET)):
            assert connection.read_response().body == HELLO
        assert server.rss() - memory < (400 if SANITIZED else 40) << 20


def test_large_head_behind_one_that_waits(server, gate):
    """What of it comes too early waits, and the rest is read once it is its turn."""
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        large = GET[:-2] + b"X-Large: " + b"x" * 110000 + b"\r\n\r\n"
        connection.send(large[:80000])
        for _ in range(2):
            good(server.ask("/hello"), HELLO)  # it has read what it reads by now
        visitor.release()
        good(connection.read_response(), b"passed\n")
        connection.send(large[80000:])
        assert connection.read_response().body == HELLO


def test_pipelined_requests_of_a_slow_reader(start):
    """All are answered, in order, however late the client reads, and also when it has ended its side."""
    server = start("wsgiapp")
    count = 20000
    with server.connect() as connection:
        connection.sock.settimeout(0.5)
        data, sent = GET * count, 0
        with pytest.raises(TimeoutError):
            while sent < len(data):
                sent += connection.sock.send(data[sent:sent + 65536])
        whole = sent // len(GET)
        assert 100 < whole < count
        connection.sock.settimeout(30)
        connection.sock.shutdown(socket.SHUT_WR)
        for _ in range(whole):
            assert connection.read_response().check().body == HELLO
        assert connection.at_eof()


def test_byte_by_byte(server):
    """Two requests, one byte at a time: the last one of each makes the answer."""
    body = b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"
    data = head("Transfer-Encoding: chunked", path="/echo", method="POST") + body + GET
    with server.connect() as connection:
        for position in range(len(data)):
            connection.send(data[position:position + 1])
        assert connection.read_response().check().body == b"hello"
        assert connection.read_response().check().body == HELLO


def test_empty_line_before_a_request(server):
    with server.connect() as connection:
        connection.send(b"\r\n", GET, b"\r\n", GET)
        for _ in range(2):
            assert connection.read_response().check().body == HELLO
        connection.send(b"\r\n\r\n", GET)
        assert connection.read_response().status == 400 and connection.at_eof()


def test_http_1_0(server):
    response = exchange(server, b"GET /hello HTTP/1.0\r\n\r\n")
    assert response.check().body == HELLO and response.header("Connection") == ["close"]
    with server.connect() as connection:
        for _ in range(3):
            connection.send(b"GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            response = connection.read_response().check()
            assert response.body == HELLO and response.header("Connection") == ["keep-alive"]


def test_http_1_0_without_a_length(server):
    """No chunks: the end of the connection is that of the answer, whatever the client would like."""
    query = spec(chunks=["one ", "two"], kind="generator")
    response = exchange(server, head("Connection: keep-alive", path=query, version="1.0"))
    assert response.check().body == b"one two" and response.framing == "close"


def test_keepalive_requests(start):
    server = start("wsgiapp", "--keepalive-requests", 3)
    with server.connect() as connection:
        connection.send(GET * 4)
        closes = [connection.read_response().check().header("Connection") for _ in range(3)]
        assert closes == [[], [], ["close"]] and connection.at_eof()


def test_stop_closes_kept_connections(start, gate):
    server = start("wsgiapp")
    with server.connect() as idle, server.connect() as running:
        running.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        assert idle.ask("/hello").body == HELLO  # later, and so told later
        server.signal(signal.SIGTERM)
        assert idle.at_eof()
        visitor.release()
        response = running.read_response().check()
        assert response.body == b"passed\n" and response.header("Connection") == ["close"]
        assert running.at_eof()
    assert server.wait_exit() == 0


def test_client_that_half_closes(start):
    """That is no going away: what it has asked for is answered."""
    server = start("wsgiapp")
    with server.connect() as connection:
        connection.send(GET * 3)
        connection.sock.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert connection.read_response().check().body == HELLO
        assert connection.at_eof()
    with server.connect() as connection:
        connection.send(head("Content-Length: 10", path="/echo", method="POST"), b"short")
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.read_response().status == 400 and connection.at_eof()


# --- requests

def test_targets(server):
    def parts(*data):
        environ = environ_of(server, *data)
        return [environ[key] for key in ("PATH_INFO", "QUERY_STRING", "REQUEST_URI", "HTTP_HOST", "SERVER_NAME")]
    assert parts(head(path="/environ?a=%20&b")) == ["/environ", "a=%20&b", "/environ?a=%20&b", "localhost", "localhost"]
    assert parts(head(path="/%65nviron?")) == ["/environ", "", "/%65nviron?", "localhost", "localhost"]
    url = "http://example.org:81/environ?q"
    assert parts(head(path=url)) == ["/environ", "q", url, "example.org:81", "example.org"]
    url = "HTTPS://[2001:db8::1]/environ"
    assert parts(head(path=url)) == ["/environ", "", url, "[2001:db8::1]", "[2001:db8::1]"]
    assert environ_of(server, head(path=url))["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("path, decoded", [
    ("/a%20b", "/a b"), ("/caf%C3%A9", "/caf\xc3\xa9"), ("/%2F%2f", "///"), ("/a//b/", "/a//b/"), ("/.././a", "/.././a"),
    ("/%25%32%30", "/%20"), ("/~!$&'()*+,;=:@", "/~!$&'()*+,;=:@"), ("/a|b{c}", "/a|b{c}"), ("//host/x", "//host/x"),
    ("/[]\"<>\\^`{|}", "/[]\"<>\\^`{|}"), ("/\xc3\xa0", "/\xc3\xa0"), ("/%C3\xa0/\xff\x80", "/\xc3\xa0/\xff\x80"),
])
def test_path_is_decoded(start, path, decoded):
    environ = environ_of(start("anypath"), head(path=path))
    assert environ["PATH_INFO"] == decoded and environ["REQUEST_URI"] == path and environ["SCRIPT_NAME"] == ""


def test_bytes_beyond_ascii(start):
    """PEP 3333: native strings with a character for each byte, in the path, the query and the target."""
    environ = environ_of(start("anypath"), head(path="http://b/\xe0?\xc3\xa0=\xff"))
    assert [environ[key] for key in ("PATH_INFO", "QUERY_STRING", "REQUEST_URI", "HTTP_HOST")] == [
        "/\xe0", "\xc3\xa0=\xff", "http://b/\xe0?\xc3\xa0=\xff", "b"]


@pytest.mark.parametrize("method", ["QUERY", "CHECKIN", "UPDATE", "X-OWN", "get", "head", "Post", "PRI", "SOURCE", "!#$%&'*+-.^_`|~"])
def test_any_method(start, method):
    """It is a token that the server does not look at (RFC 9110, 9.1), and its body is what the fields say."""
    server = start("anypath")
    with server.connect() as connection:
        connection.send(head(path="/a", method=method))
        environ = {key: value for key, (kind, value) in json.loads(connection.read_response().check().body).items()}
        assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == (method, "/a")
        for data in (head("Content-Length: 40", path="/a", method=method) + GET[:40],
                     head("Transfer-Encoding: chunked", path="/a", method=method) + b"28\r\n" + GET[:40] + b"\r\n0\r\n\r\n"):
            connection.send(data, GET)
            for expected in (method, "GET"):
                environ = json.loads(connection.read_response().check().body)
                assert environ["REQUEST_METHOD"] == ["str", expected]


@pytest.mark.parametrize("minor", [2, 9])
def test_later_minor_version(start, minor):
    """RFC 9110, 2.5: handled as 1.1, a kept connection and chunks included."""
    server = start("wsgiapp")
    with server.connect() as connection:
        connection.send(head("Transfer-Encoding: chunked", path="/echo", method="POST", version="1.%d" % minor),
                        b"5\r\nhello\r\n0\r\n\r\n")
        assert connection.read_response().check().body == b"hello"
        connection.send(head(path="/environ", version="1.%d" % minor))
        assert json.loads(connection.read_response().check().body)["SERVER_PROTOCOL"] == ["str", "HTTP/1.1"]


def test_options_of_connection_beside_tabs(server):
    response = exchange(server, head("Connection: x,\tclose\t"))
    assert response.check().header("Connection") == ["close"]


def test_script_name(start):
    server = start("anypath", "--script-name", "/app")
    for path, info in (("/app/x", "/x"), ("/app", ""), ("/app/", "/"), ("/%61pp/y", "/y"), ("//app//x", "//x"),
                       ("/x/../app/y", "/y"), ("/app/./z", "/./z"), ("http://localhost/app/x", "/x")):
        environ = environ_of(server, head(path=path))
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/app", info, path)
    environ = environ_of(server, head(path="*", method="OPTIONS"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/app", "", "*")


def test_outside_the_mount_point(start):
    """The server's own 404, after which the connection goes on."""
    server = start("anypath", "--script-name", "/app")
    with server.connect() as connection:
        for path in ("/apple", "/", "/app%6ce", "//apple", "/app/../x", "/app/%2e%2e/x", "http://app/x", "/?/app/"):
            connection.send(head(path=path), head(path="/app/x"))
            response = connection.read_response()
            assert (response.status, response.body) == (404, b"404 Not Found\n"), path
            assert connection.read_response().status == 200, path
    server.wait_log(r"info: connection \d+: request 1: 404 [^\n]*--script-name: GET /apple")


def test_server_software(start):
    environ = environ_of(start("anypath"), head())
    assert environ["SERVER_SOFTWARE"] == own_name() and environ["GATEWAY_INTERFACE"] == "CGI/1.1"


def test_asterisk(start):
    environ = environ_of(start("anypath"), head(path="*", method="OPTIONS"))
    assert (environ["PATH_INFO"], environ["REQUEST_METHOD"]) == ("", "OPTIONS")
    assert environ["REQUEST_URI"] == "*"


def test_headers_become_parameters(server):
    environ = environ_of(server, head(
        "X-One: 1", "x-oNe:  2\t", "Cookie: a=1", "Cookie: b=2", "X-Empty:", "X_Under: evil", "X-Under: good",
        "Content_Length: 5", "Proxy: http://evil", "Accept: caf\xe9", "Content-Type: text/x", "HTTPS: on",
        "Wsgi.input: evil", "Transfer-Encoding: chunked", path="/environ", method="POST"), b"0\r\n\r\n")
    assert environ["HTTP_X_ONE"] == "1, 2" and environ["HTTP_COOKIE"] == "a=1; b=2" and environ["HTTP_X_EMPTY"] == ""
    assert environ["HTTP_X_UNDER"] == "good" and environ["HTTP_ACCEPT"] == "caf\xe9"
    assert environ["CONTENT_TYPE"] == "text/x" and environ["HTTP_HTTPS"] == "on"
    for name in ("HTTP_PROXY", "HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTPS", "FCGI_ROLE",
                 "HTTP_CONTENT_TYPE"):
        assert name not in environ
    assert environ["wsgi.url_scheme"] == "http" and environ["wsgi.input_terminated"] is True


def test_addresses(server, start):
    with server.connect() as connection:
        own = connection.sock.getsockname()
        environ = {key: value for key, (kind, value) in json.loads(connection.ask("/environ").body).items()}
    expected = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": str(own[1]), "SERVER_ADDR": "127.0.0.1",
                "SERVER_PORT": str(server.http_address[1]), "SERVER_NAME": "localhost", "SERVER_PROTOCOL": "HTTP/1.1"}
    assert {key: environ[key] for key in expected} == expected
    environ = environ_of(start("wsgiapp"), b"GET /environ HTTP/1.0\r\n\r\n")
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("", "localhost", "80")
    assert "HTTP_HOST" not in environ and environ["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_requests_of_one_shape(server):
    """Whatever the server remembers of those before: nothing of one is seen in the next."""
    with server.connect() as connection:
        for number in range(200):
            connection.send(head("X-Number: %d" % (number % 7), *(["X-Odd: 1"] * (number % 2)),
                                 path="/environ?" + "q" * (number % 3)))
            environ = {key: value for key, (kind, value) in json.loads(connection.read_response().body).items()}
            assert environ["HTTP_X_NUMBER"] == str(number % 7) and environ["QUERY_STRING"] == "q" * (number % 3)
            assert ("HTTP_X_ODD" in environ) == (number % 2) and "FCGI_ROLE" not in environ


# --- bodies

@pytest.mark.parametrize("size", [1, 3, 1000, 70000])
@pytest.mark.parametrize("total", [0, 1, 65536, 3000000])
def test_chunked_body(server, size, total):
    if total // size > 100000:
        size = 1000
    body = bytes(range(256)) * (total // 256 + 1)
    body = body[:total]
    data = head("Transfer-Encoding: chunked", path="/echo", method="POST")
    with server.connect() as connection:
        connection.send(data, rawhttp.chunked(body, size, b"0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n"), GET)
        assert connection.read_response().check().body == body
        assert connection.read_response().check().body == HELLO


def test_continue(server, gate):
    """Of a body that is read while it comes it is sent when the application first reads, once."""
    body = b"x" * 65537
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", "Content-Length: 65537", path="/hash?gate=" + gate.path, method="POST"))
        visitor = gate.arrived()
        assert not select.select([connection.sock], [], [], 0)[0], "nothing was read yet"
        visitor.release()
        assert connection._read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(body, GET)
        response = connection.read_response().check()
        assert json.loads(response.body)[0] == len(body) and response.interim == []
        assert connection.read_response().check().body == HELLO


@pytest.mark.parametrize("length", ["Content-Length: 5", "Content-Length: 65536", "Transfer-Encoding: chunked"])
def test_continue_at_once(server, length):
    """What is taken whole first is asked for before the application is called."""
    token = next(tokens)
    body = b"x" * int(length.partition(": ")[2]) if "Length" in length else b"x" * 70000
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", length, path="/told?token=" + token, method="POST"))
        assert connection._read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert json.loads(server.ask("/state", query="token=" + token).body)["calls"] == 0
        connection.send(body if "Length" in length else rawhttp.chunked(body), GET)
        response = connection.read_response().check()
        assert json.loads(response.body)[:2] == [str(len(body)), len(body)] and response.interim == []
        assert connection.read_response().check().body == HELLO


def test_peers_that_never_go_on_hold_no_thread(start):
    server = start("wsgiapp", "--threads", "2", "--queue-limit", "1", "--idle-timeout", "1")
    peers = [server.connect() for _ in range(40)]
    for number, peer in enumerate(peers):
        length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 10"
        peer.send(head("Expect: 100-continue", length, path="/echo", method="POST"))
        assert peer._read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    for _ in range(5):
        good(server.ask("/hello"))
    for peer in peers:
        assert peer.read_response().check().status == 408 and peer.at_eof()
        peer.close()


@pytest.mark.parametrize("length", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_continue_when_a_stream_is_read(start, gate, length):
    """With --stream-body the application decides, whatever the length is."""
    server = start("wsgiapp", "--stream-body")
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", length, path="/hash?gate=" + gate.path, method="POST"))
        visitor = gate.arrived()
        assert not select.select([connection.sock], [], [], 0)[0], "nothing was read yet"
        visitor.release()
        assert connection._read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"12345" if "Length" in length else rawhttp.chunked(b"12345"))
        assert json.loads(connection.read_response().check().body)[0] == 5
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", length, path="/hello", method="POST"))
        response = connection.read_response().check()
        assert response.body == HELLO and response.interim == [] and connection.at_eof()


def test_continue_that_nobody_waits_for(server):
    """The body comes at once: the client does not need to be told."""
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", "Content-Length: 5", path="/echo", method="POST"), b"12345")
        response = connection.read_response().check()
        assert response.body == b"12345" and len(response.interim) <= 1


def test_no_continue_when_the_body_is_not_read(server):
    with server.connect() as connection:
        connection.send(head("Expect: 100-continue", "Content-Length: 5000000", path="/hello", method="POST"))
        response = connection.read_response().check()
        assert response.body == HELLO and response.interim == []
        # Nobody knows whether the body will come: the connection cannot be used again.
        assert response.header("Connection") == ["close"] and connection.at_eof()


def test_expectation_of_http_1_0_means_nothing(server):
    data = head("Expect: 100-continue", "Content-Length: 5", path="/echo", method="POST", version="1.0")
    response = exchange(server, data, b"12345")
    assert response.check().body == b"12345" and response.interim == []


@pytest.mark.parametrize("size, kept", [(1000, True), (100000, True), (262144, True), (262145, False), (5000000, False)])
def test_body_that_is_not_read(server, size, kept):
    """A short one is read to its end; a long one ends the connection, and the client gets to its answer."""
    with server.connect() as connection:
        connection.send(head("Content-Length: %d" % size, method="POST"), b"x" * min(size, 1000))
        for position in range(1000, size, 50000):
            connection.send(b"x" * min(50000, size - position))
        response = connection.read_response().check()
        assert response.body == HELLO
        if size <= 65536 or kept:
            assert response.header("Connection") == []
            connection.send(GET)
            assert connection.read_response().check().body == HELLO
        else:
            assert response.header("Connection") == ["close"] and connection.at_eof()


# --- answers

def test_fields_of_the_server(server):
    response = exchange(server, GET)
    assert response.header("Server") == ["wsgi-fcgi"]
    date = time.mktime(time.strptime(response.header("Date")[0], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert abs(date - time.time()) < 30


def test_date_goes_on(server):
    with server.connect() as connection:
        first = connection.ask("/hello").header("Date")
        until(lambda: connection.ask("/hello").header("Date") != first, "the next second", server.log)


@pytest.mark.parametrize("option, sent", [("none", []), ("Other/1.0 (x)", ["Other/1.0 (x)"])])
def test_server_header(start, option, sent):
    assert start("wsgiapp", "--server-header", option).ask("/hello").header("Server") == sent


def test_fields_of_the_application(server):
    headers = [["Date", "Sun, 06 Nov 1994 08:49:37 GMT"], ["server", "its own"]]
    response = exchange(server, head(path=spec(headers=headers, chunks=["x"])))
    assert response.header("Date") == ["Sun, 06 Nov 1994 08:49:37 GMT"] and response.header("Server") == ["its own"]


def test_chunks(server):
    """Each piece leaves as a chunk of its own; the last chunk comes once, at the end."""
    response = exchange(server, head(path=spec(chunks=["one", "", "x" * 20000, "two"], kind="generator")))
    assert response.check().framing == "chunked" and response.header("Content-Length") == []
    assert [len(chunk) for chunk in response.chunks] == [3, 20000, 3]


def test_empty_answers(server):
    for kind in ("list", "generator"):
        response = exchange(server, head(path=spec(chunks=[], kind=kind)))
        assert response.check().header("Content-Length") == ["0"] and response.body == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("length", [None, "0", "5"])
def test_answers_without_a_body(server, status, length):
    """RFC 9110, 8.6: a 204 has no Content-Length, a 304 may have that of the 200."""
    headers = [["X-Before", "1"]] + ([["Content-Length", length]] if length else []) + [["X-After", "2"]]
    with server.connect() as connection:
        connection.send(head(path=spec(status=status, headers=headers, chunks=[])), GET)
        response = connection.read_response().check()
        assert response.header("X-Before") + response.header("X-After") == ["1", "2"]
        assert response.header("Content-Length") == ([length] if length and status[:3] == "304" else [])
        assert connection.read_response().check().body == HELLO


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_head(server, kind):
    with server.connect() as connection:
        connection.methods = ["HEAD", "GET"]
        connection.send(head(path=spec(chunks=["body"], kind=kind), method="HEAD"), GET)
        response = connection.read_response().check()
        assert response.header("Content-Length") == (["4"] if kind == "list" else [])
        assert connection.read_response().check().body == HELLO


def test_status_without_a_reason(server):
    response = exchange(server, head(path=spec(status="299", chunks=["x"])))
    assert response.check().lines[0] == "HTTP/1.1 299 "


def test_cut_answers(server):
    """The client can tell them from whole ones: no last chunk, or fewer bytes than announced."""
    with server.connect() as connection:
        connection.send(head(path="/raise-mid?token=" + next(tokens)))
        response = connection.read_response()
        assert response.status == 200 and response.broken and response.header("Transfer-Encoding") == ["chunked"]
    query = spec(headers=[["Content-Length", "50"]], chunks=["1234", "5678"], kind="generator")
    response = exchange(server, head(path=query))
    assert response.broken and response.body == b"12345678"
    good(server.ask("/hello"))


def test_one_send_for_a_short_answer(start, tmp_path):
    """Head and body leave in one system call, and there is one to read and at most one to wait for each request."""
    server = start("hello")
    trace = tmp_path / "trace"
    with server.connect() as connection:
        connection.ask("/")
        with traced(server, trace, "network,read,write,writev,epoll_ctl"):
            for _ in range(20):
                assert connection.ask("/").body == HELLO
    text = trace.read_text()
    calls = [re.split(r"\s+|\(", line.split(None, 1)[1])[0] for line in text.splitlines() if "(" in line]
    assert calls.count("sendto") == 20 and calls.count("sendmsg") == 0, text
    assert calls.count("epoll_ctl") <= 2, text


def test_both_protocols_at_once(server):
    """The same application in the same process, by either socket."""
    import fcgi
    assert server.ask("/hello").body == fcgi.ask(server.path, "/hello").body == HELLO


def test_it_is_told_what_listens(start):
    server = start("wsgiapp")
    server.wait_log(re.escape("listening on %s (HTTP)" % server.path))
