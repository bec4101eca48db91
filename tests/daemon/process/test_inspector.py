"""What runs, with the stacks of all calls, at SIGUSR2: whatever the calls do."""
import json
import os
import re
import select
import signal

import pytest

import daemon
import seccomp
from daemon import until
from fcgi import params, request
from supervised import children_of
from tamper import Tamper
from test_hanging_calls import begin, line_of, served, stack_of
from test_slow_log import Pipe

OVER_HTTP = True
LABEL = r" \[[0-9a-f]{32}\]"
SECONDS = r"\d+\.\d{3} s"
OUTER = r'  File ".*/hangapp\.py", line \d+, in (hangapp\.)?application\n'


def log_stacks(server, head=""):
    """Sends the signal, and waits for a block whose first line says that, behind the others."""
    before = len(server.log())
    server.signal(signal.SIGUSR2)
    until(lambda: re.search(r"warning: SIGUSR2: " + head, server.log()[before:]), head or "the block", server.log)
    return server.log()[before:]


def stop_without(server):
    """Calls that never end are left behind."""
    server.expect_status = 79
    server.stop()


def in_one(names):
    """The line about threads that are at the same place."""
    return r"%d threads sleep: " % len(names) + ", ".join(SECONDS + " GET /" + name + LABEL for name in names[:3])


def test_nothing_runs(start):
    server = start("hangapp")
    assert log_stacks(server, "no call runs\n")
    served(server.ask("/hello"))


@pytest.mark.parametrize("name", ["sleep", "compute", "keep_lock"])
def test_a_call_that_hangs(start, gate, name):
    server = start("hangapp")
    _, visitor = begin(server, name, gate)
    what = {"sleep": "sleeps", "compute": "(has the interpreter lock, and )?(computes|sleeps)",  # it lets go now and then
            "keep_lock": "has the interpreter lock, and sleeps"}[name]
    log, line = "", r"\nwsgi-fcgi-\d+ %s: %s GET /%s%s\n" % (what, SECONDS, name, LABEL)
    while not re.search(line + OUTER + stack_of(name), log):  # it may be on its way
        log = log_stacks(server, r"1 call runs, for " + SECONDS)
    visitor.release()
    served(server.ask("/hello"))


def test_a_query_that_computes(start, gate):
    """In C, without the interpreter lock: it is told as what computes, at its line of Python, and is not disturbed."""
    server = start("hangapp", "--status-path", "/status")
    connection, visitor = begin(server, "query", gate)

    def shown():
        call, = json.loads(server.ask("/status", query="format=json").body)["running"]
        return call["line"] and (call["state"], call["line"]["line"]) == ("computing", line_of("query")) and call
    call = until(shown, "the line of the query", server.log)
    assert call["line"]["function"] == "query" and call["path"] == "/query", call
    while not re.search(r"\nwsgi-fcgi-\d+ computes: %s GET /query%s\n" % (SECONDS, LABEL) + OUTER + stack_of("query"),
                        log_stacks(server, "1 call runs")):
        pass  # a look that finds it off the processor
    served(server.ask("/hello"))
    visitor.release()
    assert connection.read_response(1).body == b"interrupted"


def test_no_query_is_shown(start, gate):
    """It may hold secrets, and the log has long been copied elsewhere."""
    server = start("hangapp")
    _, visitor = begin(server, "sleep", gate)
    assert gate.path not in log_stacks(server, "1 call runs")
    visitor.release()


def test_deadlock(start, gate):
    """All threads are at the same place, and one look tells so."""
    server = start("hangapp", "-t", 8, "--graceful-timeout", 0.1)
    calls = [begin(server, "deadlock", gate)[0] for _ in range(8)]
    log = log_stacks(server, r"8 calls run, the oldest for " + SECONDS + "\n")
    assert re.search(in_one(["deadlock"] * 8) + " and 5 more\n" + OUTER + stack_of("deadlock"), log), log
    assert len(re.findall(stack_of("deadlock"), log)) == 1, log
    assert len(calls) == 8
    stop_without(server)


def test_two_places(start, gate):
    """Those of which there are most come first."""
    server = start("hangapp", "-t", 8, "--graceful-timeout", 0.1)
    _, visitor = begin(server, "sleep", gate)
    calls = [begin(server, "deadlock", gate)[0] for _ in range(3)]
    log = log_stacks(server, "4 calls run")
    assert re.search(in_one(["deadlock"] * 3) + "\n" + OUTER + stack_of("deadlock") + r"wsgi-fcgi-\d+ sleeps: .*/sleep" + LABEL + "\n", log), log
    assert len(calls) == 3
    visitor.release()
    stop_without(server)


def pool_threads(server):
    """How many threads run calls, or the loop."""
    count = 0
    for task in os.listdir("/proc/%d/task" % server.pid):
        try:
            with open("/proc/%d/task/%s/comm" % (server.pid, task)) as file:
                count += bool(re.fullmatch(r"wsgi-fcgi-\d+\n", file.read()))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has just ended
    return count


def one_that_waits(server, text):
    """Asks until a request has met the kept lock, and the log says so: one may be answered just before the lock is taken.
    Returns its connection and the log."""
    waiting = None
    while True:
        if not waiting or select.select([waiting.sock], [], [], 0)[0]:
            waiting = server.connect()
            waiting.send(request(params("/hello")))
        log = log_stacks(server, r"(no|\d) calls? runs?")
        if text in log:
            return waiting, log


def test_who_has_the_lock(start, gate):
    """A call into C that keeps it stops all others, but not who asks."""
    server = start("hangapp", "-t", 4)
    _, visitor = begin(server, "keep_lock", gate)
    waiting, log = one_that_waits(server, "waits for the interpreter lock")
    assert re.search(r"2 calls run, the oldest for %s; 1 waits for the interpreter lock, which wsgi-fcgi-\d+ has: "
                     r"%s GET /keep_lock%s at .*/hangapp\.py:%d\n" % (SECONDS, SECONDS, LABEL, line_of("keep_lock")), log), log
    visitor.release()
    served(waiting.read_response(1))


def test_a_thread_of_the_application_has_the_lock(start, gate):
    server = start("hangapp", "-t", 4)
    _, visitor = begin(server, "keep_lock_elsewhere", gate)
    waiting, _ = one_that_waits(server, "which none of them has, but a thread of the application's own")
    visitor.release()
    served(waiting.read_response(1))


def test_one_thread(start, gate):
    """--threads 1: the call runs on the main thread, and no other one is there."""
    server = start("hangapp", "-t", 1)
    _, visitor = begin(server, "sleep", gate)
    assert re.search(stack_of("sleep"), log_stacks(server, "1 call runs"))
    visitor.release()
    served(server.ask("/hello"))


def test_a_body_that_does_not_come(start):
    """What the call waits for is the client, and not the application."""
    server = start("wsgiapp")
    with server.connect() as connection:
        connection.send(request(params("/echo", method="POST", CONTENT_LENGTH="100000"), body=b"a" * 70000, end=False))
        log = ""
        while not re.search(r"POST /echo%s \(reading the request\)\n" % LABEL, log):
            log = log_stacks(server, r"(no|1) call runs?")


def test_sleeps_are_not_cut_short(start, gate):
    """No signal meets a thread that sleeps: C code would take it for the end of its time, as sqlite3 does of its busy
    time-out."""
    server = start("hangapp")
    connection, _ = begin(server, "nap", gate)
    asleep = 0
    while not select.select([connection.sock], [], [], 0)[0]:
        asleep += "sleeps: " in log_stacks(server, r"(no|1) call runs?")
    assert connection.read_response(1).body == b"0" and asleep


def test_beside_calls_that_end(start):
    """Whatever is just beginning or ending: the server goes on, and nothing that is no stack is shown for one."""
    server = start("wsgiapp", "-t", 8)
    for _ in range(30):
        server.signal(signal.SIGUSR2)
        for _ in range(20):
            served(server.ask("/hello"))
    server.wait_log("SIGUSR2: ")


def test_while_threads_retire(start):
    """Those that were needed for calls that wait for their clients are idle for ten seconds, and end, also while new calls
    go on, and somebody looks at what runs. As many stay as --threads, one for the loop, and the one that waits just now."""
    threads = 2
    server, body = start("wsgiapp", "-t", threads), b"a" * 100000

    def begin_one():
        connection = server.connect()
        whole = connection.wire(request(params("/echo", method="POST", body=body), body))
        connection.send(whole[:-20000])
        return connection, whole[-20000:]

    def end_one(connection, rest):
        connection.send(rest)
        assert connection.read_response(1).body == body
        connection.close()

    held = [begin_one() for _ in range(40)]
    while not re.search(r"SIGUSR2: 40 calls run", log_stacks(server)):
        pass
    assert pool_threads(server) >= 40
    for one in held:
        end_one(*one)

    def has_few():
        one = begin_one()
        log_stacks(server)
        end_one(*one)
        return pool_threads(server) <= threads + 2
    until(has_few, "threads to retire", server.log)


def test_where_process_vm_readv_is_forbidden(start, gate):
    """As profiles of containers do. Stacks are there all the same, of what sleeps and of what computes."""
    server = start("hangapp", "--status-path", "/status", preexec_fn=seccomp.forbid("process_vm_readv"))
    for name in ("sleep", "compute"):
        _, visitor = begin(server, name, gate)
        line = r"\nwsgi-fcgi-\d+ \S.*: %s GET /%s%s\n" % (SECONDS, name, LABEL)
        while not re.search(line + OUTER + stack_of(name), log_stacks(server, r"1 call runs, for " + SECONDS)):
            pass
        call, = json.loads(server.ask("/status", query="format=json").body)["running"]
        assert call["path"] == "/" + name, call
        visitor.release()
        until(lambda: re.search("no call runs", log_stacks(server)), "its end", server.log)


def test_where_nothing_can_be_read(start, gate, tmp_path):
    """The requests are known nevertheless; and the line says why there is no more, and what to do about it."""
    tamper = Tamper(tmp_path)
    tamper.forbid_reading()
    server = start("hangapp", "--status-path", "/status", env=tamper.env)
    log_stacks(server, "0 calls run without the loop; what they do cannot be told: .*process_vm_readv.*SystemCallFilter=")
    _, visitor = begin(server, "sleep", gate)
    until(lambda: re.search(r"1 call runs without the loop; what they do cannot be told: .*\n  \d+\.\d{3} s GET /sleep",
                            log_stacks(server)), "the request", server.log)
    call, = json.loads(server.ask("/status", query="format=json").body)["running"]
    assert call["path"] == "/sleep", call
    visitor.release()
    served(server.ask("/hello"))


@pytest.mark.fastcgi
def test_nobody_reads_the_log(start, gate, tmp_path):
    """What is logged then is lost; requests do not wait for it."""
    reader = Pipe(tmp_path / "stderr")
    socket = str(tmp_path / "socket")
    server = start(None, socket=socket, env={"READER": reader.path}, command=[
        "sh", "-c", 'exec "$@" 2>"$READER"', "sh", daemon.binary(), "-s", socket, "-t", "64", "--graceful-timeout", "0.1", "hangapp"])
    reader.read()
    reader.stop()
    calls = [begin(server, "deadlock", gate)[0] for _ in range(40)]
    for _ in range(200):
        server.signal(signal.SIGUSR2)
        served(server.ask("/hello"))
    assert len(calls) == 40
    reader.read()
    stop_without(server)
    reader.close()


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_workers(supervise, gate, preload):
    """The supervisor has each tell; a worker that gets the signal itself tells what runs in it."""
    server = supervise("hangapp", 2, *preload)
    _, visitor = begin(server, "sleep", gate)
    server.signal(signal.SIGUSR2)
    server.wait_log("info: SIGUSR2: 2 workers are told to log what runs\n")
    server.wait_log("warning: SIGUSR2 to the supervisor: no call runs\n")
    server.wait_log("warning: SIGUSR2 to the supervisor: 1 call runs, for " + SECONDS + r"\n.*\n" + OUTER + stack_of("sleep"))
    for pid in server.serving().values():
        os.kill(pid, signal.SIGUSR2)
    server.wait_log("warning: SIGUSR2: no call runs\n")
    server.wait_log("warning: SIGUSR2: 1 call runs, for ")
    visitor.release()
    assert children_of(server.process.pid)


def test_the_status_page_shows_stacks(supervise, gate):
    """Whichever worker answers, while a call in one of them keeps the interpreter lock."""
    server = supervise("hangapp", 2, "--status-path", "/status")
    _, visitor = begin(server, "keep_lock", gate)

    def shown():
        running = json.loads(server.ask("/status", query="format=json").body)["running"]
        return running and running[0]["line"] and running[0]["line"]["line"] == line_of("keep_lock") and running
    running = until(shown, "the line that keeps the lock", server.log)
    assert len(running) == 1
    call = running[0]
    assert call["path"] == "/keep_lock"
    assert call["line"]["file"].endswith("/hangapp.py") and call["stack"][-1].endswith("in keep_lock")
    assert re.fullmatch("[0-9a-f]{32}", call["request_id"]) and call["seconds"] > 0
    visitor.release()
