"""Remembers which requests it has answered: for --warm-up."""
import atexit
import json
import os
import threading

from gateway import knock, visit

seen = []


def body(environ):
    path = environ["PATH_INFO"]
    if path == "/gate":
        visit(os.environ["GATE"], environ["QUERY_STRING"])
    elif path == "/raises":
        environ["wsgi.errors"].write("written on purpose\n")
        raise RuntimeError("raised on purpose")
    elif path == "/seen":
        return json.dumps(seen).encode()
    elif path == "/large":
        return b"x" * 3000000
    return b"ok"


def cut():
    yield b"the beginning"
    raise RuntimeError("cut on purpose")


def application(environ, start_response):
    kept = {name: value for name, value in environ.items() if isinstance(value, (str, bool))}
    kept["main"] = threading.current_thread() is threading.main_thread()
    seen.append(kept)
    answer = body(environ)
    status = environ["PATH_INFO"].lstrip("/")
    start_response("%s Status" % status if status.isdigit() else "200 OK", [("Content-Type", "text/plain"), ("X-Long", "x" * 300)])
    return cut() if environ["PATH_INFO"] == "/cut" else [answer]


@atexit.register
def tell():
    if "GATE" in os.environ and "ATEXIT" in os.environ:
        knock(os.environ["GATE"], "atexit").close()
