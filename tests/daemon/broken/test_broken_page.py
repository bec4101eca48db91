"""What the status page tells of ten broken applications while they are stuck: the request, and the line at fault."""
import contextlib
import re

import pytest

import broken
import daemon
from broken import begin, calls, page, wait_found
from daemon import until
from fcgi import params, request

OVER_HTTP = True
SOON = ["--graceful-timeout", "0.1"]


@pytest.fixture(params=["single", "worker"])
def serve(request, start, workers):
    """Starts one of them, with the page: alone, or as a worker."""
    if request.param == "worker":
        return lambda name, *options, **more: workers(name, 1, *options, **more)
    return lambda name, *options, **more: start(name, *broken.options(*broken.PAGE, *options), cwd=broken.HERE, **more)


@pytest.fixture
def workers(supervise):
    return lambda name, count, *options, **more: supervise(name, count, *broken.options(*broken.PAGE, *options),
                                                           cwd=broken.HERE, **more)


@pytest.fixture
def stuck(serve):
    """The same of one whose calls never end: a stop cuts them off."""
    def starter(name, *options, **more):
        server = serve(name, *SOON, *options, **more)
        server.expect_status = daemon.STATUS_CUT
        return server
    return starter


def test_deadlock(stuck, gate):
    server = stuck("deadlock")
    connections = [begin(server, path, "gate=" + gate.path) for path in ("/transfer", "/audit")]
    for visitor in [gate.arrived() for _ in connections]:
        visitor.release()
    for path, mark in (("/transfer", "# at fault"), ("/audit", "# at fault, too")):
        call, = wait_found(server, "deadlock", path, "blocked", 1, mark)
        assert call["method"] == "GET" and [call["pid"]] == [worker["pid"] for worker in page(server)["workers"]], call
        assert (call["line"]["file"], call["line"]["line"]) == broken.fault("deadlock", mark), call
    assert "gate=" not in broken.ask_page(server, "json"), "queries are not shown"
    assert server.ask("/").status == 200


def test_slow_query(serve, gate, tmp_path):
    server = serve("slow_query", env={"DATABASE": str(tmp_path / "database")})
    connections = [begin(server, "/load", "gate=" + gate.path)]
    importing = gate.arrived()
    connections.append(begin(server, "/report", "gate=" + gate.path))
    gate.arrived()
    wait_found(server, "slow_query", "/report", "blocked")
    importing.release()
    for connection in connections:
        assert connection.read_response(1).status == 200
    until(lambda: {"/load", "/report"} <= {p["path"] for p in page(server)["paths"]["slowest"]}, "the paths", server.log)


def test_backtracking(stuck, gate):
    """It keeps the interpreter lock: nothing that needs Python would be answered."""
    server = stuck("backtracking")
    begin(server, "/check", "gate=%s&text=%s" % (gate.path, "a" * 60))
    gate.arrived()
    wait_found(server, "backtracking", "/check", "computing")
    server.stopped = True  # a stop would wait for it, as long as it may
    server.kill()


def test_leak(serve):
    """The memory of its process grows with each request; and which requests there were, the page says as well."""
    server = serve("leak")
    before = page(server)["workers"][0]["memory_bytes"]
    for _ in range(20):
        assert server.ask("/preview").status == 200
    until(lambda: page(server)["workers"][0]["memory_bytes"] > before + (100 << 20), "the memory on the page", server.log)
    path, = until(lambda: [p for p in page(server)["paths"]["frequent"] if p["count"] == 20], "the path on the page",
                  lambda: str(page(server)))
    assert (path["method"], path["path"]) == ("GET", "/preview") and 0 < path["mean"] <= path["max"], path
    assert all("/preview" in text for text in broken.texts(server))


# Python's own leak: tracemalloc_init of 3.11 has raw_free free the values of its table of tracebacks, which are NULL, and
# nothing its keys, of which traceback_new has made one of 24 bytes for each line. So each stop leaves these behind.
@pytest.mark.once
def test_leak_near_its_limit(supervise):
    """The line that holds the memory is among those of the log."""
    server = broken.leak(supervise, *broken.PAGE)
    for _ in range(8):
        server.ask("/preview")
    until(lambda: all(re.search(broken.LEAK_PLACE, text) for text in broken.texts(server)), "the line on the page", server.log)


def test_exhaustion(serve, gate):
    """Every thread is at the same line."""
    server = serve("exhaustion", "-t", "3")
    connections = [begin(server, "/rates", "gate=" + gate.path) for _ in range(3)]
    visitors = [gate.arrived() for _ in connections]
    waiting = begin(server, "/")
    wait_found(server, "exhaustion", "/rates", "blocked", 3)
    assert page(server)["server"]["threads_max"] == 3
    shown = until(lambda: (lambda p: p["workers"][0]["queued"] == 1 and p)(page(server)), "who waits", server.log)
    assert shown["totals"]["requests_queued"] == 1, shown["totals"]
    assert shown["workers"][0]["threads"] == {"running": 3, "idle": 0, "stuck": 0, "lost": 0}, shown["workers"]
    assert shown["notes"] == ["worker 0: all 3 threads are busy, and 1 request waits"], shown["notes"]
    assert all(shown["notes"][0] in text for text in broken.texts(server))
    for visitor in visitors:
        visitor.release()
    for connection in (*connections, waiting):
        assert connection.read_response(1).status == 200


def test_convoy(serve, gate):
    """Who holds the lock is at another line than all who wait for it, and has run for longest."""
    server = serve("convoy")
    connections = [begin(server, "/refresh", "gate=" + gate.path)]
    refreshing = gate.arrived()
    connections += [begin(server, "/lookup", "gate=" + gate.path) for _ in range(3)]
    for _ in connections[1:]:
        gate.arrived()
    wait_found(server, "convoy", "/lookup", "blocked", 3, "# waits")
    wait_found(server, "convoy", "/refresh", "blocked")
    assert page(server)["running"][0]["path"] == "/refresh", "the one that has run for longest is the first"
    refreshing.release()
    for connection in connections:
        assert connection.read_response(1).status == 200


def test_slow_client(stuck, gate):
    server = stuck("slow_client")
    connection = begin(server, "/export", "gate=" + gate.path)
    gate.arrived()
    wait_found(server, "slow_client", "/export", "blocked")
    connection.close()
    until(lambda: not calls(server, "/export"), "its end, as its client is gone")
    server.expect_status = 0


@pytest.mark.once  # a sanitizer makes another end of it
def test_crash(workers):
    """The worker is another one, and the lines of the log on the page say what the first one was running."""
    server = workers("crash", 1)
    first = server.serving()[0]
    with contextlib.suppress(Exception):
        server.ask("/thumbnail")
    server.wait_log(r"worker 0 \(process %d\) (was killed|has ended)" % first)
    until(lambda: first != server.serving().get(0, first), "the next one", server.log)
    until(lambda: any("GET /thumbnail" in line["text"] for line in page(server)["log"]), "the request on the page", server.log)
    end, = page(server)["ends"]
    assert (end["worker"], end["pid"], end["reason"], end["text"]) == (0, first, "crash", "was killed by SIGSEGV"), end
    assert all("was killed by SIGSEGV" in text for text in broken.texts(server))
    server.stopped = True  # its log has what no log of a healthy one may have
    server.kill()


def test_recursion(serve, protocol):
    server = serve("recursion")
    assert server.ask("/trail").status == 500
    until(lambda: page(server)["totals"]["requests_total"][protocol]["5xx"] == 1, "the error to be counted", server.log)
    assert sum(bucket["errors"] for bucket in page(server)["history"]["buckets"]) == 1
    until(lambda: any("/trail" in line["text"] for line in page(server)["log"]), "the request on the page", server.log)
