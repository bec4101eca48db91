"""The routes of tests/daemon/apps/wsgiapp.py and some more; any other path answers with its environ."""
import os
import select
import time

import wsgiapp
from gateway import knock, visit
from wsgiapp import Closing, route, routes, text


def application(environ, start_response):
    if environ["PATH_INFO"] in routes:
        return wsgiapp.application(environ, start_response)
    return wsgiapp.environ(environ, start_response, {})


@route
def answer(environ, start_response, query):
    """/respond with its specification in the body of the request."""
    return routes["/respond"](environ, start_response, {"spec": environ["wsgi.input"].read().decode()})


@route
def slow_echo(environ, start_response, query):
    """Blocks for a moment, so that requests pile up."""
    body = environ["wsgi.input"].read()
    time.sleep(0.01)
    return text(start_response, body)


@route
def redirect_soon(environ, start_response, query):
    """Computes for a moment, as any view does, and reads nothing of the body: the proxy sends until there is no room."""
    end = time.monotonic() + 0.002
    while time.monotonic() < end:
        pass
    start_response("302 Found", [("Location", "http://www.example.org/")])
    return iter([b"elsewhere"])


@route
def upload(environ, start_response, query):
    """Tells the gate when the first bytes of the body are there; answers with the length of all."""
    length = len(environ["wsgi.input"].read(1000))
    knock(query["gate"], "begun").close()
    length += len(environ["wsgi.input"].read())
    return text(start_response, b"%d" % length)


@route
def waits(environ, start_response, query):
    """Waits silently until the client is gone or the gate says so; tells the gate which it was."""
    alive = environ["wsgi_fcgi.client_connected"]
    with knock(query["gate"], "waiting") as gate:
        while alive() and not select.select([gate], [], [], 0.01)[0]:
            pass
        gate.sendall(b"still there\n" if alive() else b"gone\n")
    return text(start_response, b"waited\n")


@route
def endless(environ, start_response, query):
    """Sends without an end; the gate is told of close()."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])
    return Closing(iter(lambda: b"x" * 10000, None), "endless", query["gate"])


@route
def counted(environ, start_response, query):
    """Writes its id to the file `log` before it does anything else, and waits at the gate if there is one."""
    log = os.open(query["log"], os.O_WRONLY | os.O_APPEND)
    os.write(log, query["id"].encode() + b"\n")
    os.close(log)
    if "gate" in query:
        visit(query["gate"], query["id"])
    return text(start_response, b"%s %d" % (query["id"].encode(), os.getpid()))


@route
def errors_and_answer(environ, start_response, query):
    for number in range(int(query["lines"])):
        environ["wsgi.errors"].write("line %d %s\n" % (number, "e" * 100))
    return text(start_response, b"x" * (int(query["mib"]) << 20))


@route
def errors_and_fail(environ, start_response, query):
    environ["wsgi.errors"].write("about to fail\n")
    raise RuntimeError("failed")
