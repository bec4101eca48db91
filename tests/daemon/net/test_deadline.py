"""Calls whose time is over: the loop answers in their place, they go on and can say nothing any more, and nobody else
notices. What a call does, and when its time is over, the tests say (apps/deadlineapp.py)."""
import os
import re
import signal
import socket
import struct
import threading

import pytest

import fcgi
from daemon import until
from fcgi import STDIN, params, record, request, stream
from gate import Gate

OVER_HTTP = True
APP = "deadlineapp"
OPTIONS = ["--threads", 8, "--request-timeout", 3600, "--log-level", "debug"]
END = r"its call, which was not waited for, has ended after \d+\.\d{3} s: "


class Call:
    """A call of /steps on a connection, at its gate."""

    def __init__(self, directory, connection, server, number, method="GET", body=None, sent=None, id=1, keep=True,
                 **more):
        self.gate = Gate(directory, "gate%d" % number)
        self.server, self.number = server, number
        query = "gate=%s&number=%d" % (self.gate.path, number)
        given = params("/steps", method, query, body=body, **more)
        part = body if sent is None else body[:sent]
        connection.send(request(given, part or b"", id, keep, end=part == body))
        self.at = self.gate.arrived()
        assert self.at.text == "begun"

    def __call__(self, step):
        """Does a step; what it has given."""
        self.at.release(step)
        self.at = self.gate.arrived()
        return self.at.text

    def over(self):
        assert self("over") == "over"

    def end(self):
        """The call returns; waits for that, if it is late."""
        self.at.release("end")
        self.server.wait_log(END + r"[^\n]*number=%d\b" % self.number)


@pytest.fixture
def call(tmp_path):
    """Begins a call: call(connection, server, ...)."""
    calls = []

    def begin(*args, **more):
        calls.append(Call(tmp_path, *args, len(calls), **more))
        return calls[-1]
    yield begin
    for one in calls:
        one.gate.close()


def check_504(response):
    assert response.status == 504 and response.complete, response
    assert response.body == b"504 Gateway Timeout\n"
    assert "Retry-After" not in dict(response.headers)
    return response


def check_cut(response):
    """The peer sees that it is not all."""
    assert response.status == 200 and (response.broken or response.app_status), response
    return response


def works(connection):
    """The next request on the connection is answered."""
    response = connection.ask("/hello")
    assert response.status == 200 and response.body == b"Hello, world\n"


def late_writes(one):
    """None of what the call says now can be sent."""
    assert one("head") == "head"
    for size in (1, 5000, 9000, 200000):
        assert one("send %d LATE" % size) == "BrokenPipeError"
    assert one("connected") == "False"
    one("error LATE")


def test_the_option(start, gate):
    """Without any word of the application's."""
    server = start("wsgiapp", "--request-timeout", 0.2)
    with server.connect() as connection:
        check_504(connection.ask("/gate", query="gate=" + gate.path))
        works(connection)
        gate.arrived().release()
    server.wait_log(r"connection \d+: request \d+: 504 Gateway Timeout \([^\n]*\): its call did not end in time")
    server.wait_log(END)


def test_is_answered(server, call):
    """The connection goes on as if nothing had been, and the late call says nothing on it."""
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
        works(connection)
        late_writes(one)
        works(connection)
        one.end()
        works(connection)
    server.wait_log(r"request \d+ ended [^\n]*: 504 Gateway Timeout, [^\n]*, overdue: GET /steps[^\n]*number=0\b")


def test_head_only(server, call):
    with server.connect() as connection:
        one = call(connection, server, method="HEAD")
        one.over()
        response = connection.read_response()
        assert response.status == 504 and response.complete and not response.body
        works(connection)
        one.end()


def test_connection_of_one_request(server, call):
    with server.connect() as connection:
        one = call(connection, server, keep=False)
        one.over()
        check_504(connection.read_response())
        assert connection.at_eof()
        late_writes(one)
        one.end()


def test_stored_but_not_sent(server, call):
    """start_response alone, and an error text, send nothing."""
    with server.connect() as connection:
        one = call(connection, server)
        assert one("head Content-Length:5") == "head"
        assert one("error words") == "said"
        one.over()
        response = check_504(connection.read_response())
        assert not response.stderr
        works(connection)
        one.end()


@pytest.mark.parametrize("size", [1, 9000, 300000])
@pytest.mark.parametrize("head", ["head", "head Content-Length:1000000"])
def test_is_cut(server, call, head, size):
    with server.connect() as connection:
        one = call(connection, server)
        one(head)
        assert one("send %d" % size) == "sent"
        one.over()
        response = check_cut(connection.read_response())
        assert response.body.strip(b"a") == b"" and len(response.body) == size
        late_writes_after_head(one)
        one.end()
    server.wait_log(r": cut off \([^\n]*\): its call did not end in time")


def late_writes_after_head(one):
    for size in (1, 5000, 9000, 200000):
        assert one("send %d L" % size) == "BrokenPipeError"


@pytest.mark.parametrize("steps,seen", [
    (["head", "send 30000"], r"200 overdue 30000 \d+\.\d+"),
    (["head"], r"504 overdue 20 \d+\.\d+"),
])
def test_log_has_what_the_peer_has_seen(start, call, tmp_path, steps, seen):
    """The status that was sent, and as much of the body."""
    log = tmp_path / "access.log"
    server = start(APP, *OPTIONS, "--access-log", log, "--access-log-format", "{status} {end} {bytes} {first_byte} {target}")
    with server.connect() as connection:
        one = call(connection, server)
        for step in steps:
            one(step)
        one.over()
        response = connection.read_response()
        assert response.status == int(seen[:3]) and len(response.body) == int(re.search(r"overdue (\d+)", seen)[1])
        one.end()
    until(lambda: log.exists() and "/steps?" in log.read_text(), "its line", server.log)
    assert re.search("^(%s) /steps" % seen, log.read_text(), re.M), log.read_text()
    server.wait_log(r"request \d+ ended [^\n]*: %s[^\n]*, overdue: GET /steps" % ("200, cut off" if seen[:1] == "2" else "504 "))


def test_waits_for_room(start, call):
    """Its peer takes nothing: the wait ends with the time."""
    server = start(APP, *OPTIONS)
    with server.connect() as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one = call(connection, server)
        assert one("head") == "head"
        assert one("timeout 0.3") == "True"
        told = one("send 8000000")
        if told == "sent":  # one piece of any length is kept for the peer
            told = one("send 8000000")
        assert told == "BrokenPipeError"
        response = check_cut(connection.read_response())
        assert len(response.body) < 16000000
        one.end()


@pytest.mark.parametrize("read", ["read", "read 100000"])
def test_waits_for_its_body(start, call, read):
    """What the peer still sends is read and dropped."""
    body = b"x" * 300000
    server = start(APP, *OPTIONS)
    with server.connect() as connection:
        one = call(connection, server, method="POST", body=body, sent=70000)
        assert one("timeout 0.3") == "True"
        assert one(read) in ("ConnectionResetError", "70000")
        assert one("read") == "ConnectionResetError"
        if server.speaks_http:
            connection.send(body[70000:])
            check_504(connection.read_response())
            assert connection.at_eof()
        else:
            connection.send(stream(STDIN, 1, body[70000:]))
            check_504(connection.read_response())
            works(connection)
        one.end()


def test_body_is_there_and_not_read(server, call):
    """The late call can read what had come whole."""
    body = b"x" * 100000
    with server.connect() as connection:
        one = call(connection, server, method="POST", body=body)
        one.over()
        check_504(connection.read_response())
        works(connection)
        assert one("read") == "100000"
        one.end()


def test_held_body(start, call):
    """Neither memory nor the disk takes the body: the connection is paused for its reader, and goes on without."""
    body = b"x" * 3000000
    server = start(APP, *OPTIONS, "--body-memory", "100K", "--spool-dir", "/proc")
    with server.connect() as connection:
        one = call(connection, server, method="POST", body=body, sent=70000)
        rest = body[70000:]
        sender = threading.Thread(target=lambda: send_quietly(connection, rest, server.speaks_http))
        sender.start()
        server.wait_log("its body waits until the application reads it")
        one.over()
        check_504(connection.read_response())
        sender.join()
        one.end()


def send_quietly(connection, rest, http):
    try:
        connection.send(rest if http else stream(STDIN, 1, rest))
    except OSError:
        pass


def test_client_has_left(server, call):
    with server.connect() as connection:
        one = call(connection, server)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
    until(lambda: one("connected") == "False", "the peer's end")
    one.over()
    server.wait_log(r": nobody waits for it \([^\n]*\): its call did not end in time")
    late_writes(one)
    one.end()


def test_client_has_ended_its_side(server, call):
    with server.connect() as connection:
        one = call(connection, server)
        connection.sock.shutdown(socket.SHUT_WR)
        one.over()
        check_504(connection.read_response())
        assert connection.at_eof()
        one.end()


def test_more_time(server, call):
    """A call may give itself more time, none, or all that it likes."""
    with server.connect() as connection:
        one = call(connection, server)
        assert one("timeout 1000") == "True"
        assert one("timeout None") == "False"
        assert one("timeout 2000") == "True"
        one.at.release("end")
        assert connection.read_response().body == b"end"


def test_more_time_than_it_was_given(start, call):
    """Another call, whose time is over later, shows that it was passed over."""
    server = start(APP, "--threads", 4, "--request-timeout", 0.5)
    with server.connect() as connection, server.connect() as other:
        one = call(connection, server)
        assert one("timeout None") == "False"
        two = call(other, server)
        check_504(other.read_response())
        two.end()
        one.at.release("end")
        assert connection.read_response().body == b"end"


def test_threads_are_made_up_for(start, call):
    """As many calls hang as there are threads, and others are answered."""
    server = start(APP, "--threads", 2, "--request-timeout", 3600)
    with server.connect() as first, server.connect() as second, server.connect() as third:
        calls = [call(first, server), call(second, server)]
        for one in calls:
            one.over()
        check_504(first.read_response())
        check_504(second.read_response())
        for connection in (first, second, third):
            works(connection)
        for one in calls:
            one.end()


def test_one_thread(start, call):
    """An application that was promised one call at a time has one, but clients are answered."""
    server = start(APP, "--threads", 1, "--request-timeout", 3600)
    with server.connect() as connection, server.connect() as other:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
        other.send(request(params("/hello"), keep=True))
        late_writes(one)
        one.end()
        assert other.read_response().body == b"Hello, world\n"
        works(connection)


def test_stop_waits_for_late_calls(start, call):
    server = start(APP, *OPTIONS)
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
    server.signal(15)
    server.wait_log("stopping ")
    late_writes(one)
    one.end()
    assert server.wait_exit() == 0


def test_stop_leaves_late_calls_behind(start, call):
    """Their clients were answered: nothing is cut off."""
    server = start(APP, *OPTIONS, "--graceful-timeout", 1)
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
    server.signal(15)
    server.wait_log(r"calls whose time was over before are left behind; those that have run for longest: [^\n]*/steps")
    assert server.wait_exit() == 0
    one.gate.visitors[-1].close()


def test_stop_with_overdue_call(start, call):
    """The time is over while the server stops."""
    server = start(APP, *OPTIONS)
    with server.connect() as connection:
        one = call(connection, server)
        server.signal(15)
        server.wait_log("stopping ")
        one.over()
        check_504(connection.read_response())
        assert connection.at_eof()
        one.end()
    assert server.wait_exit() == 0


def test_wait_for_the_loop(start, call):
    """With one thread, a call that waits for its body runs the loop itself."""
    server = start(APP, "--threads", 1, "--request-timeout", 0.3)
    body = b"x" * 200000
    with server.connect() as connection:
        given = params("/hash", "POST", body=body)
        connection.send(request(given, body[:70000], keep=True, end=False))
        check_504(connection.read_response())
        if not server.speaks_http:
            connection.send(stream(STDIN, 1, body[70000:]))
            works(connection)


def test_pipelined(server, call):
    """What came behind it goes on at once."""
    with server.connect() as connection:
        one = call(connection, server)
        count = 2 if server.speaks_http else 1
        connection.send(*count * [request(params("/hello"), keep=True)])
        one.over()
        check_504(connection.read_response(1))
        for _ in range(count):
            assert connection.read_response(1).body == b"Hello, world\n"
        one.end()


@pytest.mark.parametrize("wait", [0, 0.0005, 0.002])
def test_race(server, wait):
    """The time is over at some moment while the call writes as fast as it can: its answer is replaced or cut, and not a
    byte of it comes behind that."""
    for _ in range(20):
        with server.connect() as connection:
            response = connection.ask("/floods", query="seconds=%s" % wait)
            if response.status == 504:
                check_504(response)
                works(connection)
            else:
                check_cut(response)
                assert not response.body.strip(b"x")
            if response.broken:
                assert connection.at_eof()


# --- FastCGI


@pytest.mark.fastcgi
def test_same_id_anew(server, call):
    """The id is free once the 504 is out, whatever the old call does."""
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response(1))
        two = call(connection, server)
        late_writes(one)
        assert two("head") == "head"
        assert two("send 5") == "sent"
        late_writes_after_head(one)
        one.end()
        two.at.release("end")
        response = connection.read_response(1)
        assert response.body == b"aaaaaend" and not response.app_status


@pytest.mark.fastcgi
def test_neighbours(server, call):
    """Of several requests on a connection one is cut, by END_REQUEST, and one answered; the third does not notice."""
    with server.connect() as connection:
        calls = [call(connection, server, id=id) for id in (1, 2, 3)]
        for one in calls[1:]:
            assert one("head") == "head"
            assert one("send 100") == "sent"
        calls[0].over()
        check_504(connection.read_response(1))
        calls[1].over()
        cut = connection.read_response(2)
        assert cut.app_status == 1 and cut.protocol_status == fcgi.REQUEST_COMPLETE and cut.body == b"a" * 100
        late_writes(calls[0])
        late_writes_after_head(calls[1])
        assert calls[2]("send 200000 b") == "sent"
        calls[0].end()
        calls[1].end()
        calls[2].at.release("end")
        response = connection.read_response(3)
        assert response.body == b"a" * 100 + b"b" * 200000 + b"end" and not response.app_status


@pytest.mark.fastcgi
def test_aborted(server, call):
    with server.connect() as connection:
        one = call(connection, server)
        connection.send(record(fcgi.ABORT_REQUEST, 1))
        until(lambda: one("connected") == "False", "the abortion")
        one.over()
        response = connection.read_response(1)
        assert not response.stdout and response.complete
        works(connection)
        one.end()


@pytest.mark.fastcgi
@pytest.mark.parametrize("wait", [0, 0.0005, 0.002])
def test_race_beside_others(server, call, wait):
    """The same where the connection goes on, with the same id."""
    with server.connect() as connection:
        other = call(connection, server, id=2)
        for _ in range(20):
            response = connection.ask("/floods", query="seconds=%s" % wait)
            assert response.complete
            if response.status == 504:
                check_504(response)
            else:
                check_cut(response)
                assert not response.body.strip(b"x")
            works(connection)
        other.at.release("end")
        assert connection.read_response(2).body == b"end"


# --- workers


def test_retires(supervise, call):
    """The connection goes to another worker while the old call goes on in the one that retires."""
    server = supervise(APP, 1, *OPTIONS)
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
        server.signal(signal.SIGHUP)
        server.wait_log("handed over to another worker")
        works(connection)
        late_writes(one)
        works(connection)
        one.end()
    server.wait_log(r"has ended with status 0: \d+ requests? finished meanwhile, 0 cut off")


def test_worker_dies(supervise, call):
    """What it was running includes what nobody waited for any more."""
    server = supervise(APP, 1, *OPTIONS)
    with server.connect() as connection:
        one = call(connection, server)
        one.over()
        check_504(connection.read_response())
        os.kill(server.serving()[0], signal.SIGKILL)
        server.wait_log(r"worker 0 [^\n]*; it ran [^\n]*GET /steps\?")
