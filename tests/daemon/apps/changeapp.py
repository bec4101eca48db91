"""What changes while the server uses it: objects under its hands, and exceptions for a thread that come late."""
import ctypes
import functools
import itertools
import json
import os
import tempfile
import threading

from gateway import visit
from wsgiapp import application, reply, route, text  # noqa: F401

BIG = b"x" * (32 << 20)  # more than sockets hold


def meanwhile(function, gate):
    """Runs it in a thread once the test says so, and tells the test when that is done, with what it returned."""
    def run():
        visit(gate, "waiting")
        visit(gate, json.dumps(function()))
    threading.Thread(target=run).start()


CHANGES = {
    "number": lambda items: items.__setitem__(2, 7),
    "str": lambda items: items.__setitem__(2, "text"),
    "bytearray": lambda items: items.__setitem__(2, bytearray(b"second")),
    "none": lambda items: items.__setitem__(2, None),
    "same": lambda items: items.__setitem__(2, b"SECOND"),
    "longer": lambda items: items.__setitem__(2, b"SECOND, and more"),
    "more": lambda items: items.append(b"third"),
    "cleared": lambda items: items.clear(),
}


@route
def list_changes(environ, start_response, query):
    """A list that another thread changes while its first items are sent, of which the server keeps one at most."""
    items = [BIG, BIG[:100000], b"second"]
    meanwhile(lambda: CHANGES[query["how"]](items), query["gate"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return items


@route
def descriptor_changes(environ, start_response, query):
    """A wrapped file whose number another thread gives to another file while it is sent."""
    file, other = tempfile.TemporaryFile(buffering=0), tempfile.TemporaryFile(buffering=0)
    file.write(BIG)
    file.seek(0)
    other.write(b"o" * len(BIG))
    meanwhile(lambda: os.dup2(other.fileno(), file.fileno()), query["gate"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](file)


@route
def write_beside_file(environ, start_response, query):
    """Another thread writes more than Content-Length allows, and less, while a file is sent."""
    file = tempfile.TemporaryFile()
    file.write(BIG)
    file.seek(0)
    write = start_response("200 OK", [("Content-Type", "text/plain")])

    def write_both():
        raised = []
        for piece in (BIG + b"y", b"y"):
            try:
                write(piece)
            except Exception as error:
                raised.append(repr(error))
        return raised
    meanwhile(write_both, query["gate"])
    return environ["wsgi.file_wrapper"](file)


@route
def renamed_string(environ, start_response, query):
    """A string by mistake, of a class that is renamed when its length is asked for."""
    def length(self):
        type(self).__name__ = "Later"
        return 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return type("Ear" + query["rest"], (str,), {"__len__": length})("text")


@route
def header_that_goes(environ, start_response, query):
    """A header name that takes itself out of its list when an error is about to show it."""
    pair = []

    class Name(str):
        def __repr__(self):
            pair.clear()
            return 7
    pair += [Name("X-\u20ac"), "value"]
    start_response("200 OK", [pair])
    return [b"never"]


class Late(BaseException):
    """What a library for time-outs raises in a thread."""


def raise_in(ident):
    """A call that sets Late for a thread, without a step of Python after it; it gives 1."""
    return functools.partial(ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(ident), ctypes.py_object(Late))


def late_end():
    """An iterator over nothing that leaves Late pending for this thread."""
    return iter(raise_in(threading.get_ident()), 1)


class Result:
    closed = 0

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return self.items

    def close(self):
        for _ in range(3):
            pass
        Result.closed += 1


@route
def late_exception(environ, start_response, query):
    kind = query["kind"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if kind == "end":
        return itertools.chain([b"body"], late_end())
    if kind == "close":
        return Result(itertools.chain([b"body"], late_end()))
    if kind == "failure":
        return itertools.chain(late_end(), map(int, ["body"]))
    return Result(in_time())


def in_time():
    raise_in(threading.get_ident())()
    yield b"body"


@route
def closed(environ, start_response, query):
    return reply(start_response, Result.closed)


@route
def late_for_all(environ, start_response, query):
    """Sets Late in all threads that run calls, when this call has ended."""
    names = [thread for thread in threading.enumerate() if thread.name.startswith(("wsgi-fcgi-", "MainThread"))]
    assert threading.current_thread() in names
    meanwhile(lambda: [raise_in(thread.ident)() for thread in names], query["gate"])
    return text(start_response, b"ended")


@route
def innocent(environ, start_response, query):
    for _ in range(100):
        pass
    return text(start_response, b"innocent")
