"""The threads that calls run on, as Python, its tools and the system see them."""
import json
import os
import re

import pytest

from fcgi import params, request

OVER_HTTP = True
APP = "threadapp:app"
NAME = r"wsgi-fcgi-[1-9]\d*"


def view(server, name):
    response = server.ask("/" + name)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def comm(server, task=None):
    with open("/proc/%d/task/%d/comm" % (server.pid, task or server.pid)) as file:
        return file.read().rstrip("\n")


def views_at_a_time(server, gate, count):
    """Of so many calls of /me that run at the same time."""
    connections = [server.connect() for _ in range(count)]
    for connection in connections:
        connection.send(request(params("/me")))
    for visitor in [gate.arrived() for _ in connections]:
        visitor.release()
    told = [json.loads(connection.read_response().body) for connection in connections]
    for connection in connections:
        connection.close()
    return told


def test_names(start, gate):
    """One for each thread, the same in Python and for the system, and it stays."""
    server = start(APP, "-t", 4, env={"GATE": gate.path})
    first, second = views_at_a_time(server, gate, 3), views_at_a_time(server, gate, 3)
    for told in first + second:
        assert re.fullmatch(NAME, told["name"]) and told["comm"] == told["name"] and not told["daemon"], told
        assert comm(server, told["native"]) == told["name"]
    assert len({told["name"] for told in first}) == 3
    assert {told["ident"]: told["name"] for told in first} == {told["ident"]: told["name"] for told in second}


def test_names_for_the_system(start):
    """Those of all threads, also of the ones that never ran a call; the process keeps the name of the program."""
    server = start(APP)
    view(server, "me")
    assert comm(server) == "wsgi-fcgi"
    others = [comm(server, int(task)) for task in os.listdir("/proc/%d/task" % server.pid) if int(task) != server.pid]
    others.remove("wsgi-fcgi-log")
    others.remove("wsgi-fcgi-watch")
    others.remove("wsgi-fcgi-look")
    assert others and all(re.fullmatch(NAME, name) for name in others) and len(set(others)) == len(others)


def test_names_in_log_records(start):
    server = start(APP)
    assert re.fullmatch(NAME, view(server, "record"))
    everybody = view(server, "everybody")
    assert everybody[0] == "MainThread" and not [name for name in everybody if name.startswith("Dummy")]


def test_an_applications_own_name_for_its_thread(start):
    """It is set once a thread, so that who gives another one keeps it."""
    server = start(APP, "-t", 1)
    assert view(server, "rename")["name"] == view(server, "me")["name"] == "renamed"


def test_main_thread(start):
    """The process's, whichever thread of the application imports `threading`."""
    server = start(APP)
    name, native, ident = view(server, "main")
    assert (name, native) == ("MainThread", server.pid) and ident != view(server, "me")["ident"]


def test_child_of_a_call(start):
    """In a child the thread that has forked is the main thread: for Python, whose exit would fail else, and in name."""
    server = start(APP)
    status, pid, told, main = view(server, "child")
    assert status == 0, server.log()
    assert told["comm"] == "wsgi-fcgi" and main == "MainThread"
    assert "Traceback" not in server.log()
    assert re.fullmatch(NAME, view(server, "me")["comm"])


@pytest.mark.parametrize("kinds", ["trace", "profile", "trace profile"])
def test_hooks_of_threading(start, gate, kinds):
    """threading.settrace() and setprofile() reach every thread before its first call, each call is seen."""
    server = start(APP, "-t", 4, env={"GATE": gate.path, "AT_IMPORT": kinds})
    for _ in range(2):
        idents = {told["ident"] for told in views_at_a_time(server, gate, 3)}
    calls = view(server, "calls")
    for kind in kinds.split():
        assert {ident for what, name, ident in calls if (what, name) == (kind, "view_me")} == idents
        assert len([name for what, name, ident in calls if (what, name) == (kind, "view_me")]) == 6
    assert {what for what, name, ident in calls} == set(kinds.split())


def test_hook_that_comes_late(start, gate):
    """It is for threads that have not begun, as with threads of Python's own."""
    server = start(APP, "-t", 4)
    view(server, "trace")
    view(server, "main")
    assert view(server, "calls") == []


def test_hook_for_all_threads(start):
    """Since Python 3.12 there is one that reaches those that have begun, also while they rest."""
    server = start(APP, "-t", 1)
    view(server, "loaded")
    known = view(server, "trace_all")
    view(server, "main")
    assert [name for what, name, ident in view(server, "calls")] == (["view_main", "view_calls"] if known else [])


def test_hook_that_fails(start):
    """A line, and the request is served."""
    server = start(APP, env={"AT_IMPORT": "trace broken"})
    assert re.fullmatch(NAME, view(server, "me")["name"])
    server.wait_log(r"error: what was given to threading\.settrace\(\)(?s:.*)RuntimeError: settrace is broken")
