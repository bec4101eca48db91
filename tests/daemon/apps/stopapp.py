"""Signals that end the process, and what applications do at them. `GATE` in the environment is where it reports, `HANDLE`
names the signals that it handles, and `HOW` how its handler ends."""
import _thread
import ctypes
import importlib
import os
import signal
import subprocess
import sys
import threading
from os import _exit, kill as kill_taken

import wsgiapp
from gateway import visit
from signalapp import report
from wsgiapp import reply, route

running = set()
del sys.modules["signal"]
copied = importlib.import_module("signal")
sys.modules["signal"] = signal


def again(number):
    """The usual way to chain, as ddtrace does it."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def kill(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def taken(number):
    """By a function that was taken from its module before."""
    signal.signal(number, signal.SIG_DFL)
    kill_taken(os.getpid(), number)


def copy(number):
    """By another copy of the module, as ddtrace makes one where gevent is installed."""
    copied.signal(number, copied.SIG_DFL)
    copied.raise_signal(number)


def other(number):
    """Ends by the other signal."""
    os.kill(os.getpid(), signal.SIGTERM if number == signal.SIGINT else signal.SIGINT)


def interrupt(number):
    raise KeyboardInterrupt


def chained(number):
    before[number](number, None)


HOW = {"again": again, "kill": kill, "taken": taken, "copy": copy, "_exit": lambda number: os._exit(3),
       "_exit taken": lambda number: _exit(status=3), "exit": lambda number: sys.exit(4), "return": lambda number: None,
       "other": other, "interrupt": interrupt, "chained": chained}


def handler(number, frame):
    report("%s with %d in work" % (signal.Signals(number).name, len(running)))
    HOW[os.environ["HOW"]](number)


before = {}
for name in os.environ.get("HANDLE", "").split():
    number = signal.Signals[name]
    before[number] = signal.signal(number, lambda number, frame: again(number))
    before[number] = signal.signal(number, handler)
ticks = threading.Semaphore(0)
signal.signal(signal.SIGALRM, lambda number, frame: ticks.release())


@route
def ticking(environ, start_response, query):
    """Waits at the gate, and then for several ticks of a timer of its own."""
    visit(query["gate"])
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.02)  # one handler ends before the next begins, on a busy machine too
    for _ in range(5):
        ticks.acquire()
    signal.setitimer(signal.ITIMER_REAL, 0)
    return reply(start_response, "ticked")


@route
def disarms(environ, start_response, query):
    """Takes away the timer of the process again and again, and keeps the interpreter to itself."""
    libc = ctypes.PyDLL(None)  # its calls keep the lock of the interpreter
    sys.setswitchinterval(1000)
    visit(query["gate"])
    while True:
        signal.alarm(0)
        libc.usleep(1000)


@route
def does(environ, start_response, query):
    """Calls something that is like a signal, and then waits at the gate."""
    what, number = query["what"], getattr(signal, query.get("number", "SIGTERM"))
    if what == "raise":
        signal.raise_signal(number)
        signal.raise_signal(number)
    elif what == "kill":
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    else:
        _thread.interrupt_main(number)
    visit(query["gate"])
    return reply(start_response, "done")


@route
def takes(environ, start_response, query):
    """Sets a handler, and says what there was; on another thread than the main one Python does not let it."""
    number, done = getattr(signal, query["number"]), threading.Event()

    def take(_):
        taken.append(signal.signal(number, handler))
        done.set()
        return 0
    taken = []
    call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(take)
    ctypes.pythonapi.Py_AddPendingCall(call, None)
    done.wait()
    return reply(start_response, "default" if taken == [signal.SIG_DFL] else str(taken))


@route
def runs(environ, start_response, query):
    """The status of a program that it runs; that is asked for when the gate, if there is one, lets it."""
    child = subprocess.Popen(["sh", "-c", "exit " + query["status"]])
    if "gate" in query:
        visit(query["gate"])
    return reply(start_response, child.wait())


@route
def orphan(environ, start_response, query):
    """Leaves a process behind that nobody waits for, which waits at the gate."""
    script = "import os, sys; sys.path.append(%r); from gateway import visit; os.fork() or visit(%r, 'orphan')"
    subprocess.run([sys.executable, "-c", script % (os.path.dirname(__file__), query["gate"])], check=True)
    return reply(start_response, "left")


def application(environ, start_response):
    running.add(id(environ))
    try:
        return wsgiapp.application(environ, start_response)
    finally:
        running.discard(id(environ))
