"""The loads `deadlines-*`: how calls that do not end are told apart, what is counted as lost, and how servers are started."""
import os
import socket
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from benchlib import deadlines, deadlines_report, generator, loads, nginx, peers, readme, report
from benchlib.instance import Instance
from benchlib.peers import Need, Place
from daemon import until
from test_report import figure, record, sample

BUILD = Path(os.environ["FCGI_LOAD"]).resolve().parent.parent.parent


def quick(lost=None, p99=1000, due=100, good=100):
    return {"due": due, "good": good, "p50_us": 100, "p99_us": p99, "lost": lost or {}}


def measured(late=(5,), early=0, answers=None, kept=None, new=None, ended=0, alone=1000):
    beside = {"kept": kept, "new": new or quick()}
    beside = {way: one for way, one in beside.items() if one}
    return sample(100) | {"deadlines": {
        "asked": 20, "answers": answers or {"504": len(late)}, "early": early, "late_ms": list(late), "seconds": 6,
        "first": "504", "first_ms": late[0],
        "alone": {way: quick(p99=alone) for way in beside}, "beside": beside, "processes": 3, "ended": ended,
    }}  # fmt: skip


def run_of(load, path="http", **peers_rounds):
    return record({path: {load: {name.replace("_", "-"): rounds for name, rounds in peers_rounds.items()}}})


# --- a call that does not end


@pytest.mark.parametrize("line,code", [
    (b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n", "504"), (b"HTTP/1.0 200\r\n", "200"),
    (b"\r\n", "not HTTP"), (b"504 x\r\n", "not HTTP"), (b"HTTP/1.1 x\r\n", "not HTTP"),
])  # fmt: skip
def test_status(line, code):
    assert deadlines.status(line) == code


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


ENDS = {
    "504": lambda s: s.sendall(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n"),
    "closed": lambda s: None,
    "cut": lambda s: s.sendall(b"HTTP/1"),
    "reset": reset,
}


@pytest.mark.parametrize("answer", ENDS)
def test_ends_are_told_apart(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = deadlines.Endless(listener.getsockname()[1], "/sleep", 60)
        call.start()
        s, _ = listener.accept()
        with s:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += s.recv(65536)
            assert asked.startswith(b"GET /sleep HTTP/1.1\r\n")
            ENDS[answer](s)
        call.join(60)
    assert call.answer == answer and 0 < call.seconds < 60


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        call = deadlines.Endless(listener.getsockname()[1], "/", 0.1)
        call.start()
        call.join(60)
        assert call.answer == "none" and call.seconds >= 0.1
        port = listener.getsockname()[1]
    call = deadlines.Endless(port, "/", 60)
    call.start()
    call.join(60)
    assert call.answer == "refused"


def test_what_came_early_is_not_late():
    calls = [deadlines.Endless(1, "/", 6) for _ in range(4)]
    for call, answer, seconds in zip(calls, ("504", "504", "closed", "none"), (1.02, 0.99, 0.3, 6)):
        call.answer, call.seconds = answer, seconds
    assert deadlines.endings(calls, 1) == {
        "asked": 4, "answers": {"504": 2, "closed": 1, "none": 1}, "early": 1, "first": "504", "first_ms": 20.0,
        "late_ms": [20.0, -10.0, 5000.0]}  # fmt: skip


def test_processes_that_end_are_counted():
    """A shell with two children, of which one ends."""
    script = "sleep 100 & echo $!; sleep 100 & echo $!; wait"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        first, second = (int(process.stdout.readline()) for _ in range(2))
        try:
            watch = deadlines.Processes(process.pid)
            assert watch.count == 3
            watch.start()
            os.kill(first, 9)
            until(lambda: deadlines.proc.has_ended(first), "the first child to end")
            watch.stop()
            assert watch.ended == 1
        finally:
            os.kill(second, 9)
            process.kill()


# --- quick requests


def test_all_ways_to_lose_a_request_are_counted():
    names = ("errors", "not200", "bad_length", "refused_all", "unreachable_all", "given_up_all", "unsent_all", "retried")
    found = {name: 2**i for i, name in enumerate(names)}
    one = deadlines.summary({"due_all": 300, "good_all": 45, "p50_us": 1, "p99_us": 2, "p999_us": 3, **found})
    assert one["lost"] == {name.removesuffix("_all"): count for name, count in found.items()}
    assert deadlines_report.lost(measured(new=one)["deadlines"]) == 255
    assert not deadlines.summary({"due_all": 1, "good_all": 1, "p50_us": 1, "p99_us": 2, **dict.fromkeys(names, 0)})["lost"]


def test_losses_are_shared_among_the_processes_that_ended():
    one = measured(early=2, kept=quick({"retried": 3}), new=quick({"errors": 1}), ended=2)["deadlines"]
    assert deadlines_report.lost(one, "kept") == 3 and deadlines_report.lost(one) == 4
    assert deadlines_report.lost_by_each(one) == 3
    assert deadlines_report.lost_by_each(measured()["deadlines"]) is None


# --- the report


@pytest.mark.parametrize("load,words,one,value,met", [
    ("sleep", "first one's answer", measured(late=(100, 900)), 100, True),
    ("lock", "first one's answer", measured(late=(101, 5)), 101, False),
    ("sleep", "lost", measured(), 0, True),
    ("loop", "lost", measured(new=quick({"given_up": 1})), 1, False),
    ("sleep", "p99 beside", measured(kept=quick(p99=2000), new=quick(p99=500)), 2, True),
    ("loop", "p99 beside", measured(kept=quick(p99=500), new=quick(p99=2001)), 2.001, False),
])  # fmt: skip
def test_targets(load, words, one, value, met):
    found = figure(run_of(f"deadlines-{load}", wsgi_fcgi_workers=[one]), words)
    assert (found.measured, found.met) == (value, met)


def test_targets_are_ours_only_and_the_lock_has_that_of_the_answer():
    data = run_of("deadlines-sleep", gunicorn_sync=[measured(late=(900,), new=quick({"errors": 5}))])
    assert not report.figures(data) and report.passed(data)
    data = run_of("deadlines-lock", wsgi_fcgi=[measured(new=quick({"given_up": 5}))])
    assert [one.title for one in report.figures(data)] == [
        "20 calls with the lock held, wsgi-fcgi, HTTP: the first one's answer, after the time-out"]  # fmt: skip


def test_no_ratio_without_an_answer():
    one = measured(new=quick({"given_up": 100}, p99=0, good=0))["deadlines"]
    assert deadlines_report.slowed_most(one) is None


def test_tables():
    """Counts are those of all rounds together; times are medians, but for the latest."""
    rounds = [measured(late=(10, 30), kept=quick({"retried": 1}, p99=3000), ended=1),
              measured(late=(20, 5000), answers={"504": 1, "none": 1}, early=1, kept=quick({"retried": 2}, p99=1000), ended=2)]
    data = run_of("deadlines-sleep", wsgi_fcgi=rounds, uwsgi=[{"failed": "x"}])
    (_, _, answers), (_, header, losses) = deadlines_report.tables(data)
    assert answers == [["wsgi-fcgi, HTTP", "504 3, none 1", "15", "25", "5000", "1", "1"],
                       ["uwsgi, HTTP", "FAILED", "-", "-", "-", "-", "-"]]  # fmt: skip
    cells = dict(zip(header, losses[0]))
    assert cells["lost, kept connections"] == "3" and cells["lost, new connections"] == "0"
    assert cells["of"] == "400" and cells["how"] == "retried 3"
    assert cells["p99 kept connections: alone, ms / beside"] == "1.00 / 2.00 (2.0 x)"
    assert cells["processes"] == "3" and cells["ended"] == "3" and cells["requests lost with each"] == "1.2"
    text = report.text(data)
    assert "20 calls asleep: what becomes of them" in text and "in a loop" not in text
    assert readme.group_blocks(data)["deadlines"].count("| wsgi-fcgi, HTTP |") == 2
    assert list(readme.group_blocks(data)) == ["deadlines"] and not readme.is_usual(data)


def test_paths_of_a_server_are_beneath_each_other():
    data = record({path: {"deadlines-loop": {peer: [measured()] for peer in ("wsgi-fcgi", "uwsgi")}} for path in ("http", "nginx")})
    assert [title for title, _, _ in deadlines_report.places(data, "deadlines-loop")] == [
        "wsgi-fcgi, HTTP", "wsgi-fcgi, nginx", "uwsgi, HTTP", "uwsgi, nginx"]  # fmt: skip


# --- how servers are started


def chosen():
    tools = peers.Tools(build=Path("/b"), venv=Path("/v"), server=Path("/w"), cpus=4, backlog=128)
    return {peer.name: peer for peer in peers.make(tools, http=True)}


NEED = Need(threads=16, each=2, timeout=1)
COMMANDS = {
    "wsgi-fcgi": {"--threads": "32", "--request-timeout": "1"},
    "wsgi-fcgi-interrupt": {"--threads": "32", "--request-timeout": "1", "--request-timeout-action": "interrupt"},
    "wsgi-fcgi-workers": {"--threads": "16", "--workers": "2", "--request-timeout": "1", "--stuck-timeout": "1"},
    "gunicorn-gthread": {"--threads": "16", "--workers": "2", "--timeout": "1"},
    "gunicorn-sync": {"--workers": "32", "--timeout": "1", "--worker-class": "sync"},
    "uwsgi": {"--threads": "16", "--processes": "2", "--harakiri": "1"},
    "uwsgi-processes": {"--processes": "32", "--harakiri": "1"},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_server_has_room_for_32_calls_and_its_own_time_out(name):
    command = chosen()[name].command(Place("http", port=1), NEED, Path("/d"))
    assert {option: command[command.index(option) + 1] for option in COMMANDS[name]} == COMMANDS[name]
    without = chosen()[name].command(Place("http", port=1), Need(threads=16, each=2), Path("/d"))
    assert not {"--request-timeout", "--request-timeout-action", "--stuck-timeout", "--timeout", "--harakiri"} & set(without)


def test_php_has_a_process_for_every_call(tmp_path):
    chosen()["php-fpm"].command(Place("php", socket="/s"), NEED, tmp_path)
    text = (tmp_path / "php-fpm.conf").read_text()
    assert "pm.max_children = 32\n" in text and "request_terminate_timeout = 1s\n" in text and "listen = /s\n" in text


def test_who_takes_part():
    part = {(load.name, path): [peer.name for peer in chosen().values() if loads.takes_part(load, peer, path)]
            for load in loads.DEADLINES for path in load.paths}  # fmt: skip
    assert part["deadlines-sleep", "http"] == part["deadlines-lock", "nginx"]
    assert sorted(part["deadlines-sleep", "http"]) == sorted(COMMANDS)
    assert sorted(part["deadlines-loop", "nginx"]) == sorted([*COMMANDS, "php-fpm"])
    assert loads.expand("deadlines") == ",".join(load.name for load in loads.DEADLINES)


@pytest.mark.parametrize("repeat", [True, False])
def test_nginx_does_not_ask_again_where_losses_are_counted(tmp_path, repeat, monkeypatch):
    monkeypatch.setattr(nginx.subprocess, "run", lambda *_, **more: subprocess.CompletedProcess((), 0))
    monkeypatch.setattr(nginx.subprocess, "Popen", lambda *_, **more: None)
    nginx.Nginx(tmp_path, 1, 128, repeat).start()
    assert ("proxy_next_upstream off" in (tmp_path / "nginx.conf").read_text()) != repeat


# --- measuring


@pytest.fixture
def small(monkeypatch):
    for name, value in (("EVERY", 0.05), ("ALONE_SECONDS", 0.3), ("BESIDE_SECONDS", 1), ("WARM_UP", 0.1)):
        monkeypatch.setattr(deadlines, name, value)


@pytest.mark.parametrize("kind", ["sleep", "loop", "lock"])
def test_a_small_sample(tmp_path, small, kind):
    """How late answers are is not for a test; that there is one of each call, of its own, is."""
    tools = peers.Tools(build=BUILD, venv=Path("/none"), server=BUILD / "wsgi-fcgi", cpus=2, backlog=128)
    load = generator.Generator(os.environ["FCGI_LOAD"], 0.1, 0.1, 1000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = Place("http", port=free.getsockname()[1])
    need = Need(application="deadline_app:application", threads=16, each=2, timeout=1)
    instance = Instance(peers.WsgiFcgi(tools, True), place, place, need, tmp_path, {})
    try:
        instance.wait_ready(load)
        found = load.measure(instance, replace(loads.BY_NAME[f"deadlines-{kind}"], endless=3), way=deadlines.measure)
    finally:
        instance.stop(at_once=True)
    one = found["deadlines"]
    assert one["answers"] == {"504": 3} and not one["early"]
    assert (one["processes"], one["ended"]) == (1, 0)
    assert set(one["alone"]) == set(one["beside"]) == {"kept", "new"}
    assert all(part["good"] for part in one["alone"].values()) and found["rps"] >= 0
    assert not any(found[key] for key in ("errors", "not200", "bad_length"))
