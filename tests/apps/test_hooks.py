"""Pools of connections and counters of several processes, opened and closed by hooks as their documentation asks for."""
import re

import psycopg
import pytest

import served
from daemon import until

APP = "hooked:app"
REQUESTS = 40
WORKERS = 3
WAYS = {"one process": [], "workers": ["--workers", WORKERS], "preload": ["--workers", WORKERS, "--preload"]}


@pytest.fixture
def admin(postgres):
    """The test's own connection."""
    with psycopg.connect(host=postgres.dir, user="postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture(params=WAYS)
def options(request):
    return WAYS[request.param]


@pytest.fixture
def count(options):
    """How many processes serve."""
    return WORKERS if options else 1


@pytest.fixture
def begin(postgres, tmp_path, options, count):
    """Starts the site, and waits until all of its processes serve."""
    running = []

    def starter():
        server = served.serve(APP, *options, HOST=postgres.dir, NAME="hooked", PROMETHEUS_MULTIPROC_DIR=tmp_path)
        running.append(server)
        # Not by /metrics, which fails when it finds a file that another process is about to make.
        until(lambda: not options or len(re.findall(r"worker \d+ \(process \d+\) serves", server.log())) == count,
              "all to serve", server.log)
        return server
    yield starter
    for server in running:
        server.stop()


def backends(admin):
    """The processes of the database that the site has connections to."""
    return {row[0] for row in admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'hooked'")}


def metric(server, name):
    return float(re.search(rb"^%s (\S+)$" % name, server.ask("/metrics").body, re.M).group(1))


def test_connections(begin, admin, postgres, count):
    """Opened where they are used, so no two processes speak on one; closed in order at the end."""
    log = postgres.log()
    server = begin()
    users = {}
    until(lambda: len(backends(admin)) >= 2 * count, "two connections for each process", server.log)
    for _ in range(REQUESTS):
        pid, backend = map(int, server.ask("/").body.split())
        users.setdefault(backend, set()).add(pid)
    assert all(len(pids) == 1 for pids in users.values()), users
    assert set(users) <= backends(admin)
    server.stop()
    until(lambda: not backends(admin), "the connections to end", postgres.log)
    assert "unexpected EOF" not in postgres.log()[len(log):]


def test_counters(begin, tmp_path, options, count):
    """What was counted stays, and what is about a process goes with it."""
    server = begin()
    for _ in range(REQUESTS):
        server.ask("/")
    assert metric(server, b"site_requests_total") == REQUESTS
    assert metric(server, b"site_in_work") == count
    server.stop()
    # The zygote, which has loaded the application and served nothing, leaves one that says 0.
    assert len(list(tmp_path.glob("gauge_live*.db"))) <= ("--preload" in options)
    server = begin()
    server.ask("/")
    assert metric(server, b"site_requests_total") == REQUESTS + 1
    assert metric(server, b"site_in_work") == count
