"""Answers of a known length, one piece each, whose close() takes as long as the test wants, in ways that differ in what the
server can do meanwhile."""
import ctypes
import os
import time
from urllib.parse import parse_qs

from gateway import visit

keeps_lock = ctypes.PyDLL(None)  # which keeps the interpreter lock while it calls


def waits_at_the_gate(environ, query):
    visit(query["gate"], "closes")


def computes(environ, query):
    while not os.path.exists(query["file"]):
        pass


def sleeps(environ, query):
    while not os.path.exists(query["file"]):
        time.sleep(0.001)


def keeps_the_lock(environ, query):
    """Until somebody has opened this FIFO for writing."""
    keeps_lock.open(query["file"].encode(), os.O_RDONLY)


def reads(environ, query):
    environ["wsgi.input"].read()


WAYS = {one.__name__: one for one in (waits_at_the_gate, computes, sleeps, keeps_the_lock, reads)}


class Answer:
    def __init__(self, close, environ, query):
        self.arguments, self.closes = (environ, query), close

    def __iter__(self):
        yield b"all of it\n"

    def close(self):
        self.closes(*self.arguments)


def application(environ, start_response):
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    name = environ["PATH_INFO"].split("/")[1]
    return Answer(WAYS.get(name, lambda environ, query: None), environ, query)
