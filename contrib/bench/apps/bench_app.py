"""The application of the benchmark, the same file for every server.

It imports nothing that is not built in: the memory figures compare it with an interpreter that runs nothing.
"""

import sys
import time
from _thread import allocate_lock, get_ident
from itertools import count

HELLO = b"Hello, world\n"
TEN_KB = b"x" * 10240
PIECE = 65536
STREAM_PIECES = 64
stream_piece = []  # one, made for the first answer that has such: others do not pay for it
seen = set()
calls = count()


def answer(start_response, body, kind="text/plain"):
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def burn(seconds):
    """Takes so much processor time, however busy the machine is."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def echo(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return answer(start_response, body, "application/octet-stream")


def count_upload(environ, start_response):
    """Reads the body in pieces, as a program does that stores it."""
    left = int(environ["CONTENT_LENGTH"])
    stream = environ["wsgi.input"]
    while left:
        piece = stream.read(min(left, PIECE))
        if not piece:
            break
        left -= len(piece)
    return answer(start_response, b"whole" if not left else b"cut")


def send_file(environ, start_response):
    """The way PEP 3333 has for files, where the server offers it."""
    import os

    path = os.environ["BENCH_FILE"]
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(os.stat(path).st_size))])  # fmt: skip
    file = open(path, "rb")
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, PIECE) if wrapper else iter(lambda: file.read(PIECE), b"")


def stream(environ, start_response):
    """An answer that comes in pieces, and is longer than anything on its way holds."""
    start_response("200 OK", [("Content-Type", "application/octet-stream"),
                              ("Content-Length", str(STREAM_PIECES * PIECE))])  # fmt: skip
    if not stream_piece:
        stream_piece.append(b"x" * PIECE)
    return (stream_piece[0] for _ in range(STREAM_PIECES))


def counted(environ, start_response):
    seen.add(get_ident())
    return answer(start_response, HELLO)


def tell(environ, start_response):
    """What the benchmark wants to know of the interpreter."""
    about = {"version": sys.version, "executable": sys.executable, "prefix": sys.prefix, "threads": len(seen)}
    return answer(start_response, repr(about).encode())


def sleeper(seconds):
    def application(environ, start_response):
        time.sleep(seconds)
        return answer(start_response, HELLO)

    return application


def mixed(environ, start_response):
    """Nine of ten calls wait 2 ms, the tenth half a second, whichever threads they come in."""
    time.sleep(0.002 if next(calls) % 10 else 0.5)
    return answer(start_response, HELLO)


def stuck(environ, start_response):
    """A deadlock. Adds a byte to a file before, so that it is known how many are in it."""
    import os

    lock = allocate_lock()
    lock.acquire()
    with open(os.environ["BENCH_STUCK"], "ab", buffering=0) as file:
        file.write(b"x")
    lock.acquire()


def computing(environ, start_response):
    burn(0.005)
    return answer(start_response, HELLO)


PATHS = {
    "/10k": lambda environ, start_response: answer(start_response, TEN_KB),
    "/echo": echo,
    "/upload": count_upload,
    "/file": send_file,
    "/counted": counted,
    "/stream": stream,
    "/python": tell,
    "/sleep5": sleeper(0.005),
    "/sleep50": sleeper(0.05),
    "/sleep100": sleeper(0.1),
    "/sleep1000": sleeper(1),
    "/cpu5": computing,
    "/mixed": mixed,
    "/stuck": stuck,
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
        return [HELLO]
    found = PATHS.get(path)
    if found:
        return found(environ, start_response)
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []
