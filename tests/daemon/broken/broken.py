"""Ten applications of this folder that are broken in a way of their own, each with a line that ends in "# at fault".

What the tests look at is what whoever is paged has: the log, the status page and wsgi-fcgi-top.
"""
import json
import os
import re
import subprocess

import daemon
import status_client
from fcgi import params, request

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("deadlock", "slow_query", "backtracking", "leak", "exhaustion", "convoy", "slow_client", "disk_full", "crash",
         "recursion")


def fault(name, mark="# at fault"):
    """The file and the line that are to be found."""
    path = os.path.join(HERE, name + ".py")
    with open(path) as file:
        numbers = [number for number, line in enumerate(file, 1) if line.endswith(mark + "\n")]
    assert len(numbers) == 1, (name, numbers)
    return path, numbers[0]


def in_log(name, mark="# at fault"):
    """A pattern: how a traceback, a stack or faulthandler names it."""
    path, line = fault(name, mark)
    return r'File "%s", line %d,? in \S' % (re.escape(path), line)


def options(*given):
    """For an application of this folder."""
    return ["--pythonpath", daemon.APPS, *given]


def begin(server, path, query=""):
    """A request of which nobody waits for the answer yet: its connection."""
    connection = server.connect()
    connection.send(request(params(path, query=query)))
    return connection


LEAK_PLACE = r'File "%s", line %d: \d+\.\d MiB in \d+ blocks?' % fault("leak")
LEAK = r"warning: memory has grown by \d+\.\d MiB in .*most at:\n  " + LEAK_PLACE


def leak(supervise, *given):
    """That one as a worker, when it has most of what it may have, and its memory is traced."""
    limit = 500 if daemon.SANITIZED else 150
    server = supervise("leak", 1, *options("--max-memory", "%dM" % limit, *given), cwd=HERE)
    first = daemon.resident(server.serving()[0])
    while daemon.resident(server.serving()[0]) < first + ((limit << 20) - first) * 0.8:
        server.ask("/preview")
    server.wait_log(r"info: memory is traced for up to \S+ s \(--trace-memory\)")
    return server


# --- the status page

PAGE = ["--status-path", "/server/status"]


def ask_page(server, form):
    """The page in this form, by --status if the server has that. It is answered, whatever the application does."""
    if hasattr(server, "page_address"):
        response = status_client.ask(server.page_address, "/?format=" + form)
        assert response.status == 200, response
        return response.body.decode()
    with server.connect() as connection:
        connection.send(request(params("/server/status", query="format=" + form)))
        response = connection.read_response(1)
    assert response.complete and response.status == 200, response
    return response.body.decode()


def page(server):
    return json.loads(ask_page(server, "json"))


def calls(server, path):
    """What the page tells of the calls of this path that run."""
    return [call for call in page(server)["running"] if call["path"] == path]


def is_at(call, name, mark="# at fault"):
    """Whether it is at the line at fault: in its stack, which the application's own frames are at the end of."""
    path, line = fault(name, mark)
    return any(frame.startswith('File "%s", line %d, in ' % (path, line)) for frame in call["stack"] or [])


TOP = daemon.binary() + "-top"


def top(server):
    """What wsgi-fcgi-top shows, of the same page."""
    at = ["%s:%d" % server.page_address] if hasattr(server, "page_address") else ["--path", PAGE[1], server.path]
    done = subprocess.run([TOP, "--once", "--stacks", *at], env={**os.environ, "COLUMNS": "500", "LC_ALL": "C"},
                          capture_output=True, text=True, timeout=daemon.PATIENCE)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout


def texts(server):
    """What there is to read: the page, and wsgi-fcgi-top unless it was configured without."""
    return [ask_page(server, "text")] + ([top(server)] if os.path.exists(TOP) else [])


def wait_found(server, name, path, state, count=1, mark="# at fault"):
    """Waits until the page shows so many calls of this path at the line at fault, in this state, and its text form and
    wsgi-fcgi-top name them as well. Each look is at a moment, in which a thread that mostly sleeps may just be awake. Returns
    the calls."""
    def found():
        there = calls(server, path)
        return (len(there) == count and all(is_at(call, name, mark) and call["state"] == state for call in there)
                and there)
    result = daemon.until(found, "%d calls of %s on the page, at line %d of %s" % (count, path, fault(name, mark)[1], name),
                          lambda: ask_page(server, "text") + server.log())
    daemon.until(lambda: all(re.search(in_log(name, mark), text) and "GET " + path in text for text in texts(server)),
                 "the line and its request in words", lambda: "\n".join(texts(server)))
    return result
