"""The application of the benchmark, the same file for every server.

It imports nothing that is not built in: the memory figures compare it with an interpreter that runs nothing.
"""

import sys
import time

HELLO = b"Hello, world\n"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/sleep50":
        time.sleep(0.05)
    elif path == "/python":
        body = repr({"version": sys.version, "executable": sys.executable, "prefix": sys.prefix}).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    elif path != "/":
        start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]
