"""Whoever reads the log has stopped: a request that has something to say waits, and keeps no Python code from running."""
import fcntl
import os
import select

import pytest

import daemon as daemons
import fcgi
from daemon import until
from fcgi import params, record, request
from test_fcgi import good


class Pipe:
    """Standard error of a server, whose reading end is here. The name lets a shell open the other one."""

    def __init__(self, path):
        self.path = str(path)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        self.text = b""

    def fill(self):
        """Leaves no room: not for the shortest line."""
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.fd, b"." * size)
            except BlockingIOError:
                pass

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            self.text += os.read(self.fd, 1 << 16)
        return self.text

    def close(self):
        os.close(self.fd)


@pytest.fixture
def pipe(tmp_path):
    opened = Pipe(tmp_path / "stderr")
    yield opened
    opened.close()


@pytest.fixture
def server(start, pipe, tmp_path):
    socket = str(tmp_path / "socket")
    running = start(None, socket=socket, command=[
        "sh", "-c", 'exec "$@" 2>"$FIFO"', "sh", daemons.binary(), "-s", socket, "faultapp"], env={"FIFO": pipe.path})
    yield running
    pipe.read()  # whoever waits for room goes on


def answered(connection):
    return bool(select.select([connection.sock], [], [], 0)[0])


# What makes the thread of a call write to the log, and the text that it writes.
CALLS = {
    "unfinished line": ("/says", "text=unfinished", b"unfinished"),
    "exception": ("/raise-before", "", b"RuntimeError: raised before the headers"),
    "short answer": ("/cut-short", "", b"the application sent 5 of the 100 bytes"),
}


@pytest.mark.parametrize("what", CALLS)
def test_line_of_a_call(server, pipe, what):
    path, query, text = CALLS[what]
    pipe.read()
    pipe.fill()
    with server.connect() as waiting:
        waiting.send(request(params(path, query=query), keep=True))
        for _ in range(3):
            good(server.ask("/hello"))
        assert not answered(waiting), "it waits for room in the pipe"
        until(lambda: text in pipe.read(), "%r in the log" % text)
        waiting.read_response(1)


def test_line_of_an_answer(server, pipe, gate):
    """A request that is refused, behind one on whose thread the interpreter lock may still be held."""
    good(server.ask("/beats", query="gate=" + gate.path), b"beats\n")
    visitor = gate.arrived()
    pipe.read()
    pipe.fill()
    with server.connect() as connection:
        malformed = fcgi.begin(keep=True) + record(fcgi.PARAMS, 1, b"\x05") + record(fcgi.PARAMS, 1)
        connection.send(request(params("/hello"), keep=True) + malformed + record(fcgi.STDIN, 1))
        good(connection.read_response(1))
        for _ in range(3):
            visitor.release()
            visitor = gate.arrived()
        assert not answered(connection), "it waits for room in the pipe"
        until(lambda: b"its parameters are malformed" in pipe.read(), "the line in the log")
        assert connection.read_response(1).status == 400
    visitor.release("stop")
