"""Connections outlive the worker that serves them: another one goes on with them, and their peers notice nothing."""
import json
import os
import signal
import threading

import pytest

import nginx as nginxes
from daemon import until
from fcgi import params, request

OVER_HTTP = True
APP = "workersapp"
CLIENTS, RETIREMENTS = 4, 4


def who(connection):
    """The process that answers on this connection."""
    return json.loads(connection.ask("/who").body)[0]


def begin_to_retire(server, pid):
    os.kill(pid, signal.SIGTERM)
    server.wait_log(r"\[%d\] debug: \d+ connections? (is|are) open, for other workers" % pid)


def retire(server, pid):
    """And wait until another one serves in its place."""
    os.kill(pid, signal.SIGTERM)
    server.wait_gone(pid)
    until(lambda: len(server.serving()) == 2, "its replacement to serve", server.log)


def test_another_goes_on(supervise):
    server = supervise(APP, 2)
    with server.connect() as connection:
        served = [who(connection)]
        for _ in range(3):
            retire(server, served[-1])
            served.append(who(connection))
            assert served[-1] not in served[:-1]


def test_connection_without_a_request(supervise):
    server = supervise(APP, 2)
    with server.connect() as fresh:
        for pid in list(server.serving().values()):
            retire(server, pid)
        assert who(fresh) in server.serving().values()


def test_answered_first(supervise, gate):
    server = supervise(APP, 2, "--log-level", "debug", env={"GATE": gate.path})
    with server.connect() as connection:
        connection.send(request(params("/wait"), keep=True))
        visitor = gate.arrived()
        pid = int(visitor.text)
        begin_to_retire(server, pid)
        visitor.release()
        assert connection.read_response().body == b'"waited"'
        server.wait_gone(pid)
        assert who(connection) != pid


@pytest.mark.fastcgi
def test_multiplexed(supervise, gate):
    """There is always an open request on the connection."""
    server = supervise(APP, 2, "--log-level", "debug", env={"GATE": gate.path})
    with server.connect() as connection:
        connection.get_values()
        connection.send(request(params("/wait"), id=1, keep=True), request(params("/wait"), id=2, keep=True))
        visitors = [gate.arrived(), gate.arrived()]
        pid = int(visitors[0].text)
        begin_to_retire(server, pid)
        visitors[0].release()
        assert connection.read_response().body == b'"waited"'
        connection.send(request(params("/wait"), id=3, keep=True))
        assert gate.nobody()
        visitors[1].release()
        assert connection.read_response().body == b'"waited"'
        visitor = gate.arrived()
        assert int(visitor.text) != pid
        visitor.release()
        assert connection.read_response(3).body == b'"waited"'
        server.wait_gone(pid)


def visit(nginx, enough, wrong):
    """What nginx gets on its kept connections, half of it with a body, for which it would not ask twice."""
    number = 0
    while not (wrong or enough.is_set()):
        number += 1
        body = b"%d" % number if number % 2 else None
        answer = nginx.ask("it", "/echo" if body else "/hello", "POST" if body else "GET", body=body)
        if answer.status != 200 or answer.body != (body or b"Hello, world\n"):
            wrong.append("request %d: %r" % (number, answer))


def test_behind_nginx(supervise, protocol):
    server = supervise(APP, 2)
    address = "unix:" + server.path if protocol == "http" else server.path
    nginx = nginxes.Nginx({"it": (address, "proxy" if protocol == "http" else True, "/")})
    enough, wrong = threading.Event(), []
    clients = [threading.Thread(target=visit, args=(nginx, enough, wrong)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for number in range(RETIREMENTS):
            retire(server, server.serving()[number % 2])
    finally:
        enough.set()
        for client in clients:
            client.join()
        log = nginx.log()
        nginx.stop()
    assert not wrong, "%s\n%s\n%s" % (wrong[:3], log, server.log())
    assert "upstream" not in log, log
