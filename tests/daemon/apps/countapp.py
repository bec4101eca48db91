"""What is to be counted: the path says what the call does."""
import os
import time
from urllib.parse import parse_qs

from gateway import visit


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise RuntimeError("as it was asked to")
    if path == "/gate":
        visit(parse_qs(environ["QUERY_STRING"])["gate"][0], "gate")
    if path == "/crash":
        os.abort()
    if path == "/compute":
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
    environ["wsgi.input"].read()
    start_response("404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
