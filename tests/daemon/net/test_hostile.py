"""Peers that mean harm, or speak something else: their connections end, and nothing else does."""
import random
import select
import socket

import pytest

import fcgi
import rawhttp
from daemon import until
from fcgi import begin, params, record, request
from test_faults import Footprint
from test_fcgi import good

APP = "hello"
OVER_HTTP = True
MIB = 1 << 20
STREAMS = 10000


def valid_streams(server):
    """What the mutated streams are made from."""
    body = b"line of a body\n" * 20
    if server.speaks_http:
        whole = rawhttp.encode
        return [
            whole(request(params("/hello"))),
            whole(request(params("/echo", "POST", body=body), body, keep=True)),
            whole(request(params("/echo-stream", "POST"), body, keep=True)),
            whole(request(params("/hello"), keep=True)) * 3,
            b"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
            + rawhttp.chunked(body, 77, b"0\r\nX-Trailer: x\r\n\r\n"),
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://a/hello HTTP/1.1\r\nHost: b\r\n\r\n",
            whole(request(params("/hello", headers={"X-Many-%d" % number: "x" for number in range(40)}))),
        ]
    return [
        request(params("/hello")),
        request(params("/echo", "POST", body=body), body, keep=True),
        request(params("/echo-stream", "POST"), body, keep=True, size=77),
        request(params("/hello"), keep=True) * 3,
        b"".join(begin(id, keep=True) for id in range(1, 6)) + request(params("/hello"), id=7),
        record(fcgi.GET_VALUES, 0, fcgi.pairs({"FCGI_MAX_CONNS": "", "FCGI_MPXS_CONNS": ""})) + record(99, 0, b"x" * 9),
        begin(3, keep=True) + record(fcgi.ABORT_REQUEST, 3) + request(params("/hello"), id=3, padding=255),
        begin(1, fcgi.AUTHORIZER) + fcgi.stream(fcgi.PARAMS, 1, fcgi.pairs(params("/hello"), long=True)),
        request(params("/hello", headers={"X-Many-%d" % number: "x" for number in range(40)}), size=11),
    ]


def mutated(prng, streams):
    """One of the valid streams with a few bytes changed, cut out, put in or repeated; or random bytes."""
    if prng.random() < 0.1:
        return prng.randbytes(prng.randrange(1, 600))
    data = bytearray(prng.choice(streams))
    for _ in range(prng.randrange(1, 6)):
        at = prng.randrange(len(data) + 1)
        what = prng.randrange(5)
        if what == 0 and at < len(data):
            data[at] ^= 1 << prng.randrange(8)
        elif what == 1 and at < len(data):
            data[at] = prng.choice([0, 1, 127, 128, 255])
        elif what == 2:
            del data[at:at + prng.randrange(1, 20)]
        elif what == 3:
            data[at:at] = prng.randbytes(prng.randrange(1, 20))
        else:
            data[at:at] = data[at:at + prng.randrange(1, 100)]
        if not data:
            break
    return bytes(data)


def send_all(connection, data):
    """Sends until the server ends the connection. Returns whether it did."""
    try:
        connection.send(data)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def half_close(connection):
    try:
        connection.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the server has ended the connection


def test_ten_thousand_streams(start):
    """Random and mutated streams, the same every time; some peers end their side first, none reads the answer."""
    server = start("wsgiapp")
    prng = random.Random(20240229)
    streams = valid_streams(server)
    good(server.ask("/hello"))
    before = Footprint(server, memory=16 * MIB)
    open_ones = []
    for number in range(STREAMS):
        connection = server.connect()
        send_all(connection, mutated(prng, streams))
        open_ones.append(connection)
        if len(open_ones) == 20:  # several at a time, ended in another order
            prng.shuffle(open_ones)
            for each in open_ones:
                if prng.random() < 0.3:
                    half_close(each)
                each.close()
            open_ones.clear()
        if number % 500 == 0:
            good(server.ask("/hello"))
    good(server.ask("/hello"))
    before.same(threads=32)
    good(server.ask("/echo", "POST", body=b"as before"), b"as before")


@pytest.mark.fastcgi
def test_begin_for_every_id(server):
    """65,535 requests that only begin once cost the memory of all of them; the limit is in the open requests."""
    good(server.ask("/"))
    before = Footprint(server)
    with server.connect() as connection:
        flood = b"".join(begin(id, keep=True) for id in range(1, 65536))
        cut = send_all(connection, flood)
        server.wait_log("connection [0-9]+: too many pipelined requests")
        if not cut:
            try:
                while connection.sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
        good(server.ask("/"))
    before.same()


FLOODS = {
    "unknown": record(200, 0),
    "values": record(fcgi.GET_VALUES, 0, fcgi.pairs({"FCGI_MAX_CONNS": ""})),
    "requests": request(params("/"), keep=True),
}


def flooded(server, flood):
    """A peer that asks and asks, and reads no answer, until its connection is cut."""
    with server.connect() as connection:
        if server.speaks_http:
            # Nothing is read from it any more while it takes no answers.
            block = connection.wire(request(params("/"), keep=True)) * 1000
            connection.sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                for _ in range(20 * MIB // len(block)):
                    connection.send(block)
            return
        block = flood * (MIB // len(flood))
        sent = 0
        while not send_all(connection, block):
            sent += len(block)
            assert sent < 500 * MIB, "the connection is cut"
        server.wait_log("reads no answers|too many pipelined requests")
    good(server.ask("/"))


@pytest.mark.parametrize("flood", FLOODS)
def test_questions_without_reading_the_answers(start, flood):
    """Answers to management records once piled up in memory for as long as the peer kept asking."""
    server = start(APP)
    good(server.ask("/"))
    # Over HTTP none pile up.
    before = Footprint(server, memory=(4 if server.speaks_http else 64) * MIB)  # 16 MiB of answers wait at most; their memory grew by doubling
    for _ in range(3):
        flooded(server, FLOODS[flood])
    before.same(threads=2)
    again = Footprint(server)  # by now the allocator of glibc has made up its mind what to keep
    for _ in range(5):
        flooded(server, FLOODS[flood])
    again.same(threads=2)


@pytest.mark.fastcgi
@pytest.mark.parametrize("what", ["noise", "a byte at a time"])
def test_peers_that_say_nothing_useful_for_ever(start, what):
    """Padding, empty and unknown records, and PARAMS by the byte keep a request from nothing: its time is bounded all
    the same."""
    server = start(APP, "--header-timeout", 1)
    data = record(fcgi.DATA, 1, b"", 255) + record(77, 3, b"x")
    if what != "noise":
        data = fcgi.stream(fcgi.PARAMS, 1, fcgi.pairs(params("/", headers={"X-Long": "x" * 60000})), end=False)
    step = len(data) if what == "noise" else 1
    with server.connect() as connection:
        connection.send(begin(keep=True))
        position = 0
        while not select.select([connection.sock], [], [], 0 if what == "noise" else 0.01)[0]:
            connection.send(data[position:position + step])
            position = (position + step) % len(data)
        response = connection.read_response(1)
        assert response.status == 408 and response.complete
    server.wait_log(r"request 1: 408 [^\n]*: its parameters did not come within --header-timeout")
    good(server.ask("/"))


@pytest.mark.fastcgi
@pytest.mark.parametrize("data, text", [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "speaks HTTP, [^\n]*fastcgi_pass instead of proxy_pass[^\n]*--http"),
    (b"VERSION-CONTROL /a HTTP/1.1\r\n\r\n", "speaks HTTP, "), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "speaks HTTP, "),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500, r"speaks TLS \(https\)[^\n]*: end it in a proxy"),
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY protocol"), (b"\0" * 1000, "does not speak FastCGI"),
    (b"\xff" * 100000, "does not speak FastCGI"), (b"GETTING ", "does not speak FastCGI"), (b"GET\0/////", "does not speak FastCGI"),
    (b"\x16\2\1\1\1\1\1\1", "does not speak FastCGI"),
], ids=["http", "long method", "http 2", "tls", "proxy", "zeros", "ones", "a word", "a zero behind it", "almost tls"])
def test_other_protocols(start, data, text):
    """The log says which one it is, and what to do."""
    server = start("hello")
    good(server.ask("/"))
    before = Footprint(server)
    with server.connect() as connection:
        if not send_all(connection, data):
            assert connection.at_eof()
    good(server.ask("/"))
    before.same()
    server.wait_log(r"warning: connection \d+: the peer [^\n]*%s[^\n]* \(peer [^\n)]+\)\n" % text)
