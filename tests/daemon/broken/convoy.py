"""One lock around everything, and somebody who waits for others while he has it."""
import threading
from urllib.parse import parse_qs

from gateway import knock, visit

LOCK = threading.Lock()


def refresh(gate):
    with LOCK:
        visit(gate, "refresh")  # at fault
    return b"refreshed\n"


def lookup(gate):
    knock(gate, "lookup")
    with LOCK:  # waits
        return b"found\n"


def application(environ, start_response):
    view = {"/refresh": refresh, "/lookup": lookup}.get(environ["PATH_INFO"])
    answer = view(parse_qs(environ["QUERY_STRING"])["gate"][0]) if view else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
