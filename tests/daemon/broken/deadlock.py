"""Two views lock the same two things, each in an order of its own."""
import threading
from urllib.parse import parse_qs

from gateway import visit

ACCOUNTS, JOURNAL = threading.Lock(), threading.Lock()


def transfer(gate):
    with ACCOUNTS:
        visit(gate, "transfer")
        with JOURNAL:  # at fault
            return b"moved\n"


def audit(gate):
    with JOURNAL:
        visit(gate, "audit")
        with ACCOUNTS:  # at fault, too
            return b"audited\n"


def application(environ, start_response):
    view = {"/transfer": transfer, "/audit": audit}.get(environ["PATH_INFO"])
    answer = view(parse_qs(environ["QUERY_STRING"])["gate"][0]) if view else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
