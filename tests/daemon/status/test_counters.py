"""What is counted: each counter by what it is for and by nothing else, and sums that never go back."""
import json
import os
import signal

import pytest

import fcgi
from daemon import until
from gate import Gate
from status_client import ask, tcp_of

OVER_HTTP = True
STATUS = ["--status", "127.0.0.1:0"]
OF_THE_MACHINE = ("batons_", "lock_wait_", "log_lines_lost")  # may happen to any call when others use the processors


def page(server):
    return ask(tcp_of(server), "/?format=json&stacks=0").json()


def flat(value, name=""):
    """Numbers by the path of their names."""
    if not isinstance(value, dict):
        return {name: value}
    return {key: n for part, inner in value.items() for key, n in flat(inner, f"{name}.{part}" if name else part).items()}


def counters(server):
    shown = page(server)
    counts = {name: n for name, n in flat(shown["totals"]).items() if "_total" in name}
    counts |= {f"{name}.count": d["count"] for name, d in shown["histograms"].items()}
    return {name: n for name, n in counts.items() if not name.startswith(OF_THE_MACHINE)}


def moved(before, after):
    assert all(after[name] >= before[name] for name in before), (before, after)
    return {name: after[name] - before[name] for name in after if after[name] != before.get(name, 0)}


def expect(server, before, wanted):
    """An answer comes a moment before it is counted."""
    until(lambda: moved(before, counters(server)) == wanted, f"{wanted}", lambda: str(moved(before, counters(server))))
    assert moved(before, counters(server)) == wanted


CALL = {name: 1 for name in ["request_duration_seconds.count", "request_first_byte_seconds.count",
                             "request_queue_seconds.count", "application_seconds.count",
                             "application_cpu_seconds.count"]}  # fmt: skip


def called(protocol, status="2xx", sent=5, **more):
    return {f"connections_accepted_total.{protocol}": 1, f"requests_total.{protocol}.{status}": 1,
            "requests_ended_total.answered": 1, "sent_bytes_total": sent, **CALL, **more}


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_requests(start, supervise, protocol, workers):
    server = supervise("countapp", 1, *STATUS) if workers else start("countapp", *STATUS)
    before = counters(server)
    assert server.ask("/x").status == 200
    expect(server, before, called(protocol))
    before = counters(server)
    assert server.ask("/missing").status == 404
    expect(server, before, called(protocol, "4xx"))
    before = counters(server)
    assert server.ask("/x", "POST", body=b"abcdefg").status == 200
    expect(server, before, called(protocol, received_bytes_total=7))
    before = counters(server)
    answer = server.ask("/raise")
    assert answer.status == 500
    expect(server, before, called(protocol, "5xx", len(answer.body)))


def test_refusals(start, protocol):
    server = start("countapp", *STATUS, "--limit-request-body", "10")
    before = counters(server)
    assert server.ask("/x", "POST", body=b"x" * 11).status == 413
    until(lambda: counters(server)["refused_total.body_large"] == 1, "the refusal to be counted")
    told = moved(before, counters(server))
    assert told["requests_ended_total.refused"] == 1 and told[f"requests_total.{protocol}.4xx"] == 1, told
    assert "application_seconds.count" not in told and "requests_ended_total.answered" not in told, told


def test_bodies_in_files(start):
    server = start("countapp", *STATUS, "--body-memory", "64K")
    before = counters(server)
    assert server.ask("/x", "POST", body=b"x" * 300000).status == 200
    until(lambda: counters(server)["received_bytes_total"] == 300000, "the body to be counted")
    told = moved(before, counters(server))
    assert told["spooled_bodies_total"] == 1 and 0 < told["spooled_bytes_total"] <= 300000, told
    assert "spool_failures_total" not in told, told


def test_calls_that_run(start, tmp_path):
    """What is so at present; and no processor time is counted of a call that has waited."""
    server = start("countapp", *STATUS)
    gate = Gate(tmp_path)
    with server.connect() as connection:
        connection.send(fcgi.request(fcgi.params("/gate", query="gate=" + gate.path)))
        call = gate.arrived()
        until(lambda: page(server)["totals"]["threads"]["running"] == 1, "a thread to run", server.log)
        totals = page(server)["totals"]
        assert totals["requests_active"] == 1 and totals["connections"] == 1, totals
        assert totals["requests_ended_total"]["answered"] == 0, totals
        call.release()
        assert connection.read_response(1).status == 200
    until(lambda: page(server)["totals"]["requests_active"] == 0, "the end to be told", server.log)
    shown = page(server)
    assert shown["totals"]["threads"]["running"] == 0, shown["totals"]
    assert shown["totals"]["batons_given_total"] + shown["totals"]["batons_taken_total"] == 1, shown["totals"]
    took = shown["histograms"]["application_seconds"]["sum"]
    assert shown["histograms"]["application_cpu_seconds"]["sum"] < took, shown["histograms"]
    gate.close()


def test_processor_time(start):
    server = start("countapp", *STATUS)
    for _ in range(5):
        server.ask("/compute")
    until(lambda: page(server)["histograms"]["application_cpu_seconds"]["count"] == 5, "calls to be counted")
    used = page(server)["histograms"]["application_cpu_seconds"]["sum"]
    assert 5 * 0.045 < used <= page(server)["histograms"]["application_seconds"]["sum"] + 0.001, used


def test_stacks(start, tmp_path):
    server = start("countapp", *STATUS)
    gate = Gate(tmp_path)
    with server.connect() as connection:
        connection.send(fcgi.request(fcgi.params("/gate", query="gate=" + gate.path)))
        call = gate.arrived()
        assert page(server)["totals"]["stacks_taken_total"] == 0
        until(lambda: ask(tcp_of(server), "/?format=json").json()["totals"]["stacks_taken_total"], "a stack", server.log)
        call.release()
        assert connection.read_response(1).status == 200
    gate.close()


def in_history(server):
    return sum(bucket["requests"] for bucket in page(server)["history"]["buckets"])


def test_paths(start):
    server = start("countapp", *STATUS)
    before = in_history(server)
    for _ in range(3):
        server.ask("/a/b/c", query="token=secret")
    until(lambda: page(server)["totals"]["requests_ended_total"]["answered"] == 3, "requests to be counted")
    shown = page(server)
    assert [(p["method"], p["path"], p["count"]) for p in shown["paths"]["frequent"]] == [("GET", "/a/b", 3)], shown
    assert "secret" not in str(shown["paths"])
    assert in_history(server) == before + 3, shown["history"]


def test_the_status_page_and_warm_up_do_not_count(start):
    server = start("countapp", "--status-path", "/status", "--warm-up", "/x", *STATUS)
    before = counters(server)
    assert before["requests_ended_total.answered"] == before["application_seconds.count"] == 0, before
    assert server.ask("/status", query="format=json").status == 200
    told = moved(before, counters(server))
    assert all(name.startswith("connections_accepted_total") for name in told), told


# --- several processes


@pytest.mark.parametrize("how", [[], ["--preload"]])
def test_workers_that_die(supervise, protocol, how):
    """What they have counted stays, and is told why they have ended."""
    server = supervise("countapp", 2, *STATUS, *how)
    for _ in range(10):
        server.ask("/x")
    name = f"requests_total.{protocol}.2xx"
    until(lambda: counters(server)[name] == 10, "requests to be counted")
    before = counters(server)
    gone = server.serving()[0]
    os.kill(gone, signal.SIGKILL)
    until(lambda: gone not in server.serving().values() and len(server.serving()) == 2, "another one", server.log)
    until(lambda: counters(server)["workers_started_total"] == 3, "the start of another one")
    told = moved(before, counters(server))
    assert told == {"workers_started_total": 1, "workers_ended_total.crash": 1}, told
    end = page(server)["ends"][0]
    assert (end["worker"], end["pid"], end["reason"], end["text"]) == (0, gone, "crash", "was killed by SIGKILL"), end
    server.ask("/x")
    until(lambda: counters(server)[name] == 11, "one more")


@pytest.mark.parametrize("how", [[], ["--preload"]])
def test_reload(supervise, protocol, how):
    server = supervise("countapp", 2, *STATUS, *how)
    for _ in range(10):
        server.ask("/x")
    name = f"requests_total.{protocol}.2xx"
    until(lambda: counters(server)[name] == 10, "requests to be counted")
    before, started = counters(server), page(server)["server"]["started_at"]
    os.kill(server.pid, signal.SIGHUP)
    server.wait_log("the reload is complete")
    until(lambda: counters(server)["workers_ended_total.reload"] == 2, "the old ones to end", server.log)
    told = moved(before, counters(server))
    assert told == {"workers_started_total": 2, "workers_ended_total.reload": 2, "reloads_total": 1}, told
    assert page(server)["server"]["started_at"] == started
    server.ask("/x")
    until(lambda: counters(server)[name] == 11, "one more")


def test_workers_that_have_had_enough(supervise, protocol):
    server = supervise("countapp", 1, *STATUS, "--max-requests", "3")
    for _ in range(3):
        server.ask("/x")
    until(lambda: counters(server)["workers_ended_total.max_requests"] == 1, "its end to be counted", server.log)
    assert counters(server)[f"requests_total.{protocol}.2xx"] == 3


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_lost_lines_of_the_access_log(start, workers):
    """Nobody else has to ask the server before it tells them."""
    options = [*STATUS, "--access-log", "/dev/full"]
    server = start("countapp", *options, *workers)
    before = counters(server)["access_log_lost_total"]
    for _ in range(3):
        assert server.ask("/x").status == 200
    until(lambda: counters(server)["access_log_lost_total"] - before >= 3, "the lines to be counted", server.log)


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_lost_lines_of_the_log(start, workers):
    """Where nothing is in the log, since its disk is full, the page tells that."""
    options = ["--log-file", "/dev/full", "--status-path", "/status", "--status-allow", "any"]
    server = start("countapp", *options, *workers)  # whether workers serve cannot be waited for in such a log

    def lost():
        return server.ask("/status", query="format=json&stacks=0")
    shown = lost()
    assert shown.status == 200, shown
    before = json.loads(shown.body)["totals"]["log_lines_lost_total"]
    assert server.ask("/raise").status == 500
    until(lambda: json.loads(lost().body)["totals"]["log_lines_lost_total"] > before, "the traceback to be counted")
