"""What an application sees of the threads that its calls run on. It does not import what would bring `threading` along."""
import json
import os
import sys
import traceback

from gateway import visit

CALLS = []  # of the functions of this module, as a trace or a profile function sees them: kind, name, thread


def recorder(kind):
    import _thread

    def record(frame, event, arg):
        if event == "call" and frame.f_code.co_filename == __file__ and frame.f_code.co_name.startswith("view_"):
            CALLS.append([kind, frame.f_code.co_name, _thread.get_ident()])
        return record if kind == "trace" else None
    return record


def broken(function):
    raise RuntimeError("settrace is broken")


for wanted in os.environ.get("AT_IMPORT", "").split():
    import threading
    if wanted == "trace":
        threading.settrace(recorder("trace"))
    elif wanted == "profile":
        threading.setprofile(recorder("profile"))
    elif wanted == "broken":
        sys.settrace = broken


def described():
    import threading
    me = threading.current_thread()
    with open("/proc/thread-self/comm") as file:
        comm = file.read().rstrip("\n")
    return {"name": me.name, "comm": comm, "ident": me.ident, "native": me.native_id, "daemon": me.daemon}


def view_loaded():
    return "threading" in sys.modules


def view_main():
    import threading
    return [threading.main_thread().name, threading.main_thread().native_id, threading.main_thread().ident]


def view_me():
    if "GATE" in os.environ:
        visit(os.environ["GATE"], "view")
    return described()


def view_rename():
    import threading
    threading.current_thread().name = "renamed"
    return described()


def view_record():
    """The name in a log record."""
    import logging
    return logging.LogRecord("name", logging.INFO, __file__, 1, "text", (), None).threadName


def view_everybody():
    import threading
    return sorted(thread.name for thread in threading.enumerate())


def view_calls():
    return CALLS


def view_trace():
    """Too late for this thread, as for a thread of Python's own."""
    import threading
    threading.settrace(recorder("trace"))


def view_trace_all():
    import threading
    if not hasattr(threading, "settrace_all_threads"):
        return False
    threading.settrace_all_threads(recorder("trace"))
    return True


def in_child(queue):
    queue.put([described(), view_main()[0]])


def view_child():
    """A child that multiprocessing forks: its exit status, and what it sees."""
    import multiprocessing
    described()
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=in_child, args=(queue,))
    process.start()
    told = queue.get()
    process.join()
    return [process.exitcode, process.pid, *told]


def app(environ, start_response):
    try:
        body = json.dumps(globals()["view" + environ["PATH_INFO"].replace("/", "_")]())
    except Exception:
        traceback.print_exc()
        raise
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body.encode()]
