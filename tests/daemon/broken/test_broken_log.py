"""What the log tells of ten broken applications: the line at fault."""
import contextlib
import os
import re
import signal

import pytest

import broken
from broken import begin, fault, in_log
from daemon import STATUS_CUT, until
from fcgi import params, request

OVER_HTTP = True
SECONDS = r"\d+\.\d{3} s"
LABEL = r" \[[0-9a-f]{32}\]"
SOON = ["--graceful-timeout", "0.1"]


@pytest.fixture
def serve(start):
    """Starts one of them."""
    return lambda name, *options, **more: start(name, *broken.options(*options), cwd=broken.HERE, **more)


@pytest.fixture
def dying(protocol):
    """A server that is not to end well."""
    import daemon
    servers = []

    def starter(name, *options, **more):
        servers.append(daemon.Daemon(name, *broken.options(*options), cwd=broken.HERE, protocol=protocol, **more))
        return servers[-1]
    yield starter
    for server in servers:
        server.kill()


def wait_told(server, *patterns):
    """Sends SIGUSR2 until a block of what runs has all of these: a call may still be on its way to where it hangs."""
    def told():
        before = len(server.log())
        server.signal(signal.SIGUSR2)
        until(lambda: "warning: SIGUSR2: " in server.log()[before:], "what runs in the log", server.log)
        return all(re.search(pattern, server.log()[before:]) for pattern in patterns)
    until(told, patterns, server.log)


def block(path, name, mark="# at fault", threads=1):
    """A pattern: what such a block says of calls of this path, and the lines of their stack up to the one at fault."""
    requests = ", ".join([SECONDS + " GET " + path + LABEL] * threads)
    who = r"wsgi-fcgi-\d+ .*" if threads == 1 else r"%d threads .*" % threads
    return who + ": " + requests + r".*\n(  .*\n)*  " + in_log(name, mark)


def answered(*connections):
    for connection in connections:
        assert connection.read_response(1).status == 200
        connection.close()


def test_each_has_one_line_at_fault():
    """And there are ten."""
    assert len({fault(name) for name in broken.NAMES}) == 10


def test_deadlock(serve, gate):
    server = serve("deadlock", *SOON)
    server.expect_status = STATUS_CUT
    for path in ("/transfer", "/audit"):
        begin(server, path, "gate=" + gate.path)
    for visitor in [gate.arrived() for _ in range(2)]:
        visitor.release()
    wait_told(server, block("/transfer", "deadlock"), block("/audit", "deadlock", "# at fault, too"))


def test_slow_query(serve, gate, tmp_path):
    server = serve("slow_query", env={"DATABASE": str(tmp_path / "database")})
    load = begin(server, "/load", "gate=" + gate.path)
    importing = gate.arrived()
    report = begin(server, "/report", "gate=" + gate.path)
    gate.arrived()
    wait_told(server, block("/report", "slow_query"))
    importing.release()
    answered(load, report)


def test_backtracking(dying, gate):
    """It has the interpreter lock, for which the others wait."""
    server = dying("backtracking")
    begin(server, "/check", "gate=%s&text=%s" % (gate.path, "a" * 60))
    gate.arrived()
    # From its knock to the expression it may let go of the lock once more, and what comes then is answered.
    wait_told(server, block("/check", "backtracking"))
    others = begin(server, "/")
    wait_told(server, r"1 waits for the interpreter lock, which wsgi-fcgi-\d+ has: " + SECONDS + " GET /check" + LABEL
              + r" at %s:%d\n" % fault("backtracking"))
    others.close()


# Python's own leak: tracemalloc_init of 3.11 has raw_free free the values of its table of tracebacks, which are NULL, and
# nothing its keys, of which traceback_new has made one of 24 bytes for each line. So each stop leaves these behind.
@pytest.mark.once
def test_leak(supervise):
    """The log has the worker and its memory, and the line that holds what has come when it had most of that; which path it
    was, the page says."""
    server = broken.leak(supervise)
    before = server.serving()[0]
    for _ in range(8):
        server.ask("/preview")
    server.wait_log(r"worker 0 \(process %d\) has \d{3} MiB of memory\n" % before)
    server.wait_log(r"worker 0 \(process %d\) retires: it has more memory" % before)
    server.wait_log(broken.LEAK)
    server.wait_log(r"worker 0 \(process %d\) has ended with status 0" % before)


def test_exhaustion(serve, gate):
    """Threads that stand at the same line are told of together."""
    server = serve("exhaustion", "-t", "3")
    calls = [begin(server, "/rates", "gate=" + gate.path) for _ in range(3)]
    visitors = [gate.arrived() for _ in calls]
    wait_told(server, block("/rates", "exhaustion", threads=3))
    for visitor in visitors:
        visitor.release()
    answered(*calls)


def test_convoy(serve, gate):
    """Many wait at the same line, and the oldest, which holds what they wait for, stands at another one."""
    server = serve("convoy")
    calls = [begin(server, "/refresh", "gate=" + gate.path)]
    refreshing = gate.arrived()
    calls += [begin(server, "/lookup", "gate=" + gate.path) for _ in range(3)]
    for _ in calls[1:]:
        gate.arrived()
    wait_told(server, block("/refresh", "convoy"), block("/lookup", "convoy", "# waits", 3))
    refreshing.release()
    answered(*calls)


def test_slow_client(serve, gate):
    """It waits for its client, at the line that writes."""
    server = serve("slow_client", *SOON)
    with begin(server, "/export", "gate=" + gate.path):
        gate.arrived()
        wait_told(server, block("/export", "slow_client"))


@pytest.fixture
def full(tmp_path):
    """A directory without room on a file system that only the server sees: its path, and how a server gets it."""
    directory = tmp_path / "full"
    directory.mkdir()
    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    return str(directory), [*unshare, "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"', str(directory)]


def test_disk_full(start, protocol, full, tmp_path):
    """That of the application, in its traceback; and that of --spool-dir, in a line of the server's own."""
    import daemon
    directory, command = full
    path = str(tmp_path / "app.sock")
    server = start("disk_full", socket=path, cwd=broken.HERE, env={"UPLOADS": directory}, command=[
        *command, daemon.binary(), daemon.OPTIONS[protocol], path, *broken.options("--spool-dir", directory,
                                                                                 "--body-memory", "256K"), "disk_full"])
    assert server.ask("/store", "POST", body=b"x" * (200 << 10)).status == 500
    server.wait_log(in_log("disk_full") + r"(.*\n)*?.*No space left on device")
    with server.connect() as connection:
        body = b"x" * (1 << 20)
        given = params("/store", "POST", CONTENT_LENGTH="")  # what has no length comes whole before the call
        connection.send(request(given, body, keep=True))
        assert connection.read_response(1).status == 507
    server.wait_log(r"507 Insufficient Storage .*: its body cannot be kept: see --spool-dir: No space left on device")
    assert server.ask("/").status == 200


def test_crash(dying):
    server = dying("crash")
    with contextlib.suppress(Exception):
        server.ask("/thumbnail")
    server.wait_exit()
    log = server.log()
    assert re.search(in_log("crash"), log), log
    assert re.search(r"GET /thumbnail \[\w+\]: the process crashed \(SIGSEGV\)", log), log


def test_recursion(serve):
    server = serve("recursion")
    assert server.ask("/trail").status == 500
    server.wait_log(in_log("recursion") + r"(.*\n)*?.*RecursionError")
    assert server.ask("/").status == 200
