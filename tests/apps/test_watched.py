"""Tools that follow what threads do: coverage.py, cProfile by threading's hook, and debugpy by its own protocol."""
import os

import pytest

import served
from daemon import until
from dap import Client
from fcgi import params, request

HANDLED = os.path.join(served.SITES, "handled.py")


def line_of(mark):
    with open(HANDLED) as file:
        return next(number for number, line in enumerate(file, 1) if mark in line)


@pytest.fixture
def watch(tmp_path):
    """Starts the site with a tool."""
    running = []

    def start(tool):
        running.append(served.serve("watched:app", "-t", 4, WATCH=tool, OUT=str(tmp_path)))
        return running[0]
    yield start
    for server in running:
        server.stop()


def test_coverage(watch):
    """Every line that requests ran, as in a program that calls the handler itself."""
    server = watch("coverage")
    for query, body in ("1+2+3", b"6"), ("", b"nothing"):
        assert server.ask("/", query=query).body == body
    assert server.ask("/told").body == b"0 missing: []"


def test_profile(watch):
    """The profiler of each thread sees all of its calls."""
    server = watch("profile")
    for _ in range(5):
        assert server.ask("/", query="1+2+3").body == b"6"
    assert server.ask("/told").body == b"5 calls"


def test_debugger(watch, tmp_path):
    """A breakpoint stops a request, its variables can be looked at, and it goes on to its answer."""
    server = watch("debugpy")
    with Client(int((tmp_path / "port").read_text())) as client:
        client.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
        attached = client.send("attach", justMyCode=False)
        client.event("initialized")
        told = client.ask("setBreakpoints", source={"path": HANDLED},
                          breakpoints=[{"line": line_of("the tests' breakpoint")}])
        assert [point["verified"] for point in told["breakpoints"]] == [True]
        client.ask("configurationDone")
        client.response(attached)
        for _ in range(2):
            with server.connect() as connection:
                connection.send(request(params("/", query="1+2+3")))
                stopped = client.event("stopped")
                assert stopped["reason"] == "breakpoint"
                frame = client.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
                assert (frame["name"].split(".")[-1], frame["line"]) == ("total", line_of("the tests' breakpoint"))
                assert client.ask("evaluate", expression="result", frameId=frame["id"])["result"] == "6"
                client.ask("continue", threadId=stopped["threadId"])
                assert connection.read_response(1).body == b"6"
        client.ask("disconnect", restart=False, terminateDebuggee=False)
    until(lambda: server.ask("/", query="4").body == b"4", "an answer without the debugger", server.log)
