"""What the application does at a signal that ends the process, and what it does that is like one."""
import json
import os
import signal

import pytest

from daemon import until
from fcgi import params, request
from test_signals import refuses

OVER_HTTP = True
APP = "stopapp"
STATUS = {"again": 0, "kill": 0, "taken": 0, "copy": 0, "_exit": 3, "_exit taken": 3, "exit": 4, "return": 0, "other": 0,
          "interrupt": 0, "chained": 0}


def hold(server, gate, path="/gate", **more):
    connection = server.connect()
    query = "&".join("%s=%s" % pair for pair in {"gate": gate.path, **more}.items())
    connection.send(request(params(path, query=query)))
    return connection


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("how", STATUS)
def test_handler(start, gate, name, how):
    """It runs when the requests have ended, and atexit functions after it, however it means to end the process."""
    server = start(APP, env={"GATE": gate.path, "HANDLE": name, "HOW": how})
    connection = hold(server, gate)
    visitor = gate.arrived()
    server.signal(signal.Signals[name])
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    response = connection.read_response(1)
    assert response.complete and response.body == b"passed\n"
    assert [gate.arrived().text, gate.arrived().text] == [name + " with 0 in work", "atexit"]
    server.expect_status = STATUS[how]
    assert server.wait_exit() == STATUS[how], server.log()
    assert not os.path.exists(server.path)


@pytest.mark.parametrize("how", STATUS)
def test_handler_of_another_signal(start, gate, how):
    """It runs at once; when it means to end the process, the requests are finished first."""
    server = start(APP, env={"GATE": gate.path, "HANDLE": "SIGHUP", "HOW": how})
    connection = hold(server, gate)
    visitor = gate.arrived()
    server.signal(signal.SIGHUP)
    assert gate.arrived().text == "SIGHUP with 1 in work"
    if how == "return":
        assert server.ask("/hello").status == 200
    else:
        until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    response = connection.read_response(1)
    assert response.complete and response.body == b"passed\n"
    if how != "return":
        assert gate.arrived().text == "atexit"
        server.expect_status = STATUS[how]
        assert server.wait_exit() == STATUS[how], server.log()


def test_handler_after_graceful_timeout(start, gate):
    server = start(APP, "--graceful-timeout", "0.1", env={"GATE": gate.path, "HANDLE": "SIGTERM", "HOW": "again"})
    with hold(server, gate):
        gate.arrived()
        server.signal(signal.SIGTERM)
        assert [gate.arrived().text, gate.arrived().text] == ["SIGTERM with 1 in work", "atexit"]
        server.wait_cut()


def test_timer_of_the_application(start, gate):
    """SIGALRM, alarm and setitimer are the application's, during a stop as well."""
    server = start(APP, env={"GATE": gate.path})
    connection = hold(server, gate, "/ticking")
    visitor = gate.arrived()
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert json.loads(connection.read_response(1).body) == "ticked"
    assert server.wait_exit() == 0, server.log()
    assert "did not end in time" not in server.log()


def test_deadline_without_the_timers_of_the_application(start, gate):
    """No call of the application's takes the end of a stop away."""
    server = start(APP, "--graceful-timeout", "0.1", env={"GATE": gate.path})
    with hold(server, gate, "/disarms"):
        visitor = gate.arrived()
        server.signal(signal.SIGTERM)
        until(lambda: refuses(server), "new connections to be refused", server.log)
        visitor.release()
        server.wait_cut()
    server.wait_log("the interpreter did not end in time: ending without it")


@pytest.mark.parametrize("handle", ["", "SIGINT"])
def test_interrupt_main(start, gate, handle):
    """It runs the handler in Python that SIGINT has, and that is all: no signal came."""
    server = start(APP, env={"GATE": gate.path, "HANDLE": handle, "HOW": "interrupt"})
    for _ in range(2):
        connection = hold(server, gate, "/does", what="interrupt", number="SIGINT")
        visitors = [gate.arrived() for _ in range(2 if handle else 1)]
        assert sorted(visitor.text for visitor in visitors) == ["", "SIGINT with 1 in work"][:len(visitors)]
        for visitor in visitors:
            visitor.release() if not visitor.text else None
        assert json.loads(connection.read_response(1).body) == "done"
        until(lambda: server.log().count("interrupt_main") > _, "a line", server.log)
    assert server.ask("/hello").status == 200
    assert "stopping" not in server.log()


def test_interrupt_main_with_sigterm(start, gate):
    """Without a handler it does nothing, as Python says; with one, it is SIGTERM."""
    server = start(APP, env={"GATE": gate.path})
    connection = hold(server, gate, "/does", what="interrupt")
    gate.arrived().release()
    assert json.loads(connection.read_response(1).body) == "done"
    assert server.ask("/hello").status == 200
    server = start(APP, env={"GATE": gate.path, "HANDLE": "SIGTERM", "HOW": "again"})
    ends_by_itself(server, gate, ["SIGTERM with 0 in work"], what="interrupt")


@pytest.mark.parametrize("handle", ["", "SIGTERM SIGINT"])
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("what", ["raise", "kill"])
def test_signal_from_a_request(start, gate, what, number, handle):
    """The application wants the end: it is that of a signal from outside, and twice is not to hurry."""
    server = start(APP, env={"GATE": gate.path, "HANDLE": handle, "HOW": "again"})
    ends_by_itself(server, gate, [number + " with 0 in work"] if handle else [], what=what, number=number)


def ends_by_itself(server, gate, said, **more):
    connection = hold(server, gate, "/does", **more)
    visitor = gate.arrived()
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert json.loads(connection.read_response(1).body) == "done"
    for text in [*said, "atexit"]:
        assert gate.arrived().text == text
    assert server.wait_exit() == 0, server.log()
    assert not os.path.exists(server.path)
