"""The start: sockets are there before the application is imported, and clients wait in their backlogs meanwhile."""
import fcntl
import os
import re
import signal
import socket
import threading

import pytest

import daemon
import nginx as nginxes
from daemon import APPS, run, until
from fcgi import params, request
from ports import free_port
from test_cli import refused
from test_lost_descriptors import LOST

OVER_HTTP = True
APP = "startapp"
EX_NOINPUT, EX_UNAVAILABLE, EX_SOFTWARE, EX_IOERR, EX_CONFIG = 66, 69, 70, 74, 78
RESTARTS = int(os.environ.get("START_RESTARTS", "3"))


@pytest.fixture
def importing(start, gate):
    """Starts a server whose application is being imported: importing(DO, **more) returns it and the visitor."""
    def starter(do="wait", *args, **more):
        server = start(APP, *args, wait=False, env={"GATE": gate.path, "DO": do}, **more)
        visitor = gate.arrived()
        assert visitor.text == "importing", server.log()
        return server, visitor
    return starter


def send(server):
    """A client of a server that is not there yet."""
    connection = server.connect()
    connection.send(request(params("/hello")))
    return connection


def test_requests_wait_for_the_import(importing):
    server, visitor = importing()
    clients = [send(server) for _ in range(20)]
    visitor.release()
    for client in clients:
        assert client.read_response(1).body == b"Hello, world\n"
        client.close()


def ends(server, status):
    assert server.wait_exit() == status, server.log()
    server.expect_status = status
    assert not os.path.exists(server.path), server.log()


def test_import_that_fails(importing):
    """Who waits learns it at once, and nothing is left behind."""
    server, visitor = importing("wait fail")
    client = send(server)
    visitor.release()
    assert client.at_eof()
    ends(server, EX_SOFTWARE)
    assert "RuntimeError: failed on purpose" in server.log()


@pytest.mark.fastcgi
def test_clients_do_not_wait_for_the_end_of_python(importing):
    """Threads of an application that cannot be served may take long to end."""
    server, visitor = importing("thread wait fail")
    client = send(server)
    visitor.release()
    assert client.at_eof()
    assert server.process.poll() is None and not os.path.exists(server.path), server.log()
    ends(server, EX_SOFTWARE)


@pytest.mark.parametrize("app, status", [("no_such_module", EX_NOINPUT), (APP + ":missing", EX_CONFIG)])
def test_mistakes_leave_no_socket(protocol, tmp_path, app, status):
    assert run(daemon.OPTIONS[protocol], tmp_path / "app.sock", app).returncode == status
    assert os.listdir(tmp_path) == []


def test_second_server_is_refused_before_the_import(importing, protocol, gate):
    """That of the first is still being imported."""
    server, visitor = importing()
    done = run(daemon.OPTIONS[protocol], server.path, APP, env={"GATE": gate.path, "DO": "tell"})
    refused(done, EX_UNAVAILABLE, "in use", re.escape(server.path), str(server.pid))
    assert "imported" not in done.stderr and gate.nobody()
    client = send(server)
    visitor.release()
    assert client.read_response(1).body == b"Hello, world\n"


def sockets_of(pid):
    directory = "/proc/%d/fd" % pid
    return [name for name in os.listdir(directory) if os.readlink(os.path.join(directory, name)).startswith("socket:")]


def test_child_of_the_import_has_no_socket(start, gate):
    server = start(APP, wait=False, env={"GATE": gate.path, "DO": "fork"})
    child = gate.arrived()
    number = int(re.fullmatch(r"child (\d+)", child.text).group(1))
    assert len(sockets_of(number)) == 1, "that by which it talks to the test"
    server.wait_ready()
    server.stop()
    assert child.sock.fileno() >= 0 and os.path.exists("/proc/%d" % number)


def test_child_of_the_import_takes_no_connections(start, gate, protocol):
    """The next server has the port while the child lives."""
    address = ("127.0.0.1", free_port())
    first = start(APP, wait=False, socket="%s:%d" % address, address=address, env={"GATE": gate.path, "DO": "fork"})
    assert gate.arrived().text.startswith("child ")
    first.wait_ready()
    first.stop()
    second = start(APP, socket="%s:%d" % address, address=address)
    assert second.ask("/hello").status == 200


def test_import_that_closes_everything(start):
    server = start(APP, wait=False, env={"DO": "close"})
    ends(server, EX_IOERR)
    assert len(re.findall(LOST, server.log())) == 1, server.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_the_import(importing, number):
    server, visitor = importing()
    client = send(server)
    server.signal(number)
    assert client.at_eof()
    ends(server, 128 + number)


def connects(path):
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(path) == 0


@pytest.mark.fastcgi
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_between_two_sockets(start, tmp_path, number):
    """The one that is there goes."""
    second = tmp_path / "other" / "second.sock"
    second.parent.mkdir()
    # Who opens a socket in this directory waits up to two seconds for a turn.
    lock = os.open(second.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = start(APP, "-s", second, wait=False)
        until(lambda: connects(server.path), "the first socket", server.log)
        server.signal(number)
        ends(server, 128 + number)
        assert number.name in server.log() and not second.exists()
    finally:
        os.close(lock)


@pytest.mark.parametrize("do, status", [("leave", 3), ("daemonize", 0)])
def test_import_that_ends_the_process(start, do, status):
    """A parent that leaves its child behind does so as well: the child is no server."""
    server = start(APP, wait=False, env={"DO": do})
    ends(server, status)
    assert "outside of a request: the application ended the process by os._exit(%d)" % status in server.log()
    if do == "daemonize":
        server.wait_log("the application forked while it was loaded")


# --- one that takes long

TAKEN = r"warning: loading startapp has taken %d s so far"
AT = r"warning: loading startapp: it is at %s, while the module startapp is imported"
CALLED = r", called by \S*startapp\.py, line %d"


@pytest.mark.fastcgi
def test_slow_import(importing):
    """It is said where it is, again after twice the time, and nothing is left of who has said it."""
    server, visitor = importing("wait count")
    with open(os.path.join(APPS, "startapp.py")) as file:
        last = len(file.readlines())
    place = AT % (r"\S*gateway\.py, line \d+, in visit" + CALLED % last)
    server.wait_log(TAKEN % 5 + r"[^\n]*\n[^\n]*" + place)
    server.wait_log(TAKEN % 10 + r"[^\n]*\n[^\n]*" + place)
    assert "wsgi-fcgi-load" in names_of_threads(server)
    visitor.release()
    server.wait_ready()
    assert "threads: ['MainThread'] 1\n" in server.log()
    assert re.search(r"info: loading startapp has ended after 1\d s", server.log()), server.log()
    assert "wsgi-fcgi-load" not in names_of_threads(server)


def names_of_threads(server):
    directory = "/proc/%d/task" % server.pid
    names = []
    for number in os.listdir(directory):
        with open(os.path.join(directory, number, "comm")) as file:
            names.append(file.read().strip())
    return names


@pytest.mark.fastcgi
def test_slow_import_that_computes(importing, gate):
    server, _ = importing("compute")
    visitor = gate.arrived()
    server.wait_log(TAKEN % 5 + r"[^\n]*\n[^\n]*" + AT % r"\S*startapp\.py, line \d+, in compute")
    visitor.release()
    server.wait_ready()


@pytest.mark.fastcgi
def test_slow_import_that_holds_the_interpreter(importing):
    """It is not known where that is."""
    server, visitor = importing("hold")
    server.wait_log(TAKEN % 5)
    assert "it is at" not in server.log()
    visitor.release()
    server.wait_ready()


@pytest.mark.fastcgi
def test_import_forks_as_a_process_of_one_thread(start, gate):
    server = start(APP, wait=False, env={"GATE": gate.path, "DO": "wait fork wait"})
    visitor = gate.arrived()
    assert "wsgi-fcgi-load" in names_of_threads(server)
    visitor.release()
    for visitor in sorted((gate.arrived(), gate.arrived()), key=lambda visitor: visitor.text):
        if visitor.text == "importing":
            until(lambda: "wsgi-fcgi-load" not in names_of_threads(server), "one thread", server.log)
        visitor.release()
    server.wait_ready()


@pytest.mark.fastcgi
def test_quick_import(start):
    assert "loading" not in start(APP).log()


# --- behind nginx

class Clients:
    """They ask nginx for the same again and again, and keep what it answers."""

    def __init__(self, nginx, count=4):
        self.nginx, self.statuses, self.over = nginx, [], False
        self.asking = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.over:
            with self.lock:
                self.asking += 1
            response = self.nginx.ask("app", "/hello")
            with self.lock:
                self.asking -= 1
                self.statuses.append(response.status)

    def wait(self):
        """Until each of them has asked something that began after now, or waits for the answer."""
        begin = len(self.statuses)
        until(lambda: self.asking == len(self.threads), "all clients to ask", lambda: repr(self.statuses[begin:]))

    def answered(self):
        begin = len(self.statuses)
        until(lambda: len(self.statuses) >= begin + len(self.threads), "answers")

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join()
        return self.statuses


@pytest.mark.fastcgi
def test_restarts_with_a_socket_of_the_parent(start, gate, tmp_path):
    """As systemd has it (Sockets=): no request fails while the one server ends and the next one is imported."""
    path = str(tmp_path / "app.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        os.chmod(tmp_path, 0o755)
        os.chmod(path, 0o666)
        sock.listen(511)
        nginx = nginxes.Nginx({"app": (path, False, "/")})
        clients = None
        try:
            given = {"socket": "fd:%d" % sock.fileno(), "address": path, "pass_fds": [sock.fileno()]}
            server = start(APP, **given)
            clients = Clients(nginx)
            for _ in range(RESTARTS):
                clients.answered()
                server.stop()
                server = start(APP, wait=False, env={"GATE": gate.path, "DO": "wait"}, **given)
                visitor = gate.arrived()
                clients.wait()
                visitor.release()
            clients.answered()
        finally:
            statuses = clients.stop() if clients else []
            nginx.stop()
    assert set(statuses) == {200}, statuses


@pytest.mark.fastcgi
def test_restart_with_a_socket_of_its_own(importing, start, tmp_path):
    """From when the new server has begun to listen no request fails, however long the import takes."""
    path = str(tmp_path / "app.sock")
    os.chmod(tmp_path, 0o755)
    server = start(APP, "--socket-mode", "0666", socket=path)
    nginx = nginxes.Nginx({"app": (path, False, "/")})
    try:
        assert nginx.ask("app", "/hello").status == 200
        server.stop()
        _, visitor = importing("wait", "--socket-mode", "0666", socket=path)
        clients = Clients(nginx)
        clients.wait()
        visitor.release()
        clients.answered()
        assert set(clients.stop()) == {200}
    finally:
        nginx.stop()
