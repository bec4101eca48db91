"""Is imported for as long as the test likes. `GATE` in the environment is where it reports, and `HOW` what it does."""
import atexit
import ctypes
import os
import signal
import socket
import time

import wsgiapp
from gateway import knock, visit

GATE = os.environ["GATE"]
application = wsgiapp.application
before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1")}


def report(text):
    knock(GATE, text).close()


def sleep():
    try:
        report("importing")
        time.sleep(1000)
    finally:
        report("finally")


def receive():
    """In a system call that is begun again by default."""
    ends = socket.socketpair()
    try:
        report("importing")
        ends[0].recv(1)
    finally:
        report("finally")


def compute():
    report("importing")
    while True:
        pass


def swallow():
    """As a server of the module's own does, which Ctrl-C ends."""
    try:
        sleep()
    except BaseException:
        pass


def fail():
    try:
        sleep()
    except BaseException as error:
        raise RuntimeError("instead") from error


def never():
    while True:
        swallow()


def stuck():
    """In a function of C that keeps the interpreter to itself, and does not look at signals."""
    libc, mutex, said = ctypes.PyDLL(None), ctypes.create_string_buffer(64), []
    libc.pthread_mutex_lock(mutex)
    while True:
        try:
            said or said.append(report("importing"))
            libc.pthread_mutex_lock(mutex)
        except BaseException:
            pass


def handle():
    """Has handlers of its own by the time that the signal comes."""
    for name in ("SIGTERM", "SIGINT", "SIGQUIT"):
        signal.signal(getattr(signal, name), lambda number, frame: report("handled"))
    visit(GATE, "importing")


def restore():
    """Has handlers for a time, as servers and event loops have them while they run, and puts back what was there."""
    for name in before:
        signal.signal(getattr(signal, name), signal.signal(getattr(signal, name), lambda number, frame: None))


def child():
    """A child that it forks, in which the signal does what it does by default."""
    pid = os.fork()
    if not pid:
        try:
            report("child %d" % os.getpid())
            time.sleep(1000)
        except BaseException as error:
            report(type(error).__name__)
            os._exit(7)
    report("status %d" % os.waitpid(pid, 0)[1])


def shown():
    """What Python says of the signals."""
    names = {signal.SIG_DFL: "default", signal.SIG_IGN: "ignored", signal.default_int_handler: "interrupt"}
    report(" ".join(str(names.get(handler, handler)) for handler in before.values()))


def late():
    """At the end of a start that has failed by itself."""
    atexit.register(sleep)
    raise RuntimeError("as it is")


globals()[os.environ["HOW"]]()
