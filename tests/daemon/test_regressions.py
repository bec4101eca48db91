"""What once went wrong. Each docstring says what happened then."""
import gzip
import json
import os
import select
import signal
import socket
import time
import urllib.parse

import pytest

import fcgi
from conftest import check_structure
from daemon import APPS, until
from fcgi import begin, pairs, params, record, request, stream
from test_faults import Footprint
from test_fcgi import good
from test_signals import refuses

OVER_HTTP = True
MIB = 1 << 20
APP = "faultapp"


# --- connections

@pytest.mark.fastcgi
def test_half_close_after_early_answers(server):
    """Kept connections whose requests are answered before STDIN ended, then shutdown(SHUT_WR): requests were ended
    while the list of them was walked, and their memory was used afterwards."""
    ids = range(1, 6)
    for _ in range(10):
        with server.connect() as connection:
            given = pairs(params("/hello", "POST", CONTENT_LENGTH="200000"))
            connection.send(*(begin(id, keep=True) + stream(fcgi.PARAMS, id, given)
                              + stream(fcgi.STDIN, id, b"x" * 70000, end=False) for id in ids))
            for _ in ids:
                assert connection.read_and_keep().content.endswith(b"Hello, world\n")
            connection.sock.shutdown(socket.SHUT_WR)
            for id in ids:
                good(connection.read_response(id))
            assert connection.at_eof()
    good(server.ask("/hello"))


@pytest.mark.fastcgi
def test_stdin_ends_before_params(server):
    """The end of STDIN that came first was forgotten, and the request waited for it for ever."""
    with server.connect() as connection:
        given = pairs(params("/echo", "POST"))
        connection.send(begin(4, keep=True), record(fcgi.STDIN, 4), stream(fcgi.PARAMS, 4, given))
        good(connection.read_response(4), b"")
        good(connection.ask("/hello", id=4))


@pytest.mark.fastcgi
def test_second_request_while_the_params_of_the_first_have_not_ended(server):
    """After the end of STDIN the id counted as free: the first request's PARAMS went to the second one, and both
    waited."""
    with server.connect() as connection:
        connection.send(begin(keep=True), record(fcgi.STDIN, 1), request(params("/hello"), keep=True))
        assert connection.at_eof()
    good(server.ask("/hello"))


@pytest.mark.fastcgi
@pytest.mark.parametrize("second", ["held", "begun", "role"])
def test_end_of_a_pipelined_request_waits_for_its_turn(server, gate, second):
    """The end of an aborted or refused request was sent at once, in the middle of the answer to an earlier request
    with the same id, which then looked complete."""
    query = "gate=%s&count=2" % gate.path
    with server.connect() as connection:
        connection.send(request(params("/stream", query=query), keep=True))
        visitor = gate.arrived()
        further = {"held": request(params("/hello"), keep=True), "begun": begin(keep=True), "role": begin(role=9)}
        connection.send(further[second], record(fcgi.ABORT_REQUEST, 1) if second != "role" else b"",
                        record(fcgi.GET_VALUES, 0))
        if second == "role":
            # There is no turn in which it could be refused: the connection ends, so that the answer is seen to be cut.
            assert connection.read_response(1).broken
            server.wait_log("BEGIN_REQUEST for an id whose request is not complete")
        else:
            while connection.read_and_keep().type != fcgi.GET_VALUES_RESULT:
                pass
            assert not connection.pending[1].complete
        visitor.release()
        if second != "role":
            good(connection.read_response(1), b"chunk 0\nchunk 1\n")
            second_end = connection.read_response(1)
            assert second_end.complete and second_end.body == (b"Hello, world\n" if second == "held" else b"")
            good(connection.ask("/hello"))
    good(server.ask("/hello"))


def test_late_reader_of_a_late_answer(start, gate):
    """The time that a peer has to take an answer began when the last byte had come from it, not when there was
    something to take: a handler that worked for longer than --idle-timeout lost its answer."""
    limit = 2
    server = start(APP, "--idle-timeout", limit)
    with server.connect() as connection, server.connect() as idle:
        connection.send(request(params("/late", query="mib=5&gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        good(idle.ask("/hello"))
        assert idle.at_eof()  # the time-out has passed
        time.sleep(0.6 * limit)  # time itself is the matter here: the next look at idle connections is not far
        visitor.release()
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
        time.sleep(0.6 * limit)
        response = check_structure(connection.read_response(1))
        assert len(response.body) == 5 * MIB
        good(connection.ask("/hello"))


# --- answers

def test_wrapped_gzip_file(server, tmp_path):
    """The descriptor of the compressed file was sent instead of what the object reads."""
    content = b"line of a file\n" * 5000
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(content))
    good(server.ask("/wrapped-gzip", query="path=" + urllib.parse.quote(str(path))), content)


@pytest.mark.parametrize("offset, ahead", [(0, 0), (1000, 0), (1000, 10), (99999, 1), (100000, 0)])
def test_wrapped_temporary_file(server, offset, ahead):
    """The descriptor's position is not the object's, which has read ahead."""
    content = os.urandom(100000)
    response = server.ask("/wrapped-temporary", "POST", "offset=%d&ahead=%d" % (offset, ahead), body=content)
    good(response, content[offset:])


def test_content_length_without_a_body(server):
    """Content-Length: 100 went out with no body, and the client waited for the rest."""
    response = check_structure(server.ask("/length-without-body"))
    assert response.status == 500
    server.wait_log("an empty body with Content-Length 100")
    head = check_structure(server.ask("/length-without-body", "HEAD"))
    assert head.status == 200 and ("Content-Length", "100") in head.headers


# --- threads of the application

def test_two_threads_read_the_body(server, gate):
    """Both waited into the same buffer, which moved under one of them."""
    body = os.urandom(3 * MIB)
    with server.connect() as connection:
        given = params("/two-readers", "POST", "gate=" + gate.path, body=body)
        data = connection.wire(request(given, body, size=1000))
        connection.send(data[:200000])
        gate.arrived()
        for position in range(200000, len(data), 50000):
            connection.send(data[position:position + 50000])
        response = check_structure(connection.read_response(1))
    assert json.loads(response.body) == [len(body), sum(body)]


def test_two_threads_write_the_answer(server, gate):
    """Both changed the stored part of the answer while one waited for the peer."""
    with server.connect() as connection:
        connection.send(request(params("/two-writers", query="gate=" + gate.path)))
        assert gate.arrived().text == "RuntimeError"
        response = check_structure(connection.read_response(1))
    body = response.body
    counts = [body.count(letter) for letter in (b"a", b"b")]
    assert sum(counts) == len(body) and [count % 100000 for count in counts] == [0, 0]
    good(server.ask("/hello"))


@pytest.mark.fastcgi
def test_thread_logs_while_another_writes(start):
    """Both appended to the same buffer, one of them without the interpreter lock."""
    server = start(APP, "--app-stderr", "fastcgi")
    response = check_structure(server.ask("/write-and-log"))
    assert response.body == b"a" * 10000000
    assert bytes(response.stderr) == (b"e" * 300 + b"\n") * 2000
    good(server.ask("/hello"))


def test_handler_returns_while_its_thread_writes(start, gate):
    """The request ended while its answer was sent, and its memory was used afterwards. The answer is cut off."""
    server = start(APP)
    with server.connect() as connection:
        connection.send(request(params("/return-while-writing", query="gate=" + gate.path)))
        visitor = gate.arrived()
        assert select.select([connection.sock], [], [], fcgi.PATIENCE)[0]
        visitor.release()
        server.wait_log("the application returned while a thread of it is inside write")
        assert connection.read_response(1).broken
    good(server.ask("/hello"))


def test_loop_goes_on_while_the_interpreter_is_held(server, gate):
    """The loop's owner waited for the interpreter lock of a handler that sleeps in C without giving it away."""
    with server.connect() as holding, server.connect() as other:
        holding.send(request(params("/hold-gil", query="gate=" + gate.path)))
        visitor = gate.arrived()
        with server.connect() as waiting:
            waiting.send(request(params("/hello"), keep=True))
            for _ in range(100):
                other.get_values()
            visitor.release()
            good(holding.read_response(1), b"held\n")
            good(waiting.read_response(1))


# --- start and stop

@pytest.mark.parametrize("prefix", ["./", "unix:", "run/", "run/../", "unix:run/"])
def test_relative_socket_with_chdir(start, tmp_path, prefix):
    """The socket was made in the directory of --chdir instead of the one in which the server was started."""
    (tmp_path / "run").mkdir()
    path = str(tmp_path / prefix.removeprefix("unix:") / "app.sock")
    server = start(APP, "--chdir", APPS, socket=prefix + "app.sock", address=path, cwd=str(tmp_path))
    good(server.ask("/hello"))
    server.stop()
    assert not os.path.exists(path) and not os.path.exists(os.path.join(APPS, "app.sock"))


def test_second_signal_while_the_interpreter_is_held(start, gate):
    """The end waited for the interpreter lock."""
    server = start(APP, "--graceful-timeout", "1000")
    with server.connect() as connection:
        connection.send(request(params("/hold-gil", query="gate=" + gate.path)))
        gate.arrived()
        server.signal(signal.SIGTERM)
        until(lambda: refuses(server), "new connections to be refused", server.log)
        server.signal_again(signal.SIGTERM)
    assert not os.path.exists(server.path)
