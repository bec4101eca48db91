"""Workers in which calls go on beyond --request-timeout: they are replaced, and only what these calls did is lost."""
import os
import re
import signal
import time

import pytest

from daemon import until
from fcgi import params, request
from test_hanging_calls import TIMEOUT, answered_504, begin, served, stack_of

OVER_HTTP = True
LOST = "as many calls as --threads says go on beyond --request-timeout"
STUCK = "a call keeps the interpreter lock for longer than --stuck-timeout"
EITHER = "%s|%s" % (LOST, STUCK)  # whichever is seen first


DEBUG = ["--log-level", "debug"]


def replaced(server, first, reason):
    """Waits until another one serves in the place of the worker, which gives its connections away. Returns its process.
    `reason` is a regular expression."""
    second = until(lambda: server.serving().get(0) not in (None, first) and server.serving()[0], "another one to serve",
                   server.log)
    server.wait_log(r"\[%d\] debug: \d+ connections? (is|are) open, for other workers to go on with" % first)
    log = server.log()
    told = re.search(r"\(process %d\) is to be replaced: (%s)" % (first, reason), log)
    assert told, log
    assert told.start() < log.index("(process %d) serves" % second) < log.index("(process %d) retires" % first)
    return second


def ended_well(server, pid):
    """Without having cut anybody off."""
    server.wait_log(r"\(process %d\) has ended with status 0: \d+ requests? finished meanwhile, 0 cut off" % pid)


def test_as_many_as_threads(supervise, gate):
    """The worker is replaced; kept connections are handed over, and what goes on is waited for as at any end."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "-t", 2)
    first = server.serving()[0]
    with server.connect() as kept:
        served(kept.ask("/hello"))
        calls = [begin(server, "sleep", gate) for _ in range(2)]
        for connection, _ in calls:
            answered_504(connection)
        server.wait_log("2 calls go on beyond --request-timeout, as many as --threads: .* this worker is to be replaced")
        replaced(server, first, LOST)
        served(kept.ask("/hello"))
        for _, visitor in calls:
            visitor.release()
        server.wait_gone(first)
    ended_well(server, first)


def test_as_many_for_a_moment(supervise, gate):
    """No worker is replaced for calls that end right behind their time. One round has to be quick enough to tell."""
    server = supervise("hangapp", 1, "--request-timeout", 0.2, "-t", 2)
    for _ in range(20):
        before, began = len(server.log()), time.monotonic()
        calls = [begin(server, "sleep", gate) for _ in range(2)]
        for connection, visitor in calls:
            answered_504(connection)
        for _, visitor in calls:
            visitor.release()
        until(lambda: server.log()[before:].count("has ended after") == 2, "both to end", server.log)
        if time.monotonic() - began < 1:
            break
    else:
        pytest.fail("each took a second")
    assert "as many as --threads" not in server.log()[before:]


def test_one_thread(supervise, gate):
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "-t", 1, "--graceful-timeout", 0.1)
    first = server.serving()[0]
    answered_504(begin(server, "sleep", gate)[0])
    replaced(server, first, LOST)
    served(server.ask("/hello"))
    ended_well(server, first)


def test_interrupted(supervise, gate):
    """All calls of a worker are beyond their time, and end by an interrupt: nothing is to be replaced. One round has to be
    quick enough to tell; from Python 3.14 on each takes a second, as this loop is seen nowhere but at a call."""
    server = supervise("hangapp", 1, "--request-timeout", TIMEOUT, "--request-timeout-action", "interrupt", "-t", 1)
    for _ in range(20):
        before = len(server.log())
        answered_504(begin(server, "compute", gate)[0])
        began = time.monotonic()
        until(lambda: "was interrupted after" in server.log()[before:], "it to be interrupted", server.log)
        if time.monotonic() - began < 2:
            break
    else:
        pytest.fail("each took two seconds")
    served(server.ask("/hello"))
    assert "as many as --threads" not in server.log()[before:]
    assert "with --threads 1 no other begins" not in server.log()[before:]


def test_interrupted_in_vain(supervise, gate):
    """What is in a function in C goes on: the worker is replaced, somewhat later."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "--request-timeout-action", "interrupt",
                       "-t", 1, "--graceful-timeout", 0.1)
    first = server.serving()[0]
    answered_504(begin(server, "sleep", gate)[0])
    replaced(server, first, LOST)


@pytest.mark.parametrize("options", [[], ["--preload"], ["-t", 1]])
def test_lock_is_kept(supervise, gate, options):
    """For ever: the worker is replaced, and ends without waiting for what cannot end, or for Python."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.5, *options)
    first = server.serving()[0]
    with server.connect() as kept:
        served(kept.ask("/hello"))
        answered_504(begin(server, "keep_lock", gate)[0])
        server.wait_log(stack_of("keep_lock"))
        replaced(server, first, EITHER if options == ["-t", 1] else STUCK)
        server.wait_log(r"warning: it is kept by GET /keep_lock\b.*:\n(  .*\n)*" + stack_of("keep_lock"))
        served(kept.ask("/hello"))
        served(server.ask("/hello"))
    ended_well(server, first)
    log = server.log()
    assert "handlers of signals and functions of atexit do not run" in log
    assert "it is killed" not in log


def test_lock_is_free_again(supervise, gate):
    """Before a replacement serves: it is replaced all the same, and ends as usual."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.5)
    first = server.serving()[0]
    connection, visitor = begin(server, "keep_lock", gate)
    answered_504(connection)
    server.wait_log("error: nobody has got the interpreter lock for .*--stuck-timeout.*: this worker is to be replaced")
    visitor.release()
    server.wait_log("the interpreter lock can be got again")
    replaced(server, first, STUCK)
    server.wait_gone(first)
    assert "atexit do not run" not in server.log()


def test_lock_is_kept_by_no_call(supervise, gate):
    """But by a thread of the application's own."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.5)
    first = server.serving()[0]
    answered_504(begin(server, "keep_lock_elsewhere", gate)[0])
    replaced(server, first, STUCK)
    assert "it is kept by none of the calls, but by a thread of the application's own" in server.log()
    ended_well(server, first)


def test_lock_is_kept_by_a_call_within_its_time(supervise, gate):
    """It may, and the worker is not replaced, however long another call goes on."""
    server = supervise("hangapp", 1, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.2)
    calls = [begin(server, "sleep", gate)]
    answered_504(calls[0][0])
    server.wait_log(stack_of("sleep"))
    calls.append(begin(server, "keep_lock_within_time", gate))
    with server.connect() as waiting:
        waiting.send(request(params("/hello")))
        assert waiting.read_response(1).status == 504  # so the lock was kept for TIMEOUT
    for _, visitor in calls:
        visitor.release()
    served(calls[1][0].read_response(1))
    assert "to be replaced" not in server.log()


def test_stop_while_the_lock_is_kept(supervise, gate):
    """It takes no longer because of that."""
    server = supervise("hangapp", 2, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.3, "--graceful-timeout", 300)
    answered_504(begin(server, "keep_lock", gate)[0])
    server.wait_log("nobody has got the interpreter lock")
    server.process.terminate()
    assert server.wait_exit() == 0, server.log()
    assert "it is killed" not in server.log()


def test_who_waits_in_a_worker_that_is_stuck(supervise, gate):
    """No call begins there any more: they are turned away, so that the worker is gone soon."""
    server = supervise("hangapp", 1, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0.3, "--graceful-timeout", 300,
                       "-t", 1, "--queue-timeout", 0)
    first = server.serving()[0]
    calls = [server.connect() for _ in range(4)]
    answering, visitor = begin(server, "keep_lock", gate)
    for connection in calls:
        connection.send(request(params("/hello")))
    answered_504(answering)
    for connection in calls:
        response = connection.read_response(1)
        assert response.complete and response.status == 503, response
    replaced(server, first, EITHER)
    server.wait_gone(first)
    served(server.ask("/hello"))


def test_reload_while_calls_go_on(supervise, gate):
    """Nobody waits for them, but their own process."""
    server = supervise("hangapp", 2, *DEBUG, "--request-timeout", TIMEOUT, "-t", 3, "--graceful-timeout", 1)
    before = set(server.serving().values())
    calls = [begin(server, "sleep", gate) for _ in range(2)]
    for connection, _ in calls:
        answered_504(connection)
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    served(server.ask("/hello"))
    for pid in before:
        server.wait_gone(pid)
    assert "ending without" in server.log()
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload is complete") == 2, "the next reload", server.log)


def test_reload_while_the_lock_is_kept(supervise, gate):
    """When the reload is complete no new connection meets the worker, nor does a kept one that is at rest there."""
    server = supervise("hangapp", 2, *DEBUG, "--request-timeout", TIMEOUT, "--stuck-timeout", 0, "--graceful-timeout", 1)
    before = set(server.serving().values())
    kept = [server.connect() for _ in range(16)]
    for connection in kept:
        served(connection.ask("/hello"))
    answered_504(begin(server, "keep_lock", gate)[0])
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    fresh = [server.connect() for _ in range(16)]
    for connection in fresh + kept:
        connection.send(request(params("/hello")))
    for connection in fresh + kept:
        served(connection.read_response(1))
    for pid in before:
        until(lambda: not os.path.exists("/proc/%d" % pid), "process %d to be gone" % pid, server.log, 60)
    assert "the interpreter did not end in time" in server.log()
    assert "it is killed" not in server.log()
