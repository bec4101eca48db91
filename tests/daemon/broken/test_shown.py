"""The status page is answered while nothing else is, names the requests, and has their lines of Python; and whoever has
nothing to do with what is wrong does not notice. contrib/bench/status-latency says within how long."""
import fcntl
import os
import select

import pytest

import broken
import daemon
from broken import begin, calls, page
from daemon import until
from fcgi import params, request
from status_client import tcp_of
from test_hanging_calls import line_of

OVER_HTTP = True
APP = "hangapp"
HANGS = os.path.join(daemon.APPS, "hangapp.py")


@pytest.fixture(params=["single", "workers"])
def kind(request):
    return request.param


@pytest.fixture(params=["path", "socket"])
def serve(request, kind, start, supervise):
    """A server with the page and two workers; among other paths, or with a socket of its own."""
    def serve(app, *options, **more):
        options = [*(broken.PAGE if request.param == "path" else ["--status", "127.0.0.1:0"]), *options]
        server = start(app, *options, **more) if kind == "single" else supervise(app, 2, *options, **more)
        if request.param == "socket":
            server.page_address = tcp_of(server)
        return server
    return serve


def is_unanswered(connection):
    return not select.select([connection.sock], [], [], 0)[0]


def shows_while_they_last(server, connections, name, *states):
    """The page names all of these calls, where they hang and in which state; meanwhile none of them was answered."""
    frame = 'File "%s", line %d, in ' % (HANGS, line_of(name))

    def there():
        return [call for call in calls(server, "/" + name)
                if call["state"] in states and any(line.startswith(frame) for line in call["stack"] or [])]
    until(lambda: len(there()) == len(connections), "%d calls on the page" % len(connections),
          lambda: broken.ask_page(server, "text") + server.log())
    for form in ("json", "text", "html", "prometheus"):
        assert broken.ask_page(server, form)
    assert all(map(is_unanswered, connections)), "it lasts"


def served(server, count=3):
    """Others do not notice."""
    for _ in range(count):
        assert server.ask("/hello").status == 200


def finds_out(server):
    """The one request whose call waits for the lock with the one that holds it: from then on others take the rest. There may
    be none, when the others are quicker."""
    for _ in range(5):
        connection = begin(server, "/hello")
        until(lambda: not is_unanswered(connection) or any(worker["caught"] for worker in page(server)["workers"]),
              "an answer, or that it is noticed", server.log)
        if is_unanswered(connection):
            return [connection]
    return []


def begun(server, name, gate, count):
    """So many calls that hang in this function, one after the other: each is where there was a thread for it."""
    connections, visitors = [], []
    for _ in range(count):
        connections.append(begin(server, "/" + name, "gate=" + gate.path))
        visitors.append(gate.arrived())
    return connections, visitors


def test_all_threads_deadlocked(serve, gate):
    server = serve(APP, "-t", "2", "--graceful-timeout", "0.1")
    workers = len(page(server)["workers"])
    server.expect_status = daemon.STATUS_CUT
    connections, _ = begun(server, "deadlock", gate, 2 * workers)
    shows_while_they_last(server, connections, "deadlock", "blocked")
    with server.connect() as waiting:
        waiting.send(request(params("/hello")))
        assert is_unanswered(waiting)


def test_the_lock_is_held(serve, gate):
    """By a call that C code does not return from. With workers, the other one serves."""
    server = serve(APP)
    connections, visitors = begun(server, "keep_lock", gate, 1)
    shows_while_they_last(server, connections, "keep_lock", "blocked")
    if len(page(server)["workers"]) > 1:
        connections += finds_out(server)
        served(server)
    else:
        connections.append(begin(server, "/hello"))
        note = "worker 0: thread %d has the interpreter lock, for which others have been waiting for " % (
            calls(server, "/keep_lock")[0]["thread"])
        until(lambda: any(said.startswith(note) for said in page(server)["notes"]), note, lambda: str(page(server)))

        def waits():
            """Every 5 ms it is awake for a moment, to ask for the lock again."""
            call, = calls(server, "/hello")
            return call["state"] == "waiting for the lock" and call["lock_waited_seconds"] >= 1
        until(waits, "the other one to wait for the lock", lambda: str(page(server)))
    assert all(map(is_unanswered, connections))
    visitors[0].release()
    for connection in connections:
        assert connection.read_response(1).status == 200


def test_a_thread_computes(serve, gate):
    """The page and others go on beside it."""
    server = serve(APP)
    connections, visitors = begun(server, "compute", gate, 1)
    shows_while_they_last(server, connections, "compute", "computing")
    served(server)
    visitors[0].release()
    assert connections[0].read_response(1).status == 200


@pytest.fixture
def full(tmp_path):
    """A file system without room, which only the server sees: its path, and what mounts it."""
    directory = tmp_path / "full"
    directory.mkdir()
    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    return str(directory), [*unshare, "sh", "-c", 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"', str(directory)]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_spool_directory_is_full(start, protocol, full, gate, tmp_path, workers):
    """A call waits for its body, which waits for room."""
    directory, mount = full
    path = str(tmp_path / "app.sock")
    more = ["--workers", str(workers)] if workers else []
    server = start(None, socket=path, command=[
        *mount, daemon.binary(), daemon.OPTIONS[protocol], path, *broken.PAGE, *more, "--spool-dir", directory,
        "--body-memory", "64K", "faultapp"])
    body = b"x" * (1 << 20)
    with server.connect() as connection:
        connection.send(request(params("/read-or-fail", "POST", "gate=" + gate.path, body=body), body[:300 << 10], end=False))
        reading = gate.arrived()
        server.wait_log("its body waits until the application reads it.*--spool-dir: No space left on device")
        call, = until(lambda: calls(server, "/read-or-fail"), "the call on the page", server.log)
        assert call["method"] == "POST", call
        until(lambda: any("faultapp.py" in line for line in calls(server, "/read-or-fail")[0]["stack"] or []), "its lines")
        assert any("No space left" in line["text"] for line in page(server)["log"]), page(server)["log"]
        assert is_unanswered(connection)
        served(server)
        reading.release()


@pytest.mark.parametrize("workers", [0, 2])
def test_nobody_reads_the_log(start, protocol, gate, tmp_path, workers):
    """Standard error is a pipe that is full: what the log would have said, the page has."""
    pipe = str(tmp_path / "stderr")
    os.mkfifo(pipe)
    path = str(tmp_path / "app.sock")
    reading = os.open(pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
        more = ["--workers", str(workers)] if workers else []
        server = start(None, socket=path, command=[
            "sh", "-c", 'exec "$@" 2>"$READER"', "sh", daemon.binary(), daemon.OPTIONS[protocol], path, *broken.PAGE, *more,
            APP], env={"READER": pipe})
        for size in (4096, 1):
            with pytest.raises(BlockingIOError):
                while True:
                    os.write(reading, b"\n" * size)
        connections, visitors = begun(server, "sleep", gate, 1)
        shows_while_they_last(server, connections, "sleep", "blocked")
        assert server.ask("/nothing").status == 500  # a traceback that finds no room
        served(server)
        visitors[0].release()
        assert connections[0].read_response(1).status == 200
    finally:
        os.close(reading)
