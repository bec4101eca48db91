"""wsgi_fcgi.RequestTimeout, raised in calls whose time is over, and what the module says of that time. What becomes of their
clients is in net/test_deadline.py."""
import json
import re
import time

import pytest

from daemon import LABEL
from fcgi import params, request
from tamper import Tamper

OVER_HTTP = True
APP = "timeapp"
INTERRUPT = ["--request-timeout", 0.3, "--request-timeout-action", "interrupt"]


@pytest.fixture
def serve(start, gate):
    return lambda *options: start(APP, *options, env={"GATE": gate.path})


def innocents(server):
    """One more than there are threads for --threads 1."""
    for _ in range(3):
        response = server.ask("/innocent")
        assert (response.status, response.body, response.complete) == (200, b"innocent", True), server.log()


def interrupted(server, path):
    """The line of the end; nothing else is said of it, and nothing is raised in what comes behind."""
    server.wait_log(r"info: GET %s\S*%s: was interrupted after 0?\d*\.?\d+ s\n" % (re.escape(path), LABEL))
    innocents(server)
    assert "Traceback (most recent call last)" not in server.log() and "dropped" not in server.log()


def send(connection, path, query=""):
    connection.send(request(params(path, query=query)))


# --- the module

@pytest.mark.parametrize("options, given, least, most", [
    ([], None, None, None), (["--request-timeout", 60], None, 0, 60), (["--request-timeout", 60], 100, 60, 100),
    ([], 100, 0, 100), (["--request-timeout", 60], "none", None, None), ([], 0, 0, 0)])
def test_time_left(serve, options, given, least, most):
    response = serve(*options).ask("/left", query="" if given is None else "set=%s" % given)
    left = json.loads(response.body) if response.status == 200 else 0
    assert left is None if least is None else least <= left <= most


def test_threads_of_the_application(serve):
    said = json.loads(serve("--request-timeout", 60).ask("/elsewhere").body)
    assert said == [None, False, "set_timeout() in a thread that runs no request"]


def test_wrong_values(serve):
    assert json.loads(serve().ask("/wrong").body) == ["ValueError", "ValueError", "TypeError"] + [None] * 5


def test_client_connected(serve, gate):
    server = serve()
    with server.connect() as connection:
        send(connection, "/connected")
        for _ in range(2):
            visitor = gate.arrived()
            assert visitor.text == "True"
            visitor.release()
        assert connection.read_response(1).body == b"nobody"


def test_set_timeout(serve, gate):
    """Without --request-timeout, too: the client is answered, and the call told."""
    server = serve()
    with server.connect() as connection:
        send(connection, "/shorter")
        visitor = gate.arrived()
        assert connection.read_response(1).status == 504
        visitor.release()
        assert gate.arrived().text == "0.0 False"


# --- interrupts

@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("way", ["forever", "compute"])
def test_call(serve, gate, way, threads):
    server = serve(*INTERRUPT, "-t", threads)
    assert server.ask("/hang", query="way=" + way).status == 504
    assert gate.arrived().text == "RequestTimeout"
    interrupted(server, "/hang")


def test_thread_that_begins(start, gate, tmp_path):
    """It is not what is interrupted: the call that starts it is. Until Python 3.11 it has the number of that one."""
    tamper = Tamper(tmp_path)
    server = start(APP, "--request-timeout", 60, "--request-timeout-action", "interrupt",
                   env={"GATE": gate.path, **tamper.env})
    with server.connect() as connection:
        send(connection, "/hang", query="way=start_thread")
        visitor = gate.arrived()
        tamper.hold_threads(int(visitor.text))
        visitor.release()
        assert connection.read_response(1).status == 504
    assert server.ask("/hang", query="way=forever&seconds=0.1").status == 504
    said = [gate.arrived().text]  # both calls have been looked at by then
    tamper.hold_threads(0)
    said += [gate.arrived().text for _ in range(2)]
    assert sorted(said) == ["RequestTimeout", "RequestTimeout", "thread"], server.log()
    interrupted(server, "/hang?way=start_thread")


def test_swallowed(serve, gate):
    server = serve(*INTERRUPT)
    assert server.ask("/hang", query="way=stubborn").status == 504
    assert [gate.arrived().text for _ in range(3)] == ["swallowed"] * 3
    innocents(server)
    assert "was interrupted" not in server.log()  # the call has returned


@pytest.mark.parametrize("where", ["iteration", "close"])
def test_result(serve, gate, where):
    """close() runs whole after an interrupt in the iteration, and is itself interrupted when it hangs."""
    server = serve(*INTERRUPT)
    response = server.ask("/hang-in", query="where=" + where)
    assert response.body == b"piece"
    said = ["RequestTimeout", "close"]
    assert [gate.arrived().text for _ in said] == (said if where == "iteration" else said[::-1])
    interrupted(server, "/hang-in")


def test_write(serve, gate):
    """It waits for its client, whose answer is cut off: an error of writing, as ever."""
    server = serve(*INTERRUPT)
    with server.connect() as connection:
        send(connection, "/hang-in-write")
        assert gate.arrived().text == "writes"
        assert gate.arrived().text in ("BrokenPipeError", "RequestTimeout")
    innocents(server)
    assert "Traceback (most recent call last)" not in server.log()


def test_lock_held_in_c(serve, gate):
    """The client has its answer while nobody can get the lock, and the exception comes when it can be got."""
    server = serve(*INTERRUPT)
    assert server.ask("/hang-in-c", query="seconds=0.8").status == 504
    assert gate.arrived().text == "RequestTimeout"
    interrupted(server, "/hang-in-c")


def test_raised_by_the_application(serve):
    """In time it is an exception like others."""
    server = serve("--request-timeout", 60, "--request-timeout-action", "interrupt")
    assert server.ask("/raises").status == 500
    server.wait_log(r"\nwsgi_fcgi\.RequestTimeout: of my own\n")


def test_answer_interrupts_nothing(serve, gate):
    """By default. The call goes on until it ends by itself."""
    server = serve("--request-timeout", 0.1)
    with server.connect() as connection:
        send(connection, "/connected")
        first = gate.arrived()
        assert connection.read_response(1).status == 504
        first.release()
        second = gate.arrived()
        assert second.text == "False"
        second.release()
    innocents(server)
    assert "interrupted" not in server.log()


def test_what_cannot_be_told(serve, gate):
    """Where a call is while nothing can be opened: it may wait for a lock."""
    server = serve(*INTERRUPT)
    with server.connect() as connection:
        send(connection, "/hang", query="way=no_descriptors")
        holder, teller = gate.arrived(), gate.arrived()
        assert teller.line() == "none"
        assert connection.read_response(1).status == 504
        server.wait_log(r"warning: GET /hang\S*" + LABEL + r": goes on in spite of --request-timeout-action interrupt")
        holder.release()
        assert teller.line() == "got", server.log()
    assert "has ended, and its stack" not in server.log()
    assert re.search(r'line \d+, in no_descriptors\n', server.log())
    innocents(server)


def test_what_cannot_be_interrupted(serve, gate):
    """A call that waits for a lock is left alone, and the log says so in the end."""
    server = serve(*INTERRUPT, "--graceful-timeout", 1)
    begin = time.monotonic()
    assert server.ask("/hang", query="way=never_still").status == 504
    assert gate.arrived().text == "locked"
    server.wait_log(r"warning: GET /hang\S*" + LABEL + r": goes on in spite of --request-timeout-action interrupt: "
                    r"nothing could be raised in it, as it waits for a lock, which would stay locked")
    assert time.monotonic() - begin >= 10
    innocents(server)
    server.process.terminate()
    assert server.wait_exit() == 0, server.log()
