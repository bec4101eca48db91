"""Functions that C code leaves to the main thread (Py_AddPendingCall); `GATE` in the environment is where they report."""
import atexit
import ctypes
import os
import threading
import time

from gateway import knock, visit

GATE = os.environ["GATE"]
add_pending = ctypes.pythonapi.Py_AddPendingCall
add_pending.argtypes = [ctypes.c_void_p, ctypes.py_object]
is_true = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p)
kept = []


class Function:
    """Its truth is a function in C that returns 0, or -1 with an exception."""

    def __init__(self, name, exception=None):
        self.name, self.exception, self.ran = name, exception, threading.Event()
        kept.append(self)

    def __bool__(self):
        main = threading.current_thread() is threading.main_thread()
        self.ran.set()
        knock(GATE, "%s in %s" % (self.name, "main" if main else "another thread")).close()
        if self.exception:
            raise self.exception
        return False


def add(*args):
    function = Function(*args)
    assert add_pending(is_true, function) == 0
    return function


def idle():
    add("idle")


def held():
    """The call that asks for it sleeps meanwhile."""
    add("held").ran.wait()


def computed():
    """The call that asks for it keeps the interpreter busy meanwhile."""
    function = add("computed")
    while not function.ran.is_set():
        pass


def alone():
    """A thread of the application asks for it, when the call has ended and the test says so."""
    def run():
        visit(GATE, "alone")
        add("alone")
    threading.Thread(target=run, daemon=False).start()


def raising():
    add("first", ValueError("of the first"))
    add("second", KeyError("of the second"))
    add("third")


def many():
    """As many as there is room for, all of which raise an exception."""
    functions = [Function("one of many", ValueError("of many"))]
    while len(functions) <= 1000 and add_pending(is_true, functions[-1]) == 0:
        functions.append(Function("one of many", ValueError("of many")))
    for function in functions[:-1]:
        function.ran.wait()


def leaving():
    add("leaving", SystemExit(5))


def forked():
    """In a child they have nothing to do with the server."""
    pid = os.fork()
    if not pid:
        function = add("child")
        while not function.ran.is_set():
            time.sleep(0.001)
        os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)


def stopping():
    visit(GATE, "stopping")
    add("late")


atexit.register(lambda: knock(GATE, "atexit").close())
if "AT_LOAD" in os.environ:
    add("at load")


def application(environ, start_response):
    globals()[environ["PATH_INFO"].strip("/")]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"added"]
