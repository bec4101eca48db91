"""Which numbers descriptors have, and how large their table is."""
import contextlib
import json
import os
import resource
import socket

import pytest

from conftest import check_structure
from daemon import run, until
from test_cli import refused

OVER_HTTP = True
APP = "descriptorapp"
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def limit_files(soft, hard):
    """For preexec_fn."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def asks(server, path):
    """What the application answers."""
    response = server.ask(path)
    check_structure(response)
    assert response.status == 200, response
    return json.loads(response.body)


# --- the table

def table_size(server):
    return server.status_kib("FDSize")


@pytest.mark.parametrize("hard", [HARD, 4096, 1024, 300])
def test_table_has_its_size_from_the_start(start, hard):
    """The kernel doubles it when it has to, for which a process with threads waits."""
    server = start(APP, preexec_fn=limit_files(64, hard))
    size = table_size(server)
    with server.connect() as kept:
        asks(kept, "/standard")
        connections = [server.connect() for _ in range(min(hard * 5 // 8, 700))]
        asks(kept, "/standard")
        asks(connections[-1], "/standard")
        assert table_size(server) == size
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("options, connections", [([], HARD // 4 * 3), (["--max-connections", 1000000], 1000000),
                                                  (["--max-connections", 100], 100)])
def test_size_of_the_table(start, options, connections):
    """It is the kernel's memory: no more than connections need, within bounds. The kernel makes it a power of two."""
    wanted = min(connections + 1024, HARD, 65536)
    assert wanted <= table_size(start(APP, *options)) < 2 * wanted


# --- numbers

def numbers(server):
    """Of the server's descriptors, without standard input, output and error."""
    return sorted(int(name) for name in os.listdir("/proc/%d/fd" % server.pid) if int(name) > 2)


@contextlib.contextmanager
def raised_limit(count):
    """Of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("hard, count", [(HARD, 2000), (4096, 2000), (4096, 3050), (1300, 900), (1024, 700)])
def test_application_has_numbers_that_select_takes(start, hard, count):
    """However many connections are open."""
    server = start(APP, preexec_fn=limit_files(64, hard))
    with raised_limit(count + 100), contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(server.connect())
        with server.connect() as connection:
            found = asks(connection, "/open")
            assert found["highest"] < 1024 and found["readable"] == 100
        assert len(numbers(server)) > count


@pytest.mark.parametrize("hard, lowest", [(HARD, 1024), (4096, 1024), (1024, 512), (64, 32)])
def test_what_stays_open_has_no_low_number(start, tmp_path, hard, lowest):
    """They are what something that closes a descriptor twice hits first."""
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(tmp_path / "given.sock"))
        given.listen(8)
        server = start(APP, "-s", "fd:%d" % given.fileno(), pass_fds=[given.fileno()],
                       preexec_fn=limit_files(hard, hard))
    server.wait_log("listening on .*given.sock")
    with server.connect() as connection:
        asks(connection, "/standard")
    until(lambda: numbers(server)[0] >= lowest, "the connections' end", server.log)


def sockets(server):
    """Those of the descriptors that are sockets."""
    return {number for number in numbers(server)
            if os.path.realpath("/proc/%d/fd/%d" % (server.pid, number)).rpartition("/")[2].startswith("socket:")}


def test_few_connections_are_not_moved(start):
    """It would take two system calls each."""
    server = start(APP)
    before = sockets(server)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            asks(stack.enter_context(server.connect()), "/standard")
        assert max(sockets(server) - before) < 256


@pytest.mark.fastcgi
def test_socket_given_twice(tmp_path):
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(tmp_path / "given.sock"))
        given.listen(8)
        address = "fd:%d" % given.fileno()
        refused(run("-s", address, "-s", address, "hello", pass_fds=[given.fileno()]), 78, "was given twice")
