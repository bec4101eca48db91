"""Signals that every supervisor, log rotation and terminal sends: none of them cuts requests. What the parent process has
blocked or ignored."""
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios

import pytest

import daemon
from daemon import until
from test_signals import hold, refuses, started

OVER_HTTP = True
NOTHING = {"SIGHUP": "restart the server", "SIGUSR1": "standard error, which needs no reopening"}


# --- that mean nothing

@pytest.mark.parametrize("name", NOTHING)
def test_says_what_to_do_instead(start, gate, name):
    server = started(start, gate)
    connection, visitor = hold(server, gate)
    server.signal(signal.Signals[name])
    server.wait_log("warning: %s does nothing here: .*%s" % (name, NOTHING[name]))
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert server.ask("/hello").status == 200


def test_is_not_said_again_and_again(start, gate):
    """Nobody can fill the log, and none of them is lost from the count."""
    server, count = started(start, gate), 0

    def told():
        lines = re.findall(r"SIGUSR1 does nothing here: [^\n]*?(?: \(and (\d+) more since the last line about this\))?\n",
                           server.log())
        return len(lines), len(lines) + sum(int(more or 0) for more in lines)
    while told()[0] < 2:
        server.signal(signal.SIGUSR1)
        count += 1
        # The next one is another signal, and not one with it.
        until(lambda: not server.status_mask("ShdPnd") >> (signal.SIGUSR1 - 1) & 1, "the signal to be taken", server.log)
    assert told()[0] <= told()[1] <= count


@pytest.mark.parametrize("name", NOTHING)
def test_during_the_import(gate, name):
    """It is said when the application is loaded."""
    server = daemon.Daemon("interruptedapp", wait=False, env={"GATE": gate.path, "HOW": "handle"})
    try:
        visitor = gate.arrived()
        server.signal(signal.Signals[name])
        visitor.release()
        server.wait_ready()
        server.wait_log("%s does nothing here" % name)
        server.stop()
    finally:
        server.kill()


def test_handler_that_is_gone_when_the_application_is_loaded(start, gate):
    """What the application found is what the server does by default."""
    server = start("interruptedapp", env={"GATE": gate.path, "HOW": "restore"})
    server.signal(signal.SIGHUP)
    server.wait_log("SIGHUP does nothing here")
    assert server.ask("/hello").status == 200
    server.signal(signal.SIGQUIT)
    assert server.wait_exit() == 0
    server.wait_log("stopping .QUIT")


@pytest.mark.parametrize("name", [*NOTHING, "SIGQUIT"])
def test_handler_that_is_set_later(start, gate, name):
    """The application has the signal from the time that it takes it."""
    server = start("stopapp", env={"GATE": gate.path, "HOW": "return"})
    assert json.loads(server.ask("/takes", query="number=" + name).body) == "default"
    for _ in range(2):
        server.signal(signal.Signals[name])
        assert gate.arrived().text == name + " with 0 in work"
    assert server.ask("/hello").status == 200
    assert "does nothing" not in server.log() and "stopping" not in server.log()


@pytest.mark.parametrize("how, status", [("again", 0), ("kill", 0), ("_exit", 3)])
@pytest.mark.parametrize("name", [*NOTHING, "SIGQUIT"])
def test_handler_that_ends_the_process(start, gate, name, how, status):
    """It ends it like SIGTERM: requests are finished."""
    server = start("stopapp", env={"GATE": gate.path, "HANDLE": name, "HOW": how})
    connection, visitor = hold(server, gate)
    server.signal(signal.Signals[name])
    assert gate.arrived().text == name + " with 1 in work"
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    server.expect_status = status
    assert server.wait_exit() == status, server.log()


# --- SIGQUIT

def test_sigquit_stops(start, gate):
    server = started(start, gate)
    connection, visitor = hold(server, gate)
    server.signal(signal.SIGQUIT)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0
    assert "stopping (QUIT)" in server.log() and not os.path.exists(server.path)


@pytest.mark.parametrize("second", [signal.SIGQUIT, signal.SIGTERM])
def test_second_signal_behind_sigquit(start, gate, second):
    server = started(start, gate, "--graceful-timeout", "1000")
    connection, visitor = hold(server, gate)
    server.signal(signal.SIGQUIT)
    until(lambda: refuses(server), "the drain to begin", server.log)
    server.signal_again(second)
    assert not os.path.exists(server.path)
    connection.close()


# --- a terminal

def leads():
    """For preexec_fn: the leader of a session whose terminal is standard input."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("shell", [False, True])
def test_terminal_that_closes(start, gate, shell):
    """The server stops as at SIGTERM, whether it was told by the system or by the shell whose job it is."""
    master, slave = pty.openpty()
    more = {}
    if shell:
        # As an interactive shell does it; the job is in a group of its own.
        path = os.path.join(os.path.dirname(gate.path), "shell.sock")
        script = """set -m; "$@" & trap 'kill -HUP $!; trap "" HUP' HUP
            while kill -0 $! 2>/dev/null; do wait $!; status=$?; done; exit $status"""
        more = {"command": ["bash", "-c", script, "bash", daemon.binary(), "-s", path, "signalapp"], "address": path,
                "protocol": "fastcgi"}
    server = start("signalapp", env={"GATE": gate.path}, stdin=slave, preexec_fn=leads, **more)
    os.close(slave)
    connection, visitor = hold(server, gate)
    os.close(master)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    if not shell:  # a job in the foreground is told by the shell, and once more when that has ended
        server.signal(signal.SIGHUP)
        until(lambda: not server.status_mask("ShdPnd"), "the signal to be taken", server.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0
    assert "stopping (HUP)" in server.log()


def test_sighup_at_a_terminal(start, gate):
    """Which stays open: it is somebody who wants something else."""
    master, slave = pty.openpty()
    server = start("signalapp", env={"GATE": gate.path}, stdin=slave, preexec_fn=leads)
    os.close(slave)
    server.signal(signal.SIGHUP)
    server.wait_log("SIGHUP does nothing here")
    assert server.ask("/hello").status == 200
    server.stop()
    os.close(master)


def test_nohup(start, gate):
    """A terminal that closes is nothing to a server that ignores it."""
    master, slave = pty.openpty()

    def ignores():
        leads()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = start("signalapp", env={"GATE": gate.path}, stdin=slave, preexec_fn=ignores)
    os.close(slave)
    os.close(master)
    until(lambda: server.proc("stat").rpartition(")")[2].split()[4] == "0", "the terminal to be gone", server.log)
    assert server.ask("/hello").status == 200
    assert "SIGHUP" not in server.log() and "stopping" not in server.log()


# --- what the parent process leaves behind

ALL = set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}


def ignore(*numbers):
    return lambda: [signal.signal(number, signal.SIG_IGN) for number in numbers]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_blocked_signals(start, gate, number):
    server = start("signalapp", env={"GATE": gate.path}, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ALL))
    assert server.status_mask("SigBlk") == 0
    assert json.loads(server.ask("/child-signals").body)["SigBlk"] == 0
    server.signal(number)
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_ignored_signals_stay_ignored(start, gate, number):
    """As in every job that a script puts into the background (SIGINT, SIGQUIT), and behind nohup."""
    server = start("signalapp", env={"GATE": gate.path}, preexec_fn=ignore(number))
    assert server.status_mask("SigIgn") >> (number - 1) & 1
    server.signal(number)
    assert server.ask("/hello").status == 200
    assert signal.Signals(number).name not in server.log() and "stopping" not in server.log()


def test_ignored_sigterm_stops(start, gate):
    """Nobody could end the server otherwise."""
    server = start("signalapp", env={"GATE": gate.path}, preexec_fn=ignore(signal.SIGTERM))
    server.signal(signal.SIGTERM)
    assert gate.arrived().text == "atexit"
    assert server.wait_exit() == 0


def test_ignored_sigchld(start, gate):
    """The system would throw away how children end, which Python then takes for a success."""
    server = start("stopapp", env={"GATE": gate.path}, preexec_fn=ignore(signal.SIGCHLD))
    assert not server.status_mask("SigIgn") >> (signal.SIGCHLD - 1) & 1
    assert json.loads(server.ask("/runs", query="status=7").body) == 7


@pytest.mark.parametrize("how", [signal.SIG_IGN, signal.SIG_DFL])
def test_sigpipe(start, gate, how):
    """It ends nothing, and programs that the application runs have it as ever."""
    server = start("signalapp", env={"GATE": gate.path}, preexec_fn=lambda: signal.signal(signal.SIGPIPE, how))
    connection, visitor = hold(server, gate)
    connection.close()
    visitor.release()
    assert server.ask("/hello").status == 200
    masks = json.loads(server.ask("/child-signals").body)
    assert not masks["SigIgn"] >> (signal.SIGPIPE - 1) & 1


def test_nobody_reads_what_is_wrong():
    """An error at the start has its status nevertheless."""
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([daemon.binary(), "nosuchmodule"], stderr=write, env=daemon.clean_environ()) as server:
        os.close(write)
        assert server.wait(daemon.PATIENCE) == 64
