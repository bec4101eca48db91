"""Signals that come before there is anything to finish: they end the start, whatever the application does meanwhile."""
import os
import signal

import pytest

import daemon

APP = "interruptedapp"
END = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
EX_SOFTWARE = 70
UNSHARE = ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--pid", "--fork", "--kill-child"]


@pytest.fixture
def starting(gate):
    """Starts servers whose application is being imported."""
    servers = []

    def starter(how, *args, said="importing", env=None, **more):
        servers.append(daemon.Daemon(APP, *args, wait=False, env={"GATE": gate.path, "HOW": how, **(env or {})}, **more))
        assert gate.arrived().text == said
        return servers[-1]
    yield starter
    for server in servers:
        server.kill()


def ends(server, number, line='interrupted while importing "%s" (SIG%s)'):
    assert server.wait_exit() == 128 + number, server.log()
    name = signal.Signals(number).name[3:]
    assert line.replace("SIG%s", "SIG" + name).replace("%s", APP) in server.log()
    assert not daemon.BAD_LOG.search(server.log()) and "listening on" not in server.log(), server.log()
    assert not os.path.exists(server.path)


@pytest.mark.parametrize("number", END)
@pytest.mark.parametrize("how", ["sleep", "receive", "swallow", "fail"])
def test_import_is_interrupted(starting, gate, how, number):
    """Python code gets an exception, so that it can tidy up; what it makes of it does not matter."""
    server = starting(how)
    # Python does not notice a signal that comes right before the system call that would have been interrupted.
    daemon.until(lambda: server.thread_state("wsgi-fcgi") == "S", "the import to sleep", server.log)
    server.signal(number)
    assert gate.arrived().text == "finally"
    ends(server, number)
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("number", END)
def test_import_that_computes_is_interrupted(starting, number):
    server = starting("compute")
    server.signal(number)
    ends(server, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["never", "stuck"])
def test_import_that_cannot_be_interrupted(starting, how, number):
    """It gets a few seconds."""
    server = starting(how)
    server.signal(number)
    ends(server, number, "the application did not end within 5 seconds of SIG%s")


def test_second_signal_ends_the_import_at_once(starting, gate):
    server = starting("never")
    server.signal(signal.SIGTERM)
    assert gate.arrived().text == "finally"
    server.signal_again(signal.SIGINT)
    ends(server, signal.SIGINT, "second signal: ending at once")


@pytest.mark.parametrize("number", END)
@pytest.mark.parametrize("how", ["sleep", "swallow"])
def test_process_1_is_interrupted(starting, gate, tmp_path, how, number):
    """For which the system drops every signal that has no handler."""
    path = str(tmp_path / "app.sock")
    server = starting(how, command=[*UNSHARE, daemon.binary(), "-s", path, APP])
    with open("/proc/%d/task/%d/children" % (server.pid, server.pid)) as children:
        os.kill(int(children.read()), number)
    assert gate.arrived().text == "finally"
    ends(server, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_ignored_at_the_start_of_a_background_job(starting, gate, number):
    """As a shell without job control starts one: SIGTERM interrupts the import all the same, and the others do nothing."""
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    server = starting("sleep", preexec_fn=ignore)
    server.signal(number)
    server.signal(signal.SIGTERM)
    assert gate.arrived().text == "finally"
    ends(server, signal.SIGTERM)


def test_check_is_interrupted(starting, gate):
    server = starting("swallow", "--check")
    server.signal(signal.SIGTERM)
    assert gate.arrived().text == "finally"
    ends(server, signal.SIGTERM)
    assert "\nok\n" not in server.log()


@pytest.mark.parametrize("number", END)
def test_handler_that_was_set_during_the_import(starting, gate, number):
    """It is the one that is called, and the start goes on."""
    server = daemon.Daemon(APP, wait=False, env={"GATE": gate.path, "HOW": "handle"})
    try:
        visitor = gate.arrived()
        server.signal(number)
        assert gate.arrived().text == "handled"
        visitor.release()
        server.wait_ready()
        server.stop()
    finally:
        server.kill()


@pytest.mark.parametrize("number, said, status", [
    (signal.SIGTERM, [], signal.SIGTERM), (signal.SIGQUIT, [], signal.SIGQUIT), (signal.SIGHUP, [], signal.SIGHUP),
    (signal.SIGUSR1, [], signal.SIGUSR1), (signal.SIGINT, ["KeyboardInterrupt"], 7 << 8)])
def test_child_of_the_import(starting, gate, number, said, status):
    """There the signal does what it does in a child of python3."""
    server = daemon.Daemon(APP, wait=False, env={"GATE": gate.path, "HOW": "child"})
    try:
        os.kill(int(gate.arrived().text.split()[1]), number)
        assert [gate.arrived().text for _ in said] == said
        told = gate.arrived().text
        assert told.startswith("status ") and int(told.split()[1]) & ~0x80 == status
        server.wait_ready()
        server.stop()
    finally:
        server.kill()


def test_python_shows_what_python3_shows(starting):
    """An application that asks whether a signal is free finds that it is."""
    starting("shown", said="default interrupt default default default")


@pytest.mark.parametrize("number", END)
def test_end_of_a_failed_start(starting, gate, number):
    """Nothing is left that could be finished."""
    server = daemon.Daemon(APP, wait=False, env={"GATE": gate.path, "HOW": "late"})
    try:
        assert gate.arrived().text == "importing"
        server.signal(number)
        ends(server, number, "ending at once (SIG%s)")
    finally:
        server.kill()


@pytest.mark.parametrize("number", END)
@pytest.mark.parametrize("prefix", [[], UNSHARE], ids=["process", "process 1"])
def test_before_python_runs(tmp_path, gate, prefix, number):
    """sitecustomize is run while Python starts: the end comes at once."""
    (tmp_path / "sitecustomize.py").write_text("import sys, time; sys.path.append(%r); from gateway import knock\n"
                                               "knock(%r, 'site').close(); time.sleep(1000)\n" % (daemon.APPS, gate.path))
    path = str(tmp_path / "app.sock")
    server = daemon.Daemon(APP, wait=False, env={"PYTHONPATH": tmp_path},
                           command=[*prefix, daemon.binary(), "-s", path, APP])
    try:
        assert gate.arrived().text == "site"
        pid = server.pid
        if prefix:
            with open("/proc/%d/task/%d/children" % (pid, pid)) as children:
                pid = int(children.read())
        os.kill(pid, number)
        ends(server, number, "ending at once (SIG%s)")
    finally:
        server.kill()
