"""What the service manager is told: sd_notify(3)."""
import os
import signal
import time

import pytest

import daemon as daemons
from daemon import until
from fcgi import params, request
from service import Manager
from test_fcgi import good
from test_process_1 import children
from test_reload import Clients, Site
from test_signals_start import UNSHARE

WAYS = {"one": [], "workers": ["--workers", 2], "preload": ["--workers", 2, "--preload"]}
EX_SOFTWARE = 70

every_way = pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)


@pytest.fixture(params=["path", "abstract"])
def address(request, tmp_path):
    return str(tmp_path / "notify") if request.param == "path" else "@wsgi-fcgi-test-%s" % tmp_path


@pytest.fixture
def manager(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


@every_way
def test_ready(start, gate, address, options):
    """When the application is loaded, and not before; then it serves."""
    manager = Manager(address)
    server = start("startapp", *options, env=manager.environ(DO="wait", GATE=gate.path), wait=False)
    loading = gate.arrived()
    assert manager.states() == [] and "loads the application" in manager.status()
    loading.release()
    if len(options) == 2:
        gate.arrived().release()
    ready = manager.wait("READY", log=server.log)
    assert ready.pid == server.pid == manager.main_pid()
    good(server.ask("/hello"))
    assert manager.states() == ["READY"]
    assert {message.pid for message in manager.messages} == {server.pid}
    manager.close()


@every_way
def test_application_that_does_not_load(start, manager, options):
    server = start("startapp", *options, env=manager.environ(DO="fail"), wait=False)
    server.expect_status = EX_SOFTWARE
    assert server.wait_exit() == EX_SOFTWARE
    assert "READY" not in manager.states()
    assert ("startapp" if not options else "the first worker has ended with status 70: the log says why") in manager.status()


def test_mistakes_are_the_status(manager, tmp_path):
    done = daemons.run("-s", tmp_path / "nowhere" / "socket", "wsgiapp", env=manager.environ())
    assert done.returncode and manager.status() in done.stderr and "nowhere" in manager.status()
    done = daemons.run("--chdir", tmp_path / "elsewhere", "-s", tmp_path / "socket", "wsgiapp", env=manager.environ())
    assert done.returncode and manager.status() in done.stderr and "elsewhere" in manager.status()
    assert manager.states() == []


def test_warm_up_that_fails(start, manager):
    server = start("warmapp", "--warm-up", "/raises", env=manager.environ(), wait=False)
    server.expect_status = EX_SOFTWARE
    assert server.wait_exit() == EX_SOFTWARE
    assert "READY" not in manager.states()
    assert "/raises" in manager.status()


@every_way
def test_the_application_sees_nothing_of_it(start, manager, options):
    """What it told the manager would be taken for the server's word."""
    env = manager.environ(watchdog=60, LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="x")
    server = start("environapp", *options, env=env)
    manager.wait("READY", log=server.log)
    text = server.ask().body.decode()
    assert "os.PATH=" in text
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        assert name not in text


@every_way
def test_stop(start, manager, gate, options):
    """The manager waits for as long as the server may take."""
    server = start("faultapp", *options, "--graceful-timeout", 300, env=manager.environ())
    manager.wait("READY", log=server.log)
    with server.connect() as connection:
        connection.send(request(params("/says", query="text=x&gate=" + gate.path)))
        call = gate.arrived()
        server.signal(signal.SIGTERM)
        manager.wait("STOPPING", log=server.log)
        assert int(manager.wait("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) >= 310e6
        assert "1 request to finish" in manager.status() or "to finish" in manager.status() and options
        call.release()
        good(connection.read_response(), b"said\n")
    assert server.wait_exit() == 0
    assert manager.states() == ["READY", "STOPPING"]


@every_way
def test_stop_delay(start, manager, options):
    """The manager hears of the stop at once, and waits for all of it."""
    server = start("faultapp", *options, "--stop-delay", 2, "--graceful-timeout", 300, env=manager.environ())
    manager.wait("READY", log=server.log)
    server.signal(signal.SIGTERM)
    manager.wait("STOPPING", log=server.log)
    assert int(manager.wait("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) >= 312e6
    assert "--stop-delay" in manager.status()
    assert server.wait_exit() == 0
    assert manager.states() == ["READY", "STOPPING"]


@pytest.mark.parametrize("options", [["--workers", 2], ["--workers", 2, "--preload"]], ids=["workers", "preload"])
def test_reload(start, manager, tmp_path, options):
    """By the same process, of which the manager hears when it begins and when it is over; clients notice nothing."""
    site = Site(start, str(tmp_path), *options[2:], env=manager.environ())
    manager.wait("READY", log=site.server.log)
    with Clients(site.server) as clients:
        for number in range(5):
            before = time.monotonic_ns() // 1000
            site.write("version%d" % number)
            manager.reload(site.server.log)
            last = manager.received("RELOADING")[-1]
            assert before <= int(last["MONOTONIC_USEC"]) <= last.at
            until(lambda: site.version() == "version%d" % number, "the old workers to notice", site.server.log)
            assert manager.main_pid() == site.server.pid == last.pid
    assert not clients.errors and clients.answers
    assert manager.states() == ["READY"] + 5 * ["RELOADING", "READY"]
    until(lambda: manager.received() and manager.status() == "2 of 2 workers serve", "the status", manager.status)


def test_reload_that_fails(start, manager, tmp_path):
    """The old application goes on, and the status says why until the next reload."""
    site = Site(start, str(tmp_path), env=manager.environ())
    site.write("broken", "raise SystemExit(3)")
    manager.wait("READY", log=site.server.log)
    manager.reload(site.server.log)
    assert site.version() == "first"
    assert "the last reload has failed: worker 0" in manager.status()
    site.write("second")
    manager.reload(site.server.log)
    until(lambda: site.version() == "second", "the old workers to notice", site.server.log)
    assert "failed" not in manager.status()
    assert manager.states() == ["READY"] + 2 * ["RELOADING", "READY"]


@every_way
def test_watchdog(start, manager, options):
    """The manager ends a server that hangs, and none that is well."""
    server = start("wsgiapp", *options, env=manager.environ(watchdog=1))
    manager.wait("READY", log=server.log)
    manager.wait("WATCHDOG", 3, server.log)
    server.signal(signal.SIGSTOP)
    manager.watch(server.pid, 1)
    server.signal(signal.SIGCONT)
    assert server.wait_exit() == -signal.SIGABRT
    server.stopped = True
    server.kill()


def test_watchdog_after_a_reload(start, manager, tmp_path):
    site = Site(start, str(tmp_path), env=manager.environ(watchdog=1))
    manager.wait("READY", log=site.server.log)
    manager.reload(site.server.log)
    manager.wait("WATCHDOG", len(manager.received("WATCHDOG")) + 2, site.server.log)


def test_watchdog_while_the_interpreter_lock_is_kept(start, manager, gate):
    """The loop runs on, and answers 504 to everybody: that is no server that is well."""
    server = start("hangapp", "--request-timeout", 0.2, "--graceful-timeout", 0, env=manager.environ(watchdog=1))
    manager.wait("WATCHDOG", 2, server.log)
    with server.connect() as connection:
        connection.send(request(params("/keep_lock", query="gate=" + gate.path)))
        gate.arrived()
        server.wait_log("nobody has got the interpreter lock")
        manager.watch(server.pid, 1)
        assert server.wait_exit() == -signal.SIGABRT
    server.stopped = True
    server.kill()


def test_watchdog_of_another_process(start, manager):
    """WATCHDOG_PID: the variable was meant for the parent."""
    server = start(env={**manager.environ(watchdog=0.02), "WATCHDOG_PID": str(os.getpid())})
    manager.wait("READY", log=server.log)
    for _ in range(20):
        good(server.ask("/hello"))
    server.signal(signal.SIGTERM)
    manager.wait("STOPPING", log=server.log)
    assert not manager.received("WATCHDOG")


def test_process_1(manager, tmp_path, start):
    """Its number means another process to the manager."""
    path = str(tmp_path / "app.sock")
    server = start(command=[*UNSHARE, "--mount-proc", daemons.binary(), "-s", path, "wsgiapp"], address=path,
                   env=manager.environ(watchdog=1))
    manager.wait("WATCHDOG", log=server.log)
    assert manager.states() == ["READY"] and manager.main_pid() is None
    first, = children(server.pid)
    assert {message.pid for message in manager.messages} == set(children(first))
    os.kill(first, signal.SIGTERM)
    manager.wait("STOPPING", log=server.log)
    assert server.wait_exit() == 0


@pytest.mark.parametrize("text", ["", "relative", "/no/such/socket", "@" + "x" * 200, "vsock:2:1234"])
def test_no_such_manager(start, text):
    """The server serves all the same."""
    server = start(env={"NOTIFY_SOCKET": text})
    good(server.ask("/hello"))
    server.wait_log(r"warning: NOTIFY_SOCKET=.*: cannot connect to the service manager: ")


def test_manager_that_goes(start, manager):
    server = start(env=manager.environ(watchdog=1))
    manager.wait("WATCHDOG", log=server.log)
    manager.close()
    server.wait_log("warning: the service manager cannot be told")
    good(server.ask("/hello"))
