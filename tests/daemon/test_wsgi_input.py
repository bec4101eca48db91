"""wsgi.input against io.BytesIO (PEP 3333, "Input and Error Streams": the semantics of the Library Reference)."""
import io
import json
import random
import threading

import pytest

import fcgi
import rawhttp
from conftest import check_structure
from daemon import SANITIZED
from fcgi import params, record
from test_wsgi import get_json, tokens

OVER_HTTP = True
APP = "pepapp"
SEEDS = range(4 if SANITIZED else 12)


def expected(body, calls):
    """What io.BytesIO does, in the form that the application answers."""
    model, results = io.BytesIO(body), []
    for name, *args in calls:
        try:
            value = list(model) if name == "list" else next(model) if name == "next" else getattr(model, name)(*args)
        except Exception as error:
            value = type(error).__name__
        if isinstance(value, list):
            value = [line.decode("latin-1") for line in value]
        results.append(["bytes", value.decode("latin-1")] if isinstance(value, bytes) else value)
    return results


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
        name = chance.choice(["read", "read", "readline", "readline", "readlines", "next"])
        if name == "next":
            calls.append([name])
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
                                ["readlines", 5], ["next"], ["list"], ["read", -1]], 5)
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
def test_random_calls_while_the_body_arrives(server, seed, declared):
    """The body comes in pieces of every size, also without a Content-Length, while the application reads."""
    chance = random.Random(1000 + seed)
    body, calls = a_body(chance, chance.choice([70000, 200000, 700000])), some_calls(chance)
    whole = packed(body, calls)
    given = params("/operations", "POST", body=whole)
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
    assert json.loads(response.body)[0] == ["bytes", "line\nrest"]
    assert json.loads(response.body)[1:] == [["bytes", ""], ["bytes", ""], [], []]


@pytest.mark.parametrize("prefix", ["", "/validated"])
def test_errors_stream_takes_every_text(client, server, prefix):
    token = next(tokens)
    response = client.ask(prefix + "/errors-stream?token=" + token)
    assert response.status == 200, response
    server.wait_log("errors %s: caf\xe9 \u20ac \U0001f600 \0 lone \\\\udc80\none\ntwo\nab\n" % token)


def test_streams_have_no_close(client):
    """Applications must not close them; these methods there are."""
    stream, errors = get_json(client, "/stream-attributes")
    assert stream == ["read", "readline", "readlines"]
    assert {"flush", "write", "writelines"} <= set(errors) and "close" not in errors


def test_errors_stream_refuses_bytes(client):
    response = client.ask("/errors-stream?wrong=1&token=" + next(tokens))
    length, lines, parts, flushed, *wrong = json.loads(response.body)
    assert isinstance(length, int) and lines is parts is flushed is None
    assert wrong == ["TypeError"] * 3
