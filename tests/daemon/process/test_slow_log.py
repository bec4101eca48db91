"""Whoever reads the log has stopped: nobody waits for it, and it is told later what was lost."""
import fcntl
import os
import re
import select
import signal
import termios
import tty

import pytest

import daemon as daemons
import fcgi
from daemon import until
from fcgi import params, record, request
from ports import free_port
from test_fcgi import good

RING = 1024 * 1024  # LOG_RING_SIZE
EX_IOERR = 74
LOST = rb"warning: (\d+) lines? (?:was|were) lost here, since nobody read the log in time\n"


class Pipe:
    """Standard error of a server, whose reading end is here. The name lets a shell open the other one."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        self.text = b""

    def stop(self):
        """Leaves no room: not for the shortest line."""
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.fd, b"\n" * size)
            except BlockingIOError:
                pass

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 1 << 16)
        return self.text

    def close(self):
        os.close(self.fd)


class Terminal:
    """The same of a terminal, which Ctrl-S stops and Ctrl-Q starts again."""

    def __init__(self, path):
        self.fd, self.slave = os.openpty()
        self.path = os.ttyname(self.slave)
        tty.setraw(self.slave)
        os.set_blocking(self.fd, False)
        self.text = b""

    def stop(self):
        termios.tcflow(self.slave, termios.TCOOFF)

    def read(self):
        termios.tcflow(self.slave, termios.TCOON)
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 1 << 16)
        return self.text

    def close(self):
        os.close(self.slave)
        os.close(self.fd)


@pytest.fixture(params=[Pipe, Terminal], ids=["pipe", "terminal"])
def reader(request, tmp_path):
    opened = request.param(tmp_path / "stderr")
    yield opened
    opened.close()


@pytest.fixture
def serve(start, reader, tmp_path):
    def serve(app, *args, **env):
        socket = str(tmp_path / "socket")
        return start(None, socket=socket, command=[
            "sh", "-c", 'exec "$@" 2>"$READER"', "sh", daemons.binary(), "-s", socket, *args, app],
            env={"READER": reader.path, **env})
    return serve


@pytest.fixture
def server(serve, reader):
    running = serve("faultapp")
    reader.read()
    reader.stop()
    return running


MALFORMED = fcgi.begin(keep=True) + record(fcgi.PARAMS, 1, b"\x05") + record(fcgi.PARAMS, 1) + record(fcgi.STDIN, 1)

# What has something to say, and what it says.
REQUESTS = {
    "unfinished line": (request(params("/says", query="text=unfinished"), keep=True), 200, b"unfinished"),
    "exception": (request(params("/raise-before"), keep=True), 500, b"RuntimeError: raised before the headers"),
    "short answer": (request(params("/cut-short"), keep=True), 200, b"the application sent 5 of the 100 bytes"),
    "refused": (MALFORMED, 400, b"its parameters are malformed"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_is_answered(server, reader, what):
    sent, status, text = REQUESTS[what]
    with server.connect() as connection:
        connection.send(sent)
        assert connection.read_response(1).status == status
        good(server.ask("/hello"))
    until(lambda: text in reader.read(), "%r in the log" % text)


def test_start(serve, reader):
    """What is to be said between the load of the application and the first request is not waited for either."""
    reader.stop()
    server = serve("faultapp", "-s", "0.0.0.0:%d" % free_port(host="0.0.0.0"))
    good(server.ask("/hello"))
    server.stop()


def test_before_the_application_is_loaded(serve, reader):
    reader.stop()
    server = serve("faultapp", "--pythonpath", "/nowhere/at/all")
    good(server.ask("/hello"))
    assert int(until(lambda: re.search(LOST, reader.read()), "what was lost to be told")[1]) >= 1
    server.stop()


def says_too_much(server, size=2000, count=2 * RING // 2000):
    """Lines that do not fit into the ring. Returns how many."""
    with server.connect() as connection:
        for number in range(count):
            good(connection.ask("/says", query="text=" + ("%d." % number).ljust(size, ".")), b"said\n")
    return count


def test_lost_lines_are_counted(server, reader):
    count = says_too_much(server)
    lost = until(lambda: re.search(LOST, reader.read()), "what was lost to be told", lambda: reader.text[-1000:])
    said = [int(number) for number in re.findall(rb"^(\d+)\.{1990,}$", reader.text[:lost.start()], re.M)]
    assert said == list(range(len(said))), "in their order, none twice, none torn"
    assert len(said) * 2000 > RING // 2
    assert len(said) + int(lost[1]) == count
    good(server.ask("/says", query="text=again"), b"said\n")
    until(lambda: b"\nagain\n" in reader.read()[lost.end() - 1:], "lines after it", lambda: reader.text[lost.start():])
    assert len(re.findall(LOST, reader.text)) == 1


@pytest.mark.parametrize("full", [False, True], ids=["some room", "full"])
def test_stops(server, reader, full):
    """As many lines as it likes to write at the end: nobody has to read them."""
    if full:
        says_too_much(server)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not os.path.exists(server.address)


def test_second_signal(serve, reader, gate):
    server = serve("faultapp")
    reader.read()
    reader.stop()
    with server.connect() as connection:
        connection.send(request(params("/says", query="text=later&gate=" + gate.path)))
        gate.arrived()
        server.signal(signal.SIGTERM)
        until(lambda: not os.path.exists(server.address), "the stop to begin")
        server.signal_again(signal.SIGTERM)


def test_lost_descriptor(serve, reader):
    """The process ends although nobody reads why."""
    server = serve("descriptorapp")
    reader.read()
    reader.stop()
    with server.connect() as connection:
        connection.send(request(params("/close-all")))
        server.expect_status = EX_IOERR
        assert server.wait_exit() == EX_IOERR


# So that the sanitizers leave it to faulthandler.
CRASHES = {"PYTHONFAULTHANDLER": "1", **{name: os.environ.get(name, "") + ":handle_segv=0"
                                         for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")}}


def crash(server, how, reads=lambda: None):
    with server.connect() as connection:
        connection.send(request(params("/crashes", query="how=" + how)))
        server.expect_status = -(signal.SIGABRT if how == "abort" else signal.SIGSEGV)
        until(lambda: reads() or server.process.poll() is not None, "the end")
        assert server.wait_exit() == server.expect_status
    os.unlink(server.address)


@pytest.mark.parametrize("how", ["abort", "fault"])
def test_crash_when_nobody_reads(serve, reader, how):
    """The process does not wait with a traceback."""
    server = serve("faultapp", **CRASHES)
    reader.read()
    reader.stop()
    crash(server, how)


@pytest.mark.parametrize("how", ["abort", "fault"])
def test_crash_when_somebody_reads(serve, reader, how):
    """What was logged is there, and then the traceback."""
    server = serve("faultapp", **CRASHES)
    crash(server, how, lambda: reader.read() and None)
    assert re.search(rb"before the crash\n(?s:.*)Fatal Python error: %s" %
                     (b"Aborted" if how == "abort" else b"Segmentation fault"), reader.read().replace(b"\r", b""))


def test_all_is_written_before_the_end(server, reader):
    """What waits for its reader when the server ends, if there is one."""
    for number in range(20):
        good(server.ask("/says", query="text=" + ("%d." % number).ljust(2000, ".")), b"said\n")
    server.signal(signal.SIGTERM)
    until(lambda: b"\n19." in reader.read() and re.search(rb"stopping \(TERM\)", reader.text), "the last lines")
    assert server.wait_exit() == 0


def test_full_disk(start, tmp_path):
    """Lines that cannot be written are no reason to do anything else than to go on."""
    socket = str(tmp_path / "socket")
    server = start(None, socket=socket, command=[
        "sh", "-c", 'exec "$@" 2>/dev/full', "sh", daemons.binary(), "-s", socket, "faultapp"])
    assert server.ask("/raise-before").status == 500
    good(server.ask("/hello"))
    until(lambda: server.log_writer_state() == "S", "the writer to sleep again")
    server.stop()


@pytest.mark.parametrize("how", ["fork", "libc", "raw"])
def test_child_writes_its_own(serve, reader, how):
    """What its parent had not yet written is its parent's to write, once."""
    server = serve("forkapp")
    reader.read()
    reader.stop()
    with server.connect() as refused, server.connect() as forks:
        refused.send(MALFORMED)
        assert refused.read_response(1).status == 400
        forks.send(request(params("/errors/" + how)))
        until(lambda: b"from the child" in reader.read(), "the child's line")
        assert forks.read_response(1).body == b"told"
    texts = [b"its parameters are malformed", b"from the child", b"from the parent only"]
    until(lambda: all(text in reader.read() for text in texts), "all lines", lambda: reader.text)
    server.stop()
    assert [reader.read().count(text) for text in texts] == [1, 1, 1]
