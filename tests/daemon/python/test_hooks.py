"""The module wsgi_fcgi: hooks around the time in which a process serves, and what it says about that process."""
import os
import re
import signal

import pytest

from daemon import run
from fcgi import params, request

APP = "hookapp"
EX_SOFTWARE = 70


def events(server):
    return re.findall(r"^event: (.*)$", server.log(), re.M)


def on_main(*names):
    return [name + " on MainThread" for name in names]


STARTED, STOPPED = on_main("start first", "start second"), on_main("stop second", "stop first", "atexit")


@pytest.fixture
def beginning(start, gate):
    """Starts a server that does something in its first hook."""
    def starter(do, *args, **more):
        return start(APP, *args, env={"DO": do, "GATE": gate.path}, **more)
    return starter


def end(server):
    server.process.terminate()
    assert server.wait_exit() == 0, server.log()


def ends(server, status):
    assert server.wait_exit() == status, server.log()
    server.expect_status = status
    assert not os.path.exists(server.path), server.log()


@pytest.mark.parametrize("options", [[], ["--threads", 1]])
def test_order(start, options):
    """In the order of registration, and back; on the main thread, and between import and atexit."""
    server = start(APP, *options)
    assert server.ask("/").body == b"None\nNone\nFalse\n"
    assert events(server) == STARTED
    end(server)
    assert events(server) == STARTED + STOPPED


def test_registered_later(beginning):
    """By a hook: behind those that are there. By a request: that process serves already, so it is called at once."""
    server = beginning("late")
    server.ask("/register")
    end(server)
    said = events(server)
    assert said[:3] == STARTED + on_main("start late")
    assert said[3].startswith("start at once on wsgi-fcgi")
    assert said[4:] == on_main("stop late") + STOPPED


def test_requests_wait_for_hooks(beginning, gate):
    server = beginning("wait", wait=False)
    visitor = gate.arrived()
    with server.connect() as client:
        client.send(request(params("/")))
        assert "start second" not in server.log()
        visitor.release()
        assert client.read_response(1).status == 200
    assert events(server) == STARTED


@pytest.mark.parametrize("do, error", [("fail", "RuntimeError: failed on purpose"), ("exit", "SystemExit: 3")])
def test_start_that_fails(beginning, do, error):
    """As an application that does not load. Nothing was served, so there is nothing for the other hooks to end."""
    server = beginning(do, wait=False)
    ends(server, EX_SOFTWARE)
    assert "a function of wsgi_fcgi.on_worker_start raised an exception" in server.log()
    assert error in server.log() and "hookapp.py" in server.log()
    assert events(server) == on_main("start first", "atexit")


def test_who_waits_learns_that_the_start_fails(beginning, gate):
    server = beginning("wait fail", wait=False)
    visitor = gate.arrived()
    client = server.connect()
    client.send(request(params("/")))
    visitor.release()
    assert client.at_eof()
    ends(server, EX_SOFTWARE)


@pytest.mark.parametrize("do", ["hang", "swallow"])
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_interrupts_the_start(beginning, gate, do, number, status):
    """Whatever the application makes of the exception."""
    server = beginning(do, wait=False)
    assert gate.arrived().text == "hanging"
    server.process.send_signal(number)
    ends(server, status)
    assert re.search(r"error: interrupted while running a function of wsgi_fcgi.on_worker_start \(%s\)" % number.name,
                     server.log())
    assert events(server) == on_main("start first", "atexit")


@pytest.mark.parametrize("do, error", [("fail-stop", "RuntimeError: failed on purpose"), ("exit-stop", "SystemExit: 3")])
def test_stop_that_fails(beginning, do, error):
    """The others run, and the status is that of any other stop."""
    server = beginning(do)
    end(server)
    assert "a function of wsgi_fcgi.on_worker_stop raised an exception" in server.log() and error in server.log()
    assert events(server) == STARTED + STOPPED


def test_forks_in_hooks(beginning):
    """A child ends where the hook returns: it is no second server, and the functions of atexit are not its own."""
    server = beginning("fork")
    end(server)
    assert events(server) == on_main("start first", "child ended with 0", "start second", "stop second",
                                     "child ended with 0", "stop first", "atexit")


def test_requests_left_behind(start, gate):
    """Then functions of atexit run as well."""
    server = start(APP, "--graceful-timeout", 0, env={"GATE": gate.path})
    client = server.connect()
    client.send(request(params("/stuck")))
    gate.arrived()
    server.process.terminate()
    server.wait_cut()
    assert events(server) == STARTED + STOPPED


def test_refused(start):
    server = start(APP)
    assert server.ask("/refused").body.decode().splitlines() == [
        "TypeError: a hook is something to call without arguments, not of type int",
        "TypeError: a hook is something to call without arguments, not of type NoneType",
        "TypeError: wsgi_fcgi.on_worker_start() takes exactly one argument (0 given)", "True"]


def test_version(start):
    server = start(APP)
    assert server.ask("/version").body.decode() in server.log()


def test_check_runs_no_hooks():
    """It serves nothing."""
    done = run("--check", APP)
    assert done.returncode == 0 and "event: start" not in done.stdout + done.stderr
    assert "event: stop" not in done.stdout + done.stderr
