"""Bodies of requests and of answers, behind each proxy."""
import hashlib
import json
import random
from urllib.parse import quote

import pytest

from deviations import expected

BIG = random.Random(1).randbytes(5 << 20)


def digest(body):
    return [len(body), hashlib.sha256(body).hexdigest()]


def respond(bench, method="GET", **spec):
    return bench.ask("/respond?spec=" + quote(json.dumps(spec)), method)


def answer(bench, **spec):
    """As respond(), for what is too large for a URL."""
    return bench.ask("/answer", "POST", json.dumps(spec).encode())


# --- of requests

@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 5000, 70000, len(BIG)])
def test_body(bench, size, chunked):
    response = bench.ask("/hash", "POST", BIG[:size], chunked=chunked)
    right = expected("%s body of %d" % ("chunked" if chunked else "plain", size), bench, 200)
    assert response.status in (right if isinstance(right, set) else {right}), response
    if response.status == 200:
        assert json.loads(response.body) == digest(BIG[:size])


@pytest.mark.parametrize("size", [0, 1, 5000, 70000, len(BIG)])
def test_length_is_told(bench, size):
    """However the proxy passes a chunked body on, the application learns its length: most read nothing without."""
    response = bench.ask("/told", "POST", BIG[:size], chunked=True)
    right = expected("chunked body of %d" % size, bench, 200)
    assert response.status in (right if isinstance(right, set) else {right}), response
    if response.status == 200:
        length, *rest = json.loads(response.body)
        assert rest == digest(BIG[:size]) and length in ([str(size)] if size else [None, "", "0"])


def begin_chunked(bench, path, pieces):
    connection = bench.proxy.connection()
    connection.putrequest("POST", path)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for piece in pieces:
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    return connection


def test_chunked_upload_that_comes_slowly(bench, gate):
    """The application is called when all of it is there, and not before."""
    size = expected("size of a slow chunked upload", bench, 300000)
    connection = begin_chunked(bench, "/told?gate=" + quote(gate.path), [BIG[:1], BIG[1:1000], BIG[1000:size]])
    try:
        if expected("slow chunked upload", bench, 200) != 200:
            assert connection.getresponse().status == expected("slow chunked upload", bench, 200)
            return
        assert bench.ask("/hello").status == 200 and gate.nobody()
        for number in range(100):
            connection.send(b"1\r\n%c\r\n" % BIG[size + number])
        assert bench.ask("/hello").status == 200 and gate.nobody()
        connection.send(b"0\r\n\r\n")
        visitor = gate.arrived()
        assert visitor.text == "told %d" % (size + 100)
        visitor.release()
        assert json.loads(connection.getresponse().read()) == [str(size + 100)] + digest(BIG[:size + 100])
    finally:
        connection.close()


def test_chunked_upload_that_is_cut_off(bench, gate):
    """Its client goes away in the middle: no call."""
    size = expected("size of a slow chunked upload", bench, 300000)
    connection = begin_chunked(bench, "/told?gate=" + quote(gate.path), [BIG[:1000], BIG[1000:size]])
    assert bench.ask("/hello").status == 200
    connection.close()
    for _ in range(20):
        assert bench.ask("/hello").status == 200
    assert gate.nobody()


def test_no_body(bench):
    response = bench.ask("/hash", "POST", None, {"Content-Length": "0"})
    assert json.loads(response.body) == digest(b"")
    assert json.loads(bench.ask("/hash").body) == digest(b"")


def test_echo(bench):
    """Body in, body out, at the same time and more than any buffer holds."""
    body = BIG[:expected("echo", bench, len(BIG))]
    response = bench.ask("/echo-stream", "POST", body)
    assert response.status == 200 and response.body == body and not response.cut


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_early_answer(bench, chunked):
    """The application reads nothing of a large upload: its answer arrives, and the next request is served."""
    right = expected("early answer to a chunked body" if chunked else "early answer", bench, 200)
    for number in range(3):
        response = bench.ask("/hello", "POST", BIG, chunked=chunked)
        assert response.status == right
        assert (response.body == b"Hello, world\n") == (right == 200)
        assert bench.ask("/hello").body == b"Hello, world\n"


def test_early_error(bench):
    for number in range(3):
        response = bench.ask("/raise-before", "POST", BIG)
        assert response.status == 500, response
    assert bench.ask("/hello").status == 200


def test_streamed_upload(bench, gate):
    """The application reads the first bytes before the client has sent the last ones, where the proxy lets it."""
    connection = bench.proxy.connection()
    try:
        connection.putrequest("POST", "/upload?gate=" + quote(gate.path))
        connection.putheader("Content-Length", str(len(BIG)))
        connection.endheaders()
        connection.send(BIG[:1 << 20])
        if expected("streamed upload", bench, True):
            assert gate.arrived().text == "begun"
            connection.send(BIG[1 << 20:])
        else:
            assert gate.nobody()
            connection.send(BIG[1 << 20:])
            assert gate.arrived().text == "begun"
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"%d" % len(BIG))
    finally:
        connection.close()


# --- of answers

def test_download(bench):
    response = bench.ask("/big?mib=20&token=big")
    assert response.status == 200 and not response.cut
    assert response.header("Content-Length") == expected(
        "length of a download", bench, str(20 << 20))
    lines = response.body.split(b"\n")
    assert len(response.body) == 20 << 20 and lines == [b"%065535d" % i for i in range(320)] + [b""]


def test_download_without_length(bench):
    body = "0123456789" * 5000
    for kind in ("list", "generator"):
        response = answer(bench, headers=[["Content-Type", "text/plain"]], chunks=[body, body], kind=kind)
        assert response.status == 200 and not response.cut and response.body == (body + body).encode()


def test_file_wrapper(bench, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BIG)
    response = bench.ask("/file?path=" + quote(str(path)))
    assert response.status == 200 and response.body == BIG and not response.cut


def test_empty_body(bench):
    response = respond(bench, headers=[["Content-Type", "text/plain"]])
    assert (response.status, response.body, response.cut) == (200, b"", False)


@pytest.mark.parametrize("length", [True, False])
def test_head(bench, length):
    """No body, whatever the application returns; the next request on the same connections is served."""
    headers = [["Content-Type", "text/plain"], ["X-A", "1"]] + [["Content-Length", "5"]] * length
    for number in range(3):
        response = respond(bench, "HEAD", headers=headers, chunks=["12345"])
        assert (response.status, response.body, response.header("X-A")) == (200, b"", "1")
        if length:
            assert response.header("Content-Length") == expected("length of HEAD", bench, "5")
        assert bench.ask("/hello").body == b"Hello, world\n"


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_status_without_body(bench, status):
    for number in range(3):
        response = respond(bench, status=status, headers=[["ETag", '"a"'], ["X-A", "1"]])
        assert (response.status, response.body, response.cut) == (int(status[:3]), b"", False)
        assert response.header("X-A") == "1" and response.header("ETag") == '"a"'
        assert bench.ask("/hello").body == b"Hello, world\n"


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "302 Found", "303 See Other", "307 Temporary Redirect",
                                    "404 Not Found", "418 I'm a teapot", "500 Internal Server Error",
                                    "503 Service Unavailable", "599 Odd"])
def test_status(bench, status):
    headers = [["Content-Type", "text/plain"]]
    if status[0] == "3":
        headers.append(["Location", "http://www.example.org/elsewhere?a=1"])
    response = respond(bench, status=status, headers=headers, chunks=["the body"])
    assert response.status == int(status[:3]) and response.body == b"the body", response
    if status[0] == "3":
        assert response.header("Location") == "http://www.example.org/elsewhere?a=1"


@pytest.mark.parametrize("status", ["201 Created", "202 Accepted", "300 Multiple Choices", "301 Moved Permanently",
                                    "302 Found", "302", "303 See Other", "307 Temporary Redirect",
                                    "308 Permanent Redirect", "404 Not Found"])
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_location(bench, status, place):
    """Every answer keeps its status, wherever its Location stands."""
    headers = {"alone": [], "first": [["X-Later", "1"]], "last": [["X-Before", "1"]]}[place]
    location = ["Location", "http://www.example.org/elsewhere?a=1"]
    headers = [*headers, location] if place == "last" else [location, *headers]
    for chunks in ([], ["the body"]):
        response = respond(bench, status=status, headers=[*headers, ["Content-Type", "text/plain"]], chunks=chunks)
        assert (response.status, response.body) == (int(status[:3]), "".join(chunks).encode()), response
        assert response.header("Location") == location[1]


@pytest.mark.parametrize("location", ["/elsewhere?a=1", "elsewhere", "//other.example.org/"])
def test_local_redirect(bench, location):
    """RFC 3875 lets a server answer a local Location itself; with a Status it must not."""
    response = respond(bench, status="302 Found", headers=[["Location", location], ["Content-Type", "text/plain"]],
                       chunks=["moved"])
    assert (response.status, response.body) == (302, b"moved"), response
    right = expected("location " + location, bench, location)
    assert response.header("Location") == right.format(port=bench.proxy.port)


def test_set_cookies(bench):
    cookies = ["a=1; Path=/", "b=2; HttpOnly", "c=3; Expires=Wed, 21 Oct 2037 07:28:00 GMT"]
    response = respond(bench, headers=[["Set-Cookie", cookie] for cookie in cookies] + [["Content-Type", "text/plain"]],
                       chunks=["x"])
    assert response.all("Set-Cookie") == cookies


def test_answer_headers(bench):
    """The application's headers go through as they are, a large one and those that proxies set themselves as well."""
    headers = {"Content-Type": "text/x; charset=utf-8", "X-Long": "v" * 3000, "X-Latin": "caf\xe9",
               "Vary": "Accept, Cookie", "Cache-Control": "no-store", "ETag": '"x"',
               "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "WWW-Authenticate": 'Basic realm="r"',
               "Content-Language": "de", "X-Status": "7"}
    response = respond(bench, headers=list(headers.items()), chunks=["x"])
    for name, value in headers.items():
        assert response.header(name) == expected("answer's " + name, bench, value), name
    assert response.header("Status") == expected("Status", bench, None)


@pytest.mark.parametrize("size", [3000, 7000, 20000])
def test_large_answer_header(bench, size):
    response = answer(bench, headers=[["X-Large", "v" * size], ["Content-Type", "text/plain"]], chunks=["x"])
    right = expected("answer's header of %d" % size, bench, 200)
    assert response.status == right, response
    if right == 200:
        assert response.header("X-Large") == "v" * size
