"""Tells about the process that it is in. DO says what happens while it is loaded."""
import atexit
import json
import os
import random
import signal
import sys
import threading

import wsgi_fcgi
from gateway import visit

DO = os.environ.get("DO", "").split()
AT_IMPORT = {"pid": os.getpid(), "worker": wsgi_fcgi.worker()}


def say(what):
    os.write(1, b"event: %s in %d\n" % (what.encode(), os.getpid()))


os.register_at_fork(before=lambda: say("before"), after_in_parent=lambda: say("after, parent"),
                    after_in_child=lambda: say("after, child"))
atexit.register(say, "atexit")
sys.stdout.write("said once")  # and not written out yet
hold = threading.Event()
if "threads" in DO:
    threading.Thread(target=hold.wait, name="poll\ner", daemon=True).start()
    threading.Thread(target=hold.wait, name="ticker", daemon=True).start()
if "handler" in DO:
    signal.signal(signal.SIGTERM, lambda *unused: say("handler"))
    signal.signal(signal.SIGCHLD, lambda *unused: say("child ended"))
if "fail" in DO:
    raise RuntimeError("failed on purpose")


@wsgi_fcgi.on_worker_start
def begin():
    say("start of %s" % wsgi_fcgi.worker())
    if "fail-start" in DO:
        raise RuntimeError("failed on purpose")


@wsgi_fcgi.on_worker_stop
def end():
    say("stop of %s" % wsgi_fcgi.worker())


def told(environ):
    return {"pid": os.getpid(), "parent": os.getppid(), "at_import": AT_IMPORT, "random": random.random(),
            "worker": wsgi_fcgi.worker(), "key": environ.get("wsgi_fcgi.worker"),
            "multiprocess": environ["wsgi.multiprocess"], "main": threading.main_thread().name,
            "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))}


def application(environ, start_response):
    if environ["PATH_INFO"] == "/gate":
        visit(os.environ["GATE"], "called")
    if environ["PATH_INFO"] == "/fork":
        child = os.fork()
        if not child:
            return []
        body = {"status": os.waitpid(child, 0)[1]}
    elif environ["PATH_INFO"] == "/children":
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        body = {}
    else:
        body = told(environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
