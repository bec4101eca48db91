"""What an application changes while the server uses it, and what it leaves pending for a thread."""
import json
import socket

import pytest

from daemon import LABEL, SANITIZED, until
from fcgi import params, request

OVER_HTTP = True
APP = "changeapp"
BIG = 32 << 20
FIRST = BIG + 100000  # of /list-changes, before the last item
DEBUG = {} if SANITIZED else {"PYTHONMALLOC": "debug"}  # what is freed is overwritten, or told by the sanitizer


def ask_and_change(server, gate, path, query=""):
    """The application changes something once the answer has begun, of which nothing is read before that is done.
    Returns the answer, and what the change returned."""
    with server.connect() as connection:
        connection.send(request(params(path, query="gate=%s&%s" % (gate.path, query))))
        visitor = gate.arrived()
        assert connection.sock.recv(1, socket.MSG_PEEK)
        visitor.release()
        done = gate.arrived()
        done.release()
        return connection.read_response(1), json.loads(done.text)


@pytest.mark.parametrize("how", ["number", "str", "bytearray", "none", "cleared"])
def test_list_turns_wrong_while_it_is_sent(server, gate, how):
    """Each item is looked at when it is taken: what is no bytes object is never sent as one."""
    begin = len(server.log())
    response, _ = ask_and_change(server, gate, "/list-changes", "how=" + how)
    assert not response.complete and response.body == b"x" * len(response.body)
    name = {"number": "int", "none": "NoneType"}.get(how, how)
    fault = (r"the application sent \d+ of the %d bytes" % (FIRST + 6) if how == "cleared"
             else "TypeError: the application's iterable gave %s, not bytes" % name)
    server.wait_log("(?s)^.{%d,}%s" % (begin, fault))


@pytest.mark.parametrize("how", ["same", "longer", "more"])
def test_list_changes_while_it_is_sent(server, gate, how):
    """Of what is there now, so much is sent as was announced."""
    response, _ = ask_and_change(server, gate, "/list-changes", "how=" + how)
    assert (response.status, response.complete) == (200, True)
    assert response.body[FIRST:] == (b"second" if how == "more" else b"SECOND")


def test_descriptor_changes_while_the_file_is_sent(server, gate):
    """The application's number may become that of another file, of another user: what is sent stays the same."""
    response, _ = ask_and_change(server, gate, "/descriptor-changes")
    assert (response.status, response.complete) == (200, True)
    assert response.body == b"x" * BIG


def test_wrapped_files_leave_no_descriptor(start, gate):
    server = start(APP)
    ask_and_change(server, gate, "/descriptor-changes")
    before = server.fds()  # of the connection that has just ended at most one too many
    for _ in range(4):
        ask_and_change(server, gate, "/descriptor-changes")
    until(lambda: server.fds() <= before, "the copies to be closed", server.log)


def test_write_beside_a_file(server, gate):
    """What is left of Content-Length is for the thread that sends to know."""
    response, raised = ask_and_change(server, gate, "/write-beside-file")
    assert response.complete and response.body == b"x" * BIG
    assert raised == ["RuntimeError('another thread is sending a part of this answer')"] * 2


def test_class_is_renamed_while_it_is_named(start):
    server = start(APP, env=DEBUG)
    assert server.ask("/renamed-string", query="rest=lier").status == 500
    server.wait_log("TypeError: the application returned a Later object, not an iterable of bytes objects")


def test_header_goes_while_it_is_shown(start):
    server = start(APP, env=DEBUG)
    assert server.ask("/header-that-goes").status == 500
    server.wait_log("(?s)Traceback.*(TypeError|ValueError)")
    assert server.ask("/innocent").status == 200


# --- PyThreadState_SetAsyncExc

BEFORE = r"warning: GET /late\S+" + LABEL + r": the exception Late, which PyThreadState_SetAsyncExc\(\) had set .* was dropped"
BETWEEN = r"warning: the exception Late, which PyThreadState_SetAsyncExc\(\) had set .* was dropped"


def innocents(server):
    """One more than there are threads for --threads 1."""
    for _ in range(3):
        response = server.ask("/innocent")
        assert (response.status, response.body, response.complete) == (200, b"innocent", True), server.log()


@pytest.mark.parametrize("kind", ["end", "close"])
def test_exception_that_comes_when_the_answer_has_ended(start, kind):
    """It is neither for close() nor for the next request of the thread. A timeout that is a moment late sets it."""
    server = start(APP, "-t", 1)
    for count in range(1, 4):
        response = server.ask("/late-exception", query="kind=" + kind)
        assert (response.status, response.body, response.complete) == (200, b"body", True), server.log()
        assert kind == "end" or server.ask("/closed").body == b"%d" % count
    innocents(server)
    server.wait_log(BEFORE)
    assert "Traceback" not in server.log()


def test_exception_that_comes_behind_another(start):
    """What the request failed by is what the log tells."""
    server = start(APP, "-t", 1)
    assert server.ask("/late-exception", query="kind=failure").status == 500
    server.wait_log(r"\nValueError: invalid literal for int\(\)")
    innocents(server)


def test_exception_that_comes_between_requests(start, gate):
    server = start(APP, "-t", 1)
    innocents(server)
    assert server.ask("/late-for-all", query="gate=" + gate.path).body == b"ended"
    gate.arrived().release()
    done = gate.arrived()
    done.release()
    assert set(json.loads(done.text)) == {1}
    innocents(server)
    server.wait_log(BETWEEN)
    assert "Traceback" not in server.log()


def test_exception_that_comes_in_time(start):
    """It ends the request that it is for."""
    server = start(APP, "-t", 1)
    assert server.ask("/late-exception", query="kind=time").status == 500
    server.wait_log(r"(?s)Traceback.*changeapp\.Late")
    assert server.ask("/closed").body == b"1"
    assert "dropped" not in server.log()
