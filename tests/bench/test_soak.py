"""The soak: its client against a responder that loses and mixes up answers on purpose, its arithmetic, and short runs."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from benchlib import readme, soak, soak_report, soak_servers
from test_report import record as bench_record

BUILD = Path(os.environ["FCGI_LOAD"]).resolve().parent.parent.parent
CLIENT = BUILD / "contrib/bench/soak-client"
SOAK = Path(soak.__file__).resolve().parent.parent / "soak"
LOSSES = ("refused", "reset", "closed", "cut", "502", "503", "504", "status", "wrong", "stuck")


def ask(address, requests, *more, clients=1):
    command = [str(CLIENT), "--socket", address, "--requests", str(requests), "--clients", str(clients), *more]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (sum(found["errors"].values()) > 0)
    return found


def lost(**kinds):
    return {name: kinds.get(f"s{name}" if name.isdigit() else name, 0) for name in LOSSES}


class Echo:
    """What soak_app.py answers, but as `spoil(number, answer)` has it: the bytes to send, and whether to close then."""

    def __init__(self, spoil=lambda number, answer: (answer, False)):
        self.spoil = spoil
        self.numbers = []
        self.posts = 0

    def __call__(self, connection, line, body):
        method, target, _ = line.split(" ")
        number = int(target.rpartition("/")[2])
        self.numbers.append(number)
        self.posts += method == "POST"
        content = b"%d 42\n%b" % (number, body)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)
        data, close = self.spoil(number, answer)
        if data:
            connection.sendall(data)
        if close == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return close


@pytest.fixture
def serve(tmp_path_factory):
    """Starts an HTTP server of the test's own answers. Returns its address."""
    listeners = []

    def serve_one(sock, answer):
        file = sock.makefile("rb")
        with sock, file:
            while line := file.readline():
                length = 0
                while (field := file.readline()).strip():
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                if answer(sock, line.decode(), file.read(length)):
                    return

    def accept(listener, answer):
        while True:
            try:
                sock = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve_one, args=(sock, answer), daemon=True).start()

    def start(answer):
        path = str(tmp_path_factory.mktemp("s") / "sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(64)
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, answer), daemon=True).start()
        return path

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# --- the client


def test_every_request_is_asked_once_and_half_of_them_are_posts(serve):
    echo = Echo()
    found = ask(serve(echo), 300, "--first", "1000", clients=4)
    assert sorted(echo.numbers) == list(range(1000, 1300))
    assert echo.posts == found["posts"] == 150
    assert (found["answered"], found["workers"], found["errors"], found["lost"]) == (300, 1, lost(), [])


SPOILED = {
    "wrong": lambda answer: (answer.replace(b" 42\n", b" 42 \n"), False),
    "closed": lambda answer: (b"", True),
    "cut": lambda answer: (answer[:-1], True),
    "s502": lambda answer: (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", False),
    "s503": lambda answer: (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", False),
    "s504": lambda answer: (b"HTTP/1.0 504 Late\r\n\r\n", True),
    "status": lambda answer: (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", False),
    "reset": lambda answer: (b"", "reset"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_lost_is_counted_by_its_kind_and_not_sent_again(serve, kind):
    echo = Echo(lambda number, answer: SPOILED[kind](answer) if number in (5, 8) else (answer, False))
    found = ask(serve(echo), 20)
    # A Unix socket has no other way to be reset than with something unread in it.
    kinds = {kind: 2} if kind != "reset" else {"closed": 2}
    assert found["errors"] == lost(**kinds)
    assert (found["lost"], found["answered"]) == ([5, 8], 18)
    assert echo.numbers == list(range(20))


@pytest.mark.parametrize("change", [
    lambda answer: answer.replace(b"\n7 ", b"\n6 "),  # somebody else's
    lambda answer: answer[:-1] + bytes([answer[-1] ^ 1]),  # one bit of the body
    lambda answer: answer + b"x",
])  # fmt: skip
def test_an_answer_that_is_not_the_requests_own_is_wrong(serve, change):
    found = ask(serve(Echo(lambda number, answer: (change(answer) if number == 7 else answer, False))), 10)
    assert found["errors"] == lost(wrong=1)
    assert found["lost"] == [7]


def test_nobody_listens(tmp_path):
    found = ask(str(tmp_path / "none"), 3)
    assert found["errors"] == lost(refused=3)


def test_a_kept_connection_that_is_closed_while_nothing_is_asked_is_no_error(serve):
    """Of every five answers one is followed by a close that nothing announced."""
    echo = Echo(lambda number, answer: (answer, number % 5 == 4))
    found = ask(serve(echo), 40)
    # A close that crossed with the next request is one: which of both it was, is a matter of time.
    assert found["idle_closed"] + found["errors"]["closed"] + found["errors"]["reset"] == 8 - (39 % 5 == 4)
    assert found["answered"] + len(found["lost"]) == 40


def test_announced_close_is_obeyed(serve):
    def answer(number, answer):
        return answer.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), True

    found = ask(serve(Echo(answer)), 20)
    assert (found["answered"], found["errors"], found["said_close"]) == (20, lost(), 20)
    assert found["connections"] == 20


# --- arithmetic


def record(**more):
    return {
        "server": "wsgi-fcgi", "path": "nginx", "mode": "events", "errors": lost(), "twice": 0, "missing": [],
        "lost": {"not called": 0, "in their calls": 0, "after their calls": 0, "called twice": 0},
        "proxy": {"repeated": 0, "errors": 0, "sample": []}, "wanted": {"requests": 10, "reloads": 2, "retirements": 3},
        "requests": 10, "answered": 10, "reloads": 2, "retirements": 3, "memory": 0, "kills": 0, "seconds": 2.0,
        "p99_us": 1000.0, "max_us": 2000.0, **more,
    }  # fmt: skip


@pytest.mark.parametrize("more", [
    {"errors": lost(closed=1)}, {"twice": 1}, {"missing": ["a reload"]}, {"reloads": 1}, {"retirements": 2}, {"requests": 9},
    {"proxy": {"repeated": 1, "errors": 0}}, {"proxy": {"repeated": 0, "errors": 1}},
])  # fmt: skip
def test_one_loss_is_too_much(more):
    assert soak.passed(record())
    assert soak.passed(record(proxy=None))
    assert not soak.passed(record(**more))
    assert soak.passed(record(**more, server="uwsgi")), "what others lose is told, and is no mistake of this server's"


def test_after_a_kill_what_the_worker_had_may_be_lost():
    assert soak.passed(record(mode="kill", errors=lost(reset=9, closed=1)))
    for kind in ("wrong", "refused"):
        assert not soak.passed(record(mode="kill", errors=lost(**{kind: 1})))
    assert not soak.passed(record(mode="kill", twice=1))


def test_fewer_requests_have_as_many_events_in_each():
    plan = soak.Plan(requests=1_000_000, reloads=100, retirements=100, memory=20).scaled(100_000)
    assert (plan.requests, plan.reloads, plan.retirements, plan.memory) == (100_000, 10, 10, 2)
    assert plan.limits.requests * plan.workers * max(plan.reloads, plan.retirements) < plan.requests


def test_faults_of_haproxy_are_those_of_its_server():
    text = "# pxname,svname,econ,eresp,wretr,wredis\nweb,FRONTEND,,,,\napp,app,1,2,4,8\napp,BACKEND,9,9,9,9\n"
    found = soak_servers.haproxy_faults(text)
    assert (found["errors"], found["repeated"]) == (3, 12)
    with pytest.raises(OSError):
        soak_servers.haproxy_faults("# pxname,svname\n")


def test_table_and_block():
    runs = [record(), record(server="uwsgi", errors=lost(reset=3, s502=1), missing=["a reload: not in 90 s"]),
            {"server": "granian", "path": "http", "mode": "events", "failed": "it ended with status 1\nmore"}]  # fmt: skip
    report = {"date": "2026-01-01T00:00:00Z", "arguments": "soak", "machine": bench_record({})["machine"], "runs": runs}
    text = soak_report.text(report)
    assert "reset 3, 502 1" in text and "FAILED" in text and "kills" not in text
    block = soak_report.block(report)
    assert "| uwsgi | nginx | 10 | 4 | reset 3, 502 1 | 2 | 3 |" in block
    page = (SOAK.parent / "README.md").read_text()
    assert readme.rewrite(page, block, (soak_report.BEGIN, soak_report.END)) != page


# --- short runs


def run(tmp_path, *words):
    command = [sys.executable, str(SOAK), "--build", str(BUILD), "--no-build", "--no-install", "--results", str(tmp_path), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def run_one(tmp_path, *words):
    """What became of a run of one server on one path."""
    done = run(tmp_path, *words)
    assert (tmp_path / "soak.json").exists(), done.stderr
    (found,) = json.loads((tmp_path / "soak.json").read_text())["runs"]
    return done, found


def has_workers():
    done = subprocess.run([BUILD / "wsgi-fcgi", "--help"], capture_output=True, text=True, check=True)
    return re.search(r"^\s+(-\w, )?--workers ", done.stdout, re.M)


needs_workers = pytest.mark.skipif(not has_workers(), reason="this wsgi-fcgi has no --workers")


@needs_workers
@pytest.mark.parametrize("path", soak_servers.PATHS)
def test_nothing_is_lost_while_workers_are_replaced(tmp_path, path):
    done, found = run_one(tmp_path, "--server", "wsgi-fcgi", "--path", path, "-n", "6000", "--reloads", "3", "--retirements", "3",
                         "--memory", "1", "--clients", "16")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (found["reloads"], found["memory"]) == (3, 1) and found["retirements"] >= 3
    assert found["errors"] == lost() and found["workers"] >= 1 + 3


@needs_workers
@pytest.mark.parametrize("mode", ["broken", "binary"])
def test_nothing_is_lost_by_what_does_not_load_nor_by_a_new_program(tmp_path, mode):
    done, found = run_one(tmp_path, "--server", "wsgi-fcgi", "--path", "http", "-n", "3000", "--reloads", "2", "--mode", mode,
                         "--clients", "16")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["reloads"] == 2 and found["errors"] == lost()


@needs_workers
def test_kill_loses_what_the_worker_had(tmp_path):
    done, found = run_one(tmp_path, "--server", "wsgi-fcgi", "--path", "http", "-n", "3000", "--kills", "2", "--mode", "kill",
                         "--clients", "16")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["kills"] == 2 and sum(found["errors"].values()) <= 2 * 16


def test_server_that_does_not_start_is_told(tmp_path):
    done, found = run_one(tmp_path, "--server", "gunicorn-gthread", "--path", "http", "-n", "10", "--venv", str(tmp_path))
    assert "cannot start" in found["failed"] and "FAILED" in done.stdout


def test_mistakes_on_the_command_line(tmp_path):
    for words in (["--server", "none"], ["--path", "ftp"], ["-n", "0"], ["-n", "-1"], ["--mode", "x"]):
        assert run(tmp_path, *words).returncode == 2
