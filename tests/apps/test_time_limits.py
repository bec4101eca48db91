"""Requests whose time ends at random places of frameworks, drivers and pools: what is left of it."""
import concurrent.futures
import json
import os
import re

import psycopg
import pytest

import daemon
import served

REQUESTS = int(os.environ.get("TIME_LIMIT_REQUESTS", 250))
ENOUGH = 20  # seconds
THREADS = 8
APPS = {"sqlalchemy": "limited_flask:app", "psycopg2": "limited_flask:app", "django": "limited_django"}


@pytest.fixture
def limited(postgres):
    """Starts the application that has the view, with an action; returns it."""
    servers = []

    def starter(view, action):
        server = served.serve(APPS[view], "-t", THREADS, "--request-timeout", 60, "--request-timeout-action", action,
                              "--queue-timeout", 5, "--graceful-timeout", 2, PGHOST=postgres.dir, CONNECTIONS=THREADS)
        servers.append(server)
        return server
    yield starter
    for server in servers:
        server.stop()


def ask_all(server, view, time, count, right):
    """Returns how often each status was answered. Nobody asks any more when somebody had no answer, or one that is not
    right: with an empty pool each would take long."""
    def ask(_):
        if wrong:
            return "not asked"
        try:
            status = server.ask("/" + view, query="time=%s" % time).status
        except OSError:
            status = "no answer"
        if status not in right:
            wrong.append(status)
        return status
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(THREADS) as clients:
        statuses = list(clients.map(ask, range(count)))
    return {status: statuses.count(status) for status in set(statuses)}


def in_transaction(postgres):
    with psycopg.connect(host=postgres.dir, user="postgres", autocommit=True) as admin:
        return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'limited' "
                             "AND state LIKE 'idle in transaction%'").fetchone()[0]


def look(server, view):
    """Returns which locks stay locked, and how many connections are not in their pool, when no request runs."""
    response = server.ask("/state")
    assert response.status == 200, server.log()
    state = json.loads(response.body)
    return state["locked"], state[view]


def tracebacks(log):
    """The last line of each."""
    return re.findall(r"^Traceback .*\n(?:(?: .*)?\n)*(\S.*)", log, re.M)


@pytest.mark.parametrize("view", APPS)
def test_answer(limited, postgres, view):
    """The calls end as they would have without it: no connection, lock or thread is lost."""
    server = limited(view, "answer")
    answers = ask_all(server, view, "random", REQUESTS, {200, 504})
    assert set(answers) <= {200, 504} and answers[504] > REQUESTS / 10, answers
    assert ask_all(server, view, ENOUGH, 5 * THREADS, {200}) == {200: 5 * THREADS}
    daemon.until(lambda: look(server, view) == ([], 0), "locks and connections to come back", server.log)
    assert in_transaction(postgres) == 0
    assert not tracebacks(server.log())


@pytest.mark.parametrize("view", APPS)
def test_interrupt(limited, postgres, view, record_property):
    """No exception in a later request. What an interrupt can break is counted, and no failure: the manual page tells."""
    server = limited(view, "interrupt")
    answers = ask_all(server, view, "random", REQUESTS, {200, 504})
    assert answers[504], answers
    interrupted = server.log().count("was interrupted after")
    begin = len(server.log())
    later = ask_all(server, view, ENOUGH, 5 * THREADS, {200})
    log = server.log()
    assert "RequestTimeout" not in log[begin:]
    state = look(server, view) if set(later) == {200} else "not asked"
    found = {"answers": answers, "interrupted": interrupted, "later": later, "locks, connections out": state,
             "in transaction": in_transaction(postgres), "tracebacks": sorted(set(tracebacks(log)))}
    record_property("found", found)
    if os.environ.get("TIME_LIMITS"):
        with open(os.environ["TIME_LIMITS"], "a") as file:
            file.write("%s %s\n" % (view, found))
