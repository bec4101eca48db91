"""What is counted of workers: why each has ended, reloads that were given up, and connections that went from one to another."""
import json
import os
import signal

import pytest

from daemon import SANITIZED, until
from status_client import ask, tcp_of
from supervised import Supervised
from test_counters import STATUS, counters, moved, page
from test_files import APP, helper, write
from test_hanging_calls import TIMEOUT, answered_504, begin
from test_handover import who

OVER_HTTP = True
LIMIT = 500 if SANITIZED else 100  # MiB
PRELOAD = pytest.mark.parametrize("how", [[], ["--preload"]], ids=["", "preload"])


def ends(server):
    """How many workers have ended, by the reasons of which there are any."""
    return {reason: count for reason, count in page(server)["totals"]["workers_ended_total"].items() if count}


def expect_end(server, pid, reason):
    """That one has ended for this reason, and is the only one that has ended."""
    until(lambda: ends(server), "an end to be counted", server.log)
    assert ends(server) == {reason: 1}, server.log()
    end, = page(server)["ends"]
    assert (end["worker"], end["pid"], end["reason"]) == (0, pid, reason), end
    assert 'wsgi_fcgi_workers_ended_total{reason="%s"} 1\n' % reason in metrics(server)


def metrics(server):
    return ask(tcp_of(server), "/?format=prometheus&stacks=0").body.decode()


@PRELOAD
def test_max_memory(supervise, how):
    server = supervise("workersapp", 1, *STATUS, "--max-memory", "%dM" % LIMIT, "--trace-memory", 0, *how)
    pid = json.loads(server.ask("/grow", query=str(LIMIT)).body)
    expect_end(server, pid, "max_memory")


def test_max_lifetime(supervise):
    """One worker after the other has had enough, and nothing else happens to any."""
    server = supervise("workersapp", 1, *STATUS, "--max-lifetime", "1")
    until(lambda: sum(ends(server).values()) >= 2, "two ends to be counted", server.log)
    assert set(ends(server)) == {"max_lifetime"}, server.log()


def test_lost_calls(supervise, gate):
    """Too many of its calls go on beyond their time: it ends well once they are done, and was stuck for all that."""
    server = supervise("hangapp", 1, *STATUS, "--request-timeout", TIMEOUT, "-t", 1)
    pid = server.serving()[0]
    connection, visitor = begin(server, "sleep", gate)
    answered_504(connection)
    until(lambda: server.serving().get(0) not in (None, pid), "another one to serve", server.log)
    assert not ends(server)
    visitor.release()
    expect_end(server, pid, "stuck")


def test_the_lock_is_kept(supervise, gate):
    server = supervise("hangapp", 1, *STATUS, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.5)
    pid = server.serving()[0]
    connection, _ = begin(server, "keep_lock", gate)
    answered_504(connection)
    expect_end(server, pid, "stuck")


@PRELOAD
def test_signal(supervise, how):
    """One that it alone gets is a wish to be replaced."""
    server = supervise("hangapp", 1, *STATUS, *how)
    pid = server.serving()[0]
    os.kill(pid, signal.SIGTERM)
    expect_end(server, pid, "signal")


@pytest.fixture
def develop(protocol, tmp_path):
    write(tmp_path, "app.py", APP)
    write(tmp_path, "helper.py", helper("one"))
    server = Supervised("app:app", 1, "--reload", *STATUS, protocol=protocol, cwd=str(tmp_path))
    yield server
    server.stop()


def test_files(develop, tmp_path):
    pid = develop.serving()[0]
    assert develop.ask("/").body == b"one"  # what was loaded for it is watched by now, or has not changed before
    write(tmp_path, "helper.py", helper("another"))
    until(lambda: develop.ask("/").body == b"another", "the new application", develop.log)
    expect_end(develop, pid, "files")


@PRELOAD
def test_load_failed(supervise, tmp_path, how):
    """The one that was killed has crashed; of those that are to take its place none gets so far that it serves."""
    fail = tmp_path / "fail"
    server = supervise("workersapp", 1, *STATUS, *how, env={"FAIL_IF": str(fail)})
    fail.touch()
    pids = server.children()  # with --preload the zygote as well: it has loaded the application already
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    until(lambda: ends(server).get("load_failed"), "a load that fails to be counted", server.log)
    assert set(ends(server)) == {"crash", "load_failed"} and ends(server)["crash"] == 1, server.log()
    assert page(server)["ends"][0]["reason"] == "load_failed"
    fail.unlink()
    until(lambda: server.serving(), "a worker to serve again", server.log)


@PRELOAD
def test_failed_reloads(supervise, tmp_path, how):
    """Each is counted, and none of them as a reload; the old worker has not ended."""
    fail = tmp_path / "fail"
    server = supervise("workersapp", 1, *STATUS, *how, env={"FAIL_IF": str(fail)})
    pid = server.serving()[0]
    fail.touch()
    for number in (1, 2):
        server.signal(signal.SIGHUP)
        until(lambda: page(server)["totals"]["reloads_failed_total"] == number, "the failure to be counted", server.log)
    assert page(server)["totals"]["reloads_total"] == 0
    assert "wsgi_fcgi_reloads_failed_total 2\n" in metrics(server)
    assert server.serving()[0] == pid and set(ends(server)) <= {"load_failed"}, server.log()
    fail.unlink()
    server.signal(signal.SIGHUP)
    until(lambda: page(server)["totals"]["reloads_total"] == 1, "a reload to be counted", server.log)
    assert page(server)["totals"]["reloads_failed_total"] == 2


@PRELOAD
def test_handovers(supervise, how):
    """A connection at rest is given by the worker that retires, and taken by the other one; what the first has counted
    is still there when it is gone."""
    server = supervise("workersapp", 2, *STATUS, *how)
    with server.connect() as kept:
        first = who(kept)
        before = counters(server)
        assert before["handovers_given_total"] == before["handovers_taken_total"] == 0, before
        os.kill(first, signal.SIGTERM)
        server.wait_gone(first)
        assert who(kept) != first
        until(lambda: ends(server), "its end to be counted", server.log)
        told = moved(before, counters(server))
        assert told["handovers_given_total"] == told["handovers_taken_total"] == 1, told
        assert not [name for name in told if name.startswith("connections_accepted_total")], told
