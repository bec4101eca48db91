"""--slow-request and --stuck-log: what the log says of calls while they run."""
import re

import pytest

from daemon import until
from fcgi import params, request
from test_hanging_calls import begin, served, stack_of

OVER_HTTP = True
SECONDS = r"(\d+\.\d{3}) s"
OUTER = r'  File ".*/hangapp\.py", line \d+, in (hangapp\.)?application\n'
LABEL = r" \[[0-9a-f]{32}\]"


def lines(server):
    """For each line about a request that takes long: for how long it has."""
    return [float(time) for time in re.findall(
        r"warning: connection \d+: request \d+ \(.*\): takes long \(--slow-request\).*?: %s so far" % SECONDS, server.log())]


@pytest.mark.parametrize("name", ["sleep", "compute", "keep_lock"])
def test_a_request_takes_long(start, gate, name):
    """It is told of with its stack, and at twice and four times the time as well."""
    server = start("hangapp", "--slow-request", 0.2)
    connection, visitor = begin(server, name, gate)
    until(lambda: len(lines(server)) >= 3, "three lines", server.log)
    visitor.release()
    served(connection.read_response(1))
    first, second, third = lines(server)[:3]
    assert 0.2 <= first and 0.4 <= second and 0.8 <= third
    server.wait_log(r"takes long .*: GET /%s\?\S+%s; wsgi-fcgi-\d+ [a-z ]+:\n" % (name, LABEL) + OUTER + stack_of(name))


def test_quick_ones_are_not_told_of(start):
    server = start("hangapp", "--slow-request", 60)
    for _ in range(20):
        served(server.ask("/late" if _ == 0 else "/hello"))
    assert not lines(server)


def test_want_of_a_thread(start, gate):
    """The time for which it waited for one counts, and is told apart."""
    server = start("hangapp", "--slow-request", 0.4, "-t", 1)
    connection, visitor = begin(server, "sleep", gate)
    other = server.connect()
    other.send(request(params("/late", query="gate=" + gate.path)))
    until(lambda: lines(server), "a line", server.log)
    visitor.release()
    served(connection.read_response(1))
    served(other.read_response(1))
    told = re.search(r"takes long .*: %s so far, %s of it for want of a thread: GET /late" % (SECONDS, SECONDS), server.log())
    assert told and 0 < float(told[2]) <= float(told[1]), server.log()


def test_it_only_waited(start, gate):
    """Its own call is quick. What it waits for is named meanwhile, and at its end for how long it has waited, once."""
    server = start("hangapp", "--slow-request", 0.3, "-t", 1, "--queue-timeout", 0, "--log-level", "debug")
    connection, visitor = begin(server, "sleep", gate)
    other = server.connect()
    other.send(request(params("/hello", query="waits")))
    server.wait_log(r"warning: 1 request waits for a thread, the oldest for %s \(--slow-request\); those that have run for "
                    r"longest: %s \(connection \d+: request \d+\): GET /sleep\?" % (SECONDS, SECONDS))
    visitor.release()
    served(connection.read_response(1))
    served(other.read_response(1))
    server.wait_log(r"request \d+ ended [^\n]*: GET /hello\?waits")
    told = re.findall(r"warning: connection \d+: request \d+ \([^\n]*\): has waited long \(--slow-request\): %s for want of a "
                      r"thread, and %s in the application: GET (/\w+)" % (SECONDS, SECONDS), server.log())
    assert [name for _, _, name in told] == ["/hello"] and float(told[0][0]) >= 0.3, server.log()


def test_a_slow_client(start):
    """What is slow is said: it is the client."""
    server = start("wsgiapp", "--slow-request", 0.2)
    with server.connect() as connection:
        connection.send(request(params("/echo", method="POST", CONTENT_LENGTH="100000"), body=b"a" * 70000, end=False))
        server.wait_log(r"takes long .*, and waits for more of the request's body: POST /echo")


def test_overdue(start, gate):
    """A call beyond --request-timeout goes on, and goes on being told of."""
    server = start("hangapp", "--slow-request", 0.3, "--request-timeout", 0.5)
    connection, visitor = begin(server, "sleep", gate)
    assert connection.read_response(1).status == 504
    until(lambda: len(lines(server)) >= 3, "three lines", server.log)
    visitor.release()


def test_many(start, gate):
    """Ten lines a second, and the rest is counted."""
    server = start("hangapp", "--slow-request", 0.3, "-t", 32, "--graceful-timeout", 0.1)
    calls = [begin(server, "deadlock", gate)[0] for _ in range(25)]
    server.wait_log(r"takes long \(--slow-request\) \(and \d+ more since the last line about one\): ")
    assert len(calls) == 25
    server.expect_status = 79
    server.stop()


def test_stuck(start, gate):
    """All threads are in a deadlock, and others wait: one block says where, again later; and each request is answered."""
    server = start("hangapp", "-t", 4, "--stuck-log", 0.3, "--graceful-timeout", 0.1)
    calls = [begin(server, "deadlock", gate)[0] for _ in range(3)]
    last, visitor = begin(server, "sleep", gate)
    waits = server.connect()
    waits.send(request(params("/hello")))
    block = (r"warning: no call has ended for %s \(--stuck-log\), as many run as --threads allows \(4\), and 1 request waits, "
             r"the oldest for %s: 4 calls run, the oldest for %s\n3 threads sleep: .*\n" % (SECONDS, SECONDS, SECONDS)
             + OUTER + stack_of("deadlock") + r"wsgi-fcgi-\d+ sleeps: .*GET /sleep")
    until(lambda: len(re.findall(block, server.log())) >= 2, "two blocks", server.log)
    visitor.release()
    served(last.read_response(1))
    served(waits.read_response(1))
    server.wait_log(r"info: calls end again, .*\(--stuck-log\)\n")
    assert len(calls) == 3
    server.expect_status = 79
    server.stop()


def test_stuck_on_the_lock(start, gate):
    """A call into C keeps it: no other one goes on, and the block says who has it."""
    server = start("hangapp", "-t", 2, "--stuck-log", 0.3)
    first, visitor = begin(server, "keep_lock", gate)
    others = [server.connect() for _ in range(3)]
    for connection in others:
        connection.send(request(params("/hello")))
    server.wait_log(r"no call has ended for .*\(--stuck-log\).*; 1 waits for the interpreter lock, which wsgi-fcgi-\d+ has: "
                    r".* GET /keep_lock%s at .*/hangapp\.py:\d+\n" % LABEL)
    visitor.release()
    for connection in [first, *others]:
        served(connection.read_response(1))


def test_busy_is_not_stuck(start, gate):
    """As long as calls end, others only wait; and as long as nobody waits, calls may take long."""
    server = start("hangapp", "-t", 1, "--stuck-log", 0.3, "--log-level", "debug")
    connection, visitor = begin(server, "sleep", gate)
    visitor.release()
    served(connection.read_response(1))
    for _ in range(3):
        served(server.ask("/late"))
    assert not re.search("--stuck-log", server.log())
