"""--log-file: everything that goes to standard error is in the file, and SIGUSR1 opens it anew."""
import os
import re
import signal
import stat

import pytest

import daemon
from daemon import run, until
from test_cli import refused
from test_log_lines import LINE
from test_signals import hold

APP = "logapp"
EX_CANTCREAT = 73
REOPENED = r"info: \S+ was opened anew \(SIGUSR1\)"


class File:
    def __init__(self, path):
        self.path = str(path)

    def read(self):
        try:
            with open(self.path) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def wait(self, pattern):
        return until(lambda: re.search(pattern, self.read()), "%r in %s" % (pattern, self.path), self.read)


@pytest.fixture
def file(tmp_path):
    return File(tmp_path / "log")


def rotate(file):
    os.rename(file.path, file.path + ".1")
    return File(file.path + ".1")


def write(server, text):
    assert server.ask("/write", query=text).body == b"written\n"


def has(file, text):
    """All three ways in which the application has written the text."""
    file.wait("(?m)^errors %s$" % text)
    assert re.search("(?m)^printed %s$" % text, file.read()) and re.search("(?m)^descriptor %s$" % text, file.read())


def test_everything_is_in_the_file(start, file):
    previous = os.umask(0)
    try:
        server = start(APP, "--log-file", file.path)
    finally:
        os.umask(previous)
    write(server, "a")
    has(file, "a")
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o640
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.log() == ""
    lines = [line for line in file.read().splitlines() if "wsgi-fcgi[" in line]
    assert len(lines) >= 4 and all(re.fullmatch(LINE % server.pid, line) for line in lines)
    assert "imported\n" in file.read() and "stopped after" in lines[-1]


def test_file_is_appended_to(start, file):
    with open(file.path, "w") as old:
        old.write("old\n")
    start(APP, "--log-file", file.path)
    file.wait("listening on")
    assert file.read().startswith("old\n")


@pytest.mark.parametrize("threads", [1, 4])
def test_sigusr1_opens_it_anew(start, gate, file, threads):
    """Also while a call runs."""
    server = start(APP, "--log-file", file.path, "--threads", threads)
    write(server, "a")
    has(file, "a")
    connection, visitor = hold(server, gate)
    for number in range(3):
        old = rotate(file)
        server.signal(signal.SIGUSR1)
        file.wait(REOPENED)
        before = old.read()
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    write(server, "b")
    has(file, "b")
    assert old.read() == before and "anew" in before and "does nothing" not in file.read()
    assert server.log() == ""


def test_reopening_that_fails(start, file):
    server = start(APP, "--log-file", file.path)
    old = rotate(file)
    os.mkdir(file.path)
    server.signal(signal.SIGUSR1)
    old.wait(r"error: SIGUSR1: cannot open %s anew: Is a directory: the log goes on in the file that was open" % re.escape(file.path))
    write(server, "a")
    has(old, "a")
    os.rmdir(file.path)
    server.signal(signal.SIGUSR1)
    file.wait(REOPENED)
    write(server, "b")
    has(file, "b")


def test_while_it_stops(start, gate, file):
    server = start(APP, "--log-file", file.path)
    connection, visitor = hold(server, gate)
    server.signal(signal.SIGTERM)
    file.wait("stopping")
    rotate(file)
    server.signal(signal.SIGUSR1)
    file.wait(REOPENED)
    visitor.release()
    assert connection.read_response(1).body == b"passed\n"
    assert server.wait_exit() == 0
    assert "stopped after" in file.read()


def test_during_the_import(gate, file):
    """When the application is loaded."""
    server = daemon.Daemon("interruptedapp", "--log-file", file.path, wait=False, env={"GATE": gate.path, "HOW": "handle"})
    try:
        visitor = gate.arrived()
        rotate(file)
        server.signal(signal.SIGUSR1)
        visitor.release()
        server.wait_ready()
        file.wait(REOPENED)
        server.stop()
    finally:
        server.kill()


def test_relative_path_is_from_the_start_directory(start, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "start").mkdir()
    file = File(tmp_path / "start" / "log")
    server = start("logapp", "--log-file", "log", "--chdir", tmp_path / "elsewhere", "--pythonpath", daemon.APPS,
                   cwd=str(tmp_path / "start"))
    file.wait("listening on")
    rotate(file)
    server.signal(signal.SIGUSR1)
    file.wait(REOPENED)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_mistakes_are_told_where_one_looks(file):
    """On the command line, and about the file itself."""
    refused(run("--log-file", file.path, "--threads", "x", APP), os.EX_USAGE, "--threads")
    refused(run("--log-file", "", APP), os.EX_USAGE, "--log-file: \"\" is empty")
    assert not os.path.exists(file.path)
    where = os.path.join(file.path, "log")
    refused(run("--log-file", where, "-s", "x.sock", APP), EX_CANTCREAT,
            "--log-file: cannot open %s: No such file or directory: its directory must be there" % re.escape(where))
    refused(run("--log-file", os.path.dirname(file.path), "-s", "x.sock", APP), EX_CANTCREAT, "Is a directory")


@pytest.mark.skipif(os.getuid() != 0, reason="gives itself up")
def test_no_permission(file):
    os.chmod(os.path.dirname(file.path), 0o700)
    done = run("--log-file", file.path, "-s", "/tmp/none.sock", APP, user=65534)
    refused(done, EX_CANTCREAT, "Permission denied: .*the server be allowed to write it")


def test_failing_start_is_in_the_file(file, tmp_path):
    done = run("--log-file", file.path, "-s", tmp_path / "x.sock", "no_such_module")
    assert done.returncode == 66 and done.stderr == ""
    assert "no_such_module" in file.read()


def test_check_is_told_where_one_looks(file):
    done = run("--check", "--log-file", file.path, "no_such_module")
    refused(done, 66, "no_such_module")
    assert not os.path.exists(file.path)


# --- where nothing can be written for a while

class Disk:
    """A file system of 64 KiB that the server alone sees, as DIRECTORY, which becomes full and has room again."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"', self.directory]
        self.server = None

    def path(self, name):
        return "/proc/%d/root%s/%s" % (self.server.pid, self.directory, name)

    def fill(self):
        with open(self.path("filler"), "wb", buffering=0) as file:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * 512)

    def make_room(self):
        os.unlink(self.path("filler"))


def complain(server, text):
    """Not by a descriptor of the application's own, whose failure would be the application's."""
    assert server.ask("/errors", query=text).body == b"written\n"


@pytest.fixture
def disk(tmp_path, start):
    (tmp_path / "disk").mkdir()
    made = Disk(tmp_path / "disk")

    def serve(*options):
        socket = str(tmp_path / "socket")
        made.server = start(None, socket=socket, command=[*made.command, daemon.binary(), "-s", socket, *options, APP])
        return made
    return serve


@pytest.mark.fastcgi
def test_a_full_disk_has_room_again(disk, tmp_path):
    """What is lost meanwhile is counted, and the file says so once it can be written; requests go on."""
    made = disk("--log-file", str(tmp_path / "disk" / "log"))
    server, log = made.server, File(made.path("log"))
    log.wait("wsgi-fcgi .* serves")
    made.fill()
    for number in range(40):  # more than is left in the last page of the file
        complain(server, "lost%d" % number + "x" * 1000)
    until(lambda: server.log_writer_state() == "S", "the writer to sleep again")
    made.make_room()
    complain(server, "again")
    log.wait("(?m)^errors again$")
    assert re.search(r"\d+ lines (of the log )?(were|are) lost", log.read()), log.read()
    assert not re.search("(?m)^errors lost39", log.read())


@pytest.mark.fastcgi
def test_a_full_disk_of_the_access_log_has_room_again(disk, tmp_path):
    made = disk("--access-log", str(tmp_path / "disk" / "access"), "--access-log-format", "{target}")
    server, access = made.server, File(made.path("access"))
    complain(server, "first")
    access.wait("(?m)^/errors\\?first$")
    made.fill()
    for number in range(40):
        complain(server, "lost%d" % number + "x" * 1000)
    server.wait_log("error: access log: it cannot be written: No space left on device: lines are lost until it can: make room")
    made.make_room()
    complain(server, "again")
    told = server.wait_log(r"info: access log: it is written again; (\d+) lines? (was|were) lost")
    access.wait("(?m)^/errors\\?again$")
    whole = re.findall("(?m)^/errors\\?(?:first|again|lost\\d+x{1000})$", access.read())
    assert len(whole) + int(told.group(1)) == 42


@pytest.mark.fastcgi
def test_a_fifo_whose_reader_has_gone(start, tmp_path):
    """Requests go on, and so do lines when another one reads."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = start(APP, "--log-file", path)
    os.close(reading)
    for number in range(5):
        complain(server, "lost%d" % number)
    until(lambda: server.log_writer_state() == "S", "the writer to sleep again")
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    text = []

    def read():
        try:
            text.append(os.read(reading, 65536).decode())
        except BlockingIOError:
            pass
        return "".join(text)
    complain(server, "again")
    until(lambda: "errors again\n" in read(), "the line", read)
    assert re.search(r"\d+ lines? .*(was|were) lost", read()), read()
    os.close(reading)
