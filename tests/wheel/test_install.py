"""A wheel that is installed, moved, and taken away again."""
import os
import re
import shutil
import subprocess
import zipfile

import pytest

import daemon
import installed
from installed import version

APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world"]


def gil(environ, start_response):
    import sys
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(getattr(sys, "_is_gil_enabled", lambda: True)()).encode()]
"""


@pytest.fixture
def home(tmp_path):
    """A directory with an application, and nothing else."""
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / "app.py").write_text(APP)
    return directory


def answers(home, *command, app="app:app", body=b"Hello, world"):
    """Whether the application is served over HTTP, by a server which then ends well."""
    server = daemon.Daemon(command=[*map(str, command), "--http", "127.0.0.1:0", app], cwd=home, wait=False)
    try:
        port = server.wait_log(r"listening on .*127\.0\.0\.1:(\d+)").group(1)
        server.address = server.http_address = ("127.0.0.1", int(port))
        response = server.ask("/")
        assert (response.status, response.body) == (200, body)
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


def test_a_free_threaded_python_has_its_gil_on_or_is_refused(fresh, wheel, home):
    """And no other one says that."""
    venv = fresh()
    venv.install(wheel)
    asked = "import sysconfig; print(bool(sysconfig.get_config_var('Py_GIL_DISABLED')))"
    free_threaded = installed.run(venv.python, "-c", asked) == "True\n"
    assert (" free-threaded, GIL on" in installed.run(venv.command, "--version")) == free_threaded
    answers(home, venv.command, app="app:gil", body=b"True")
    if free_threaded:
        said = installed.run(venv.python, "-X", "gil=0", "-m", "wsgi_fcgi", "--check", "--chdir", home, "app:app",
                             status=os.EX_CONFIG)  # fmt: skip
        assert "this Python runs without its GIL (-X gil=0)" in said, said


def test_two_commands_from_an_empty_environment_to_the_first_answer(wheel):
    said = first_answer(wheel)
    assert re.fullmatch(r"cp3\d+t? +2 commands, +[0-9.]+ s: .*\n", said), said


def test_no_first_answer_is_told_with_the_reason(wheel, tmp_path):
    broken = tmp_path / os.path.basename(wheel)
    with zipfile.ZipFile(wheel) as good, zipfile.ZipFile(broken, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, b"raise SystemExit('broken')" if name == "wsgi_fcgi/__main__.py" else good.read(name))
    said = first_answer(broken, status=1)
    assert said.startswith("first_answer: %s: " % broken.name) and "broken" in said, said


def first_answer(wheel, **more):
    script = installed.ROOT / "contrib" / "wheel" / "first_answer.py"
    return installed.run(os.environ["WHEEL_PYTHON"], "-B", script, os.environ["WHEEL_PYTHON"], wheel, **more)


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


def test_a_manual_page_that_mandoc_renders(fresh, wheel):
    venv = fresh()
    venv.install(wheel)
    page = venv.path / "share" / "man" / "man8" / "wsgi-fcgi.8"
    assert subprocess.run(["mandoc", "-T", "utf8", str(page)], capture_output=True, check=True).stdout
