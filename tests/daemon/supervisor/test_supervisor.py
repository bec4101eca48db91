"""A server with workers: how it starts, replaces them, and ends."""
import json
import os
import re
import resource
import signal
import socket
import subprocess

import pytest

import daemon
from daemon import LABEL, SANITIZED, until
from fcgi import params, request
from test_signals import refuses
from test_signals_start import UNSHARE
from supervised import Supervised, supervisor_binary

OVER_HTTP = True
APP = "workersapp"
EX_USAGE, EX_SOFTWARE, EX_OSERR = 64, 70, 71


def ask(server, path, **more):
    return json.loads(server.ask(path, **more).body)


def ask_who(server):
    """The process that serves, and whether it knows that there are others."""
    return ask(server, "/who")


def hold(server, gate):
    """A request in work. Returns its connection, and the application's end."""
    connection = server.connect()
    connection.send(request(params("/wait")))
    return connection, gate.arrived()


def test_all_serve(supervise):
    """And the application knows that there are others."""
    server = supervise(APP, 3)
    pids = set(server.serving().values())
    assert len(pids) == 3 and pids == server.children()
    pid, multiprocess = ask_who(server)
    assert pid in pids and multiprocess is True
    with open("/proc/%d/environ" % pid) as environ:
        assert "WSGI_FCGI_PROGRAM" not in environ.read()
    assert "wsgi-fcgi %s serves workersapp with 3 workers" % daemon.version() in server.log()


def test_one(supervise):
    server = supervise(APP, 1)
    pid, = server.serving().values()
    assert ask_who(server) == [pid, True]


def test_auto(supervise):
    server = supervise(APP, "auto", wait=False)
    count = int(server.wait_log(r"serves workersapp with (\d+) worker").group(1))
    assert 1 <= count <= len(os.sched_getaffinity(0))


def test_first_worker_comes_first(supervise, gate):
    """The others are started when it has loaded the application."""
    server = supervise(APP, 3, wait=False, env={"GATE": gate.path, "IMPORT": "1"})
    first = gate.arrived()
    assert len(server.children()) == 1 and gate.nobody()
    first.release()
    gate.arrived().release()
    gate.arrived().release()
    until(lambda: len(server.serving()) == 3, "all to serve", server.log)
    assert [len(server.started(number)) for number in range(3)] == [1, 1, 1]


def test_broken_application(supervise, tmp_path):
    """It ends as a single process does, with one line about it."""
    (tmp_path / "fail").touch()
    server = supervise(APP, 3, wait=False, env={"FAIL_IF": str(tmp_path / "fail")})
    server.expect_status = EX_SOFTWARE
    assert server.wait_exit() == EX_SOFTWARE, server.log()
    assert not os.path.exists(server.path)
    assert server.log().count("error:") == 1 and "worker 1" not in server.log()


@pytest.mark.parametrize("args,said", [(["--max-memory", "1G"], "--max-memory is for workers"),
                                       (["--max-lifetime", "1d"], "--max-lifetime is for workers"),
                                       (["--workers", "0"], "neither auto nor a number"),
                                       (["--workers", "2"], "no socket to listen on")])
def test_usage(args, said):
    done = daemon.run(*args, APP)
    assert done.returncode == EX_USAGE and said in done.stderr


def test_not_by_hand():
    done = subprocess.run([supervisor_binary(), "--workers", "2", APP], text=True, stderr=subprocess.PIPE)
    assert done.returncode == EX_USAGE and "wsgi-fcgi --workers N" in done.stderr


def test_check():
    """It is made by one process."""
    done = daemon.run("--workers", "2", "--check", APP)
    assert done.returncode == 0 and "ok" in done.stdout


def test_killed_worker_is_replaced(supervise, gate):
    """The others go on serving. The line has the signal, and what to do."""
    server = supervise(APP, 2, env={"GATE": gate.path})
    before = server.serving()
    os.kill(before[1], signal.SIGKILL)
    until(lambda: server.serving().get(1) not in (None, before[1]), "another one to serve", server.log)
    assert server.serving()[0] == before[0]
    assert re.search(r"error: worker 1 \(process %d\) was killed by SIGKILL; if nobody has sent that" % before[1],
                     server.log())
    assert "worker 1 is started again now" in server.log()
    assert ask_who(server)[0] in server.serving().values()


def test_more_and_fewer(supervise):
    server = supervise(APP, 1)
    first = server.serving()[0]
    server.signal(signal.SIGTTIN)
    until(lambda: set(server.serving()) == {0, 1}, "one more", server.log)
    second = server.serving()[1]
    server.signal(signal.SIGTTOU)
    server.wait_gone(second)
    server.wait_log(r"worker 1 \(process %d\) has ended with status 0" % second)
    server.signal(signal.SIGTTOU)
    server.wait_log("the server is to have 1 worker, and cannot have fewer")
    assert server.serving() == {0: first} and ask_who(server)[0] == first


def limit_files(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_soft_limit_of_open_files(supervise):
    """It is raised as far as workers need."""
    supervise(APP, 12, preexec_fn=limit_files(24, 400))


def test_hard_limit_of_open_files(supervise):
    server = supervise(APP, 12, preexec_fn=limit_files(24, 24), wait=False)
    server.expect_status = EX_OSERR
    assert server.wait_exit() == EX_OSERR
    assert re.search(r"error: cannot start worker \d+ by /\S+/(wsgi-fcgi|python[\d.]*): Too many open files \(raise the hard limit of open "
                     r"files: ulimit -n, LimitNOFILE of systemd\)\n", server.log()), server.log()


def test_signalled_worker_is_replaced(supervise):
    server = supervise(APP, 2)
    before = server.serving()
    os.kill(before[0], signal.SIGTERM)
    until(lambda: server.serving().get(0) not in (None, before[0]), "another one to serve", server.log)
    assert "error:" not in server.log()


def test_stop_finishes_requests(supervise, gate):
    """Of all workers."""
    server = supervise(APP, 2, env={"GATE": gate.path})
    held = [hold(server, gate) for _ in range(4)]
    server.signal(signal.SIGTERM)
    until(lambda: refuses(server), "new connections to be refused", server.log)
    until(lambda: not os.path.exists(server.path), "the socket file to go", server.log)
    assert server.process.poll() is None
    for connection, visitor in held:
        visitor.release()
        assert json.loads(connection.read_response(1).body) == "waited"
        connection.close()
    assert server.wait_exit() == 0
    assert re.search(r"stopped after [\d.]+ s: [0-4] requests? finished, 0 cut off\n$", server.log()), server.log()


def test_stop_cuts_off(supervise, gate):
    server = supervise(APP, 2, "--graceful-timeout", "0", env={"GATE": gate.path})
    connection, _ = hold(server, gate)
    server.signal(signal.SIGTERM)
    server.wait_cut()
    assert re.search(r"stopped after [\d.]+ s: 0 requests finished, 1 cut off\n$", server.log()), server.log()
    connection.close()


def test_second_signal(supervise, gate):
    server = supervise(APP, 2, env={"GATE": gate.path})
    connection, _ = hold(server, gate)
    workers = server.children()
    server.signal(signal.SIGINT)
    server.wait_log("stopping .INT.: 2 workers")
    server.signal_again(signal.SIGTERM)
    for pid in workers:
        server.wait_gone(pid)
    assert re.search(r"was killed by SIGKILL; it ran GET /wait" + LABEL + r" for [\d.]+ s\n", server.log()), server.log()
    assert not os.path.exists(server.path)
    connection.close()


def test_signal_to_all(supervise):
    """As from a terminal, or a service manager: nobody is replaced."""
    server = supervise(APP, 3, start_new_session=True)
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit() == 0, server.log()
    assert [len(server.started(number)) for number in range(3)] == [1, 1, 1]
    log = server.log()
    assert not re.search("(warning|error):", log[log.index("worker 2 (process %d) serves" % server.started(2)[0]):]), log


def test_stop_while_loading(supervise, gate):
    server = supervise(APP, 2, wait=False, env={"GATE": gate.path, "IMPORT": "1"})
    gate.arrived()
    server.signal(signal.SIGTERM)
    server.expect_status = 128 + signal.SIGTERM
    assert server.wait_exit() == server.expect_status
    assert not os.path.exists(server.path)


def test_killed_supervisor(supervise):
    """The workers end as well."""
    server = supervise(APP, 2)
    workers = server.children()
    server.process.kill()
    server.process.wait()
    for pid in workers:
        server.wait_gone(pid)
    server.stopped = True


def test_lifetime(supervise):
    """Another one serves before the old one retires."""
    server = supervise(APP, 2, "--max-lifetime", "2")
    before = server.serving()
    for pid in before.values():
        server.wait_log(r"worker \d \(process %d\) has ended with status 0" % pid)
    log = server.log()
    assert log.index("worker 0 (process %d) serves" % server.started(0)[1]) < log.index(
        "worker 0 (process %d) retires: it has served for as long" % before[0])
    assert "error:" not in log


def test_memory(supervise):
    server = supervise(APP, 1, "--max-memory", "%dM" % (500 if SANITIZED else 100), "--trace-memory", 0)
    before = server.serving()[0]
    assert ask(server, "/grow", query="500" if SANITIZED else "100") == before
    server.wait_log(r"worker 0 \(process %d\) has \d{3} MiB of memory\n" % before)
    server.wait_log(r"worker 0 \(process %d\) retires: it has more memory" % before)
    server.wait_log(r"worker 0 \(process %d\) has ended with status 0" % before)
    assert ask_who(server)[0] == server.started(0)[1]


def test_memory_of_the_application(supervise):
    """It is not replaced again and again for it."""
    server = supervise(APP, 1, "--max-memory", "1M")
    server.wait_log(r"worker 0 .* has \d+ MiB before its first request, more than --max-memory")


def test_failing_replacement(supervise, tmp_path):
    """The old one goes on."""
    fail = tmp_path / "fail"
    server = supervise(APP, 1, "--max-lifetime", "2", env={"FAIL_IF": str(fail)})
    before = server.serving()[0]
    fail.touch()
    server.wait_log("worker 0 goes on in its old process; the next attempt to replace it is made in 1 s")
    assert ask_who(server)[0] == before
    fail.unlink()
    server.wait_log(r"worker 0 \(process %d\) has ended with status 0" % before)


def test_orphans_are_reaped(supervise, gate):
    server = supervise(APP, 2, env={"GATE": gate.path})
    workers = server.children()
    assert ask(server, "/orphan") == "left"
    visitor = gate.arrived()
    orphan, = until(lambda: server.children() - workers, "the supervisor to have the orphan", server.log)
    visitor.release()
    server.wait_gone(orphan)
    assert server.serving().keys() == {0, 1}


def test_inherited_socket(supervise, tmp_path):
    """By number, and as descriptor 0. Nobody shuts it down."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "given"))
        listener.listen()
        for args, more in [(["-s", "fd:%d" % listener.fileno()], {"pass_fds": [listener.fileno()]}), ([], {"stdin": listener})]:
            server = supervise(APP, 2, *args, sockets=False, address=str(tmp_path / "given"), protocol="fastcgi",
                               **more)
            assert ask_who(server)[0] in server.children()
            server.stop()
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(str(tmp_path / "given"))
            listener.accept()[0].close()


def settles(server):
    """It forgets what a start needed after the line which says that the worker serves."""
    until(lambda: SANITIZED or server.rss() <= 2 << 20, "memory to be given back", lambda: server.proc("smaps"))


def test_memory_of_the_supervisor(supervise):
    """As little after a reload, which has executed it again, and after each worker has had its slot."""
    server = supervise(APP, 12)
    settles(server)
    for generation in 2, 3:
        server.signal(signal.SIGHUP)
        server.wait_log("12 workers of generation %d" % generation)
        until(lambda: len(server.children()) == 12, "the old workers to be gone", server.log)
        settles(server)


def test_process_1(tmp_path, gate):
    """It needs no other process there: it is the one that reaps."""
    path = str(tmp_path / "app.sock")
    command = [*UNSHARE, "--mount-proc", daemon.binary(), "--workers", "2", "-s", path, APP]
    server = Supervised(None, 2, command=command, sockets=False, address=path, wait=False, env={"GATE": gate.path})
    unshare = server.pid
    try:
        server.wait_log("worker 1 .* serves")
        server.pid, = Supervised.children(server)
        assert len(server.children()) == 2
        assert ask_who(server)[1] is True
        workers = server.children()
        assert ask(server, "/orphan") == "left"
        visitor = gate.arrived()
        orphan, = until(lambda: server.children() - workers, "the supervisor to have the orphan", server.log)
        visitor.release()
        server.wait_gone(orphan)
        server.stop()
    finally:
        server.pid = unshare
        server.kill()


def test_connections_wait_while_nobody_serves(supervise):
    """In the backlog, until another one serves."""
    server = supervise(APP, 1)
    os.kill(server.serving()[0], signal.SIGKILL)
    assert ask_who(server)[0] in server.children()
