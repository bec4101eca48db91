"""More requests than the application can serve, and threads that are stuck: who is served, who gets a 503, and what the
log says. A server that is paused (SIGSTOP) finds many requests at once when it goes on, in the order in which they were sent."""
import contextlib
import os
import re
import resource
import signal
import time

import pytest

import nginx as nginxes
from daemon import SANITIZED, until
from fcgi import params, request
from test_abandoned import Notes, settle
from test_fcgi import good
from test_sched import finish, hold

OVER_HTTP = True
T1 = 1.5           # so long the oldest waits before anybody is refused (sched/backlog.h)
STUCK = (r"no call has ended since [\dT:.-]+Z \([\d.]+ s\), and %d run, as many as --threads allows: find out what they "
         "wait for; as long as none ends, more --threads do not help")


@pytest.fixture
def notes(tmp_path):
    return Notes(tmp_path)


def retry_after(response):
    return int(dict(response.headers)["Retry-After"])


@contextlib.contextmanager
def paused(server):
    server.signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED)  # all of its threads are
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def ask_all(server, asked):
    """Sends one request on a connection of its own for each of these parameters, while the server is paused."""
    with paused(server):
        connections = [server.connect() for _ in asked]
        for connection, each in zip(connections, asked):
            connection.send(request(each))
    return connections


def statuses(connections):
    found = []
    for connection in connections:
        response = connection.read_response(1)
        assert response.complete
        found.append(response.status)
        connection.close()
    return found


# --- nobody is refused whom the server can serve in time

def test_a_burst_of_quick_requests(start):
    """Thousands of kept connections ask at once."""
    count = 300 if SANITIZED else 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, hard // 2)
    server = start("hello")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 500)), hard))
    connections = []
    try:
        for _ in range(count):
            connections.append(server.connect())
            good(connections[-1].ask("/hello"))
        with paused(server):
            for connection in connections:
                connection.send(request(params("/hello"), keep=True))
        assert {connection.read_response(1).status for connection in connections} == {200}
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "503" not in server.log()


def noted(notes, count, ms):
    return [params("/noted", query=notes.query(number, ms=ms)) for number in range(count)]


def test_newest_first_when_the_oldest_has_waited_long(start, notes):
    """In the order of their arrival as long as that serves people; then the other way round. All are served."""
    server = start("abandonedapp", "-t", 1, "--queue-timeout", 1000)
    count = 60
    assert statuses(ask_all(server, noted(notes, count, 60))) == [200] * count
    order = [int(line[0]) for line in notes.read()]
    first = next(i for i, number in enumerate(order) if number != i)
    assert order == [*range(first), *range(count - 1, first - 1, -1)], str(order)


def test_no_queue_timeout(start, notes):
    """Whatever the time, all are called, in the order of their arrival."""
    server = start("abandonedapp", "-t", 1, "--queue-timeout", 0)
    count = 40
    assert statuses(ask_all(server, noted(notes, count, 60))) == [200] * count
    assert [int(line[0]) for line in notes.read()] == [*range(count)]


def test_the_oldest_are_refused(start, notes):
    """Who comes last is served, and those that have waited longest and cannot be served in time are not."""
    server = start("abandonedapp", "-t", 1, "--queue-timeout", 2)
    count = 100
    found = statuses(ask_all(server, noted(notes, count, 100)))
    refused = [number for number, status in enumerate(found) if status == 503]
    assert refused and refused == [*range(refused[0], refused[-1] + 1)] and 0 < refused[0] and refused[-1] < count - 1
    served = [number for number, status in enumerate(found) if status == 200]
    assert sorted(int(line[0]) for line in notes.read()) == served
    told = server.wait_log(r"warning: overload since [\dT:.-]+Z \([\d.]+ s\): (\d+) requests refused with 503 in the last "
                           r"[\d.]+ s; \d+ wait[^;]*; more (?:come than calls end|came than calls ended): [^;]*--threads \(1\)")
    assert 0 < int(told.group(1)) <= len(refused)


# --- threads that are stuck

def test_a_deadlock(start, gate):
    """With all threads in calls that wait for each other, the others are told soon, and the log says what it is."""
    server = start("wsgiapp", "-t", 2, "--queue-timeout", 2, "--graceful-timeout", "0.1")
    stuck = [server.connect() for _ in range(2)]
    for number, connection in enumerate(stuck):
        connection.send(request(params("/deadlock", query="n=%d&gate=%s" % (number, gate.path))))
    for _ in stuck:
        assert gate.arrived().text == "deadlock"
    began = time.monotonic()
    with server.connect() as connection:
        connection.send(request(params("/hello")))
        response = connection.read_response(1)
    assert response.status == 503 and 30 <= retry_after(response) <= 45
    assert time.monotonic() - began >= T1
    line = server.wait_log(r"warning: overload since [^\n]*: 1 request refused with 503 in the last [^\n]*\n").group(0)
    assert re.search(STUCK % 2, line), line
    assert len(re.findall(r"\(connection \d+: request 1\): GET /deadlock\?n=[01]&", line)) == 2
    assert "raise --threads" not in server.log() and "see --threads" not in server.log()
    server.signal(signal.SIGTERM)
    server.wait_cut()


def test_a_deadlock_with_many_behind_it(start, gate):
    """The more wait, the sooner they are told that it is in vain: long before --queue-timeout, and before a test gives up."""
    server = start("wsgiapp", "-t", 2, "--queue-timeout", 60)
    held = hold(server, gate, count=2)
    waiting = ask_all(server, [params("/hello")] * 64)
    assert waiting[0].read_response(1).status == 503
    server.wait_log(STUCK % 2)
    finish(*held)
    for connection in waiting[1:]:
        assert connection.read_response(1).status in (200, 503)


def test_calls_that_end_after_all(start, gate):
    """Those that came while no call ended are refused, and are not to come again all at once; when calls end, it goes on as
    ever."""
    server = start("wsgiapp", "-t", 2, "--queue-timeout", 2)
    held = hold(server, gate, count=2)
    refused = ask_all(server, [params("/hello")] * 12)
    answers = [connection.read_response(1) for connection in refused]
    assert {answer.status for answer in answers} == {503} and len({retry_after(answer) for answer in answers}) > 1
    for connection in refused:
        connection.close()
    server.wait_log(STUCK % 2)
    finish(*held)
    for _ in range(5):
        good(server.ask("/hello"))


@pytest.mark.fastcgi
def test_behind_nginx(start, gate):
    """Who asks a web server learns as well when to come again."""
    server = start("wsgiapp", "-t", 1, "--queue-timeout", 2)
    running = nginxes.Nginx({"it": (server.path, False, "/")})
    try:
        held = hold(server, gate)
        connection = running.connection("it")
        connection.request("GET", "/hello")
        response = connection.getresponse()
        assert response.status == 503 and 30 <= int(response.headers["Retry-After"]) <= 45
        assert response.read() == b"503 Service Unavailable\n"
        finish(*held)
        connection.request("GET", "/hello")
        assert connection.getresponse().read() == b"Hello, world\n"
        connection.close()
    finally:
        running.stop()


# --- whose clients have left

def leave(server, each):
    """A client sends a request and leaves; on a Unix socket the server sees that."""
    with server.connect() as connection:
        connection.send(request(each))
    settle(server)


def test_who_has_left_is_refused_first(start, gate, notes):
    """Before those who have waited for longer; and the log counts them."""
    server = start("abandonedapp", "-t", 1, "--queue-timeout", 0, "--queue-limit", 2)
    held = hold(server, gate)
    stays = ask_all(server, [params("/noted", query=notes.query(0))])
    leave(server, params("/noted", query=notes.query(1)))
    late = ask_all(server, [params("/noted", query=notes.query(2))])
    server.wait_log(r"info: connection \d+: request 1 dropped \([^\n]*\): its client left while it waited, and no thread was "
                    r"free for all \(overload\): GET /noted")
    server.wait_log(r"overload since [^\n]*: 0 requests refused with 503 and 1 dropped, which their clients had left, in ")
    finish(*held)
    assert statuses(stays + late) == [200, 200]
    assert [line[0] for line in notes.read()] == ["0", "2"]


def test_who_has_left_is_called_if_nobody_is_refused(start, gate, notes):
    server = start("abandonedapp", "-t", 1, "--queue-timeout", 0, "--queue-limit", 2)
    held = hold(server, gate)
    leave(server, params("/noted", query=notes.query(1)))
    stays = ask_all(server, [params("/noted", query=notes.query(2))])
    finish(*held)
    assert statuses(stays) == [200]
    assert [line[0] for line in notes.wait(2, server)] == ["1", "2"]


def test_order_of_refusals_when_stuck(start, gate):
    """All go; those that their clients have left before the others that came before them."""
    server = start("wsgiapp", "-t", 1)
    held = hold(server, gate)
    stays = ask_all(server, [params("/hello", query="stays")])
    leave(server, params("/hello", query="left"))
    assert statuses(stays) == [503]
    log = server.wait_log(r"(?s).*503 Service Unavailable[^\n]*GET /hello\?stays").group(0)
    assert re.search(r"dropped \([^\n]*\(overload\): GET /hello\?left", log), log
    finish(*held)


# --- the bound on memory

def test_queue_limit(start, gate):
    """Beyond it the new ones are refused at once, since those that wait have not waited for long."""
    server = start("wsgiapp", "-t", 1, "--queue-limit", 3, "--queue-timeout", 0)
    held = hold(server, gate)
    waiting = ask_all(server, [params("/hello")] * 3)
    more = ask_all(server, [params("/hello")] * 5)
    refused = [connection.read_response(1) for connection in more]
    assert [response.status for response in refused] == [503] * 5
    assert all(1 <= retry_after(response) <= 45 for response in refused)
    server.wait_log(r"503 Service Unavailable \([^\n]*\): --queue-limit requests wait for a thread already[^\n]*: GET /hello")
    finish(*held)
    assert statuses(waiting) == [200] * 3
    for connection in more:
        connection.close()


def test_the_end_of_an_overload_is_told(start, gate):
    server = start("wsgiapp", "-t", 1, "--queue-limit", 1, "--queue-timeout", 0)
    held = hold(server, gate)
    found = ask_all(server, [params("/hello")] * 4)
    until(lambda: server.log().count("503 Service Unavailable"), "a refusal", server.log)
    finish(*held)
    assert sorted(statuses(found)) == [200, 503, 503, 503]
    server.wait_log(r"info: overload since [\dT:.-]+Z \([\d.]+ s\) is over: 3 requests were refused or dropped, and none in")
