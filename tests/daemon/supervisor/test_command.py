"""What the supervisor executes where the server is a module in an interpreter: `launcher.py` plays that."""
import os
import re
import shutil
import signal
import sys

import pytest

import daemon
from daemon import SANITIZED, until
from supervised import Supervised, supervisor_binary

LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
EX_USAGE = 64


@pytest.fixture
def launch(tmp_path):
    """launch(): a server of two workers, whose files are all in a folder with a blank in its name."""
    servers = []

    def make(*args):
        place = tmp_path / "a place"
        place.mkdir()
        path = str(place / "app.sock")
        for name in ("supervisor", "checking"):
            shutil.copy(supervisor_binary(), place / name)
        shutil.copy(LAUNCHER, place / "launcher.py")
        command = [sys.executable, "-B", str(place / "launcher.py"), "-s", path, "--workers", "2", *map(str, args), "hello"]
        server = Supervised(None, 2, *args, command=command, address=path, sockets=False, env={
            "LAUNCHER_PROGRAM": daemon.binary(), "LAUNCHER_SUPERVISOR": str(place / "supervisor"),
            "LAUNCHER_CHECK": str(place / "checking")})
        server.place = place
        servers.append(server)
        return server
    yield make
    for server in servers:
        server.stop()


def launched(server, role):
    """The command lines of what was launched so."""
    return re.findall("^launched as %s: (.*)$" % role, server.log(), re.M)


def reload(server):
    done = server.log().count("the reload is complete")
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload is complete") > done, "the reload", server.log)


def fail(server):
    """Returns why a reload fails."""
    failed = server.log().count("the reload has failed")
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload has failed") > failed, "the reload to fail", server.log)
    return re.findall("the reload has failed, the old application goes on: (.*)", server.log())[-1]


def test_workers_are_executed_by_the_interpreter(launch):
    server = launch()
    expected = [sys.executable, "-B", str(server.place / "launcher.py"), "-s", server.address, "--workers", "2", "hello"]
    assert launched(server, "worker") == [repr(expected)] * 2
    for pid in server.children():
        with open("/proc/%d/environ" % pid) as environ:
            assert "WSGI_FCGI_PROGRAM" not in environ.read()
    assert server.proc("cmdline").startswith("a-name: supervisor")
    assert server.ask().status == 200


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["workers", "zygote"])
def test_reload_executes_the_supervisor_itself(launch, options):
    """The interpreter has shown in the check that it starts; in the supervisor's own process it does not run."""
    server = launch(*options)
    for count in (1, 2):
        reload(server)
        assert len(launched(server, "check")) == count and len(launched(server, "first")) == 1
        assert server.proc("cmdline").startswith("a-name: supervisor")
        assert os.readlink("/proc/%d/exe" % server.pid) == str(server.place / "supervisor")
        assert server.ask().status == 200
    assert SANITIZED or server.rss() <= 2 << 20, server.proc("smaps")


def test_configuration_is_read_again(launch, tmp_path):
    """With its file, which the check has accepted."""
    config = tmp_path / "site.ini"
    config.write_text("threads = 3\n")
    server = launch("--config", config)
    config.write_text("threads = 0\n")
    assert "executed to check whether it can go on, has ended with status" in fail(server)
    config.write_text("threads = 2\n")
    reload(server)


def test_installation_that_is_not_complete(launch):
    """As between the two halves of what pip does: the old version is gone, and the new one is not there."""
    server = launch()
    os.rename(server.place / "launcher.py", server.place / "away")
    why = fail(server)
    assert why == "cannot read %s: No such file or directory: reload again when the installation is complete" % (
        server.place / "launcher.py")
    assert server.ask().status == 200
    os.rename(server.place / "away", server.place / "launcher.py")
    os.unlink(server.place / "supervisor")
    assert fail(server) == "cannot execute %s: No such file or directory" % (server.place / "supervisor")
    assert server.ask().status == 200
    shutil.copy(supervisor_binary(), server.place / "supervisor")
    reload(server)
    assert server.ask().status == 200


def test_supervisor_that_is_replaced_while_it_runs(launch):
    server = launch()
    shutil.copy(supervisor_binary(), server.place / "new")
    os.rename(server.place / "new", server.place / "supervisor")
    reload(server)
    assert os.readlink("/proc/%d/exe" % server.pid) == str(server.place / "supervisor")


@pytest.mark.parametrize("words", ["", "x", "-1", "9", "18446744073709551616"])
def test_words_that_are_not_there(words, tmp_path):
    done = daemon.run_program(supervisor_binary(), "--workers", 1, "-s", tmp_path / "x.sock", "hello",
                              env={"WSGI_FCGI_PROGRAM": sys.executable, "WSGI_FCGI_PROGRAM_WORDS": words})
    assert done.returncode == EX_USAGE
    assert "this is a part of wsgi-fcgi" in done.stderr
