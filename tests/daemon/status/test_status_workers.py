"""The status page of a server with workers: the supervisor answers at --status, and each worker at --status-path."""
import concurrent.futures
import json
import os
import signal
import threading

import pytest

import fcgi
from daemon import until
from ports import free_port
from status_client import ask, refused, tcp_of
from test_status_server import hang, is_page, release

JSON = "/?format=json"
WORKERS = 2


def page(address):
    return is_page(ask(address, JSON)).json()


def serving(shown):
    return sorted(worker["pid"] for worker in shown["workers"] if worker["state"] == "serving")


def page_of_worker(server):
    response = server.ask("/status", query="format=json")
    assert response.status == 200, response
    return json.loads(response.body)


@pytest.mark.parametrize("how", [[], ["--preload"]])
def test_both_show_the_same(supervise, how):
    server = supervise("hello", WORKERS, "--status", "127.0.0.1:0", "--status-path", "/status", *how)
    pids = sorted(server.serving().values())
    shown = page(tcp_of(server))
    assert shown["server"]["pid"] == server.pid and shown["server"]["workers"] == WORKERS, shown
    assert serving(shown) == pids, shown
    for _ in range(2 * WORKERS):
        other = page_of_worker(server)
        assert other["server"]["pid"] == server.pid and other["server"]["workers"] == WORKERS, other
        assert serving(other) == pids, other


def test_a_worker_that_dies(supervise):
    """It is not shown any more, and the one in its place is."""
    server = supervise("hello", WORKERS, "--status", "127.0.0.1:0")
    address = tcp_of(server)
    gone = server.serving()[0]
    os.kill(gone, signal.SIGKILL)
    until(lambda: gone not in serving(page(address)) and len(serving(page(address))) == WORKERS, "another one", server.log)


def test_no_worker_is_left(start, tmp_path):
    """Here none ever serves: the application fails when it is loaded, again and again."""
    port = free_port()
    flag = tmp_path / "fails"
    server = start(None, "--workers", WORKERS, "--status", port, "--chdir", str(tmp_path), "app",
                   wait=False, cwd=write_app(tmp_path))
    until(lambda: len(server_serving(port)) == WORKERS, "workers to serve", server.log)
    flag.write_text("")
    for pid in server_serving(port):
        os.kill(pid, signal.SIGKILL)
    server.wait_log(r"(?s)cannot be loaded|fails, as it is told to")
    until(lambda: not server_serving(port), "no worker to serve", server.log)
    for _ in range(20):
        assert page(("127.0.0.1", port))["server"]["pid"] == server.pid
    flag.unlink()
    until(lambda: len(server_serving(port)) == WORKERS, "workers to serve again", server.log)


def write_app(directory):
    (directory / "app.py").write_text(
        "import os\n"
        "if os.path.exists('fails'):\n"
        "    raise RuntimeError('fails, as it is told to')\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'served']\n")
    return str(directory)


def server_serving(port):
    try:
        return serving(page(("127.0.0.1", port)))
    except ConnectionRefusedError:  # it does not listen yet
        return []


def test_before_a_worker_serves(start, gate, tmp_path):
    """The supervisor answers while they load the application."""
    port = free_port()
    server = start("hangapp", "--workers", 1, "--warm-up", "/sleep?gate=" + gate.path, "--status", port, wait=False)
    visitor = gate.arrived()
    shown = page(("127.0.0.1", port))
    assert [worker["state"] for worker in shown["workers"]] == ["starting"], shown
    visitor.release()
    server.wait_log("serves hangapp with 1 worker")  # a start that is ended before that has failed


def test_reload(supervise):
    """The socket stays, nobody is cut off, and the new workers are shown."""
    server = supervise("hello", WORKERS, "--status", "127.0.0.1:0")
    address = tcp_of(server)
    before = server.serving()
    server.signal(signal.SIGHUP)
    def done():
        now = serving(page(address))
        return len(now) == WORKERS and not set(now) & set(before.values())
    until(done, "the reload", server.log)
    assert page(address)["server"]["pid"] == server.pid


def test_who_asks_while_the_supervisor_is_executed_anew(supervise):
    """At any moment of a reload somebody has just asked for stacks, which come later than the execution might."""
    server = supervise("hello", WORKERS, "--status", "127.0.0.1:0")
    address = tcp_of(server)
    over = threading.Event()

    def asks():
        count = 0
        while not over.is_set():
            assert page(address)["server"]["pid"] == server.pid
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor() as pool:
        people = [pool.submit(asks) for _ in range(4)]
        try:
            for _ in range(3):
                before = server.serving()
                server.signal(signal.SIGHUP)
                for pid in before.values():
                    server.wait_log(r"worker \d \(process %d\) has ended with status 0" % pid)
        finally:
            over.set()
        counts = [person.result() for person in people]
    assert min(counts) > 3, counts


def test_reload_with_other_sockets(start, tmp_path):
    """One that is new is opened, and one that nobody wants any more is closed, with its file."""
    old, new = tmp_path / "old.sock", tmp_path / "new.sock"
    config = tmp_path / "c.ini"
    text = "workers = 1\nsocket = %s\napplication = hello\nstatus = %s\n"
    config.write_text(text % (tmp_path / "app.sock", old))
    server = start(None, "--config", config, sockets=False, address=str(tmp_path / "app.sock"))
    is_page(ask(str(old)))
    config.write_text(text % (tmp_path / "app.sock", new))
    server.signal(signal.SIGHUP)
    server.wait_log(r"reload")
    until(lambda: os.path.exists(new) and not os.path.exists(old), "the new socket", server.log)
    is_page(ask(str(new)))


def test_a_stop(supervise, gate):
    """Nobody can connect any more, and it does not delay the end."""
    server = supervise("hangapp", 1, "--status", "127.0.0.1:0")
    address = tcp_of(server)
    with fcgi.connect(address):
        hanging = hang(server, gate, "sleep")
        server.signal(signal.SIGTERM)
        until(lambda: refused(address), "the socket to be closed", server.log)
        release(*hanging)
        assert server.wait_exit() == 0


@pytest.mark.parametrize("name", ["sleep", "keep_lock", "compute"])
def test_it_says_which_line_of_python(supervise, gate, name):
    """Of each call that runs: where it is, whoever is asked, and whatever it holds."""
    server = supervise("hangapp", WORKERS, "--status", "127.0.0.1:0", "--status-path", "/status")
    address = tcp_of(server)
    hanging = hang(server, gate, name)
    def shown():
        return [call for call in page(address)["running"] if call["stack"]]
    call, = until(shown, "the stack", server.log)
    assert (call["method"], call["path"]) == ("GET", "/" + name) and call["pid"] in server.serving().values(), call
    assert any("hangapp.py" in frame and name in frame for frame in call["stack"]), call
    until(lambda: [call for call in page_of_worker(server)["running"] if call["stack"]], "the stack by a worker", server.log)
    assert not [call for call in is_page(ask(address, "/?format=json&stacks=0")).json()["running"] if call["stack"]]
    release(*hanging)


def test_a_worker_that_is_stopped(supervise):
    """It cannot answer, and keeps the page from telling about it for a moment only."""
    server = supervise("hello", WORKERS, "--status", "127.0.0.1:0")
    address = tcp_of(server)
    stopped = server.serving()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert stopped in serving(page(address))
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_a_worker_that_retires(supervise, gate):
    """It answers who is connected to it until the end."""
    server = supervise("hangapp", WORKERS, "--status-path", "/status")
    first = server.serving()[0]
    with server.connect() as kept:
        kept.send(fcgi.request(fcgi.params("/hello"), keep=True))
        assert kept.read_response(1).status == 200
        hanging = hang(server, gate, "sleep")
        os.kill(first, signal.SIGTERM)
        server.wait_log(r"worker 0 \(process %d\) .*" % first)
        for _ in range(10):
            kept.send(fcgi.request(fcgi.params("/status"), keep=True))
            assert kept.read_response(1).status == 200
        release(*hanging)


def test_sockets_that_only_the_supervisor_has(supervise):
    """A worker would accept there, and not know what to say."""
    server = supervise("hello", 1, "--status", "127.0.0.1:0")
    worker = server.serving()[0]
    port = tcp_of(server)[1]
    inodes = {line.split()[9] for line in open("/proc/net/tcp") if line.split()[1].endswith(":%04X" % port)}
    assert inodes
    links = {os.readlink("/proc/%d/fd/%s" % (worker, name)) for name in os.listdir("/proc/%d/fd" % worker)}
    assert not links & {"socket:[%s]" % inode for inode in inodes}
