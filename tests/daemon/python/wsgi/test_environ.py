"""The environ of many requests that are alike but not the same, whatever the server remembers of those before.

A model of protocol and PEP in a few lines says what each environ has to be.
"""
import json
import os
import random
import re
from urllib.parse import unquote

import pytest

import daemon
import fcgi
import rawhttp
from test_paths import own_name

OWN_NAME = own_name() if "WSGI_FCGI" in os.environ else None
MADE = "a label that was made"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
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
    for label in ("HTTP_X_REQUEST_ID", "HTTP_TRACEPARENT"):
        environ.update((name, value) for name, value in given if name == label)  # of several the last one
    if not re.fullmatch(r"[-._~+/=:@0-9A-Za-z]{1,128}", environ.get("HTTP_X_REQUEST_ID", "")):
        environ["HTTP_X_REQUEST_ID"] = MADE
    if "HTTP_TRACEPARENT" in environ and environ["HTTP_TRACEPARENT"] != PARENT:
        del environ["HTTP_TRACEPARENT"]
    if "HTTP_TRACEPARENT" not in environ:
        environ.pop("HTTP_TRACESTATE", None)
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
    shown = {key: value for key, value in environ.items() if "." not in key or key == "wsgi.url_scheme"}
    if re.fullmatch("[0-9a-f]{32}", shown["HTTP_X_REQUEST_ID"]):
        shown["HTTP_X_REQUEST_ID"] = MADE
    return shown


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
    "HTTP_X_REQUEST_ID": ["good", "better", "x" * 128, "bad one", "x" * 129, ""],
    "HTTP_TRACEPARENT": [PARENT, PARENT, PARENT[:-1], "bad"],
    "HTTP_TRACESTATE": ["a=1", "b=2", ""],
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
        name = chance.choice(["HTTP_X_SAME", "HTTP_COOKIE", "HTTP_X_REQUEST_ID", "SCRIPT_NAME", "wsgi.input", "LATIN", "EXTRA1", "EXTRA2"])
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


def test_after_requests_that_were_never_called(start):
    """What the parameters are compared with may be a request whose environ nobody made: that of another has to do."""
    server = start("anypath")
    base = [("REQUEST_METHOD", "PUT"), ("SCRIPT_NAME", "/a"), ("SERVER_NAME", "first"), ("SERVER_PORT", "80"),
            ("SERVER_PROTOCOL", "HTTP/1.1"), ("HTTP_X_SAME", "1"), ("LATIN", "\xe9")]
    other = [(name, value + "2" if name not in ("SCRIPT_NAME", "SERVER_PORT") else value) for name, value in base]
    with server.connect() as waiting, server.connect() as connection:
        for number in (1, 2):
            waiting.send(fcgi.request(base, id=number, keep=True, end=False))
        waiting.send(fcgi.request(fcgi.params("/"), id=3, keep=True))
        assert waiting.read_response(3).status == 200
        for given in (other, base, base, other):
            assert ask(connection, given) == expected(given)


def test_path_that_is_not_kept(start):
    """A path may get a question mark by being decoded; it is made anew for each request."""
    server = start("anypath")
    given = [("REQUEST_METHOD", "GET"), ("SERVER_NAME", "localhost"), ("SERVER_PORT", "80"), ("REQUEST_URI", "/a%3Fb")]
    with server.connect() as connection:
        for _ in range(5):
            assert ask(connection, given) == expected(given)


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


# The same requests, each compared with the environ of one that has so many more parameters that nothing is remembered.
MANY = [("HTTP_X_MANY_%d" % number, "x") for number in range(101)]
FIELDS = {
    "HTTP_HOST": ["localhost", "example.org", "example.com:8080"],
    "HTTP_USER_AGENT": ["one", "two", "a longer one" * 20],
    "HTTP_ACCEPT": ["*/*", "text/html", "", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    "HTTP_COOKIE": ["a=1", "a=2", "a=1; session=" + "0123456789abcdef" * 9, "   x", ""],
    "HTTP_AUTHORIZATION": ["Basic one", "Basic two"],
    "HTTP_REFERER": ["http://localhost/", "http://localhost/?a=1", "http://localhost/?a=2"],
    "HTTP_X_SAME": ["1", "12", "123"],
    "HTTP_X_LATIN": ["\xe9", "e"],
    "HTTP_PROXY": ["http://evil"],
    "CONTENT_TYPE": ["text/plain", "text/html"],
}
OTHERS = {
    "REMOTE_ADDR": ["10.1.2.3", "10.1.2.4", "::1"],
    "REMOTE_PORT": ["1", "40000", "65535"],
    "REMOTE_USER": ["alice", "bob", ""],
    "HTTPS": ["on", "", "off"],
    "SERVER_NAME": ["", "localhost", "example.org"],
    "SERVER_ADDR": ["127.0.0.1", "a?b", "a?c"],
    "SERVER_PORT": ["80", "8080", ""],
    "LATIN": ["\xe9", "e"],
}
TARGETS = ["/", "/a", "/b?a=1", "/b?a=2", "/caf%C3%A9", "/a%3Fb", "/a%3Fc", "/" + "long/" * 40 + "?" + "x" * 200]
METHODS = ["GET", "DELETE", "PROPFIND"]


def over_fastcgi(method, target, pairs):
    path, _, query = target.partition("?")
    given = [("REQUEST_METHOD", method), ("QUERY_STRING", query), ("REQUEST_URI", target), *pairs,
             ("SCRIPT_NAME", unquote(path, "latin-1")), ("SERVER_PROTOCOL", "HTTP/1.1")]
    return fcgi.request(given, keep=True)


def over_http(method, target, pairs):
    lines = ["%s %s HTTP/1.1" % (method, target)]
    lines += ["%s: %s" % (name.removeprefix("HTTP_").replace("_", "-"), value) for name, value in pairs]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def changed(chance, pairs, choices):
    """Another request, which has much in common with this one."""
    pairs = list(pairs)
    if pairs:
        at, kind = chance.randrange(len(pairs)), chance.random()
        if kind < 0.85:
            pairs[at] = (pairs[at][0], chance.choice(choices[pairs[at][0]]))
        elif kind < 0.89:
            del pairs[at]
        elif kind < 0.92 and pairs[at][0] not in ("HTTP_HOST", "CONTENT_TYPE"):
            pairs.insert(chance.randrange(len(pairs) + 1), pairs[at])
        elif kind < 0.94:
            chance.shuffle(pairs)
    missing = [name for name in choices if name not in dict(pairs)]
    if missing and chance.random() < 0.05:
        name = chance.choice(missing)
        pairs.insert(chance.randrange(len(pairs) + 1), (name, chance.choice(choices[name])))
    return pairs


def shown(connection, request):
    """What the application gets, but for the objects that each request has anew."""
    connection.methods = ["GET"]
    connection.send(request)
    response = connection.read_response(1)
    assert response.status == 200, response
    environ = {key: value for key, (kind, value) in json.loads(response.body).items()}
    if re.fullmatch("[0-9a-f]{32}", environ["HTTP_X_REQUEST_ID"]):
        environ["HTTP_X_REQUEST_ID"] = MADE
    return {key: value for key, value in environ.items()
            if not key.startswith(("HTTP_X_MANY_", "wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi_fcgi."))}


@pytest.mark.parametrize("seed", range(6))
def test_requests_that_are_alike_have_the_environ_of_one_alone(seed):
    chance = random.Random(seed)
    ways = [(over_fastcgi, {**FIELDS, **OTHERS})]
    running = daemon.Daemon("anypath", both=daemon.speaks_http())
    connections = [running.connect()]
    if daemon.speaks_http():
        ways.append((over_http, FIELDS))
        connections.append(rawhttp.Connection(running.http_address))
    clients = [(way, connection, choices) for (way, choices), connection in zip(ways, connections) for _ in range(2)]
    state = [[(name, chance.choice(values)) for name, values in choices.items()] for _, _, choices in clients]
    for _ in range(300):
        number = chance.randrange(len(clients))
        way, connection, choices = clients[number]
        state[number] = pairs = changed(chance, state[number], choices)
        if way is over_http and "HTTP_HOST" not in dict(pairs):
            state[number] = pairs = [("HTTP_HOST", "localhost"), *pairs]
        asked = chance.choice(METHODS), chance.choice(TARGETS)
        alone = shown(connection, way(*asked, pairs + MANY))
        for _ in range(chance.choice([1, 1, 1, 3])):
            assert shown(connection, way(*asked, pairs)) == alone, (asked, pairs)
    for connection in connections:
        connection.close()
    running.stop()
