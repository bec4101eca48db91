"""A worker: what it does at which message of its supervisor. The supervisor is played by the test."""
import os
import re
import signal
import socket
import time

import pytest

import daemon
import supervisor
from fcgi import params, request
from supervisor import (ENDING, ENDS, HELLO, LISTENER, LOADED, PEER, REASON_REQUESTS, REASON_SIGNAL, REOPEN_LOG, RETIRE, SERVE,
                        SERVES, SERVING, STARTING, STOP, WANTS_TO_RETIRE)

OVER_HTTP = True
USAGE, UNAVAILABLE, SOFTWARE, PROTOCOL = 64, 69, 70, 76
STOPPED = r"stopped after [\d.]+ s: %d requests? finished, %d cut off$"


@pytest.fixture
def supervise(protocol):
    """Starts workers, each with a supervisor: supervise(APP, *OPTIONS, **more). Each must end well."""
    def starter(*args, **more):
        started.append(supervisor.Supervisor(*args, **{"protocol": protocol, **more}))
        return started[-1]
    started = []
    yield starter
    failed = []
    for each in reversed(started):
        try:
            each.close()
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "\n".join(failed)


def hold(worker, gate, **more):
    """A connection whose request is running now, and its visitor at the gate."""
    connection = worker.connect()
    connection.send(request(params("/gate", query="gate=" + gate.path), **more))
    return connection, gate.arrived()


def freeze(worker):
    """Stops all threads of the process, until SIGCONT. It takes a moment, in which they go on."""
    def states():
        return {worker.thread_state(name) for name in worker.thread_names()}
    worker.signal(signal.SIGSTOP)
    daemon.until(lambda: states() == {"T"}, "the process to be stopped")


def check_ends(boss, finished=0, cut=0):
    last = boss.hear()
    assert (last.type, last.a, last.b) == (ENDS, finished, cut), boss.worker.log()
    boss.hear_nothing_more()
    assert boss.state() == ENDING


# --- the beginning

def test_order_of_the_start(supervise):
    boss = supervise(number=5)
    boss.greet()
    assert boss.hear().type == LOADED
    with boss.worker.connect() as early:  # it waits in the backlog
        assert boss.state() == STARTING
        boss.order_to_serve()
        assert boss.hear().type == SERVING
        assert boss.state() == SERVES
        assert early.ask("/hello").body == b"Hello, world\n"
    log = boss.worker.log()
    assert re.search(r"serves function wsgiapp.application .*, as worker 5\n", log), log
    assert "listening on" not in log and "WARN" not in log.upper(), log


def test_nothing_is_loaded_before_the_greeting(supervise, gate):
    boss = supervise("startapp", env={"DO": "wait", "GATE": gate.path})
    assert gate.nobody()
    boss.greet()
    gate.arrived().release()
    assert boss.hear().type == LOADED


def test_environment_does_not_name_the_socket(supervise):
    boss = supervise("environapp").serve()
    answer = boss.worker.ask("/").body.decode().splitlines()
    assert "wsgi.multiprocess=True" in answer
    assert not [line for line in answer if line.startswith("os." + supervisor.ENV)], answer


def test_warm_up_comes_before_it_serves(supervise, gate):
    boss = supervise("warmapp", "--warm-up", "/gate?1", env={"GATE": gate.path})
    boss.greet()
    assert boss.hear().type == LOADED
    boss.order_to_serve()
    visitor = gate.arrived()
    assert boss.state() == STARTING and not boss.has_said()
    visitor.release()
    assert boss.hear().type == SERVING
    assert boss.state() == SERVES


def test_warm_up_that_fails(supervise):
    """As an application that does not load: the worker never serves, and does not ask for a replacement."""
    boss = supervise("warmapp", "--warm-up", "/500")
    boss.greet()
    assert boss.hear().type == LOADED
    boss.order_to_serve()
    check_ends(boss)
    boss.worker.expect_status = SOFTWARE
    assert boss.worker.wait_exit() == SOFTWARE


@pytest.mark.parametrize("serves", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_order_to_open_the_log_anew(supervise, tmp_path, serves, sent):
    """Its standard error is the file that the supervisor has opened. That sends the next one as well, if it is none of
    an older version."""
    path = tmp_path / "log"
    boss = supervise("wsgiapp", "--workers", 2, "--log-file", path)
    boss.greet()
    assert boss.hear().type == LOADED
    if serves:
        boss.order_to_serve()
        assert boss.hear().type == SERVING
    assert not path.exists()
    if sent:
        with open(tmp_path / "sent", "ab") as file:
            boss.say(REOPEN_LOG, file)
        path = tmp_path / "sent"
    else:
        boss.say(REOPEN_LOG)
    if not serves:
        boss.order_to_serve()
        assert boss.hear().type == SERVING
    daemon.until(lambda: path.exists() and "was opened anew" in path.read_text(), "the log to be opened anew",
                 boss.worker.log)
    assert "was opened anew" not in boss.worker.log()


def test_children_have_none_of_the_sockets(supervise):
    """Neither the end of the pair nor anything that came through it."""
    boss = supervise("environapp").serve()
    inherited = boss.worker.ask("/fds").body.decode().split()
    assert sorted(inherited) == ["forked=0,1,2", "spawned=0,1,2"]


@pytest.mark.parametrize("value", ["", "-1", "999999", "99999999999999999999", "3x", "0"])
def test_value_that_names_no_socket(value):
    done = daemon.run("wsgiapp", "-s", "unused", env={supervisor.ENV: value})
    assert done.returncode == USAGE
    assert re.fullmatch(r".*WSGI_FCGI_CONTROL=%s names no socket of a supervisor.*\n" % re.escape(value), done.stderr)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_socket_of_another_kind(kind):
    pair = socket.socketpair(socket.AF_UNIX, kind)
    number = pair[0].fileno()
    done = daemon.run("wsgiapp", "-s", "unused", env={supervisor.ENV: number}, pass_fds=[number])
    assert done.returncode == USAGE and "names no socket of a supervisor" in done.stderr
    for each in pair:
        each.close()


def test_broken_application(supervise):
    """The status is that of a single process, and nothing is said."""
    boss = supervise("nosuchmodule")
    alone = daemon.run("nosuchmodule", "--http" if boss.protocol == "http" else "-s", "127.0.0.1:0")
    boss.greet()
    boss.hear_nothing_more()
    boss.worker.expect_status = alone.returncode
    assert boss.worker.wait_exit() == alone.returncode != 0
    assert "nosuchmodule" in boss.worker.log()


def test_supervisor_that_is_gone_before_it_speaks(supervise):
    boss = supervise()
    boss.leave()
    boss.worker.expect_status = UNAVAILABLE
    assert boss.worker.wait_exit() == UNAVAILABLE
    assert re.search(r"the supervisor \(process %d\) is gone" % os.getpid(), boss.worker.log())


def test_supervisor_that_is_gone_before_the_order(supervise, gate):
    boss = supervise("signalapp", env={"GATE": gate.path})
    boss.greet()
    assert boss.hear().type == LOADED
    boss.leave()
    assert gate.arrived().text == "atexit"
    boss.worker.expect_status = UNAVAILABLE
    assert boss.worker.wait_exit() == UNAVAILABLE


@pytest.mark.parametrize("how", ["signal", "stop", "retire"])
def test_end_before_the_order(supervise, gate, how):
    boss = supervise("signalapp", env={"GATE": gate.path, "HANDLE": "SIGTERM"})
    boss.greet()
    assert boss.hear().type == LOADED
    if how == "signal":
        boss.worker.signal(signal.SIGTERM)
    else:
        boss.say(STOP if how == "stop" else RETIRE, a=signal.SIGTERM * (how == "stop"))
    if how != "retire":
        assert gate.arrived().text == "handler SIGTERM in main"
    assert gate.arrived().text == "atexit"
    check_ends(boss)
    assert boss.worker.wait_exit() == 0


def test_signal_interrupts_the_loading(supervise, gate):
    boss = supervise("startapp", env={"DO": "wait", "GATE": gate.path})
    boss.greet()
    gate.arrived()
    boss.worker.signal(signal.SIGTERM)
    boss.hear_nothing_more()
    boss.worker.expect_status = 128 + signal.SIGTERM
    assert boss.worker.wait_exit() == 128 + signal.SIGTERM


# --- the end

def test_retirement_finishes_requests(supervise, gate):
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.say(RETIRE)
    boss.worker.wait_log(r"retiring \(by order of the supervisor\): 1 request in work, up to 30 s to finish\n")
    assert boss.state() == ENDING
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "atexit"
    check_ends(boss, finished=1)
    assert boss.worker.wait_exit() == 0
    boss.worker.wait_log(r"retired after [\d.]+ s: 1 request finished, 0 cut off\n")


def test_retirement_leaves_the_listener_alone(supervise):
    boss = supervise().serve()
    boss.say(RETIRE)
    assert boss.worker.wait_exit() == 0
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(boss.path)


def test_retirement_is_bounded(supervise, gate):
    boss = supervise("signalapp", "--graceful-timeout", "1", env={"GATE": gate.path}).serve()
    connection, _ = hold(boss.worker, gate)
    boss.say(RETIRE)
    assert gate.arrived().text == "atexit"
    check_ends(boss, cut=1)
    boss.worker.wait_cut()
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_is_as_by_the_signal(supervise, gate, number):
    """The application's own handler of that signal runs, and no line says what the supervisor says for all."""
    boss = supervise("signalapp", env={"GATE": gate.path, "HANDLE": "SIGTERM SIGINT"}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.say(STOP, a=number)
    daemon.until(lambda: boss.state() == ENDING, "the stop to begin", boss.worker.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "handler %s in main" % number.name
    assert gate.arrived().text == "atexit"
    check_ends(boss, finished=1)
    assert boss.worker.wait_exit() == 0
    assert not re.search("stopp|retir", boss.worker.log())


def test_stop_serves_the_backlog(supervise, gate):
    """With the last worker nobody would."""
    boss = supervise("signalapp", "-t", 1, env={"GATE": gate.path}).serve()
    connection, visitor = hold(boss.worker, gate)
    freeze(boss.worker)
    waiting = [boss.worker.connect() for _ in range(5)]
    for each in waiting:
        each.send(request(params("/hello")))
    boss.say(STOP, a=signal.SIGTERM)
    boss.worker.signal(signal.SIGCONT)
    daemon.until(lambda: boss.state() == ENDING, "the stop to begin", boss.worker.log)
    visitor.release()
    for each in waiting:
        assert each.read_response(1).body == b"Hello, world\n"
    check_ends(boss, finished=6)
    connection.close()


def test_stop_after_retirement(supervise, gate):
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.say(RETIRE)
    boss.worker.wait_log("retiring")
    boss.say(STOP, a=signal.SIGTERM)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    check_ends(boss, finished=1)


def two(supervise, *args, **more):
    """Two workers of one server that serve, and a connection at rest that the first one has."""
    first = supervise(*args, **more).serve()
    connection = first.worker.connect()
    first.pid = process_of(connection)
    second = supervise(*args, beside=first, slot=7, number=1, **more)
    second.meet()
    second.serve()
    return first, second, connection


def process_of(connection):
    """Which process has answered."""
    return int(re.search(r"^pid=(\d+)$", connection.ask("/").body.decode(), re.M).group(1))


def test_retirement_hands_connections_over(supervise):
    """The peer notices nothing, and is served by the other worker from then on."""
    first, second, connection = two(supervise, "environapp")
    assert first.pid == first.worker.pid
    first.say(RETIRE)
    check_ends(first)
    assert first.worker.wait_exit() == 0
    assert process_of(connection) == second.worker.pid
    connection.close()


def test_signal_hands_connections_over(supervise):
    first, second, connection = two(supervise, "environapp")
    first.worker.signal(signal.SIGTERM)
    assert first.hear().type == WANTS_TO_RETIRE
    check_ends(first)
    assert process_of(connection) == second.worker.pid
    connection.close()


def test_stop_of_a_retiring_worker_keeps_nothing(supervise, gate):
    """When all stop there is nobody to take connections."""
    first, second, idle = two(supervise, "environapp", env={"GATE": gate.path})
    freeze(first.worker)  # so that the other one accepts
    idle.close()
    connection = second.worker.connect()
    connection.send(request(params("/gate"), keep=True))
    visitor = gate.arrived()
    first.worker.signal(signal.SIGCONT)
    second.say(RETIRE)
    daemon.until(lambda: second.state() == ENDING, "the retirement to begin", second.worker.log)
    second.say(STOP, a=signal.SIGTERM)
    daemon.until(lambda: not second.has_listener(), "the stop to begin", second.worker.log)
    visitor.release()
    assert connection.read_response(1).body == b"passed"
    assert connection.at_eof()
    check_ends(second, finished=1)


def test_supervisor_that_is_gone(supervise, gate):
    """As by SIGTERM, since nobody is left who would send that."""
    boss = supervise("signalapp", env={"GATE": gate.path, "HANDLE": "SIGTERM"}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.leave()
    boss.worker.wait_log(r"error: the supervisor \(process %d\) is gone" % os.getpid())
    boss.worker.wait_log(r"stopping \(TERM\): 1 request in work")
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "handler SIGTERM in main"
    assert boss.worker.wait_exit() == 0
    assert re.search(STOPPED % (1, 0), boss.worker.log().strip())


# --- what makes no sense

NONSENSE = {
    "short": lambda boss: boss.end.send(b"?"),
    "other": lambda boss: boss.end.send(bytes(supervisor.WIRE.size)),
    "long": lambda boss: boss.end.send(bytes(5000)),
    "second greeting": lambda boss: boss.greet(),
    "peer without descriptor": lambda boss: boss.say(PEER),
    "peer of no slot": lambda boss: boss.say(PEER, boss.board.fd, slot=256),
    "listener": lambda boss: boss.say(LISTENER, boss.listener, text="late"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_while_it_serves(supervise, gate, what):
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, visitor = hold(boss.worker, gate)
    NONSENSE[what](boss)
    boss.worker.wait_log(r"error: the supervisor \(process %d\) says what makes no sense" % os.getpid())
    boss.worker.wait_log(r"stopping \(TERM\)")
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert boss.worker.wait_exit() == 0


NONSENSE_AT_FIRST = {
    "short": lambda boss: boss.end.send(b"?"),
    "other first": lambda boss: boss.say(PEER, boss.board.fd),
    "no scoreboard": lambda boss: boss.say(HELLO, boss.wakes[boss.slot], *boss.queue),
    "no slot": lambda boss: boss.say(HELLO, boss.board.fd, *boss.queue, slot=256),
    "few descriptors": lambda boss: boss.say(HELLO, boss.board.fd),
    "no listener": lambda boss: boss.greet() or boss.say(LISTENER, boss.board.fd, text="?"),
    "unknown protocol": lambda boss: boss.greet() or boss.say(LISTENER, boss.listener, a=9, text="?"),
    "connected": lambda boss: boss.greet() or boss.say(LISTENER, boss.queue[0], text="?"),
    "nothing to listen on": lambda boss: boss.greet() or boss.say(SERVE),
}


@pytest.mark.parametrize("what", NONSENSE_AT_FIRST)
def test_nonsense_at_first(supervise, what):
    boss = supervise()
    NONSENSE_AT_FIRST[what](boss)
    boss.worker.expect_status = PROTOCOL
    assert boss.worker.wait_exit() == PROTOCOL
    assert "says what makes no sense" in boss.worker.log()


def test_unknown_messages_are_ignored(supervise):
    """They are of a later version. What comes with them is closed."""
    boss = supervise("wsgiapp", "--log-level", "debug").serve()
    before = boss.worker.fds()
    for _ in range(5):
        boss.say(999, boss.board.fd, *boss.queue, text="new")
    boss.worker.wait_log(r"(?s)(message 999 of the supervisor is not known.*){5}")
    assert boss.worker.ask("/hello").status == 200
    daemon.until(lambda: boss.worker.fds() == before, "the descriptors to be closed", boss.worker.log)


def test_peers_may_come_later_and_again(supervise):
    boss = supervise().serve()
    before = boss.worker.fds()
    for _ in range(3):
        boss.say(PEER, boss.wakes[boss.slot], slot=7)
    daemon.until(lambda: boss.worker.fds() == before + 1, "one descriptor more", boss.worker.log)
    boss.say(RETIRE)
    check_ends(boss)


# --- limits

def test_max_requests(supervise):
    """It says so once, and goes on until it is told to retire."""
    boss = supervise("wsgiapp", "--workers", 2, "--max-requests", 5).serve()
    with boss.worker.connect() as connection:
        for _ in range(4):
            assert connection.ask("/hello").status == 200
        assert not boss.has_said()
        assert connection.ask("/hello").status == 200
        wish = boss.hear()
        assert (wish.type, wish.a) == (WANTS_TO_RETIRE, REASON_REQUESTS)
        for _ in range(20):
            assert connection.ask("/hello").status == 200
    boss.say(RETIRE)
    check_ends(boss)


def test_max_requests_jitter(supervise):
    boss = supervise("wsgiapp", "--workers", 2, "--max-requests", 5, "--max-requests-jitter", 10).serve()
    with boss.worker.connect() as connection:
        for _ in range(4):
            assert connection.ask("/hello").status == 200
        assert not boss.has_said()
        for _ in range(11):
            assert connection.ask("/hello").status == 200
    assert boss.hear().type == WANTS_TO_RETIRE


def test_max_requests_jitter_is_by_chance(supervise):
    """Once in ten thousand times it fails."""
    boss = supervise("wsgiapp", "--workers", 2, "--max-requests", 1, "--max-requests-jitter", 10 ** 6).serve()
    for _ in range(100):
        assert boss.worker.ask("/hello").status == 200
    assert not boss.has_said()


@pytest.mark.parametrize("args, said", [
    (["--max-requests", "5"], "--max-requests is for workers, and there are none: give --workers N as well"),
    (["--workers", "2", "--max-requests-jitter", "5"], "--max-requests-jitter is added to --max-requests"),
])
def test_limits_without_what_they_need(args, said):
    done = daemon.run(*args, "-s", "unused", "wsgiapp")
    assert done.returncode == USAGE and said in done.stderr


# --- signals

def test_signal_that_ends_it(supervise, gate):
    """It goes at once, and the supervisor replaces it."""
    boss = supervise("signalapp", env={"GATE": gate.path, "HANDLE": "SIGTERM"}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.worker.signal(signal.SIGTERM)
    wish = boss.hear()
    assert (wish.type, wish.a) == (WANTS_TO_RETIRE, REASON_SIGNAL)
    boss.worker.wait_log(r"retiring \(TERM\): 1 request in work, up to 30 s to finish; a second signal ends it at once\n")
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert gate.arrived().text == "handler SIGTERM in main"
    check_ends(boss, finished=1)
    assert boss.worker.wait_exit() == 0


def test_second_signal(supervise, gate):
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, _ = hold(boss.worker, gate)
    boss.worker.signal(signal.SIGTERM)
    boss.worker.wait_log("retiring")
    boss.worker.signal_again(signal.SIGTERM)
    connection.close()


def test_order_to_stop_is_a_first_signal(supervise, gate):
    """The supervisor passes the second one on as a signal."""
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, _ = hold(boss.worker, gate)
    boss.say(STOP, a=signal.SIGTERM)
    daemon.until(lambda: boss.state() == ENDING, "the stop to begin", boss.worker.log)
    time.sleep(0.25)  # signals that come within 0.2 s are one
    boss.worker.signal(signal.SIGTERM)
    boss.worker.expect_status = 128 + signal.SIGTERM
    assert boss.worker.wait_exit() == 128 + signal.SIGTERM
    connection.close()


def test_interrupt_from_a_terminal(supervise, gate):
    """All processes get it, and the supervisor tells the worker as well: that is one signal, and nothing to worry about."""
    boss = supervise("signalapp", env={"GATE": gate.path}).serve()
    connection, visitor = hold(boss.worker, gate)
    boss.worker.signal(signal.SIGINT)
    assert boss.hear().type == WANTS_TO_RETIRE
    boss.say(STOP, a=signal.SIGINT)
    boss.say(STOP, a=signal.SIGINT)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    check_ends(boss, finished=1)
    assert boss.worker.wait_exit() == 0
    assert not re.search("warning|error", boss.worker.log())


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGTTIN", "SIGTTOU"])
def test_signal_for_the_supervisor(supervise, name):
    boss = supervise().serve()
    boss.worker.signal(signal.Signals[name])
    boss.worker.wait_log("%s does nothing in a worker: send it to the supervisor, process %d\n" % (name, os.getpid()))
    assert boss.worker.ask("/hello").status == 200
