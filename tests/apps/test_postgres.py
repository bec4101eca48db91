"""Django and a real PostgreSQL: connections to the database belong to threads."""
import concurrent.futures
import contextlib
import json
import urllib.parse

import psycopg
import pytest

import django_site
import served
from daemon import until

APP = "mysite.wsgi:application"
THREADS = 8
OPTIONS = ["-t", THREADS]


@pytest.fixture(scope="module")
def admin(postgres):
    """The test's own connection."""
    with psycopg.connect(host=postgres.dir, user="postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def environment(static, postgres):
    return django_site.prepare(static, ENGINE="django.db.backends.postgresql", NAME="postgres", USER="postgres",
                               HOST=postgres.dir, OPTIONS={"application_name": "kept"}, CONN_MAX_AGE=None,
                               CONN_HEALTH_CHECKS=True)


@pytest.fixture
def another(static, environment):
    """Starts a further server on the same database, with other settings for it; returns it behind nginx."""
    def starter(name, **more):
        database = dict(json.loads(environment["DATABASE"]), OPTIONS={"application_name": name}, **more)
        server = served.serve(APP, *OPTIONS, STATIC=static, DATABASE=json.dumps(database))
        stack.callback(server.stop)
        proxy = served.proxy(server)
        stack.callback(proxy.stop)
        return [served.Site(server, proxy, name) for name in ("plain", "kept")]
    with contextlib.ExitStack() as stack:
        yield starter


@pytest.fixture(scope="module")
def seen():
    """Which connections each thread was seen with, by any test of this module."""
    return {}


def query(site, seen, method="GET", **fields):
    got = site.json("/query?" + urllib.parse.urlencode(fields), method)
    seen.setdefault(got["thread"], set()).add(got["backend"])
    return got


def backends(admin, name="kept"):
    return {row[0] for row in admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name])}


def check(admin, seen):
    """A connection for each thread that ever asked the database, and no other."""
    assert all(len(pids) == 1 for pids in seen.values()), seen
    used = set().union(*seen.values())
    assert len(used) == len(seen)
    assert backends(admin) == used


def at_a_time(count, function, numbers):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, numbers))


def test_one_after_the_other(site, admin, seen):
    """One thread for the answer that is awaited, and others only while the close() of those before still runs."""
    for _ in range(100):
        query(site, seen)
    check(admin, seen)
    if site.name == "plain":
        assert len(seen) < THREADS


def test_some_at_a_time(site, admin, seen, gate):
    """Five calls in the database's transactions at a time: five connections."""
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(query, site, seen, gate=gate.path) for _ in range(5)]
        visitors = [gate.arrived() for _ in answers]
        states = admin.execute("SELECT state FROM pg_stat_activity WHERE application_name = 'kept'").fetchall()
        assert states.count(("idle in transaction",)) == 5
        for visitor in visitors:
            visitor.release()
        threads = {answer.result()["thread"] for answer in answers}
    assert len(threads) == 5
    check(admin, seen)


def test_hundreds(site, admin, seen):
    """24 clients share the connections of at most --threads threads, for 400 requests that wait for the database."""
    at_a_time(24, lambda number: query(site, seen, sleep=0.01), range(400))
    assert len(seen) <= THREADS
    check(admin, seen)


def test_transactions(site, admin, seen):
    """A view that fails takes back its own changes and nobody else's."""
    before = query(site, seen)["users"]

    def create(number):
        name = "%s-%d" % (site.name, number)
        if number % 3:
            return query(site, seen, "POST", name=name)["users"]
        assert site.ask("/query?fail&name=" + name, "POST").status == 500

    at_a_time(16, create, range(90))
    assert query(site, seen)["users"] == before + 60
    check(admin, seen)


def test_lost_connections(site, admin, seen):
    """The database ends all connections: each thread makes itself a new one, once."""
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kept'")
    until(lambda: not backends(admin), "the connections to end")
    seen.clear()
    at_a_time(24, lambda number: query(site, seen, sleep=0.01), range(100))
    check(admin, seen)


def test_stop(another, admin):
    """A server that ends keeps no connection."""
    site = another("stopped")[0]
    at_a_time(8, lambda number: query(site, {}, sleep=0.05), range(16))
    assert backends(admin, "stopped")
    site.server.stop()
    until(lambda: not backends(admin, "stopped"), "the connections to end")


def test_not_persistent(another, admin):
    """With CONN_MAX_AGE 0 the end of each request, which is the iterable's close(), ends its connection."""
    for site in another("brief", CONN_MAX_AGE=0):
        seen = {}
        at_a_time(8, lambda number: query(site, seen), range(60))
        assert len(set().union(*seen.values())) == 60
        until(lambda: not backends(admin, "brief"), "the connections to end")
