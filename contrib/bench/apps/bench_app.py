"""The application of the benchmark, the same file for every server.

It imports nothing that is not built in: the memory figures compare it with an interpreter that runs nothing.
"""

import sys
import time
from _thread import get_ident

HELLO = b"Hello, world\n"
TEN_KB = b"x" * 10240
PIECE = 65536
seen = set()


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


def computing(environ, start_response):
    burn(0.005)
    return answer(start_response, HELLO)


PATHS = {
    "/10k": lambda environ, start_response: answer(start_response, TEN_KB),
    "/echo": echo,
    "/upload": count_upload,
    "/file": send_file,
    "/counted": counted,
    "/python": tell,
    "/sleep50": sleeper(0.05),
    "/sleep1000": sleeper(1),
    "/cpu5": computing,
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
