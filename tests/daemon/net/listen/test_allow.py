"""Who may connect: TCP peers by address, peers of Unix sockets by user and group."""
import ctypes
import fcntl
import os
import pwd
import re
import socket
import struct
import time

import pytest

import fcgi
import rawhttp
from daemon import run, until
from fcgi import PATIENCE
from ports import free_port
from test_cli import refused
from test_sockets import hello, wire

OVER_HTTP = True
EX_USAGE, EX_NOUSER = 64, 67
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1
OTHER = "192.0.2.1"  # the address of a machine that is not a loopback one (RFC 5737)
NOBODY = pwd.getpwnam("nobody")
LINE = r"refused (\S+) on \S+: not named by --allow"



@pytest.fixture
def root():
    assert os.geteuid() == 0, "another user can be taken on by root only"



@pytest.fixture
def network(root):  # pylint: disable=unused-argument
    """Meanwhile this process, and servers that it starts, are in a network of their own, whose only machine has OTHER
    besides the loopback addresses."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *args):
        assert not function(*args), os.strerror(ctypes.get_errno())
    with open("/proc/thread-self/ns/net", "rb") as before:
        call(libc.unshare, CLONE_NEWNET)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                flags, = struct.unpack("16xh22x", fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16s24x", b"lo")))
                fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
                fcntl.ioctl(sock, SIOCSIFADDR,
                            struct.pack("16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(OTHER)))
            yield
        finally:
            call(libc.setns, before.fileno(), CLONE_NEWNET)


def tcp(start, *options, host="127.0.0.1", port=None, env=None, listen="127.0.0.1"):
    """A server on a TCP port, which need not let this process in. Returns it and its port."""
    port = port or free_port()
    server = start("wsgiapp", *options, socket="%s:%d" % (listen, port), address=(host, port), wait=False, env=env)
    server.wait_log(r"listening on \S+:%d" % port)
    return server, port


def connect(port, source="127.0.0.1", to="127.0.0.1"):
    return socket.create_connection((to, port), PATIENCE, source_address=(source, 0))


def is_served(sock):
    """Asks what the loop answers: whether that comes, or else the connection ends without a byte."""
    http = wire.client is rawhttp
    with sock:
        try:
            sock.sendall(b"\0" if http else fcgi.record(fcgi.GET_VALUES, 0, fcgi.pairs({"FCGI_MPXS_CONNS": ""})))
            got = sock.recv(1)
        except (ConnectionResetError, BrokenPipeError):
            got = b""
    return got == (b"H" if http else b"\x01")


# --- addresses

def test_loopback_by_default(start):
    server, port = tcp(start)
    hello(server.address)
    assert is_served(connect(port, "127.0.0.2"))


def test_whom_a_socket_serves_is_told(start):
    http = wire.client is rawhttp
    for options, listen, whom in (
            ([], "127.0.0.1", ""), ([], "0.0.0.0", "everybody" if http else "only loopback peers"),
            (["--allow", "10.0.0.0/8"], "0.0.0.0", "only those in --allow"),
            (["--allow", "any"], "0.0.0.0", "everybody")):
        server, port = tcp(start, *options, listen=listen)
        words = ", ".join(["HTTP"] * http + [whom] * bool(whom))
        assert re.search(r"listening on %s:%d%s$" % (listen, port, re.escape(" (%s)" % words) if words else ""),
                         server.log(), re.M), server.log()


@pytest.mark.fastcgi
def test_open_port_is_told(start):
    server, port = tcp(start, listen="0.0.0.0")
    assert re.search(r"warning: 0\.0\.0\.0:%d: only peers from 127\.0\.0\.0/8.*--allow" % port, server.log())
    for options, listen in (([], "127.0.0.1"), (["--allow", "10.0.0.0/8"], "0.0.0.0")):
        server, port = tcp(start, *options, listen=listen)
        assert not re.search(r"warning: \S+:%d" % port, server.log())


@pytest.mark.parametrize("listen", ["", "*", "0.0.0.0", OTHER])
def test_other_machines(network, start, listen):  # pylint: disable=unused-argument
    """An address given for HTTP is there to be reached; who speaks FastCGI is trusted, and so has to be named."""
    server, port = tcp(start, listen=listen, host=OTHER)
    http = wire.client is rawhttp
    if http:
        hello(server.address)
        assert not re.search(r"warning: \S+:%d" % port, server.log())
    else:
        assert not is_served(connect(port, OTHER, OTHER))
        server.wait_log(r"refused 192\.0\.2\.1:\d+ on \S+: over FastCGI only loopback peers may connect: .*--allow")
    assert is_served(connect(port, "127.0.0.1", OTHER)), "who is a loopback peer may in any case"


def test_allow_narrows(network, start):  # pylint: disable=unused-argument
    """HTTP as well."""
    server, port = tcp(start, "--allow", "127.0.0.1", listen="")
    assert not is_served(connect(port, OTHER, OTHER))
    server.wait_log(r"refused 192\.0\.2\.1:\d+ on \S+: not named by --allow: add its address to let it in")
    assert is_served(connect(port))
    server, port = tcp(start, "--allow", OTHER, listen="", host=OTHER)
    hello(server.address)
    assert not is_served(connect(port))


def test_allow(start):
    server, port = tcp(start, "--allow", "127.0.0.2")
    assert not is_served(connect(port, "127.0.0.1"))
    assert server.wait_log(LINE).group(1).startswith("127.0.0.1:")
    assert is_served(connect(port, "127.0.0.2"))
    assert not is_served(connect(port, "127.0.0.3"))


def test_networks(start):
    server, port = tcp(start, "--allow", "127.0.0.2/31", "--allow", "127.1.0.0/16")
    served = [source for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.1.2.3", "127.2.0.1")
              if is_served(connect(port, source))]
    assert served == ["127.0.0.2", "127.0.0.3", "127.1.2.3"]


def test_both_families_on_one_socket(start):
    server, port = tcp(start, "--allow", "127.0.0.0/8", listen="*")
    assert is_served(connect(port))
    assert not is_served(connect(port, "::1", "::1"))
    server, port = tcp(start, "--allow", "::/0", listen="*")
    assert not is_served(connect(port))
    assert is_served(connect(port, "::1", "::1"))


def test_any(start):
    server, port = tcp(start, "--allow", "10.0.0.1", "--allow", "any", listen="*")
    assert is_served(connect(port))
    assert is_served(connect(port, "::1", "::1"))


def test_environment(start):
    """FastCGI 1.0, 3.2: it is about FastCGI, and narrows nothing else."""
    http = wire.client is rawhttp
    env = {"FCGI_WEB_SERVER_ADDRS": "199.170.183.28,127.0.0.2"}
    server, port = tcp(start, env=env)
    assert is_served(connect(port, "127.0.0.2"))
    assert is_served(connect(port, "127.0.0.1")) == http
    if not http:
        server.wait_log(r"refused 127\.0\.0\.1:\d+ on \S+: not in FCGI_WEB_SERVER_ADDRS")
    hello(start("wsgiapp", env=env).address)  # says nothing about Unix sockets
    server, port = tcp(start, "--allow", "127.0.0.1", env=env)
    assert is_served(connect(port, "127.0.0.1"))
    assert not is_served(connect(port, "127.0.0.2"))


def test_environment_is_not_for_http(start, protocol):
    server, port = tcp(start, env={"FCGI_WEB_SERVER_ADDRS": "127.0.0.2"}, listen="0.0.0.0")
    told = re.search(r"warning: 0\.0\.0\.0:%d: everybody is served: .*--allow" % port, server.log())
    assert bool(told) == (protocol == "http"), server.log()


@pytest.mark.fastcgi
def test_inherited_tcp_socket(start):
    """It is how the specification hands a socket over, with FCGI_WEB_SERVER_ADDRS beside it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = start("wsgiapp", sockets=False, stdin=listening, address=("127.0.0.1", port), wait=False,
                       env={"FCGI_WEB_SERVER_ADDRS": "127.0.0.2"})
    server.wait_log("listening on")
    assert is_served(connect(port, "127.0.0.2"))
    assert not is_served(connect(port, "127.0.0.1"))


def test_nothing_of_a_refused_peer_is_parsed(start):
    """Its bytes, which would each end a connection with a log line, leave no trace; a whole request is not answered."""
    server, port = tcp(start, "--allow", "127.0.0.2", "--log-level", "debug")
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, fcgi.request(fcgi.params("/hello"))):
        with connect(port) as sock:
            try:
                sock.sendall(data)
                assert sock.recv(1) == b""
            except (ConnectionResetError, BrokenPipeError):
                pass
    assert is_served(connect(port, "127.0.0.2"))
    server.wait_log(LINE)
    assert "speak" not in server.log() and "version" not in server.log().replace("wsgi-fcgi 0.", "")


def test_refused_peer_leaves_nothing(start):
    server, port = tcp(start, "--allow", "127.0.0.2")
    assert is_served(connect(port, "127.0.0.2"))
    fds, threads = server.fds(), server.threads()
    for _ in range(300):
        assert not is_served(connect(port))
    until(lambda: server.fds() <= fds, "descriptors to be closed", lambda: str(server.fds()))
    assert server.threads() <= threads
    assert is_served(connect(port, "127.0.0.2"))


def test_one_line_a_second(start):
    server, port = tcp(start, "--allow", "127.0.0.2")
    began = time.monotonic()
    count = 0

    def told():
        nonlocal count
        for _ in range(50):
            assert not is_served(connect(port))
        count += 50
        return re.search(r"\(and (\d+) more since the last line about this\)", server.log())
    more = until(told, "the number of refusals without a line", server.log)
    lines = len(re.findall(LINE, server.log()))
    assert 2 <= lines <= 2 + time.monotonic() - began
    assert 1 <= int(more.group(1)) < count


def test_a_refused_peer_hides_no_other_one(start):
    server, port = tcp(start, "--allow", "127.0.0.2")
    for source in ("127.0.0.3", "127.0.0.4", "127.0.0.5"):
        for _ in range(20):
            assert not is_served(connect(port))
        assert not is_served(connect(port, source))
    for source in ("127.0.0.1", "127.0.0.3", "127.0.0.4", "127.0.0.5"):
        server.wait_log(r"refused %s:\d+ on" % source)


# --- users

def connect_as(path, uid, gid, groups=()):
    """Whether a process of another user is served at a Unix socket."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 2
        try:
            os.close(reading)
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            status = 0 if is_served(fcgi.connect(path)) else 1
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        error = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1), error
    return status == 0


@pytest.mark.usefixtures("root")
def test_every_user_by_default(start):
    server = start("wsgiapp", "--socket-mode", "0666")
    assert connect_as(server.path, 12345, 12345)


@pytest.mark.usefixtures("root")
def test_allow_uid(start):
    server = start("wsgiapp", "--socket-mode", "0666", "--allow-uid", "nobody", "--allow-uid", "12346")
    assert not connect_as(server.path, 12345, 12345)
    line = server.wait_log(r"refused process (\d+) of user 12345 and group 12345 on (\S+): not named by --allow-uid")
    assert int(line.group(1)) != server.pid and line.group(2) == server.path
    assert connect_as(server.path, NOBODY.pw_uid, 12345)
    assert connect_as(server.path, 12346, 12345)
    assert not connect_as(server.path, 12345, 12346), "a group is no user"
    hello(server.path)  # root


@pytest.mark.usefixtures("root")
def test_allow_gid(start):
    server = start("wsgiapp", "--socket-mode", "0666", "--allow-gid", "12346", "--allow-uid", "12350")
    assert connect_as(server.path, 12345, 12346)
    assert connect_as(server.path, 12345, 12345, [7, 12346]), "a supplementary group"
    assert connect_as(server.path, 12345, 12345, [*range(20000, 20300), 12346]), "the last of many"
    assert not connect_as(server.path, 12345, 12345, range(20000, 20300))
    assert not connect_as(server.path, 12346, 12345), "a user is no group"
    assert connect_as(server.path, 12350, 12345)


@pytest.mark.usefixtures("root")
def test_allow_gid_alone(start):
    server = start("wsgiapp", "--socket-mode", "0666", "--allow-gid", "12346")
    assert not connect_as(server.path, 12345, 12345)
    assert not connect_as(server.path, 12345, 12345, [7])
    assert connect_as(server.path, 12345, 12346)


@pytest.mark.usefixtures("root")
def test_allow_uid_on_abstract_socket(start):
    name = "@wsgi-fcgi-test-access-%d" % os.getpid()
    start("wsgiapp", "--allow-uid", "12346", socket=name)
    assert connect_as(name, 12346, 12346)
    assert not connect_as(name, 12345, 12345)


def test_own_user(start):
    hello(start("wsgiapp", "--allow-uid", "12346").path)


@pytest.mark.usefixtures("root")
def test_own_user_is_not_root(start):
    name = "@wsgi-fcgi-test-own-%d" % os.getpid()
    server = start("wsgiapp", "--allow-uid", "12346", socket=name, user=12345, group=12345, extra_groups=[])
    hello(server.address)
    assert connect_as(name, 12345, 12345)
    assert not connect_as(name, 12347, 12345)


def test_users_are_not_for_tcp(start):
    server, port = tcp(start, "--allow-uid", "12346")
    assert re.search("warning: --allow-uid has no effect: it is for Unix sockets", server.log())
    assert is_served(connect(port))


# --- wrong rules

@pytest.mark.parametrize("option, value, status, said", [
    ("--allow", "localhost", EX_USAGE, "not an IP address"), ("--allow", "", EX_USAGE, "ADDR"),
    ("--allow", "10.0.0.0/33", EX_USAGE, "0 to 32"), ("--allow", "10.1.0.0/8", EX_USAGE, r"write 10\.0\.0\.0/8"),
    ("--allow", "[::1]", EX_USAGE, "brackets"), ("--allow-uid", "no-such-name", EX_NOUSER, "no-such-name"),
    ("--allow-gid", "no-such-name", EX_NOUSER, "no-such-name"),
])
def test_wrong_rule(option, value, status, said):
    for more in ([], ["--check"]):
        done = run(wire.option, "127.0.0.1:0", *more, option, value, "hello")
        refused(done, status, option + ": ", said)
        assert done.stderr.count("\n") == 1


def test_wrong_environment():
    done = run(wire.option, "127.0.0.1:0", "hello", env={"FCGI_WEB_SERVER_ADDRS": "127.0.0.1;127.0.0.2"})
    refused(done, EX_USAGE, "FCGI_WEB_SERVER_ADDRS: .*not an IP address")
