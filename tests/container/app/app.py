"""What the tests ask of an application in a container."""
import os
import threading
import time

never = threading.Event()


def app(environ, start_response):
    path, body = environ["PATH_INFO"], b""
    if path == "/hang":
        never.wait()
    elif path == "/slow":
        time.sleep(0.05)
        body = b"slow\n"
    elif path == "/length":
        body = b"%d\n" % len(environ["wsgi.input"].read())
    elif path == "/identity":
        body = ("%d %d %s\n" % (os.getuid(), os.getgid(), sorted(os.getgroups()))).encode()
    elif path == "/orphan":  # a process whose parent ends at once, and which ends soon afterwards
        if not os.fork():
            if not os.fork():
                time.sleep(0.2)
            os._exit(0)
        os.wait()
        body = b"made\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
