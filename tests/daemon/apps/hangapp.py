"""Calls that do not end: what is asked for is the name of the function. Lines that hang end in "# hangs"."""
import ctypes
import select
import sqlite3
import sys
import threading
import time
from urllib.parse import parse_qs

from gateway import knock, visit
from wsgi_fcgi import set_timeout

with_lock = ctypes.PyDLL(None)  # which keeps the interpreter lock while it calls
held = threading.Lock()
held.acquire()


def sleep(gate):
    visit(gate, "sleep")  # hangs


def compute(gate):
    gate = knock(gate, "compute")
    while not select.select([gate], [], [], 0)[0]: pass  # hangs


def keep_lock(gate):
    gate = knock(gate, "keep_lock")
    with_lock.recv(gate.fileno(), ctypes.create_string_buffer(1), 1, 0)  # hangs


def keep_lock_elsewhere(gate):
    thread = threading.Thread(target=keep_lock, args=[gate], daemon=True)
    thread.start()
    thread.join()


def keep_lock_within_time(gate):
    set_timeout(None)
    keep_lock(gate)


def nap(gate):
    knock(gate, "nap")
    return [b"%d" % ctypes.CDLL(None).usleep(500000)]  # without the lock; -1 when a signal ends it


def deadlock(gate):
    knock(gate, "deadlock")
    held.acquire()  # hangs


def interval(_):
    return [b"%d us" % round(sys.getswitchinterval() * 1e6)]


def set_interval(_):
    sys.setswitchinterval(0.02)


def begin(gate):
    yield b"begun"
    visit(gate, "begin")  # hangs
    yield b"done"


def late(_):
    time.sleep(0.6)  # three times what it may take


def query(gate):
    """sqlite itself computes, without the interpreter lock, until another thread interrupts it."""
    database = sqlite3.connect(":memory:", check_same_thread=False)
    gate = knock(gate, "query")
    threading.Thread(target=lambda: gate.recv(1) and database.interrupt(), daemon=True).start()
    try:
        database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")  # hangs
    except sqlite3.OperationalError as error:
        return [str(error).encode()]


def hello(_):
    set_timeout(None)


def application(environ, start_response):
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    name = environ["PATH_INFO"].strip("/")
    answer = globals()[name](query.get("gate"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return answer or [name.encode()]
