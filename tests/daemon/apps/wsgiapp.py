"""The application that most tests talk to: one function per route.

A test tells a route what to do through the query string; `gate` is the path of the test's rendezvous (gateway.py).
"""
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from urllib.parse import parse_qs
from wsgiref.util import request_uri
from wsgiref.validate import validator

from gateway import knock, visit

routes = {}
lock = threading.Lock()
calls = Counter()       # token -> calls of a handler
closed = Counter()      # token -> calls of close()
progress = Counter()    # token -> bytes or chunks produced
app_threads = set()     # identities of the threads that have called the application
kept = {}
local = threading.local()


def route(function):
    routes["/" + function.__name__.replace("_", "-")] = function
    return function


def reply(start_response, value, status="200 OK"):
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def text(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Closing:
    """An iterable whose close() is counted, and told to the test when `gate` is given."""

    def __init__(self, chunks, token, gate=None):
        self.chunks, self.token, self.gate = iter(chunks), token, gate

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self.chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self):
        with lock:
            closed[self.token] += 1
        if self.gate:
            knock(self.gate, "close").close()


def application(environ, start_response):
    app_threads.add(threading.get_ident())
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    if "token" in query:
        with lock:
            calls[query["token"]] += 1
    handler = routes.get(environ["PATH_INFO"])
    if handler is None:
        return text(start_response, b"no such route\n", "404 Not Found")
    return handler(environ, start_response, query)


# --- plain answers

@route
def hello(environ, start_response, query):
    return text(start_response, b"Hello, world\n")


@route
def environ(environ, start_response, query):
    """Every key with its type's name and its value (repr unless it is JSON already)."""
    plain = (str, int, bool, list, tuple)
    return reply(start_response, {key: [type(value).__name__, value if isinstance(value, plain) else repr(value)]
                                  for key, value in environ.items()})


@route
def references(environ, start_response, query):
    """For each value that is a string, how many references there are to it beside that of the environ."""
    only = {"this": str(time.time())}
    few = sys.getrefcount(only["this"])
    return reply(start_response, {key: sys.getrefcount(environ[key]) - few
                                  for key in environ if type(environ[key]) is str})


@route
def url(environ, start_response, query):
    """The URL as PEP 3333 says that it is put together."""
    return text(start_response, request_uri(environ).encode("latin-1"))


@route
def respond(environ, start_response, query):
    """Whatever `spec` says: status, headers, write (chunks through write()), chunks, kind, token."""
    spec = json.loads(query["spec"])
    write = start_response(spec.get("status", "200 OK"), [tuple(header) for header in spec.get("headers", [])])
    for chunk in spec.get("write", []):
        write(chunk.encode("latin-1"))
    chunks = [chunk.encode("latin-1") for chunk in spec.get("chunks", [])]
    kinds = {"list": list, "tuple": tuple, "iterator": iter, "generator": lambda items: (item for item in items),
             "closing": lambda items: Closing(items, query["token"])}
    return kinds[spec.get("kind", "list")](chunks)


@route
def state(environ, start_response, query):
    token = query.get("token")
    return reply(start_response, {"calls": calls[token] - 1, "closed": closed[token], "progress": progress[token]})


@route
def validated(environ, start_response, query):
    def app(environ, start_response):
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.errors"].write("validated\n")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"valid\n"]
    # wsgiref wants native strings where it looks, and its own wrapper around the rest.
    return validator(app)(environ, start_response)


# --- the body of the request

@route
def echo(environ, start_response, query):
    return text(start_response, environ["wsgi.input"].read())


@route
def echo_stream(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(65536), b"")


@route
def hash(environ, start_response, query):
    """Length and SHA-256 of the body, read only after the gate has opened."""
    if "gate" in query:
        visit(query["gate"], "hash")
    digest, length = hashlib.sha256(), 0
    for chunk in iter(lambda: environ["wsgi.input"].read(50000), b""):
        digest.update(chunk)
        length += len(chunk)
    return reply(start_response, [length, digest.hexdigest()])


@route
def told(environ, start_response, query):
    """What CONTENT_LENGTH says (null: nothing), and length and SHA-256 of what there is; the gate opens before that is read."""
    length = environ.get("CONTENT_LENGTH")
    if "gate" in query:
        visit(query["gate"], "told %s" % length)
    body = environ["wsgi.input"].read()
    return reply(start_response, [length, len(body), hashlib.sha256(body).hexdigest()])


@route
def talk(environ, start_response, query):
    """An answer to each line of the body, before the next one is read."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"heard " + line for line in environ["wsgi.input"])


@route
def allow(environ, start_response, query):
    """For auth_request of nginx: yes, when the body that the web server keeps to itself is neither promised nor there."""
    empty = environ.get("CONTENT_LENGTH") == "0" and environ["wsgi.input"].read() == b""
    return text(start_response, b"", "204 No Content" if empty else "403 Forbidden")


@route
def read(environ, start_response, query):
    """Runs calls of wsgi.input as `ops` lists them, such as [["read", 3], ["readline"], ["iter"]]."""
    stream, results = environ["wsgi.input"], []
    for name, *args in json.loads(query["ops"]):
        value = list(stream) if name == "iter" else getattr(stream, name)(*args)
        lines = isinstance(value, list)
        results.append([line.decode("latin-1") for line in value] if lines else value.decode("latin-1"))
    return reply(start_response, results)


@route
def read_error(environ, start_response, query):
    """Reads until it fails; tells the gate how it ended."""
    visit(query["gate"], "reading")
    try:
        length = len(environ["wsgi.input"].read())
        knock(query["gate"], "read %d" % length).close()
    except Exception as error:
        knock(query["gate"], "raised " + type(error).__name__).close()
        raise
    return text(start_response, b"read\n")


# --- answers that take part in a rendezvous

@route
def gate(environ, start_response, query):
    visit(query["gate"], query.get("token", "gate"))
    return text(start_response, b"passed\n")


deadlock_locks = threading.Lock(), threading.Lock()
deadlock_both = threading.Barrier(2)


@route
def deadlock(environ, start_response, query):
    """Two calls, n=0 and n=1, each have a lock and wait for that of the other, for ever. They tell the gate before."""
    mine, other = deadlock_locks if query["n"] == "0" else reversed(deadlock_locks)
    with mine:
        deadlock_both.wait()
        knock(query["gate"], "deadlock").close()
        with other:
            return text(start_response, b"no deadlock\n")


@route
def stream(environ, start_response, query):
    """Chunks `0`, `1`, ...; each later one only after the gate let it pass."""
    # Without this nginx holds a short answer back until its end.
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])

    def chunks():
        for number in range(int(query.get("count", 3))):
            if number:
                visit(query["gate"], "chunk %d" % number)
            yield b"chunk %d\n" % number
    return Closing(chunks(), query.get("token"), query.get("closegate"))


@route
def connected(environ, start_response, query):
    """Waits at the gate, then until the client is gone, and tells the gate."""
    alive = environ["wsgi_fcgi.client_connected"]
    before = alive()
    visit(query["gate"], "connected %s" % before)
    end = time.monotonic() + 30
    while alive() and time.monotonic() < end:
        time.sleep(0.01)
    knock(query["gate"], "gone" if not alive() else "still there").close()
    return text(start_response, b"too late\n")


@route
def compute(environ, start_response, query):
    """Computes without a pause until the gate has opened."""
    done = []
    watcher = threading.Thread(target=lambda: done.append(visit(query["gate"], "compute")))
    watcher.start()
    count = 0
    while not done:
        count += 1
    watcher.join()
    return reply(start_response, count)


@route
def big(environ, start_response, query):
    """`mib` MiB in chunks of 64 KiB."""
    count = int(query["mib"]) * 16
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(count << 16))])

    def chunks():
        for number in range(count):
            progress[query["token"]] += 1 << 16
            yield b"%065535d\n" % number
    return Closing(chunks(), query["token"], query.get("closegate"))


# --- wsgi.file_wrapper

@route
def file(environ, start_response, query):
    """The file `path` (or its bytes in a BytesIO) from `offset` on through the wrapper."""
    opened = open(query["path"], "rb")
    if query.get("kind") == "bytesio":
        opened = io.BytesIO(opened.read())
    opened.seek(int(query.get("offset", 0)))
    real_close = opened.close
    if query.get("kind") == "object":
        class Reader:
            read = staticmethod(opened.read)

            def close(self):
                closed[query["token"]] += 1
                real_close()
        opened = Reader()
    kept["file"] = opened
    start_response(query.get("status", "200 OK"), [("Content-Type", "application/octet-stream")])
    if "size" in query:
        return environ["wsgi.file_wrapper"](opened, int(query["size"]))
    return environ["wsgi.file_wrapper"](opened)


@route
def file_closed(environ, start_response, query):
    return reply(start_response, kept["file"].closed)


# --- what goes wrong

@route
def raise_before(environ, start_response, query):
    raise RuntimeError("raised before the headers")


@route
def raise_after_start(environ, start_response, query):
    """start_response was called, but nothing is sent yet: still a 500."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise RuntimeError("raised after start_response")


@route
def raise_first(environ, start_response, query):
    """The iterable raises before its first chunk."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Closing([RuntimeError("raised by the first chunk")], query["token"])


@route
def raise_mid(environ, start_response, query):
    """The iterable raises when a part of the body is sent."""
    headers = [("Content-Type", "text/plain")]
    if "length" in query:
        headers.append(("Content-Length", query["length"]))
    start_response("200 OK", headers)
    return Closing([b"first part\n", RuntimeError("raised in mid-body")], query["token"])


@route
def raise_close(environ, start_response, query):
    class Broken(list):
        def close(self):
            raise RuntimeError("raised by close")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return Broken([b"fine\n"])


@route
def exits(environ, start_response, query):
    sys.exit("exit in a request")


@route
def interrupts(environ, start_response, query):
    raise KeyboardInterrupt


@route
def no_start(environ, start_response, query):
    return [b"no start_response\n"]


@route
def bad_result(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return {"none": None, "int": 5, "str": "a str", "strs": ["a str"], "ints": [5]}[query["kind"]]


@route
def bad_start(environ, start_response, query):
    """start_response with arguments that are evaluated here."""
    start_response(*eval(query["args"]))
    return [b"should not be seen\n"]


@route
def start_twice(environ, start_response, query):
    start_response("200 OK", [("Content-Type", "text/plain")])
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"should not be seen\n"]


@route
def exc_info_before(environ, start_response, query):
    """A second start_response with exc_info before anything is sent replaces the first."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
    try:
        raise ValueError("handled by the application")
    except ValueError:
        start_response("503 Busy", [("Content-Type", "text/plain"), ("X-Second", "2")], sys.exc_info())
    return [b"error page\n"]


@route
def exc_info_after(environ, start_response, query):
    """After a part of the body is out start_response raises exc_info again (PEP 3333)."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first part\n"
    try:
        raise ValueError("too late for an error page")
    except ValueError:
        start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
    yield b"should not be seen\n"


# --- the server around the application

@route
def errors(environ, start_response, query):
    stream = environ["wsgi.errors"]
    stream.write("written to errors: " + query["text"] + "\n")
    stream.writelines(["first line\n", "second line\n"])
    print("printed", "in", "parts", file=stream)
    stream.flush()
    return text(start_response, b"ok\n")


@route
def threads(environ, start_response, query):
    """How many threads have called the application, and whether this one is the main thread."""
    return reply(start_response, [len(app_threads), threading.current_thread() is threading.main_thread()])


@route
def thread_local(environ, start_response, query):
    """The thread's identity and how often this thread has come here, as a thread-local counts it."""
    local.count = getattr(local, "count", 0) + 1
    if "gate" in query:
        visit(query["gate"], "local")
    return reply(start_response, [threading.get_ident(), local.count])


class OfThread:
    """What an application keeps for a thread."""
    alive = 0

    def __init__(self):
        OfThread.alive += 1

    def __del__(self):
        OfThread.alive -= 1


@route
def of_thread_stream(environ, start_response, query):
    """An answer that is longer than anybody's buffers, on a thread for which something is kept."""
    local.kept = OfThread()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes(1 << 16) for _ in range(160))


@route
def of_threads(environ, start_response, query):
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("wsgi-fcgi-")]
    return reply(start_response, {"kept": OfThread.alive, "threads": threads})


@route
def place_of_status(environ, start_response, query):
    status, headers = json.load(environ["wsgi.input"])
    start_response(status, [tuple(header) for header in headers])
    return []


@route
def located_and_broken(environ, start_response, query):
    start_response("301 Moved Permanently", [("Location", "/there")])
    raise RuntimeError("behind a Location")


@route
def located_and_replaced(environ, start_response, query):
    start_response("301 Moved Permanently", [("Location", "/there")])
    try:
        raise RuntimeError("behind a Location")
    except RuntimeError:
        start_response("500 Broken", [("X-Own", "page")], sys.exc_info())
    return [b"own page"]


@route
def keep(environ, start_response, query):
    """Keeps everything of this request beyond its end."""
    kept.update(environ=environ, start_response=start_response, input=environ["wsgi.input"],
                errors=environ["wsgi.errors"], alive=environ["wsgi_fcgi.client_connected"])
    kept["write"] = start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"kept\n"]


@route
def use_kept(environ, start_response, query):
    """Uses what /keep has kept, in another request."""
    def attempt(function, *args):
        try:
            return repr(function(*args))
        except Exception as error:
            return "raised " + type(error).__name__
    results = {
        "path": kept["environ"]["PATH_INFO"],
        "read": attempt(kept["input"].read),
        "write": attempt(kept["write"], b"into another request"),
        "start": attempt(kept["start_response"], "200 OK", [("X-Stray", "1")]),
        "alive": attempt(kept["alive"]),
        "errors": attempt(kept["errors"].write, "written by kept errors\n"),
    }
    results["own"] = environ["wsgi.input"].read().decode()
    return reply(start_response, results)


@route
def child_signals(environ, start_response, query):
    """The signal mask and the ignored signals that a child process of the application starts with."""
    out = subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, check=True).stdout.decode()
    masks = dict(line.split(":\t") for line in out.splitlines() if line.startswith("Sig"))
    return reply(start_response, {name: int(masks[name], 16) for name in ("SigBlk", "SigIgn")})


@route
def child_fds(environ, start_response, query):
    """What a child process that inherits every descriptor sees open."""
    out = subprocess.run(["ls", "/proc/self/fd"], stdout=subprocess.PIPE, check=True, close_fds=False).stdout
    return reply(start_response, sorted(map(int, out.split())))


@route
def identity(environ, start_response, query):
    return reply(start_response, {"pid": os.getpid(), "argv": sys.argv, "orig_argv": sys.orig_argv, "executable": sys.executable,
                                  "sigint": signal.getsignal(signal.SIGINT) is not None})
