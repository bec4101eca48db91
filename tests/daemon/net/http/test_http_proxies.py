"""Who the client is, when proxies that are trusted say so; and that nobody else changes anything."""
import json
import shutil
import socket
import struct
import subprocess

import pytest

import rawhttp
from daemon import Daemon, until
from ports import free_port
from test_http import HELLO, environ_of, head, protocol  # noqa: F401

APP = "anypath"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
X_FORWARDED = ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: example.org:8443"]
FORWARDED = ['Forwarded: for="[2001:db8::7]:1234";proto=https;host=example.org']


def tcp(start, *options, app=APP):
    """A server on a free port of TCP."""
    server = start(app, "--http", "127.0.0.1:0", *options, socket="@wsgi-fcgi-%d" % free_port())
    port = int(server.wait_log(r"127\.0\.0\.1:(\d+) \(HTTP\)").group(1))
    server.address = ("127.0.0.1", port)
    return server


def seen(server, *lines, path="/"):
    environ = environ_of(server, head(*lines, path=path))
    return [environ.get(key) for key in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT")]


def direct(server):
    return ["127.0.0.1", "http", "localhost", "localhost", str(server.address[1])]


@pytest.mark.parametrize("options", [[], ["--forwarded-allow", "192.0.2.0/24"], ["--forwarded-allow", "unix"],
                                     ["--forwarded-allow", "::1"]])
def test_nobody_is_trusted_who_is_not_named(start, options):
    server = tcp(start, *options)
    assert seen(server, *X_FORWARDED, *FORWARDED) == direct(server)
    environ = environ_of(server, head(*X_FORWARDED, *FORWARDED))
    assert environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7" and environ["HTTP_X_FORWARDED_PROTO"] == "https"
    assert environ["HTTP_FORWARDED"].startswith("for=") and "HTTPS" not in environ


@pytest.mark.parametrize("allow", ["127.0.0.1", "127.0.0.0/8", "any"])
def test_trusted_proxy(start, allow):
    server = tcp(start, "--forwarded-allow", allow)
    assert seen(server, *X_FORWARDED) == ["192.0.2.7", "https", "example.org:8443", "example.org", "8443"]
    assert seen(server) == direct(server), "it speaks for itself"
    assert seen(server, X_FORWARDED[0])[:2] == ["192.0.2.7", "http"]
    assert seen(server, X_FORWARDED[1])[1:] == ["https", "localhost", "localhost", "443"]
    assert seen(server, *FORWARDED) == direct(server), "the other kind of field does not count"


@pytest.mark.parametrize("lines, address", [
    (["X-Forwarded-For: 192.0.2.1, 192.0.2.2"], "192.0.2.2"),                    # the first was sent by the client
    (["X-Forwarded-For: 192.0.2.1, 10.0.0.1"], "192.0.2.1"),                     # our own proxy behind another
    (["X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.0.0.1, 10.0.0.2"], "192.0.2.2"),
    (["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, 10.0.0.1"], "192.0.2.2"),
    (["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3"),                       # all are ours: the farthest
    (["X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1"),             # who said what is before, nobody knows
    (["X-Forwarded-For: unknown"], "127.0.0.1"),
    (["X-Forwarded-For:"], "127.0.0.1"),
    (["X-Forwarded-For: 192.0.2.1:4711"], "192.0.2.1"),
    (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1"),
    (["X-Forwarded-For: ::ffff:192.0.2.9"], "192.0.2.9"),
    (['X-Forwarded-For: ", 192.0.2.2'], "192.0.2.2"),                            # a client's quote hides nothing
    (['X-Forwarded-For: "a, 192.0.2.1, 10.0.0.1'], "192.0.2.1"),
    (["X_Forwarded_For: 192.0.2.1"], "127.0.0.1"),                               # is no such field
])
def test_rightmost_that_is_not_trusted(start, lines, address):
    server = tcp(start, "--forwarded-allow", "127.0.0.1", "--forwarded-allow", "10.0.0.0/8")
    assert seen(server, *lines)[0] == address


def test_strange_values_change_nothing(start):
    server = tcp(start, "--forwarded-allow", "127.0.0.1")
    assert seen(server, "X-Forwarded-Proto: ftp")[1] == "http"
    assert seen(server, "X-Forwarded-Proto: http, HTTPS")[1] == "https"
    assert seen(server, "X-Forwarded-Host: evil/path")[2] == "localhost"
    assert seen(server, "X-Forwarded-Host: first.example, last.example")[2] == "last.example"
    assert seen(server, "X-Forwarded-Host: " + "x" * 300)[2] == "localhost"


def test_forwarded(start):
    server = tcp(start, "--forwarded-allow", "127.0.0.1", "--forwarded-allow", "10.0.0.0/8", "--forwarded-fields",
                 "forwarded")
    assert seen(server, *FORWARDED) == ["2001:db8::7", "https", "example.org", "example.org", "443"]
    assert environ_of(server, head(*FORWARDED))["REMOTE_PORT"] == "1234"
    both = "Forwarded: for=192.0.2.1;host=evil, for=192.0.2.2;proto=https;host=good, for=10.0.0.1;proto=http;host=inner"
    assert seen(server, both)[:3] == ["192.0.2.2", "https", "good"]
    assert seen(server, "Forwarded: for=_hidden;proto=https;host=h")[:3] == ["127.0.0.1", "https", "h"]
    assert seen(server, "Forwarded: by=x")[:3] == direct(server)[:3]
    assert seen(server, *X_FORWARDED) == direct(server), "the other kind of field does not count"


def test_unix_peers(start):
    for options, address in (([], ""), (["--forwarded-allow", "any"], ""), (["--forwarded-allow", "unix"], "192.0.2.7")):
        assert seen(start(APP, *options), *X_FORWARDED)[0] == address


# --- the PROXY protocol

V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n"
V2 = SIGNATURE + struct.pack(">BBH4s4sHH", 0x21, 0x11, 12, socket.inet_aton("192.0.2.7"),
                             socket.inet_aton("198.51.100.1"), 40000, 443)


def from_proxy(server, header, *lines, pieces=None):
    with server.connect() as connection:
        data = header + head(*lines)
        for position in range(0, len(data), pieces or len(data)):
            connection.send(data[position:position + (pieces or len(data))])
        environ = {key: value for key, (kind, value) in json.loads(connection.read_response().body).items()}
        connection.send(head(*lines))
        again = {key: value for key, (kind, value) in json.loads(connection.read_response().body).items()}
    keys = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_ADDR", "SERVER_PORT")
    assert [environ.get(key) for key in keys] == [again.get(key) for key in keys], "it holds for the connection"
    return [environ.get(key) for key in keys]


@pytest.mark.parametrize("pieces", [None, 1, 7])
def test_proxy_protocol(start, pieces):
    server = start(APP, "--forwarded-allow", "unix", "--proxy-protocol", wait=False)
    server.wait_log("listening")
    assert from_proxy(server, V1, pieces=pieces) == ["192.0.2.7", "40000", "198.51.100.1", "443"]
    assert from_proxy(server, V1_6, pieces=pieces) == ["2001:db8::7", "40000", "2001:db8::1", "443"]
    assert from_proxy(server, V2, pieces=pieces) == ["192.0.2.7", "40000", "198.51.100.1", "443"]
    for local in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"):
        assert from_proxy(server, local, pieces=pieces) == ["", None, None, "80"]


def test_fields_behind_the_proxy_protocol(start):
    """They count when the address that it names is trusted."""
    server = start(APP, "--forwarded-allow", "unix", "--proxy-protocol", wait=False)
    server.wait_log("listening")
    assert from_proxy(server, V1, "X-Forwarded-For: 203.0.113.1")[0] == "192.0.2.7"
    server = start(APP, "--forwarded-allow", "unix", "--forwarded-allow", "192.0.2.7", "--proxy-protocol", wait=False)
    server.wait_log("listening")
    assert from_proxy(server, V1, "X-Forwarded-For: 203.0.113.1")[0] == "203.0.113.1"
    # The proxy does not know its client, whose fields these are; then it speaks for itself.
    for unknown in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x21\0\0\0"):
        assert from_proxy(server, unknown, "X-Forwarded-For: 203.0.113.1")[0] == ""
    assert from_proxy(server, SIGNATURE + b"\x20\0\0\0", "X-Forwarded-For: 203.0.113.1")[0] == "203.0.113.1"


# What a client may send to a proxy that appends to the same field.
ATTACKS = ['for="', 'for=6.6.6.6;host=evil;proto=https;x="', 'for=6.6.6.6;host=evil;proto=https;x="\\', 'x="a"b;y="',
           'for=6.6.6.6;host=evil;proto=https;x="a\\"', '"', '""', 'x=""', "for=6.6.6.6;host=evil;proto=https", ",;,",
           'for=6.6.6.6;proto=https, x="', 'for="6.6.6.6', 'x=",for=6.6.6.6;y="']
WRITTEN = ['for=192.0.2.7;proto=http;host=good', 'by="_me";for="192.0.2.7:81";host="good";proto=http']


@pytest.fixture(scope="module")
def forwarded():
    """A server that trusts one proxy, by the fields of RFC 7239."""
    running = Daemon(APP, "--forwarded-allow", "127.0.0.1", "--forwarded-fields", "forwarded", protocol="http",
                     both=True)
    yield running
    running.stop()


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("attack", ATTACKS)
def test_quotes_in_forwarded(forwarded, attack, written):
    """What a client sends does not swallow what the proxy writes behind it (RFC 7239, 4 and 6)."""
    for lines in ([attack + ", " + written], [attack + "," + written], [attack, written], [attack, attack + ", " + written]):
        assert seen(forwarded, *("Forwarded: " + line for line in lines))[:3] == ["192.0.2.7", "http", "good"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_lighttpd_appends_to_forwarded(forwarded, lighttpd, attack):
    """It writes each of its values in quotes."""
    address = lighttpd(forwarded.http_address[1])
    for header in ([], ["Forwarded: " + attack], ["Forwarded: " + attack] * 2):
        environ = from_127_0_0_9(address, head(*header, version="1.0"))
        assert [environ[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")] == ["127.0.0.9", "http", "localhost"]
        assert environ["HTTP_FORWARDED"].endswith('host="localhost"'), "lighttpd has written its own"


@pytest.mark.parametrize("data", [head(), b"PROXY TCP4 192.0.2.7\r\n" + head(), V1[:-2] + b"\n" + head(), b"\0" * 20,
                                  SIGNATURE + b"\x31\x11\0\0", b"PROXY " + b"x" * 200])
def test_missing_or_malformed_proxy_header(start, data):
    server = start(APP, "--forwarded-allow", "unix", "--proxy-protocol", wait=False)
    server.wait_log("listening")
    with server.connect() as connection:
        connection.send(data)
        assert connection.at_eof()
    server.wait_log("warning: connection [0-9]+: [^\n]*--proxy-protocol")


def test_late_proxy_header(start):
    server = start(APP, "--forwarded-allow", "unix", "--proxy-protocol", "--header-timeout", 1, wait=False)
    server.wait_log("listening")
    with server.connect() as connection:
        connection.send(V1[:20])
        assert connection.at_eof()
    server.wait_log("--proxy-protocol")


def test_proxy_header_of_others(start):
    """Peers that are not named speak HTTP from the first byte on."""
    server = tcp(start, "--forwarded-allow", "192.0.2.1", "--proxy-protocol")
    assert seen(server) == direct(server)
    with server.connect() as connection:
        connection.send(V1, head())
        assert connection.read_response().status == 400 and connection.at_eof()


# --- HAProxy

HAPROXY = """\
global
    log stderr local0
defaults
    mode {mode}
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{port}
    {rules}
    default_backend back
backend back
    server app 127.0.0.1:{to} {options}
"""


@pytest.fixture
def haproxy(tmp_path):
    running = []

    def starter(to, mode="http", rules="", options=""):
        assert shutil.which("haproxy"), "haproxy is not installed: apt-get install haproxy"
        port = free_port()
        config = tmp_path / ("haproxy%d.cfg" % len(running))
        config.write_text(HAPROXY.format(mode=mode, port=port, to=to, rules=rules, options=options))
        running.append(subprocess.Popen(["haproxy", "-db", "-f", config], stderr=subprocess.DEVNULL))
        until(lambda: listens(running[-1], port), "haproxy to listen")
        return ("127.0.0.1", port)
    yield starter
    for process in running:
        process.terminate()
        process.wait()


LIGHTTPD = """\
server.modules = ( "mod_proxy" )
server.document-root = "{dir}"
server.bind = "127.0.0.1"
server.port = {port}
proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => {to} )) )
proxy.forwarded = ( "for" => 1, "proto" => 1, "host" => 1 )
"""


@pytest.fixture
def lighttpd(tmp_path):
    running = []

    def starter(to):
        assert shutil.which("lighttpd"), "lighttpd is not installed: apt-get install lighttpd"
        port = free_port()
        config = tmp_path / "lighttpd.conf"
        config.write_text(LIGHTTPD.format(dir=tmp_path, port=port, to=to))
        running.append(subprocess.Popen(["lighttpd", "-D", "-f", config], stderr=subprocess.DEVNULL))
        until(lambda: listens(running[-1], port), "lighttpd to listen")
        return ("127.0.0.1", port)
    yield starter
    for process in running:
        process.terminate()
        process.wait()


def listens(process, port):
    assert process.poll() is None, "the proxy ended"
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def through(address, *data):
    with rawhttp.Connection(address) as connection:
        connection.send(*data)
        response = connection.read_response()
        assert response.status == 200, response
        return {key: value for key, (kind, value) in json.loads(response.body).items()}


def from_127_0_0_9(address, data):
    """The environ of a request of a client that has another address than the proxy, whose answer ends the connection."""
    with socket.create_connection(address, source_address=("127.0.0.9", 0)) as client:
        client.sendall(data)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return {key: value for key, (kind, value) in json.loads(answer.partition(b"\r\n\r\n")[2]).items()}


def test_haproxy_as_http_proxy(start, haproxy):
    server = tcp(start, "--forwarded-allow", "127.0.0.1")
    address = haproxy(server.address[1], rules="option forwardfor\n    http-request set-header X-Forwarded-Proto https")
    environ = through(address, head("Connection: close", path="/a%20b?c"))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b", "c")
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("127.0.0.1", "https")
    environ = through(address, head("X-Forwarded-For: 203.0.113.9", "Connection: close"))
    assert environ["REMOTE_ADDR"] == "203.0.113.9" and environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9, 127.0.0.1"


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_haproxy_with_the_proxy_protocol(start, haproxy, option):
    server = start(APP, "--http", "127.0.0.1:0", "--forwarded-allow", "127.0.0.1", "--proxy-protocol",
                   socket="@wsgi-fcgi-%d" % free_port())
    port = int(server.wait_log(r"127\.0\.0\.1:(\d+) \(HTTP\)").group(1))
    address = haproxy(port, mode="tcp", options=option)
    environ = from_127_0_0_9(address, head("Connection: close"))
    assert environ["REMOTE_ADDR"] == "127.0.0.9" and environ["SERVER_PORT"] == str(address[1])


def test_haproxy_checks_health(start, haproxy):
    """Its checks are HTTP/1.0 requests without anything else."""
    server = tcp(start, app="wsgiapp")
    address = haproxy(server.address[1], rules="", options="check inter 100ms\n    option httpchk OPTIONS /hello")
    with rawhttp.Connection(address) as connection:
        connection.send(head("Connection: close"))
        assert connection.read_response().body == HELLO
