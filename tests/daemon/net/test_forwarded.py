"""--forwarded-allow over FastCGI: a balancer in front of the web server says who the client is. And options without an
effect are told."""
import json
import os
import re

import pytest

import daemon as daemons
import fcgi
from fcgi import params
from nginx import Nginx
from ports import free_port

APP = "anypath"
BALANCER = "10.0.0.1"
ALLOW = ["--forwarded-allow", "unix", "--forwarded-allow", "10.0.0.0/8"]
SAID = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org:8443"}
KEYS = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO")
UNTOUCHED = [BALANCER, "http", "localhost", "localhost", "80", "", "/a"]


def environ_of(server, headers=(), remote=BALANCER, path="/a", more=(), **given):
    """What becomes of what nginx sends for a request of the balancer; `more` are parameters behind the others."""
    sent = list(params(path, headers=headers, REMOTE_ADDR=remote, **given).items()) + list(more)
    with server.connect() as connection:
        connection.send(fcgi.begin(1) + fcgi.stream(fcgi.PARAMS, 1, fcgi.pairs(sent))
                        + fcgi.stream(fcgi.STDIN, 1, b""))
        response = connection.read_response()
    assert response.status == 200, response
    return {key: value for key, (kind, value) in json.loads(response.body).items()}


def seen(*args, **more):
    environ = environ_of(*args, **more)
    return [environ.get(key) for key in KEYS]


def serving(*options, **more):
    running = daemons.Daemon(APP, *options, **more)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def trusting():
    """Trusts the web server, and balancers of its network."""
    yield from serving(*ALLOW)


@pytest.fixture(scope="module")
def real_ip():
    yield from serving(*ALLOW, "--forwarded-fields", "x-real-ip")


@pytest.fixture(scope="module")
def rfc7239():
    yield from serving(*ALLOW, "--forwarded-fields", "forwarded")


def test_client_behind_the_balancer(trusting):
    assert seen(trusting, SAID) == ["192.0.2.7", "https", "example.org:8443", "example.org", "8443", "", "/a"]
    environ = environ_of(trusting, SAID)
    assert "REMOTE_PORT" not in environ, "that is the balancer's"
    assert environ["REQUEST_SCHEME"] == "https" and environ["HTTPS"] == "on"
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7", "the fields stay"
    assert environ_of(trusting, {"X-Forwarded-For": "192.0.2.7:4711"})["REMOTE_PORT"] == "4711"
    assert seen(trusting) == UNTOUCHED, "it speaks for itself"


def test_requests_of_one_shape(trusting):
    """What is kept of earlier requests does not show in later ones."""
    for number in range(20):
        said = {"X-Forwarded-For": "192.0.2.%d" % number, "X-Forwarded-Proto": "http" if number % 3 else "https",
                "X-Forwarded-Prefix": "/p%d" % number}
        assert seen(trusting, said, path="/a%d" % number) == [
            "192.0.2.%d" % number, "http" if number % 3 else "https", "localhost", "localhost",
            "80" if number % 3 else "443", "/p%d" % number, "/a%d" % number]
        assert seen(trusting, SAID, remote="203.0.113.9")[:2] == ["203.0.113.9", "http"]


@pytest.mark.parametrize("options, remote", [
    ([], BALANCER), (["--forwarded-allow", "10.0.0.0/8"], BALANCER), (["--forwarded-allow", "any"], BALANCER),
    (["--forwarded-allow", "unix"], BALANCER), (["--forwarded-allow", "unix", "--forwarded-allow", "10.0.0.2"], BALANCER),
    (ALLOW, "203.0.113.9"), (ALLOW, ""), (ALLOW, "unix"), (ALLOW, "10.0.0.1x")])
def test_nobody_else_is_believed(start, options, remote):
    """Neither a web server that is not named, nor a client of one that is."""
    said = {**SAID, "X-Forwarded-Port": "8443", "X-Forwarded-Prefix": "/p", "Forwarded": "for=192.0.2.7",
            "X-Real-IP": "192.0.2.7"}
    for fields in ("x-forwarded", "x-real-ip", "forwarded"):
        server = start(APP, *options, "--forwarded-fields", fields)
        environ = environ_of(server, said, remote)
        assert [environ.get(key) for key in KEYS] == [remote, *UNTOUCHED[1:]]
        assert environ["REMOTE_PORT"] == "40000" and environ["REQUEST_SCHEME"] == "http" and "HTTPS" not in environ
        server.stop()


def test_peers_of_tcp(start):
    """The web server is named by its address."""
    for web_server, address in (("127.0.0.1", "192.0.2.7"), ("127.0.0.2", BALANCER), ("unix", BALANCER)):
        port = free_port()
        server = start(APP, "--forwarded-allow", web_server, "--forwarded-allow", BALANCER,
                       socket="127.0.0.1:%d" % port, address=("127.0.0.1", port))
        assert seen(server, SAID)[0] == address


def test_web_server_on_a_unix_socket(trusting):
    """nginx calls its peers there unix: as well."""
    assert seen(trusting, SAID, remote="unix:")[:2] == ["192.0.2.7", "https"]


@pytest.mark.parametrize("remote, field, address", [
    (BALANCER, "192.0.2.1, 192.0.2.2", "192.0.2.2"),            # the first was sent by the client
    (BALANCER, "192.0.2.1, 192.0.2.2, 10.0.0.2", "192.0.2.2"),
    (BALANCER, "10.0.0.3, 10.0.0.2", "10.0.0.3"),               # all are ours: the farthest
    (BALANCER, "192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
    (BALANCER, "unknown", BALANCER), (BALANCER, "", BALANCER),
    (BALANCER, "[2001:db8::1]:4711", "2001:db8::1"),
    ("192.0.2.9", "192.0.2.1, 10.0.0.2", "192.0.2.9"),          # a client that names a balancer is not one
])
def test_nearest_that_is_not_trusted(trusting, remote, field, address):
    assert seen(trusting, {"X-Forwarded-For": field}, remote)[0] == address


def test_last_remote_addr_counts(trusting):
    """nginx configurations override the stock file by naming a parameter again."""
    assert seen(trusting, SAID, "192.0.2.9", more=[("REMOTE_ADDR", BALANCER)])[0] == "192.0.2.7"
    assert seen(trusting, SAID, BALANCER, more=[("REMOTE_ADDR", "192.0.2.9")])[0] == "192.0.2.9"


@pytest.mark.parametrize("word, scheme, port", [
    ("https", "https", "443"), ("HTTPS", "https", "443"), ("wss", "https", "443"), ("http", "http", "80"),
    ("ws", "http", "80"), ("http, https", "https", "443"),
    # No schemes of HTTP: nothing is set, the port neither.
    ("ftp", "http", "8080"), ("https1", "http", "8080"), ("on", "http", "8080"), ("", "http", "8080"),
    ("https, ftp", "http", "8080")])
def test_schemes(trusting, word, scheme, port):
    assert seen(trusting, {"X-Forwarded-Proto": word}, SERVER_PORT="8080")[1:5:3] == [scheme, port]


def test_scheme_towards_the_web_server_is_another(trusting):
    """Between the balancer and the web server there may be TLS of their own."""
    tls = {"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "443"}
    assert seen(trusting, {"X-Forwarded-Proto": "http"}, **tls)[1:5:3] == ["http", "80"]
    environ = environ_of(trusting, {"X-Forwarded-Proto": "http"}, **tls)
    assert environ["REQUEST_SCHEME"] == "http" and "HTTPS" not in environ
    assert seen(trusting, {"X-Forwarded-Proto": "ftp"}, **tls)[1:5:3] == ["https", "443"]


@pytest.mark.parametrize("port, becomes", [("8443", "8443"), ("80, 8443", "8443"), ("65535", "65535"), ("0", "80"),
                                           ("65536", "80"), ("x", "80"), ("", "80"), ("-1", "80"), ("8443x", "80"),
                                           ("99999999999999999999", "80")])
def test_port(trusting, port, becomes):
    assert seen(trusting, {"X-Forwarded-Port": port})[4] == becomes
    assert seen(trusting, {**SAID, "X-Forwarded-Port": port})[4] == (becomes if becomes != "80" else "8443")


@pytest.mark.parametrize("prefix, becomes", [
    ("/p", "/p"), ("/p/", "/p"), ("/p/q//", "/p/q"), ("/evil, /p", "/p"), ("/caf\xc3\xa9", "/caf\xc3\xa9"), ("/", ""),
    ("", ""), ("p", ""), ("//evil.example/p", ""), ("/p?q", ""), ("/p#f", ""), ("/p q", ""), ("http://a/p", ""),
    ("/\\evil", ""), ("/" + "x" * 254, "/" + "x" * 254), ("/" + "x" * 255, "")])
def test_prefix(trusting, start, prefix, becomes):
    """In front of SCRIPT_NAME; and nothing that would make a URL of another kind."""
    assert seen(trusting, {"X-Forwarded-Prefix": prefix})[5:] == [becomes, "/a"]
    assert seen(trusting, {"X-Forwarded-Prefix": prefix}, SCRIPT_NAME="/m", PATH_INFO="/b",
                REQUEST_URI="/m/b")[5:] == [becomes + "/m", "/b"]


def test_prefix_and_script_name(start):
    server = start(APP, *ALLOW, "--script-name", "/app")
    assert seen(server, {"X-Forwarded-Prefix": "/p"}, path="/app/b")[5:] == ["/p/app", "/b"]
    assert seen(server, path="/app/b")[5:] == ["/app", "/b"]


def test_prefix_of_who_is_believed_alone(start):
    """The same parameters, byte for byte, mean another thing on a connection of somebody else."""
    port = free_port()
    server = start(APP, *ALLOW, "--socket", "127.0.0.1:%d" % port)
    given = params("/a", headers={"X-Forwarded-Prefix": "/p"}, REMOTE_ADDR=BALANCER)
    for address, script_name in [(server.path, "/p"), (("127.0.0.1", port), ""), (server.path, "/p")]:
        with server.connect(address) as connection:
            for _ in range(3):
                connection.send(fcgi.request(given, keep=True))
                assert json.loads(connection.read_response(1).body)["SCRIPT_NAME"][1] == script_name


def test_strange_hosts(trusting):
    for host in ("evil/path", "x" * 300, "a b", ""):
        assert seen(trusting, {"X-Forwarded-Host": host})[2:5] == ["localhost", "localhost", "80"]
    assert seen(trusting, {"X-Forwarded-Host": "a, [::1]:81"})[2:5] == ["[::1]:81", "[::1]", "81"]


def test_x_real_ip(real_ip):
    assert seen(real_ip, {**SAID, "X-Real-IP": "192.0.2.8"})[:2] == ["192.0.2.8", "https"]
    assert seen(real_ip, {**SAID, "X-Real-IP": "10.0.0.9"})[0] == "10.0.0.9", "it is no list"
    assert seen(real_ip, SAID)[:2] == [BALANCER, "https"]


def test_forwarded(rfc7239):
    field = 'for=6.6.6.6;host=evil;proto=https;x=", for="[2001:db8::7]:1234";proto=https;host="example.org"'
    assert seen(rfc7239, {**SAID, "Forwarded": field})[:5] == ["2001:db8::7", "https", "example.org", "example.org", "443"]
    assert environ_of(rfc7239, {"Forwarded": field})["REMOTE_PORT"] == "1234"
    assert seen(rfc7239, SAID) == UNTOUCHED, "the other kind of field does not count"


def test_repeated_fields(trusting):
    """A web server may send a parameter for each line of a field."""
    more = [("HTTP_X_FORWARDED_FOR", "192.0.2.1"), ("HTTP_X_FORWARDED_FOR", "192.0.2.2, 10.0.0.2")]
    environ = environ_of(trusting, more=more)
    assert environ["REMOTE_ADDR"] == "192.0.2.2"
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.1, 192.0.2.2, 10.0.0.2"


def test_malformed_parameters(trusting):
    with trusting.connect() as connection:
        pairs = fcgi.pairs(params(headers=SAID, REMOTE_ADDR=BALANCER)) + b"\x05\x05cut"
        connection.send(fcgi.begin(1) + fcgi.stream(fcgi.PARAMS, 1, pairs)
                        + fcgi.stream(fcgi.STDIN, 1, b""))
        assert connection.read_response().status == 400


def test_two_nginx_in_a_row(start):
    """One ends TLS for another, which speaks FastCGI."""
    server = start(APP, "--forwarded-allow", "unix", "--forwarded-allow", "127.0.0.1")
    inner = Nginx({"fastcgi": (server.path, True, "/")})
    try:
        outer = Nginx({"balancer": ("127.0.0.1:%d" % inner.ports["fastcgi"], "proxy", "/")},
                      more="proxy_bind 127.0.0.1; proxy_set_header X-Forwarded-Proto https;"
                           "proxy_set_header X-Forwarded-Port 8443;")
        try:
            for name, running in (("balancer", outer), ("fastcgi", inner)):
                connection = running.connection(name)
                connection.source_address = ("127.0.0.9", 0)
                connection.request("GET", "/a", headers={"X-Forwarded-For": "6.6.6.6", "Host": "example.org"})
                environ = {key: value for key, (kind, value) in json.loads(connection.getresponse().read()).items()}
                connection.close()
                told = [environ[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_PORT")]
                if name == "balancer":
                    assert told == ["127.0.0.9", "https", "example.org", "8443"]
                else:
                    assert told[:2] == ["127.0.0.9", "http"], "a client of the inner one says what it likes"
        finally:
            outer.stop()
    finally:
        inner.stop()


# --- options that have no effect

UNIX, TCP = [], ["tcp"]
USELESS = [
    (TCP, ["--socket-mode", "0600"], "--socket-mode has no effect: no socket file is made"),
    (TCP, ["--socket-owner", "0"], "--socket-owner has no effect: no socket file is made"),
    (TCP, ["--socket-group", "0"], "--socket-group has no effect: no socket file is made"),
    (TCP, ["--allow-uid", "0"], "--allow-uid has no effect: it is for Unix sockets"),
    (TCP, ["--allow-gid", "0"], "--allow-gid has no effect: it is for Unix sockets"),
    (UNIX, ["--allow", "10.0.0.1"], "--allow has no effect: it is for TCP"),
    (UNIX, ["--forwarded-allow", "10.0.0.1"], "--forwarded-allow has no effect: only Unix sockets listen"),
    (UNIX, ["--forwarded-allow", "any"], "--forwarded-allow has no effect: only Unix sockets listen"),
    (TCP, ["--forwarded-allow", "unix"], "--forwarded-allow unix has no effect: no Unix socket listens"),
    (UNIX, ["--forwarded-allow", "unix"], "--forwarded-allow names the web server alone"),
    (UNIX, ["--forwarded-fields", "forwarded"], "--forwarded-fields has no effect: no proxy is named"),
]
USELESS_WITHOUT_HTTP = [
    (UNIX, ["--server-header", "x"], "--server-header has no effect: no socket speaks HTTP"),
    (UNIX, ["--min-body-rate", "7"], "--min-body-rate has no effect: no socket speaks HTTP"),
    (UNIX, ["--forwarded-allow", "unix", "--forwarded-allow", "10.0.0.1", "--proxy-protocol"],
     "--proxy-protocol has no effect: no socket speaks HTTP"),
]
USEFUL = [(UNIX, ["--socket-mode", "0600", "--socket-group", "0", "--allow-uid", "0"]), (TCP, ["--allow", "127.0.0.1"]),
          (UNIX, ALLOW), (TCP, ["--forwarded-allow", "127.0.0.1", "--forwarded-fields", "forwarded"]),
          (UNIX, ["--app-stderr", "fastcgi", "--backlog", "7"])]


def warnings(start, where, options):
    """About options, once the server listens."""
    more = {}
    if where == TCP:
        port = free_port()
        more = {"socket": "127.0.0.1:%d" % port, "address": ("127.0.0.1", port)}
    server = start(APP, *options, **more)
    return re.findall("warning: (--.*)", server.log())


@pytest.mark.parametrize("where, options, text", USELESS + (
    USELESS_WITHOUT_HTTP if "WSGI_FCGI" in os.environ and daemons.speaks_http() else []))
def test_option_without_an_effect(start, where, options, text):
    found = warnings(start, where, options)
    assert len(found) == 1 and found[0].startswith(text), found


@pytest.mark.parametrize("where, options", USEFUL)
def test_option_with_an_effect(start, where, options):
    assert warnings(start, where, options) == []
