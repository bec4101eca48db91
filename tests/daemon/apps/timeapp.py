"""How much time requests have, and what is raised in them when it is over. `GATE` is where calls report."""
import ctypes
import os
import resource
import threading
import time

import wsgi_fcgi

from gateway import knock, visit
from wsgiapp import application, reply, route, text  # noqa: F401

GATE = os.environ.get("GATE")
seen = []


def say(what):
    knock(GATE, what).close()


def forever():
    while True:
        time.sleep(0.001)


def reporting(function):
    """Says how it was left."""
    try:
        function()
    except BaseException as error:
        say(type(error).__name__)
        raise


def compute():
    number = 0
    while True:
        number += 1


def stubborn():
    for _ in range(3):
        try:
            forever()
        except:  # noqa: E722
            say("swallowed")


def never_still():
    """Waits for a lock that nobody releases."""
    lock = threading.Lock()
    lock.acquire()
    say("locked")
    lock.acquire(timeout=60)


def no_descriptors():
    """Waits for a lock in a process that can open nothing more. Says whether it was got in vain."""
    lock, got = threading.Lock(), False
    lock.acquire()
    with knock(GATE, "waits") as visit, knock(GATE, "tells") as told:
        threading.Thread(target=lambda: (visit.recv(1), lock.release())).start()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            told.sendall(b"none\n")
            lock.acquire()
            got = True
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            told.sendall(b"got\n" if got else b"left locked\n" if lock.locked() else b"not got\n")


def start_thread():
    """Waits for a thread to begin, and then hangs."""
    thread = threading.Thread(target=say, args=["thread"])
    visit(GATE, str(threading.get_native_id()))
    wsgi_fcgi.set_timeout(0.3)
    thread.start()
    forever()


@route
def left(environ, start_response, query):
    """How much time the call has, after it was given so much."""
    if "set" in query:
        wsgi_fcgi.set_timeout(None if query["set"] == "none" else float(query["set"]))
    return reply(start_response, wsgi_fcgi.time_left())


@route
def elsewhere(environ, start_response, query):
    """In a thread of the application."""
    def ask():
        said.append(wsgi_fcgi.time_left())
        said.append(wsgi_fcgi.client_connected())
        try:
            wsgi_fcgi.set_timeout(1)
        except RuntimeError as error:
            said.append(str(error))
    said = []
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return reply(start_response, said)


@route
def wrong(environ, start_response, query):
    said = []
    for value in (-1, float("nan"), "1", None, 3, 1e300, float("inf"), True):
        try:
            said.append(wsgi_fcgi.set_timeout(value))
        except (TypeError, ValueError) as error:
            said.append(type(error).__name__)
    return reply(start_response, said)


@route
def connected(environ, start_response, query):
    visit(GATE, str(wsgi_fcgi.client_connected()))
    visit(GATE, str(wsgi_fcgi.client_connected()))
    return text(start_response, b"nobody")


@route
def shorter(environ, start_response, query):
    """Takes less time than the server gives."""
    wsgi_fcgi.set_timeout(0.2)
    visit(GATE, "begun")
    say("%s %s" % (wsgi_fcgi.time_left(), wsgi_fcgi.client_connected()))
    return text(start_response, b"late")


@route
def raises(environ, start_response, query):
    raise wsgi_fcgi.RequestTimeout("of my own")


WAYS = {function.__name__: function for function in (forever, compute, stubborn, never_still, no_descriptors, start_thread)}


@route
def hang(environ, start_response, query):
    """In the call itself."""
    if "seconds" in query:
        wsgi_fcgi.set_timeout(float(query["seconds"]))
    reporting(WAYS[query["way"]])
    return text(start_response, b"ended")


class Closing:
    """A result whose close() says that it is run, and hangs on demand."""

    def __init__(self, items, hangs):
        self.items, self.hangs = iter(items), hangs

    def __iter__(self):
        return self.items

    def close(self):
        for _ in range(80):
            time.sleep(0.001)
        say("close")
        if self.hangs:
            reporting(forever)


def pieces(hangs):
    yield b"piece"
    if hangs:
        reporting(forever)


@route
def hang_in(environ, start_response, query):
    """In the iteration or in close()."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing(pieces(query["where"] == "iteration"), query["where"] == "close")


@route
def hang_in_write(environ, start_response, query):
    """The client takes nothing."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    say("writes")
    try:
        while True:
            write(b"x" * 100000)
    except BaseException as error:
        say(type(error).__name__)
        raise


@route
def hang_in_c(environ, start_response, query):
    """Keeps the interpreter lock, for so long."""
    ctypes.PyDLL(None).usleep(int(float(query["seconds"]) * 1e6))
    reporting(forever)


@route
def innocent(environ, start_response, query):
    for _ in range(100):
        pass
    return text(start_response, b"innocent")
