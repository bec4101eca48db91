"""What applications do while they are imported, as `DO` in the environment says; `GATE` is where it reports."""
import ctypes
import os
import sys
import threading

import wsgiapp
from gateway import knock, visit

application = wsgiapp.application
going = []


def wait():
    visit(os.environ["GATE"], "importing")


def thread():
    """That Python waits for at its end."""
    threading.Thread(target=threading.Event().wait).start()


def fail():
    raise RuntimeError("failed on purpose")


def fork():
    """A child that lives as long as the test wants, and is none of the server's."""
    pid = os.fork()
    if not pid:
        visit(os.environ["GATE"], "child %d" % os.getpid())
        os._exit(0)


def close():
    """As a library does that makes a daemon."""
    os.closerange(3, 65536)


def tell():
    print("imported", file=sys.stderr)
    knock(os.environ["GATE"], "imported").close()


def compute():
    """Without a call."""
    knock(os.environ["GATE"], "importing").close()
    threading.Thread(target=lambda: (visit(os.environ["GATE"], "computing"), going.append(True))).start()
    while not going:
        pass


def hold():
    """Waits in C, and keeps the interpreter to itself."""
    with knock(os.environ["GATE"], "importing") as sock:
        ctypes.PyDLL(None).recv(sock.fileno(), ctypes.create_string_buffer(1), 1, 0)


def count():
    """What the application can see of threads that are not its own."""
    threads = [thread.name for thread in threading.enumerate()]
    print("threads:", threads, len(sys._current_frames()), file=sys.stderr, flush=True)


def leave():
    os._exit(3)


def daemonize():
    if os.fork():
        os._exit(0)


for name in os.environ.get("DO", "").split():
    globals()[name]()
