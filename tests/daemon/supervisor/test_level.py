"""What one worker does for another in which a call computes, and what is known of the calls of one that has died."""
import json
import os
import signal

from daemon import LABEL, until
from fcgi import params, request

OVER_HTTP = True
APP = "workersapp"


def who(connection):
    return json.loads(connection.ask("/who").body)[0]


def test_an_idle_one_serves(supervise, gate):
    """Kept connections on which something comes, and new ones, while the worker that has them computes."""
    server = supervise(APP, 2, env={"GATE": gate.path})
    caught, others = server.connect(), []
    first = who(caught)
    while len(others) < 3:
        connection = server.connect()
        if who(connection) == first:
            others.append(connection)
        else:
            connection.close()
    caught.send(request(params("/compute"), keep=True))
    visitor = gate.arrived()
    assert int(visitor.text) == first
    for connection in others:
        until(lambda: who(connection) != first, "another worker to serve", server.log)
        assert who(connection) != first
    for _ in range(3):
        connection = server.connect()
        until(lambda: who(connection) != first, "another worker to serve", server.log)
        others.append(connection)
    visitor.release()
    assert json.loads(caught.read_response(1).body) == "computed"
    assert who(caught) == first
    for connection in [caught, *others]:
        connection.close()


def test_what_a_dead_one_was_running(supervise, gate):
    server = supervise(APP, 1, env={"GATE": gate.path})
    pid, = server.serving().values()
    connection = server.connect()
    connection.send(request(params("/wait")))
    gate.arrived()
    assert json.loads(server.ask("/who").body)[0] == pid  # so the call has lost the loop
    os.kill(pid, signal.SIGKILL)
    server.wait_log(r"worker 0 \(process %d\) was killed by SIGKILL; it ran GET \S*/wait%s for" % (pid, LABEL))
    connection.close()
