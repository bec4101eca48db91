"""A Django application with a database behind nginx."""
import os

import pytest

import daemon
import frameworks
from daemon import APPS


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    database = tmp_path_factory.mktemp("d") / "db.sqlite3"
    running = daemon.Daemon("djangoapp", env={"DATABASE": database})
    yield running
    running.stop()


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
    assert got["name"] == "caf\xe9 x" and got["args"] == {"a": ["1", "\u20ac"]} and got["path"] == "/user/caf\xe9 x"
    assert got["uri"].endswith("/user/caf%C3%A9%20x?a=1&a=%E2%82%AC")


def test_files(site):
    with open(os.path.join(APPS, "djangoapp", "__init__.py"), "rb") as file:
        frameworks.check_file(site, "/file", file.read())
    with open(os.path.join(APPS, "djangoapp", "static", "style.css"), "rb") as file:
        frameworks.check_file(site, "/static/style.css", file.read())
    assert site.ask("/static/missing.css").status == 404


def test_failures(site):
    frameworks.check_failure(site, "(?s)Traceback.*RuntimeError: broken view")
    assert site.ask("/guarded", "POST", body="a=b", headers={"Content-Type": frameworks.FORM}).status == 403


def test_database(site):
    """Connections to the database live as long as their thread (CONN_MAX_AGE None)."""
    before = int(site.ask("/add/first-%s" % site.name, "POST").body)
    for number in range(20):
        assert int(site.ask("/add/%d-%s" % (number, site.name), "POST").body) == before + number + 1
    links = [os.readlink("/proc/%d/fd/%s" % (site.server.pid, fd)) for fd in os.listdir("/proc/%d/fd" % site.server.pid)
             if os.path.islink("/proc/%d/fd/%s" % (site.server.pid, fd))]
    # One of the import's migration, in the main thread, and one for each thread that was needed.
    assert 1 <= sum(link.endswith("db.sqlite3") for link in links) <= site.server.threads()
