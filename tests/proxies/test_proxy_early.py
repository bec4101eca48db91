"""Uploads that are answered without being read: the client has the whole answer, behind each proxy, whether the proxy sends
on to the end of the upload (Caddy, Apache, H2O, HAProxy) or stops and waits for the end of the answer (nginx)."""
import json
from urllib.parse import quote

import pytest

import proxies
from bench import Bench
from deviations import expected

MB = 10 ** 6
LIMIT = 50 * MB
BODY = bytes(100 * MB)

# Variants, with what else is changed in their files.
SETUPS = {**{name: (name, []) for name in proxies.VARIANTS},
          "nginx-unbuffered-not-kept": ("nginx-unbuffered", ["-keepalive 16;", "-fastcgi_keep_conn on;"]),
          "nginx-kept-unbuffered-request": ("nginx-kept", ["+fastcgi_request_buffering off;"])}


@pytest.fixture(scope="module", params=[(name, tcp) for name in SETUPS for tcp in (False, True)],
                ids=lambda param: param[0] + ("-tcp" if param[1] else "-unix"))
def bench(request):
    """Nothing in the server times out while a client waits."""
    name, tcp = request.param
    variant, changes = SETUPS[name]
    running = Bench(variant, "--limit-request-body", LIMIT, "--idle-timeout", 600, tcp=tcp, changes=changes)
    try:
        yield running
    finally:
        running.close()


def spec(status, *headers):
    """Without a length: only the end of the request tells the proxy where the body ends."""
    headers = [["Content-Type", "text/plain"], *headers]
    return "/respond?spec=" + quote(json.dumps({"status": status, "headers": headers, "chunks": ["the body"],
                                              "kind": "generator"}))


# What is asked for, megabytes of the upload, the status and the body.
ANSWERS = {
    "200": ("/hello", 3, 200, b"Hello, world\n"),
    "200-of-20": ("/hello", 20, 200, b"Hello, world\n"),
    "302": (spec("302 Found", ["Location", "http://www.example.org/"]), 20, 302, b"the body"),
    "302-soon": ("/redirect-soon", 20, 302, b"elsewhere"),
    "302-soon-of-50": ("/redirect-soon", 50, 302, b"elsewhere"),
    "401": (spec("401 Unauthorized", ["WWW-Authenticate", "Basic realm=x"]), 3, 401, b"the body"),
    "403": (spec("403 Forbidden"), 20, 403, b"the body"),
    "500": ("/raise-before", 20, 500, None),
    "large": ("/big?mib=2&token=early", 20, 200, None),
    "413": ("/hash", 60, 413, None),
    "413-of-100": ("/hash", 100, 413, None),
}


def check(response, name, right=None):
    path, size, status, body = ANSWERS[name]
    assert response.status == (right or status), response
    if response.status == status:
        assert not response.cut and body in (None, response.body), response
        if name == "large":
            assert len(response.body) == 2 << 20


@pytest.mark.parametrize("name", ANSWERS)
def test_length(bench, name):
    """Two in a row, and a request behind each: whatever became of the connection, the next one is served."""
    path, size, status, body = ANSWERS[name]
    for number in range(2):
        check(bench.ask(path, "POST", BODY[:size * MB]), name)
        assert bench.ask("/hello").body == b"Hello, world\n"


@pytest.mark.parametrize("name", ["200", "302", "302-soon", "403", "500", "413"])
def test_chunked(bench, name):
    path, size, status, body = ANSWERS[name]
    right = expected("early answer to a chunked body", bench, status)
    check(bench.ask(path, "POST", BODY[:size * MB], chunked=True), name, right)
    assert bench.ask("/hello").body == b"Hello, world\n"


def test_others_at_the_same_time(bench, gate):
    """On the same connection where the proxy multiplexes: they go on to their ends."""
    connections = [bench.proxy.connection() for number in range(5)]
    try:
        for number, connection in enumerate(connections):
            connection.request("GET", "/gate?token=%d&gate=%s" % (number, quote(gate.path)))
        visitors = [gate.arrived() for connection in connections]
        for name in ("302", "200", "413"):
            path, size, status, body = ANSWERS[name]
            check(bench.ask(path, "POST", BODY[:size * MB]), name)
            assert bench.ask("/hello").body == b"Hello, world\n"
        for visitor in visitors:
            visitor.release()
        for connection in connections:
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"passed\n")
    finally:
        for connection in connections:
            connection.close()


def test_client_that_pauses(bench):
    """It has the whole answer before it sends the rest of its upload, where the proxy streams both ways."""
    if not expected("answer before the end of the upload", bench, True):
        return
    for number in range(2):
        connection = bench.proxy.connection()
        try:
            connection.putrequest("POST", ANSWERS["403"][0])
            connection.putheader("Content-Length", str(3 * MB))
            connection.endheaders()
            connection.send(BODY[:MB])
            response = connection.getresponse()
            assert (response.status, response.read()) == (403, b"the body")
            assert bench.ask("/hello").body == b"Hello, world\n"
            if connection.sock:  # else the proxy has ended the connection
                proxies.send_body(connection.sock, BODY[:2 * MB], False)
            assert bench.ask("/hello").body == b"Hello, world\n"
        finally:
            connection.close()
