"""The environ of many requests that are alike but not the same, whatever the server remembers of those before.

A model of protocol and PEP in a few lines says what each environ has to be.
"""
import json
import os
import random
from urllib.parse import unquote

import pytest

import daemon
import fcgi
from test_paths import own_name

OWN_NAME = own_name() if "WSGI_FCGI" in os.environ else None
DROPPED = ("HTTP_PROXY", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING")


@pytest.fixture(scope="module")
def server():
    running = daemon.Daemon("anypath")
    yield running
    running.stop()


def expected(given):
    environ = {}
    for name, value in given:
        if name in DROPPED or name.startswith(("wsgi.", "wsgi_fcgi.")):
            continue
        if name.startswith("HTTP_") and name != "HTTP_HOST" and name in environ:
            environ[name] += ("; " if name == "HTTP_COOKIE" else ", ") + value
        else:
            environ[name] = value
    script, path = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
    uri = environ.get("REQUEST_URI", "").partition("?")[0]
    if path:
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = script.rstrip("/"), path
    elif len(script) > 1 and uri.startswith(script + "/"):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = script, unquote(uri[len(script):])
    else:
        missing = not script and "PATH_INFO" not in environ
        slash = "/" if uri and uri[0] != "/" else ""
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "", slash + unquote(uri) if missing else script
    if not environ.get("CONTENT_LENGTH", "").isdigit():
        environ.pop("CONTENT_LENGTH", None)
    environ.setdefault("QUERY_STRING", "")
    environ["REQUEST_METHOD"] = environ.get("REQUEST_METHOD") or "GET"
    environ["SERVER_PROTOCOL"] = environ.get("SERVER_PROTOCOL") or "HTTP/1.0"
    environ["FCGI_ROLE"] = "RESPONDER"
    environ.setdefault("GATEWAY_INTERFACE", "CGI/1.1")
    environ.setdefault("SERVER_SOFTWARE", OWN_NAME)
    environ["wsgi.url_scheme"] = "https" if environ.get("HTTPS") == "on" else "http"
    return environ


def ask(connection, given):
    connection.send(fcgi.request(given, keep=True))
    response = connection.read_response(1)
    assert response.status == 200, response
    environ = {key: value for key, (kind, value) in json.loads(response.body).items()}
    assert environ["wsgi.input"].startswith("<") and environ["wsgi.version"] == [1, 0]
    return {key: value for key, value in environ.items() if "." not in key or key == "wsgi.url_scheme"}


# What each parameter may be; a request has most of them, in this order or another.
CHOICES = {
    "QUERY_STRING": ["", "a=1", "a=2", "   ", "long=" + "x" * 300],
    "REQUEST_METHOD": ["GET", "POST", "PUT", "", "PROPFIND"],
    "CONTENT_TYPE": ["", "text/plain"],
    "CONTENT_LENGTH": ["", "0", "-1", "none"],
    "SCRIPT_NAME": ["/", "/a", "/b", "/a/b/c", "/caf\xc3\xa9", ""],
    "PATH_INFO": ["", "/p", "/q/r"],
    "REQUEST_URI": ["/", "/a?a=1", " " * 6, "/b", "/a/b/c/d", "/b/%2525?a=1", "/a/b?b=2"],
    "SERVER_PROTOCOL": ["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""],
    "GATEWAY_INTERFACE": ["CGI/1.1", "CGI/1.2"],
    "SERVER_NAME": ["localhost", "example.org"],
    "SERVER_PORT": ["80", "8080", "443"],
    "SERVER_SOFTWARE": ["nginx/1.22.1", "other", ""],
    "HTTPS": ["on", "", "off"],
    "REMOTE_ADDR": ["127.0.0.1", "10.1.2.3", "::1"],
    "REMOTE_PORT": ["1", "40000", "65535"],
    "HTTP_HOST": ["localhost", "example.org", "example.com:8080"],
    "HTTP_COOKIE": ["a=1", "a=2", "   ", ""],
    "SSL_CLIENT_S_DN": ["CN=a", "CN=b", "\0\0\0\0", "    "],
    "HTTP_ACCEPT": ["*/*", "text/html"],
    "HTTP_PROXY": ["http://evil"],
    "HTTP_X_SAME": ["1", "12", "123"],
    "LATIN": ["\xe9", "e"],
    "FCGI_ROLE": ["RESPONDER", "AUTHORIZER", "NONE"],
}


ALWAYS = ("SERVER_NAME", "SERVER_PORT")


def a_request(chance):
    given = [(name, chance.choice(values)) for name, values in CHOICES.items()
             if chance.random() < 0.95 or name in ALWAYS]
    if chance.random() < 0.1:
        chance.shuffle(given)
    if chance.random() < 0.2:
        given.insert(chance.randrange(len(given) + 1), chance.choice(given))
    if chance.random() < 0.1:
        name = chance.choice(["HTTP_X_SAME", "HTTP_COOKIE", "SCRIPT_NAME", "wsgi.input", "LATIN", "EXTRA1", "EXTRA2"])
        given.append((name, chance.choice(["/other", "", "/third"])))
    return given


@pytest.mark.parametrize("seed", range(8))
def test_random_requests(server, seed):
    chance = random.Random(seed)
    with server.connect() as connection:
        for _ in range(400):
            given = a_request(chance)
            assert ask(connection, given) == expected(given), given


@pytest.mark.parametrize("seed", range(8))
def test_one_parameter_changes(server, seed):
    """The same request again and again, but for one value, its length, or one parameter that comes or goes."""
    chance = random.Random(seed)
    base = [(name, chance.choice(values)) for name, values in CHOICES.items()]
    with server.connect() as connection:
        for _ in range(20):
            assert ask(connection, base) == expected(base)
        for name, values in CHOICES.items():
            for value in values:
                given = [(key, value if key == name else old) for key, old in base]
                assert ask(connection, given) == expected(given), given
                if chance.random() < 0.5:
                    assert ask(connection, base) == expected(base)
            if name not in ALWAYS:
                given = [pair for pair in base if pair[0] != name]
                assert ask(connection, given) == expected(given), given


@pytest.mark.parametrize("name", ["HTTP_X_SAME", "HTTP_COOKIE", "SCRIPT_NAME", "LATIN", "HTTP_NEW"])
def test_repeated_parameter_in_many_requests(server, name):
    chance = random.Random(name)
    base = [(key, chance.choice(values)) for key, values in CHOICES.items()]
    with server.connect() as connection:
        for number in range(40):
            given = base + [(name, "/x%d" % number), (name, "/y%d" % (number // 2))]
            assert ask(connection, given) == expected(given), given


def test_server_name_of_another_request(server):
    """SERVER_NAME may be made of a value that is not kept: zeros in its place are not that of the earlier request."""
    name = "SERVER_ADDR"
    secret = "alice.example?secret=1"
    base = [(key, CHOICES[key][0]) for key in ("REQUEST_METHOD", "SERVER_PROTOCOL", "SERVER_PORT", "HTTP_ACCEPT")]
    with server.connect() as connection:
        for value in 20 * [secret] + ["\0" * len(secret)] + ["\x20" * len(secret)]:
            given = [*base, ("SERVER_NAME", ""), (name, value)]
            environ = ask(connection, given)
            assert (environ["SERVER_NAME"], environ[name]) == (value, value)


PERSONAL = {name: "a long secret" for name in (
    "QUERY_STRING", "HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "REMOTE_USER", "HTTP_X_REMOTE_USER",
    "REMOTE_IDENT", "HTTP_X_API_KEY", "HTTP_X_CSRF_TOKEN", "HTTP_X_SECRET", "HTTP_X_PASSWORD", "SSL_CLIENT_S_DN",
    "SSL_SESSION_ID", "HTTP_X_FORWARDED_CLIENT_CERT", "HTTP_X_FORWARDED_EMAIL", "REDIRECT_QUERY_STRING")}
PERSONAL.update({name: "/path?token=a-long-secret" for name in ("REQUEST_URI", "HTTP_REFERER", "HTTP_X_ORIGINAL_URI")})


def test_what_is_personal_is_not_kept(start):
    """To a value that is remembered for later requests there are more references than that of the environ."""
    server = start("wsgiapp")
    given = {**fcgi.params("/references"), "HTTP_X_PLAIN": "a long value", "HTTP_USER_AGENT": "a long name", **PERSONAL}
    with server.connect() as connection:
        for _ in range(3):
            connection.send(fcgi.request(given, keep=True))
            counts = json.loads(connection.read_response(1).body)
    assert all(counts[name] > 0 for name in ("HTTP_X_PLAIN", "HTTP_USER_AGENT", "DOCUMENT_ROOT")), counts
    assert {name: counts[name] for name in PERSONAL} == dict.fromkeys(PERSONAL, 0)
