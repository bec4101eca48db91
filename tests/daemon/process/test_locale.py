"""What is read and said does not depend on the locale, which Python takes from the environment and an application may
set: neither over FastCGI nor over HTTP, nor in the log."""
import json
import re

import pytest

import daemon as daemons
import locales
from fcgi import params, request
from test_wsgi import header

OVER_HTTP = True
APP = "localeapp"
LOCALES = locales.NAMES + ["de_DE.ISO-8859-1"]

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=LOCALES)
def server(request, protocol):
    running = daemons.Daemon(APP, protocol=protocol, both=daemons.speaks_http(),
                             env=locales.environ(request.param))
    running.locale = request.param
    yield running
    running.stop()


def told(server, given, body=b""):
    with server.connect() as connection:
        connection.send(request(given, body))
        response = connection.read_response()
    assert response.status == 200, response
    return json.loads(response.body)


def test_the_locale_is_set(server):
    """By the environment, and with all that belongs to it: or else nothing is tested here."""
    answer = told(server, params("/"))
    assert server.locale.partition(".")[0] in answer["locale"]
    assert answer["point"] == ("." if server.locale.startswith("ja") else ",")


@pytest.mark.fastcgi
@pytest.mark.parametrize("given, scheme", [({"HTTPS": "ON"}, "https"), ({"HTTPS": "YES"}, "https"),
                                           ({"HTTPS": "I"}, "http"), ({"REQUEST_SCHEME": "HTTPS"}, "https")])
def test_scheme(server, given, scheme):
    assert told(server, {**params("/"), **given})["wsgi.url_scheme"] == scheme


def test_values_are_native_strings(server):
    """PEP 3333: latin-1, whatever charset the locale has."""
    value = "".join(map(chr, [0x21, *range(0xa0, 0x100)]))
    assert told(server, params("/", headers={"X-All": value}))["HTTP_X_ALL"] == value


def test_body_and_fields_of_the_answer(server):
    """CONTENT-LENGTH of the application is the length of the answer: it is neither doubled nor counted as another one."""
    with server.connect() as connection:
        for _ in range(3):
            connection.send(request(params("/", "POST", body=b"abc"), b"abc", keep=True))
            response = connection.read_response()
            assert len(header(response, "Content-Length")) == 1 and json.loads(response.body)["body"] == "abc"


def test_log_has_points_in_its_numbers(start):
    server = start(APP, "--graceful-timeout", "2.5", env=locales.environ("tr_TR.UTF-8"))
    told(server, params("/"))
    server.process.terminate()
    assert server.wait_exit() == 0
    assert re.search(r"up to 2\.5 s ", server.log())
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z wsgi-fcgi\[", server.log(), re.M)
