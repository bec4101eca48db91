"""A report waits for the database, which an import keeps locked."""
import os
import sqlite3
from urllib.parse import parse_qs

from gateway import knock, visit

DATABASE = os.environ["DATABASE"]


def load(gate):
    database = sqlite3.connect(DATABASE)
    database.execute("BEGIN EXCLUSIVE")
    visit(gate, "load")
    database.rollback()
    return b"loaded\n"


def report(gate):
    database = sqlite3.connect(DATABASE, timeout=3600)
    knock(gate, "report")
    rows = database.execute("SELECT count(*) FROM sqlite_master")  # at fault
    return b"%d\n" % rows.fetchone()


def application(environ, start_response):
    view = {"/load": load, "/report": report}.get(environ["PATH_INFO"])
    answer = view(parse_qs(environ["QUERY_STRING"])["gate"][0]) if view else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
