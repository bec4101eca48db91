"""What the application sees of a request, behind each proxy."""
import json

import pytest

from deviations import expected


def environ_of(response):
    assert response.status == 200, response
    return {key: value for key, (kind, value) in json.loads(response.body).items()}


# What the client sends, and PATH_INFO, whose bytes are those of the decoded path (PEP 3333, latin-1).
PATHS = {
    "/": "/",
    "/a": "/a",
    "/a/b/c.d/": "/a/b/c.d/",
    "/a%20b%3Fc%23d%25e": "/a b?c#d%e",
    "/caf%C3%A9": "/caf\xc3\xa9",
    "/caf\xc3\xa9": "/caf\xc3\xa9",
    "/latin%E9": "/latin\xe9",
    "/a//b": "/a//b",
    "/a%2Fb": "/a/b",
    "/a+b": "/a+b",
    "/a;b=1,c": "/a;b=1,c",
    "/~user": "/~user",
    "/index.php": "/index.php",
    "/index.php/x": "/index.php/x",
    "/x.html": "/x.html",
    "/a/../b": "/b",
}


@pytest.mark.parametrize("path", PATHS)
def test_path(bench, path):
    response = bench.ask(path)
    right = expected("path " + path, bench, PATHS[path])
    if isinstance(right, int):
        assert response.status == right
        return
    environ = environ_of(response)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", right)
    assert environ["REQUEST_URI"] == expected("uri " + path, bench, path)


@pytest.mark.parametrize("query", ["a=1&b=2", "", "a=%20+%C3%A9&?=/&&", "caf\xc3\xa9"])
def test_query(bench, query):
    right = expected("query " + query, bench, query)
    response = bench.ask("/a?" + query)
    if right == 400:
        assert response.status == 400
        return
    environ = environ_of(response)
    assert environ["PATH_INFO"] == "/a" and environ["QUERY_STRING"] == right


def test_no_query(bench):
    assert environ_of(bench.ask("/a"))["QUERY_STRING"] == ""


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_method(bench, method):
    environ = environ_of(bench.ask("/a", method, body=b"" if method == "POST" else None))
    assert environ["REQUEST_METHOD"] == method


def test_scheme_http(bench):
    environ = environ_of(bench.ask("/a", headers={"X-Forwarded-Proto": "https"}))
    assert environ["wsgi.url_scheme"] == "http"


def test_scheme_https(secure):
    environ = environ_of(secure.ask("/a"))
    assert environ["wsgi.url_scheme"] == "https" and environ["SERVER_PORT"] == str(secure.proxy.port)


@pytest.mark.parametrize("host", ["localhost:{port}", "www.example.org", "www.example.org:{port}", "[::1]:{port}"])
def test_server_name_and_port(bench, host):
    given = host.format(port=bench.proxy.port)
    environ = environ_of(bench.ask("/a", headers={"Host": given}))
    name = given.rpartition(":")[0] if given.endswith(str(bench.proxy.port)) else given
    assert environ["SERVER_NAME"] == expected("name " + host, bench, name)
    assert environ["SERVER_PORT"] == expected("port " + host, bench, str(bench.proxy.port))
    host_seen = expected("host " + host, bench, given)
    assert environ["HTTP_HOST"] == host_seen.format(port=bench.proxy.port)


def test_host_that_contradicts_the_request_line(bench):
    """RFC 9112, 3.2.2: the host of a request is that of an absolute request target, whatever Host says."""
    answer = bench.ask("http://www.example.org/a", headers={"Host": "other.example.net:81"})
    assert answer.status == 400 or environ_of(answer)["HTTP_HOST"] == expected("absolute target", bench, "www.example.org")


def test_addresses(bench):
    environ = environ_of(bench.ask("/a"))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_repeated_headers(bench):
    environ = environ_of(bench.ask("/a", headers=[("X-A", "1"), ("X-B", "x"), ("X-A", "2"), ("X-A", "3")]))
    assert [value.strip() for value in environ["HTTP_X_A"].split(",")] == ["1", "2", "3"]
    assert environ["HTTP_X_B"] == "x"


def test_repeated_cookies(bench):
    environ = environ_of(bench.ask("/a", headers=[("Cookie", "a=1"), ("Cookie", "b=2")]))
    assert environ["HTTP_COOKIE"].replace("; ", ";") == expected("repeated cookies", bench, "a=1;b=2")


def test_headers_go_through(bench):
    headers = {"Authorization": "Basic eA==", "Cookie": "a=1; b=2", "User-Agent": "a b",
               "Accept": "text/html;q=0.5, */*", "X-Long": "x" * 4000, "X-Latin": "caf\xe9", "If-None-Match": '"a"'}
    environ = environ_of(bench.ask("/a", headers=headers))
    for name, value in headers.items():
        assert environ["HTTP_" + name.upper().replace("-", "_")] == expected("header " + name, bench, value), name


def test_what_is_never_there(bench):
    """HTTP_PROXY (httpoxy), and what would contradict the body's own variables."""
    environ = environ_of(bench.ask("/a", "POST", b"x", {"Proxy": "http://evil/", "Content-Type": "text/x"}))
    assert environ["CONTENT_TYPE"] == "text/x" and environ["CONTENT_LENGTH"] == "1"
    for name in ("HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING"):
        assert name not in environ


@pytest.mark.parametrize("headers, size", [(60, 80), (900, 80), (1, 7000), (1, 70000)])
def test_many_headers(bench, headers, size):
    """More than a proxy takes ends with its own 4xx. Those that go through need PARAMS of several records."""
    response = bench.ask("/a", headers=[("X-Header-%d" % i, "v" * size) for i in range(headers)])
    right = expected("%d headers of %d" % (headers, size), bench, size)
    if right in (400, 431):
        assert response.status == right
        return
    environ = environ_of(response)
    assert {environ["HTTP_X_HEADER_%d" % i] for i in range(headers)} == {"v" * right}


# --- below a path

@pytest.mark.parametrize("target, path_info", [
    ("/app/a/%C3%A9?q=1", "/a/\xc3\xa9"),
    ("/app/", "/"),
    ("/app/app/x", "/app/x"),
    ("/app/a%20b/", "/a b/"),
])
def test_mount(mounted, target, path_info):
    environ = environ_of(mounted.ask(target))
    right = expected("mount " + target, mounted, path_info)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", right)
    assert environ["REQUEST_URI"] == target


def test_mount_bare(mounted):
    """The prefix without a slash at its end."""
    response = mounted.ask("/app")
    right = expected("bare mount", mounted, "the application")
    if right == "the application":
        environ = environ_of(response)
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "")
    else:
        assert response.status == right and b"PATH_INFO" not in response.body


def test_mount_neighbour(mounted):
    """A path that merely begins alike is not the application's."""
    response = mounted.ask("/apple")
    right = expected("neighbour of a mount", mounted, 404)
    if right == "the application":
        assert environ_of(response)["PATH_INFO"] == "/apple"
    else:
        assert response.status == right and b"PATH_INFO" not in response.body


def test_static_files(bench):
    response = bench.ask("/static/hello.txt")
    if expected("static files", bench, True):
        assert (response.status, response.body) == (200, b"a file\n")
    else:
        assert environ_of(response)["PATH_INFO"] == "/static/hello.txt"
