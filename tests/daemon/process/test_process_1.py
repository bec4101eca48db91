"""As process 1 of a container: of orphans nothing is left, and what the application's own children end with is its own."""
import json
import os
import pty
import signal

import pytest

import daemon
from daemon import until
from fcgi import params, request
from test_signals import hold, refuses
from test_signals_others import leads
from test_signals_start import UNSHARE

OVER_HTTP = True
APP = "stopapp"
EX_NOINPUT = 66


def children(pid):
    """Of all its threads."""
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, task)) as file:
            found += map(int, file.read().split())
    return found


def state(pid):
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.fixture
def first(gate, tmp_path, protocol):
    """Starts servers in a namespace of processes: `pid` of one is process 1 there, and `server_pid` the process that serves."""
    servers = []

    def starter(*args, env=None, app=APP, **more):
        path = str(tmp_path / "app.sock")
        command = [*UNSHARE, "--mount-proc", daemon.binary(), daemon.OPTIONS[protocol], path, *args, app]
        server = daemon.Daemon(app, command=command, address=path, protocol=protocol,
                               env={"GATE": gate.path, **(env or {})}, **more)
        servers.append(server)
        server.path = path
        server.pid, = children(server.pid)
        server.server_pid, = children(server.pid) or [server.pid]
        return server
    yield starter
    for server in servers:
        server.kill()


def test_orphans_are_reaped(first, gate):
    server = first()
    with server.connect() as connection:
        connection.send(request(params("/orphan", query="gate=" + gate.path)))
        orphan = gate.arrived()
        assert orphan.text == "orphan"
        connection.read_response(1)
    other, = until(lambda: set(children(server.pid)) - {server.server_pid}, "process 1 to have the orphan", server.log)
    orphan.release()
    until(lambda: not os.path.exists("/proc/%d" % other), "the orphan to be gone", server.log)
    assert server.ask("/hello").status == 200


def test_children_of_the_application_are_its_own(first, gate):
    """However late it asks how one has ended."""
    server = first()
    with server.connect() as connection:
        connection.send(request(params("/runs", query="status=7&gate=" + gate.path)))
        visitor = gate.arrived()
        child, = children(server.server_pid)
        until(lambda: state(child) == "Z", "the child to end", server.log)
        server.ask("/hello")
        assert state(child) == "Z"
        visitor.release()
        assert json.loads(connection.read_response(1).body) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop(first, gate, number):
    server = first()
    connection, visitor = hold(server, gate)
    server.signal(number)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0
    assert not os.path.exists(server.path)


def test_signal_to_all_processes_is_one(first, gate):
    """As systemd sends it."""
    server = first()
    connection, visitor = hold(server, gate)
    for pid in (server.server_pid, server.pid):
        os.kill(pid, signal.SIGTERM)
        until(lambda: refuses(server), "new connections to be refused", server.log)
        until(lambda: not server.status_mask("ShdPnd"), "the signal to be passed on", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert server.wait_exit() == 0


def test_second_signal_ends_it_at_once(first, gate):
    server = first("--graceful-timeout", "1000")
    connection, visitor = hold(server, gate)
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server), "the drain to begin", server.log)
    server.signal_again(signal.SIGTERM)
    assert not os.path.exists(server.path)
    connection.close()


def test_handler_of_the_application(first, gate):
    server = first(env={"HANDLE": "SIGUSR1", "HOW": "return"})
    server.signal(signal.SIGUSR1)
    assert gate.arrived().text == "SIGUSR1 with 0 in work"
    server.signal(signal.SIGHUP)
    server.wait_log("SIGHUP does nothing here")


def test_keys_at_a_terminal(first, gate):
    """Ctrl-C comes to both processes, and is one signal."""
    master, slave = pty.openpty()
    server = first(stdin=slave, preexec_fn=leads)
    connection, visitor = hold(server, gate)
    os.write(master, b"\x03")
    until(lambda: refuses(server), "new connections to be refused", server.log)
    until(lambda: not server.status_mask("ShdPnd"), "process 1 to take the signal", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    until(lambda: "stopping (INT)" in server.log(), "a line", server.log)
    os.close(slave)
    os.close(master)


def test_status_of_a_server_that_is_killed(first):
    server = first()
    os.kill(server.server_pid, signal.SIGKILL)
    assert server.wait_exit() == 128 + signal.SIGKILL


def test_status_of_a_start_that_fails():
    server = daemon.Daemon(None, wait=False, command=[*UNSHARE, daemon.binary(), "--check", "nosuchmodule"])
    try:
        assert server.wait_exit() == EX_NOINPUT, server.log()
    finally:
        server.kill()


def test_holds_nothing(first):
    """Ends of sockets and pipes are not kept open by process 1."""
    assert os.listdir("/proc/%d/fd" % first().pid) == []
