"""What no request may hold, whichever protocol brings it (cgi_rules.h)."""
import json

import pytest

import fcgi

OVER_HTTP = True
APP = "anypath"

# How a request differs from a good one.
REFUSED = {
    "method with a blank": {"method": "G T"},
    "method that is no token": {"method": "GE(T"},
    "method with a byte beyond ASCII": {"method": "G\xe9T"},
    "asterisk without OPTIONS": {"REQUEST_URI": "*", "SCRIPT_NAME": "*"},
    "host with a blank": {"HTTP_HOST": "a b"},
    "host with a path": {"HTTP_HOST": "a/b"},
    "host with a user": {"HTTP_HOST": "user@a"},
    "host with a port that is none": {"HTTP_HOST": "a:http"},
    "host with a bracket": {"HTTP_HOST": "[::1"},
    "host with a NUL": {"HTTP_HOST": "a\0"},
    "value with a NUL": {"HTTP_X": "a\0b"},
    "value with a CR": {"HTTP_X": "a\rb"},
    "value with a DEL": {"HTTP_X": "a\x7fb"},
    "value with a control character": {"HTTP_COOKIE": "a\x01b"},
    "content type with a control character": {"CONTENT_TYPE": "text/\x02"},
    "query with a NUL": {"query": "a\0"},
    "query with a tab": {"query": "a\tb"},
    "query with a DEL": {"query": "a\x7f"},
    "path with a NUL": {"path": "/a\0b"},
}

SERVED = {
    "all characters of a token": {"method": "M!#$%&'*+-.^_`|~9"},
    "host with an underscore": {"HTTP_HOST": "a_b.example:8080"},
    "address": {"HTTP_HOST": "[2001:db8::1]"},
    "no host": {"HTTP_HOST": ""},
    "value with a tab and bytes beyond ASCII": {"HTTP_X": "a\tb\xe9\xff"},
    "path with other control characters": {"path": "/a\x01\n\x7f", "REQUEST_URI": "/a%01%0A%7F"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(server, case):
    response = server.ask(**REFUSED[case])
    assert response.status == 400 and response.complete, response
    assert server.ask("/a").status == 200


@pytest.mark.parametrize("case", SERVED)
def test_served(server, case):
    response = server.ask(**SERVED[case])
    assert response.status == 200, response
    environ = {key: value for key, (kind, value) in json.loads(response.body).items()}
    for name, value in SERVED[case].items():
        assert environ[{"method": "REQUEST_METHOD", "path": "PATH_INFO"}.get(name, name)] == value


@pytest.mark.fastcgi
@pytest.mark.parametrize("name, bad, good", [
    ("HTTP_HOST", "a b", "a"), ("REQUEST_METHOD", "G T", "GET"), ("HTTP_X", "a\0b", "ab"), ("QUERY_STRING", "\t", ""),
    ("PATH_INFO", "/\0", "/"), ("REQUEST_URI", "*", "/"), ("PATH_INFO", "*", "/"), ("HTTP_\n\0", "a", None)])
def test_log_names_the_parameter(start, name, bad, good):
    """Not what is in it, which may be a secret. Again where others with these names were served."""
    for values in ([bad], [good, bad]):
        if None in values:
            continue
        server = start(APP)
        with server.connect() as connection:
            for value in values:
                connection.send(fcgi.request({name: value}, keep=True))
                assert connection.read_response(1).status == (400 if value == bad else 200)
        server.wait_log(r"request 1: 400 Bad Request \([^\n]*\): its parameters are malformed[^\n]*: %s\n" %
                        name.replace("\n\0", r"\\x0a\\x00"))


@pytest.mark.fastcgi
def test_whatever_came_before(server):
    """What is refused is refused when the rest of the parameters, or as many other bytes, have just been served."""
    good = fcgi.params("/a", query="a=1", headers={"Cookie": "a=1", "X": "abc"})
    with server.connect() as connection:
        for name, value in [("HTTP_COOKIE", "\0\0\0"), ("QUERY_STRING", "\0\0\0"), ("HTTP_X", "a\0c"),
                            ("REQUEST_METHOD", "G T"), ("HTTP_HOST", "local ost"), ("REQUEST_URI", "\0" * 6)]:
            for _ in range(20):
                connection.send(fcgi.request(good, keep=True))
                assert connection.read_response(1).status == 200
            for _ in range(20):
                connection.send(fcgi.request({**good, name: value}, keep=True))
                assert connection.read_response(1).status == 400, name


@pytest.mark.fastcgi
def test_own_parameters_of_the_web_server(server):
    """They may hold anything: a certificate has line ends."""
    own = {"SSL_CLIENT_CERT": "-----BEGIN\n\tabc\n", "REMOTE_USER": "a\0\x7f", "SITE_SETTING": "\r\n\x01"}
    environ = {key: value for key, (kind, value) in json.loads(server.ask("/a", **own).body).items()}
    assert {name: environ[name] for name in own} == own


@pytest.mark.fastcgi
def test_parameters_without_a_name(server):
    """They mean nothing, and are left out, on a connection where others have them too."""
    with server.connect() as connection:
        for extra in [[("", "")], [("", "value"), ("", "other")], [], [("", "x" * 300)]] * 10:
            connection.send(fcgi.request([*extra, *fcgi.params("/a").items(), *extra], keep=True))
            response = connection.read_response(1)
            assert response.status == 200, response
            environ = json.loads(response.body)
            assert "" not in environ and environ["PATH_INFO"] == ["str", "/a"]
