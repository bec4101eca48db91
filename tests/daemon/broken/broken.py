"""Ten applications of this folder that are broken in a way of their own, each with a line that ends in "# at fault".

What the tests look at is what whoever is paged has: the log, the status page and wsgi-fcgi-top.
"""
import os
import re

import daemon
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
