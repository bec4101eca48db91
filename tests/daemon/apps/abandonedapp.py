"""Routes for the tests of clients that leave, beside those of wsgiapp."""
import hashlib
import json
import time

from gateway import visit
from wsgiapp import application, reply, route, text  # noqa: F401


def note(query, *values):
    with open(query["notes"], "ab", buffering=0) as file:
        file.write(json.dumps([query.get("n"), *values]).encode() + b"\n")


@route
def noted(environ, start_response, query):
    """Reads the body, takes `ms`, and writes a line into `notes`: length and sum of the body, and whether the client was
    there when the call began."""
    connected = environ["wsgi_fcgi.client_connected"]()
    body = environ["wsgi.input"].read()
    time.sleep(int(query.get("ms", 0)) / 1000)
    note(query, len(body), hashlib.sha256(body).hexdigest(), connected)
    return text(start_response, query["n"].encode())


@route
def streamed(environ, start_response, query):
    """Sends three parts, notes which were taken, and raises what sending one raised."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    taken = 0
    try:
        for taken in range(3):
            write(b"part\n")
        taken = 3
    finally:
        note(query, taken)
    return []


@route
def read_at_the_gate(environ, start_response, query):
    """Reads piece by piece what has come of the body, after the gate; what it got and how it ended is noted."""
    visit(query["gate"], "reading")
    got = b""
    try:
        while piece := environ["wsgi.input"].read(1000):
            got += piece
        note(query, len(got), "end")
    except OSError as error:
        note(query, len(got), type(error).__name__)
        raise
    return text(start_response, b"read\n")
