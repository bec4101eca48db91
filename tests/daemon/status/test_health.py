"""?format=health, and wsgi-fcgi-top --health: what health checks learn."""
import os
import signal
import subprocess

import pytest

import fcgi
from daemon import until
from looking import PROGRAM
from ports import free_port
from status_client import ask, tcp_of
from test_status_server import hang, release
from test_status_workers import write_app

HEALTH = "/?format=health"
STATUS = ["--status", "127.0.0.1:0"]


def check(address):
    """What a container runs."""
    return subprocess.run([PROGRAM, "--health", address if isinstance(address, str) else "%s:%d" % address],
                          capture_output=True, text=True)


def health(address):
    answer = ask(address, HEALTH)
    assert answer.header("Content-Type") == ["text/plain; charset=utf-8"], answer
    assert answer.header("Cache-Control") == ["no-store"], answer
    return answer.status, answer.body.decode()


def test_it_serves(start):
    server = start("hello", *STATUS, "--status-path", "/status")
    assert health(tcp_of(server)) == (200, "ok\n")
    shown = server.ask("/status", query="format=health")
    assert shown.status == 200 and shown.body == b"ok\n"
    done = check(tcp_of(server))
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", ""), done
    done = check("fcgi://%s?path=/status" % server.path)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done


@pytest.mark.parametrize("path", ["/", "/other"])
def test_what_is_no_status_page_is_no_good_health(start, path):
    """An application that answers all paths."""
    server = start("hello")
    done = check("fcgi://%s?path=%s" % (server.path, path))
    assert done.returncode == 1 and not done.stdout, done
    assert done.stderr.count("\n") == 1 and "no status page that tells of health" in done.stderr, done


def test_nobody_answers():
    done = check("127.0.0.1:%d" % free_port())
    assert done.returncode == 1 and not done.stdout and "no server listens there" in done.stderr, done


def test_a_process_that_stands_still(start):
    server = start("hello", *STATUS)
    address = tcp_of(server)
    server.signal(signal.SIGSTOP)
    try:
        done = check(address)
    finally:
        server.signal(signal.SIGCONT)
    assert done.returncode == 1 and "no answer within 5 s" in done.stderr, done


def test_all_threads_hang(start, gate):
    """It takes the ten seconds after which a call counts as stuck. A thread that is free again mends it."""
    server = start("hangapp", *STATUS, "--threads", "2")
    address = tcp_of(server)
    one, first = hang(server, gate, "sleep")
    assert health(address) == (200, "ok\n")
    other, second = hang(server, gate, "sleep")
    until(lambda: health(address)[0] == 503, "the check to fail", server.log)
    assert health(address)[1] == "not fit: worker 0: all threads (2) are in calls that have run for more than 10 s\n"
    done = check(address)
    assert done.returncode == 1 and done.stdout.startswith("not fit: worker 0") and not done.stderr, done
    release(one, first)
    until(lambda: health(address) == (200, "ok\n"), "the check to pass", server.log)
    release(other, second)


def test_the_lock_is_kept(start, gate):
    """Nothing of Python gets on, and the check fails once somebody has waited for ten seconds."""
    server = start("hangapp", *STATUS)
    address = tcp_of(server)
    keeps, first = hang(server, gate, "keep_lock")
    with server.connect() as waits:
        waits.send(fcgi.request(fcgi.params("/hello")))
        until(lambda: health(address)[0] == 503, "the check to fail", server.log)
        assert "not fit: worker 0: the interpreter lock has been waited for during 1" in health(address)[1]
        release(keeps, first)
        waits.read_response(1)
    until(lambda: health(address) == (200, "ok\n"), "the check to pass", server.log)


def test_no_worker_serves(start, tmp_path):
    """The supervisor answers. What has served at first cannot be loaded any more."""
    port = free_port()
    server = start(None, "--workers", 1, "--status", port, "--chdir", str(tmp_path), "app", cwd=write_app(tmp_path))
    address = ("127.0.0.1", port)
    until(lambda: health(address) == (200, "ok\n"), "the worker to serve", server.log)
    (tmp_path / "fails").write_text("")
    os.kill(ask(address, "/?format=json").json()["workers"][0]["pid"], signal.SIGKILL)
    until(lambda: health(address) == (503, "not fit: no worker serves\n"), "the check to fail", server.log)
    (tmp_path / "fails").unlink()
    until(lambda: health(address) == (200, "ok\n"), "the check to pass", server.log)
