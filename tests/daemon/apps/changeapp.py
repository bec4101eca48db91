"""What changes while the server uses it."""
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


@route
def innocent(environ, start_response, query):
    for _ in range(100):
        pass
    return text(start_response, b"innocent")
