"""Registers hooks, which print what they do. DO says what else happens."""
import atexit
import os
import sys
import threading
import time

import wsgi_fcgi

from gateway import knock, visit

DO = os.environ.get("DO", "").split()


def say(what):
    os.write(1, b"event: %s on %s\n" % (what.encode(), threading.current_thread().name.encode()))


def hang():
    """Step by step: a signal that comes just before a sleep does not end it. The socket is kept: what a signal raises
    while one is dropped, Python loses."""
    with knock(os.environ["GATE"], "hanging"):
        while True:
            time.sleep(0.01)


@wsgi_fcgi.on_worker_start
def start_first():
    say("start first")
    if "late" in DO:
        wsgi_fcgi.on_worker_start(lambda: say("start late"))
    if "wait" in DO:
        visit(os.environ["GATE"], "starting")
    if "hang" in DO:
        hang()
    if "swallow" in DO:
        try:
            hang()
        except BaseException:
            pass
    if "fork" in DO:
        fork()
    if "fail" in DO:
        raise RuntimeError("failed on purpose")
    if "exit" in DO:
        sys.exit(3)


@wsgi_fcgi.on_worker_start
def start_second():
    say("start second")


@wsgi_fcgi.on_worker_stop
def stop_first():
    say("stop first")


@wsgi_fcgi.on_worker_stop
def stop_second():
    say("stop second")
    if "fork" in DO:
        fork()
    if "fail-stop" in DO:
        raise RuntimeError("failed on purpose")
    if "exit-stop" in DO:
        sys.exit(3)


def fork():
    """The child returns from the hook."""
    child = os.fork()
    if child:
        say("child ended with %d" % os.waitpid(child, 0)[1])


atexit.register(say, "atexit")


def tell(error_of):
    try:
        return repr(error_of())
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


def application(environ, start_response):
    body = "%s\n%s\n%s\n" % (wsgi_fcgi.worker(), environ.get("wsgi_fcgi.worker"), environ["wsgi.multiprocess"])
    if environ["PATH_INFO"] == "/register":
        wsgi_fcgi.on_worker_start(lambda: say("start at once"))
        wsgi_fcgi.on_worker_stop(lambda: say("stop late"))
    if environ["PATH_INFO"] == "/refused":
        body = "\n".join(map(tell, (lambda: wsgi_fcgi.on_worker_start(3), lambda: wsgi_fcgi.on_worker_stop(None),
                                    lambda: wsgi_fcgi.on_worker_start(), lambda: wsgi_fcgi.on_worker_start(int) is int)))
    if environ["PATH_INFO"] == "/stuck":
        visit(os.environ["GATE"], "stuck")
    if environ["PATH_INFO"] == "/version":
        body = wsgi_fcgi.__version__
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
