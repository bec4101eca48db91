"""Calls that compute with and without the interpreter lock. What has happened is told in its order."""
import ctypes
import json
import threading
import time
from urllib.parse import parse_qs

from gateway import knock, visit

libc = ctypes.CDLL(None)  # which lets go of the lock while it calls
happened = []


def spin_until(opened):
    """Computes in C without the interpreter lock until opened() has returned, on a thread of its own."""
    spinlock = ctypes.byref(ctypes.c_int())
    libc.pthread_spin_init(spinlock, 0)
    libc.pthread_spin_lock(spinlock)

    def opener():
        opened()
        libc.pthread_spin_unlock(spinlock)
    thread = threading.Thread(target=opener)
    thread.start()
    libc.pthread_spin_lock(spinlock)
    thread.join()


def spin(query):
    spin_until(lambda: visit(query["gate"], "spins"))


def spin_for(query):
    spin_until(lambda: (knock(query["gate"], "spins").close(), time.sleep(float(query["s"]))))


def loop_for(query):
    knock(query["gate"], "loops").close()
    end = time.monotonic() + float(query["s"])
    while time.monotonic() < end:
        pass


def application(environ, start_response):
    """/NAME or /NAME/anything; /happened tells what has, and forgets it."""
    name = environ["PATH_INFO"].split("/")[1]
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    if name == "happened":
        body = json.dumps(happened).encode()
        happened.clear()
    else:
        if name != "hello":
            {"spin": spin, "spin-for": spin_for, "loop-for": loop_for}[name](query)
        happened.append(name)
        body = b"done\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
