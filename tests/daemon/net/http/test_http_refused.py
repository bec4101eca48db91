"""Which requests over HTTP are served, and which are refused with what: grammar, framing, limits, time."""
import re
import select

import pytest

import rawhttp
from daemon import LABEL, run, until
from fcgi import params, request
from test_faults import Footprint
from test_fcgi import good
from test_http import GET, HELLO, exchange, head, protocol  # noqa: F401

APP = "faultapp"
H = b"Host: a\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + H
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def get(lines=b"", target=b"/hello", version=b"HTTP/1.1", host=H):
    return b"GET " + target + b" " + version + b"\r\n" + host + lines + b"\r\n"


# The bytes of a request, and the status of its answer. All that is refused ends its connection.
SERVED = {
    "get": (get(), 200),
    "http 1.0": (get(version=b"HTTP/1.0", host=b""), 200),
    "empty host": (get(host=b"Host:\r\n"), 200),
    "host with port": (get(host=b"Host: a.example:8080\r\n"), 200),
    "host ipv6": (get(host=b"Host: [::1]:80\r\n"), 200),
    "all characters of a name": (get(b"!#$%&'*+-.^`|~09azAZ: x\r\n"), 200),
    "bytes of a value": (get(b"X: \t \x80\xff\"(),/:;<=>?@[\\]{} \t\r\n"), 200),
    "no space behind the colon": (get(b"X:y\r\n"), 200),
    "absolute": (get(target=b"http://b/hello"), 200),
    "empty line before": (b"\r\n" + get(), 200),
    "query of all sorts": (get(target=b"/hello?a=/?:@!$&'()*+,;=%00|\"<>[]{}^`\\"), 200),
    "length": (POST + b"Content-Length: 3\r\n\r\nabc", 200),
    "length with zeros": (POST + b"Content-Length: 003\r\n\r\nabc", 200),
    "post without a length": (POST + b"\r\n", 200),
    "chunked": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", 200),
    "chunked in capitals": (POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
    "chunk sizes in hexadecimal": (CHUNKED + b"00B\r\nabcdefghijk\r\n0\r\n\r\n", 200),
    "chunk extension": (CHUNKED + b"3;name=value\r\nabc\r\n0;last\r\n\r\n", 200),
    "trailers": (CHUNKED + b"3\r\nabc\r\n0\r\nX: y\r\nZ: w\r\n\r\n", 200),
    "upgrade that is not taken": (get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), 200),
    "propfind": (b"PROPFIND /hello HTTP/1.1\r\n" + H + b"\r\n", 200),
    "unregistered method": (b"BREW /hello HTTP/1.1\r\n" + H + b"\r\n", 200),
    "method in small letters": (b"get /hello HTTP/1.1\r\n" + H + b"\r\n", 200),
    "method of all characters": (b"!#$%&'*+-.^_`|~09azAZ /hello HTTP/1.1\r\n" + H + b"\r\n", 200),
    "method of another protocol": (b"DESCRIBE /hello HTTP/1.1\r\n" + H + b"\r\n", 200),
    "version 1.2": (get(version=b"HTTP/1.2"), 200),
    "version 1.9": (get(version=b"HTTP/1.9"), 200),
    "raw bytes in a query": (get(target=b"/hello?\xc3\xa0\x80\xff"), 200),
    "host with the highest port": (get(host=b"Host: a:65535\r\n"), 200),
    "tabs around a length": (POST + b"Content-Length:\t3\t\r\n\r\nabc", 200),
    "blanks around a length": (POST + b"Content-Length: \t 3 \t \r\n\r\nabc", 200),
    "tabs around a coding": (POST + b"Transfer-Encoding:\tchunked\t\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
    "chunk extensions": (CHUNKED + b"3;a=b;c=d;e\r\nabc\r\n0;f\r\n\r\n", 200),
    "blanks in chunk extensions": (CHUNKED + b"3 ; a = b\t;\tc\r\nabc\r\n0 ;d\r\n\r\n", 200),
    "quoted pairs in chunk extensions": (CHUNKED + b'3;a="\\"\\\\";b=";\t\xff"\r\nabc\r\n0\r\n\r\n', 200),
}

REFUSED = {
    # Two lengths, or one that two programs may read in two ways: the ground for request smuggling (RFC 9112, 11.2).
    "length and chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two lengths that differ": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "two lengths that agree": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length with sign": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "length in hexadecimal": (POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length with space": (POST + b"Content-Length: 3 3\r\n\r\nabc", 400),
    "length beyond 63 bits": (POST + b"Content-Length: 9223372036854775808\r\n\r\n", 400),
    "length beyond 64 bits": (POST + b"Content-Length: 18446744073709551619\r\n\r\nabc", 400),
    "empty length": (POST + b"Content-Length:\r\n\r\n", 400),
    "folded length": (POST + b"Content-Length:\r\n 3\r\n\r\nabc", 400),
    "space before the colon of length": (POST + b"Content-Length : 3\r\n\r\nabc", 400),
    "tab before the colon of coding": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    "space before the colon of coding": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "coding with a suffix": (POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 400),
    "coding in quotes": (POST + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    "coding behind a control character": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "coding identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, chunked": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "identity and chunked": (POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked in http 1.0": (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "empty coding": (POST + b"Transfer-Encoding:\r\n\r\n", 400),
    # Lines.
    "bare LF behind the request line": (b"GET /hello HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare LF behind a field": (b"GET /hello HTTP/1.1\r\nHost: a\n\r\n", 400),
    "bare LF as the empty line": (b"GET /hello HTTP/1.1\r\nHost: a\r\n\n", 400),
    "bare LF before": (b"\n" + get(), 400),
    "two empty lines before": (b"\r\n\r\n" + get(), 400),
    "bare CR in a value": (get(b"X: a\rb\r\n"), 400),
    "bare CR in the request line": (b"GET /hello\r HTTP/1.1\r\n" + H + b"\r\n", 400),
    "folded field": (get(b"X: a\r\n b\r\n"), 400),
    "folded with a tab": (get(b"X: a\r\n\tb\r\n"), 400),
    "space before the first field": (b"GET /hello HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "line of a space": (get(b"X: a\r\n \r\n"), 400),
    # Fields.
    "space before a colon": (get(b"X : y\r\n"), 400),
    "space in a name": (get(b"X Y: z\r\n"), 400),
    "no colon": (get(b"X\r\n"), 400),
    "no name": (get(b": y\r\n"), 400),
    "NUL in a name": (get(b"X\0Y: z\r\n"), 400),
    "NUL in a value": (get(b"X: \0\r\n"), 400),
    "DEL in a value": (get(b"X: \x7f\r\n"), 400),
    "other bytes in a name": (get(b"X\xe9: y\r\n"), 400),
    "parenthesis in a name": (get(b"X(Y): z\r\n"), 400),
    "no host": (get(host=b""), 400),
    "two hosts": (get(host=H + H), 400),
    "two content types": (get(host=H + b"Content-Type: text/plain\r\nContent-Type: text/html\r\n"), 400),
    "list of hosts": (get(host=b"Host: a, b\r\n"), 400),
    "host with a path": (get(host=b"Host: a/b\r\n"), 400),
    "host with a user": (get(host=b"Host: u@a\r\n"), 400),
    "host with a strange port": (get(host=b"Host: a:80x\r\n"), 400),
    "host of two ports": (get(host=b"Host: a:80:81\r\n"), 400),
    "host with a port that is none": (get(host=b"Host: a:65536\r\n"), 400),
    "no host with an absolute target": (get(target=b"http://a/hello", host=b""), 400),
    # The request line.
    "two spaces": (b"GET  /hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "two spaces behind the target": (b"GET /hello  HTTP/1.1\r\n" + H + b"\r\n", 400),
    "space behind the version": (b"GET /hello HTTP/1.1 \r\n" + H + b"\r\n", 400),
    "tab": (b"GET\t/hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "http 0.9": (b"GET /hello\r\n\r\n", 400),
    "no version": (b"GET /hello \r\n\r\n", 400),
    "version of three digits": (get(version=b"HTTP/1.10"), 400),
    "version in small letters": (get(version=b"http/1.1"), 400),
    "version 3.0": (get(version=b"HTTP/3.0"), 505),
    "version 2.0": (get(version=b"HTTP/2.0"), 505),
    "version 0.9": (get(version=b"HTTP/0.9"), 505),
    "preface of http 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "another protocol": (get(version=b"RTSP/1.0"), 400),
    "strange method": (b"G@T /hello HTTP/1.1\r\n" + H + b"\r\n", 400),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
    # Targets.
    "no slash": (get(target=b"hello"), 400),
    "asterisk for get": (get(target=b"*"), 400),
    "other scheme": (get(target=b"ftp://a/hello"), 400),
    "url without a host": (get(target=b"http:///hello"), 400),
    "url with a user": (get(target=b"http://u:p@a/hello"), 400),
    "fragment": (get(target=b"/hello#x"), 400),
    "broken encoding": (get(target=b"/hello%4"), 400),
    "wrong encoding": (get(target=b"/hello%zz"), 400),
    "encoded NUL": (get(target=b"/hello%00"), 400),
    "raw bytes without a slash": (get(target=b"\xc3\xa9"), 400),
    "raw bytes in a host": (get(target=b"http://\xc3\xa9/hello"), 400),
    "url with a port that is none": (get(target=b"http://a:65536/hello"), 400),
    "NUL": (get(target=b"/hel\0lo"), 400),
    "DEL": (get(target=b"/hel\x7flo"), 400),
    "control in a query": (get(target=b"/hello?\x1f"), 400),
    # Chunks.
    "no chunk size": (CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size that is none": (CHUNKED + b"x\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with sign": (CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "negative chunk size": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "space before a chunk size": (CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "space behind a chunk size": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "chunk size beyond 64 bits": (CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    "bare LF behind a chunk size": (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    "bare CR behind a chunk size": (CHUNKED + b"3\rabc\r\n0\r\n\r\n", 400),
    "bare LF behind a chunk": (CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    "longer chunk": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "shorter chunk": (CHUNKED + b"5\r\nabc\r\n0\r\n\r\n", 400),
    "empty chunk extension": (CHUNKED + b"3;\r\nabc\r\n0\r\n\r\n", 400),
    "chunk extension without a name": (CHUNKED + b"3;=\r\nabc\r\n0\r\n\r\n", 400),
    "chunk extension without a value": (CHUNKED + b"3;a=\r\nabc\r\n0\r\n\r\n", 400),
    "two semicolons behind a chunk size": (CHUNKED + b"3 ;;a\r\nabc\r\n0\r\n\r\n", 400),
    "chunk extension with an open quote": (CHUNKED + b'3;a="b\r\nabc\r\n0\r\n\r\n', 400),
    "blank behind a chunk extension": (CHUNKED + b"3;a \r\nabc\r\n0\r\n\r\n", 400),
    "bare CR in a chunk extension": (CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
    "bare LF in quotes": (CHUNKED + b'3;a="\n"\r\nabc\r\n0\r\n\r\n', 400),
    "chunk size beyond 63 bits": (CHUNKED + b"8000000000000000\r\nabc", 400),
    "bare LF in a chunk extension": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    "control character in a chunk extension": (CHUNKED + b"3;a=\x01\r\nabc\r\n0\r\n\r\n", 400),
    "long chunk extension": (CHUNKED + b"3;" + b"a" * 20000 + b"\r\nabc\r\n0\r\n\r\n", 400),
    "bare LF in trailers": (CHUNKED + b"0\r\nX: y\n\r\n", 400),
    "bare LF behind trailers": (CHUNKED + b"0\r\nX: y\r\n\n", 400),
    "trailer without a name": (CHUNKED + b"0\r\n: b\r\n\r\n", 400),
    "folded trailer": (CHUNKED + b"0\r\nX: y\r\n z\r\n\r\n", 400),
    "length in trailers": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "coding in trailers": (CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    "long trailers": (CHUNKED + b"0\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 400),
    # Others.
    "expectation": (POST + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\nx", 417),
    "zeros": (b"\0" * 100, 400),
    "proxy protocol that nobody asked for": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(), 400),
}


@pytest.mark.parametrize("name", SERVED)
def test_served(server, name):
    data, status = SERVED[name]
    with server.connect() as connection:
        connection.send(bytes(data))
        assert connection.read_response().check().status == status
        if "1.0" not in name:
            connection.send(GET)
            assert connection.read_response().check().body == HELLO, "nothing is left of the first"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(server, name):
    """The rest is not taken for a request, whatever it looks like."""
    data, status = REFUSED[name]
    with server.connect() as connection:
        connection.send(bytes(data) + GET)
        response = connection.read_response().check()
        assert response.status == status and response.header("Connection") == ["close"], response
        assert connection.at_eof(), "the GET behind it was not served"
    good(server.ask("/hello"))


LOGGED = {"length and chunked": "Content-Length", "bare LF behind a field": "bare LF", 
          "preface of http 2": "HTTP/2,", "version 3.0": "HTTP/1.1", "trailer without a name": "without a name",
          "chunk extension without a name": "chunk extension", "no chunk size": "chunk size"}


@pytest.mark.parametrize("name", LOGGED)
def test_refusals_are_logged(start, name):
    server = start("hello")
    data, status = REFUSED[name]
    until(lambda: exchange(server, bytes(data)).status == status
          and re.search(r"warning: connection \d+: request 1: %d [^\n:]*: [^\n]*%s" % (status, LOGGED[name]), server.log()),
          "the line (one a second)", server.log)


def test_hundred_malformed_in_a_row_leave_nothing(server):
    good(server.ask("/hello"))
    for _ in range(2):
        before = Footprint(server)
        for data, status in list(REFUSED.values()) * 3:
            with server.connect() as connection:
                connection.send(bytes(data))
                assert connection.read_response().status == status
    before.same(threads=2)


@pytest.mark.parametrize("options", [[], ["--stream-body"]])
def test_request_of_a_malformed_body_is_named(start, options):
    """Who reads the log finds out which upload it was, whether the application runs or not."""
    server = start("wsgiapp", *options)

    def told():  # there is at most a line a second about what is malformed
        with server.connect() as connection:
            connection.send(head("Transfer-Encoding: chunked", path="/echo?\xe9", method="PUT"), b"3\r\nabcd\r\n")
            assert connection.read_response().status == 400 and connection.at_eof()
        return re.search(r"warning: connection \d+: request 1: 400 Bad Request \([^\n)]*\): a chunk is longer than its size"
                         r"( \(and [^\n)]*\))?: PUT /echo\?\\xe9" + LABEL + r"\n", server.log())
    until(told, "a line about the request")


TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500


@pytest.mark.parametrize("data, text", [
    (TLS, r"TLS \(https\)[^\n]*: end it in a proxy in front of this server"), (TLS[:1], r"TLS \(https\)"),
    (request(params("/hello")), "FastCGI[^\n]*: give the address to --socket[^\n]*proxy_pass"),
], ids=["tls", "its first byte", "fastcgi"])
@pytest.mark.parametrize("before", [b"", GET], ids=["at first", "behind a request"])
def test_other_protocols(start, data, text, before):
    """They are told nothing that they could not understand; the log is told what to do."""
    server = start("hello")
    with server.connect() as connection:
        connection.send(before)
        if before:
            assert connection.read_response().check().status == 200
        connection.send(bytes(data))
        assert connection.at_eof()
    server.wait_log(r"warning: connection \d+: the peer speaks %s[^\n]* \([^\n]*peer [^\n)]+\)\n" % text)
    good(server.ask("/hello"))


# --- limits

def refused(server, status, *data, text, ends=True):
    with server.connect() as connection:
        connection.send(*data)
        response = connection.read_response().check()
        assert response.status == status and response.header("Connection") == ["close"] * ends
        if ends:
            assert connection.at_eof()
        else:  # nothing of it is to come
            connection.send(GET)
            assert connection.read_response().check().body == HELLO
    server.wait_log(r"(warning|info): connection \d+: request 1: %d [^\n]*%s" % (status, text))
    good(server.ask("/hello"))


def test_request_line_limit(start):
    server = start("wsgiapp", "--limit-params", "4K")
    good(exchange(server, head(path="/hello?" + "x" * 3900)))
    refused(server, 414, b"GET /" + b"x" * 5000, text="first line [^\n]*--limit-params")


def test_header_size_limit(start):
    server = start("wsgiapp", "--limit-params", "4K")
    good(exchange(server, head("X: " + "x" * 3900)))
    refused(server, 431, head("X: " + "x" * 4100), text="--limit-params")
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500000)
        assert connection.read_response().status == 431


def test_header_count_limit(start):
    server = start("wsgiapp", "--limit-param-count", 20)
    good(exchange(server, head(*["X-%d: y" % number for number in range(19)])))
    refused(server, 431, head(*["X-%d: y" % number for number in range(20)]), text="--limit-param-count: GET /hello", ends=False)


def test_body_limit(start):
    server = start("wsgiapp", "--limit-request-body", "1K")
    good(exchange(server, head("Content-Length: 1024", path="/echo", method="POST"), b"x" * 1024), b"x" * 1024)
    refused(server, 413, head("Content-Length: 1025", method="POST"), text="--limit-request-body: POST /hello")
    server = start("wsgiapp", "--limit-request-body", "1K")
    refused(server, 413, head("Transfer-Encoding: chunked", method="POST") + b"401\r\n" + b"x" * 1025,
            text="--limit-request-body")
    # A client that asks first is told before it sends anything.
    refused(server, 413, head("Content-Length: 1025", "Expect: 100-continue", method="POST"), text="--limit-request-body")


def test_malformed_body_of_a_running_request(start, gate):
    """The application reads an error, and the connection ends with its answer."""
    server = start("faultapp", "--stream-body")
    with server.connect() as connection:
        connection.send(head("Transfer-Encoding: chunked", path="/read-error?gate=" + gate.path, method="POST"),
                        rawhttp.chunked(b"x" * 70000, last=b""))
        visitor = gate.arrived()
        connection.send(b"oops\r\n")
        with server.connect() as other:
            other.get_values()
        visitor.release()
        assert gate.arrived().text.startswith("raised ")
        connection.read_response()
        assert connection.at_eof()


# --- time

def test_header_time(start):
    server = start("wsgiapp", "--header-timeout", 1)
    refused(server, 408, b"GET / HTTP/1.1\r\nX: ", text="--header-timeout")
    # Every byte that comes is no reason to wait for more.
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n")
        while not select.select([connection.sock], [], [], 0.05)[0]:
            connection.send(b"X: y\r\n")
        assert connection.read_response().status == 408 and connection.at_eof()


def test_header_time_of_a_second_request(start):
    server = start("wsgiapp", "--header-timeout", 1)
    with server.connect() as connection:
        good(connection.ask("/hello"))
        connection.send(b"GET / HT")
        assert connection.read_response().status == 408 and connection.at_eof()


def test_connection_that_says_nothing(start):
    """It is closed without a word: a browser would take 408 for the answer to its next request."""
    server = start("wsgiapp", "--header-timeout", 1)
    with server.connect() as connection:
        assert connection.at_eof()


def test_kept_connections_have_the_idle_time(start):
    server = start("wsgiapp", "--header-timeout", "0.5", "--idle-timeout", 3)
    with server.connect() as connection:
        good(connection.ask("/hello"))
        assert not select.select([connection.sock], [], [], 1)[0], "the time of a header does not count"
        assert connection.at_eof()


@pytest.mark.parametrize("started", [False, True])
def test_body_that_does_not_come(start, gate, started):
    server = start("faultapp", "--idle-timeout", 1)
    with server.connect() as connection:
        size = 70000 if started else 10
        connection.send(head("Content-Length: 100000", path="/read-error?gate=" + gate.path, method="POST"), b"x" * size)
        if started:
            gate.arrived().release()
            assert gate.arrived().text.startswith("raised ")
        else:
            assert connection.read_response().check().status == 408 and connection.at_eof()
    server.wait_log("408 [^\n]*--idle-timeout: POST /read-error")


def test_application_that_gives_up_on_such_a_body(start):
    """Its exception becomes 408, not 500."""
    server = start("wsgiapp", "--idle-timeout", 1)
    with server.connect() as connection:
        connection.send(head("Content-Length: 100000", path="/echo", method="POST"), b"x" * 70000)
        response = connection.read_response().check()
        assert response.status == 408 and response.header("Connection") == ["close"] and connection.at_eof()


@pytest.mark.parametrize("options", [["--stream-body"], ["--limit-request-body", "20M"]])
def test_flood_of_continuing_peers(start, options):
    """Chunks without end of a body that nobody reads are dropped, and then the connection is."""
    server = start("wsgiapp", *options)
    with server.connect() as connection:
        connection.send(head("Transfer-Encoding: chunked", method="POST"))
        sent, chunk = 0, b"10000\r\n" + b"x" * 65536 + b"\r\n"
        try:
            while sent < 4 << 30:
                connection.send(chunk)
                sent += len(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 3 << 30
    good(server.ask("/hello"))


# --- the command line

def test_wrong_options():
    for args, text in (
            (["--http", "nonsense"], "--http nonsense"),
            (["--http", ":0", "--forwarded-allow", "10.0.0.0/33"], "--forwarded-allow"),
            (["--http", ":0", "--forwarded-allow", "host"], "--forwarded-allow"),
            (["--http", ":0", "--proxy-protocol"], "--forwarded-allow"),
            (["--http", ":0", "--forwarded-fields", "x"], "x-forwarded, x-real-ip or forwarded"),
            (["--http", ":0", "--server-header", "a\nb"], "--server-header"),
            (["--http", ":0", "--min-body-rate", "x"], "--min-body-rate")):
        done = run(*args, "hello")
        assert done.returncode == 64 and text in done.stderr and done.stderr.count("\n") == 1, done
