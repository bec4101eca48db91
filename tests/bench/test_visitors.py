"""fcgi-load's visitors: every request that is due ends in one count, and in the right one."""
import socket
import time

import fcgi
import pytest
from daemon import until
from responder import HELLO, HTTP_HELLO
from test_load import STALL, load, one_stall, refuses

REFUSAL = b"Status: 503 Busy\r\nContent-Length: 0\r\n\r\n"
HTTP_REFUSAL = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
ENDS = ("good_all", "refused_all", "unreachable_all", "given_up_all", "unsent_all", "errors", "not200", "bad_length",
        "unanswered")


def visit(responder, *args, status=0):
    figures, _ = load(responder, "--patience", 20, "--within", 1, "--within", 20, *args, status=status)
    return whole(figures)


def whole(figures):
    assert figures["due_all"] == sum(figures[end] for end in ENDS)
    return figures


def others(figures, *names):
    """What is not zero besides these."""
    return {end: figures[end] for end in ENDS if figures[end] and end not in names}


@pytest.mark.parametrize("http", [False, True], ids=["fastcgi", "http"])
@pytest.mark.parametrize("keep", [False, True], ids=["close", "kept"])
def test_every_request_is_counted_once(responder, http, keep):
    server = responder(lambda request: HTTP_HELLO if http else HELLO, http=http)
    figures = visit(server, "-r", 300, "-d", 1, "-w", 0.5, "-c", 4, *["-H"] * http, *["-k"] * keep)
    assert not others(figures, "good_all", "unanswered")
    assert figures["due_all"] > figures["due"] > 0
    assert figures["good_all"] > figures["good"] > 0
    assert figures["within_20s_all"] == figures["good_all"] == figures["requests_all"]
    assert figures["within_20s"] == figures["good"] == figures["requests"]
    if keep:
        assert figures["ready"] == figures["connections"] == server.connections == 4


def test_requests_are_due_at_random_times_that_are_the_same_in_every_run(responder):
    """A thousand times in a second, give or take what chance does: its deviation is 32. A half of that is due in half
    the time, also about."""
    due = [visit(responder(), "-r", 1000, "-d", seconds, "-c", 8, "-k")["due_all"] for seconds in (1, 1, 0.5)]
    assert due[0] == due[1] != 1000
    assert abs(due[0] - 1000) < 130
    assert abs(due[2] - 500) < 100


@pytest.mark.parametrize("http", [False, True], ids=["fastcgi", "http"])
def test_a_503_is_refused_and_not_wrong(responder, http):
    good, bad = (HTTP_HELLO, HTTP_REFUSAL) if http else (HELLO, REFUSAL)
    server = responder(lambda request: good if request.number % 3 else bad, http=http)
    figures = visit(server, "-r", 100, "-d", 1, "-c", 1, "-k", *["-H"] * http)
    assert not others(figures, "good_all", "refused_all", "unanswered")
    answered = figures["good_all"] + figures["refused_all"]
    assert figures["refused_all"] == -(-answered // 3)
    assert figures["within_20s_all"] == figures["good_all"]  # a refusal is no good answer, however quick
    assert figures["refused_p50_us"] > 0


def test_another_status_is_wrong(responder):
    server = responder(lambda request: b"Status: 500 No\r\nContent-Length: 0\r\n\r\n")
    figures = visit(server, "-r", 100, "-d", 0.5, "-c", 1, "-k", status=1)
    assert figures["not200"] > 0
    assert not others(figures, "not200", "unanswered")


def test_a_connection_that_is_closed_instead_of_an_answer_is_an_error(responder):
    def answer(request):
        raise fcgi.Closed

    figures = visit(responder(answer), "-r", 100, "-d", 0.5, "-c", 2, "-k", status=1)
    assert figures["errors"] > 0
    assert not others(figures, "errors", "unanswered")


def test_whoever_is_out_of_patience_leaves_and_closes_the_connection(responder):
    server = responder(lambda request: None)
    figures, _ = load(server, "--patience", 0.2, "-r", 100, "-d", 1.5, "-c", 2, "-k")
    whole(figures)
    assert not others(figures, "given_up_all", "unsent_all", "unanswered")
    assert figures["given_up_all"] >= 2
    assert figures["unsent_all"] > figures["given_up_all"]  # two connections are free every 0.2 s, and 20 are due
    until(lambda: len(server.requests) == server.connections == figures["connections"], "the last request to come")
    assert figures["connections"] >= figures["given_up_all"]


def test_a_late_answer_is_good_but_not_in_time(responder):
    figures, _ = load(responder(one_stall(0)), "--patience", 20, "--within", STALL / 2, "--within", 20, "-r", 20, "-d", 2,
                      "-c", 8, "-k")
    whole(figures)
    assert figures[f"within_{STALL / 2:g}s_all"] < figures["good_all"] == figures["within_20s_all"]


def test_a_stall_is_charged_with_all_that_were_due_meanwhile(responder):
    """One connection: of the 40 or so that are due in the stall about 20 wait for more than half of it. Clients that
    wait for their answer before they ask again would see one."""
    figures, _ = load(responder(one_stall(20)), "--patience", 20, "--within", STALL / 2, "-r", 100, "-d", 3, "-c", 1, "-k")
    whole(figures)
    assert figures["good_all"] - figures[f"within_{STALL / 2:g}s_all"] >= 8


def test_the_newest_takes_the_connection_that_is_free(responder):
    """20/s are answered and 100/s due. In their order only the first 25 would be answered within a second of when they
    were due, and nobody later."""

    def answer(request):
        time.sleep(0.05)
        return HELLO

    figures = visit(responder(answer), "-r", 100, "-d", 4, "-c", 1, "-k")
    assert figures["within_1s_all"] > figures["good_all"] / 2
    assert figures["unanswered"] > 200


def test_bursts(responder):
    server = responder()
    figures = visit(server, "--burst", 50, "--every", 1, "-d", 2.9, "-c", 50, "-k")
    assert figures["due_all"] == 150
    assert figures["ready"] == 50
    assert not others(figures, "good_all", "unanswered")
    assert len(server.requests) == 150


def test_a_burst_besides_a_rate(responder):
    alone = visit(responder(), "-r", 100, "-d", 1, "-c", 50, "-k")
    both = visit(responder(), "-r", 100, "--burst", 50, "-d", 1, "-c", 50, "-k")
    assert both["due_all"] == alone["due_all"] + 50


class Nobody:
    """Where nobody listens."""

    def __init__(self, path):
        self.path = path


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_counts_what_cannot_connect(tmp_path, kind):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        place = str(tmp_path / "none") if kind == "unix" else f"127.0.0.1:{reserved.getsockname()[1]}"
        figures = visit(Nobody(place), "-r", 100, "-d", 0.5, "-c", 2, "-k", status=1)
    assert figures["unreachable_all"] > 0
    assert figures["ready"] == 0
    assert not others(figures, "unreachable_all", "unanswered")


def test_a_full_backlog_is_waited_for(tmp_path):
    """Of a Unix socket, which tells at once: nobody accepts, so some are asked who never answer, and all leave."""
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        figures, _ = load(Nobody(path), "--patience", 0.2, "-r", 100, "-d", 1, "-c", 20)
    whole(figures)
    assert not others(figures, "given_up_all", "unsent_all", "unanswered")
    assert figures["connections"] <= 2
    assert figures["given_up_all"] > figures["connections"]


@pytest.mark.parametrize("args,words", [
    (["--patience", 1, "-r", 10], "--patience needs --duration"),
    (["--patience", 1, "-d", 1], "and --rate or --burst"),
    (["--patience", 0, "-d", 1, "-r", 10], "--patience"),
    (["--burst", 5], "need --patience"),
    (["--within", 5], "need --patience"),
    (["--patience", 1, "-d", 1, "-r", 1, "--every", 1], "--every needs --burst"),
    (["--patience", 1, "-d", 1, "-r", 1, "-m", 2], "--patience does not go with"),
    (["--patience", 1, "-d", 1, "-r", 1, *["--within", 1] * 5], "--within: 4 times at most"),
])
def test_refuses_what_makes_no_sense(tmp_path, args, words):
    refuses(tmp_path, args, words)
