"""A wheel that is installed, moved, and taken away again."""
import os
import shutil
import subprocess

import pytest

import daemon
import installed
from installed import version

APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world"]
"""


@pytest.fixture
def home(tmp_path):
    """A directory with an application, and nothing else."""
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / "app.py").write_text(APP)
    return directory


def answers(home, *command):
    """Whether the application is served over HTTP, by a server which then ends well."""
    server = daemon.Daemon(command=[*map(str, command), "--http", "127.0.0.1:0", "app:app"], cwd=home, wait=False)
    try:
        port = server.wait_log(r"listening on .*127\.0\.0\.1:(\d+)").group(1)
        server.address = server.http_address = ("127.0.0.1", int(port))
        response = server.ask("/")
        assert (response.status, response.body) == (200, b"Hello, world")
    finally:
        server.stop()


def test_version_is_told_by_all(fresh, wheel):
    venv = fresh()
    venv.install(wheel)
    said = installed.run(venv.command, "--version")
    assert said.startswith("wsgi-fcgi %s\n" % version()) and " extension " in said, said
    assert str(venv.path) in said
    assert "Version: %s\n" % version() in venv.pip("show", "wsgi-fcgi")
    assert installed.run(venv.python, "-c", "import wsgi_fcgi; print(wsgi_fcgi.__version__)") == version() + "\n"
    assert installed.run(venv.path / "bin" / "wsgi-fcgi-top", "--version").startswith("wsgi-fcgi-top %s" % version())


def test_what_is_taken_away_leaves_nothing(fresh, wheel, home):
    venv = fresh()
    before = venv.files()
    venv.install(wheel)
    assert {"share/man/man8/wsgi-fcgi.8", "bin/wsgi-fcgi"} < venv.files()
    answers(home, venv.command)
    venv.pip("uninstall", "--yes", "wsgi-fcgi")
    # pip removes files, and of folders those of packages.
    assert {name for name in venv.files() - before if not (venv.path / name).is_dir()} == set()


@pytest.mark.parametrize("name", ["venv", "a space"])
def test_serves_from_where_it_is_installed(fresh, wheel, home, name):
    venv = fresh(name)
    venv.install(wheel)
    answers(home, venv.command)
    answers(home, venv.python, "-m", "wsgi_fcgi")


def test_serves_from_an_environment_that_was_moved(fresh, wheel, home, tmp_path):
    """The first line of scripts names the old place; the interpreter itself finds what is beside it."""
    venv = fresh()
    venv.install(wheel)
    venv.path = shutil.move(str(venv.path), str(tmp_path / "moved"))
    answers(home, os.path.join(venv.path, "bin", "python"), "-m", "wsgi_fcgi")


def test_man_finds_its_page_beside_the_command(fresh, wheel):
    venv = fresh()
    venv.install(wheel)
    page = venv.path / "share" / "man" / "man8" / "wsgi-fcgi.8"
    assert subprocess.run(["mandoc", "-T", "utf8", str(page)], capture_output=True, check=True).stdout
