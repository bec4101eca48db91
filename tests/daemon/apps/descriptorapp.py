"""Says what descriptors there are, and does to them what applications do."""
import atexit
import contextlib
import json
import os
import select
import sys
import time

from gateway import visit


def standard(environ):
    """Prints, and says what the first three descriptors are."""
    print("printed")
    print("complained", file=sys.stderr)
    os.write(1, b"written\n")
    os.write(2, b"written\n")
    return {"files": [os.readlink("/proc/self/fd/%d" % number) for number in range(3)], "input": sys.stdin.read()}


def opens(environ):
    """The highest number of a hundred files, and how many of them select(2) says are readable."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open("/dev/zero")) for _ in range(100)]
        numbers = [file.fileno() for file in files]
        return {"highest": max(numbers), "readable": len(select.select(numbers, [], [], 0)[0])}


def closes(environ):
    """The descriptors of the numbers in the query; with another file in the place of each when "/replace" is asked."""
    for number in map(int, environ["QUERY_STRING"].split(",")):
        if environ["PATH_INFO"] == "/replace":
            with open("/dev/zero", "r+b") as file:
                os.dup2(file.fileno(), number, inheritable=False)
        else:
            os.close(number)
    return {}


def closes_all(environ):
    """As a library does that makes a daemon."""
    os.closerange(3, 65536)
    return {}


def waits(environ):
    """The call loses the loop."""
    time.sleep(0.5)
    return {}


def slow_then_closes_all(environ):
    """Nobody looks at the call by then."""
    waits(environ)
    return closes_all(environ)


def holds(environ):
    """Until the test says so."""
    visit(environ["QUERY_STRING"].partition("=")[2], "hold")
    return {}


def fork_at_exit():
    """A child that goes on as its parent does."""
    pid = os.fork()
    if pid:
        print("child ended with", os.waitpid(pid, 0)[1], file=sys.stderr, flush=True)


def forks_at_exit(environ):
    atexit.register(fork_at_exit)
    return {}


ROUTES = {"/open": opens, "/standard": standard, "/close": closes, "/replace": closes, "/close-all": closes_all,
          "/slow-close-all": slow_then_closes_all, "/fork-at-exit": forks_at_exit, "/wait": waits,
          "/hold": holds}


def application(environ, start_response):
    body = json.dumps(ROUTES[environ["PATH_INFO"]](environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
