"""What works in Python's main thread only, or for what was made there at import: in calls. `GATE` in the environment is where
its handlers of signals and atexit report, and `HANDLE` names the signals that it handles."""
import _thread
import asyncio
import atexit
import os
import signal
import sqlite3
import sys
import threading
import time

import wsgiapp
from gateway import knock, visit
from wsgiapp import reply, route

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
database = sqlite3.connect(":memory:")
database.execute("create table calls (number integer)")
ran = []


class TooLate(Exception):
    pass


def who():
    thread = threading.current_thread()
    return "main" if thread is threading.main_thread() else thread.name


def report(text):
    try:
        knock(os.environ["GATE"], text).close()
    except (KeyError, OSError):
        pass  # the test does not listen (any more)


def too_late(number, frame):
    raise TooLate


def handler(number, frame):
    ran.append(number)
    report("%s in %s" % (signal.Signals(number).name, who()))


def waiting(number, frame):
    """A handler that takes as long as the test says."""
    visit(os.environ["GATE"], "%s waits in %s" % (signal.Signals(number).name, who()))


def exiting(number, frame):
    report("exiting")
    sys.exit(5)


def failing(number, frame):
    report("failing")
    raise ValueError("of a handler")


HOW = {"report": handler, "wait": waiting, "exit": exiting, "fail": failing}
for name in os.environ.get("HANDLE", "").split():
    signal.signal(signal.Signals[name], HOW[os.environ.get("HOW", "report")])
atexit.register(lambda: report("atexit in " + who()))


@route
def thread(environ, start_response, query):
    with open("/proc/thread-self/comm") as file:
        comm = file.read().strip()
    thread = threading.current_thread()
    return reply(start_response, {"main": thread is threading.main_thread(), "name": thread.name, "comm": comm,
                                  "native": threading.get_native_id(), "alive": threading.active_count(),
                                  "multithread": environ["wsgi.multithread"]})


@route
def timeout(environ, start_response, query):
    """A time limit as programs with one thread have it: `how` keeps it busy, computing or asleep."""
    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        if query["how"] == "sleep":
            time.sleep(1000)
        while True:
            pass
    except TooLate:
        return reply(start_response, "too late", "504 Gateway Timeout")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@route
def uncaught(environ, start_response, query):
    signal.signal(signal.SIGALRM, {"TooLate": too_late, "SystemExit": exiting}[query["kind"]])
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(1000)


@route
def database_count(environ, start_response, query):
    database.execute("insert into calls values (1)")
    return reply(start_response, database.execute("select count(*) from calls").fetchone()[0])


@route
def event_loop(environ, start_response, query):
    async def double(number):
        await asyncio.sleep(0)
        return 2 * number
    return reply(start_response, asyncio.get_event_loop_policy().get_event_loop() is loop and loop.run_until_complete(double(21)))


@route
def asyncio_run(environ, start_response, query):
    async def wait():
        await asyncio.sleep(0)
        return "ran"
    return reply(start_response, asyncio.run(wait()))


@route
def loop_signal(environ, start_response, query):
    """A loop of asyncio that handles a signal has Python write to that loop which signals come, for as long."""
    async def wait():
        came = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, came.set)
        os.kill(os.getpid(), signal.SIGUSR2)
        await came.wait()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR2)
        return "came"
    return reply(start_response, asyncio.run(wait()))


@route
def default(environ, start_response, query):
    """Handles SIGTERM for a while, as it may in the main thread, and restores what was there."""
    before = signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGTERM, before)
    return reply(start_response, before == signal.SIG_DFL)


@route
def handlers(environ, start_response, query):
    return reply(start_response, len(ran))


@route
def wait_handler(environ, start_response, query):
    """Waits until a handler has run in this call."""
    before = len(ran)
    report("waiting")
    while len(ran) == before:
        time.sleep(0.001)
    return reply(start_response, "ran")


@route
def interrupt(environ, start_response, query):
    _thread.interrupt_main()
    time.sleep(1000)


@route
def fork(environ, start_response, query):
    """A child of a call: it is what it would be in any program, and may end by returning from the call."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, too_late)
        with open("/proc/thread-self/comm") as file:
            os.write(theirs, ("%s %s" % (who(), file.read().strip())).encode())
        if query["end"] == "exit":
            os._exit(0)
        return reply(start_response, "from the child")
    os.close(theirs)
    said = os.read(ours, 100).decode()
    os.close(ours)
    return reply(start_response, [said, os.waitpid(pid, 0)[1]])


@route
def stuck(environ, start_response, query):
    """Does not end, and keeps the interpreter to itself if `lock` says so."""
    if "lock" in query:
        import ctypes
        report("stuck")
        while True:
            ctypes.PyDLL(None).sleep(1000)  # PyDLL: its calls keep the lock of the interpreter
    report("stuck")
    while True:
        time.sleep(1000)


application = wsgiapp.application
