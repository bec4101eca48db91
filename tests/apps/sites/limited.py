"""What views do whose time ends at some point: they compute, log, take locks, and ask a database."""
import io
import logging
import random
import threading
import time

import wsgi_fcgi

ROUNDS = 5
MOST = 0.2  # seconds that are given to a request at random; many a call takes less

log = logging.getLogger("limited")
log.addHandler(logging.StreamHandler(io.StringIO()))
log.setLevel(logging.INFO)
log.propagate = False
locks = {"lock": threading.Lock(), "condition": threading.Condition(), "semaphore": threading.BoundedSemaphore(3)}


def compute(seconds):
    end, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        number += len(str(number))
    return number


def work(query):
    """query() asks the database something."""
    for _ in range(ROUNDS):
        query()
        log.info("%s", compute(0.002))
        for lock in locks.values():
            with lock:
                compute(0.0005)


def limit(seconds):
    """Gives the request so much time; a number, or "random"."""
    wsgi_fcgi.set_timeout(random.uniform(0.001, MOST) if seconds == "random" else float(seconds))


def locked():
    """Names of the locks that nobody holds any more and that are locked all the same, when no request runs."""
    held = []
    for name, lock in [*locks.items(), ("handler", log.handlers[0].lock)]:
        for _ in range(3 if name == "semaphore" else 1):
            if not lock.acquire(timeout=5):
                held.append(name)
    for name, lock in [*locks.items(), ("handler", log.handlers[0].lock)]:
        for _ in range((3 if name == "semaphore" else 1) - held.count(name)):
            lock.release()
    return held
