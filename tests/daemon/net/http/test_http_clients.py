"""Clients that others wrote, and that know HTTP/1.1 better than this suite: curl, wrk, http.client and h11."""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess

import h11
import pytest

from fcgi import PATIENCE
from test_http import HELLO, protocol  # noqa: F401
from test_wsgi import spec


@pytest.fixture(scope="module")
def url(server):
    return "http://127.0.0.1:%d" % server.http_address[1]


# --- curl

def curl(*args, data=None):
    assert shutil.which("curl"), "curl is not installed: apt-get install curl"
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), "--noproxy", "*", *args],
                          input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_curl(url, version):
    """--http2 offers an upgrade, which is not taken."""
    assert curl(version, url + "/hello") == HELLO


def test_curl_reuses_its_connection(url):
    out = curl("-w", "%{num_connects}\n", *[url + "/hello"] * 5)
    assert out.split(b"\n")[1::2] == [b"1", b"0", b"0", b"0", b"0"]


@pytest.mark.parametrize("size", [10, 5000000])
@pytest.mark.parametrize("chunked", [False, True])
def test_curl_uploads(url, tmp_path, size, chunked):
    """It asks with Expect: 100-continue before it sends what is large."""
    body = os.urandom(size)
    (tmp_path / "body").write_bytes(body)
    options = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    out = curl("-w", "%{response_code}", *options, "-H", "Expect: 100-continue", "--expect100-timeout", "20", "-X", "POST",
               "-T", str(tmp_path / "body"), url + "/echo")
    assert out == body + b"200"


def test_curl_upload_that_is_not_read(url):
    for _ in range(3):
        out = curl("-H", "Expect: 100-continue", "--data-binary", "@-", url + "/hello", url + "/hello", data=b"x" * 5000000)
        assert out == HELLO * 2


def test_curl_head_and_empty_answers(url):
    assert curl("--head", "-w", "%{response_code}", url + "/hello").endswith(b"\r\n\r\n200")
    for status in ("204 No Content", "304 Not Modified"):
        assert curl("-w", "%{response_code}", url + spec(status=status, chunks=[]), url + "/hello").startswith(
            status[:3].encode() + HELLO)


def test_curl_reads_chunks(url):
    assert curl("--raw", url + spec(chunks=["one", "two"], kind="generator")) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_curl_notices_a_cut_answer(url):
    """Status 18: partial file."""
    with pytest.raises(AssertionError, match="(?i)transfer closed|chunk|outstanding"):
        curl(url + "/raise-mid?token=curl")


# --- wrk

def test_wrk(url):
    """A second of many connections: every answer is whole and right."""
    assert shutil.which("wrk"), "wrk is not installed: apt-get install wrk"
    done = subprocess.run(["wrk", "-t1", "-c32", "-d1", url + "/hello"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    assert done.returncode == 0 and int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 100, done.stdout
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout


def test_wrk_pipelines(url, tmp_path):
    script = tmp_path / "pipeline.lua"
    script.write_text('init = function(args)\n local r = {}\n for i = 1, 16 do r[i] = wrk.format("GET", "/hello") end\n'
                      " req = table.concat(r)\nend\nrequest = function() return req end\n")
    done = subprocess.run(["wrk", "-t1", "-c8", "-d1", "-s", script, url], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0 and int(re.search(r"(\d+) requests in", done.stdout).group(1)) > 100, done.stdout
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout


# --- http.client

def test_http_client(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.http_address[1], timeout=PATIENCE)
    connection.connect()
    sock = connection.sock
    for body in (None, b"x" * 100000, iter([b"one ", b"two"]), "text"):
        connection.request("POST" if body else "GET", "/echo" if body else "/hello", body,
                           encode_chunked=True, headers={"X-One": "1"})
        response = connection.getresponse()
        expected = {bytes: body, str: b"text", type(None): HELLO}.get(type(body), b"one two")
        assert response.status == 200 and response.read() == expected
        assert connection.sock is sock, "the connection is kept"
    connection.close()


# --- h11

class H11:
    """A client that takes nothing that RFC 9112 does not allow."""

    def __init__(self, address):
        self.sock = socket.create_connection(address, PATIENCE)
        self.wire = h11.Connection(h11.CLIENT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def ask(self, target, method="GET", body=None, headers=()):
        headers = [("Host", "localhost"), *headers]
        if body is not None:
            headers.append(("Content-Length", str(len(body))))
        self.sock.sendall(self.wire.send(h11.Request(method=method, target=target, headers=headers)))
        if body:
            self.sock.sendall(self.wire.send(h11.Data(body)))
        self.sock.sendall(self.wire.send(h11.EndOfMessage()))
        response, data = None, b""
        while True:
            event = self.wire.next_event()
            if event is h11.NEED_DATA:
                self.wire.receive_data(self.sock.recv(65536))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                data += event.data
            elif isinstance(event, h11.EndOfMessage):
                return response, data


def test_h11(server):
    with H11(server.http_address) as client:
        for target, method, body, expected in (
                ("/hello", "GET", None, HELLO), ("/echo", "POST", b"x" * 300000, b"x" * 300000), ("/hello", "HEAD", None, b""),
                (spec(chunks=["a", "b"], kind="generator"), "GET", None, b"ab"), (spec(chunks=[]), "GET", None, b""),
                (spec(status="204 No Content", chunks=[]), "GET", None, b""), ("/big?mib=1&token=h11", "GET", None, None)):
            response, data = client.ask(target, method, body)
            assert response.status_code in (200, 204) and response.http_version == b"1.1"
            assert expected is None and len(data) == 1 << 20 or data == expected
            client.wire.start_next_cycle()  # raises when the connection is not to be kept


def test_h11_is_told_of_the_end(server):
    with H11(server.http_address) as client:
        response, data = client.ask("/hello", headers=[("Connection", "close")])
        assert (b"connection", b"close") in response.headers and data == HELLO
        assert client.wire.their_state in (h11.MUST_CLOSE, h11.CLOSED)


def test_h11_sees_the_same_environ(server):
    with H11(server.http_address) as client:
        environ = json.loads(client.ask("/environ?q=1", headers=[("X-Thing", "a"), ("X-Thing", "b")])[1])
    assert environ["HTTP_X_THING"] == ["str", "a, b"] and environ["QUERY_STRING"] == ["str", "q=1"]
