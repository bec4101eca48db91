"""The zygote (--preload): the application is loaded once, and each worker is forked. The test plays their supervisor."""
import errno
import json
import os
import re
import signal

import pytest

import zygote as zygotes
from daemon import SANITIZED, until
from fcgi import params, request
from supervisor import DIED, ENDS, FORK, FORKED, RETIRE, SERVES, STOP
from test_forks import own_files

OVER_HTTP = True
APP = "preloadapp"
EX_SOFTWARE, EX_UNAVAILABLE = 70, 69


@pytest.fixture
def preload(protocol, gate):
    """Starts zygotes: preload(DO, *OPTIONS, **more). Each must end well, and its workers before."""
    def starter(do="", *options, app=APP, **more):
        env = {"DO": do, "GATE": gate.path, **more.pop("env", {})}
        started.append(zygotes.Zygote(app, "--workers", 2, "--preload", *options, protocol=protocol, env=env, **more))
        return started[-1]
    started = []
    yield starter
    failed = []
    for each in started:
        try:
            each.close()
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "\n".join(failed)


def events(zygote, pid):
    return re.findall(r"event: (.*) in %d$" % pid, zygote.worker.log(), re.M)


def ask(worker, path="/"):
    response = worker.worker.ask(path)
    assert response.status == 200, worker.worker.log()
    return json.loads(response.body)


def check_died(zygote, worker, status):
    told = zygote.hear()
    assert (told.type, told.a, told.b) == (DIED, worker.pid, status), zygote.worker.log()


def check_ends(zygote, status=0):
    zygote.hear_nothing_more()
    zygote.worker.expect_status = status
    assert zygote.worker.wait_exit() == status, zygote.worker.log()


def test_worker(preload):
    """What it knows of itself, and what it has from the zygote."""
    zygote = preload()
    assert zygote.state() != SERVES
    worker = zygote.fork(number=4, slot=9).serve()
    assert worker.state() == SERVES
    told = ask(worker)
    assert told["pid"] == worker.pid and told["parent"] == zygote.worker.pid
    assert told["at_import"] == {"pid": zygote.worker.pid, "worker": None}
    assert [told["worker"], told["key"], told["multiprocess"]] == [4, 4, True]
    assert told["main"] == "MainThread" and told["mask"] == []


def test_ends_of_workers(preload):
    """Their number and status, as wait(2) gives it; and others take their places."""
    zygote = preload()
    first, second = zygote.fork(0).serve(), zygote.fork(1).serve()
    os.kill(first.pid, signal.SIGKILL)
    check_died(zygote, first, signal.SIGKILL)
    assert ask(second)["worker"] == 1
    third = zygote.fork(0).serve()
    second.say(RETIRE)
    assert second.hear().type == ENDS
    check_died(zygote, second, 0)
    assert ask(third)["worker"] == 0
    assert events(zygote, second.pid) == ["after, child", "start of 1", "stop of 1", "atexit"]


@pytest.mark.parametrize("order", [STOP, RETIRE])
def test_ends_with_its_last_worker(preload, order):
    zygote = preload()
    worker = zygote.fork().serve()
    zygote.say(order, a=15)
    refused = zygote.fork()
    assert [refused.pid, refused.error] == [0, errno.EAGAIN]
    assert ask(worker)["pid"] == worker.pid
    worker.say(STOP, a=15)
    check_died(zygote, worker, 0)
    check_ends(zygote)
    assert events(zygote, zygote.worker.pid) == ["before", "after, parent", "atexit"]


def test_without_workers(preload):
    zygote = preload()
    zygote.say(STOP, a=15)
    check_ends(zygote)


def test_supervisor_is_gone(preload):
    """Workers see it by themselves, and the zygote ends behind them."""
    zygote = preload()
    worker = zygote.fork().serve()
    zygote.leave()
    zygote.worker.wait_log(r"\[%d\] error: the supervisor \(process %d\) is gone" % (zygote.worker.pid, os.getpid()))
    assert ask(worker)["pid"] == worker.pid
    worker.leave()
    zygote.worker.expect_status = EX_UNAVAILABLE
    assert zygote.worker.wait_exit() == EX_UNAVAILABLE
    assert events(zygote, worker.pid)[-2:] == ["stop of 0", "atexit"]


def test_application_that_fails(preload):
    zygote = preload("fail", wait=False)
    zygote.prepare()
    check_ends(zygote, EX_SOFTWARE)
    assert "RuntimeError: failed on purpose" in zygote.worker.log()


def test_worker_that_does_not_start(preload):
    """The zygote goes on."""
    zygote = preload("fail-start")
    worker = zygote.fork()
    worker.greet()
    worker.order_to_serve()
    check_died(zygote, worker, EX_SOFTWARE << 8)
    assert "a function of wsgi_fcgi.on_worker_start raised an exception" in zygote.worker.log()
    zygote.fork().greet()


def test_functions_of_register_at_fork(preload):
    zygote = preload()
    workers = [zygote.fork(number).serve() for number in range(3)]
    assert events(zygote, zygote.worker.pid) == ["before", "after, parent"] * 3
    for worker in workers:
        assert events(zygote, worker.pid) == ["after, child", "start of %d" % worker.number]


def test_what_was_printed(preload):
    """And not written out before the fork: each process had it."""
    zygote = preload()
    for number in range(2):
        zygote.fork(number).serve().say(STOP, a=15)
        assert zygote.hear().type == DIED
    zygote.say(STOP, a=15)
    check_ends(zygote)
    assert zygote.worker.log().count("said once") == 1


def test_random_numbers(preload):
    zygote = preload()
    numbers = set()
    for number in range(3):
        worker = zygote.fork(number).serve()
        numbers.add(ask(worker)["random"])
        worker.say(STOP, a=15)
        assert zygote.hear().type == DIED
    assert len(numbers) == 3


def test_descriptors(preload):
    """A worker has none of the zygote's, and a child of its application none of the worker's."""
    zygote = preload()
    first = zygote.fork(0).serve()
    second = zygote.fork(1).serve()
    shared = {"/memfd:scoreboard (deleted)"} | {os.readlink("/proc/self/fd/%d" % each.fileno())
                                                for each in (zygote.listener, *zygote.queue)}
    own = [{name for name in own_files(pid) if "eventfd" not in name and "eventpoll" not in name} - shared
           for pid in (zygote.worker.pid, first.pid, second.pid)]
    assert own[0] and own[1] and own[2]
    assert not own[0] & own[1] and not own[0] & own[2] and not own[1] & own[2], own


def test_forks_of_the_application(preload):
    """A child ends where the call returns, as in any server; and no worker takes it for one."""
    zygote = preload()
    worker = zygote.fork().serve()
    assert ask(worker, "/fork") == {"status": 0}
    assert ask(worker)["pid"] == worker.pid


def test_threads(preload):
    """They are named, as no worker has them."""
    zygote = preload("threads")
    assert re.search(r"warning: the application has started 2 threads while it was loaded \(poll\\x0aer, ticker\), which no "
                     r"worker will have: start threads in a function of wsgi_fcgi.on_worker_start$", zygote.worker.log(),
                     re.M)
    if not SANITIZED:  # what only the threads refer to is a leak in a worker
        assert ask(zygote.fork().serve())["worker"] == 0


def test_no_threads(preload):
    zygote = preload()
    assert " thread" not in zygote.worker.log()
    assert os.listdir("/proc/%d/task" % zygote.worker.pid) == [str(zygote.worker.pid)]


@pytest.mark.parametrize("do", ["", "handler"])
def test_signals_of_the_zygote(preload, do):
    """They are for the supervisor, also when they come again, and whoever else handles them."""
    zygote = preload(do)
    for name in ["TERM", "INT", "QUIT", "TERM"]:
        before = len(zygote.worker.log())
        zygote.worker.process.send_signal(getattr(signal, "SIG" + name))
        until(lambda: re.search(r"info: SIG%s does not end the zygote, which ends with the supervisor, process %d"
                                % (name, os.getpid()), zygote.worker.log()[before if name != "TERM" else 0:]),
              "a line", zygote.worker.log)
    worker = zygote.fork().serve()
    assert ask(worker)["worker"] == 0
    assert "handler" not in events(zygote, zygote.worker.pid)


def test_handlers_of_the_application(preload):
    """A worker has them: that of SIGTERM runs at its end, and that of SIGCHLD for its own children."""
    zygote = preload("handler")
    worker = zygote.fork().serve()
    ask(worker, "/children")
    until(lambda: "child ended" in events(zygote, worker.pid), "the handler", zygote.worker.log)
    worker.say(STOP, a=15)
    check_died(zygote, worker, 0)
    assert events(zygote, worker.pid)[-3:] == ["handler", "stop of 0", "atexit"]
    assert not {"handler", "child ended"} & set(events(zygote, zygote.worker.pid))


def test_signal_for_a_worker(preload):
    """It ends, and the zygote tells."""
    zygote = preload()
    worker = zygote.fork().serve()
    os.kill(worker.pid, signal.SIGTERM)
    check_died(zygote, worker, 0)


def test_requests_are_finished(preload, gate):
    zygote = preload()
    worker = zygote.fork().serve()
    with worker.worker.connect() as client:
        client.send(request(params("/gate")))
        visitor = gate.arrived()
        worker.say(STOP, a=15)
        zygote.worker.wait_log(r"\[%d\]" % zygote.worker.pid)
        visitor.release()
        assert client.read_response(1).status == 200
    check_died(zygote, worker, 0)


def test_fork_without_a_socket(preload):
    zygote = preload()
    zygote.say(FORK, slot=7)
    told = zygote.hear()
    assert (told.type, told.slot, told.a, told.b) == (FORKED, 7, 0, errno.EPROTO)
    assert ask(zygote.fork().serve())["worker"] == 0
