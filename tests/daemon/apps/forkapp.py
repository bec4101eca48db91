"""Forks while a request is in work, in all the ways that there are. tests/daemon/test_forks.py plays the other part."""
import concurrent.futures
import ctypes
import hashlib
import json
import multiprocessing
import os
import platform
import signal
import sys
import threading

from gateway import knock, visit

PATIENCE = 60  # seconds: a child that hangs is to be seen, not to be left behind
SYS_CLONE = {"x86_64": 56, "aarch64": 220}
libc = ctypes.PyDLL(None)
pools = []


def raw_clone():
    """Nobody's handlers of pthread_atfork run."""
    return libc.syscall(ctypes.c_long(SYS_CLONE[platform.machine()]), signal.SIGCHLD, 0, 0, 0, 0)


def fork_twice():
    """As daemons do: what goes on is no child of the server."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return pid
    os.setsid()
    if os.fork():
        os._exit(0)
    return 0


FORKS = {"fork": os.fork, "pty": lambda: os.forkpty()[0], "libc": libc.fork, "raw": raw_clone, "twice": fork_twice}


def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:
            pass  # that of the listing
    return found


def live_on():
    """Tells what is open, and stays until the test says so."""
    told = json.dumps({"pid": os.getpid(), "open": descriptors()})
    visit(os.environ["GATE"], told)


def start(how, child):
    if how == "thread":
        thread = threading.Thread(target=start, args=("fork", child))
        thread.start()
        thread.join()
    elif how == "executor":
        pools.append(concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")))
        pools[-1].submit(child)
    elif not FORKS[how]():
        try:
            child()
        finally:
            os._exit(0)


def failure(function, *args):
    """What a call raises, as the number of the error; or what it returned."""
    try:
        return repr(function(*args))[:100]
    except OSError as error:
        return error.errno


def try_input(environ):
    """What each method of wsgi.input says, and what else of the request works."""
    body = environ["wsgi.input"]
    return [failure(body.read), failure(body.read, 10), failure(body.read1, 10), failure(body.readline),
            failure(body.readlines), failure(body.readinto, bytearray(10)), failure(next, body)]


def in_child(how, function):
    """Its result, from a child that ends then, or the status of a child that ended in another way."""
    reader, writer = os.pipe()
    pid = FORKS[how]()
    if not pid:
        signal.alarm(PATIENCE)
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(said) if said else status


def read_all(environ):
    digest, size = hashlib.sha256(), 0
    while True:
        piece = environ["wsgi.input"].read(65536)
        if not piece:
            return [size, digest.hexdigest()]
        size += len(piece)
        digest.update(piece)


def view_fork(how, environ, write):
    visit(os.environ["GATE"], "about to fork")
    start(how, live_on)
    return [b"parent"]


def view_cut(how, environ, write):
    """The answer ends early."""
    visit(os.environ["GATE"], "about to fork")
    start(how, live_on)
    write(b"a part")
    raise RuntimeError("the answer is cut")


def view_hang(how, environ, write):
    start(how, live_on)
    visit(os.environ["GATE"], "hanging")
    return [b"parent"]


def view_hold(how, environ, write):
    visit(os.environ["GATE"], "holding")
    return [b"held"]


def view_input(how, environ, write):
    """What a child gets from the body, and then its parent."""
    head = environ["wsgi.input"].readline(10).decode()
    return [json.dumps([head, in_child(how, lambda: try_input(environ)), read_all(environ)]).encode()]


def view_storm(how, environ, write):
    """Forks again and again while the body comes."""
    digest, size, told = hashlib.sha256(), 0, []
    while True:
        piece = environ["wsgi.input"].read(4096)
        if not piece:
            return [json.dumps([told, [size, digest.hexdigest()]]).encode()]
        size += len(piece)
        digest.update(piece)
        if len(told) < 100:
            told.append(in_child(how, lambda: failure(environ["wsgi.input"].read, 10)))


def view_errors(how, environ, write):
    """Text without a line feed: the parent's, in front of the child's own."""
    environ["wsgi.errors"].write("from the parent ")
    in_child(how, lambda: environ["wsgi.errors"].write("from the child\n"))
    environ["wsgi.errors"].write("only\n")
    return [b"told"]


def view_connected(how, environ, write):
    connected = environ["wsgi_fcgi.client_connected"]
    return [json.dumps([connected(), in_child(how, lambda: [connected(), failure(write, b"from the child")])]).encode()]


def view_returns(how, environ, write):
    """A child that goes on as if it were the server."""
    pid = FORKS[how]()
    return [json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()] if pid else [b"from the child"]


class Forking:
    """One that forks when it is freed."""

    def __init__(self):
        self.pieces = iter([b"answer"])

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def __del__(self):
        pid = os.fork()
        if pid:
            knock(os.environ["GATE"], "ended with %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).close()


def view_freed(how, environ, write):
    return Forking()


def on_signal(number, frame):
    """Forks in a handler, which returns in the child as well."""
    pid = os.fork()
    if pid:
        knock(os.environ["GATE"], "ended with %d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).close()


def application(environ, start_response):
    _, view, how = environ["PATH_INFO"].split("/")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    return globals()["view_" + view](how, environ, write)


signal.signal(signal.SIGUSR1, on_signal)
if os.environ.get("ON_IMPORT") == "fork" and not os.fork():
    print("the child goes on", file=sys.stderr, flush=True)
