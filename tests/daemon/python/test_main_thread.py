"""With --threads 1 calls run in Python's main thread, and everything works in them that works there alone."""
import hashlib
import json
import os
import signal

import pytest

from daemon import LABEL, until
from fcgi import params, request

OVER_HTTP = True
APP = "syncapp"


def started(start, gate, *args, threads=1, **env):
    return start(APP, "-t", threads, *args, env={"GATE": gate.path, **env})


def view(server, name, status=200, **query):
    response = server.ask("/" + name, query="&".join("%s=%s" % pair for pair in query.items()))
    assert (response.status, response.complete) == (status, True), server.log()
    return json.loads(response.body)


def hold(server, gate, path="/gate", **query):
    connection = server.connect()
    connection.send(request(params(path, query="&".join("%s=%s" % pair for pair in {"gate": gate.path, **query}.items()))))
    return connection


def test_calls_run_there(start, gate):
    """Each of them, also behind one that has blocked: the thread, its name in Python and that of the process."""
    server = started(start, gate)
    for _ in range(3):
        told = view(server, "thread")
        assert told == {"main": True, "name": "MainThread", "comm": "wsgi-fcgi", "native": server.pid, "alive": 1,
                        "multithread": False}
        connections = [hold(server, gate) for _ in range(3)]
        for connection in connections:
            gate.arrived().release()
        for connection in connections:
            assert connection.read_response(1).body == b"passed\n"
            connection.close()


def test_not_with_several(start, gate):
    told = view(started(start, gate, threads=2), "thread")
    assert not told["main"] and told["multithread"]


@pytest.mark.parametrize("how", ["sleep", "compute"])
def test_timeout_by_a_signal(start, gate, how):
    """The call that takes too long ends with the application's own answer, and the others are served."""
    server = started(start, gate)
    for _ in range(3):
        assert view(server, "timeout", 504, how=how) == "too late"
        assert server.ask("/hello").body == b"Hello, world\n"
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("kind", ["TooLate", "SystemExit"])
def test_exception_of_a_handler_belongs_to_the_call(start, gate, kind):
    server = started(start, gate)
    for _ in range(2):
        assert server.ask("/uncaught", query="kind=" + kind).status == 500
        server.wait_log(r"error: GET /uncaught\S+" + LABEL + r": the application raised an exception(?s:.*)" + kind)
        assert server.ask("/hello").body == b"Hello, world\n"
    assert "stopping" not in server.log()


def test_interrupt_main(start, gate):
    """It interrupts the call, as it does where the main thread runs the application."""
    server = started(start, gate)
    assert server.ask("/interrupt").status == 500
    server.wait_log("KeyboardInterrupt")
    assert server.ask("/hello").body == b"Hello, world\n"
    assert "stopping" not in server.log()


def test_connection_of_sqlite(start, gate):
    """Made at import; it may be used in the thread alone that has made it."""
    server = started(start, gate)
    assert [view(server, "database-count") for _ in range(3)] == [1, 2, 3]


def test_event_loop_of_the_import(start, gate):
    server = started(start, gate)
    assert [view(server, "event-loop") for _ in range(2)] == [42, 42]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["asyncio-run", "default"])
def test_signals_of_the_server_stay(start, gate, name, number):
    """Whatever a call does with them for as long as it runs: asyncio.run() handles SIGINT where Python's handler does."""
    server = started(start, gate)
    for _ in range(2):
        assert view(server, name) == ("ran" if name == "asyncio-run" else True)
    server.ask("/hello")
    until(lambda: taken(server, number), "the server to take it back", server.log)
    server.signal(number)
    server.wait_log("stopping")
    assert gate.arrived().text == "atexit in main"
    assert server.wait_exit() == 0


def taken(server, number):
    return server.status_mask("SigCgt") >> number - 1 & 1


def test_handlers_after_a_loop_that_had_some(start, gate):
    """The loop of asyncio takes away by what Python tells of signals (set_wakeup_fd)."""
    server = started(start, gate, HANDLE="SIGUSR1")
    assert view(server, "loop-signal") == "came"
    server.signal(signal.SIGUSR1)
    assert gate.arrived().text == "SIGUSR1 in main"


def test_handler_between_calls(start, gate):
    """Soon, without another call, in the main thread; also when that has never run a call, and while others come."""
    server = started(start, gate, HANDLE="SIGUSR1")
    for _ in range(3):
        server.signal(signal.SIGUSR1)
        assert gate.arrived().text == "SIGUSR1 in main"
        assert server.ask("/hello").body == b"Hello, world\n"
    connection = hold(server, gate)
    gate.arrived().release()
    assert connection.read_response(1).body == b"passed\n"
    server.signal(signal.SIGUSR1)
    assert gate.arrived().text == "SIGUSR1 in main"


def test_handler_within_a_call(start, gate):
    server = started(start, gate, HANDLE="SIGUSR1")
    connection = hold(server, gate, "/wait-handler")
    assert gate.arrived().text == "waiting"
    server.signal(signal.SIGUSR1)
    assert gate.arrived().text == "SIGUSR1 in main"
    assert json.loads(connection.read_response(1).body) == "ran"


@pytest.mark.parametrize("threads", [1, 8])
def test_exception_of_a_handler_between_calls(start, gate, threads):
    server = started(start, gate, threads=threads, HANDLE="SIGUSR1", HOW="fail")
    for count in (1, 2):
        server.signal(signal.SIGUSR1)
        assert gate.arrived().text == "failing"
        server.wait_log(r"(?:a signal handler of the application raised an exception(?s:.*)ValueError: of a handler(?s:.*)){%d}" % count)
    assert server.ask("/hello").body == b"Hello, world\n"


@pytest.mark.parametrize("threads", [1, 8])
def test_exit_of_a_handler_between_calls(start, gate, threads):
    server = started(start, gate, threads=threads, HANDLE="SIGUSR1", HOW="exit")
    assert server.ask("/hello").body == b"Hello, world\n"
    server.signal(signal.SIGUSR1)
    assert [gate.arrived().text, gate.arrived().text] == ["exiting", "atexit in main"]
    server.wait_log(r"stopping \(the application's signal handler\)")
    server.expect_status = server.wait_exit()
    assert server.expect_status == 5


def test_handler_while_the_queue_is_full(start, gate):
    """It takes no request's place."""
    server = started(start, gate, "--queue-limit", 1, HANDLE="SIGUSR1")
    connection = hold(server, gate)
    visitor = gate.arrived()
    server.signal(signal.SIGUSR1)
    with server.connect() as queued, server.connect() as refused:
        queued.send(request(params("/hello")))
        queued.get_values()
        refused.send(request(params("/hello")))
        assert refused.read_response(1).status == 503
        visitor.release()
        assert connection.read_response(1).body == b"passed\n"
        assert queued.read_response(1).body == b"Hello, world\n"
    assert gate.arrived().text == "SIGUSR1 in main"


@pytest.mark.parametrize("threads", [1, 8])
def test_long_handler_delays_nobody(start, gate, threads):
    """Neither the loop, nor with several threads the calls, nor SIGTERM."""
    server = started(start, gate, threads=threads, HANDLE="SIGUSR1", HOW="wait")
    server.signal(signal.SIGUSR1)
    visitor = gate.arrived()
    assert visitor.text == "SIGUSR1 waits in main"
    with server.connect() as connection:
        connection.get_values()
    if threads > 1:
        assert server.ask("/hello").body == b"Hello, world\n"
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping \(TERM\): ")
    visitor.release()
    assert gate.arrived().text == "atexit in main"
    assert server.wait_exit() == 0
    assert "stopped after" in server.log().splitlines()[-1]


def test_call_that_blocks(start, gate):
    """Another thread has the loop: it accepts, refuses and stops."""
    server = started(start, gate, "--queue-limit", 1)
    connection = hold(server, gate)
    visitor = gate.arrived()
    with server.connect() as queued, server.connect() as refused:
        queued.send(request(params("/thread")))
        queued.get_values()
        refused.send(request(params("/hello")))
        assert refused.read_response(1).status == 503
        server.signal(signal.SIGTERM)
        server.wait_log(r"stopping \(TERM\): ")
        visitor.release()
        assert connection.read_response(1).body == b"passed\n"
        assert json.loads(queued.read_response(1).body)["main"]
    assert gate.arrived().text == "atexit in main"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("lock", ["", "lock"])
def test_stuck_call_after_graceful_timeout(start, gate, lock):
    """Nobody else can end Python, so that atexit does not run; but the process ends, in order and with its status."""
    server = started(start, gate, "--graceful-timeout", "0.1")
    with hold(server, gate, "/stuck", **{lock or "no": 1}):
        assert gate.arrived().text == "stuck"
        server.signal(signal.SIGTERM)
        server.wait_cut()
    assert not os.path.exists(server.path)
    assert gate.nobody()
    server.wait_log(r"warning: the call on Python's main thread does not end")
    assert "0 requests finished, 1 cut off" in server.log().splitlines()[-1]


def test_call_that_ends_when_it_is_cut_off(start, gate):
    """As one does that waits for its client: then atexit runs."""
    server = started(start, gate, "--graceful-timeout", "0.1")
    with server.connect() as connection:
        connection.send(request(params("/big", query="token=a&mib=64")))
        connection.sock.recv(1)
        server.signal(signal.SIGTERM)
        assert gate.arrived().text == "atexit in main"
        server.wait_cut()


@pytest.mark.parametrize("end", ["exit", "return"])
def test_child_of_a_call(start, gate, end):
    server = started(start, gate)
    for _ in range(2):
        assert view(server, "fork", end=end) == ["main wsgi-fcgi", 0]
        assert view(server, "thread")["main"]
    assert "Traceback" not in server.log()


def test_uploads_and_streams(start, gate):
    """The call itself runs the loop while it waits, and lets others have it."""
    server = started(start, gate, "--stream-body")
    body = b"0123456789abcdef" * 65536
    for _ in range(3):
        response = server.ask("/hash", body=body, method="POST")
        assert json.loads(response.body) == [len(body), hashlib.sha256(body).hexdigest()]
        response = server.ask("/echo-stream", body=body, method="POST")
        assert response.complete and response.body == body
        assert view(server, "thread")["main"]


def test_atexit(start, gate):
    server = started(start, gate)
    assert server.ask("/hello").status == 200
    server.signal(signal.SIGTERM)
    assert gate.arrived().text == "atexit in main"
    assert server.wait_exit() == 0
