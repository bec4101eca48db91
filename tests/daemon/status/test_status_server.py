"""--status: a socket for the page alone, and peers that do not behave there."""
import os
import signal
import socket
import stat

import pytest

import daemon as daemons
import fcgi
from daemon import Daemon, until
from ports import free_port
from status_client import Answer, ask, head, is_cut, read_all, refused, send, tcp_of

CLIENTS = 32  # net/status_server.h
HEAD_MAX = 8192  # proto/status_head.h


@pytest.fixture(scope="module")
def server():
    running = Daemon("hello", "--status", "127.0.0.1:0")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def address(server):
    return tcp_of(server)


def is_page(answer):
    assert answer.status == 200, answer
    assert answer.header("Cache-Control") == ["no-store"] and answer.header("Vary") == ["Accept"], answer
    assert answer.header("Connection") == ["close"] and len(answer.header("Date")) == 1, answer
    assert answer.header("Content-Length") == [str(len(answer.body))], answer
    return answer


# --- what is answered


def test_the_page(address, server):
    for target in ["/", "/?", "http://localhost/"]:
        assert b"hello" in is_page(ask(address, target)).body
    assert is_page(ask(address, "/?format=json")).json()["server"]["pid"] == server.pid
    assert is_page(ask(address, Accept="application/json")).header("Content-Type") == ["application/json"]


def test_head(address):
    answer = ask(address, method="HEAD")
    assert answer.status == 200 and not answer.body and int(answer.header("Content-Length")[0]) > 100, answer


def test_version_1_0(address):
    is_page(Answer(send(address, b"GET / HTTP/1.0\r\n\r\n")))


def test_in_pieces(address):
    is_page(Answer(send(address, *[b"%c" % byte for byte in head("/")])))


def test_one_request_on_a_connection(address):
    """What comes behind it is dropped."""
    answer = send(address, head("/"), head("/"), b"x" * 100000)
    assert answer.count(b"HTTP/1.1 200 OK") == 1, answer


@pytest.mark.parametrize("path", ["/x", "/metrics/", "/favicon.ico", "//", "/%2f"])
def test_other_paths(address, path):
    assert ask(address, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods(address, method):
    answer = ask(address, method=method, Content_Length="3")
    assert answer.status == 405 and answer.header("Allow") == ["GET, HEAD"], answer


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"GET /\r\n\r\n", b"\r\nGET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\n\n", b"GET / HTTP/1.0\r\nA: 1\r\n B: 2\r\n\r\n", b"GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
    b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"GET / HTTP/1.0\r\nHost : a\r\n\r\n",
    b"GET /\0 HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00", b"get", fcgi.begin(1)])
def test_what_is_odd(address, data):
    assert Answer(send(address, data)).status == 400


def named(address, host):
    return Answer(send(address, b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host)).status


def test_a_browser_that_is_lured(start, tmp_path):
    """A page of another site gets at loopback by a name of its own, which a browser tells as Host (DNS rebinding)."""
    path = str(tmp_path / "status.sock")
    server = start("hello", "--status", "127.0.0.1:0", "--status", path)
    for host in [b"localhost:80", b"127.0.0.1", b"[::1]:9000", b"web1"]:
        assert named(tcp_of(server), host) == 200, host
    assert named(tcp_of(server), b"evil.example:9000") == 403
    server.wait_log("info: status page: 403 Forbidden .*: its Host is a name in the DNS")
    assert named(path, b"evil.example") == 200
    server = start("hello", "--status", "127.0.0.1:0", "--status-allow", "127.0.0.1")
    assert named(tcp_of(server), b"evil.example") == 200


def test_the_log_says_why(address, server):
    assert ask(address, "/nothing/here").status == 404
    server.wait_log(r"info: status page: 4\d\d .*\(peer 127\.0\.0\.1:\d+\): ")


# --- where it listens, and who may connect


def test_a_unix_socket(start, tmp_path):
    path = str(tmp_path / "status.sock")
    server = start("hello", "--status", path, "--socket-mode", "0600")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    is_page(ask(path))
    server.stop()
    assert not os.path.exists(path)


def test_several(start, tmp_path):
    path = str(tmp_path / "status.sock")
    server = start("hello", "--status", path, "--status", "127.0.0.1:0", "--status", "@%s" % path)
    for address in [path, tcp_of(server)]:
        is_page(ask(address))
    server.wait_log(r"listening on @.* \(status page\)")


def test_it_is_not_for_the_application(start):
    """Neither protocol is spoken there, and the page is not elsewhere."""
    server = start("hello", "--status", "127.0.0.1:0")
    assert server.ask("/").status == 200
    assert b"hello" in is_page(ask(tcp_of(server))).body


def test_in_use(tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        done = daemons.run("-s", tmp_path / "s", "--status", port, "hello")
    assert done.returncode == os.EX_UNAVAILABLE and "127.0.0.1:%d is in use by another process" % port in done.stderr, done


def test_given_twice(tmp_path):
    done = daemons.run("-s", tmp_path / "s", "--status", tmp_path / "s", "hello")
    assert done.returncode == os.EX_USAGE and "is given twice" in done.stderr, done


@pytest.mark.parametrize("option,value,why", [
    ("--status-path", "status", 'does not start with "/"'), ("--status-path", "/a?b", "has a query"),
    ("--status-path", "/a%20", "is encoded"), ("--status-path", "/a#b", 'has a "#"'), ("--status-path", "", "does not start"),
    ("--status-allow", "localhost", "is not an IP address"), ("--status", "/no/such/directory/s", "directory")])
def test_what_cannot_work(tmp_path, option, value, why):
    """One line, with the option, or the line of the file."""
    done = daemons.run("-s", tmp_path / "s", option, value, "hello")
    assert done.returncode and option in done.stderr.replace("no/such", "") or option == "--status", done
    assert why in done.stderr, done
    config = tmp_path / "c.ini"
    config.write_text("socket = %s\napplication = hello\n%s = %s\n" % (tmp_path / "s", option[2:], value))
    done = daemons.run("--config", config)
    assert done.returncode and why in done.stderr, done
    if option != "--status":
        assert done.returncode == os.EX_CONFIG, done
        assert "c.ini:3" in done.stderr or "c.ini, line 3" in done.stderr or "line 3" in done.stderr, done


def test_an_allow_without_a_page(start):
    server = start("hello", "--status-allow", "any")
    server.wait_log(r"warning: --status-allow has no effect: there is no status page")


def test_check_opens_nothing(tmp_path):
    path = tmp_path / "status.sock"
    done = daemons.run("-s", tmp_path / "s", "--status", path, "--check", "hello")
    assert done.returncode == 0 and "socket: %s (status page, not opened)" % path in done.stdout, done


def test_who_may_connect(start, tmp_path):
    """Others are not answered, and the log says how to let them in."""
    path = str(tmp_path / "status.sock")
    server = start("hello", "--status", "127.0.0.1:0", "--status", path, "--status-allow", "192.0.2.0/24")
    assert send(tcp_of(server), head("/")) == b""
    server.wait_log(r"info: refused 127\.0\.0\.1:\d+ on 127\.0\.0\.1:\d+: .*--status-allow")
    assert send(path, head("/")) == b""
    server.wait_log(r"info: refused a process of this machine on %s: .*--status-allow" % path)


def test_who_is_named(start, tmp_path):
    path = str(tmp_path / "status.sock")
    server = start("hello", "--status", "127.0.0.1:0", "--status", path, "--status-allow", "unix")
    is_page(ask(path))
    assert send(tcp_of(server), head("/")) == b""


def test_all_addresses(start):
    """Only this machine may connect unless others are named; the log says so."""
    server = start("hello", "--status", ":0")
    server.wait_log(r"listening on \S+ \(status page, only loopback peers\)")


# --- peers that do not behave


def test_half_a_head(server, address):
    """It has its time, and nobody else notices."""
    with fcgi.connect(address) as half, fcgi.connect(address) as silent:
        half.sendall(head("/")[:-2])
        is_page(ask(address))
        assert Answer(read_all(half)).status == 408
        assert is_cut(silent)


def test_a_head_without_end(address):
    is_page(ask(address, "/", X="x" * (HEAD_MAX - 100)))
    assert ask(address, "/", X="x" * HEAD_MAX).status == 431


def test_a_mebibyte_of_head(address):
    assert Answer(send(address, b"GET / HTTP/1.1\r\n", *[b"A: " + b"x" * 16000 + b"\r\n"] * 64)).status == 431


def test_a_thousand_connections(server, address):
    """The one that has waited for longest without a request gives way to the next, so a person gets in; and the
    descriptors of the server do not run short."""
    idle = []
    try:
        for _ in range(1000):
            idle.append(fcgi.connect(address))
        is_page(ask(address))
        assert server.fds() < CLIENTS + 40
        assert server.ask("/").status == 200
        assert all(map(is_cut, idle[:-CLIENTS]))
    finally:
        for sock in idle:
            sock.close()


def test_peers_that_never_read(server, address):
    """They hold no place that another one needs."""
    deaf = [fcgi.connect(address) for _ in range(2 * CLIENTS)]
    for sock in deaf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        try:
            sock.sendall(head("/?format=json"))
        except OSError:
            pass  # it has given way
    is_page(ask(address))
    for sock in deaf:
        sock.close()


def test_peers_that_leave(server, address):
    for data in [b"", b"GET", head("/"), head("/") + b"more"]:
        for how in [socket.SHUT_WR, socket.SHUT_RDWR, None]:
            with fcgi.connect(address) as sock:
                sock.sendall(data)
                if how is not None:
                    sock.shutdown(how)
    is_page(ask(address))
    until(lambda: server.fds() < 40, "connections to end", server.log)


def test_a_half_closed_peer_is_answered(address):
    with fcgi.connect(address) as sock:
        sock.sendall(head("/"))
        sock.shutdown(socket.SHUT_WR)
        is_page(Answer(read_all(sock)))


# --- while the server has other troubles


def hang(server, gate, name, count=1, path="/%s"):
    connections = []
    for _ in range(count):
        connection = server.connect()
        connection.send(fcgi.request(fcgi.params(path % name, query="gate=" + gate.path)))
        connections.append(connection)
    return connections, [gate.arrived() for _ in range(count)]


def release(connections, visitors):
    for visitor in visitors:
        visitor.release()
    for connection in connections:
        assert connection.read_response(1).status == 200
        connection.close()


PAGE = ["--status", "127.0.0.1:0", "--status-path", "/status"]


def shows_both(server, kept):
    is_page(ask(tcp_of(server)))
    kept.send(fcgi.request(fcgi.params("/status"), keep=True))
    assert kept.read_response(1).status == 200


def test_all_threads_are_stuck(start, gate):
    server = start("hangapp", "--threads", 2, *PAGE)
    with server.connect() as kept:
        hanging = hang(server, gate, "sleep", 2)
        shows_both(server, kept)
        with server.connect() as fresh:
            shows_both(server, fresh)
        release(*hanging)


def test_the_queue_is_full(start, gate):
    server = start("hangapp", "--threads", 1, "--queue-limit", 1, *PAGE)
    hanging = hang(server, gate, "sleep")
    waiting = [server.connect() for _ in range(3)]
    for connection in waiting:
        connection.send(fcgi.request(fcgi.params("/hello")))
    server.wait_log("503")
    with server.connect() as kept:
        shows_both(server, kept)
    release(*hanging)


@pytest.mark.parametrize("name", ["keep_lock", "compute"])
def test_the_interpreter_lock_is_held(start, gate, name):
    server = start("hangapp", *PAGE)
    with server.connect() as kept:
        hanging = hang(server, gate, name)
        shows_both(server, kept)
        release(*hanging)


def test_max_connections_is_reached(start, gate):
    """The socket of the page has room of its own, and who is connected may ask."""
    server = start("hangapp", "--max-connections", 2, *PAGE)
    with server.connect() as kept:
        kept.send(fcgi.request(fcgi.params("/hello"), keep=True))
        assert kept.read_response(1).status == 200
        hanging = hang(server, gate, "sleep")
        shows_both(server, kept)
        release(*hanging)


def test_a_stop(start, gate):
    """Nobody can connect any more, as to all sockets; who is connected is answered, and nobody waits for the end of it."""
    server = start("hangapp", *PAGE)
    address = tcp_of(server)
    with fcgi.connect(address) as silent:
        hanging = hang(server, gate, "sleep")
        with fcgi.connect(address) as late:
            late.sendall(head("/")[:-2])
            server.signal(signal.SIGTERM)
            until(lambda: refused(address), "the socket to be closed", server.log)
            late.sendall(b"\r\n")
            is_page(Answer(read_all(late)))
        release(*hanging)
        assert server.wait_exit() == 0
        assert is_cut(silent)


def test_while_it_warms_up(start, gate):
    """Before anybody is served."""
    port = free_port()
    server = start("hangapp", "--warm-up", "/sleep?gate=" + gate.path, "--status", port, wait=False)
    visitor = gate.arrived()
    is_page(ask(("127.0.0.1", port)))
    visitor.release()
    server.wait_ready()
