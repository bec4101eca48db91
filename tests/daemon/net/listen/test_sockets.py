"""Listening sockets: every form of address, their rights, and what is refused."""
import grp
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess

import pytest

import daemon
import fcgi
import rawhttp
from daemon import run
from ports import free_port
from test_cli import refused

EX_USAGE, EX_NOUSER, EX_NOHOST, EX_UNAVAILABLE, EX_CANTCREAT, EX_NOPERM, EX_CONFIG = 64, 67, 68, 69, 73, 77, 78
OVER_HTTP = True
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def directory(tmp_path_factory):
    """One that every user may enter."""
    import tempfile
    path = tempfile.mkdtemp(prefix="wsgi-fcgi-sock.")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def wire(protocol):
    """What hello() speaks, and the option for it."""
    wire.client, wire.option = {"fastcgi": fcgi, "http": rawhttp}[protocol], daemon.OPTIONS[protocol]


def hello(address):
    response = wire.client.ask(address, "/hello")
    assert (response.status, response.body) == (200, b"Hello, world\n")


# --- forms

def test_tcp(start):
    port = free_port()
    hello(start("wsgiapp", socket="127.0.0.1:%d" % port, address=("127.0.0.1", port)).address)


def test_host_name(start):
    port = free_port()
    hello(start("wsgiapp", socket="localhost:%d" % port, address=("localhost", port)).address)


def test_tcp_ipv6(start):
    port = free_port(socket.AF_INET6, "::1")
    hello(start("wsgiapp", socket="[::1]:%d" % port, address=("::1", port)).address)


def test_every_address(start):
    port = free_port()
    server = start("wsgiapp", socket=":%d" % port, address=("127.0.0.1", port))
    hello(server.address)
    hello(("::1", port))


@pytest.mark.parametrize("form", ["*:%d", "0.0.0.0:%d", "%d"])
def test_ipv4_forms(start, form):
    """A port alone is for this machine alone."""
    port = free_port()
    server = start("wsgiapp", socket=form % port, address=("127.0.0.1", port))
    hello(server.address)
    text = {"%d": "127.0.0.1:%d"}.get(form, form) % port
    assert re.search(r"listening on %s( |$)" % re.escape(text), server.log(), re.M), server.log()


def test_ipv6_alone(start):
    """[::] is all of IPv6 and leaves IPv4 to another socket."""
    port = free_port()
    server = start("wsgiapp", wire.option, "0.0.0.0:%d" % port, socket="[::]:%d" % port, address=("::1", port))
    hello(server.address)
    hello(("127.0.0.1", port))


def test_free_port_is_told(start):
    server = start("wsgiapp", socket="127.0.0.1:0", wait=False)
    port = int(server.wait_log(r"127\.0\.0\.1:([1-9]\d*)").group(1))
    server.address = ("127.0.0.1", port)
    server.wait_ready()
    hello(server.address)


def test_abstract(start):
    name = "@wsgi-fcgi-test-%d" % os.getpid()
    hello(start("wsgiapp", socket=name).address)


def test_name_that_tools_show(start):
    """ss(8), lsof(8) and whoever else asks the kernel who listens at a path."""
    server = start("wsgiapp")
    with open("/proc/net/unix") as table:
        assert server.path in [line.split()[-1] for line in table]


def test_relative_path(start, directory):
    """It counts from where the server was started, whatever --chdir says."""
    path = os.path.join(directory, "relative.sock")
    server = start("wsgiapp", "--chdir", daemon.APPS, socket="./relative.sock", address=path, cwd=directory)
    hello(path)
    server.stop()
    assert not os.path.exists(path)


@pytest.mark.parametrize("form", ["app.sock", "./app.sock", "unix:app.sock", "unix:%s/app.sock"])
def test_forms_of_a_path(start, directory, form):
    path = os.path.join(directory, "app.sock")
    server = start("wsgiapp", "--chdir", daemon.APPS, socket=form.replace("%s", directory), address=path, cwd=directory)
    hello(path)
    server.stop()
    assert os.listdir(directory) == []


def test_relative_path_in_a_deep_directory(start, directory):
    """Where an absolute path is too long for a socket address."""
    deep = os.path.join(directory, "d" * 100, "d" * 100)
    os.makedirs(os.path.join(deep, "run"))
    path, short = os.path.join(deep, "run", "app.sock"), os.path.join(directory, "short", "app.sock")
    os.symlink(os.path.dirname(path), os.path.dirname(short))
    for address in "run/app.sock", "unix:run/app.sock":
        server = start("wsgiapp", socket=address, address=short, cwd=deep, env={"PYTHONPATH": daemon.APPS})
        hello(short)
        server.stop()
        assert not os.path.exists(path)


def test_relative_path_in_a_deep_directory_that_is_left(directory):
    """With --chdir it has to be absolute: the line says so."""
    deep = os.path.join(directory, "d" * 100)
    os.makedirs(deep)
    done = run(wire.option, "run/app.sock", "--chdir", daemon.APPS, "wsgiapp", cwd=deep)
    refused(done, EX_USAGE, re.escape(deep), "too long", "choose a shorter path .*--chdir")


def test_several_sockets(start, directory):
    port = free_port()
    second = os.path.join(directory, "second.sock")
    server = start("wsgiapp", wire.option, second, wire.option, "127.0.0.1:%d" % port)
    for address in (server.address, second, ("127.0.0.1", port)):
        hello(address)
    server.stop()
    assert not os.path.exists(second)


def listening(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(64)
    return sock


def test_inherited_descriptor(start, directory):
    path = os.path.join(directory, "given.sock")
    with listening(path) as sock:
        server = start("wsgiapp", socket="fd:%d" % sock.fileno(), address=path, pass_fds=[sock.fileno()])
    hello(path)
    server.stop()
    assert os.path.exists(path), "it belongs to whoever made it"


@pytest.mark.fastcgi
def test_descriptor_0(start, directory):
    path = os.path.join(directory, "given.sock")
    with listening(path) as sock:
        server = start("wsgiapp", sockets=False, stdin=sock, address=path)
    hello(path)
    server.stop()
    assert os.path.exists(path)


@pytest.mark.fastcgi
def test_spawn_fcgi(start, directory):
    assert shutil.which("spawn-fcgi"), "spawn-fcgi is not installed: apt-get install spawn-fcgi"
    path = os.path.join(directory, "spawned.sock")
    server = start(address=path, command=["spawn-fcgi", "-n", "-s", path, "--", daemon.binary(), "wsgiapp"])
    hello(path)
    server.stop()


@pytest.mark.parametrize("address, status", [
    ("localhost", EX_USAGE), ("127.0.0.1:99999", EX_USAGE), ("[::1", EX_USAGE), ("127.0.0.1:http-no", EX_USAGE),
    ("fd:abc", EX_USAGE), ("/" + "x" * 200, EX_USAGE), ("@", EX_USAGE), ("", EX_USAGE),
    # An empty label: the resolver knows without asking anybody, also where there is no DNS.
    ("host..invalid:80", EX_NOHOST), ("192.0.2.1:8000", EX_UNAVAILABLE),
])
def test_bad_addresses(address, status):
    done = run(wire.option, address, "hello")
    refused(done, status, re.escape(address[:50]))


@pytest.mark.parametrize("address, said", [
    ("app", r"write \./app for a Unix socket, app:PORT for TCP; the forms are /path, .* and fd:N"),
    ("http://127.0.0.1:8000", r"write --http 127\.0\.0\.1:8000"),
    ("app.sock:660", r"write \S*/app\.sock, with --socket-mode 660"),
    ("unix://app.sock", r"write unix:app\.sock, or unix:/app\.sock"),
])
def test_what_to_type_is_told(directory, address, said):
    """In the directory of a program that knows how another one has it."""
    for more in ([], ["--check"]):
        done = run(wire.option, address, *more, "hello", cwd=directory, env={"PYTHONPATH": daemon.APPS})
        refused(done, EX_USAGE, re.escape(address), said)
        assert os.listdir(directory) == []


@pytest.mark.parametrize("number", [1, 77])
def test_descriptors_that_are_no_listening_sockets(number):
    refused(run(wire.option, "fd:%d" % number, "hello"), EX_CONFIG, r"\b%d\b.*listening" % number)


# --- files that are there

def test_live_socket_is_left_alone(start):
    server = start("wsgiapp")
    refused(run(wire.option, server.path, "hello"), EX_UNAVAILABLE, "in use", re.escape(server.path), str(server.pid))
    hello(server.path)


def test_port_in_use(start):
    port = free_port()
    start("wsgiapp", socket="127.0.0.1:%d" % port, address=("127.0.0.1", port))
    refused(run(wire.option, "127.0.0.1:%d" % port, "hello"), EX_UNAVAILABLE, "in use", str(port))


@pytest.mark.parametrize("second", ["{path}", "{directory}/../{name}/twice.sock", "{directory}/./twice.sock"])
def test_path_given_twice(directory, second):
    path = os.path.join(directory, "twice.sock")
    second = second.format(path=path, directory=directory, name=os.path.basename(directory))
    done = run(wire.option, path, "-s", second, "hello")
    refused(done, EX_USAGE, "twice.sock is given twice: this server listens on .*/twice.sock already")
    assert not os.path.exists(path)


@pytest.mark.parametrize("first, second", [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("localhost", "127.0.0.1"),
                                           ("*", "127.0.0.1"), ("127.0.0.1", "*"), ("127.0.0.1", "0.0.0.0")])
def test_port_given_twice(first, second):
    port = free_port()
    done = run(wire.option, "%s:%d" % (first, port), "-s", "%s:%d" % (second, port), "hello")
    refused(done, EX_USAGE, ":%d is given twice: this server listens on .*:%d already" % (port, port))


def test_stale_socket_is_replaced(start, directory):
    path = os.path.join(directory, "stale.sock")
    listening(path).close()
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    server = start("wsgiapp", socket=path)
    hello(path)
    server.stop()
    assert not os.path.exists(path)


def test_socket_after_a_crash(start, directory):
    path = os.path.join(directory, "crash.sock")
    server = start("wsgiapp", socket=path)
    server.expect_status = -9
    server.process.kill()
    server.process.wait()
    assert os.path.exists(path)
    hello(start("wsgiapp", socket=path).address)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(directory, kind):
    path = os.path.join(directory, "thing")
    if kind == "file":
        with open(path, "w") as file:
            file.write("precious")
    elif kind == "directory":
        os.mkdir(path)
    else:
        target = os.path.join(directory, "target")
        with open(target, "w") as file:
            file.write("precious")
        os.symlink(target, path)
    before = os.lstat(path)
    refused(run(wire.option, path, "hello"), EX_CANTCREAT, re.escape(path), "not a socket|no socket")
    assert os.lstat(path).st_ino == before.st_ino
    if kind != "directory":
        with open(path) as file:
            assert file.read() == "precious"


def test_missing_directory(directory):
    refused(run(wire.option, directory + "/missing/app.sock", "hello"), EX_CANTCREAT, "missing")


def test_socket_that_was_replaced_is_not_removed(start, directory):
    path = os.path.join(directory, "app.sock")
    server = start("wsgiapp", socket=path)
    os.unlink(path)
    with listening(path):
        server.stop()
        assert os.path.exists(path), "another server's by now"


# --- rights

def rights(path):
    found = os.stat(path)
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def test_default_mode(start):
    server = start("wsgiapp", umask=0o077)
    assert rights(server.path) == (0o660, os.getuid(), os.getgid())


@pytest.mark.parametrize("mode", ["0600", "0666", "777"])
def test_mode(start, mode):
    assert rights(start("wsgiapp", "--socket-mode", mode).path)[0] == int(mode, 8)


def needs_root():
    assert os.getuid() == 0, "the tests of owners and users must run as root"


@pytest.mark.parametrize("numbers", [True, False])
def test_owner_and_group(start, numbers):
    needs_root()
    group = grp.getgrnam("www-data")
    owner_text, group_text = (NOBODY.pw_uid, group.gr_gid) if numbers else ("nobody", "www-data")
    server = start("wsgiapp", "--socket-owner", owner_text, "--socket-group", group_text)
    assert rights(server.path) == (0o660, NOBODY.pw_uid, group.gr_gid)


@pytest.mark.parametrize("option", ["--socket-owner", "--socket-group"])
def test_unknown_owner_and_group(directory, option):
    path = os.path.join(directory, "app.sock")
    refused(run(wire.option, path, option, "no-such-name", "hello"), EX_NOUSER, "no-such-name")
    assert os.listdir(directory) == [], "nothing is left behind"


def test_no_permission(directory):
    needs_root()
    path = os.path.join(directory, "app.sock")
    done = run(wire.option, path, "hello", user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[], cwd="/",
               env={"PYTHONPATH": readable_copy(directory)})
    refused(done, EX_NOPERM, re.escape(path), "permission", "nobody")


def readable_copy(directory):
    """hello.py where every user can read it; the sources may be in somebody's home directory."""
    target = os.path.join(directory, "apps")
    os.mkdir(target, 0o755)
    shutil.copy(os.path.join(daemon.APPS, "hello.py"), target)
    os.chmod(os.path.join(target, "hello.py"), 0o644)
    return target


WARNING = r"(?m)^.*warning.*--socket-group.*$"


def test_web_user_is_warned_about(start):
    """www-data, whom nginx runs as, could not open a socket of root's: one line says so and what to do."""
    needs_root()
    server = start("wsgiapp")
    lines = re.findall(WARNING, server.log())
    assert len(lines) == 1 and "www-data" in lines[0] and server.path in lines[0], server.log()


@pytest.mark.parametrize("args", [["--socket-group", "www-data"], ["--socket-mode", "0666"]])
def test_web_user_is_not_warned_about_when_all_is_well(start, args):
    assert not re.findall(WARNING, start("wsgiapp", *args).log())


def test_directory_that_the_web_user_cannot_enter(start, directory):
    needs_root()
    os.chmod(directory, 0o700)
    server = start("wsgiapp", "--socket-mode", "0666", socket=os.path.join(directory, "app.sock"))
    assert re.search("warning.*" + re.escape(directory), server.log()), server.log()


def test_tools_are_there():
    for tool in ("nginx", "spawn-fcgi", "strace"):
        assert shutil.which(tool), "%s is not installed: apt-get install %s" % (tool, tool)
    assert subprocess.run(["nginx", "-v"], stderr=subprocess.PIPE).returncode == 0
