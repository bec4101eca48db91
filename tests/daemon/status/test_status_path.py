"""--status-path: the page on the server's own sockets, which the loop answers, and who may see it."""
import json

import pytest

import fcgi
import rawhttp
from daemon import Daemon, speaks_http
from fcgi import params, request
from nginx import Nginx

OVER_HTTP = True
PATH = ["--status-path", "/server/status"]
REMOTE = "192.0.2.7"


def ask(server, path="/server/status", method="GET", query="", **more):
    with server.connect() as connection:
        connection.send(request(params(path, method, query, **more), more.get("body") or b""))
        return connection.read_response(1)


def header(response, name):
    return [value for key, value in response.headers if key.lower() == name.lower()]


def is_page(response):
    assert response.complete and response.status == 200, response
    assert header(response, "Cache-Control") == ["no-store"], response
    assert header(response, "Vary") == ["Accept"], response
    assert header(response, "Content-Length") == [str(len(response.body))], response
    return response


def page(response):
    return json.loads(is_page(response).body)


def is_forbidden(response):
    assert response.complete and response.status == 403 and response.body == b"403 Forbidden\n", response


@pytest.fixture(scope="module")
def shown(protocol):
    running = Daemon("hangapp", *PATH, "--log-level", "debug", protocol=protocol)
    yield running
    running.stop()


def test_the_forms(shown):
    assert page(ask(shown, query="format=json"))["version"] == 1
    assert header(ask(shown, query="format=json"), "Content-Type") == ["application/json"]
    assert page(ask(shown, headers={"Accept": "application/json"}))["server"]["pid"] == shown.pid
    text = is_page(ask(shown))
    assert header(text, "Content-Type") == ["text/plain; charset=utf-8"] and b"hangapp" in text.body


def test_the_limits_are_those_of_other_requests(start):
    server = start("hangapp", *PATH, "--limit-request-body", "1000")
    assert page(ask(server, query="format=json", body=b"x" * 1000))
    assert ask(server, query="format=json", body=b"x" * 1001).status == 413


def test_a_form_that_there_is_not(shown):
    response = ask(shown, query="format=x")
    assert response.status == 400 and b"json" in response.body, response


def test_head(shown):
    response = ask(shown, method="HEAD")
    assert response.status == 200 and not response.body and int(header(response, "Content-Length")[0]) > 100, response


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"])
def test_other_methods(shown, method):
    response = ask(shown, method=method, body=b"x" * 100)
    assert response.status == 405 and header(response, "Allow") == ["GET, HEAD"], response


def test_a_long_body_is_not_waited_for(shown):
    """It is refused by its parameters alone."""
    with shown.connect() as connection:
        whole = params("/server/status", "POST", body=b"x" * (8 << 20))
        connection.send(request(whole, b"x" * 100000, end=False))
        response = connection.read_response(1)
        assert response.status == 405, response


@pytest.mark.parametrize("path", ["/server/statu", "/server/status/", "/server/statuss", "/", "//server/status",
                                  "/Server/status", "/server/status%00"])
def test_other_paths_are_the_applications(start, path, protocol):
    server = start("anypath", *PATH)
    response = ask(server, path)
    if "%00" in path and protocol == "http":
        assert response.status in (200, 400), response
        return
    assert response.status == 200 and b"PATH_INFO" in response.body, response


def test_an_encoded_path(start):
    """As the application would see it, so is it compared."""
    server = start("anypath", *PATH)
    with server.connect() as connection:
        if server.speaks_http:
            connection.send(b"GET /server/st%61tus HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            connection.methods.append("GET")
        else:
            sent = params("/server/status")
            del sent["SCRIPT_NAME"], sent["DOCUMENT_URI"]
            sent["REQUEST_URI"] = "/server/st%61tus"
            connection.send(request(sent))
        response = connection.read_response(1)
    is_page(response)


def test_below_the_mount_point(start):
    server = start("anypath", "--script-name", "/app", *PATH)
    is_page(ask(server, "/app/server/status"))
    is_page(ask(server, "/server/status"))  # a location of the web server for it alone
    assert ask(server, "/app/app/server/status").status == 200


def test_a_kept_connection_goes_on(shown):
    with shown.connect() as connection:
        for _ in range(3):
            connection.send(request(params("/server/status"), keep=True))
            is_page(connection.read_response(1))
            connection.send(request(params("/hello"), keep=True))
            assert connection.read_response(1).body == b"hello"


# --- who may see it


@pytest.mark.fastcgi
@pytest.mark.parametrize("remote", [REMOTE, "10.0.0.1", "::2", "", "unknown", "127.0.0.1, " + REMOTE])
def test_not_for_others(shown, remote):
    """The client is whom the web server names, whatever connects."""
    is_forbidden(ask(shown, REMOTE_ADDR=remote))


@pytest.mark.fastcgi
@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "unix:"])
def test_for_this_machine(shown, remote):
    is_page(ask(shown, REMOTE_ADDR=remote))


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto"])
def test_not_through_a_proxy(shown, field):
    """It is on this machine, and nobody has said that its word counts: so its client may be anybody."""
    is_forbidden(ask(shown, headers={field: "127.0.0.1"}))
    shown.wait_log(r"403 Forbidden .*a proxy has passed it on.*--forwarded-allow.*GET /server/status")


@pytest.mark.fastcgi
def test_through_a_proxy_that_is_trusted(start):
    server = start("anypath", *PATH, "--forwarded-allow", "unix", "--forwarded-allow", "127.0.0.1")
    is_page(ask(server, headers={"X-Forwarded-For": "127.0.0.1"}))
    is_forbidden(ask(server, headers={"X-Forwarded-For": REMOTE}))
    is_forbidden(ask(server, headers={"X-Forwarded-For": "127.0.0.1, %s" % REMOTE}))
    is_forbidden(ask(server, headers={"X-Forwarded-For": "nonsense"}))
    is_forbidden(ask(server, headers={"X-Forwarded-For": "127.0.0.1"}, REMOTE_ADDR=REMOTE))


@pytest.mark.fastcgi
def test_a_browser_that_is_lured(start, tmp_path):
    """As at the sockets of --status: a page of another site asks by a name of its own (DNS rebinding)."""
    def named(server, host, of_unix=False):
        with rawhttp.Connection(path if of_unix else server.http_address) as connection:
            connection.send(b"GET /server/status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host)
            connection.methods.append("GET")
            return connection.read_response(1)

    if not speaks_http():
        return
    path = str(tmp_path / "http.sock")
    server = start("anypath", *PATH, "--http", path, both=True)
    for host in [b"localhost:80", b"127.0.0.1", b"[::1]:9000", b"web1", b"app.localhost"]:
        is_page(named(server, host))
    is_forbidden(named(server, b"evil.example:9000"))
    server.wait_log(r"403 Forbidden .*its Host is a name in the DNS.*--status-allow.*GET /server/status")
    is_page(named(server, b"evil.example", of_unix=True))  # no browser gets there
    server = start("anypath", *PATH, "--status-allow", "127.0.0.1", both=True)
    is_page(named(server, b"evil.example"))


def test_whom_the_option_names(start, protocol):
    """What is named counts, and nothing else."""
    server = start("anypath", *PATH, "--status-allow", "192.0.2.0/24", "--status-allow", "2001:db8::/32")
    is_forbidden(ask(server))
    server.wait_log(r"403 Forbidden .*--status-allow.*GET /server/status")
    if protocol == "fastcgi":
        is_page(ask(server, REMOTE_ADDR=REMOTE))
        is_page(ask(server, REMOTE_ADDR="2001:db8::1"))
        is_forbidden(ask(server, REMOTE_ADDR=REMOTE, headers={"X-Forwarded-For": REMOTE}))
        is_forbidden(ask(server, REMOTE_ADDR="unix:"))


@pytest.mark.fastcgi
def test_for_everybody(start):
    server = start("anypath", *PATH, "--status-allow", "any")
    for remote in [REMOTE, "", "unix:", "127.0.0.1"]:
        is_page(ask(server, REMOTE_ADDR=remote, headers={"Via": "1.1 proxy"}))


@pytest.mark.fastcgi
def test_an_authorizer_is_asked(start):
    """About the page as about any other path."""
    server = start("anypath", *PATH)
    with server.connect() as connection:
        connection.send(fcgi.begin(1, fcgi.AUTHORIZER) + fcgi.stream(fcgi.PARAMS, 1, fcgi.pairs(params("/server/status"))))
        assert b"PATH_INFO" in connection.read_response().body


# --- through web servers


@pytest.fixture(scope="module")
def through():
    running = Daemon("anypath", *PATH, both=speaks_http())
    backends = {"fastcgi": (running.path, False, "/"), "kept": (running.path, True, "/")}
    if running.http_address:
        backends["proxied"] = ("%s:%d" % running.http_address, "proxy", "/")
    nginx = Nginx(backends)
    yield nginx
    nginx.stop()
    running.stop()


@pytest.mark.fastcgi
@pytest.mark.parametrize("how", ["fastcgi", "kept"] + ["proxied"] * speaks_http())
def test_nginx(through, how):
    """Of the client on this machine it says so: as REMOTE_ADDR, or to --forwarded-allow."""
    response = through.ask(how, "/server/status?format=json")
    assert response.status == 200 and json.loads(response.body)["version"] == 1, response
    assert through.ask(how, "/server/status", "POST").status == 405


@pytest.mark.fastcgi
@pytest.mark.parametrize("how", ["fastcgi", "kept"])
def test_nginx_and_forged_fields(through, how):
    """Who is at another address can only lose by them; and who is here, too."""
    for field in ["X-Forwarded-For", "Forwarded", "Via"]:
        assert through.ask(how, "/server/status", headers={field: "127.0.0.1"}).status == 403
