"""fcgi-load's slow readers: as many, as slow and as lost as it says, against a responder of which all is known."""
import json
import os
import subprocess
import threading

import fcgi
import pytest
from daemon import until
from responder import HELLO, HTTP_HELLO

READERS, RATE, TURNS_A_SECOND = 8, 400, 4
LENGTH = 4 << 20
HEAD = b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % LENGTH


def command(responder, *args):
    return [os.environ["FCGI_LOAD"], "--socket", responder.path, "--json", "--slow", str(READERS), "--read-rate", str(RATE),
            *map(str, args)]  # fmt: skip


class Readers:
    """The program while it reads; `begun` are its figures when all answers have begun, `figures` those at the end."""

    def __init__(self, responder, *args):
        self.process = subprocess.Popen(command(responder, *args), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)  # fmt: skip

    def __enter__(self):
        self.begun = json.loads(self.process.stdout.readline())
        return self

    def end(self, status):
        output, self.said = self.process.communicate(timeout=fcgi.PATIENCE)
        assert self.process.returncode == status, self.said
        self.figures = json.loads(output)

    def __exit__(self, *_):
        with self.process:
            self.process.kill()


@pytest.fixture(params=["fastcgi", "http"])
def http(request):
    return request.param == "http"


def long_answer(http):
    return (b"HTTP/1.1 200 OK\r\n" if http else b"") + HEAD + b"x" * LENGTH


def test_reads_no_faster_than_told_and_more_than_the_kernel_holds(responder, http):
    sent = []

    def answer(request):
        try:
            if http:
                request.connection.send(long_answer(http))
            else:
                request.connection.send(fcgi.stream(fcgi.STDOUT, request.id, long_answer(http)))
            sent.append(request)
        except OSError:
            pass

    server = responder(answer, http=http)
    with Readers(server, *["-H"] * http) as readers:
        assert (readers.begun["readers"], readers.begun["begun"]) == (READERS, READERS)
        assert not sent
        readers.end(0)
    figures = readers.figures
    assert not sent
    assert len(server.requests) == server.connections == READERS
    assert (figures["begun"], figures["cut"], figures["whole"], figures["not200"]) == (READERS, 0, 0, 0)
    # A turn more for the first, and one for a turn that was late.
    turns = figures["seconds"] * TURNS_A_SECOND + 2
    assert READERS * len(HEAD) < figures["bytes"] <= READERS * turns * RATE / TURNS_A_SECOND


def test_answers_that_end_are_read_whole(responder, http):
    server = responder(lambda request: HTTP_HELLO if http else HELLO, http=http)
    with Readers(server, *["-H"] * http) as readers:
        readers.end(0)
    assert (readers.figures["whole"], readers.figures["stuck"], readers.figures["cut"]) == (READERS, 0, 0)
    assert len(server.requests) == READERS


def test_counts_answers_that_are_cut_behind_what_the_kernel_holds(responder, http):
    """Every fourth ends after a part that takes the readers minutes."""
    def answer(request):
        start = long_answer(http)[:100000]
        request.connection.send(start if http else fcgi.stream(fcgi.STDOUT, request.id, start, end=False))
        if request.number % 4 == 0:
            raise fcgi.Closed
        while True:
            request.connection.send(b"x" * 8 if http else fcgi.record(fcgi.STDOUT, request.id, b"x" * 8))

    server = responder(answer, http=http)
    with Readers(server, *["-H"] * http) as readers:
        assert (readers.begun["begun"], readers.begun["cut"]) == (READERS, 0)
        readers.end(1)
    assert (readers.figures["cut"], readers.figures["stuck"]) == (READERS / 4, 0)
    assert readers.figures["begun"] == READERS


def test_counts_answers_that_do_not_go_on(responder, http):
    stop = threading.Event()

    def answer(request):
        start = long_answer(http)[:1000]
        request.connection.send(start if http else fcgi.record(fcgi.STDOUT, request.id, start))
        stop.wait(fcgi.PATIENCE)

    with Readers(responder(answer, http=http), *["-H"] * http) as readers:
        readers.end(1)
    stop.set()
    assert (readers.figures["stuck"], readers.figures["cut"]) == (READERS, 0)


def test_counts_refusals(responder, http):
    refusal = (b"HTTP/1.1 503 Busy\r\n" if http else b"Status: 503 Busy\r\n") + b"Content-Length: 4\r\n\r\nBusy"
    server = responder(lambda request: refusal if request.number % 2 else (HTTP_HELLO if http else HELLO), http=http)
    with Readers(server, *["-H"] * http, "--read-rate", 100000) as readers:
        assert readers.begun["begun"] == READERS / 2
        readers.end(1)
    assert readers.figures["not200"] == READERS / 2


def test_nobody_was_answered(responder):
    """It ends with its standard input, whatever has come. This responder ends the connections."""
    server = responder(lambda request: None)
    with subprocess.Popen(command(server), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: len(server.requests) == READERS, "all requests")
        figures = json.loads(process.communicate(timeout=fcgi.PATIENCE)[0])
    assert (process.returncode, figures["begun"], figures["cut"]) == (1, 0, READERS)


def test_gives_up_after_the_longest_time(responder):
    with Readers(responder(lambda request: None), "--max-time", 0.5) as readers:
        assert readers.begun["begun"] == 0
        readers.process.wait(fcgi.PATIENCE)
        assert readers.process.returncode == 1
        assert "given up after 0.5 seconds" in readers.process.stderr.read()


@pytest.mark.parametrize("args,words", [
    (["--slow", 2, "-d", 1], "--slow does not go with"),
    (["--slow", 2, "-r", 1], "--slow does not go with"),
    (["--slow", 2, "--idle", 2], "--slow does not go with"),
    (["--slow", 2, "-m", 2], "--slow does not go with"),
    (["--read-rate", 100], "--read-rate needs --slow"),
    (["--slow", 0], "--slow"),
])
def test_refuses_what_makes_no_sense(tmp_path, args, words):
    words_of_it = [os.environ["FCGI_LOAD"], "--socket", str(tmp_path / "none"), *map(str, args)]
    done = subprocess.run(words_of_it, capture_output=True, text=True, timeout=fcgi.PATIENCE)
    assert done.returncode == 64
    assert words in done.stderr
