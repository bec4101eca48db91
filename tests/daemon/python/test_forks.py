"""Processes that the application forks while the server runs: they hold nothing of it, and touch nothing of it."""
import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import select
import signal
import socket
import threading

import pytest

import nginx as nginxes
from daemon import SANITIZED, until
from fcgi import params, request
from nginx import free_port

OVER_HTTP = True
APP = "forkapp"
# Of "libc" and "raw" Python does not know, and in "raw" handlers of pthread_atfork do not run either. Such a child may
# wait for ever for what another thread had: the allocator of a sanitizer, or the interpreter lock that one has asked for
# on a slow machine.
UNKNOWN = [] if SANITIZED else ["libc", "raw"]
FORKS = ["fork", "pty", "thread", "twice", "executor", *UNKNOWN[:1]]
ALL = ["fork", "pty", "thread", "twice", "executor", *UNKNOWN]
MIB = 1 << 20
BODY = b"first line\n" + os.urandom(3 * MIB)


def digest(body):
    return [len(body), hashlib.sha256(body).hexdigest()]


@pytest.fixture
def forking(start, gate, protocol):
    """Starts a server whose application comes to the gate."""
    def starter(*options, env=None, **more):
        return start(APP, "-t", 4, "--body-memory", "64K", *options, env={"GATE": gate.path, **(env or {})}, **more)
    return starter


def fork(gate, connection, path):
    """Asks for a fork. Returns the visitor that is about to, and what lets it, and returns the one that is the child."""
    connection.send(request(params(path), keep=False))
    visitor = gate.arrived()
    assert visitor.text == "about to fork"
    return visitor, lambda: (visitor.release(), gate.arrived())[1]


def own_files(pid):
    """What a process has open, but for its standard streams."""
    found = set()
    for name in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            if int(name) > 2:
                found.add(os.readlink("/proc/%d/fd/%s" % (pid, name)))
    return found


def own_loop(pid):
    """The descriptors of its loop."""
    found = {}
    for number in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            found[number] = os.readlink("/proc/%d/fd/%s" % (pid, number))
    return {number: name for number, name in found.items() if name.startswith("anon_inode:[event")}


@contextlib.contextmanager
def half_sent(server):
    """An upload of which a part is in a file."""
    with server.connect() as connection:
        whole = connection.wire(request(params("/hold/on", "POST", body=BODY), BODY))
        connection.send(whole[:2 * MIB])
        yield connection


# --- what a child holds

@pytest.mark.parametrize("how", FORKS)
def test_child_holds_nothing_of_the_server(forking, gate, how):
    server = forking()
    with server.connect() as idle, half_sent(server), server.connect() as connection:
        holding = gate.arrived()
        go_on = fork(gate, connection, "/fork/" + how)[1]
        until(lambda: any("deleted" in name for name in own_files(server.pid)), "the file of the body", server.log)
        files = own_files(server.pid)
        assert sum(name.startswith("socket:") for name in files) >= 4, files
        assert any("eventpoll" in name for name in files) and any("eventfd" in name for name in files)
        child = go_on()
        told = json.loads(child.text)
        theirs = {name for number, name in told["open"].items() if int(number) > 2}
        assert told["pid"] != server.pid
        both = {name for name in theirs & files if "/libffi.so" not in name}  # libffi 3.5 has its own file open
        assert len(both) == 1, "but for the application's own connection to the gate: %r" % both
        assert {"0", "1", "2"} <= set(told["open"])
        child.release()
        holding.release()
        assert connection.read_response().body == b"parent"
        assert idle.ask("/nothing/on", keep=False).status == 500


@pytest.mark.parametrize("how", ["fork", "thread"])
def test_child_closes_an_inherited_socket(forking, gate, protocol, how):
    """That of a spawner (fd:N): when everybody else has closed it, clients are refused, and do not wait for the child."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd, port = listening.fileno(), listening.getsockname()[1]
        server = forking(socket="fd:%d" % fd, address=("127.0.0.1", port), pass_fds=[fd])
        with server.connect() as connection:
            child = fork(gate, connection, "/fork/" + how)[1]()
            assert connection.read_response().body == b"parent"
        server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    child.release()


# --- what its peers and the next server see

@pytest.mark.parametrize("how", ALL)
def test_loop_stays_where_it_is_while_the_child_lives(forking, gate, how):
    """libev opens an epoll(7) of its own accord, with a low number, when one tells of a connection that was closed; and so
    it does as long as somebody else holds the connection, if only until that is another program (subprocess)."""
    server = forking("--idle-timeout", 1)
    before = own_loop(server.pid)
    with server.connect() as resting, server.connect() as connection:
        child = fork(gate, connection, "/fork/" + how)[1]()
        assert connection.read_response().body == b"parent"
        assert connection.at_eof() and resting.at_eof()
        assert server.ask("/nothing/on").status == 500  # after a turn of the loop
        child.release()
    assert own_loop(server.pid) == before


@pytest.mark.parametrize("how", ALL)
def test_peer_sees_the_end_while_the_child_lives(forking, gate, how):
    server = forking("--idle-timeout", 1)
    with server.connect() as resting, server.connect() as kept, server.connect() as connection:
        kept.send(request(params("/hold/on"), keep=True))
        gate.arrived().release()
        assert kept.read_response().body == b"held"
        child = fork(gate, connection, "/fork/" + how)[1]()
        assert connection.read_response().body == b"parent"
        assert connection.at_eof()
        assert kept.at_eof() and resting.at_eof(), "those that were idle"
        child.release()


@pytest.mark.parametrize("how", ALL)
def test_cut_answer_is_seen_while_the_child_lives(forking, gate, how):
    server = forking()
    with server.connect() as connection:
        child = fork(gate, connection, "/cut/" + how)[1]()
        response = connection.read_response()
        assert response.broken and b"a part" in response.body
        child.release()


@pytest.mark.parametrize("how", ALL)
def test_half_closed_peer_sees_the_end_while_the_child_lives(forking, gate, how):
    """One that has ended its side, as scripts and some health checkers do."""
    server = forking(socket="127.0.0.1:%d" % (port := free_port()), address=("127.0.0.1", port))
    with server.connect() as connection:
        connection.send(request(params("/fork/" + how), keep=True))
        connection.sock.shutdown(socket.SHUT_WR)
        gate.arrived().release()
        child = gate.arrived()
        assert connection.read_response().body == b"parent"
        assert connection.at_eof()
        child.release()


@pytest.mark.parametrize("how", ["fork", "thread", *UNKNOWN[1:]])
def test_peer_sees_the_end_of_a_stop_while_the_child_lives(forking, gate, how):
    """A request that outlasts --graceful-timeout."""
    server = forking("--graceful-timeout", 0)
    with server.connect() as connection:
        connection.send(request(params("/hang/" + how), keep=True))
        visitors = [gate.arrived(), gate.arrived()]
        server.signal(signal.SIGTERM)
        server.wait_cut()
        assert connection.at_eof()
        for visitor in visitors:
            visitor.close()


@pytest.mark.fastcgi
@pytest.mark.parametrize("how", ALL)
def test_nginx_has_its_end_while_the_child_lives(forking, gate, how):
    server = forking()
    nginx = nginxes.Nginx({"nginx": (server.path, False, "/")})
    try:
        for path, whole in [("/fork/" + how, True), ("/cut/" + how, False)]:
            answer = []
            asking = threading.Thread(target=lambda: answer.append(nginx.ask("nginx", path)))
            asking.start()
            gate.arrived().release()
            child = gate.arrived()
            asking.join()
            assert answer[0].complete == whole, answer
            assert not whole or answer[0].body == b"parent"
            child.release()
    finally:
        nginx.stop()


# A name without a file is taken for as long as anybody holds the socket (unix(7)): there is nothing to be done about "raw".
@pytest.mark.parametrize("where, how", [*itertools.product(["port", "path"], ["fork", "thread", "twice", *UNKNOWN[1:]]),
                                        *itertools.product(["abstract"], ["fork", "thread", "twice"])])
def test_next_server_is_reached_while_the_child_lives(forking, gate, protocol, how, where):
    port = free_port()
    more = {"port": {"socket": "127.0.0.1:%d" % port, "address": ("127.0.0.1", port)},
            "path": {"socket": os.path.join(os.path.dirname(gate.path), "app.sock")},
            "abstract": {"socket": "@forks-%d" % os.getpid()}}[where]
    server = forking(**more)
    with server.connect() as connection:
        child = fork(gate, connection, "/fork/" + how)[1]()
        assert connection.read_response().body == b"parent"
    server.stop()
    assert os.path.exists("/proc/%d" % json.loads(child.text)["pid"])
    following = forking(**more)
    with following.connect() as connection:
        connection.send(request(params("/hold/on"), keep=False))
        gate.arrived().release()
        assert connection.read_response().body == b"held"
    child.release()


def test_next_server_after_one_that_was_killed(forking, gate, tmp_path):
    """Whose socket file is there, and a child as well."""
    path = str(tmp_path / "app.sock")
    server = forking(socket=path)
    with server.connect() as connection:
        child = fork(gate, connection, "/fork/fork")[1]()
        assert connection.read_response().body == b"parent"
    server.expect_status = -signal.SIGKILL
    server.process.kill()
    server.process.wait()
    forking(socket=path)
    child.release()


# --- what it may do

INPUT = [errno.ECONNRESET] * 7


@pytest.mark.parametrize("how", ["fork", *UNKNOWN])
@pytest.mark.parametrize("size", [20, 50000, MIB, len(BODY)])
def test_input_of_a_child(forking, how, size):
    """It fails at once, and the parent has all of it afterwards: in memory, and in a file."""
    server = forking("--stream-body")
    response = server.ask("/input/" + how, "POST", body=BODY[:size])
    assert response.status == 200, server.log()
    assert json.loads(response.body) == ["first line", INPUT, digest(BODY[10:size])], server.log()


@pytest.mark.parametrize("how", ["fork", *UNKNOWN])
def test_fork_while_the_body_comes(forking, how):
    """Whatever lock is held at that moment, and by whomever."""
    server = forking("--stream-body")
    body = BODY * 4
    with server.connect() as connection:
        def send():
            whole = connection.wire(request(params("/storm/" + how, "POST", body=body), body, keep=True))
            for at in range(0, len(whole), 1000):
                connection.send(whole[at:at + 1000])
        sender = threading.Thread(target=send)
        sender.start()
        response = connection.read_response()
        sender.join()
    told, got = json.loads(response.body)
    assert got == digest(body)
    assert told == [errno.ECONNRESET] * 100


def test_look_at_what_runs_while_it_forks(forking):
    """Stacks are read at any moment of a fork, and told of by the server alone."""
    server = forking("--stream-body", "--status-path", "/status")
    body, count = BODY[:MIB], 3
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(count)]
        for connection in connections:
            whole = connection.wire(request(params("/storm/fork", "POST", body=body), body, keep=True))
            sender = threading.Thread(target=connection.send, args=[whole])
            sender.start()
            stack.callback(sender.join)
        waiting = list(connections)
        while waiting:
            server.signal(signal.SIGUSR2)
            json.loads(server.ask("/status", query="format=json").body)
            for connection in select.select([c.sock for c in waiting], [], [], 0)[0]:
                waiting = [c for c in waiting if c.sock is not connection]
        for connection in connections:
            told, got = json.loads(connection.read_response().body)
            assert got == digest(body) and told == [errno.ECONNRESET] * 100
    until(lambda: "SIGUSR2: no call runs" in server.log() or server.signal(signal.SIGUSR2), "the last block", server.log)
    heads = re.findall(r"wsgi-fcgi\[(\d+)\] warning: SIGUSR2: ", server.log())
    assert heads and set(heads) == {str(server.pid)}, server.log()
    assert re.search(r', line \d+, in (forkapp\.)?view_storm\n', server.log()), server.log()


@pytest.mark.parametrize("how", ["fork", *UNKNOWN])
def test_child_is_asked_what_runs(forking, gate, how):
    """It ends, as without the server; and the server has nothing to tell of that."""
    server = forking()
    with server.connect() as connection:
        _, let = fork(gate, connection, "/fork/" + how)
        child = let()
        assert connection.read_response(1).body == b"parent"
        os.kill(json.loads(child.text)["pid"], signal.SIGUSR2)
        assert child.line() == ""
    server.signal(signal.SIGUSR2)
    server.wait_log("SIGUSR2: ")
    assert server.ask("/connected/fork").status == 200
    assert server.log().count("SIGUSR2: ") == 1, server.log()


# Python does not know of the child of a bare system call: that hangs when it gives up the interpreter's lock and another thread
# was waiting for that, as the main thread may be just after the start, at the pace of a sanitizer.
@pytest.mark.parametrize("destination", ["log", "fastcgi", "both"])
@pytest.mark.parametrize("how", ["fork", *UNKNOWN])
@pytest.mark.fastcgi
def test_errors_of_a_child(forking, how, destination):
    """They go to the log, and not into the connection; what the parent has begun to say is the parent's to end."""
    server = forking("--app-stderr", destination)
    response = server.ask("/errors/" + how)
    assert response.body == b"told"
    assert server.log().count("from the child") == 1
    assert bytes(response.stderr) == (b"" if destination == "log" else b"from the parent only\n")
    if destination != "fastcgi":
        assert server.log().count("from the parent only\n") == 1


@pytest.mark.parametrize("how", ["fork", *UNKNOWN])
def test_child_has_no_client(forking, how):
    server = forking()
    assert json.loads(server.ask("/connected/" + how).body) == [True, [False, errno.EPIPE]]


@pytest.mark.parametrize("how", ["fork", *UNKNOWN, "pty"])
def test_child_that_returns_ends(forking, gate, how):
    server = forking()
    with server.connect() as connection:
        assert connection.ask("/returns/" + how).body == b"0"
        assert connection.ask("/returns/" + how, keep=False).body == b"0"
        assert connection.at_eof()


def test_child_of_what_is_freed_last_ends(forking, gate):
    server = forking()
    assert server.ask("/freed/on").body == b"answer"
    assert gate.arrived().text == "ended with 0"


def test_child_of_a_signal_handler_ends(forking, gate):
    server = forking()
    server.signal(signal.SIGUSR1)
    assert gate.arrived().text == "ended with 0"


def test_child_of_the_import_ends(forking):
    """It would be a second server otherwise, which has no socket."""
    server = forking(env={"ON_IMPORT": "fork"})
    server.wait_log("the child goes on")
    server.wait_log("the application forked while it was loaded.*put wsgi-fcgi itself into the background")
    assert server.ask("/nothing/on").status == 500
