"""How the server ends, and that the application's own signal handling is not disturbed."""
import json
import os
import re
import signal

import pytest

import fcgi
from fcgi import params, request

OVER_HTTP = True
APP = "signalapp"


def started(start, gate, *args, app=APP, **env):
    return start(app, *args, env={"GATE": gate.path, **env})


def hold(server, gate, **more):
    """A connection whose request is running now, and its visitor at the gate."""
    connection = server.connect()
    connection.send(request(params("/gate", query="gate=" + gate.path), **more))
    return connection, gate.arrived()


def refuses(server):
    try:
        server.connect().close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("keep", [False, True])
def test_running_request_is_finished(start, gate, number, keep):
    import daemon
    server = started(start, gate)
    connection, visitor = hold(server, gate, keep=keep)
    idle = server.connect()
    assert idle.ask("/hello").status == 200
    server.signal(number)
    daemon.until(lambda: refuses(server), "new connections to be refused", server.log)
    assert idle.at_eof(), "a connection without a request is closed"
    visitor.release()
    response = connection.read_response(1)
    assert response.complete and response.body == b"passed\n"
    assert connection.at_eof()
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0
    assert not os.path.exists(server.path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_ends(start, gate, number):
    server = started(start, gate)
    server.signal(number)
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0
    assert "atexit printed" in server.log()


def test_queued_requests_are_finished(start, gate):
    server = started(start, gate, "-t", 1, "--queue-timeout", 0)
    connection, visitor = hold(server, gate)
    queued = [server.connect() for _ in range(5)]
    for each in queued:
        each.send(request(params("/hello")))
    with server.connect() as other:
        other.get_values()
        other.get_values()
    server.signal(signal.SIGTERM)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    for each in queued:
        assert each.read_response(1).body == b"Hello, world\n"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("stuck", ["gate", "compute"])
def test_graceful_timeout_bounds_the_end(start, gate, stuck):
    """A call that never ends holds the server up only so long; atexit runs all the same."""
    server = started(start, gate, "--graceful-timeout", "1")
    with server.connect() as connection:
        connection.send(request(params("/" + stuck, query="gate=" + gate.path)))
        gate.arrived()
        server.signal(signal.SIGTERM)
        assert gate.arrived().text == "atexit"
        server.wait_cut()
    assert not os.path.exists(server.path)
    server.wait_log(r"after 1 s \(--graceful-timeout\) 1 request and 1 connection are left: ending without them\n"
                    r"[^\n]*requests are cut off; those that have run for longest: [\d.]+ s \(connection \d+: request 1\): GET /%s\?"
                    % stuck)
    assert re.search(r"stopped after [12](\.\d+)? s: 0 requests finished, 1 cut off$", server.log().strip()), server.log()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_last_line(start, gate, count):
    """It says what has become of the requests that were in work."""
    server = started(start, gate)
    held = [hold(server, gate) for _ in range(count)]
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping \(TERM\): %d request%s in work, up to 30 s to finish%s\n"
                    % (count, "s" * (count != 1), "; a second signal ends it at once" * (count > 0)))
    for connection, visitor in held:
        visitor.release()
        assert connection.read_response(1).body == b"passed\n"
    assert server.wait_exit() == 0
    last = server.log().strip().splitlines()[-1]
    assert re.search(r"stopped after [\d.]+ s: %d request%s finished, 0 cut off$" % (count, "s" * (count != 1)), last)


@pytest.mark.parametrize("numbers", [1000 * [signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]],
                         ids=["same", "other"])
def test_signals_at_the_same_time_are_one(start, gate, numbers):
    """As timeout(1) sends them, to its command and to the whole group of processes."""
    import daemon
    server = started(start, gate)
    connection, visitor = hold(server, gate)
    for number in numbers:
        os.kill(server.pid, number)
    daemon.until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    response = connection.read_response(1)
    assert response.complete and response.body == b"passed\n"
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0, server.log()


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                                           (signal.SIGTERM, signal.SIGINT)])
def test_second_signal_ends_at_once(start, gate, first, second):
    import daemon
    server = started(start, gate, "--graceful-timeout", "1000")
    connection, visitor = hold(server, gate)
    server.signal(first)
    daemon.until(lambda: refuses(server), "the drain to begin", server.log)
    server.signal_again(second)
    assert not os.path.exists(server.path)
    connection.close()


def test_second_signal_while_something_computes(start, gate):
    """It does not need the interpreter."""
    import daemon
    server = started(start, gate, "--graceful-timeout", "1000")
    with server.connect() as connection:
        connection.send(request(params("/compute", query="gate=" + gate.path)))
        gate.arrived()
        server.signal(signal.SIGTERM)
        daemon.until(lambda: refuses(server), "the drain to begin", server.log)
        server.signal_again(signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_handler_of_the_application_for_the_same_signal(start, gate, name):
    """It is called, and the server ends as it would without it."""
    server = started(start, gate, HANDLE=name)
    assert server.ask("/hello").status == 200
    server.signal(signal.Signals[name])
    assert sorted([gate.arrived().text, gate.arrived().text]) == ["atexit", "handler %s in main" % name]
    assert server.wait_exit() == 0


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGCHLD"])
def test_other_signals_are_the_applications(start, gate, name):
    """Also while the server is idle, which wakes nobody otherwise; in the main thread, as Python promises."""
    server = started(start, gate, HANDLE=name)
    for _ in range(2):
        server.signal(signal.Signals[name])
        assert gate.arrived().text == "handler %s in main" % name
        assert server.ask("/hello").body == b"Hello, world\n"


def test_signal_while_the_application_computes(start, gate):
    server = started(start, gate, HANDLE="SIGUSR1")
    with server.connect() as connection:
        connection.send(request(params("/compute", query="gate=" + gate.path)))
        visitor = gate.arrived()
        server.signal(signal.SIGUSR1)
        assert gate.arrived().text == "handler SIGUSR1 in main"
        visitor.release()
        assert connection.read_response(1).status == 200


def test_children_start_with_no_signal_blocked(start, gate):
    server = started(start, gate)
    masks = json.loads(server.ask("/child-signals").body)
    assert masks["SigBlk"] == 0
    ignored = [number for number in range(1, 32) if masks["SigIgn"] >> (number - 1) & 1]
    assert signal.SIGPIPE not in ignored and signal.SIGTERM not in ignored


def test_peer_gone_does_not_signal(start, gate):
    """Writing to a connection that is gone (SIGPIPE) ends nothing."""
    server = started(start, gate)
    connection, visitor = hold(server, gate)
    connection.close()
    visitor.release()
    assert server.ask("/hello").status == 200


@pytest.mark.fastcgi
def test_unfinished_upload_does_not_hold_up_the_end(start, gate):
    server = started(start, gate, "--graceful-timeout", "20")
    with server.connect() as connection:
        connection.send(fcgi.begin(), fcgi.record(fcgi.PARAMS, 1, b"\x01"))
        connection.get_values()
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
