"""Many requests of each kind leave as many objects of Python and as much memory as there were.

LEAK_REQUESTS in the environment says how many of each kind. One object for each is found with a few thousand, and so is
half a kilobyte of memory; with 100,000 it is less than one hundred bytes.
"""
import json
import os
import urllib.parse

import pytest

import fcgi
import rawhttp
from conftest import check_structure
from daemon import SANITIZED, until
from fcgi import begin, pairs, params, record, request, stream

OVER_HTTP = True
APP = "pepapp"
REQUESTS = int(os.environ.get("LEAK_REQUESTS") or (1000 if SANITIZED else 5000))
# Caches of the interpreter and of the server fill; they do not grow with the number of requests.
OBJECTS = 300 + REQUESTS // 10
# Fifty bytes for each request, beyond what an allocator may keep back; a sanitizer's keeps a lot.
MEMORY = (256 << 20) if SANITIZED else (2 << 20) + 50 * REQUESTS
BODY = b"first line\nsecond\n" + b"x" * 3000 + b"\nlast"
SPEC = {"headers": [["Content-Type", "text/plain"], ["X-Other", "value"]], "chunks": ["one", "two"]}


def get(path, /, **query):
    """A kind of request: asks for the path, and takes whatever answer there is."""
    return lambda connection: connection.ask(path, query=urllib.parse.urlencode(query))


def post(path, /, **query):
    return lambda connection: connection.ask(path, "POST", urllib.parse.urlencode(query), body=BODY)


def head(path, /, **query):
    return lambda connection: connection.ask(path, "HEAD", urllib.parse.urlencode(query))


def respond(**more):
    return get("/respond", spec=json.dumps({**SPEC, **more}), token="leak")


def operations(*calls):
    body = json.dumps(list(calls)).encode() + b"\n" + BODY
    return lambda connection: connection.ask("/operations", "POST", body=body)


def unusual(connection):
    """Parameters that no cache has seen before."""
    unusual.count += 1
    number = unusual.count
    return connection.ask("/hello?%d" % number, headers={"X-Count": str(number), "Cookie": "session=%d" % number,
                                                         "X-New-%d" % (number % 3000): "value"})


unusual.count = 0


def aborted(connection):
    if isinstance(connection, rawhttp.Connection):  # where going away is the only way
        return connection.ask("/hello", "POST", body=BODY)
    given = params("/echo", "POST", CONTENT_LENGTH="1000000")
    connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(given)), stream(fcgi.STDIN, 1, BODY, end=False),
                    record(fcgi.ABORT_REQUEST, 1))
    return connection.read_response(1)


KINDS = {
    "hello": get("/hello"),
    "unusual": unusual,
    "environ": get("/environ", a="b"),
    "generator": respond(kind="generator"),
    "iterator": respond(kind="iterator"),
    "closing": respond(kind="closing"),
    "large": get("/big", mib="1", token="leak"),
    "write": respond(write=["one", "two", ""]),
    "head": head("/respond", spec=json.dumps(SPEC)),
    "head-generator": head("/respond", spec=json.dumps({**SPEC, "kind": "generator"})),
    "no-content": respond(status="204 No Content"),
    "lazy": get("/lazy-generator"),
    "echo": post("/echo"),
    "echo-stream": post("/echo-stream"),
    "unread": post("/hello"),
    "read": operations(["read"], ["read", 5], ["read", -1]),
    "lines": operations(["readline"], ["readline", 5], ["readlines", 5], ["list"]),
    "next": operations(["next"], ["next"], ["readlines"], ["next"]),
    "wrong-reads": operations(["read", "x"], ["readline", 1, 2], ["readlines", 1.5]),
    "errors": get("/errors-stream", token="leak", wrong="1"),
    "raise": get("/raises", kind="RuntimeError", place="call", token="leak"),
    "raise-first": get("/raises", kind="RuntimeError", place="first", token="leak"),
    "raise-close": get("/raises", kind="RuntimeError", place="close", token="leak"),
    "system-exit": get("/raises", kind="SystemExit", place="started", token="leak"),
    "broken-exception": get("/raises", kind="Broken", place="iter", token="leak"),
    "none": get("/wrong-result", kind="none"),
    "str": get("/wrong-result", kind="str"),
    "strs": get("/wrong-result", kind="strs", generator="1"),
    "not-started": get("/no-start"),
    "misuse": get("/misuse"),
    "start-again": get("/start-again", calls="good good positional bad"),
    "too-late": get("/too-late"),
    "arguments": get("/arguments"),
    "beyond-length": get("/length", length="4", chunks="abc,def", kind="generator", token="leak"),
    "spoil": post("/spoil", how="clear"),
    "itself": post("/spoil", how="self"),
    "keep": post("/keep"),
    "aborted": aborted,
}
FILES = {"file": "plain", "file-raw": "raw", "file-random": "random", "file-bytesio": "bytesio",
         "file-subclass": "subclass", "file-text": "text", "file-closed": "closed"}


def half(server):
    """An exception in mid-answer ends the connection."""
    assert server.ask("/half").broken


def gone(server):
    """The peer goes away while the answer is made."""
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=1&token=leak")))
        connection.read_record()


def gone_early(server):
    with server.connect() as connection:
        connection.get_values()  # else they come faster than they are accepted
        connection.send(request(params("/echo", "POST", body=BODY * 2), BODY))


def not_kept(server):
    check_structure(server.ask("/hello"))


def measure(server):
    """Objects of the garbage collector, blocks of Python's allocator (0 without it), and resident memory."""
    response = server.ask("/objects")
    objects, blocks = json.loads(response.body)
    return objects, blocks, server.rss()


def flat(server, run, requests):
    """Runs it often enough for caches to be full, measures, and runs it `requests` times."""
    for _ in range(200):
        run()
    before = measure(server)
    for _ in range(requests):
        run()

    def same():
        after = measure(server)
        growth = [new - old for new, old in zip(after, before)]
        same.text = "%d requests: %d objects, %d blocks, %d bytes" % (requests, *growth)
        # What a peer has left behind may still be in work.
        return growth[0] < OBJECTS and growth[1] < OBJECTS and growth[2] < MEMORY
    until(same, "the objects to be as many as before", lambda: same.text)
    print(same.text)


def on_one_connection(server, ask, requests):
    with server.connect() as connection:
        flat(server, lambda: ask(connection), requests)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("large", "too-late")])
def test_kept_connection(server, kind):
    on_one_connection(server, KINDS[kind], REQUESTS)


@pytest.mark.parametrize("kind", ["large", "too-late"])
def test_kept_connection_with_costly_answers(server, kind):
    on_one_connection(server, KINDS[kind], REQUESTS // 2)


@pytest.mark.parametrize("kind", FILES)
def test_files(server, tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(b"text of a file\n" * 700)
    descriptors = server.fds()
    on_one_connection(server, get("/wrap", path=str(path), kind=FILES[kind]), REQUESTS)
    until(lambda: server.fds() <= descriptors, "files to be closed", server.log)


@pytest.mark.parametrize("what", [half, gone, gone_early, not_kept])
def test_connections(server, what):
    flat(server, lambda: what(server), REQUESTS // 2)


def test_threads_of_the_application(server, gate):
    """Requests whose objects a thread keeps beyond their end."""
    def ask():
        assert server.ask("/late-use", "POST", "gate=" + gate.path, body=BODY).complete
        visitor = gate.arrived()
        visitor.release()
        last = gate.arrived()
        for each in (visitor, last):
            each.close()
        del gate.visitors[:]
    flat(server, ask, REQUESTS // 10)
