"""Sockets that systemd has opened: sd_listen_fds(3), with systemd-socket-activate(1) in its place."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import daemon as daemons
import fcgi
import rawhttp
from daemon import until
from service import Manager
from test_fcgi import good
from test_reload import Clients, Site

ACTIVATE = shutil.which("systemd-socket-activate")
EX_CONFIG = 78

every_way = pytest.mark.parametrize("options", [[], ["--workers", 2], ["--workers", 2, "--preload"]],
                                    ids=["one", "workers", "preload"])
HTTP = "WSGI_FCGI" in os.environ and daemons.speaks_http()


def activated(sockets, *args):
    """The command; sockets are (name, address). It executes the server in its place when somebody connects."""
    assert ACTIVATE, "systemd-socket-activate is missing: install the Debian package systemd"
    names = ":".join(name for name, _ in sockets)
    listen = [word for _, address in sockets for word in ("-l", address)]
    environ = [word for name in (*daemons.clean_environ(), "NOTIFY_SOCKET") for word in ("-E", name)]
    return [ACTIVATE, *listen, *environ, "--fdname=" + names, daemons.binary(), *map(str, args)]


def begin(start, path, command, **more):
    """Starts that, and connects until the server is there."""
    server = start(command=command, address=path, wait=False, **more)
    until(lambda: os.path.exists(path), "systemd-socket-activate to listen", server.log)
    server.wait_ready()
    return server


@every_way
def test_names(start, tmp_path, options):
    """A socket named http speaks HTTP, any other FastCGI; those of the options are served as well."""
    paths = {name: str(tmp_path / name) for name in ("app", "unknown", "own")}
    if HTTP:
        paths.update({name: str(tmp_path / name) for name in ("http", "http-internal")})
    sockets = [(name, path) for name, path in paths.items() if name != "own"]
    server = begin(start, paths["app"], activated(sockets, "-s", paths["own"], *options, "wsgiapp"))
    for name, path in paths.items():
        good((rawhttp if name.startswith("http") else fcgi).ask(path, "/hello"))
    for name, path in paths.items():
        assert re.search(r"listening on %s( \(HTTP\))?\b" % path, server.log()), server.log()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert os.path.exists(paths["app"]) and not os.path.exists(paths["own"])


@every_way
def test_nothing_else_is_needed(start, tmp_path, options):
    path = str(tmp_path / "app")
    server = begin(start, path, activated([("app", path)], *options, "wsgiapp"))
    good(server.ask("/hello"))


@every_way
def test_named_by_an_option_as_well(start, tmp_path, options):
    """fd:N says what that one speaks, whatever its name is."""
    option, spoken = ("--http", "http") if HTTP else ("-s", "fastcgi")
    path = str(tmp_path / "app")
    server = begin(start, path, activated([("app", path)], option, "fd:3", *options, "wsgiapp"), protocol=spoken)
    good(server.ask("/hello"))
    assert server.log().count("listening on") == 1


@every_way
def test_the_application_has_none_of_it(start, tmp_path, options):
    path = str(tmp_path / "app")
    server = begin(start, path, activated([("app", path)], *options, "environapp"))
    assert "LISTEN_" not in server.ask("/").body.decode()
    assert re.fullmatch("forked=0,1,2 spawned=0,1,2", server.ask("/fds").body.decode())


def test_reload(start, tmp_path):
    """Each program that the supervisor executes goes on with them, and nobody is refused."""
    first, second = str(tmp_path / "app"), str(tmp_path / "second")
    manager = Manager(str(tmp_path / "notify"))

    def starter(file, *args, **more):
        return begin(start, first, activated([("app", first), ("http" if HTTP else "second", second)], *args, file),
                     env=manager.environ(), **more)
    site = Site(starter, str(tmp_path))
    manager.wait("READY", log=site.server.log)
    with Clients(site.server) as clients:
        for number in range(3):
            site.write("version%d" % number)
            manager.reload(site.server.log)
            until(lambda: site.version() == "version%d" % number, "the old workers to notice", site.server.log)
    assert not clients.errors
    assert (rawhttp if HTTP else fcgi).ask(second).body.startswith(b"version2")
    manager.close()


def passed(sock, *args, name="app", **more):
    """Runs the server with the socket as descriptor 3."""
    # Only a shell knows the process in which the server will be.
    script = 'LISTEN_PID=$$ exec "$@" 3<&%d' % sock.fileno()
    return subprocess.run(["bash", "-c", script, "bash", daemons.binary(), *args], cwd=daemons.APPS, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[sock.fileno()],
                          env=daemons.clean_environ(LISTEN_FDS=1, LISTEN_FDNAMES=name, **more))


@every_way
def test_no_stream_socket(options):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        done = passed(sock, *map(str, options), "wsgiapp")
    assert done.returncode == EX_CONFIG
    assert 'error: the socket "app" of systemd (descriptor 3) is not a stream socket: it has to be' in done.stderr


@every_way
def test_connection(options):
    """Accept=yes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = passed(theirs, *map(str, options), "wsgiapp")
    assert done.returncode == EX_CONFIG
    assert "is a socket that does not listen" in done.stderr and "Accept=no" in done.stderr


def test_names_that_do_not_fit(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.listen()
        done = passed(sock, "wsgiapp", name="one:two")
    assert done.returncode == EX_CONFIG
    assert "error: systemd has passed sockets (LISTEN_FDS), but they cannot be taken: " in done.stderr


def test_meant_for_another_process():
    done = daemons.run("wsgiapp", env={"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
    assert done.returncode == 64 and "no socket to listen on" in done.stderr


if not HTTP:
    def test_http_that_this_build_cannot_speak(tmp_path):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / "socket"))
            sock.listen()
            done = passed(sock, "wsgiapp", name="http")
        assert done.returncode == EX_CONFIG
        assert "is to speak HTTP, as its name says, which this build cannot" in done.stderr
