"""What ps(1) shows for each process of a server, in place of a command line that is the same for all."""
import os
import signal

import pytest

from daemon import until
from test_signals import hold


def title(pid):
    """As proc(5) has it, to the last byte."""
    with open("/proc/%d/cmdline" % pid, "rb") as file:
        return file.read()


def wait_title(server, pid, wanted):
    until(lambda: title(pid) == wanted, "%r" % wanted, lambda: repr(title(pid)) + server.log())


def comm(pid):
    with open("/proc/%d/comm" % pid) as file:
        return file.read().rstrip("\n")


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_each_process_says_what_it_is(supervise, preload):
    server = supervise("hello", 2, *preload)
    assert title(server.pid) == b"wsgi-fcgi: supervisor\0"
    for number, pid in server.serving().items():
        assert title(pid) == b"wsgi-fcgi: worker %d\0" % number and comm(pid) == "wsgi-fcgi-w%d" % number
    if preload:
        zygote, = server.zygotes()
        assert title(zygote) == b"wsgi-fcgi: zygote\0"


def test_also_after_a_reload(supervise):
    """The command line is still what the programs are executed with."""
    server = supervise("hello", 1)
    before = server.serving()[0]
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    server.wait_gone(before)
    assert title(server.pid) == b"wsgi-fcgi: supervisor\0"
    assert title(server.serving()[0]) == b"wsgi-fcgi: worker 0\0"


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_how_a_worker_ends(supervise, gate, preload):
    server = supervise("wsgiapp", 1, *preload)
    pid = server.serving()[0]
    connection, visitor = hold(server, gate)
    os.kill(pid, signal.SIGTERM)
    wait_title(server, pid, b"wsgi-fcgi: worker 0 (retiring)\0")
    server.signal(signal.SIGTERM)
    wait_title(server, server.pid, b"wsgi-fcgi: supervisor (stopping)\0")
    wait_title(server, pid, b"wsgi-fcgi: worker 0 (stopping)\0")
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"


def test_environment_stays_to_be_seen(supervise):
    server = supervise("hello", 1, env={"SHOWN": "here"})
    with open("/proc/%d/environ" % server.serving()[0], "rb") as file:
        assert b"SHOWN=here" in file.read().split(b"\0")


def test_single_process_keeps_its_command_line(start):
    server = start("hello")
    assert title(server.pid).split(b"\0")[:-1] == [word.encode() for word in server.process.args]
    assert comm(server.pid) == "wsgi-fcgi"
