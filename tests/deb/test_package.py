"""The package, from its installation to its purge: one machine goes through all of it, and each test begins where the
one before has ended.

What is under way when the program is replaced is seen by contrib/bench/soak-client behind nginx: it sends no request
twice, and counts those that get no answer, or a wrong one.
"""
import json
import os
import re
import subprocess
import threading

import pytest

PACKAGE = os.environ["DEB_PACKAGE"]
HERE = os.path.dirname(os.path.abspath(__file__))
SITE_TEST = os.path.join(HERE, "../../contrib/debian/tests/site")
PROGRAM, SUPERVISOR = "/usr/bin/wsgi-fcgi", "/usr/libexec/wsgi-fcgi-supervisor"
ECHO = """import os
def application(environ, start_response):
    number = int(environ["PATH_INFO"].split("/")[2])
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = b"%d %d\\n%b" % (number, os.getpid(), body)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""


def unit_property(machine, unit, name):
    return machine.said_by("systemctl", "show", "--value", "--property", name, unit)


def serves(machine, unit):
    """Its processes run the program that is installed now: no file that dpkg has replaced."""
    group = unit_property(machine, unit, "ControlGroup")
    running = machine.said_by("sh", "-c", """
        for pid in $(cat "/sys/fs/cgroup/$0/cgroup.procs" "/sys/fs/cgroup/systemd/$0/cgroup.procs" 2>/dev/null); do
            stat --dereference --format=%i /proc/$pid/exe
        done 2>/dev/null""", group, check=False).split()
    wanted = machine.said_by("stat", "--format=%i", PROGRAM, SUPERVISOR).split()
    return bool(running) and set(running) <= set(wanted)


class Clients:
    """soak-client in the machine, from the beginning to the end of a `with`; then `result` is what it has counted."""

    def __init__(self, machine):
        self.machine = machine
        self.answered, self.workers, self.result = 0, set(), None

    def __enter__(self):
        self.process = subprocess.Popen(
            self.machine.entering("/root/soak-client", "--socket", "127.0.0.1:8080", "--clients", "16",
                                  "--requests", "1"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()
        self.more()
        return self

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.result = json.loads(line)
            elif line.startswith("worker "):
                self.workers.add(line.split()[1])
            else:
                self.answered = int(line.split()[0])

    def more(self, count=500):
        """Waits until so many more requests are answered."""
        wanted = self.answered + count
        self.machine.until(lambda: self.answered >= wanted or self.process.poll() is not None, "%d answers" % count)
        assert self.process.poll() is None, self.result

    def __exit__(self, *exc):
        self.process.stdin.close()
        try:
            self.process.wait(120)
        finally:
            self.process.kill()
            self.thread.join()

    def lost(self):
        return {name: count for name, count in self.result["errors"].items() if count}


def other_version(machine, suffix):
    """The package once more, with another version: the files are others to dpkg and to the kernel. Returns its path."""
    version = machine.said_by("dpkg-deb", "--field", PACKAGE, "Version") + suffix
    tree, made = "/root/tree", "/root/wsgi-fcgi%s.deb" % suffix.replace("~", "-")
    machine.run("rm", "-rf", tree)
    machine.run("dpkg-deb", "--raw-extract", PACKAGE, tree)
    machine.run("sed", "-i", "s/^Version: .*/Version: %s/" % version, tree + "/DEBIAN/control")
    machine.run("dpkg-deb", "--build", "-Znone", tree, made)
    return made, version


def installed(machine):
    return machine.said_by("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", "wsgi-fcgi")


def sites(machine):
    return machine.said_by("systemctl", "list-units", "--all", "--plain", "--no-legend", "wsgi-fcgi@*")


def test_install(machine):
    """By apt, and without the tools that it was built with. Nothing is started, and no site is there."""
    assert machine.run("gcc", "--version", check=False).returncode
    machine.run("apt-get", "install", "-q", "-y", "--no-install-recommends", PACKAGE)
    assert installed(machine).startswith("installed ")
    assert sites(machine) == ""
    assert os.listdir(machine.path("/etc/wsgi-fcgi")) == []
    found = machine.said_by(PROGRAM, "--version")
    assert "shared-python" in found and "http" in found and "otlp" in found
    machine.run("wsgi-fcgi-top", "--version")


def test_units(machine):
    """systemd finds nothing to say of them."""
    units = [path for path in machine.said_by("dpkg", "--listfiles", "wsgi-fcgi").split() if "/wsgi-fcgi@." in path]
    assert len(units) == 2
    machine.write("/etc/wsgi-fcgi/test.conf", "application = test\n")  # systemd-analyze(1) gives a template an instance
    assert machine.said_by("systemd-analyze", "verify", "--man=no", *units) == ""
    os.remove(machine.path("/etc/wsgi-fcgi/test.conf"))


def test_readme(machine):
    """What README.Debian says, as the test of the package for autopkgtest(1) does it: the page comes through nginx."""
    with open(SITE_TEST) as file:
        machine.write("/root/site", file.read())
    machine.run("systemctl", "start", "nginx")  # as its installation does
    machine.run("sh", "/root/site")
    status = machine.said_by("systemctl", "status", "wsgi-fcgi@hello.service")
    assert "Active: active (running)" in status and "Status: " in status
    # As a user that is there for the time, whose files are its own.
    main = unit_property(machine, "wsgi-fcgi@hello.service", "MainPID")
    assert machine.said_by("ps", "-o", "uid=", "-p", main).strip() != "0"
    assert machine.exists("/var/lib/wsgi-fcgi/hello")


@pytest.fixture(scope="module")
def echo(machine):
    """Two more sites, which answer what soak-client asks: one with workers, one without."""
    machine.write("/srv/echo/echo.py", ECHO)
    for name, more in ("echo", "workers = 2\n"), ("single", ""):
        machine.write("/etc/wsgi-fcgi/%s.conf" % name, "application = echo:application\nchdir = /srv/echo\n" + more)
        machine.run("systemctl", "enable", "--now", "wsgi-fcgi@%s.socket" % name, "wsgi-fcgi@%s.service" % name)
    site = "/etc/nginx/sites-available/hello"
    with open(machine.path(site)) as file:
        text = file.read()

    def ask(name):
        found = text.replace("wsgi-fcgi-hello.sock", "wsgi-fcgi-%s.sock" % name)
        if name == "single":
            # What arrives on a kept connection while that is closed gets a 502, of which README.Debian speaks.
            found = found.replace("fastcgi_keep_conn on;", "")
        machine.write(site, found)
        machine.run("systemctl", "restart", "nginx")
        return "wsgi-fcgi@%s.service" % name
    return ask


@pytest.mark.parametrize("how", ["upgrade", "downgrade"])
@pytest.mark.parametrize("name", ["echo", "single"], ids=["workers", "one-process"])
def test_replaced_under_load(machine, echo, name, how):
    """No request is lost: with workers by a reload, else since they wait in the socket while the service restarts."""
    path, version = other_version(machine, {"upgrade": "+next", "downgrade": "~previous"}[how])
    unit = echo(name)
    before = unit_property(machine, unit, "MainPID")
    with Clients(machine) as clients:
        first = set(clients.workers)
        said = machine.said_by("dpkg", "--install", path)
        machine.until(lambda: serves(machine, unit), "the new program to serve")
        machine.until(lambda: clients.workers - first, "an answer of a new process")
        clients.more()
    assert clients.lost() == {}, (clients.result, said)
    assert clients.result["answered"] == clients.result["requests"] >= 1000
    assert installed(machine) == "installed " + version
    assert "has failed" not in said
    assert (unit_property(machine, unit, "MainPID") == before) == (name == "echo")
    print("%s of %s: %d requests, none lost" % (how, name, clients.result["requests"]))


def test_configuration_stays(machine):
    """A site that was disabled, stopped or changed is after an upgrade what it was before."""
    machine.run("systemctl", "disable", "--now", "wsgi-fcgi@single.socket", "wsgi-fcgi@single.service")
    drop_in = "/etc/systemd/system/wsgi-fcgi@echo.service.d/override.conf"
    machine.write(drop_in, "[Service]\nLimitNOFILE=4096\n")
    with open(machine.path("/etc/wsgi-fcgi/echo.conf")) as file:
        text = file.read()
    machine.run("dpkg", "--install", PACKAGE)
    with open(machine.path("/etc/wsgi-fcgi/echo.conf")) as file:
        assert file.read() == text
    assert machine.exists(drop_in)
    for kind in ("service", "socket"):
        assert machine.said_by("systemctl", "is-active", "wsgi-fcgi@single.%s" % kind, check=False) == "inactive"
        assert machine.said_by("systemctl", "is-enabled", "wsgi-fcgi@single.%s" % kind, check=False) == "disabled"
    assert machine.said_by("systemctl", "is-active", "wsgi-fcgi@echo.service") == "active"


def test_application_that_does_not_load(machine):
    """The upgrade goes on, and so does the old application: systemctl says why."""
    machine.until(lambda: serves(machine, "wsgi-fcgi@echo.service"), "the last reload to be over")
    machine.write("/srv/echo/echo.py", "raise RuntimeError('broken on purpose')\n")
    path, version = other_version(machine, "+broken")
    machine.run("dpkg", "--install", path)
    assert installed(machine) == "installed " + version
    machine.until(lambda: "the reload has failed" in machine.said_by("journalctl", "-u", "wsgi-fcgi@echo.service"),
                  "the failure of the reload")
    assert machine.said_by("systemctl", "is-active", "wsgi-fcgi@echo.service") == "active"
    machine.write("/srv/echo/echo.py", ECHO)


def test_policy_that_forbids(machine):
    """policy-rc.d(8) of an administrator: nothing is reloaded."""
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    os.chmod(machine.path("/usr/sbin/policy-rc.d"), 0o755)
    lines = machine.said_by("journalctl", "-u", "wsgi-fcgi@echo.service").count("SIGHUP")
    said = machine.said_by("dpkg", "--install", PACKAGE)
    assert "policy-rc.d returned 101" in said
    assert machine.said_by("journalctl", "-u", "wsgi-fcgi@echo.service").count("SIGHUP") == lines
    os.remove(machine.path("/usr/sbin/policy-rc.d"))


def test_removal(machine):
    """While sites serve: they are stopped in good order, and stay stopped; their files stay."""
    machine.write("/var/lib/wsgi-fcgi/echo/upload", "of a client\n")
    machine.run("apt-get", "remove", "-q", "-y", "wsgi-fcgi")
    assert installed(machine).startswith("config-files ")
    assert "wsgi-fcgi@" not in machine.said_by("systemctl", "list-units", "--plain", "--no-legend", "--state=active",
                                               "wsgi-fcgi@*")
    assert machine.run("pgrep", "-f", "wsgi-fcgi", check=False).stdout == ""
    assert not machine.exists("/run/wsgi-fcgi-echo.sock") and not machine.exists(PROGRAM)
    for path in ("/etc/wsgi-fcgi/echo.conf", "/var/lib/wsgi-fcgi/echo/upload",
                 "/etc/systemd/system/multi-user.target.wants/wsgi-fcgi@echo.service"):
        assert machine.exists(path), path
    log = machine.said_by("journalctl", "-u", "wsgi-fcgi@hello.service")
    assert re.search("Deactivated successfully", log), log


def test_back_again(machine):
    """Sites that were enabled can be started as they are."""
    machine.run("dpkg", "--install", PACKAGE)
    machine.run("systemctl", "start", "wsgi-fcgi@hello.socket", "wsgi-fcgi@hello.service")
    assert machine.said_by("systemctl", "is-active", "wsgi-fcgi@hello.service") == "active"


def test_purge(machine):
    """Logs, caches and links are gone. What sites have stored, and are configured by, is left, and this is said."""
    said = machine.said_by("apt-get", "purge", "-q", "-y", "wsgi-fcgi")
    assert "/var/lib/private/wsgi-fcgi is left" in said and "/etc/wsgi-fcgi is left" in said
    assert machine.run("dpkg-query", "--show", "wsgi-fcgi", check=False).returncode
    left = machine.said_by("find", "/var", "/etc", "/usr", "/lib", "/run", "-xdev", "-name", "*wsgi-fcgi*").split()
    allowed = re.compile(r"/etc/wsgi-fcgi|/var/lib(/private)?/wsgi-fcgi|/var/cache/apt/archives/.*"
                         r"|/etc/systemd/system/wsgi-fcgi@echo\.service\.d|/etc/dpkg/dpkg\.cfg\.d/wsgi-fcgi"
                         r"|/etc/apt/apt\.conf\.d/99wsgi-fcgi")
    assert [path for path in left if not allowed.fullmatch(path)] == []
    assert machine.exists("/etc/wsgi-fcgi/echo.conf") and machine.exists("/var/lib/private/wsgi-fcgi/echo/upload")
    assert not machine.exists("/var/lib/private/wsgi-fcgi/hello")
