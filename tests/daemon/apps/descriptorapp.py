"""Says what descriptors there are, and does to them what applications do."""
import contextlib
import json
import os
import select
import sys


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


ROUTES = {"/open": opens, "/standard": standard}


def application(environ, start_response):
    body = json.dumps(ROUTES[environ["PATH_INFO"]](environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
