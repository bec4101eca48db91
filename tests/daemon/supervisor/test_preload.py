"""--preload: workers are forked from a zygote, which the supervisor starts, replaces and ends."""
import json
import os
import re
import signal

import pytest

from daemon import until
from fcgi import params, request

OVER_HTTP = True
APP = "preloadapp"
EX_SOFTWARE, INTERRUPTED = 70, 143
APPLICATION = """
import json, os
import wsgi_fcgi
LOADED_BY = os.getpid()
%s
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([%r, LOADED_BY, os.getpid()]).encode()]
"""
FAILING_HOOK = """
@wsgi_fcgi.on_worker_start
def fail():
    raise RuntimeError("failed on purpose")
"""


@pytest.fixture
def preload(supervise, gate):
    def starter(count=2, *args, do="", app=APP, **more):
        return supervise(app, count, "--preload", *args, env={"DO": do, "GATE": gate.path}, **more)
    return starter


def ask(server, path="/"):
    response = server.ask(path)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def zygote_of(server):
    zygote, = server.zygotes()
    return zygote


def loaded(server):
    """The zygotes that have loaded the application, in their order."""
    return [int(pid) for pid in re.findall(r"the zygote \(process (\d+)\) has loaded", server.log())]


def wait_replaced(server, number, before):
    until(lambda: server.serving().get(number, before) != before, "another worker %d" % number, server.log)
    return server.serving()[number]


def test_all_serve(preload):
    """They are children of one process, in which the application was loaded."""
    server = preload(3)
    zygote = zygote_of(server)
    workers = set(server.serving().values())
    assert len(workers) == 3 and server.children() == workers | {zygote}
    told = ask(server)
    assert told["at_import"]["pid"] == told["parent"] == zygote
    assert [told["worker"], told["key"]] == [told["worker"]] * 2 and server.serving()[told["worker"]] == told["pid"]


def test_worker_that_dies(preload):
    """Another one is forked from the same process."""
    server = preload()
    zygote, before = zygote_of(server), server.serving()[1]
    os.kill(before, signal.SIGKILL)
    after = wait_replaced(server, 1, before)
    assert zygote_of(server) == zygote and after in server.children()
    assert re.search(r"error: worker 1 \(process %d\) was killed by SIGKILL" % before, server.log())


def test_zygote_that_dies(preload):
    """Its workers serve on, and their ends are noticed. Another one loads the application."""
    server = preload()
    first, workers = zygote_of(server), server.serving()
    os.kill(first, signal.SIGKILL)
    server.wait_log(r"error: the zygote \(process %d\) was killed by SIGKILL: its workers go on" % first)
    assert ask(server)["pid"] in workers.values()
    os.kill(workers[0], signal.SIGKILL)
    wait_replaced(server, 0, workers[0])
    assert server.serving()[1] == workers[1]
    assert len(loaded(server)) == 2
    assert loaded(server)[1] in server.zygotes()


@pytest.mark.parametrize("do", ["fail", "fail-start"])
def test_first_start_that_fails(preload, do):
    """The whole server ends, with the status of what has failed."""
    server = preload(do=do, wait=False)
    assert server.wait_exit() == EX_SOFTWARE
    server.expect_status = EX_SOFTWARE
    assert "RuntimeError: failed on purpose" in server.log()
    assert not server.children() and not os.path.exists(server.path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_it_loads(supervise, gate, number):
    server = supervise("startapp", 2, "--preload", env={"GATE": gate.path, "DO": "wait"}, wait=False)
    gate.arrived()
    zygote = zygote_of(server)
    server.process.send_signal(number)
    server.expect_status = server.wait_exit()
    assert re.search(r"the zygote \(process %d\) has ended with status %d" % (zygote, 128 + signal.SIGTERM), server.log())


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_signal_while_a_hook_runs(supervise, gate, options):
    """It interrupts the hook, and nobody waits for --graceful-timeout."""
    server = supervise("hookapp", 2, *options, env={"GATE": gate.path, "DO": "hang"}, wait=False)
    assert gate.arrived().text == "hanging"
    server.process.terminate()
    server.expect_status = server.wait_exit()
    assert "interrupted while running a function of wsgi_fcgi.on_worker_start (SIGTERM)" in server.log()


def test_requests_in_work_at_a_stop(preload, gate):
    """The zygote ends behind the last of its workers."""
    server = preload()
    zygote = zygote_of(server)
    client = server.connect()
    client.send(request(params("/gate")))
    visitor = gate.arrived()
    server.process.terminate()
    server.wait_log(r"stopping \(TERM\)")
    assert server.process.poll() is None and os.path.exists("/proc/%d" % zygote)
    visitor.release()
    assert client.read_response(1).status == 200
    client.close()
    assert server.wait_exit() == 0, server.log()
    server.wait_gone(zygote)
    log = server.log()
    assert log.index("the zygote (process %d) has ended with status 0" % zygote) > log.rindex("worker")


def test_second_signal(preload, gate):
    """Nobody is left."""
    server = preload()
    processes = server.children()
    client = server.connect()
    client.send(request(params("/gate")))
    gate.arrived()
    server.process.terminate()
    server.wait_log(r"stopping \(TERM\)")
    until(lambda: server.process.poll() is not None or server.process.terminate(), "the end", server.log)
    server.expect_status = server.wait_exit()
    for pid in processes:
        server.wait_gone(pid)
    client.close()


def test_more_and_fewer(preload):
    server = preload()
    server.process.send_signal(signal.SIGTTIN)
    until(lambda: len(server.serving()) == 3, "one more", server.log)
    server.process.send_signal(signal.SIGTTOU)
    until(lambda: len(server.serving()) == 2, "one less", server.log)
    assert len(loaded(server)) == 1


class Site:
    """A server whose application changes."""

    def __init__(self, supervise, directory, *options):
        self.file = os.path.join(str(directory), "site.py")
        self.write("first")
        self.server = supervise(self.file, 2, "--preload", *options)

    def write(self, version, lines=""):
        with open(self.file + ".new", "w") as file:
            file.write(APPLICATION % (lines, version))
        os.rename(self.file + ".new", self.file)

    def hup(self):
        self.server.process.send_signal(signal.SIGHUP)


@pytest.fixture
def site(supervise, tmp_path):
    return Site(supervise, tmp_path)


def test_reload(site):
    """Another zygote loads the application, and the old one ends."""
    server = site.server
    old = zygote_of(server)
    assert ask(server)[:2] == ["first", old]
    site.write("second")
    site.hup()
    server.wait_log("the reload is complete")
    server.wait_log(r"the zygote \(process %d\) has ended with status 0" % old)
    new = zygote_of(server)
    assert ask(server)[:2] == ["second", new] and new != old


@pytest.mark.parametrize("lines", ["raise RuntimeError('failed on purpose')", FAILING_HOOK, "import os; os._exit(3)"])
def test_reload_that_fails(site, lines):
    """The old workers go on, and so do those that are forked for them; another reload can go well."""
    server = site.server
    old, before = zygote_of(server), server.serving()
    site.write("second", lines)
    site.hup()
    server.wait_log("the reload has failed, the old application goes on")
    until(lambda: server.zygotes() == {old}, "the new zygote to end", server.log)
    assert server.serving() == before
    os.kill(before[1], signal.SIGKILL)
    wait_replaced(server, 1, before[1])
    assert ask(server)[:2] == ["first", old]
    site.write("third")
    site.hup()
    server.wait_log("the reload is complete")
    until(lambda: ask(server)[0] == "third", "the new application", server.log)
    server.wait_log(r"the zygote \(process %d\) has ended with status 0" % old)


def test_kept_connections_at_a_reload(site):
    """They move to workers of another zygote."""
    server = site.server
    with server.connect() as client:
        assert json.loads(client.ask("/").body)[0] == "first"
        site.write("second")
        site.hup()
        server.wait_log("the reload is complete")
        until(lambda: json.loads(client.ask("/").body)[0] == "second", "the new application", server.log)


def test_memory(supervise):
    """Of memory that is shared each worker has a part: it is not replaced for that."""
    server = supervise("workersapp", 2, "--preload", "--max-memory", "60M", "--trace-memory", 0)
    pid = json.loads(server.ask("/grow", query="80").body)
    server.wait_log(r"worker \d \(process %d\) is to be replaced: it has more memory" % pid)
    until(lambda: pid not in server.children(), "it to end", server.log)
    assert len(loaded(server)) == 1
