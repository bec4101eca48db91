"""The WSGI call (PEP 3333), over raw FastCGI and through nginx with and without kept connections."""
import itertools
import json
import socket
import urllib.parse

import pytest

from daemon import until
from fcgi import PATIENCE

OVER_HTTP = True
tokens = map("token%d".__mod__, itertools.count())


def spec(**what):
    return "/respond?spec=" + urllib.parse.quote(json.dumps(what))


def get_json(client, path, *args, **more):
    response = client.ask(path, *args, **more)
    assert response.status == 200 and response.complete, response
    return json.loads(response.body)


def header(response, name):
    return [value for key, value in response.headers if key.lower() == name.lower()]


def becomes(client, path, value, *keys):
    """Waits for what a client may see before the application's close() has come: an answer of known length is whole
    with its last byte."""
    def current():
        got = get_json(client, path)
        return ([got[key] for key in keys] if keys else got) == value
    until(current, "%s to give %r" % (path, value))


def still_fine(client):
    response = client.ask("/hello")
    assert (response.status, response.body, response.complete) == (200, b"Hello, world\n", True)


# --- environ

def test_environ_is_complete(client):
    environ = get_json(client, "/environ?a=1&b=%20", headers={"X-Thing": "thing"})
    native = {key: value for key, (kind, value) in environ.items() if kind == "str"}
    for key, (kind, value) in environ.items():
        assert kind == "str" or "." in key, "%s is a %s" % (key, kind)
    expected = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/environ", "QUERY_STRING": "a=1&b=%20",
                "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_THING": "thing", "wsgi.url_scheme": "http",
                "REQUEST_URI": "/environ?a=1&b=%20", "REMOTE_ADDR": "127.0.0.1"}
    assert {key: native.get(key) for key in expected} == expected
    assert native["SERVER_NAME"] and native["SERVER_PORT"].isdigit()
    assert "CONTENT_LENGTH" not in environ, "'' means that there is no body"
    assert environ["wsgi.version"] == ["tuple", [1, 0]]
    flags = {"wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
             "wsgi.input_terminated": True}
    assert {key: environ[key] for key in flags} == {key: ["bool", value] for key, value in flags.items()}
    for key in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi_fcgi.client_connected"):
        assert key in environ


def test_environ_of_a_post(client):
    environ = get_json(client, "/environ", "POST", body=b"a=b", headers={"Content-Type": "application/x-thing"})
    assert environ["REQUEST_METHOD"] == ["str", "POST"]
    assert environ["CONTENT_LENGTH"] == ["str", "3"]
    assert environ["CONTENT_TYPE"] == ["str", "application/x-thing"]
    assert "HTTP_CONTENT_LENGTH" not in environ and "HTTP_CONTENT_TYPE" not in environ


def test_environ_belongs_to_one_request(client):
    """Nothing of one request is seen in the next."""
    get_json(client, "/environ?one", headers={"X-One": "1"})
    environ = get_json(client, "/environ?two", headers={"X-Two": "2"})
    assert "HTTP_X_ONE" not in environ and environ["HTTP_X_TWO"] == ["str", "2"]
    assert environ["QUERY_STRING"] == ["str", "two"]


def test_bytes_are_latin_1(client):
    """PEP 3333, "Unicode Issues": native strings hold the bytes, one each."""
    raw = "/environ?q=%C3%A9"
    environ = get_json(client, raw, headers={"X-Name": "caf\xe9"})
    assert environ["HTTP_X_NAME"] == ["str", "caf\xe9"]
    assert environ["QUERY_STRING"] == ["str", "q=%C3%A9"]


def test_path_is_decoded_once(client):
    """The proxy decodes; a UTF-8 path comes as its bytes in latin-1."""
    if client.name == "direct":
        response = client.ask("/caf\xc3\xa9 %41")
    else:
        response = client.ask("/caf%C3%A9%20%2541")
    assert response.status == 404 and response.body == b"no such route\n"


def test_url_is_put_together_again(client):
    """PEP 3333, "URL Reconstruction"."""
    for path in ("/url", "/url?", "/url?a=%20b&c"):
        url = client.ask(path).body.decode()
        scheme, _, rest = url.partition("://")
        assert scheme == "http" and "/" + rest.partition("/")[2] == path.rstrip("?")
        if client.name == "direct":
            assert rest.startswith("localhost/")


def test_what_the_web_server_adds(nginx):
    """Date, Server and what else HTTP asks for is not the application's business."""
    for name in ("nginx", "kept"):
        response = nginx.ask(name, "/hello")
        assert len(header(response, "Date")) == len(header(response, "Server")) == 1


# --- wsgi.input

def test_expect_continue(nginx):
    """PEP 3333, "HTTP 1.1 Expect/Continue": the client is told to go on, and the application gets its body."""
    for name in ("nginx", "kept"):
        sock = socket.create_connection(("127.0.0.1", nginx.ports[name]), PATIENCE)
        with sock, sock.makefile("rb") as file:
            sock.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
                         b"Connection: close\r\n\r\n")
            assert file.readline() == b"HTTP/1.1 100 Continue\r\n" and file.readline() == b"\r\n"
            sock.sendall(b"body")
            assert file.readline().startswith(b"HTTP/1.1 200 ") and file.read().endswith(b"\r\n\r\nbody")


BODY = b"first line\nsecond\n\nlast without end"


@pytest.mark.parametrize("ops, expected", [
    ([["read"]], [BODY.decode()]),
    ([["read"], ["read"], ["readline"], ["readlines"], ["iter"]], [BODY.decode(), "", "", [], []]),
    ([["read", -1]], [BODY.decode()]),
    ([["read", None]], [BODY.decode()]),
    ([["read", 0], ["read", 5], ["read", 1000], ["read", 1]], ["", "first", BODY[5:].decode(), ""]),
    ([["readline"], ["readline"], ["readline"], ["readline"], ["readline"]],
     ["first line\n", "second\n", "\n", "last without end", ""]),
    ([["readline", 5], ["readline", 100], ["readline", -1], ["readline", 0]], ["first", " line\n", "second\n", ""]),
    ([["readlines"]], [[line.decode() for line in BODY.splitlines(True)]]),
    ([["readlines", 1], ["read"]], [["first line\n"], BODY[11:].decode()]),
    ([["readline"], ["iter"]], ["first line\n", ["second\n", "\n", "last without end"]]),
    ([["read", 3], ["readline"], ["read", 3], ["readlines"]],
     ["fir", "st line\n", "sec", ["ond\n", "\n", "last without end"]]),
])
def test_input(client, ops, expected):
    path = "/read?ops=" + urllib.parse.quote(json.dumps(ops))
    assert get_json(client, path, "POST", body=BODY) == expected


def test_input_of_a_get_is_empty(client):
    path = "/read?ops=" + urllib.parse.quote('[["read"], ["readline"], ["readlines"], ["iter"]]')
    assert get_json(client, path) == ["", "", [], []]


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 300000, 3000000])
def test_echo_sizes(client, size):
    body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    body = body[:size]
    response = client.ask("/echo", "POST", body=body)
    assert response.status == 200 and response.body == body and response.complete


@pytest.mark.parametrize("size", [1000, 320000, 5000000])
def test_body_that_is_not_read(client, size):
    """nginx sends no more of the body once the headers of the answer are there, so its end may never come."""
    for _ in range(3):
        response = client.ask("/hello", "POST", body=b"x" * size)
        assert (response.status, response.body, response.complete) == (200, b"Hello, world\n", True)
    still_fine(client)


def test_chunked_upload(nginx):
    """A client of HTTP/1.1 that does not know the length beforehand."""
    for name in ("nginx", "kept"):
        response = nginx.ask(name, "/echo", "POST", body=iter([b"one ", b"two ", b"three"]))
        assert response.body == b"one two three"


def test_errors_stream(client, server):
    token = next(tokens)
    assert client.ask("/errors?text=caf%C3%A9%20" + token).status == 200
    match = server.wait_log("written to errors: .*" + token)
    assert "caf\xe9" in match.group()
    server.wait_log(r"(?m)^(.*\W)?first line\n(.*\n)*(.*\W)?second line\n")
    server.wait_log(r"printed in parts\n")


# --- start_response and the body

@pytest.mark.parametrize("kind", ["list", "tuple", "iterator", "generator"])
@pytest.mark.parametrize("chunks", [[], ["one"], ["one", "two"], ["", "one", "", "two", ""], [""], ["x" * 3000, "y"]])
def test_iterables(client, kind, chunks):
    response = client.ask(spec(chunks=chunks, kind=kind, headers=[["Content-Type", "text/x"]]))
    body = "".join(chunks).encode()
    assert (response.status, response.body, response.complete) == (200, body, True), response
    assert header(response, "Content-Type") == ["text/x"]
    if kind in ("list", "tuple"):
        assert header(response, "Content-Length") == [str(len(body))], "all is there: the length is known"
    if client.name == "direct":
        if kind not in ("list", "tuple"):
            assert response.chunks == [chunk.encode() for chunk in chunks if chunk], "a record for each chunk"
            assert header(response, "Content-Length") == ([] if body else ["0"])


def test_large_chunks(client):
    for path in ("/big?mib=2&token=" + next(tokens),):
        response = client.ask(path)
        assert response.body == b"".join(b"%065535d\n" % number for number in range(32)) and response.complete


def test_headers_go_through(client):
    headers = [["Content-Type", "text/plain; charset=utf-8"], ["Set-Cookie", "a=1; Path=/"], ["Set-Cookie", "b=2"],
               ["Set-Cookie", "c=3"], ["X-Empty", ""], ["X-Latin", "caf\xe9"], ["Location", "http://localhost/there"]]
    response = client.ask(spec(status="302 Found Elsewhere", headers=headers, chunks=["moved"]))
    assert response.status == 302
    assert header(response, "Set-Cookie") == ["a=1; Path=/", "b=2", "c=3"]
    assert header(response, "X-Latin") == ["caf\xe9"]
    assert header(response, "Location") == ["http://localhost/there"]
    assert response.body == b"moved"
    if client.name == "direct":
        assert header(response, "X-Empty") == [""]


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "404 Not Found", "418 I'm a teapot", "599 Odd"])
def test_status(client, status):
    response = client.ask(spec(status=status, chunks=["body"]))
    assert response.status == int(status[:3]) and response.body == b"body"


def test_write(client):
    response = client.ask(spec(write=["one ", "", "two "], chunks=["three ", "four"]))
    assert response.status == 200 and response.body == b"one two three four" and response.complete
    if client.name == "direct":
        assert response.chunks[:2] == [b"one ", b"two "]


@pytest.mark.parametrize("headers", [[], [["Content-Length", "4"]]])
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_head(client, headers, kind):
    path = spec(headers=headers, chunks=["body"], kind=kind)
    response = client.ask(path, "HEAD")
    assert (response.status, response.body, response.complete) == (200, b"", True)
    if headers or kind == "list":
        assert header(response, "Content-Length") == ["4"]
    still_fine(client)


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified", "204", "205", "304"])
@pytest.mark.parametrize("chunks", [[], [""], ["forbidden"]])
@pytest.mark.parametrize("kind", ["list", "generator"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_status_without_body(client, status, chunks, kind, method):
    """Nor has it the length of what is not sent: that of a 304 would be taken for the other answer's (RFC 9110, 8.6)."""
    response = client.ask(spec(status=status, chunks=chunks, kind=kind, headers=[["X-Thing", "1"]]), method)
    assert (response.status, response.body, response.complete) == (int(status[:3]), b"", True)
    assert header(response, "Content-Length") == (["0"] if status[:3] == "205" else [])
    assert header(response, "Transfer-Encoding") == [] and header(response, "X-Thing") == ["1"]
    still_fine(client)


LENGTHS = {"200": {"GET": "4", "HEAD": "4"}, "204": {"GET": None, "HEAD": None}, "205": {"GET": "0", "HEAD": "0"},
           "206": {"GET": "4", "HEAD": "4"}, "304": {"GET": "4", "HEAD": "4"}, "305": {"GET": "4", "HEAD": "4"},
           "404": {"GET": "4", "HEAD": "4"}, "405": {"GET": "4", "HEAD": "4"}, "504": {"GET": "4", "HEAD": "4"}}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", LENGTHS)
@pytest.mark.parametrize("place", ["first", "middle", "last", "twice"])
def test_length_that_a_status_allows(server, status, method, place):
    """RFC 9110, 8.6: none for a 204; 15.3.6: 0 for a 205; that of the other answer for a 304. The same over FastCGI."""
    length, others = ["Content-Length", "4"], [["X-Content-Length", "5"], ["Content-Length-X", "6"]]
    headers = {"first": [length, *others], "middle": [others[0], length, others[1]], "last": [*others, length],
               "twice": [["content-length", "4"], *others, ["CONTENT-LENGTH", "4"]]}[place]
    with server.connect() as connection:
        for chunks in ([["body"], []] if status in ("204", "205", "304") or method == "HEAD" else [["body"]]):
            query = spec(status=status + " Any", headers=headers, chunks=chunks).partition("?")[2]
            response = connection.ask("/respond", method, query)
            assert (response.status, response.complete) == (int(status), True)
            right = LENGTHS[status][method]
            assert header(response, "Content-Length") == ([right] if right else []), response
            assert header(response, "X-Content-Length") == ["5"] and header(response, "Content-Length-X") == ["6"]
            assert response.body == (b"" if status in ("204", "205", "304") or method == "HEAD" else b"body")
        assert connection.ask("/hello").body == b"Hello, world\n", "nothing is left in between"


@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_file_or_length_of_a_status_without_body(client, tmp_path, status):
    """However the body would have been sent."""
    path = tmp_path / "content"
    path.write_bytes(b"x" * 100000)
    response = client.ask("/file?" + urllib.parse.urlencode({"path": path, "status": status}))
    assert (response.status, response.body, response.complete) == (int(status[:3]), b"", True)
    assert header(response, "Content-Length") == (["0"] if status[:3] == "205" else [])
    response = client.ask(spec(status=status, write=["one", "two"], chunks=["three"]))
    assert (response.status, response.body, response.complete) == (int(status[:3]), b"", True)


def test_declared_length_is_kept_to(client, server):
    """PEP 3333: never more bytes than Content-Length; fewer must not look whole."""
    response = client.ask(spec(headers=[["Content-Length", "5"]], chunks=["12345678"]))
    assert response.body == b"12345"
    response = client.ask(spec(headers=[["Content-Length", "5"]], chunks=["1234", "5678"], kind="generator"))
    assert response.body == b"12345"
    response = client.ask(spec(headers=[["Content-Length", "50"]], chunks=["1234", "5678"], kind="generator"))
    assert not response.complete and b"12345678".startswith(response.body)
    still_fine(client)


@pytest.mark.parametrize("kind", ["file", "bytesio", "object"])
@pytest.mark.parametrize("offset, size", [(0, None), (0, 1000), (70001, None)])
def test_file_wrapper(client, tmp_path, kind, offset, size):
    content = bytes(range(256)) * 1000
    path = tmp_path / "content"
    path.write_bytes(content)
    query = {"path": path, "kind": kind, "offset": offset, "token": next(tokens), **({"size": size} if size else {})}
    response = client.ask("/file?" + urllib.parse.urlencode(query))
    assert response.status == 200 and response.body == content[offset:] and response.complete
    if kind == "object":
        becomes(client, "/state?token=" + query["token"], [1], "closed")
    else:
        becomes(client, "/file-closed", True)


def test_validator(client):
    """wsgiref.validate finds nothing wrong with the server."""
    response = client.ask("/validated")
    assert (response.status, response.body) == (200, b"valid\n"), response
    response = client.ask("/validated", "POST", body=b"12345")
    assert (response.status, response.body) == (200, b"valid\n"), response
