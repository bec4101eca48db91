"""A view keeps what it has made for each address, and forgets none."""
import itertools

KEPT = {}
numbers = itertools.count()


def preview():
    KEPT[next(numbers)] = bytearray(b"x" * (8 << 20))  # at fault
    return b"made\n"


def application(environ, start_response):
    answer = preview() if environ["PATH_INFO"] == "/preview" else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
