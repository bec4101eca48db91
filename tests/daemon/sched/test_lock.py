"""Calls that let go of the interpreter lock and compute. No time is measured here: what a busy machine can prevent once gets
more attempts."""
import json
import os
import signal

import pytest

from fcgi import params, request
from test_fcgi import good

OVER_HTTP = True
ATTEMPTS = 50
IN_A_ROW = 4
DONE = b"done\n"
ONE_CPU = min(os.sched_getaffinity(0))


def start_on_one_cpu(start):
    return start("lockapp", preexec_fn=lambda: os.sched_setaffinity(0, {ONE_CPU}))


def send(server, gate, path, query=""):
    connection = server.connect()
    connection.send(request(params(path, query="gate=%s%s" % (gate.path, query))))
    return connection


def hello(server, times=1):
    with server.connect() as kept:
        for _ in range(times):
            good(kept.ask("/hello"), DONE)


def end(*connections):
    for connection in connections:
        good(connection.read_response(1), DONE)
        connection.close()


def race(server, gate, name):
    """What ends first: a call that takes 15 ms, or a quick one that is sent while it runs. The server does not know this kind of
    call. Returns what is so several times in a row, or None."""
    last, row = None, 0
    for attempt in range(ATTEMPTS):
        connection = send(server, gate, "/%s/%d" % (name, attempt), "&s=0.015")
        gate.arrived()
        hello(server)
        end(connection)
        first = json.loads(server.ask("/happened").body)[0]
        row = row + 1 if first == last else 1
        last = first
        if row == IN_A_ROW:
            return last
    return None


def test_quick_calls_do_not_wait(start, gate):
    """Neither for its end, nor for the 20 ms for which one that has the lock would hold them back."""
    assert race(start("lockapp"), gate, "spin-for") == "hello"


def test_quick_calls_wait_for_one_that_has_the_lock(start, gate):
    """Rather than fight for it."""
    assert race(start("lockapp"), gate, "loop-for") == "loop-for"


def both_run(server, gate):
    """Whether two calls that spin run at a time; quick ones do in any case. Ends them."""
    first = send(server, gate, "/spin")
    visitors = [gate.arrived()]
    second = send(server, gate, "/spin")
    hello(server, 20)
    both = not gate.nobody()
    if both:
        visitors.append(gate.visitors[-1])
    visitors[0].release()
    if not both:
        visitors.append(gate.arrived())
    visitors[1].release()
    end(first, second)
    return both


def test_no_more_than_there_are_cpus(start, gate):
    """And quick ones overtake those that wait for a CPU."""
    server = start_on_one_cpu(start)
    row = 0
    for _ in range(ATTEMPTS):
        row = 0 if both_run(server, gate) else row + 1
        if row == IN_A_ROW:
            return
    pytest.fail("the server does not learn that these calls compute without the lock")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU")
def test_as_many_as_there_are_cpus(start, gate):
    server = start("lockapp")
    for _ in range(20):
        first = send(server, gate, "/spin")
        visitor = gate.arrived()
        second = send(server, gate, "/spin")
        gate.arrived().release()
        hello(server, 10)
        visitor.release()
        end(first, second)


def test_others_are_not_counted(start, gate):
    """Calls that compute with the lock, or sleep, run together on one CPU, however often they come."""
    server = start("wsgiapp", preexec_fn=lambda: os.sched_setaffinity(0, {ONE_CPU}))
    for path in ["/compute", "/gate"]:
        for _ in range(5):
            connections, visitors = [], []
            for _ in range(3):
                connections.append(send(server, gate, path))
                visitors.append(gate.arrived())
            for visitor in visitors:
                visitor.release()
            for connection in connections:
                assert connection.read_response(1).status == 200
                connection.close()


def test_stop(start, gate):
    """While the watch looks at a call, and threads end."""
    server = start("lockapp")
    for _ in range(3):
        connection = send(server, gate, "/spin")
        visitor = gate.arrived()
        hello(server, 10)
        visitor.release()
        end(connection)
    connection = send(server, gate, "/spin")
    visitor = gate.arrived()
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping \(TERM\)")
    visitor.release()
    end(connection)
    assert server.wait_exit() == 0
