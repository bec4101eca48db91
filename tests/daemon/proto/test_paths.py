"""What proxies send with their stock configuration, and what the application must see of it."""
import json
import os
import re

import pytest

import daemon
import fcgi
from fcgi import params

OPTIONS = []


def environ_of(server, given):
    """The environ that the application gets for these parameters alone."""
    with server.connect() as connection:
        connection.send(fcgi.request(given))
        response = connection.read_response(1)
    assert response.status == 200, response
    return {key: value for key, (kind, value) in json.loads(response.body).items()}


def own_name():
    """What SERVER_SOFTWARE is when the web server sends none."""
    return daemon.run("--version").stdout.splitlines()[0].replace(" ", "/")


@pytest.fixture(scope="module")
def server():
    """The application is /environ whatever the path, so that any path can be looked at."""
    running = daemon.Daemon("anypath")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def mounted():
    running = daemon.Daemon("anypath", "--script-name", "/app", both=daemon.speaks_http())
    yield running
    running.stop()


# Parameters as each proxy sends them for /a/b, and how it tells that there is no body.
PROXIES = {
    "nginx": {"SCRIPT_NAME": "/a/b", "CONTENT_LENGTH": "", "QUERY_STRING": "", "SERVER_NAME": ""},
    "caddy": {"SCRIPT_NAME": "", "PATH_INFO": "/a/b", "CONTENT_LENGTH": "0"},
    "caddy chunked": {"SCRIPT_NAME": "", "PATH_INFO": "/a/b", "CONTENT_LENGTH": "-1"},
    "apache": {"SCRIPT_NAME": "/a/b", "REQUEST_URI": "/a/b"},
    "lighttpd fixed": {"SCRIPT_NAME": "", "PATH_INFO": "/a/b", "CONTENT_LENGTH": "0"},
    "haproxy": {"SCRIPT_NAME": "/a/b", "CONTENT_LENGTH": "0", "SERVER_NAME": "localhost:8080", "SERVER_PORT": "0"},
    "h2o": {"SCRIPT_NAME": "", "PATH_INFO": "/a/b"},
}


@pytest.mark.parametrize("proxy", PROXIES)
def test_paths_behind_each_proxy(server, proxy):
    environ = environ_of(server, {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_URI": "/a/b",
                                  **PROXIES[proxy]})
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/a/b")
    assert environ["QUERY_STRING"] == "" and environ["REQUEST_URI"] == "/a/b"
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"].isdigit() and environ["SERVER_PORT"] != "0"
    assert environ.get("CONTENT_LENGTH", "0") == "0"


@pytest.mark.parametrize("script_name, path_info, expected", [
    ("/a/b", None, ("", "/a/b")),
    ("/a/b", "", ("", "/a/b")),
    ("/", None, ("", "/")),
    ("", "/a", ("", "/a")),
    ("/app", "/a", ("/app", "/a")),
    ("/app/", "/a", ("/app", "/a")),
    ("/", "/a", ("", "/a")),
    ("", "", ("", "")),
    ("/a//b/", None, ("", "/a//b/")),
    ("/caf\xc3\xa9", None, ("", "/caf\xc3\xa9")),
])
def test_paths(server, script_name, path_info, expected):
    given = params(script_name)
    if path_info is not None:
        given["PATH_INFO"] = path_info
    environ = environ_of(server, given)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@pytest.mark.parametrize("script_name, path_info, expected", [
    ("/app/a/b", None, "/a/b"),    # nginx, Apache: the whole path
    ("/app", None, ""),
    ("/app/", None, "/"),
    ("", "/app/a", "/a"),          # H2O leaves the prefix in PATH_INFO
    ("", "/a", "/a"),              # Caddy's handle_path has stripped it
    ("/app", "/a", "/a"),          # lighttpd splits at its mount
    ("/a", "/b", "/a/b"),          # lighttpd at "/" splits in the wrong place
    ("/application/x", None, "/application/x"),
    ("/app/app/a", None, "/app/a"),
    ("/", "/app/a", "/a"),
])
def test_script_name_option(mounted, script_name, path_info, expected):
    given = params(script_name, REQUEST_URI="/app/a?q=1")
    if path_info is not None:
        given["PATH_INFO"] = path_info
    environ = environ_of(mounted, given)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", expected)
    assert environ["REQUEST_URI"] == "/app/a?q=1", "never touched"


@pytest.mark.parametrize("given, path_info", [
    ({"SCRIPT_NAME": "/app/a", "REQUEST_URI": "/app/a"}, "/a"),
    ({"PATH_INFO": "/a", "REQUEST_URI": "/%61pp/a?q"}, "/a"),
    ({"PATH_INFO": "/a", "REQUEST_URI": "//app//a"}, "/a"),
    ({"PATH_INFO": "/app/a", "REQUEST_URI": "/app/app/a"}, "/app/a"),  # Caddy's handle_path has stripped it
    ({"PATH_INFO": "/a", "REQUEST_URI": "/./app/b/../a"}, "/a"),
    ({"PATH_INFO": "/a", "REQUEST_URI": "http://localhost/app/a"}, "/a"),
    ({"PATH_INFO": "//app//a", "REQUEST_URI": "//app//a"}, "//a"),
    ({"PATH_INFO": "/x/../app/a", "REQUEST_URI": "/x/../app/a"}, "/a"),
    ({"SCRIPT_NAME": "/app", "PATH_INFO": "/app/a", "REQUEST_URI": "/app/a"}, "/a"),
    ({"SCRIPT_NAME": "/app/sign-in", "REQUEST_URI": "/private"}, "/sign-in"),  # auth_request, error_page, rewrite
    ({"PATH_INFO": "/apple"}, "/apple"),
    ({"REQUEST_URI": "/app/%C3%A9?q"}, "/\xc3\xa9"),
    ({"REQUEST_METHOD": "OPTIONS", "PATH_INFO": "*", "REQUEST_URI": "*"}, ""),
])
def test_inside_the_mount_point(mounted, given, path_info):
    environ = environ_of(mounted, given)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path_info)
    assert environ.get("REQUEST_URI") == given.get("REQUEST_URI"), "never touched"


@pytest.mark.parametrize("given", [
    {"SCRIPT_NAME": "/apple", "REQUEST_URI": "/apple"},
    {"SCRIPT_NAME": "/app", "PATH_INFO": "le", "REQUEST_URI": "/apple"},
    {"SCRIPT_NAME": "/app", "PATH_INFO": "/apple", "REQUEST_URI": "/apple"},
    {"PATH_INFO": "/apple", "REQUEST_URI": "/%61pple?/app/"},
    {"PATH_INFO": "/x", "REQUEST_URI": "/app/../x", "DOCUMENT_URI": "/x"},
    {"PATH_INFO": "/app/../x", "REQUEST_URI": "/app/%2e%2e/x"},
    {"PATH_INFO": "//apple", "REQUEST_URI": "//apple"},
    {"PATH_INFO": "/x", "REQUEST_URI": "http://app/x"},
    {"REQUEST_URI": "/apple"},
])
def test_outside_the_mount_point(mounted, given):
    """The server's own 404, after which the connection goes on."""
    with mounted.connect() as connection:
        connection.send(fcgi.request({**given, "REQUEST_METHOD": "POST"}, b"x" * 100000, keep=True))
        response = connection.read_response(1)
        assert (response.status, response.body) == (404, b"404 Not Found\n") and response.complete
        connection.send(fcgi.request(params("/app/a"), keep=True))
        assert connection.read_response(1).status == 200


def test_outside_the_mount_point_is_logged(start):
    server = start("anypath", "--script-name", "/app")
    assert server.ask("/apple").status == 404
    server.wait_log(r"info: connection \d+: request 1: 404 [^\n]*--script-name: GET /apple")


def test_authorizer_is_asked_about_other_paths(mounted):
    with mounted.connect() as connection:
        given = {"SCRIPT_NAME": "/private", "REQUEST_URI": "/private", "REQUEST_METHOD": "GET"}
        connection.send(fcgi.begin(role=fcgi.AUTHORIZER), fcgi.stream(fcgi.PARAMS, 1, fcgi.pairs(given)))
        response = connection.read_response(1)
        assert response.status == 200 and b"AUTHORIZER" in response.body


@pytest.mark.parametrize("given, expected", [
    ({"SCRIPT_NAME": "/app", "REQUEST_URI": "/app/a%20b?q", "DOCUMENT_URI": "/app/a b"}, ("/app", "/a b")),
    ({"SCRIPT_NAME": "/app", "REQUEST_URI": "/app/", "DOCUMENT_URI": "/app/"}, ("/app", "/")),
    ({"SCRIPT_NAME": "/app", "REQUEST_URI": "/app/a%20b?q"}, ("/app", "/a b")),
    ({"SCRIPT_NAME": "/app", "REQUEST_URI": "http://localhost/app/a"}, ("/app", "/a")),
    ({"SCRIPT_NAME": "/app", "REQUEST_URI": "/apple/a"}, ("", "/app")),
    ({"SCRIPT_NAME": "/a b", "REQUEST_URI": "/a%20b"}, ("", "/a b")),
    ({"SCRIPT_NAME": "/a/b", "REQUEST_URI": "/a//b"}, ("", "/a/b")),
    ({"SCRIPT_NAME": "/a", "REQUEST_URI": "/a/b/../../a", "DOCUMENT_URI": "/a"}, ("", "/a")),
    ({"SCRIPT_NAME": "/a", "REQUEST_URI": "/a/b/%2e%2e/../a"}, ("", "/a")),
    ({"SCRIPT_NAME": "/a", "PATH_INFO": "/a", "REQUEST_URI": "/a?q"}, ("", "/a")),
    ({"SCRIPT_NAME": "/a", "PATH_INFO": "/a", "REQUEST_URI": "/a/a"}, ("/a", "/a")),
    ({"SCRIPT_NAME": "/a", "PATH_INFO": "/a"}, ("/a", "/a")),
    ({"REQUEST_URI": "/a%20b/%C3%A9//?q"}, ("", "/a b/\xc3\xa9//")),
    ({"SCRIPT_NAME": "", "REQUEST_URI": "/a"}, ("", "/a")),
    ({"SCRIPT_NAME": "", "PATH_INFO": "", "REQUEST_URI": "/app"}, ("", "")),  # Caddy's handle_path has stripped it
    ({"REQUEST_URI": "/x", "DOCUMENT_URI": "/a%20b"}, ("", "/a%20b")),
    ({"REQUEST_URI": "a%20b?q"}, ("", "/a b")),
    ({"SCRIPT_NAME": "/", "REQUEST_URI": "/a", "DOCUMENT_URI": "/a"}, ("", "/a")),
    ({"DOCUMENT_URI": "/a b"}, ("", "/a b")),
    ({"SCRIPT_NAME": "a/b"}, ("", "/a/b")),
    ({"PATH_INFO": "a/b"}, ("", "/a/b")),
    ({"REQUEST_METHOD": "OPTIONS", "SCRIPT_NAME": "*", "REQUEST_URI": "*"}, ("", "")),
    ({"REQUEST_METHOD": "OPTIONS", "PATH_INFO": "*", "REQUEST_URI": "*"}, ("", "")),
    ({"REQUEST_METHOD": "OPTIONS", "REQUEST_URI": "*"}, ("", "")),
])
def test_paths_and_uris(server, given, expected):
    """Again on a kept connection: what is remembered of a request makes no difference."""
    with server.connect() as connection:
        for _ in range(3):
            connection.send(fcgi.request(given, keep=True))
            environ = json.loads(connection.read_response(1).body)
            assert (environ["SCRIPT_NAME"][1], environ["PATH_INFO"][1]) == expected


@pytest.mark.parametrize("uri", ["/%", "/a%0", "/%zz", "/a%00b"])
def test_path_that_cannot_be_decoded(server, uri):
    with server.connect() as connection:
        connection.send(fcgi.request({"REQUEST_URI": uri}))
        assert connection.read_response(1).status == 400


def seen_through(proxy, name, target, method="GET"):
    response = proxy.ask(name, target, method)
    if response.status != 200:
        return response.status
    environ = {key: value for key, (kind, value) in json.loads(response.body).items()}
    assert environ["REQUEST_URI"] == target
    return environ["SCRIPT_NAME"], environ["PATH_INFO"]


def test_script_name_set_by_nginx(server):
    """The recipe that is taught for uWSGI and gunicorn: the last SCRIPT_NAME counts, and there is no PATH_INFO."""
    import nginx
    proxy = nginx.Nginx({"plain": (server.path, False, "/app2/")}, more=" fastcgi_param SCRIPT_NAME /app2;")
    try:
        for target, path in [("/app2/a/b?q=1", "/a/b"), ("/app2/", "/"), ("//app2/a%20b", "/a b"),
                             ("/app2/a/../b//c/", "/b/c/"), ("/x/../%61pp2/%C3%A9", "/\xc3\xa9")]:
            assert seen_through(proxy, "plain", target) == ("/app2", path), target
    finally:
        proxy.stop()


def test_location_that_matches_by_prefix(mounted):
    """nginx gives /apple to `location /app`."""
    import nginx
    backends = {"plain": (mounted.path, False, "/app"), "kept": (mounted.path, True, "/app")}
    if mounted.http_address:
        backends["proxied"] = ("%s:%d" % mounted.http_address, "proxy", "/app")
    proxy = nginx.Nginx(backends)
    try:
        for name in backends:
            for target in ("/apple", "/app%6ce/x", "//apple", "/x/../apple"):
                assert seen_through(proxy, name, target) == 404, target
            for target, path in [("/app", ""), ("/app/x", "/x"), ("/%61pp/x", "/x"), ("//app/x", "/x"),
                                 ("/y/../app/x", "/x"), ("/app/../app/x/", "/x/")]:
                assert seen_through(proxy, name, target) == ("/app", path), target
    finally:
        proxy.stop()


def test_mount_behind_nginx(mounted):
    """A location of nginx's stock configuration, and the option: no rewriting of paths."""
    import nginx
    proxy = nginx.Nginx({"plain": (mounted.path, False, "/app/"), "kept": (mounted.path, True, "/app/")})
    try:
        for name in ("plain", "kept"):
            response = proxy.ask(name, "/app/a/%C3%A9?q=1")
            environ = {key: value for key, (kind, value) in json.loads(response.body).items()}
            assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/a/\xc3\xa9")
            assert environ["REQUEST_URI"] == "/app/a/%C3%A9?q=1"
    finally:
        proxy.stop()


@pytest.mark.parametrize("given, name, port", [
    ({}, "localhost", "80"),
    ({"SERVER_NAME": "", "SERVER_PORT": "8080"}, "localhost", "8080"),
    ({"SERVER_NAME": "example.org", "SERVER_PORT": "81"}, "example.org", "81"),
    ({"SERVER_NAME": "example.org:8443", "SERVER_PORT": "0"}, "example.org", "8443"),
    ({"SERVER_NAME": "example.org:8443"}, "example.org", "8443"),
    ({"SERVER_NAME": "", "HTTP_HOST": "www.example.org:82"}, "www.example.org", "82"),
    ({"SERVER_NAME": "", "HTTP_HOST": "[::1]:82"}, None, "82"),
    ({"SERVER_NAME": "", "SERVER_ADDR": "10.0.0.1"}, "10.0.0.1", "80"),
    ({"HTTPS": "on"}, "localhost", "443"),
    ({"SERVER_NAME": "example.org", "SERVER_PORT": "0", "HTTPS": "on"}, "example.org", "443"),
])
def test_server_name_and_port(server, given, name, port):
    environ = environ_of(server, {"SCRIPT_NAME": "/", "REQUEST_METHOD": "GET", **given})
    assert environ["SERVER_PORT"] == port
    assert environ["SERVER_NAME"] == name if name else environ["SERVER_NAME"].strip("[]") == "::1"


@pytest.mark.parametrize("given, scheme", [
    ({}, "http"), ({"HTTPS": "on"}, "https"), ({"HTTPS": "1"}, "https"), ({"HTTPS": "yes"}, "https"),
    ({"HTTPS": "ON"}, "https"), ({"HTTPS": "off"}, "http"), ({"HTTPS": ""}, "http"),
    ({"REQUEST_SCHEME": "https"}, "https"), ({"REQUEST_SCHEME": "http"}, "http"),
    ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),
])
def test_scheme(server, given, scheme):
    assert environ_of(server, {"SCRIPT_NAME": "/", **given})["wsgi.url_scheme"] == scheme


def test_repeated_parameters(server):
    environ = environ_of(server, [
        ("SCRIPT_NAME", "/first"), ("HTTP_X_A", "1"), ("HTTP_COOKIE", "a=1"), ("HTTP_X_A", "2"), ("HTTP_COOKIE", "b=2"),
        ("SCRIPT_NAME", "/last"), ("HTTP_X_A", "3"), ("X_PLAIN", "1"), ("X_PLAIN", "2"), ("REQUEST_METHOD", "GET"),
        ("REQUEST_METHOD", "PUT")])
    assert environ["PATH_INFO"] == "/last", "nginx overrides the stock file in this way"
    assert environ["HTTP_X_A"] == "1, 2, 3" and environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["X_PLAIN"] == "2" and environ["REQUEST_METHOD"] == "PUT"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING"])
def test_dropped_parameters(server, name):
    """HTTP_PROXY is httpoxy; the others would contradict the server's own."""
    assert name not in environ_of(server, {"SCRIPT_NAME": "/", name: "x", "HTTP_OTHER": "y"})


def test_parameters_cannot_shadow_the_server(server):
    honest = environ_of(server, {"SCRIPT_NAME": "/"})
    shadows = {key: "shadow" for key in [*honest, "FCGI_ROLE"] if "." in key or key == "FCGI_ROLE"}
    environ = environ_of(server, {"SCRIPT_NAME": "/", **shadows, "wsgi.unknown": "shadow", "wsgi_fcgi.unknown": "x"})
    assert "shadow" not in environ.values() and environ.keys() == honest.keys()
    for name in honest:
        assert re.fullmatch(r"[A-Z_]+|wsgi\.[a-z_]+|wsgi_fcgi\.[a-z_]+", name), name


@pytest.mark.parametrize("given", [{}, dict.fromkeys([
    "REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING",
    "CONTENT_LENGTH"], "")])
def test_defaults(server, given):
    """What PEP 3333 and RFC 3875 (4.1.4, 4.1.17) require is there, and nothing else that the web server did not send."""
    environ = environ_of(server, given)
    assert environ["REQUEST_METHOD"] == "GET" and environ["SERVER_PROTOCOL"].startswith("HTTP/1.")
    assert environ["SCRIPT_NAME"] == environ["PATH_INFO"] == environ["QUERY_STRING"] == ""
    assert environ["SERVER_NAME"] and environ["SERVER_PORT"].isdigit()
    assert environ["GATEWAY_INTERFACE"] == "CGI/1.1" and environ["SERVER_SOFTWARE"] == own_name()
    for name in ("CONTENT_LENGTH", "CONTENT_TYPE", "REMOTE_USER", "HTTP_HOST", "HTTPS", "REQUEST_URI", "PATH"):
        assert name not in environ


def test_other_parameters_go_through(server):
    """Whatever the administrator sets with fastcgi_param is there, long ones and empty ones as well."""
    given = {"SCRIPT_NAME": "/", "REMOTE_USER": "me", "MY_SETTING": "x" * 4000, "EMPTY": "", "lower_case": "1",
             "GATEWAY_INTERFACE": "CGI/9", "SERVER_SOFTWARE": "web/1", "N" * 300: "long name", "LATIN": "\xe9\xff", "SSL_PROTOCOL": "TLSv1.3",
             "REQUEST_URI": "/a%20b/../x?c=%20#f", "odd name=": "\t\x01", "PATH_TRANSLATED": "/srv"}
    environ = environ_of(server, given)
    given.pop("SCRIPT_NAME")
    assert {key: environ.get(key) for key in given} == given


def test_manual_page_names_every_key(server):
    """PEP 3333: a server should document what variables it provides."""
    with open(os.path.join(daemon.HERE, os.pardir, os.pardir, "man", "wsgi-fcgi.8")) as file:
        section = re.search(r"(?sm)^\.Sh APPLICATION ENVIRONMENT$(.*?)^\.Sh ", file.read()).group(1)
    given = {"REQUEST_URI": "/", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "0"}
    for name in environ_of(server, given):
        assert re.search(r"(?<![\w.])%s\b" % re.escape(name), section), name
