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
SOON = ["--request-timeout", "1", "--graceful-timeout", "0.1"]


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


def late(path):
    """A pattern: what the log says of a call beyond --request-timeout, and its stack up to what follows."""
    return r"warning: .*504 Gateway Timeout .*GET %s\b.*:\n(  .*\n)*  " % path


def gone(connection):
    """Its answer has come, which is that it was not in time."""
    assert connection.read_response(1).status == 504
    connection.close()


def test_each_has_one_line_at_fault():
    """And there are ten."""
    assert len({fault(name) for name in broken.NAMES}) == 10


def test_deadlock(serve, gate):
    server = serve("deadlock", *SOON)
    calls = [begin(server, path, "gate=" + gate.path) for path in ("/transfer", "/audit")]
    for visitor in [gate.arrived() for _ in calls]:
        visitor.release()
    for connection in calls:
        gone(connection)
    server.wait_log(late("/transfer") + in_log("deadlock"))
    server.wait_log(late("/audit") + in_log("deadlock", "# at fault, too"))


def test_slow_query(serve, gate, tmp_path):
    server = serve("slow_query", *SOON, env={"DATABASE": str(tmp_path / "database")})
    load = begin(server, "/load", "gate=" + gate.path)
    importing = gate.arrived()
    report = begin(server, "/report", "gate=" + gate.path)
    gate.arrived()
    for connection in (load, report):
        gone(connection)
    server.wait_log(late("/report") + in_log("slow_query"))
    importing.release()
    server.wait_log(r"has ended after [\d.]+ s: GET /report\b")


def test_backtracking(dying, gate):
    server = dying("backtracking", *SOON)
    connection = begin(server, "/check", "gate=%s&text=%s" % (gate.path, "a" * 60))
    gate.arrived()
    gone(connection)
    server.wait_log(late("/check") + in_log("backtracking"))
    server.wait_log("the interpreter lock")


def test_leak(supervise):
    """The log has the worker and its memory; which path it was, the page says."""
    import daemon
    limit = 500 if daemon.SANITIZED else 150
    server = supervise("leak", 1, *broken.options("--max-memory", "%dM" % limit), cwd=broken.HERE)
    before = server.serving()[0]
    for _ in range(limit // 8):
        server.ask("/preview")
    server.wait_log(r"worker 0 \(process %d\) has \d{3} MiB of memory\n" % before)
    server.wait_log(r"worker 0 \(process %d\) retires: it has more memory" % before)
    server.wait_log(r"worker 0 \(process %d\) has ended with status 0" % before)


def test_exhaustion(serve, gate):
    server = serve("exhaustion", "-t", "3", *SOON)
    calls = [begin(server, "/rates", "gate=" + gate.path) for _ in range(3)]
    visitors = [gate.arrived() for _ in calls]
    for connection in calls:
        gone(connection)
    until(lambda: len(re.findall(late("/rates") + in_log("exhaustion"), server.log())) == 3, "the stack of each", server.log)
    for visitor in visitors:
        visitor.release()


def test_convoy(serve, gate):
    """Many wait at the same line, and one that holds what they wait for does not."""
    server = serve("convoy", *SOON, "-t", "8")
    calls = [begin(server, "/refresh", "gate=" + gate.path)]
    refreshing = gate.arrived()
    calls += [begin(server, "/lookup", "gate=" + gate.path) for _ in range(3)]
    for _ in calls[1:]:
        gate.arrived()
    for connection in calls:
        gone(connection)
    server.wait_log(late("/refresh") + in_log("convoy"))
    until(lambda: len(re.findall(late("/lookup") + in_log("convoy", "# waits"), server.log())) == 3, "the others", server.log)
    refreshing.release()
    until(lambda: len(re.findall(r"has ended after [\d.]+ s: GET /(lookup|refresh)\b", server.log())) == 4, "their ends",
          server.log)


def test_slow_client(serve, gate):
    """Whom it has waited for. The call ends with the answer that is cut off, so that there is no line of it."""
    server = serve("slow_client", *SOON)
    with begin(server, "/export", "gate=" + gate.path):
        gate.arrived()
        server.wait_log(r"warning: .*cut off .*peer process.*--request-timeout.*GET /export\b")
    server.wait_log(r"has ended after [\d.]+ s: GET /export\b")


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
