"""Libraries that look at the process they are in."""
import json
import os
import shutil

import pytest

import daemon
import served


@pytest.fixture
def running(tmp_path):
    """Started elsewhere than where the application is, with a spool directory that is named by the environment."""
    site, spool = tmp_path / "site", tmp_path / "spool"
    site.mkdir()
    spool.mkdir()
    shutil.copy(os.path.join(served.SITES, "processapp.py"), site)
    (site / ".env").write_text("NAME=value\n")
    server = served.serve("processapp:app", "--pythonpath", site, "--chdir", "/", TMPDIR=spool)
    yield server
    server.stop()


def told(server, name):
    response = server.ask("/" + name)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def test_title(running):
    """It is what tools show, and nothing that the server needs was in its place: sockets, directories, its end."""
    assert told(running, "title") == "renamed xxxx"
    assert running.proc("cmdline").startswith("renamed x")
    body = b"x" * (4 << 20)
    assert json.loads(running.ask("/", "POST", body=body).body) == len(body)
    running.stop()


def test_dotenv(running, tmp_path):
    assert told(running, "environment") == str(tmp_path / "site")


def test_main_module(running):
    """A program's, which can be neither imported nor run again."""
    assert told(running, "main") == ["__main__", daemon.binary(), "__main__"]


def test_echo(running):
    """click writes text and bytes to wsgi.errors."""
    told(running, "main")
    running.wait_log("(?m)^echoed bytes\nechoed text$")


def test_spawn(running):
    """A child is Python, without a second server and without a main module of its own."""
    assert told(running, "spawn") == [[daemon.binary()], 0]
