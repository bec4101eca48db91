"""The application of status-latency: calls that never end, each in its own way. The path says which."""

import ctypes
import re
import threading

with_lock = ctypes.PyDLL(None)  # which keeps the interpreter lock while it calls
held = threading.Lock()
held.acquire()


def deadlock(_):
    held.acquire()


def keep_lock(_):
    with_lock.pause()


def backtrack(_):
    re.match("(a|aa)+$", "a" * 200 + "b")  # computes, and lets nobody else do so


def say(environ):
    environ["wsgi.errors"].write("x" * 60000 + "\n")


def hello(_):
    pass


def application(environ, start_response):
    globals()[environ["PATH_INFO"][1:] or "hello"](environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
