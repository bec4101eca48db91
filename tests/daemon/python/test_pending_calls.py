"""What C code leaves to the main thread with Py_AddPendingCall runs there, soon, whatever the server is doing."""
import signal

import pytest

from fcgi import params, request

OVER_HTTP = True
APP = "pendingapp"


def started(start, gate, *args, **env):
    return start(APP, *args, env={"GATE": gate.path, **env})


@pytest.mark.parametrize("how", ["idle", "held", "computed"])
def test_runs_in_the_main_thread(start, gate, how):
    """Again and again, and without another request."""
    server = started(start, gate)
    for _ in range(3):
        assert server.ask("/" + how).body == b"added"
        assert gate.arrived().text == how + " in main"


def test_thread_of_the_application(start, gate):
    """No request is there that could wake anybody."""
    server = started(start, gate)
    assert server.ask("/alone").body == b"added"
    gate.arrived().release()
    assert gate.arrived().text == "alone in main"


def test_application_is_loaded(start, gate):
    started(start, gate, AT_LOAD="1")
    assert gate.arrived().text == "at load in main"


def test_exception_is_logged(start, gate):
    """And is no stop, neither for the others nor for the server."""
    server = started(start, gate)
    assert server.ask("/raising").body == b"added"
    assert [gate.arrived().text for _ in range(3)] == [name + " in main" for name in ("first", "second", "third")]
    server.wait_log(r"(?s)Py_AddPendingCall.*ValueError: of the first.*KeyError: 'of the second'")
    assert server.ask("/idle").body == b"added"
    assert gate.arrived().text == "idle in main"


def test_many_exceptions(start, gate):
    server = started(start, gate)
    assert server.ask("/many").body == b"added"
    assert server.ask("/held").body == b"added"


def test_system_exit_ends_the_server(start, gate):
    """As it does where the main thread runs the application."""
    server = started(start, gate)
    assert server.ask("/leaving").body == b"added"
    assert [gate.arrived().text, gate.arrived().text] == ["leaving in main", "atexit"]
    server.expect_status = server.wait_exit()
    assert server.expect_status == 5, server.log()


def test_end_of_the_server(start, gate):
    """What is pending then still runs, before the functions of atexit."""
    server = started(start, gate)
    with server.connect() as connection:
        connection.send(request(params("/stopping")))
        visitor = gate.arrived()
        server.signal(signal.SIGTERM)
        server.wait_log("stopping")
        visitor.release()
        assert connection.read_response(1).body == b"added"
    assert [gate.arrived().text, gate.arrived().text] == ["late in main", "atexit"]
    assert server.wait_exit() == 0


def test_child(start, gate):
    server = started(start, gate)
    assert server.ask("/forked").body == b"added"
    assert gate.arrived().text.startswith("child in ")
    assert server.ask("/idle").body == b"added"
    assert gate.arrived().text == "idle in main"
