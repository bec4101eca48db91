"""wsgi.input against io.BytesIO (PEP 3333, "Input and Error Streams": the semantics of the Library Reference)."""
import gzip
import io
import json
import pickle
import random
import tarfile
import threading
import urllib.parse

import pytest

import fcgi
import rawhttp
from apps import streams
from conftest import check_structure
from daemon import SANITIZED
from fcgi import params, record
from test_wsgi import get_json, tokens

OVER_HTTP = True
APP = "pepapp"
SEEDS = range(4 if SANITIZED else 12)


def expected(body, calls):
    """What the model does, in the form that the application answers."""
    return streams.results(streams.Input(body), calls)


def a_body(chance, size):
    """Lines of very different lengths, with and without an end."""
    parts = []
    while sum(map(len, parts)) < size:
        parts.append(chance.randbytes(chance.choice([0, 1, 5, 80, 1000, 8191, 8192, 20000])).replace(b"\n", b"\r"))
        parts.append(b"\n" * chance.choice([1, 1, 1, 3]))
    return b"".join(parts)[:size]


SIZES = [0, 1, 2, 7, 100, 4096, 8191, 8192, 8193, 65535, 65536, 70000, None, -1, -7]


def some_calls(chance):
    calls = []
    for _ in range(chance.randrange(1, 30)):
        name = chance.choice(["read", "read", "readline", "readline", "readlines", "next", "readinto"])
        if name == "next":
            calls.append([name])
        elif name == "readinto":
            calls.append([name, chance.choice(["bytearray", "memoryview", "words"]), chance.choice([0, 1, 100, 8193, 70000])])
        elif name == "readlines":
            calls.append([name, chance.choice([1, 10, 5000, 30000])])
        elif name == "read":
            calls.append([name, chance.choice([size for size in SIZES if size and size > 0] + [0])])
        else:
            calls.append([name, chance.choice(SIZES)] if chance.random() < 0.6 else [name])
    # Now and then to the end, and beyond it in every way.
    if chance.random() < 0.7:
        calls.append(chance.choice([["read"], ["read", None], ["read", -1], ["read", 1 << 40], ["readlines"],
                                    ["readlines", None], ["readlines", -1], ["readlines", 0], ["list"]]))
        calls += chance.sample([["read"], ["read", 5], ["read", 0], ["readline"], ["readline", 5], ["readlines"],
                                ["readlines", 5], ["next"], ["list"], ["read", -1], ["readinto", "bytearray", 5],
                                ["read1"], ["readinto1", "bytearray", 5]], 5)
    return calls


def packed(body, calls):
    """The list of calls is the first line of the body: a query would be too long."""
    return json.dumps(calls).encode() + b"\n" + body


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls(client, seed):
    chance = random.Random(seed)
    for _ in range(8):
        body, calls = a_body(chance, chance.choice([0, 1, 10, 1000, 60000, 200000])), some_calls(chance)
        response = client.ask("/operations", "POST", body=packed(body, calls))
        assert response.status == 200 and json.loads(response.body) == expected(body, calls), calls


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("declared", [True, False])
def test_random_calls_while_the_body_arrives(server, streaming, seed, declared):
    """The body comes in pieces of every size, also without a Content-Length, while the application reads."""
    chance = random.Random(1000 + seed)
    body, calls = a_body(chance, chance.choice([70000, 200000, 700000])), some_calls(chance)
    whole = packed(body, calls)
    given = params("/operations", "POST", body=whole)
    server = server if declared else streaming
    if not declared:
        given["CONTENT_LENGTH"] = ""
    pieces, position = [], 0
    while position < len(whole):
        size = chance.choice([1, 10, 500, 3000, 8192, 40000])
        piece = whole[position:position + size]
        if not server.speaks_http:
            piece = record(fcgi.STDIN, 1, piece, padding=chance.randrange(8))
        elif not declared:
            piece = rawhttp.chunked(piece, chance.choice([1, 100, 50000]), b"")
        pieces.append(piece)
        position += size
    pieces.append(record(fcgi.STDIN, 1) if not server.speaks_http else b"" if declared else b"0\r\n\r\n")
    with server.connect() as connection:
        connection.send(fcgi.request(given, end=False))

        def send():
            for piece in pieces:
                connection.send(piece)
        sender = threading.Thread(target=send)
        sender.start()
        response = check_structure(connection.read_response(1))
        sender.join()
    assert json.loads(response.body) == expected(body, calls), calls


@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_wrong_arguments(client, name):
    """Wrong types, too many arguments, numbers that fit nowhere: as io.BytesIO, and nothing is lost."""
    calls = [[name, "1"], [name, 1.5], [name, 1 << 70], [name, -(1 << 70)], [name, 1, 2], [name, []], [name, True],
             [name, (1 << 63) - 1]]
    body = b"first\nsecond\nthird"
    response = client.ask("/operations", "POST", body=packed(body, calls + [["read"]]))
    assert json.loads(response.body) == expected(body, calls + [["read"]])


@pytest.mark.parametrize("prefix", ["", "/validated"])
@pytest.mark.parametrize("size", [0, 1, 3, 10, 100000])
def test_input_as_the_validator_allows_it(client, prefix, size):
    body = a_body(random.Random(size), size)
    response = client.ask(prefix + "/sum-of-input", "POST", body=body)
    assert (response.status, response.body) == (200, body), response


def test_end_at_content_length(server):
    """The server simulates an end of file there, whatever a peer sends beyond."""
    body = packed(b"line\nrest", [["read", 100], ["read"], ["readline"], ["readlines"], ["list"]])
    given = params("/operations", "POST", body=body)
    with server.connect() as connection:
        connection.send(fcgi.request(given, body + b"\nbeyond the length\n"))
        response = check_structure(connection.read_response(1))
    assert json.loads(response.body) == [["bytes", "line\nrest"], ["bytes", ""], ["bytes", ""], ["list", []], ["list", []]]


@pytest.mark.parametrize("how", ["readinto", "readinto1"])
def test_buffer_is_held_while_the_body_is_waited_for(server, gate, how):
    start, rest = b"x" * 70000, b"the rest"
    given = params("/held-buffer", "POST", "gate=%s&how=%s&skip=%d" % (gate.path, how, len(start)), body=start + rest)
    with server.connect() as connection:
        connection.send(fcgi.request(given, start, end=False))
        visitor = gate.arrived()
        assert visitor.text == "held"
        connection.send(rest if server.speaks_http else record(fcgi.STDIN, 1, rest) + record(fcgi.STDIN, 1))
        visitor.release()
        response = check_structure(connection.read_response(1))
    assert json.loads(response.body) == rest.decode()


@pytest.mark.parametrize("prefix", ["", "/validated"])
def test_errors_stream_takes_every_text(client, server, prefix):
    token = next(tokens)
    response = client.ask(prefix + "/errors-stream?token=" + token)
    assert response.status == 200, response
    server.wait_log("errors %s: caf\xe9 \u20ac \U0001f600 \0 lone \\\\udc80\none\ntwo\nab\n" % token)


METHODS = ["close", "closed", "detach", "fileno", "flush", "isatty", "read", "read1", "readable", "readinto", "readinto1",
           "readline", "readlines", "seek", "seekable", "tell", "truncate", "writable", "write", "writelines"]


def test_methods(client):
    """Both have those of a stream of the io module."""
    stream, errors = get_json(client, "/stream-attributes")
    assert stream == METHODS
    assert {"flush", "write", "writelines"} <= set(errors) and "buffer" in errors


def test_errors_stream_as_one_of_io(client, server):
    token = next(tokens)
    told = get_json(client, "/errors-as-io?token=" + token)
    assert told[:9] == [True, True, False, False, None, False, True, "utf-8", "wb"]
    assert told[9:] == [None, None, "TypeError", "TypeError", [], True]
    server.wait_log("(?m)^in parts %s, one two$" % token)
    server.wait_log("(?m)^logged %s$" % token)
    server.wait_log("(?m)^redirected %s$" % token)


def test_descriptor_of_the_errors_stream(client, server):
    get_json(client, "/errors-as-descriptor")
    server.wait_log(r'File ".*pepapp.py", line \d+ in errors_as_descriptor')


# --- as a stream of the io module

BODY = b"first\nsecond\nthird"
ASKED = [["readable"], ["writable"], ["seekable"], ["isatty"], ["flush"], ["closed"], ["fileno"], ["seek", 0], ["seek", 0, 2],
         ["tell"], ["truncate"], ["truncate", 5], ["write", "x"], ["writelines", []], ["detach"], ["close", 1],
         ["flush", 1], ["readable", 1], ["readinto"], ["readinto", 1, 2, 3], ["read1", 1, 2], ["read1", "x"],
         *(["readinto", shape, 5] for shape in streams.SHAPES), *(["readinto1", shape, 5] for shape in streams.SHAPES)]


def test_what_is_asked_of_a_stream(client):
    """No descriptor, nothing to write to, no position: as any such stream of the io module says it."""
    response = client.ask("/operations", "POST", body=packed(BODY, ASKED + [["read"]]))
    for call, got, right in zip(ASKED, json.loads(response.body), expected(BODY, ASKED), strict=False):
        assert got == right, call
    assert json.loads(response.body) == expected(BODY, ASKED + [["read"]])


@pytest.mark.parametrize("how", ["close", "with"])
def test_closed_input(client, how):
    """Then every method says so, and close() may be called again."""
    reading = [["read"], ["readline"], ["readlines"], ["next"], ["list"], ["read1"], ["readinto", "bytes", 5], ["with"]]
    calls = [["readline"], [how], ["closed"], *ASKED, *reading, ["close"], ["closed"]]
    response = client.ask("/operations", "POST", body=packed(BODY, calls))
    for call, got, right in zip(calls, json.loads(response.body), expected(BODY, calls), strict=True):
        assert got == right, call


@pytest.mark.parametrize("size", [0, 10, 300000])
def test_input_that_was_closed_is_no_business_of_the_server(client, size):
    for _ in range(2):
        assert get_json(client, "/closed-input", "POST", body=b"x" * size) == "closed"


@pytest.mark.parametrize("size", [0, 1, 100, 60000, 300000])
@pytest.mark.parametrize("name, args, most", [("read1", [], None), ("read1", [7], 7), ("read1", [-1], None),
                                              ("read1", [None], None), ("read1", [100000], 100000),
                                              ("readinto1", [9000], 9000)])
def test_read1_to_the_end(client, size, name, args, most):
    """At least a byte, at most what is asked for; nothing at the end only."""
    body = a_body(random.Random(size), size)
    path = "/read-to-the-end?call=" + urllib.parse.quote(json.dumps([name, *args]))
    lengths, got = get_json(client, path, "POST", body=body)
    assert got == body.decode("latin-1")
    assert lengths[-1] == 0 and all(0 < length <= (most or size) for length in lengths[:-1])


UTF8 = "first,1\ncaf\xe9 \u20ac,2\r\n" + "x" * 9000 + ",3\nlast,4"


@pytest.mark.parametrize("how, expected", [
    ("text", UTF8.replace("\r\n", "\n")),
    ("text lines", UTF8.splitlines(True)),
    ("text left", ["first,1\n", True, False]),
    ("text closes", ["first,1\n", True]),
    ("buffered", UTF8.encode().decode("latin-1")),
    ("buffered pieces", None),
    ("text over buffered", UTF8.replace("\r\n", "\n").splitlines(True)),
    ("codecs", UTF8),
    ("copyfileobj", UTF8.encode().decode("latin-1")),
    ("csv", [line.split(",") for line in UTF8.splitlines()]),
    ("classes", [True, True, False, False]),
    ("subprocess", "UnsupportedOperation"),
])
def test_wrapped(client, how, expected):
    """The classes of the io module, and what is written for its files, take it as it is."""
    if how == "buffered pieces":
        whole = UTF8.encode()
        peeked, three, line, five, rest = get_json(client, "/wrapped-input?how=" + how.replace(" ", "+"), "POST", body=whole)
        assert (peeked, three, line, five) == ("fir", "fir", "st,1\n", whole[8:13].decode("latin-1"))
        assert rest == whole[13:].decode("latin-1")
        return
    assert get_json(client, "/wrapped-input?how=" + how.replace(" ", "+"), "POST", body=UTF8.encode()) == expected


def test_formats(client):
    """Compressed, archived, pickled: read as they come."""
    assert get_json(client, "/wrapped-input?how=gzip", "POST", body=gzip.compress(b"body" * 10000)) == "body" * 10000
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w|gz") as tar:
        for name in ("one", "two"):
            tar.addfile(tarfile.TarInfo(name))
    plain = gzip.decompress(archive.getvalue())
    assert get_json(client, "/wrapped-input?how=tar", "POST", body=plain) == ["one", "two"]
    pickled = pickle.dumps([b"x" * 300000, bytearray(200000)], protocol=5)
    assert get_json(client, "/wrapped-input?how=pickle", "POST", body=pickled) == [300000, 200000]


@pytest.mark.parametrize("how, given", [("read1", b"line"), ("readinto1", b"line")])
def test_what_has_come_is_given_at_once(server, gate, how, given):
    """read1() and readinto1() wait for nothing beyond the first bytes."""
    body = b"x" * 70000 + given
    with server.connect() as connection:
        given_params = params("/read1-slowly", "POST", "gate=%s&how=%s&skip=70000" % (gate.path, how),
                              body=body + b"rest")
        whole = fcgi.request(given_params, body, end=False)
        connection.send(whole)
        visitor = gate.arrived()
        assert visitor.text == given.decode()
        connection.send(b"rest" if server.speaks_http else record(fcgi.STDIN, 1, b"rest") + record(fcgi.STDIN, 1))
        visitor.release()
        response = check_structure(connection.read_response(1))
    assert response.body == b"rest"


def test_errors_stream_refuses_bytes(client):
    response = client.ask("/errors-stream?wrong=1&token=" + next(tokens))
    length, lines, parts, flushed, *wrong = json.loads(response.body)
    assert isinstance(length, int) and lines is parts is flushed is None
    assert wrong == ["TypeError"] * 3
