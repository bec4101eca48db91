"""Extensions from PyPI that bring along a libev or an llhttp of their own, which the server has as well."""
import concurrent.futures
import json
import signal
import sys

import pytest

import daemon
import served

ANSWERS = {"greenlets": list(range(8)), "plain": [1],
           "parsed": ["POST", "Host: localhost", "Content-Length: 5", "hello"], "exchanged": list(range(1000))}
WAYS = {"handler": {}, "import": {"AT_IMPORT": 1}, "patched": {"PATCH": 1}, "patched-import": {"PATCH": 1, "AT_IMPORT": 1}}


@pytest.fixture(scope="module", params=WAYS)
def env(request):
    return WAYS[request.param]


@pytest.fixture(scope="module")
def running(env):
    server = served.serve("loops:app", "-t", 8, **env)
    yield server
    server.stop()


def names(env):
    """asyncio and a patched select module do not go together, in gevent's own words."""
    return [name for name in ANSWERS if name != "exchanged" or "PATCH" not in env]


def test_check(env):
    done = daemon.run("--check", "--venv", sys.prefix, "loops:app", cwd=served.SITES, env=env)
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stderr


def test_each(running, env):
    for name in names(env):
        assert json.loads(running.ask("/" + name).body) == ANSWERS[name]


def test_several_threads(running, env):
    """Each of the threads that run requests has a hub of its own."""
    def ask(number):
        name = names(env)[number % len(names(env))]
        assert json.loads(running.ask("/" + name).body) == ANSWERS[name]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(400)))


def test_end(env):
    """SIGTERM ends a server that has hubs on several threads."""
    server = served.serve("loops:app", "-t", 8, **env)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.ask("/greenlets"), range(40)))
    server.signal(signal.SIGTERM)
    try:
        assert server.wait_exit() == 0
        assert "Traceback" not in server.log() and "did not end in time" not in server.log()
    finally:
        server.stop()
