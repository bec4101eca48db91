"""An export is written to a client that does not take it, with a row of the database locked meanwhile."""
from urllib.parse import parse_qs

from gateway import knock


def export(write):
    while True:
        write(b"a row of the export\n" * 10000)  # at fault


def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/export":
        knock(parse_qs(environ["QUERY_STRING"])["gate"][0], "export")
        export(write)
    return [b"fine\n"]
