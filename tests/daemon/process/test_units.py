"""The units of contrib/systemd: what systemd says of them, and what it would do by them. That `make install` puts them
there is checked by `make installcheck`."""
import os
import re
import shlex
import shutil
import signal
import subprocess

import pytest

import daemon as daemons
import fcgi
from daemon import until
from service import Manager
from test_activation import activated, begin
from test_hanging_calls import lose, stack_of
from test_reload import Clients, Site

ANALYZE = shutil.which("systemd-analyze")
EXAMPLE = os.path.join(daemons.HERE, "..", "..", "contrib", "systemd", "example.conf")
EXPOSURE = 1.5  # of 10; Debian 12 says 1.4
EX_NOINPUT, EX_CONFIG = 66, 78

pytestmark = pytest.mark.once


def analyze(*args):
    """Its output and messages."""
    assert ANALYZE, "systemd-analyze is missing: install the Debian package systemd"
    done = subprocess.run([ANALYZE, *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""})
    assert done.returncode == 0, done.stdout
    return done.stdout


class Units:
    """Those that make has made, for the program that is tested, with a directory of configuration of their own."""

    def __init__(self, directory):
        self.dir = os.path.join(directory, "units")
        self.etc = os.path.join(directory, "etc")
        os.makedirs(self.dir)
        os.makedirs(os.path.join(self.etc, "wsgi-fcgi"))
        made = os.environ["WSGI_FCGI_UNITS"]
        for name in ("wsgi-fcgi@.service", "wsgi-fcgi@.socket"):
            with open(os.path.join(made, name)) as file:
                text = file.read()
            assert not re.search(r"@\w+dir@", text)
            command = re.search(r"^ExecStart=(/\S+/)wsgi-fcgi --config (/\S+)/wsgi-fcgi/%i\.conf$", text, re.M)
            text = text.replace(command[2] + "/wsgi-fcgi", self.etc + "/wsgi-fcgi") if command else text
            text = re.sub(r"^ExecStart=/\S+", "ExecStart=" + daemons.binary(), text, flags=re.M)
            with open(os.path.join(self.dir, name), "w") as file:
                file.write(text)
        self.service = os.path.join(self.dir, "wsgi-fcgi@.service")
        self.socket = os.path.join(self.dir, "wsgi-fcgi@.socket")

    def values(self, file, key):
        """All of a key, in their order."""
        with open(file) as lines:
            return re.findall(r"^%s=(.*)$" % key, lines.read(), re.M)

    def value(self, file, key):
        value, = self.values(file, key)
        return value

    def command(self, key, **variables):
        """The words of a command for the instance `site`."""
        words = shlex.split(self.value(self.service, key).replace("%i", "site"))
        return [str(variables.get(word[1:], word)) if word[0] == "$" else word for word in words]

    def configure(self, **values):
        """Writes what the instance `site` is configured with."""
        with open(os.path.join(self.etc, "wsgi-fcgi", "site.conf"), "w") as file:
            file.writelines("%s = %s\n" % (key.replace("_", "-"), value) for key, value in values.items())


@pytest.fixture
def units(tmp_path):
    return Units(str(tmp_path))


def test_verify(units):
    assert analyze("verify", "--man=no", units.service, units.socket) == ""


def test_security(units):
    found = analyze("security", "--offline=true", "--threshold=%d" % (EXPOSURE * 10), units.service)
    exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", found)[1])
    assert exposure <= EXPOSURE, found


def begin_service(units, start, path, manager):
    """Starts what ExecStart= says, when somebody connects to the socket that the socket unit names."""
    program, *args = units.command("ExecStart")
    assert program == daemons.binary()
    name = units.value(units.socket, "FileDescriptorName")
    return begin(start, path, activated([(name, path)], *args), env=manager.environ())


def test_reload(units, start, tmp_path):
    """By the command of the unit: the new version serves, and no client has been refused."""
    path = str(tmp_path / "socket")
    manager = Manager(str(tmp_path / "notify"))

    def starter(file, *args, **more):
        units.configure(application=file, workers=2)
        return begin_service(units, start, path, manager)
    site = Site(starter, str(tmp_path))
    ready = len(manager.received("READY")) or bool(manager.wait("READY", log=site.server.log))
    with Clients(site.server) as clients:
        for number in range(2):
            site.write("version%d" % number)
            subprocess.run(units.command("ExecReload", MAINPID=site.server.pid), check=True, timeout=60)
            ready += 1
            manager.wait("READY", ready, site.server.log)
            until(lambda: site.version() == "version%d" % number, "the old workers to notice", site.server.log)
    assert not clients.errors
    assert "RELOADING" in manager.states()
    site.server.signal(signal.SIGTERM)
    assert site.server.wait_exit() == 0
    manager.close()


def test_reload_of_one_process(units, start, tmp_path):
    """It says what to do, and goes on."""
    path = str(tmp_path / "socket")
    manager = Manager(str(tmp_path / "notify"))
    units.configure(application="wsgiapp", chdir=daemons.APPS)
    server = begin_service(units, start, path, manager)
    subprocess.run(units.command("ExecReload", MAINPID=server.pid), check=True, timeout=60)
    server.wait_log("warning: SIGHUP does nothing here: restart the server")
    assert fcgi.ask(path, "/hello").status == 200
    manager.close()


@pytest.mark.parametrize("values, status", [
    (None, EX_CONFIG), ({"application": "wsgiapp", "threds": 3}, EX_CONFIG), ({"application": "no_such_module"}, EX_NOINPUT)])
def test_mistakes_are_not_tried_again(units, tmp_path, values, status):
    """systemd would start the service until the socket gives up."""
    if values:
        units.configure(**values, socket=tmp_path / "socket")
    done = subprocess.run(units.command("ExecStart"), cwd=daemons.APPS, env=daemons.clean_environ(), timeout=60,
                          stderr=subprocess.PIPE)
    assert done.returncode == status, done.stderr
    assert str(status) in units.value(units.service, "RestartPreventExitStatus").split()


def test_other_failures_are_tried_again_for_ever(units):
    """StartLimitBurst=5 in StartLimitIntervalSec=10, which are the defaults, are never reached."""
    assert units.value(units.service, "Restart") == "on-failure"
    assert 5 * seconds(units.value(units.service, "RestartSec")) > 10


def test_stop_is_no_failure(units):
    assert str(daemons.STATUS_CUT) in units.value(units.service, "SuccessExitStatus").split()


def seconds(span):
    number, unit = re.fullmatch(r"(\d+)(s|min|)", span).groups()
    return int(number) * (60 if unit == "min" else 1)


def test_stop_has_the_time_that_it_takes(units):
    """systemd kills nothing that --graceful-timeout and the end of Python still allow, also before it is told of it."""
    graceful = re.search(r"^graceful-timeout = (\d+)", daemons.run("--print-config", "app").stdout, re.M)
    assert seconds(units.value(units.service, "TimeoutStopSec")) >= int(graceful[1]) + 2 * 10


def allowed_calls(units):
    """The system calls that SystemCallFilter= leaves."""
    def members(word):
        if word[0] != "@":
            return {word}
        words = [line.split()[0] for line in analyze("syscall-filter", word).split("\n")[1:]
                 if line.strip() and line.split()[0] != "#"]
        return set().union(*map(members, words))
    allowed = members("@default")
    for value in units.values(units.service, "SystemCallFilter"):
        named = set().union(*map(members, value.lstrip("~").split()))
        allowed = allowed - named if value[0] == "~" else allowed | named
    return allowed


if not daemons.SANITIZED:  # LeakSanitizer does not work beneath strace(1), and a sanitizer makes calls of its own
    def test_system_calls(units, start, gate, tmp_path):
        """The server makes none that the unit denies: from the start, through a call that hangs and a reload, to the stop.
        Nor does it ask for memory that MemoryDenyWriteExecute= denies."""
        trace = str(tmp_path / "trace")
        units.configure(application="hangapp", chdir=daemons.APPS, workers=2, socket=tmp_path / "socket", preload="yes",
                        request_timeout="1s")
        server = start(command=["strace", "-D", "-f", "-qq", "-o", trace, *units.command("ExecStart")],
                       address=str(tmp_path / "socket"))
        assert server.ask("/hello").status == 200
        visitor = lose(server, "keep_lock", gate)
        server.wait_log(stack_of("keep_lock"))
        visitor.release()
        server.signal(signal.SIGHUP)
        server.wait_log("the reload is complete")
        assert server.ask("/hello").status == 200
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        with open(trace, errors="replace") as lines:
            made = lines.read()
        calls = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", made, re.M))
        assert {"execve", "accept4", "process_vm_readv"} <= calls
        assert calls <= allowed_calls(units)
        assert not re.search(r"mmap\(.*PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC", made)


@pytest.mark.parametrize("check", [["--print-config"], ["--check"]], ids=["print", "check"])
def test_example(tmp_path, check):
    """It is accepted as it is; only the directories are not there."""
    with open(EXAMPLE) as file:
        text = file.read()
    assert os.path.isabs(re.search("^chdir = (.*)", text, re.M)[1])
    (tmp_path / "shop.py").write_text("def app(environ, start_response):\n    pass\n")
    (tmp_path / "shop.conf").write_text(re.sub("^venv = .*\n", "", text.replace("/srv/shop\n", "%s\n" % tmp_path), flags=re.M))
    done = daemons.run("--config", EXAMPLE if check == ["--print-config"] else tmp_path / "shop.conf", *check)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr and "warning: " not in done.stderr.replace("runs as root", ""), done.stderr
