"""fcgi-load tells the truth: against a responder of which all is known."""
import json
import os
import subprocess
import threading
import time

import fcgi
import pytest
from responder import HELLO, HTTP_HELLO

WORDS = ("errors", "not200", "bad_length", "unanswered", "stalled")


def load(responder, *args, status=0):
    """The figures, and what was said on standard error."""
    command = [os.environ["FCGI_LOAD"], "--socket", responder.path, "--json", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * fcgi.PATIENCE)
    assert done.returncode == status, done
    return json.loads(done.stdout), done.stderr


def assert_clean(figures):
    assert {word: figures[word] for word in WORDS} == dict.fromkeys(WORDS, 0)


@pytest.mark.parametrize("http", [False, True], ids=["fastcgi", "http"])
@pytest.mark.parametrize("keep", [False, True], ids=["close", "kept"])
def test_asks_exactly_so_often_as_told(responder, http, keep):
    server = responder(lambda request: HTTP_HELLO if http else HELLO, http=http)
    figures, _ = load(server, "-n", 101, "-c", 4, *["-H"] * http, *["-k"] * keep)
    assert len(server.requests) == figures["requests"] == figures["requests_all"] == 101
    assert server.connections == figures["connections"] == (4 if keep else 101)
    assert_clean(figures)


def test_multiplexes_and_matches_answers_by_request_id(responder):
    server = responder(reverse=4)
    figures, _ = load(server, "-n", 80, "-c", 1, "-m", 4)
    assert len(server.requests) == figures["requests"] == 80
    assert [[request.id for request in server.requests].count(id) for id in (1, 2, 3, 4)] == [20] * 4
    assert server.connections == 1
    assert_clean(figures)


@pytest.mark.parametrize("http", [False, True], ids=["fastcgi", "http"])
@pytest.mark.parametrize("size", [1, 65527, 65528, 65529, 131056, 1000000])
def test_sends_bodies_of_that_length(responder, size, http):
    server = responder(lambda request: HTTP_HELLO if http else HELLO, http=http)
    figures, _ = load(server, "-n", 3, "-c", 1, "-b", size, "-k", *["-H"] * http)
    assert [request.body for request in server.requests] == [size] * 3
    assert_clean(figures)


def every_third(answer):
    return lambda request: answer if request.number % 3 == 0 else HELLO


@pytest.mark.parametrize("answer,word", [
    (b"Status: 503 Busy\r\nContent-Length: 0\r\n\r\n", "not200"),
    (b"Content-Length: 14\r\n\r\nHello, world\n", "bad_length"),
    (b"Content-Type: text/plain\r\n\r\nHello, worl\n", "bad_length"),
    (b"Content-Type: text/plain\r\n", "errors"),
    (b"", "errors"),
    (b"X: " + b"x" * 9000 + b"\r\n\r\n", "errors"),
], ids=["status", "shorter-than-it-says", "shorter-than-wanted", "no-end-of-head", "empty", "huge-head"])  # fmt: skip
def test_counts_wrong_answers(responder, answer, word):
    server = responder(every_third(answer))
    figures, _ = load(server, "-n", 30, "-c", 1, "-l", 13, status=1)
    assert figures["requests"] == 30
    assert {w: figures[w] for w in WORDS} == {**dict.fromkeys(WORDS, 0), word: 10}


def test_counts_requests_that_a_closed_connection_loses(responder):
    def answer(request):
        if request.number % 5 == 4:
            raise fcgi.Closed
        return HELLO

    server = responder(answer)
    figures, _ = load(server, "-n", 50, "-c", 1, "-k", status=1)
    assert len(server.requests) == figures["requests"] == 50
    assert figures["errors"] == 10
    assert figures["connections"] == server.connections


@pytest.mark.parametrize("answer,word", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"5\r\nHello\r\nA;x=1\r\n, worldly!\r\n0\r\nT: 1\r\n\r\n", None),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n123456789012345", None),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n", "bad_length"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "errors"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "not200"),
    (b"garbage without any sense\r\n\r\n", "errors"),
], ids=["chunked", "interim", "short-chunks", "no-chunk-size", "status", "garbage"])
def test_reads_http_answers(responder, answer, word):
    server = responder(lambda request: answer, http=True)
    figures, _ = load(server, "-H", "-k", "-n", 10, "-c", 1, "-l", 15, status=1 if word else 0)
    expected = dict.fromkeys(WORDS, 0)
    assert {w: figures[w] for w in WORDS} == (expected if not word else {**expected, word: 10})


def test_http_answer_ends_with_its_connection(responder):
    server = responder(lambda request: b"HTTP/1.0 200 OK\r\n\r\nuntil the end", http=True, close_after=1)
    figures, _ = load(server, "-H", "-n", 7, "-c", 1, "-l", 13)
    assert server.connections == figures["requests"] == 7
    assert_clean(figures)


def test_http_request_goes_again_when_a_kept_connection_was_closed(responder):
    server = responder(lambda request: HTTP_HELLO, http=True, close_after=10)
    figures, _ = load(server, "-H", "-k", "-n", 25, "-c", 1)
    assert figures["requests"] == 25
    assert figures["connections"] == server.connections == 3
    assert figures["retried"] == 2
    assert_clean(figures)


def test_ends_after_its_time(responder):
    server = responder()
    begin = time.monotonic()
    figures, _ = load(server, "-d", 0.5, "-w", 0.2, "-c", 2, "-k")
    assert time.monotonic() - begin >= 0.7
    assert figures["seconds"] >= 0.5
    assert figures["requests"] < figures["requests_all"]
    assert figures["rps"] == pytest.approx(figures["requests"] / figures["seconds"], rel=0.01)
    assert_clean({**figures, "unanswered": 0})


@pytest.mark.parametrize("pause", [0.02, None], ids=["trickles", "silent"])
def test_gives_up_after_the_longest_time(responder, pause):
    """A byte now and then is no reason to wait for ever."""
    stop = threading.Event()

    def answer(request):
        request.connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not stop.wait(pause or fcgi.PATIENCE):
            request.connection.send(b"x")

    server = responder(answer, http=True)
    figures, said = load(server, "-H", "-n", 1, "-c", 1, "--max-time", 0.5, status=1)
    stop.set()
    assert figures["stalled"] == 1
    assert figures["unanswered"] == 1
    assert "given up after 0.5 seconds, 0 of 1 answered" in said


# --- latency

STALL = 0.4


def one_stall(number):
    def answer(request):
        if request.number == number:
            time.sleep(STALL)
        return HELLO

    return answer


def slower_than(figures, microseconds):
    return sum(count for value, count in figures["histogram"] if value > microseconds)


def test_histogram_holds_every_request(responder):
    figures, _ = load(responder(one_stall(3)), "-n", 20, "-c", 1, "-k", "--histogram")
    assert sum(count for _, count in figures["histogram"]) == 20
    assert slower_than(figures, STALL * 1e6 * 0.99) >= 1
    assert figures["max_us"] >= STALL * 1e6


def test_open_loop_asks_at_its_rate(responder):
    server = responder()
    figures, _ = load(server, "-r", 200, "-d", 0.5, "-c", 2, "-k")
    assert len(server.requests) == figures["requests"] == 100
    assert figures["rps"] <= 201
    assert_clean(figures)


def test_open_loop_charges_a_stall_with_all_that_would_have_come(responder):
    """At 100/s a stall of 0.4 s delays 40 requests, the n-th of them by 0.4 s - n * 10 ms: some 20 by more than 0.2 s.
    Clients that wait for their answer see one slow request."""
    figures, _ = load(responder(one_stall(20)), "-r", 100, "-d", 1, "-c", 1, "-k", "--histogram")
    assert figures["requests"] == 100
    assert slower_than(figures, STALL * 1e6 / 2) >= 19
    assert_clean(figures)


def test_open_loop_counts_what_was_never_answered(responder):
    """A responder that stops answers nothing: what was due meanwhile is in the histogram with the time it waited."""
    server = responder(lambda request: HELLO if request.number < 10 else None)
    figures, _ = load(server, "-r", 100, "-d", 0.5, "-c", 1, "-k", "--histogram")
    assert figures["requests"] == 10
    assert figures["unanswered"] == 40
    assert sum(count for _, count in figures["histogram"]) == 50
    assert slower_than(figures, 1.9e6) == 40  # two seconds are waited for answers after the end
    assert figures["p50_us"] > 1.9e6


def test_closed_loop_shows_a_client_that_is_never_served(responder):
    server = responder(lambda request: None if request.number == 0 else HELLO)
    figures, _ = load(server, "-d", 2, "-c", 2, "-k")
    assert figures["unanswered"] >= 1
    assert figures["max_us"] >= 1e6


def test_clients_begin_one_after_the_other(responder):
    """The 2nd of two clients begins after half of the ramp, so a run shorter than that has one connection."""
    server = responder()
    figures, _ = load(server, "-d", 0.2, "-c", 2, "-k", "--ramp", 60)
    assert server.connections == 1
    assert_clean({**figures, "unanswered": 0})


# --- what it says

def test_progress(responder):
    figures, said = load(responder(), "-d", 2.2, "-c", 1, "-k", "--progress")
    lines = said.splitlines()
    assert len(lines) >= 1
    assert all(line.startswith("fcgi-load: ") and line.endswith(", 0 wrong") for line in lines)
    assert_clean({**figures, "unanswered": 0})


def refuses(tmp_path, args, words):
    command = [os.environ["FCGI_LOAD"], "--socket", str(tmp_path / "none"), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=fcgi.PATIENCE)
    assert done.returncode == 64
    assert words in done.stderr


@pytest.mark.parametrize("args,words", [
    (["-m", 4, "-H"], "--multiplex does not go with"),
    (["-w", 1], "--warm-up needs --duration"),
    (["-r", 0], "--rate"),
    (["-r", 10, "--ramp", 1], "--ramp does not go with --rate"),
    (["-u", "x"], "--uri"),
])
def test_refuses_what_makes_no_sense(tmp_path, args, words):
    refuses(tmp_path, args, words)


def test_says_when_nobody_listens(tmp_path):
    command = [os.environ["FCGI_LOAD"], "--socket", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=fcgi.PATIENCE)
    assert done.returncode == 69
    assert "No such file" in done.stderr
