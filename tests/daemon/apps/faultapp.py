"""Routes for the tests of faults and regressions, beside those of wsgiapp."""
import ctypes
import gzip
import hashlib
import os
import queue
import tempfile
import threading

from gateway import knock, visit
from wsgiapp import application, reply, route, text  # noqa: F401


@route
def pauses(environ, start_response, query):
    """Length and SHA-256 of the body; waits at the gate before the first byte and then every `every` bytes."""
    digest, length, pause = hashlib.sha256(), 0, 0
    while True:
        if length >= pause:
            visit(query["gate"], "read %d" % length)
            pause += int(query["every"])
        chunk = environ["wsgi.input"].read(1 << 16)
        if not chunk:
            return reply(start_response, [length, digest.hexdigest()])
        digest.update(chunk)
        length += len(chunk)


@route
def read_or_fail(environ, start_response, query):
    """Waits at the gate, then reads; an error of reading is the answer."""
    visit(query["gate"], "reading")
    try:
        length = len(environ["wsgi.input"].read())
    except OSError as error:
        return reply(start_response, ["failed", error.errno], "507 Insufficient Storage")
    return reply(start_response, ["read", length])


@route
def wrapped_gzip(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](gzip.open(query["path"]), 1000)


@route
def wrapped_temporary(environ, start_response, query):
    """A temporary file, open for reading and writing, from `offset` on; `ahead` bytes are read and given back first."""
    file = tempfile.TemporaryFile()
    file.write(environ["wsgi.input"].read())
    file.seek(int(query["offset"]) - int(query["ahead"]))
    file.read(int(query["ahead"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](file)


@route
def length_without_body(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return []


@route
def late(environ, start_response, query):
    """Waits at the gate, then answers `mib` MiB."""
    visit(query["gate"], "late")
    return text(start_response, b"x" * (int(query["mib"]) << 20))


@route
def two_readers(environ, start_response, query):
    """Two threads read the body at once; the lengths and sums of what each got."""
    stream, got = environ["wsgi.input"], [[], []]

    def read(pieces):
        for piece in iter(lambda: stream.read(997), b""):
            pieces.append(piece)

    threads = [threading.Thread(target=read, args=(pieces,)) for pieces in got]
    for thread in threads:
        thread.start()
    knock(query["gate"], "reading").close()
    for thread in threads:
        thread.join()
    return reply(start_response, [sum(len(piece) for pieces in got for piece in pieces),
                                  sum(sum(piece) for pieces in got for piece in pieces)])


@route
def two_writers(environ, start_response, query):
    """Two threads write until one of them may not; tells the gate why."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    failed = []

    def fill(letter):
        while not failed:
            try:
                write(letter * 100000)
            except Exception as error:
                failed.append(type(error).__name__)
                knock(query["gate"], failed[0]).close()

    other = threading.Thread(target=fill, args=(b"b",))
    other.start()
    fill(b"a")
    other.join()
    return []


@route
def writes_on(environ, start_response, query):
    """Writes until it may not; tells the gate why."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        while True:
            write(b"a" * 100000)
    except OSError as error:
        knock(query["gate"], type(error).__name__).close()
    return []


@route
def hold_gil(environ, start_response, query):
    """Waits at the gate in C, without giving the interpreter away."""
    read = ctypes.PyDLL(None).read
    with knock(query["gate"], "holding") as sock:
        read(sock.fileno(), ctypes.create_string_buffer(8), 8)
    return text(start_response, b"held\n")


@route
def write_and_log(environ, start_response, query):
    """One thread writes the answer while the handler's own writes to wsgi.errors."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    writer = threading.Thread(target=lambda: [write(b"a" * 5000) for _ in range(2000)])
    writer.start()
    for _ in range(2000):
        environ["wsgi.errors"].write("e" * 300 + "\n")
    writer.join()
    return []


@route
def large_pieces(environ, start_response, query):
    """Pieces of so many bytes, as a list or as an iterable of another kind."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    pieces = [b"x" * int(size) for size in query["sizes"].split()]
    return pieces if query["kind"] == "list" else iter(pieces)


def attempt(function, *args):
    try:
        function(*args)
    except OSError:
        pass


@route
def return_while_writing(environ, start_response, query):
    """Returns while a thread of its own is inside write()."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    writer = threading.Thread(target=lambda: attempt(write, b"a" * (64 << 20)), daemon=False)
    writer.start()
    visit(query["gate"], "writing")
    return []


@route
def return_while_waiting(environ, start_response, query):
    """Returns while a thread of its own waits for room in write(); it tells the gate how that ends."""
    write, begun = start_response("200 OK", [("Content-Type", "text/plain")]), threading.Event()

    def fill():
        write(b"a" * int(query["first"]))
        begun.set()
        try:
            write(b"a" * (64 << 20))
        except Exception as error:
            knock(query["gate"], type(error).__name__).close()

    threading.Thread(target=fill, daemon=False).start()
    begun.wait()
    visit(query["gate"], "waits")
    return []


def is_held(buffer):
    """Whether a thread is filling it: its memory cannot be taken away meanwhile."""
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return True
    return False


@route
def return_while_reading(environ, start_response, query):
    """Returns while threads of its own wait for the rest of the body; they tell the gate how that ends."""
    stream, buffers = environ["wsgi.input"], [bytearray(1 << 20) for _ in range(3)]

    def read(buffer):
        try:
            result = "read %d" % stream.readinto(buffer)
        except Exception as error:
            result = type(error).__name__
        knock(query["gate"], result).close()

    for buffer in buffers:
        threading.Thread(target=read, args=(buffer,)).start()
    while not all(map(is_held, buffers)):
        pass
    return text(start_response, b"returned\n")


@route
def says(environ, start_response, query):
    """Writes `text` (or the body) to wsgi.errors as it is, after it was at the gate if there is one."""
    if "gate" in query:
        visit(query["gate"], "says")
    said = environ["wsgi.input"].read().decode() if "from" in query else query["text"]
    environ["wsgi.errors"].write(said)
    return text(start_response, b"said\n")


@route
def crashes(environ, start_response, query):
    environ["wsgi.errors"].write("before the crash\n")
    if query["how"] == "abort":
        os.abort()
    ctypes.string_at(0)


@route
def says_between(environ, start_response, query):
    """Says something about each part before it."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(int(query["count"])):
        environ["wsgi.errors"].write("about part %d\n" % number)
        yield b"part %d\n" % number


@route
def says_and_fails(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"part\n"
    environ["wsgi.errors"].write(query["text"] + "\n")
    raise RuntimeError("raised in mid-body")


@route
def says_later(environ, start_response, query):
    """A thread says it after the request has ended."""
    errors, done = environ["wsgi.errors"], threading.Event()

    class Ending(list):
        close = staticmethod(done.set)

    def later():
        done.wait()
        errors.write("later: " + query["text"] + "\n")

    threading.Thread(target=later, daemon=False).start()
    return Ending(text(start_response, b"said\n"))


@route
def cut_short(environ, start_response, query):
    """Announces more than it sends."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return [b"part\n"]


@route
def beats(environ, start_response, query):
    """A thread that comes to the gate again and again, until it is told to stop."""
    def beat():
        while visit(query["gate"], "beat") == "go":
            pass

    threading.Thread(target=beat).start()
    return text(start_response, b"beats\n")


@route
def copied_by_helpers(environ, start_response, query):
    """One thread reads the body, another one writes it back, and a third logs; the handler waits for them."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    pieces, stream, errors = queue.Queue(), environ["wsgi.input"], environ["wsgi.errors"]

    def read():
        try:
            for piece in iter(lambda: stream.read(7001), b""):
                pieces.put(piece)
        finally:
            pieces.put(b"")

    def send():
        for piece in iter(pieces.get, b""):
            write(piece)

    def tell():
        for number in range(50):
            errors.write("number %d\n" % number)
            environ["wsgi_fcgi.client_connected"]()

    threads = [threading.Thread(target=attempt, args=(function,)) for function in (read, send, tell)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Closing(query)


class Closing(list):
    """A thread says at the gate that close() was called, and close() does not wait for it."""
    def __init__(self, query):
        self.query = query

    def close(self):
        threading.Thread(target=lambda: knock(self.query["gate"], "closed").close(), daemon=False).start()
