"""What tests of workers ask of them. `GATE` in the environment is where calls wait, `IMPORT` makes the import wait there as
well, and it fails while there is a file `FAIL_IF`."""
import os
import sys

import wsgiapp
from gateway import knock, visit
from wsgiapp import reply, route

grown = []


@route
def who(environ, start_response, query):
    return reply(start_response, [os.getpid(), environ["wsgi.multiprocess"]])


@route
def wait(environ, start_response, query):
    visit(os.environ["GATE"], str(os.getpid()))
    return reply(start_response, "waited")


@route
def compute(environ, start_response, query):
    """With the interpreter lock, until the test lets it go on."""
    with knock(os.environ["GATE"], str(os.getpid())) as sock:
        sock.setblocking(False)
        while True:
            sum(range(200000))
            try:
                sock.recv(1024)
                return reply(start_response, "computed")
            except BlockingIOError:
                pass


@route
def grow(environ, start_response, query):
    """By so many MiB as the query says."""
    grown.append(b"x" * (int(environ["QUERY_STRING"]) << 20))
    return reply(start_response, os.getpid())


@route
def orphan(environ, start_response, query):
    """Leaves a grandchild behind, which waits at the gate."""
    if not os.fork():
        if not os.fork():
            visit(os.environ["GATE"], str(os.getpid()))
        os._exit(0)
    os.wait()
    return reply(start_response, "left")


if "IMPORT" in os.environ:
    visit(os.environ["GATE"], "importing")
if os.path.exists(os.environ.get("FAIL_IF", "")):
    sys.exit("told to fail")

application = wsgiapp.application
