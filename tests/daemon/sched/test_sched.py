"""Who runs what and when. No test measures time: each waits for one thing to happen before it lets another go."""
import json
import select
import signal

import pytest

import fcgi
from daemon import SANITIZED
from fcgi import params, request
from test_fcgi import good
from test_wsgi import tokens

OVER_HTTP = True


def hold(server, gate, path="/gate", count=1):
    """Requests that are running now: connections and the visitors at the gate."""
    connections = []
    visitors = []
    for _ in range(count):
        connection = server.connect()
        connection.send(request(params(path, query="gate=" + gate.path)))
        connections.append(connection)
        visitors.append(gate.arrived())
    return connections, visitors


def finish(connections, visitors, status=200):
    for visitor in visitors:
        visitor.release()
    for connection in connections:
        assert connection.read_response(1).status == status
        connection.close()


@pytest.mark.parametrize("sleeping", [1, 5, 31])
def test_others_are_served_while_some_sleep(start, gate, sleeping):
    server = start("wsgiapp")
    held = hold(server, gate, count=sleeping)
    with server.connect() as kept:
        for _ in range(200):
            good(kept.ask("/hello"))
            good(server.ask("/hello"))
    finish(*held)


def test_streaming_answers_run_side_by_side(start, gate):
    """Each sees its first chunk before any of them may produce its second."""
    server = start("wsgiapp", "-t", 8)
    connections = [server.connect() for _ in range(8)]
    for connection in connections:
        connection.send(request(params("/stream", query="count=2&gate=" + gate.path)))
    for connection in connections:
        assert b"chunk 0\n" in connection.read_and_keep().content
    finish(connections, [gate.arrived() for _ in connections])


def test_all_threads_stuck(start, gate):
    """The loop goes on with every thread stuck: connections, management records, overload answers."""
    server = start("wsgiapp", "-t", 2, "--queue-limit", 3, "--queue-timeout", 0)
    held = hold(server, gate, count=2)
    with server.connect() as connection:
        assert connection.get_values()["FCGI_MPXS_CONNS"] in "01"
    more = [server.connect() for _ in range(8)]
    for connection in more:
        connection.send(request(params("/hello")))
    refused = []
    while len(refused) < 5:
        ready = select.select([c.sock for c in more if c not in refused], [], [], fcgi.PATIENCE)[0]
        assert ready, "5 of 8 requests do not fit into the queue and are answered at once\n" + server.log()
        for connection in [c for c in more if c.sock in ready]:
            response = connection.read_response(1)
            assert response.status == 503 and response.complete
            assert dict(response.headers)["Retry-After"].isdigit()
            refused.append(connection)
    finish(*held)
    for connection in more:
        if connection not in refused:
            good(connection.read_response(1))
        connection.close()
    good(server.ask("/hello"))


def test_queue_timeout(start, gate):
    server = start("wsgiapp", "-t", 1, "--queue-timeout", "0.2")
    held = hold(server, gate)
    token = next(tokens)
    response = server.ask("/hello", query="token=" + token)
    assert response.status == 503 and "Retry-After" in dict(response.headers)
    finish(*held)
    assert json.loads(server.ask("/state", query="token=" + token).body)["calls"] == 0


def test_queue_is_first_in_first_out(start, gate):
    server = start("wsgiapp", "-t", 1, "--queue-timeout", 0)
    held = hold(server, gate)
    waiting = []
    for number in range(10):
        connection = server.connect()
        connection.send(request(params("/gate", query="gate=%s&token=number%d" % (gate.path, number))))
        with server.connect() as other:
            other.get_values()
            other.get_values()
        waiting.append(connection)
    held[1][0].release()
    for number in range(10):
        visitor = gate.arrived()
        assert visitor.text == "number%d" % number
        visitor.release()
    for connection in held[0] + waiting:
        good(connection.read_response(1), b"passed\n")
        connection.close()


def test_threads_come_back(start, gate):
    server = start("wsgiapp", "-t", 4)
    for _ in range(5):
        finish(*hold(server, gate, count=4))
        good(server.ask("/hello"))
    assert server.threads() <= 4 + 2


def test_computing_call_does_not_stop_the_loop(start, gate):
    server = start("wsgiapp")
    connections, visitors = hold(server, gate, "/compute")
    with server.connect() as connection:
        for _ in range(20):
            connection.get_values()
    # After a while calls share the interpreter with it as well.
    good(server.ask("/hello"))
    finish(connections, visitors)


def test_several_computing_calls(start, gate):
    server = start("wsgiapp", "-t", 4)
    held = hold(server, gate, "/compute", 3)
    good(server.ask("/hello"))
    finish(*held)


def test_application_that_does_not_block_uses_one_thread(start):
    """Hence one database connection."""
    server = start("wsgiapp")
    with server.connect() as kept:
        for number in range(2000):
            good(kept.ask("/hello") if number % 2 else server.ask("/hello"))
    count, main = json.loads(server.ask("/threads").body)
    # A call that a busy machine holds up in the kernel (a page to be read) may cost one more.
    assert count <= (2 if SANITIZED else 1), "%d threads" % count
    assert main is False


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_number_of_threads_is_bounded(start, gate, threads):
    server = start("wsgiapp", "-t", threads, "--queue-timeout", 0)
    connections, visitors = hold(server, gate, count=threads)
    waiting = []
    for _ in range(threads + 5):
        connection = server.connect()
        connection.send(request(params("/gate", query="gate=" + gate.path)))
        waiting.append(connection)
    with server.connect() as connection:
        connection.get_values()
    assert server.threads() <= threads + 2
    assert gate.nobody(), "no more calls than threads"
    for visitor in visitors:
        visitor.release()
    for _ in waiting:
        gate.arrived().release()
    finish(connections + waiting, [])
    assert server.threads() <= threads + 2


def test_many_connections(start, gate):
    """More connections than threads, all with a call that waits, all answered."""
    server = start("wsgiapp", "-t", 64, "--queue-timeout", 0)
    connections = [server.connect() for _ in range(200)]
    for connection in connections:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
    for _ in connections:
        gate.arrived().release()
    for connection in connections:
        good(connection.read_response(1), b"passed\n")
        good(connection.ask("/hello"))
        connection.close()


def test_end_with_stuck_threads(start, gate):
    server = start("wsgiapp", "-t", 3, "--graceful-timeout", "0.5")
    hold(server, gate, count=3)
    server.signal(signal.SIGTERM)
    server.wait_cut()
