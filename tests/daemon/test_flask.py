"""A Flask application behind nginx."""
import os
import urllib.parse

import pytest

import frameworks
from daemon import APPS

APP = "flaskapp"


@pytest.fixture(scope="module")
def proxy(server):
    running = frameworks.sites(server)
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["plain", "kept"])
def site(request, server, proxy):
    return frameworks.Site(server, proxy, request.param)


@pytest.mark.parametrize("name", ["page", "json", "form", "upload", "redirect", "cookies", "session"])
def test_basics(site, name):
    getattr(frameworks, "check_" + name)(site)


def test_stream(site, gate):
    frameworks.check_stream(site, gate)


def test_url(site):
    got = site.json("/user/caf%C3%A9%20x?a=1&a=%E2%82%AC")
    assert got["name"] == "caf\xe9 x" and got["args"] == {"a": ["1", "\u20ac"]} and got["script"] == ""
    url = urllib.parse.unquote(got["url"])
    assert url.startswith("http://127.0.0.1") and url.endswith("/user/caf\xe9 x?a=1&a=\u20ac")


def test_file(site):
    with open(os.path.join(APPS, "flaskapp.py"), "rb") as file:
        frameworks.check_file(site, "/file", file.read())


def test_static_file_of_etag(site):
    tag = frameworks.header(site.ask("/file"), "ETag")[0]
    response = site.ask("/file", headers={"If-None-Match": tag})
    assert (response.status, response.body) == (304, b"")


def test_range(site):
    response = site.ask("/file", headers={"Range": "bytes=3-9"})
    with open(os.path.join(APPS, "flaskapp.py"), "rb") as file:
        whole = file.read()
    assert (response.status, response.body) == (206, whole[3:10])


def test_failures(site):
    frameworks.check_failure(site, "(?s)Traceback.*RuntimeError: broken view")
    assert site.ask("/forbidden").status == 403
    assert site.ask("/json", "DELETE").status == 405


def test_log(site):
    """Flask's logger writes to wsgi.errors."""
    site.ask("/logs?token=" + site.name)
    site.server.wait_log("logged by the application: " + site.name)
