"""Ends its process in ways that no server can prevent."""
import ctypes
import os
import signal
import threading

import wsgiapp
from wsgiapp import reply, route

application = wsgiapp.application


def end(how):
    if how == "exit":
        os._exit(5)
    elif how == "read":
        ctypes.string_at(0)
    else:
        signal.raise_signal(signal.Signals[how])


@route
def ends(environ, start_response, query):
    end(query["how"])


@route
def ends_in_thread(environ, start_response, query):
    """One of the application's own."""
    thread = threading.Thread(target=end, args=(query["how"],))
    thread.start()
    thread.join()


@route
def child_ends(environ, start_response, query):
    pid = os.fork()
    if not pid:
        end(query["how"])
    return reply(start_response, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
