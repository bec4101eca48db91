"""Signals and the end of the process; `GATE` in the environment is where it reports."""
import atexit
import os
import signal
import sys
import threading

import wsgiapp
from gateway import knock


def report(text):
    try:
        knock(os.environ["GATE"], text).close()
    except (KeyError, OSError):
        pass  # the test does not listen (any more)


def handler(number, frame):
    main = threading.current_thread() is threading.main_thread()
    report("handler %s in %s" % (signal.Signals(number).name, "main" if main else "another thread"))


atexit.register(report, "atexit")
atexit.register(print, "atexit printed", file=sys.stderr)
for name in os.environ.get("HANDLE", "").split():
    signal.signal(signal.Signals[name], handler)

application = wsgiapp.application
