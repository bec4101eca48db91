"""--request-timeout: calls that do not end, what their clients get, what the log says of them, and what others notice."""
import os
import re

import pytest

import daemon
from daemon import APPS, until
from fcgi import params, request
from tamper import Tamper

OVER_HTTP = True
TIMEOUT = 1


def line_of(name):
    """The number of the line of hangapp.py on which the function hangs."""
    with open(os.path.join(APPS, "hangapp.py")) as file:
        lines = file.read().split("\n")
    first = lines.index("def %s(gate):" % name)
    return next(number for number in range(first, len(lines)) if lines[number].endswith("# hangs")) + 1


def stack_of(name):
    """The end of the stack in the log of a call that hangs there itself."""
    return r'  File ".*/hangapp\.py", line %d, in (hangapp\.)?%s\n' % (line_of(name), name)


def begin(server, name, gate):
    """A call that hangs: its connection, and the visitor at the gate who can let it go on."""
    connection = server.connect()
    connection.send(request(params("/" + name, query="gate=" + gate.path)))
    return connection, gate.arrived()


def served(response):
    assert response.complete and response.status == 200, response


def answered_504(connection):
    response = connection.read_response(1)
    assert response.complete and response.status == 504, response
    assert response.body == b"504 Gateway Timeout\n"
    connection.close()


def lose(server, name, gate):
    """A call that hangs, beyond its time; who can let it go on."""
    connection, visitor = begin(server, name, gate)
    answered_504(connection)
    return visitor


@pytest.mark.parametrize("name", ["sleep", "compute", "keep_lock"])
def test_a_call_hangs(start, gate, name):
    """Its client gets 504, the log says where it is, and it goes on; nobody else notices."""
    server = start("hangapp", "--request-timeout", TIMEOUT)
    visitor = lose(server, name, gate)
    server.wait_log(r"warning: .* 504 Gateway Timeout .*--request-timeout.* GET /%s\b.*:\n(  .*\n)*" % name
                    + ("" if name == "sleep" else stack_of(name)))
    if name == "sleep":
        server.wait_log(stack_of(name) + r'  File ".*/gateway\.py", line \d+, in (gateway\.)?visit\n')
    if name != "keep_lock":
        served(server.ask("/hello"))
    visitor.release()
    server.wait_log(r"info: .*its call.* has ended after [\d.]+ s: GET /%s\b" % name)
    served(server.ask("/hello"))


def interval_is(server, interval):
    until(lambda: server.ask("/interval").body == interval, "the switch interval " + interval.decode(), server.log)


@pytest.mark.parametrize("timeout", [TIMEOUT, 600])
def test_switch_interval(start, gate, timeout):
    """Others wait less for a call that computes for long, within its time or beyond, and no longer than it does: not for one
    that sleeps."""
    server = start("hangapp", "--request-timeout", timeout)
    call = lose if timeout == TIMEOUT else lambda *what: begin(*what)[1]
    call(server, "sleep", gate)
    for _ in range(2):
        visitor = call(server, "compute", gate)
        interval_is(server, b"50 us")
        visitor.release()
        interval_is(server, b"5000 us")


def test_switch_interval_of_the_application(start, gate):
    """What it sets meanwhile stays."""
    server = start("hangapp", "--request-timeout", TIMEOUT, "--log-level", "debug")
    visitor = lose(server, "compute", gate)
    interval_is(server, b"50 us")
    server.ask("/set_interval")
    visitor.release()
    server.wait_log("debug: the switch interval is as it was before")
    visitor = lose(server, "compute", gate)
    interval_is(server, b"50 us")
    visitor.release()
    interval_is(server, b"20000 us")


def test_deadlock(start, gate):
    """It never ends, and so does not the first one: a stop leaves them behind after --graceful-timeout."""
    server = start("hangapp", "--request-timeout", TIMEOUT, "--graceful-timeout", 0.1, "-t", 8)
    calls = [begin(server, "deadlock", gate)[0] for _ in range(3)]
    for connection in calls:
        answered_504(connection)
    until(lambda: len(re.findall(stack_of("deadlock"), server.log())) == 3, "the stack of each", server.log)
    served(server.ask("/hello"))
    server.stop()


def test_stop_leaves_calls_behind(start, gate):
    """Nobody waits for them: the stop is a good one, and names them."""
    server = start("hangapp", "--request-timeout", TIMEOUT, "--graceful-timeout", 0.1)
    lose(server, "sleep", gate)
    server.wait_log(stack_of("sleep"))
    server.process.terminate()
    assert server.wait_exit() == 0, server.log()
    log = server.log()
    assert re.search(r"warning: after 0\.1 s \(--graceful-timeout\) 1 call beyond --request-timeout goes on, whose clients were "
                     r"answered before: ending without it\n", log), log
    assert re.search(r"warning: .*: [\d.]+ s \(connection \d+: request \d+\): GET /sleep", log), log
    assert re.search(r"stopped after [\d.]+ s: \d+ requests? finished, 0 cut off\n", log), log


def test_stop_waits_for_calls(start, gate):
    server = start("hangapp", "--request-timeout", TIMEOUT)
    visitor = lose(server, "sleep", gate)
    server.wait_log(stack_of("sleep"))
    server.process.terminate()
    server.wait_log(r"stopping \(TERM\): 0 requests in work and 1 call beyond --request-timeout, up to 30 s to finish; a second")
    visitor.release()
    assert server.wait_exit() == 0, server.log()
    assert "GET /sleep" in server.wait_log(r"its call.* has ended after.*").group()
    assert "ending without" not in server.log()


def test_answer_that_has_begun(start, gate):
    """It is cut off, as nobody would take what there is for all of it."""
    server = start("hangapp", "--request-timeout", TIMEOUT)
    connection, visitor = begin(server, "begin", gate)
    response = connection.read_response(1)
    assert response.status == 200 and response.body == b"begun" and response.broken, response
    server.wait_log(r"warning: .*cut off .*--request-timeout.* GET /begin\b.*:\n(  .*\n)*" + stack_of("begin"))
    visitor.release()
    served(server.ask("/hello"))


def test_connection_goes_on(start, gate):
    """It is kept, if it was to be kept."""
    server = start("hangapp", "--request-timeout", TIMEOUT)
    with server.connect() as connection:
        connection.send(request(params("/sleep", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        assert connection.read_response(1).status == 504
        served(connection.ask("/hello"))
        visitor.release()
        server.wait_log("has ended after")
        served(connection.ask("/hello"))


def test_many_at_once(start, gate):
    """Each is answered; ten a second are shown, and the others are counted."""
    server = start("hangapp", "--request-timeout", 3, "-t", 64)
    calls = [begin(server, "sleep", gate) for _ in range(40)]
    for connection, _ in calls:
        answered_504(connection)
    def told():
        log = server.log()
        more = sum(map(int, re.findall(r"(\d+) more calls? did not end in time \(--request-timeout\)", log)))
        return len(re.findall("504 Gateway Timeout .*GET /sleep", log)), more
    until(lambda: sum(told()) == 40, "all to be told of", server.log)
    assert told()[1] > 0
    for _, visitor in calls:
        visitor.release()


def test_as_many_as_threads(start, gate):
    """As many have others in their places, and no more. The log says so, and when it is over."""
    server = start("hangapp", "--request-timeout", TIMEOUT, "-t", 2, "--queue-timeout", 0)
    calls = [begin(server, "sleep", gate) for _ in range(2)]
    for connection, _ in calls:
        answered_504(connection)
    server.wait_log("warning: 2 calls go on beyond --request-timeout, as many as --threads: .*--workers")
    served(server.ask("/hello"))
    more = [begin(server, "sleep", gate) for _ in range(2)]
    for connection, _ in more:
        answered_504(connection)
    with server.connect() as connection:
        connection.send(request(params("/hello")))
        calls[0][1].release()  # of one that had another in its place: it is the next one's
        served(connection.read_response(1))
    for _, visitor in calls[1:] + more:
        visitor.release()
    server.wait_log("info: (1|no) call goes on beyond --request-timeout.*: others have all (threads|theirs) again")
    assert len(re.findall("as many as --threads", server.log())) == 1


def test_one_thread(start, gate):
    """The application was promised one call at a time: others wait for the end of the one that is late."""
    server = start("hangapp", "--request-timeout", TIMEOUT, "-t", 1, "--queue-timeout", 0)
    visitor = lose(server, "sleep", gate)
    server.wait_log(stack_of("sleep"))
    server.wait_log("warning: a call goes on beyond --request-timeout, and with --threads 1 no other begins before it has ended")
    with server.connect() as waiting:
        waiting.send(request(params("/sleep", query="gate=" + gate.path)))
        waiting.get_values() if not server.speaks_http else server.connect().close()
        assert gate.nobody()
        visitor.release()
        gate.arrived().release()
        served(waiting.read_response(1))


def test_warm_up_has_no_limit(start):
    """Nobody waits for it but the server itself."""
    server = start("hangapp", "--request-timeout", 0.2, "--warm-up", "/late")
    assert "warm-up" in server.log() and "(--request-timeout)" not in server.log()
    assert server.ask("/late").status == 504


def test_threads_only_when_asked_for(start):
    """Without --request-timeout nothing is paid for it."""
    names = {"wsgi-fcgi-stack", "wsgi-fcgi-time"}
    assert not names & start("hangapp").thread_names()
    assert names <= start("hangapp", "--request-timeout", 5).thread_names()


def test_stacks_cannot_be_read(start, gate, tmp_path):
    """The log says so once at the start, and --check does. Calls that sleep have one by faulthandler, and others none."""
    warning = "warning: --request-timeout: the log will not have the stack of each call: .*process_vm_readv.*faulthandler"
    tamper = Tamper(tmp_path)
    tamper.forbid_reading()
    server = start("hangapp", "--request-timeout", TIMEOUT, env=tamper.env)
    server.wait_log(warning)
    visitor = lose(server, "sleep", gate)
    server.wait_log(r"warning: .* 504 Gateway Timeout .* GET /sleep\b.*wsgi-fcgi-\d+ sleeps:\n(  File .*\n)+"
                    r'  File ".*/hangapp\.py", line %d, in sleep\n(  File .*\n)*' % line_of("sleep")
                    + r'  File ".*/gateway\.py", line \d+, in visit\n')
    visitor.release()
    visitor = lose(server, "compute", gate)
    server.wait_log(r"warning: .* GET /compute\b.* its stack cannot be told: .*process_vm_readv")
    visitor.release()
    served(server.ask("/hello"))
    assert len(re.findall(warning, server.log())) == 1
    assert re.search(warning, daemon.run("--check", "--request-timeout", 1, "hangapp", env=tamper.env).stderr)
    assert "request-timeout" not in daemon.run("--check", "hangapp", env=tamper.env).stderr
