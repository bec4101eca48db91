"""Applications that follow PEP 3333, and some that break it in one place; beside the routes of wsgiapp.

Every path is served a second time below /validated, where wsgiref.validate stands between the server and the
application.
"""
import codecs
import collections
import contextlib
import csv
import faulthandler
import functools
import gc
import gzip
import io
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from wsgiref.validate import validator

import streams
import wsgiapp
from gateway import knock, visit
from wsgiapp import Closing, closed, kept, lock, reply, route, text

PLAIN = [("Content-Type", "text/plain")]

if "DEFAULT_SIGPIPE" in os.environ:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def dispatch(environ, start_response):
    return wsgiapp.application(environ, start_response)


validated = validator(dispatch)


def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/validated/"):
        environ["SCRIPT_NAME"] += "/validated"
        environ["PATH_INFO"] = environ["PATH_INFO"][len("/validated"):]
        return validated(environ, start_response)
    return dispatch(environ, start_response)


def attempt(function, *args, **keywords):
    """What a call returns, or the name of the exception's type."""
    try:
        return function(*args, **keywords)
    except BaseException as error:
        return type(error).__name__


# --- wsgi.input

@route
def operations(environ, start_response, query):
    """Runs the calls that the first line of the body lists on the rest of it."""
    stream = environ["wsgi.input"]
    return reply(start_response, streams.results(stream, json.loads(stream.readline())))


# What people do with a stream that has these methods.
WRAPPED = {
    "text": lambda stream: io.TextIOWrapper(stream, "utf-8").read(),
    "text lines": lambda stream: list(io.TextIOWrapper(stream, "utf-8", newline="")),
    "text left": lambda stream: [(wrapper := io.TextIOWrapper(stream, "utf-8")).readline(), wrapper.detach() is stream,
                                 stream.closed],
    "text closes": lambda stream: [io.TextIOWrapper(stream, "utf-8").readline(), stream.closed],
    "buffered": lambda stream: io.BufferedReader(stream).read(),
    "buffered pieces": lambda stream: (lambda reader: [reader.peek(3)[:3], reader.read(3), reader.readline(),
                                                       reader.read1(5), reader.read()])(io.BufferedReader(stream)),
    "text over buffered": lambda stream: io.TextIOWrapper(io.BufferedReader(stream), "utf-8").readlines(),
    "codecs": lambda stream: codecs.getreader("utf-8")(stream).read(),
    "copyfileobj": lambda stream: (lambda out: (shutil.copyfileobj(stream, out), out.getvalue())[1])(io.BytesIO()),
    "csv": lambda stream: list(csv.reader(io.TextIOWrapper(stream, "utf-8", newline=""))),
    "classes": lambda stream: [isinstance(stream, kind) for kind in (io.IOBase, io.BufferedIOBase, io.RawIOBase,
                                                                     io.TextIOBase)],
    "subprocess": lambda stream: attempt(subprocess.run, ["true"], stdin=stream),
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream).read(),
    "tar": lambda stream: [member.name for member in tarfile.open(fileobj=stream, mode="r|")],
    "pickle": lambda stream: [len(part) for part in pickle.load(stream)],
}


@route
def wrapped_input(environ, start_response, query):
    return reply(start_response, streams.text_of(WRAPPED[query["how"]](environ["wsgi.input"])))


@route
def read_to_the_end(environ, start_response, query):
    """Calls `call` until it gives nothing: how long the pieces were, and all of them."""
    stream, pieces = environ["wsgi.input"], []
    name, *args = json.loads(query["call"])
    while not pieces or pieces[-1]:
        if name == "read1":
            pieces.append(stream.read1(*args))
        else:
            buffer = bytearray(args[0])
            pieces.append(bytes(buffer[:stream.readinto1(buffer)]))
    return reply(start_response, [[len(piece) for piece in pieces], b"".join(pieces).decode("latin-1")])


@route
def read1_slowly(environ, start_response, query):
    """Takes the first `skip` bytes, then what has come behind them, and shows that before it reads on."""
    stream = environ["wsgi.input"]
    stream.read(int(query["skip"]))
    if query["how"] == "read1":
        piece = stream.read1()
    else:
        buffer = bytearray(1000)
        piece = bytes(buffer[:stream.readinto1(buffer)])
    visit(query["gate"], piece.decode())
    start_response("200 OK", PLAIN)
    return [stream.read()]


@route
def held_buffer(environ, start_response, query):
    """What becomes of a buffer that a thread fills: its memory cannot be taken away meanwhile."""
    environ["wsgi.input"].read(int(query["skip"]))
    buffer, counts, held = bytearray(10), [], False
    reader = threading.Thread(target=lambda: counts.append(getattr(environ["wsgi.input"], query["how"])(buffer)))
    reader.start()
    while reader.is_alive() and not held:
        held = attempt(buffer.append, 0) == "BufferError" or attempt(buffer.pop) == "BufferError"
    visit(query["gate"], "held" if held else "not held")
    reader.join()
    return reply(start_response, bytes(buffer[:counts[0]]).decode())


@route
def closed_input(environ, start_response, query):
    """wsgi.input belongs to the application, which may close it."""
    environ["wsgi.input"].close()
    return reply(start_response, "closed")


@route
def sum_of_input(environ, start_response, query):
    """Reads as the validator lets an application read, and gives the bytes back."""
    stream, got = environ["wsgi.input"], []
    assert iter(stream) is not None
    got.append(stream.read(3))
    got.append(stream.readline())
    got += stream.readlines(5)
    got += list(stream)
    got += [stream.read(10), stream.readline()] + stream.readlines()
    return text(start_response, b"".join(got))


@route
def errors_stream(environ, start_response, query):
    """Everything that wsgi.errors has to take; what the calls return."""
    stream = environ["wsgi.errors"]
    results = [attempt(stream.write, "errors %s: caf\xe9 \u20ac \U0001f600 \x00 lone \udc80\n" % query["token"]),
               attempt(stream.writelines, ["one\n", "two\n"]), attempt(stream.writelines, (part for part in "ab\n")),
               attempt(stream.flush)]
    if "wrong" in query:
        results += [attempt(stream.write, b"bytes"), attempt(stream.write), attempt(stream.writelines, [b"bytes"])]
    return reply(start_response, results)


@route
def errors_as_io(environ, start_response, query):
    """What users of a text stream of the io module do with it."""
    stream, token = environ["wsgi.errors"], query["token"]
    with stream as entered, stream.buffer as buffer:
        entered.write("in parts ")
        buffer.write(memoryview(b"%s, " % token.encode()))
        buffer.writelines([b"one ", bytearray(b"two\n")])
    stream.close()
    handler = logging.StreamHandler(stream)
    handler.handle(logging.makeLogRecord({"msg": "logged " + token}))
    with contextlib.redirect_stderr(stream):
        print("redirected " + token, file=sys.stderr)
    return reply(start_response, [
        isinstance(stream, io.TextIOBase), isinstance(stream.buffer, io.BufferedIOBase), stream.closed, buffer.closed,
        stream.newlines, stream.write_through, stream.line_buffering, stream.encoding, buffer.mode,
        attempt(stream.reconfigure), attempt(stream.reconfigure, line_buffering=True),
        attempt(stream.reconfigure, other=1), attempt(buffer.write, "text"),
        sorted(name for name in set(dir(io.TextIOWrapper)) - set(dir(stream)) if not name.startswith("_")),
        {attempt(getattr(stream, name)) for name in ("detach", "read", "readline", "readlines", "seek", "tell", "truncate")}
        == {"UnsupportedOperation"}])


@route
def errors_as_descriptor(environ, start_response, query):
    """What takes the descriptor writes past the server, and that within lines which the server writes at that moment."""
    faulthandler.dump_traceback(environ["wsgi.errors"], all_threads=False)
    return reply(start_response, [])


# --- the result

class Items(collections.UserList):
    """A sequence that is neither list nor tuple."""


class OldProtocol:
    """An iterable by __getitem__ alone."""

    def __getitem__(self, index):
        return [b"one ", b"", b"two"][index]


class ListWithClose(list):
    def close(self):
        closed["list"] += 1


class Lazy:
    """A class as the application: start_response is called by the first iteration."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", PLAIN)
        yield b"one "
        yield b"two"


def generated(environ, start_response):
    """A generator function as the application: nothing of it runs before the first next()."""
    start_response("200 OK", PLAIN)
    yield b"one "
    yield b""
    yield b"two"


RESULTS = {
    "list": lambda: [b"one ", b"two"], "tuple": lambda: (b"one ", b"two"), "iterator": lambda: iter([b"one ", b"two"]),
    "generator": lambda: (part for part in (b"one ", b"", b"two")),
    "subclass": lambda: ListWithClose([b"one ", b"two"]),
    "userlist": lambda: Items([b"one ", b"two"]), "deque": lambda: collections.deque([b"one ", b"two"]),
    "old": OldProtocol, "dict": lambda: {b"one ": 1, b"two": 2}, "file": lambda: io.BytesIO(b"one two"),
    "map": lambda: map(bytes, [b"one ", b"two"]), "bytessubclass": lambda: [type("B", (bytes,), {})(b"one two")],
}


@route
def result(environ, start_response, query):
    start_response("200 OK", PLAIN)
    return RESULTS[query["kind"]]()


class Watched:
    """An iterable that notes which of its attributes are looked at."""

    def __init__(self, names):
        self.names = names

    def __getattribute__(self, name):
        if name != "names":
            self.names.append(name)
        return object.__getattribute__(self, name)

    def __iter__(self):
        return iter([b"watched"])

    def __len__(self):
        raise RuntimeError("the length is nobody's business")


@route
def watched(environ, start_response, query):
    start_response("200 OK", PLAIN)
    kept["names"] = []
    return Watched(kept["names"])


@route
def watched_names(environ, start_response, query):
    return reply(start_response, kept["names"])


@route
def stream_attributes(environ, start_response, query):
    return reply(start_response, [[name for name in dir(environ[key]) if not name.startswith("_")]
                                  for key in ("wsgi.input", "wsgi.errors")])


@route
def lazy(environ, start_response, query):
    return Lazy(environ, start_response)


@route
def lazy_generator(environ, start_response, query):
    return generated(environ, start_response)


class Broken(Exception):
    def __str__(self):
        raise ValueError("no text")
    __repr__ = __str__


def deep():
    return deep() + 1


def raise_surrogates():
    raise RuntimeError("surrogates \udc80\ud800 \x00")


def raise_chain():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    raise first


def throw(error):
    raise error


RAISES = {
    "RuntimeError": lambda: throw(RuntimeError("plain")), "SystemExit": lambda: sys.exit("exit"),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt), "GeneratorExit": lambda: throw(GeneratorExit),
    "MemoryError": lambda: [None] * (1 << 62), "RecursionError": deep, "StopIteration": lambda: throw(StopIteration(5)),
    "Broken": lambda: throw(Broken()), "surrogates": raise_surrogates, "chain": raise_chain,
    "ExceptionGroup": lambda: throw(ExceptionGroup("group", [ValueError("one"), TypeError("two")])),
    "BrokenPipeError": lambda: throw(BrokenPipeError("not the client's")),
    "SyntaxError": lambda: compile("1 1", "x", "eval"),
}


class Raising:
    """An iterable of two parts that calls `kind`, which raises, in `place`."""

    def __init__(self, kind, place, token):
        self.kind, self.place, self.token, self.count = kind, place, token, 0

    def raise_in(self, place):
        if self.place == place:
            self.kind()

    def __iter__(self):
        self.raise_in("iter")
        return self

    def __next__(self):
        self.count += 1
        if self.count > 2:
            raise StopIteration
        self.raise_in("first" if self.count == 1 else "second")
        return b"part\n"

    def close(self):
        with lock:
            closed[self.token] += 1
        self.raise_in("close")


@route
def raises(environ, start_response, query):
    """An exception of each kind, in each place."""
    result = Raising(RAISES[query["kind"]], query["place"], query["token"])
    result.raise_in("call")
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    result.raise_in("started")
    return result


@route
def wrong_result(environ, start_response, query):
    """What is no iterable of bytes objects."""
    async def coroutine():
        return [b"body"]

    async def generator():
        yield b"body"

    class Awaitable:
        def __await__(self):
            yield

    start_response("200 OK", PLAIN)
    value = {"none": None, "str": "body", "bytes": b"body", "int": 5, "object": object(),
             "bytearray": [bytearray(b"x")], "memoryview": [memoryview(b"x")],
             "strs": ["body"], "ints": [1], "nested": [[b"body"]],
             "mixed": [b"body", "str"], "true": True, "function": lambda: [b""]}
    if query["kind"] == "coroutine":
        value["coroutine"] = coroutine()
    value["async generator"], value["awaitable"] = generator(), Awaitable()
    result = value[query["kind"]]
    return (item for item in result) if query.get("generator") else result


@route
def asgi(environ, start_response, query):
    """An ASGI application that is called as a WSGI one."""
    async def application(scope, receive, send=None):
        raise RuntimeError("nothing of this runs")

    return application(environ, start_response)


@route
def empty_result(environ, start_response, query):
    start_response("200 OK", PLAIN)
    return {"list": [], "str": "", "bytes": b"", "generator": (b"" for _ in range(3)), "dict": {}}[query["kind"]]


# --- start_response

@route
def characters(environ, start_response, query):
    """The code points that start_response takes in a place, and what it raises for the others."""
    taken, raised = [], set()
    for code in [*range(256), 0x100, 0x20ac, 0x1f600, 0xdc80]:
        name, value, status = "X-Name", "value", "200 OK"
        if query["place"] == "name":
            name = "X" + chr(code) + "Name"
        elif query["place"] == "value":
            value = "va" + chr(code) + "lue"
        elif query["place"] == "end":
            value = "value" + chr(code)
        else:
            status = "200 O" + chr(code) + "K"
        try:
            start_response(status, [(name, value)], (None, None, None))
            taken.append(code)
        except Exception as error:
            raised.add(type(error).__name__)
    start_response("200 OK", [("Content-Type", "application/json")], (None, None, None))
    return [json.dumps([taken, sorted(raised)]).encode()]


@route
def all_values(environ, start_response, query):
    value = "".join(map(chr, [*range(0x20, 0x7f), *range(0xa0, 0x100)]))
    start_response("200 OK", [("X-All", "x" + value + "x")])
    return [b"body"]


@route
def refused(environ, start_response, query):
    """Each of the arguments that `args` lists; what start_response raises."""
    results = []
    for args in json.loads(query["args"]):
        status, headers = args
        headers = [tuple(header) if isinstance(header, list) else header for header in headers]
        results.append(attempt(start_response, status, headers, (None, None, None)))
    results = [value if isinstance(value, str) else "taken" for value in results]
    start_response("200 OK", PLAIN, (None, None, None))
    return [json.dumps(results).encode()]


class OldHeaders:
    """Headers by __getitem__ alone."""

    def __getitem__(self, index):
        return PAIRS[index]


def raising_headers():
    yield PAIRS[0]
    raise LookupError("while the headers are made")


PAIRS = [("X-One", "1"), ("X-Two", "2")]
HEADERS = {
    "tuple": lambda: tuple(PAIRS), "iterator": lambda: iter(PAIRS), "generator": lambda: (pair for pair in PAIRS),
    "lists": lambda: [list(pair) for pair in PAIRS], "set": lambda: set(PAIRS), "subclass": lambda: Items(PAIRS),
    "old": OldHeaders,
    "dict": lambda: dict(PAIRS), "str": lambda: "X-One: 1", "bytes": lambda: b"X-One: 1", "int": lambda: 5,
    "none": lambda: None, "mapping": lambda: collections.UserDict(PAIRS), "strs": lambda: ["ab"],
    "raising": raising_headers,
}


@route
def headers_as(environ, start_response, query):
    start_response("200 OK", HEADERS[query["kind"]]())
    return [b"body"]


@route
def headers_call(environ, start_response, query):
    """An iterator of headers that calls start_response itself, as `how` says."""
    results = []
    try:
        raise LookupError("trapped")
    except LookupError:
        info = sys.exc_info()

    def taken(*args):
        got = attempt(start_response, *args)
        results.append(got if isinstance(got, str) else "taken")
        return got

    def headers():
        if query["how"] == "start":
            taken("202 Inner", [("X-Call", "inner")])
            yield "X-Results", json.dumps(results)
        else:
            write = taken("202 Inner", [("X-Call", "inner")], info)
            if query["how"].startswith("write"):
                write(b"written")
        yield "X-Two", "2"

    if query["how"] == "start":
        start_response("200 OK", headers())
        return [b"body"]
    taken("200 OK", headers(), *([info] if query["how"] == "write late" else []))
    return [b"body|" + json.dumps(results).encode()]


@route
def start_again(environ, start_response, query):
    """Calls of start_response in order, as `calls` names them; what each does."""
    info = None
    try:
        raise LookupError("trapped")
    except LookupError:
        info = sys.exc_info()
    calls = {
        "good": lambda: start_response("200 OK", [*PLAIN, ("X-Call", "good")]),
        "bad": lambda: start_response("200 OK", [("X-Bad", "a\nb")]),
        "positional": lambda: start_response("202 Second", [*PLAIN, ("X-Call", "second")], info),
        "named": lambda: start_response("202 Second", [*PLAIN, ("X-Call", "second")], exc_info=info),
        "none": lambda: start_response("203 None", PLAIN, None),
        "empty": lambda: start_response("203 None", PLAIN, ()),
        "wrong": lambda: start_response("203 None", PLAIN, "error"),
        "short": lambda: start_response("203 None", PLAIN, (1, 2)),
    }
    results = [attempt(calls[name]) for name in query["calls"].split()]
    results = [value if isinstance(value, str) else "started" for value in results]
    info = calls = None
    return [json.dumps(results).encode()]


@route
def too_late(environ, start_response, query):
    """start_response with exc_info after the headers were sent raises just that exception, with its traceback."""
    write = start_response("200 OK", PLAIN)
    write(b"sent ")
    try:
        raise LookupError("trapped")
    except LookupError as error:
        first, line = error, error.__traceback__.tb_lineno
        info = sys.exc_info()
    first.__traceback__ = None
    try:
        start_response("500 Late", PLAIN, info)
    except LookupError as error:
        traceback = error.__traceback__
        while traceback.tb_next:
            traceback = traceback.tb_next
        write(json.dumps([error is first, traceback.tb_lineno == line]).encode())
    for wrong in [(None, None, None)]:
        write(attempt(start_response, "500 Late", PLAIN, wrong).encode())
    return []


@route
def exc_info_is_let_go(environ, start_response, query):
    """How many more references there are to the exception after start_response has returned."""
    try:
        raise LookupError("trapped")
    except LookupError as error:
        info = sys.exc_info()
        before = sys.getrefcount(info), sys.getrefcount(error)
        start_response("200 OK", PLAIN, info)
        after = sys.getrefcount(info), sys.getrefcount(error)
    return [json.dumps([after[0] - before[0], after[1] - before[1]]).encode()]


@route
def keep_headers(environ, start_response, query):
    """The list and the tuples belong to the application: changing them afterwards changes nothing."""
    headers = [*PLAIN, ("X-Kept", "1")]
    start_response("200 OK", headers)
    headers[:] = [("X-Changed", "1")]
    return [b"body"]


@route
def arguments(environ, start_response, query):
    """Wrong numbers of arguments; what write() takes."""
    results = [attempt(start_response), attempt(start_response, "200 OK"),
               attempt(start_response, status="200 OK", response_headers=PLAIN),
               attempt(start_response, "200 OK", PLAIN, None, None), attempt(start_response, "200 OK", PLAIN, other=1)]
    write = start_response("200 OK", PLAIN)
    results += [attempt(write), attempt(write, b"a", b"b"), attempt(write, "str"), attempt(write, bytearray(b"x")),
                attempt(write, None), attempt(write, data=b"x"), attempt(write, b"")]
    return [json.dumps(results).encode()]


@route
def silent(environ, start_response, query):
    """The steps of `steps` with a visit to the gate after each: what was sent until then is the test's to find out."""
    write = None

    def run():
        nonlocal write
        for step in query["steps"].split():
            if step == "start":
                write = start_response("200 OK", [*PLAIN, ("X-Accel-Buffering", "no")])
            elif step.startswith("write"):
                write(step[6:].encode())
            else:
                yield step[6:].encode()
            visit(query["gate"], step)

    if query.get("inline"):  # all steps but those that yield, before anything is returned
        return list(run())
    return run()


@route
def length(environ, start_response, query):
    """`length` announced, `chunks` sent, by `kind`; how far the application came is counted."""
    chunks = [chunk.encode() * int(query.get("repeat", 1)) for chunk in query.get("chunks", "").split(",")]
    headers = [*PLAIN, *(("Content-Length", value) for value in query["length"].split(","))]
    write = start_response("200 OK", headers)
    if query["kind"] == "write":
        for chunk in chunks:
            write(chunk)
            wsgiapp.progress[query["token"]] += 1
        return []
    if query["kind"] == "list":
        return chunks

    def counted():
        for chunk in chunks:
            wsgiapp.progress[query["token"]] += 1
            yield chunk
    return Closing(counted(), query["token"])


@route
def endless(environ, start_response, query):
    """A body without an end, in pieces."""
    start_response(query.get("status", "200 OK"), PLAIN if "status" not in query else [])

    def pieces():
        try:
            while True:
                wsgiapp.progress[query["token"]] += 1
                yield b"piece\n"
        finally:
            with lock:
                closed[query["token"]] += 1
    return pieces()


@route
def write_until_gone(environ, start_response, query):
    """write() until it raises, which is trapped; then the iterable's close() still comes."""
    write = start_response("200 OK", PLAIN)
    try:
        while True:
            write(b"x" * 100000)
    except OSError as error:
        knock(query["gate"], "%s %s" % (type(error).__name__, environ["wsgi_fcgi.client_connected"]())).close()
    return Closing([b"rest"], query["token"], query["gate"])


@route
def write_and_iterate(environ, start_response, query):
    write = start_response("200 OK", PLAIN)
    write(b"1")
    write(b"")
    write(b"2")
    return RESULTS[query["kind"]]()


@route
def close_goes_on(environ, start_response, query):
    """An iterable whose close() tries to add something to the answer."""
    if "started" in query:
        write = start_response("200 OK", PLAIN)

    class Late(list):
        def close(self):
            kept["late"] = [attempt(start_response, "500 Late", PLAIN, *more) for more in ((), ((None, None, None),))]
            if "started" in query:
                kept["late"].append(attempt(write, b"late"))
    return Late([b"body"])


@route
def late_attempts(environ, start_response, query):
    return reply(start_response, kept["late"])


@route
def pieces(environ, start_response, query):
    """A list of `count` pieces of `size` bytes."""
    start_response("200 OK", PLAIN)
    return [b"%0*d" % (int(query["size"]), number) for number in range(int(query["count"]))]


@route
def many_headers(environ, start_response, query):
    start_response("200 OK", [*PLAIN, *(("X-Header-%d" % number, "v" * 1000) for number in range(int(query["count"])))])
    return [b"body"]


@route
def program(environ, start_response, query):
    """Takes the steps of `call`, and then those of `iterate` in the iteration of what it returns. `length` is announced
    first; an answer that replaces another one has no Content-Length."""
    length = [("Content-Length", query["length"])] if "length" in query else []
    write = None

    def step(name, text):
        nonlocal write
        if name == "start":
            write = start_response(text, [*PLAIN, *length])
        elif name == "replace":
            try:
                raise LookupError("trapped")
            except LookupError:
                write = start_response(text, PLAIN, sys.exc_info())
        elif name == "bad":
            attempt(start_response, "200 OK", [("X-Bad", "a\nb")])
        elif name == "write" and write:
            write(text.encode())
        elif name == "raise":
            raise RuntimeError(text)

    def iterate():
        for name, text in json.loads(query["iterate"]):
            if name == "yield":
                yield text.encode()
            else:
                step(name, text)

    for name, text in json.loads(query["call"]):
        step(name, text)
    return Closing(iterate(), query["token"])


# --- beyond the request

@route
def late_use(environ, start_response, query):
    """A thread that uses everything of this request after it has ended."""
    write = start_response("200 OK", PLAIN)
    stream = environ["wsgi.input"]
    stream.readline()

    def later():
        visit(query["gate"], "late")
        results = [attempt(write, b"late"), attempt(start_response, "200 OK", PLAIN),
                   attempt(start_response, "200 OK", PLAIN, (None, None, None)),
                   attempt(environ["wsgi_fcgi.client_connected"]), attempt(environ["wsgi.errors"].write, "late line\n"),
                   environ["PATH_INFO"], [type(attempt(getattr(stream, name))).__name__
                                          for name in ("read", "readline", "readlines")]]
        knock(query["gate"], json.dumps(results)).close()
    threading.Thread(target=later, daemon=False).start()
    return [b"ended"]


@route
def spoil(environ, start_response, query):
    """Does to its environ what an application may do."""
    assert type(environ) is dict
    stream = environ["wsgi.input"]
    how = query["how"]
    if how == "clear":
        environ.clear()
    elif how == "delete":
        for key in list(environ):
            del environ[key]
    elif how == "replace":
        for key in environ:
            environ[key] = None
    elif how == "types":
        environ.update({1: 2, None: 3, "REQUEST_METHOD": b"HEAD", ("a",): []})
    elif how == "self":
        environ["environ"] = environ
    body = stream.read()
    start_response("200 OK", PLAIN)
    return [body]


# --- files

class Subclass(io.FileIO):
    def read(self, size=-1):
        return super().read(size).upper()


@route
def wrap(environ, start_response, query):
    """wsgi.file_wrapper over the file `path`, opened as `kind` says."""
    path, kind = query["path"], query.get("kind", "plain")
    if kind == "raw":
        file = open(path, "rb", buffering=0)
    elif kind == "random":
        file = open(path, "r+b")
    elif kind == "dirty":  # what is written is still in the object
        file = open(path, "r+b")
        file.read(10)
        file.seek(0)
        file.write(b"WRITTEN")
        file.seek(0)
    elif kind == "text":
        file = open(path)
    elif kind == "subclass":
        file = Subclass(path)
    elif kind == "bytesio":
        file = io.BytesIO(open(path, "rb").read())
    elif kind == "pipe":
        reader, writer = os.pipe()
        os.write(writer, open(path, "rb").read(1000))
        os.close(writer)
        file = open(reader, "rb")
    elif kind == "closed":
        file = open(path, "rb")
        file.close()
    elif kind == "reader":
        file = type("Reader", (), {"read": staticmethod(open(path, "rb").read)})()
    else:
        file = open(path, "rb")
    if "offset" in query:
        file.seek(int(query["offset"]))
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    write = start_response(query.get("status", "200 OK"), headers)
    if "write" in query:
        write(query["write"].encode())
    kept["wrapped"] = file
    size = {"none": (), "zero": (0,), "minus": (-1,)}.get(query.get("size", "none")) or (
        (int(query["size"]),) if query.get("size", "").isdigit() else ())
    if query.get("size") == "zero":
        size = (0,)
    wrapper = environ["wsgi.file_wrapper"](file, *size)
    if "gate" in query:
        visit(query["gate"], "wrapped")
    return wrapper


@route
def wrapped_closed(environ, start_response, query):
    return reply(start_response, kept["wrapped"].closed)


@route
def wrapper_api(environ, start_response, query):
    """What the wrapper is when an application, or a middleware, looks at it itself."""
    wrapper = environ["wsgi.file_wrapper"]
    log = []

    class File:
        def read(self, size=-1):
            log.append(size)
            return b"abc" if len(log) < 3 else b""

        def close(self):
            log.append("close")

    made = wrapper(File(), 7)
    nothing_read = not log
    parts = list(made)
    made.close()
    without_close = wrapper(type("Reader", (), {"read": lambda self, size=-1: b""})())
    results = [nothing_read, [part.decode() for part in parts], log, attempt(without_close.close),
               attempt(wrapper), attempt(wrapper, File(), "size"), iter(made) is made]
    return reply(start_response, results)


# --- leaks

@route
def objects(environ, start_response, query):
    gc.collect()
    return reply(start_response, [len(gc.get_objects()), sys.getallocatedblocks()])


@route
def half(environ, start_response, query):
    """A part of the answer, then an exception."""
    start_response("200 OK", PLAIN)
    yield b"part"
    raise RuntimeError("half")


@route
def misuse(environ, start_response, query):
    for number in range(3):  # objects of their own, whose leak would be seen
        good = ("X-Good%d" % number, str(number))
        attempt(start_response, "200 OK", [good, ("X-Bad", "a\n%d" % number)], (number, 2, 3))
        attempt(start_response, "200 OK", [good, [number, {}]], (number, 2, 3))
        attempt(start_response, "OK %d" % number, [{number}])
    write = start_response("200 OK", PLAIN, (None, None, None))
    attempt(write, "str")
    return [b"misused"]


# --- the applications that the server can be told to call itself

class Instance:
    def __call__(self, environ, start_response):
        return Lazy(environ, start_response)

    def method(self, environ, start_response):
        return Lazy(environ, start_response)

    @classmethod
    def class_method(cls, environ, start_response):
        return Lazy(environ, start_response)

    @staticmethod
    def static_method(environ, start_response):
        return Lazy(environ, start_response)


class Unknowable(Instance):
    """A callable that does not like being looked at."""
    @property
    def __signature__(self):
        raise RuntimeError("not to be introspected")

    __wrapped__ = __text_signature__ = 5

    def __bool__(self):
        raise RuntimeError("not to be asked for its truth")


def positional_only(env, start, /):
    return Lazy(env, start)


def any_arguments(*args):
    assert len(args) == 2 and type(args[0]) is dict
    return Lazy(*args)


def more_arguments(one, two, three=None, *, four=4):
    assert three is None
    return Lazy(one, two)


instance = Instance()
unknowable = Unknowable()
bound_method = instance.method
partial = functools.partial(more_arguments, four=5)


def through_builtin(environ, start_response):
    return map(lambda part: part, generated(environ, start_response))
