"""HTTP/1.1 under other locales: names and tokens are those of RFC 9110, whose letters are those of ASCII."""
import json

import pytest

import daemon as daemons
import locales
import rawhttp
from test_locale import LOCALES

APP = "localeapp"
INNER = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=LOCALES)
def server(request):
    running = daemons.Daemon(APP, "--forwarded-allow", "127.0.0.1", protocol="http", both=True,
                             env=locales.environ(request.param))
    yield running
    running.stop()


def answers(server, *data):
    """All answers that come to the bytes, with what the application told."""
    with server.connect() as connection:
        connection.send(*data, b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        found = []
        while not found or not found[-1].header("Connection"):
            found.append(connection.read_response().check())
        assert connection.at_eof()
    return [json.loads(response.body) if response.status == 200 else response.status for response in found]


@pytest.mark.parametrize("name", ["TRANSFER-ENCODING", "Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODiNG"])
@pytest.mark.parametrize("coding", ["chunked", "CHUNKED", "Chunked"])
def test_chunked(server, name, coding):
    """The request in the body stays a body (RFC 9112, 11.2)."""
    head = "POST /outer HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n" % (name, coding)
    outer, last = answers(server, head.encode(), rawhttp.chunked(INNER))
    assert (outer["PATH_INFO"], outer["body"]) == ("/outer", INNER.decode())
    assert (last["PATH_INFO"], last["body"]) == ("/last", "")
    assert not any(key.startswith("HTTP_TRANSFER") for key in outer)


@pytest.mark.parametrize("lines", ["TRANSFER-ENCODING: gzip, chunked", "TRANSFER-ENCODING: identity",
                                   "TRANSFER-ENCODING: chunked\r\nTRANSFER-ENCODING: chunked",
                                   "TRANSFER-ENCODING: chunked\r\nContent-Length: 3"])
def test_other_framings_are_refused(server, lines):
    head = "POST /outer HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % lines
    found = answers(server, head.encode(), rawhttp.chunked(INNER))
    assert len(found) == 1 and found[0] in (400, 501)


def test_length_and_type(server):
    outer, last = answers(server, b"POST /outer HTTP/1.1\r\nHOST: a\r\nCONTENT-LENGTH: %d\r\nCONTENT-TYPE: X/I\r\n\r\n"
                          % len(INNER), INNER)
    assert (outer["body"], outer["CONTENT_TYPE"], last["PATH_INFO"]) == (INNER.decode(), "X/I", "/last")
    assert "HTTP_CONTENT_TYPE" not in outer and "HTTP_CONTENT_LENGTH" not in outer


def test_expectation(server):
    with server.connect() as connection:
        connection.methods.append("POST")
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nEXPECT: 100-CONTINUE\r\nContent-Length: 3\r\n\r\n")
        assert connection._read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"abc")
        assert json.loads(connection.read_response().body)["body"] == "abc"


def test_target_and_proxy(server):
    first, _ = answers(server, b"GET HTTP://HOST.I/a HTTP/1.1\r\nHost: b\r\nX-FORWARDED-PROTO: HTTPS\r\n"
                       b"X-FORWARDED-FOR: 192.0.2.7\r\n\r\n")
    assert (first["HTTP_HOST"], first["wsgi.url_scheme"], first["REMOTE_ADDR"]) == ("HOST.I", "https", "192.0.2.7")
