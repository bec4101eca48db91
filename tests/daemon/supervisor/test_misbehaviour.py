"""What the supervisor makes of workers that do not do as they are told: fake_worker.py stands in for them."""
import os
import re
import signal
import socket
import subprocess

import pytest

from daemon import STATUS_CUT, until
from fcgi import PATIENCE


def test_fake(fake):
    """It is fit for the rest."""
    server = fake(2)
    server.wait_log("worker 1 .* serves")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert re.search(r"stopped after [\d.]+ s: 10 requests finished, 0 cut off\n$", server.log()), server.log()


def test_pauses(fake):
    """A worker that fails again and again is started again after growing pauses; a good one is not touched."""
    server = fake(2, env={"FAKE_WORKER_1": "fail=3"})
    for pause in ("now", "in 1 s", "in 2 s"):
        server.wait_log(r"worker 1 \(process \d+\) has ended with status 3 before it served\n.*worker 1 is started again "
                        + pause)
    assert len(server.started(0)) == 1
    assert re.findall("worker 1 is started again (.*)", server.log())[:3] == ["now", "in 1 s", "in 2 s"]


def test_nobody_serves(fake):
    """The log says so, when another one is not started at once."""
    server = fake(1, env={"FAKE_WORKER_0": "load"})
    os.kill(server.pid_of(0), signal.SIGKILL)
    server.wait_log("worker 0 is started again now")
    until(lambda: len(server.started(0)) > 1 and server.log().count("serves, ") == 2, "the next one", server.log)
    os.kill(server.pid_of(0), signal.SIGKILL)
    server.wait_log("warning: worker 0 is started again in 1 s; no worker serves now, so all requests wait")


def test_first_one_is_killed(fake):
    """Before it serves: the server ends, as it would if it were one process."""
    server = fake(2, steps="crash", wait=False)
    server.expect_status = 128 + signal.SIGSEGV
    assert server.wait_exit() == server.expect_status, server.log()
    assert re.search(r"was killed by SIGSEGV( \(core dumped\))? before it served: ending", server.log())


def test_what_it_was_running(fake):
    server = fake(1, steps="call=GET /slow,load")
    until(lambda: server.serving(), "it to serve", server.log)
    pid = server.pid_of(0)
    os.kill(pid, signal.SIGKILL)
    server.wait_log(r"worker 0 \(process %d\) was killed by SIGKILL; it ran GET /slow for [\d.]+ s; if nobody" % pid)


def test_what_is_shown_is_one_line(fake):
    """The worker may have written anything over it."""
    server = fake(1, steps="call=GET /\\x07\n\x85\u202eyes,load")
    until(lambda: server.serving(), "it to serve", server.log)
    os.kill(server.pid_of(0), signal.SIGKILL)
    server.wait_log(r"it ran GET /\\x07\\x0a\\xc2\\x85\\xe2\\x80\\xaeyes for [\d.]+ s; if nobody")


def test_lies_about_others(fake):
    """Nobody is woken who does not exist: what number 0 is has nothing to do with it."""
    mine, its = socket.socketpair()
    with mine, its:
        server = fake(1, steps="load,lie,crash", env={"FAKE_WORKER_AGAIN": "load"}, stdin=its)
        until(lambda: len(server.started(0)) == 2 and server.serving(), "another one to serve", server.log)
        with pytest.raises(BlockingIOError):
            mine.recv(1, socket.MSG_DONTWAIT)


def test_ignored_order(fake):
    """A worker that does not retire is killed some time after --graceful-timeout, with what it runs."""
    server = fake(2, "--graceful-timeout", "0", env={"FAKE_WORKER_1": "ignore,call=GET /stuck,load"})
    until(lambda: 1 in server.serving(), "it to serve", server.log)
    pid = server.pid_of(1)
    server.signal(signal.SIGTTOU)
    server.wait_log(r"worker 1 \(process %d\) retires: there are to be fewer workers" % pid)
    line = r"worker 1 \(process %d\) has not ended although it was to retire: it is killed; it runs GET /stuck for" % pid
    until(lambda: re.search(line, server.log()), "it to be killed", server.log, 3 * PATIENCE)
    server.wait_gone(pid)
    assert len(server.started(0)) == len(server.started(1)) == 1


def test_nonsense(fake):
    server = fake(2, env={"FAKE_WORKER_1": "load,nonsense", "FAKE_WORKER_AGAIN": "load"})
    server.wait_log(r"worker 1 \(process \d+\) talks nonsense to the supervisor: it is killed")
    until(lambda: len(server.started(1)) == 2 and 1 in server.serving(), "another one to serve", server.log)


def test_closed_socket(fake):
    """It is given five seconds to end."""
    server = fake(2, env={"FAKE_WORKER_1": "load,close", "FAKE_WORKER_AGAIN": "load"})
    server.wait_log(r"worker 1 \(process \d+\) has closed its control socket, and has not ended: it is killed")
    until(lambda: len(server.started(1)) == 2 and 1 in server.serving(), "another one to serve", server.log)


def test_second_signal_kills_those_that_ignore_it(fake):
    server = fake(2, steps="ignore,load")
    server.wait_log("worker 1 .* serves")
    workers = server.children()
    server.signal(signal.SIGTERM)
    server.wait_log("stopping .TERM.")
    server.signal_again(signal.SIGTERM)
    for pid in workers:
        server.wait_gone(pid)


def test_cut(fake):
    server = fake(1, steps="cut,load,cut")
    server.signal(signal.SIGTERM)
    server.expect_status = STATUS_CUT
    assert server.wait_exit() == STATUS_CUT
    assert re.search(r"5 requests finished, 1 cut off\n$", server.log()), server.log()


def test_requests(fake):
    """A worker that wants to retire is replaced first."""
    server = fake(2, env={"FAKE_WORKER_1": "load,requests", "FAKE_WORKER_AGAIN": "load"})
    server.wait_log(r"worker 1 \(process \d+\) has ended with status 0: 5 requests finished meanwhile")
    first, second = server.started(1)
    log = server.log()
    assert log.index("(process %d) serves" % second) < log.index("(process %d) retires: it has had as many" % first)
    assert len(server.started(0)) == 1


def test_end_that_nobody_tells(fake):
    """The zygote has waited for its worker and says nothing of it: that is found out when it is to be killed."""
    server = fake(1, "--preload", steps="zygote", wait=False)
    server.expect_status = 128 + signal.SIGKILL
    assert server.wait_exit() == server.expect_status, server.log()
    assert "has closed its control socket, and has not ended: it is killed" in server.log()


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
def test_process_of_somebody_else(fake):
    """The zygote, in which the application runs, says that it has forked it: the supervisor, which is root, does not kill
    it for that."""
    with subprocess.Popen(["sleep", "1000"]) as other:
        server = fake(1, "--preload", "--user", "nobody", steps="zygote", wait=False,
                      env={"FAKE_FORKED": str(other.pid)})
        server.expect_status = 128 + signal.SIGKILL
        assert server.wait_exit() == server.expect_status, server.log()
        assert "worker 0 (process %d) has closed its control socket, and has not ended: it is killed" % other.pid in server.log()
        is_alive = other.poll() is None
        other.kill()
    assert is_alive, server.log()


@pytest.mark.parametrize("step, reason", [
    ("lost", "as many calls as --threads says go on beyond --request-timeout"),
    ("stuck", "a call keeps the interpreter lock for longer than --stuck-timeout"),
])
def test_calls_hang(fake, step, reason):
    """A worker in which calls hang is replaced first, even if it has another wish by then, and while others retire."""
    server = fake(3, env={"FAKE_WORKER_0": "ignore,load,requests",
                          "FAKE_WORKER_1": "load,requests," + step, "FAKE_WORKER_2": "load," + step,
                          "FAKE_WORKER_AGAIN": "load"})
    for number in (1, 2):
        server.wait_log(r"worker %d \(process \d+\) has ended with status 0: 5 requests finished meanwhile" % number)
        first, second = server.started(number)
        log = server.log()
        assert log.index("(process %d) serves" % second) < log.index("(process %d) retires: %s" % (first, reason))
    server.wait_log(r"worker 0 \(process \d+\) retires: it has had as many")
    os.kill(server.started(0)[0], signal.SIGKILL)  # it is not waited for


def test_calls_hang_again(fake):
    """There is no third process for a number: who hangs where another one has not ended yet serves until it has."""
    server = fake(1, "--graceful-timeout", "0", env={"FAKE_WORKER_0": "ignore,call=GET /stuck,load,stuck",
                                                     "FAKE_WORKER_AGAIN": "load,stuck"})
    until(lambda: len(server.started(0)) == 2, "another one", server.log)
    first, second = server.started(0)
    server.wait_log(r"\(process %d\) retires" % first)
    server.wait_log(r"\(process %d\) is to be replaced: a call keeps the interpreter lock" % second)
    server.signal(signal.SIGUSR1)  # it looks at all of them
    assert len(server.started(0)) == 2
    os.kill(first, signal.SIGKILL)
    until(lambda: len(server.started(0)) > 2, "the next one", server.log)
    log = server.log()
    assert log.index("(process %d) was killed" % first) < log.index("(process %d) is started" % server.started(0)[2])


@pytest.mark.parametrize("step, reason", [
    ("bare", "without them"),
    ("unsealed", "what it has sent is no sealed file of that size"),
    ("large", "what it has sent is no sealed file of that size"),
    ("garbage", "a name in it is no absolute path"),
])
def test_files(fake, tmp_path, step, reason):
    """What cannot be read is told of, and nothing of it is taken: what the worker has said before still counts."""
    path = tmp_path / "module.py"
    path.write_text("")
    server = fake(1, "--reload", steps="files=%s,%s,load" % (path, step))
    server.wait_log(r"warning: worker 0 \(process \d+\) tells which files it has loaded, but %s: changes of new ones are "
                    "not noticed" % reason)
    until(lambda: server.serving(), "it to serve", server.log)
    path.write_text("other")
    server.wait_log(r"module\.py has changed: replacing worker 0")
    until(lambda: len(server.started(0)) == 2, "another one", server.log)


def test_files_of_one_that_never_serves(fake, tmp_path):
    """They are watched in the end."""
    server = fake(1, "--reload", "--log-level", "debug", steps="files=%s" % (tmp_path / "module.py"), wait=False)
    server.expect_status = 128 + signal.SIGTERM
    server.wait_log(r"debug: worker 0 \(process \d+\) has 1 files, in 1 directories")


def test_file_changes_before_it_is_watched(fake, tmp_path):
    path = tmp_path / "module.py"
    path.write_text("")
    server = fake(1, "--reload", steps="files=%s,write=%s,load" % (path, path), env={"FAKE_WORKER_AGAIN": "load"})
    server.wait_log(r"module\.py has changed: replacing worker 0")
    until(lambda: len(server.started(0)) == 2, "another one", server.log)
