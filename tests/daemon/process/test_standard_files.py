"""Started with descriptors 0, 1 or 2 closed, as by cron, init scripts, and web servers that start applications
(FastCGI 1.0, 2.2): /dev/null is there, and nothing of the server's."""
import itertools
import json
import os
import re
import socket
import subprocess

import pytest

from daemon import binary, run
from test_cli import refused
from test_fcgi import good

OVER_HTTP = True
APP = "descriptorapp"
NULL = "/dev/null"
EX_CONFIG, EX_OSERR = 78, 71
CLOSED = [numbers for count in (1, 2, 3) for numbers in itertools.combinations(range(3), count)]


def closing(numbers):
    """For preexec_fn."""
    return lambda: [os.close(number) for number in numbers]


def standard(server):
    response = server.ask("/standard")
    good(response, response.body)
    return json.loads(response.body)


@pytest.mark.parametrize("numbers", CLOSED, ids=lambda numbers: "".join(map(str, numbers)))
def test_null_stands_in_for_what_is_closed(start, numbers):
    server = start(APP, "-t", 2, preexec_fn=closing(numbers))
    for _ in range(3):  # connections and the threads' descriptors come later than the first request
        found = standard(server)
        assert found["files"] == [NULL if number in numbers else os.readlink("/proc/%d/fd/%d" % (server.pid, number))
                                  for number in range(3)]
        assert all(found["files"][number] in (NULL, server.log_path) for number in range(3))
        assert found["input"] == ""
    if 1 not in numbers:
        assert "printed\n" in server.log() and "written\n" in server.log()
    if 2 not in numbers:
        assert "complained\n" in server.log()


def listening(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(64)
    return sock


@pytest.mark.fastcgi
def test_socket_on_descriptor_0(start, tmp_path):
    """As FastCGI hands it over: with 1 and 2 closed."""
    with listening(str(tmp_path / "given.sock")) as sock:
        server = start(APP, sockets=False, stdin=sock, address=sock.getsockname(), preexec_fn=closing([1, 2]))
    assert standard(server) == {"files": [NULL] * 3, "input": ""}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_socket_on_a_standard_descriptor(start, tmp_path, number):
    """A socket that is handed over as one of the three moves, and /dev/null takes its place."""
    def take_place():
        os.dup2(sock.fileno(), number)
    with listening(str(tmp_path / "given.sock")) as sock:
        server = start(APP, socket="fd:%d" % number, address=sock.getsockname(), preexec_fn=take_place)
    assert standard(server)["files"][number] == NULL


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["--check", "hello"]])
def test_commands_with_nothing_open(args):
    assert run(*args, preexec_fn=closing(range(3))).returncode == 0


def test_closed_standard_output_is_no_socket():
    refused(run("-s", "fd:1", "hello", preexec_fn=closing([1])), EX_CONFIG, "descriptor 1 .*listening")


def test_without_dev_null():
    """One line says so: what is opened next would be taken for standard output."""
    done = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$0" --version >&-',
                           binary()], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    refused(done, EX_OSERR, "cannot open /dev/null.*: No such file")
    assert len(re.findall("\n", done.stderr)) == 1
