"""Workers of the server as a module: the supervisor has no Python, and executes the interpreter for each of them."""
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

import daemon
from daemon import APPS, SANITIZED, until
from place import PACKAGE, Environment, Place, interpreter, told
from supervised import Supervised
from test_reload import Clients

APP = "extensionapp"
EX_SOFTWARE = 70


@pytest.fixture
def serve(tmp_path):
    """serve(COMMAND, *OPTIONS, **more): a server with two workers."""
    servers = []

    def make(command, *args, env=None, **more):
        path = str(tmp_path / ("%d.sock" % len(servers)))
        command = [*map(str, command), "-s", path, "--workers", "2", *map(str, args), *(() if "--pythonpath" in args else (APP,))]
        env = {"PYTHONPATH": APPS, **(env or {})}
        server = Supervised(None, 2, *args, command=command, address=path, sockets=False, env=env, **more)
        servers.append(server)
        return server
    yield make
    for server in servers:
        server.stop()


def reload(server):
    done = server.log().count("the reload is complete")
    old = server.children()
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload is complete") > done, "the reload", server.log)
    until(lambda: not server.children() & old, "the old workers to end", server.log)


def fail(server):
    """Returns why a reload fails."""
    failed = server.log().count("the reload has failed")
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload has failed") > failed, "the reload to fail", server.log)
    return re.findall("the reload has failed, the old application goes on: (.*)", server.log())[-1]


# --- what is executed

@pytest.mark.parametrize("words, kept", [
    ([], []),
    (["-m", "wsgi_fcgi", "-B"], []),
    (["-B", "-m", "wsgi_fcgi"], ["-B"]),
    (["-Pm", "wsgi_fcgi"], ["-P"]),
    (["-OOsPm", "wsgi_fcgi", "-s", "x"], ["-O", "-O", "-s", "-P"]),
    (["-mwsgi_fcgi"], []),
    (["-Bcimport this"], ["-B"]),
    (["-X", "dev", "-Xutf8=1", "script", "-X", "faulthandler"], ["-X", "dev", "-X", "utf8=1"]),
    (["-bWerror", "-W", "ignore", "/usr/bin/wsgi-fcgi"], ["-b", "-W", "error", "-W", "ignore"]),
    (["-IXdev", "-i", "-xB", "script"], ["-I", "-X", "dev", "-B"]),
    (["--check-hash-based-pycs", "always", "-E", "script"], ["--check-hash-based-pycs", "always", "-E"]),
    (["-B", "-", "-E"], ["-B"]),
    (["-B", "--", "-E"], ["-B"]),
])
def test_options_of_python(words, kept):
    found = subprocess.run([interpreter(), "-c", "import sys; from wsgi_fcgi._command import options;"
                            " print(*options(sys.argv[1:]), sep='\\n')", *words], check=True, stdout=subprocess.PIPE,
                           text=True, env={**os.environ, "PYTHONPATH": os.path.dirname(PACKAGE)})
    assert found.stdout.split("\n")[:-1] == (kept or [""])


def check_command(server, package, *options, python=None):
    """Before and after a reload, whatever the supervisor was executed by."""
    for count in range(2):
        if count:
            reload(server)
        found = told(server)
        assert found["pid"] in server.children()
        assert found["orig_argv"][:len(options) + 2] == [
            python or interpreter(), *options, os.path.join(package, "__main__.py")]
        assert found["package"] == os.path.join(package, "__init__.py")
        assert found["executable"] == (python or interpreter())
        assert os.path.basename(os.readlink("/proc/%d/exe" % server.pid)) == "wsgi-fcgi-supervisor"
        assert server.proc("cmdline").startswith("wsgi-fcgi: supervisor")
    return found


def test_command(serve, tmp_path):
    place = Place(str(tmp_path / "place"))
    check_command(serve([place.command]), place.package)


def test_link_to_the_command(serve, tmp_path):
    place = Place(str(tmp_path / "place"))
    link = tmp_path / "wsgi-fcgi"
    os.symlink(place.command, link)
    check_command(serve([link]), place.package)


def test_module(serve, tmp_path):
    place = Place(str(tmp_path / "place"))
    check_command(serve([interpreter(), "-m", "wsgi_fcgi"], env={"PYTHONPATH": "%s:%s" % (place.lib, APPS)}), place.package)


def test_options_stay(serve, tmp_path):
    place = Place(str(tmp_path / "place"))
    server = serve([interpreter(), "-BX", "dev", "-Werror::ResourceWarning", place.command])
    found = check_command(server, place.package, "-B", "-X", "dev", "-W", "error::ResourceWarning")
    assert found["dev_mode"] and found["warnoptions"][-1] == "error::ResourceWarning"


def test_blanks_in_the_path(serve, tmp_path):
    place = Place(str(tmp_path / "a place\twith blanks"))
    check_command(serve([interpreter(), place.command]), place.package)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["workers", "zygote"])
def test_relative_paths(serve, tmp_path, preload):
    """All of them are of the directory where the server was started, wherever it goes."""
    place = Place(str(tmp_path / "place"))
    os.mkdir(tmp_path / "elsewhere")
    server = serve(["../place/bin/wsgi-fcgi"], "--chdir", "/", *preload, cwd=str(tmp_path / "elsewhere"))
    found = check_command(server, place.package)
    assert found["cwd"] == "/"


def test_virtual_environment(serve, tmp_path):
    """Its own interpreter, not the one that it was made from."""
    place = Environment(str(tmp_path / "venv"))
    found = check_command(serve([place.python, "-m", "wsgi_fcgi"]), place.package, python=place.python)
    assert found["prefix"] == str(tmp_path / "venv")


def test_link_to_the_installation(serve, tmp_path):
    """A reload finds what it leads to then: installations that stand side by side, as some deploy."""
    for name in ("one", "two"):
        Place(str(tmp_path / name))
    os.symlink("one", tmp_path / "current")
    current = tmp_path / "current"
    lib = str(current / "lib")
    server = serve([interpreter(), "-m", "wsgi_fcgi"], env={"PYTHONPATH": "%s:%s" % (lib, APPS)})
    os.symlink("two", tmp_path / "new")
    os.rename(tmp_path / "new", current)
    shutil.rmtree(tmp_path / "one")
    reload(server)
    assert told(server)["package"] == os.path.join(lib, "wsgi_fcgi", "__init__.py")
    assert os.readlink("/proc/%d/exe" % server.pid) == str(tmp_path / "two" / "lib" / "wsgi_fcgi" / "wsgi-fcgi-supervisor")


def test_another_package_of_the_name(serve, tmp_path):
    """Neither the current directory nor PYTHONPATH puts another one in the place of the one that was started."""
    place = Place(str(tmp_path / "place"))
    for folder in ("work", "path"):
        os.makedirs(tmp_path / folder / "wsgi_fcgi")
        (tmp_path / folder / "wsgi_fcgi" / "__init__.py").write_text("raise SystemExit('not this one')\n")
    server = serve([interpreter(), os.path.join(place.package, "__main__.py")], cwd=str(tmp_path / "work"),
                   env={"PYTHONPATH": "%s:%s" % (tmp_path / "path", APPS)})
    check_command(server, place.package)


def test_python_that_is_not_there(serve, tmp_path):
    """The one line says what to do, and the server goes on."""
    place = Environment(str(tmp_path / "venv"))
    server = serve([place.python, "-m", "wsgi_fcgi"])
    os.rename(place.python, place.python + ".away")
    assert fail(server) == "cannot execute %s: No such file or directory" % place.python
    assert told(server)
    os.rename(place.python + ".away", place.python)
    reload(server)


# --- upgrades

def test_upgrade_under_load(serve, tmp_path):
    """What pip does: the old files go, the new ones come. Reloads may come in between."""
    place = Place(str(tmp_path / "place"))
    server = serve([place.command])
    with Clients(server) as clients:
        for _ in range(3):
            before = os.stat("/proc/%d/exe" % server.pid).st_ino
            place.remove()
            assert fail(server) == "cannot read %s: No such file or directory: reload again when the installation is complete" % (
                os.path.join(place.package, "__main__.py"))
            place.install()
            reload(server)
            assert os.stat("/proc/%d/exe" % server.pid).st_ino != before
    assert not clients.errors
    assert clients.answers > 100


@pytest.mark.parametrize("missing", ["_server.", "__init__.py", "wsgi-fcgi-supervisor", "_command.py"])
def test_half_of_an_upgrade(serve, tmp_path, missing):
    """The check finds whatever is not there, and says what."""
    place = Place(str(tmp_path / "place"))
    server = serve([place.command])
    name, = [name for name in os.listdir(place.package) if name == missing or missing[-1] == "." and name.startswith(missing)]
    os.rename(os.path.join(place.package, name), os.path.join(place.lib, name))
    why = fail(server)
    assert why == "%s, executed to check whether it can go on, has ended with status %d" % (
        os.path.join(place.package, "__main__.py"), 71 if missing == "wsgi-fcgi-supervisor" else EX_SOFTWARE)
    last = server.log().split("the reload has failed")[0].rstrip("\n").split("\n")[-2]
    assert re.search("wsgi-fcgi.*: .*%s" % re.escape(missing.removesuffix(".py").rstrip(".")), last), server.log()
    assert told(server)
    os.rename(os.path.join(place.lib, name), os.path.join(place.package, name))
    reload(server)


def test_worker_that_ends_amid_an_upgrade(serve, tmp_path):
    """Its replacement cannot start before the files are there. The other one serves, and nobody waits."""
    place = Place(str(tmp_path / "place"))
    server = serve([place.command])
    place.remove()
    os.kill(server.serving()[1], signal.SIGKILL)
    server.wait_log(r"worker 1 \(process \d+\) has ended with status \d+ before it")
    assert told(server)["pid"] == server.serving()[0]
    place.install()
    until(lambda: len(server.serving()) == 2, "the new worker to serve", server.log)


# --- what it costs, and who runs it

def test_memory_of_the_supervisor(serve, tmp_path):
    """At most what the supervisor of the program has: there is no Python in it, though one has executed it."""
    place = Place(str(tmp_path / "place"))
    server = serve([place.command])
    for _ in range(2):
        until(lambda: SANITIZED or server.rss() <= 2 << 20, "memory to be given back", lambda: server.proc("smaps"))
        assert "python" not in server.proc("maps").replace(str(tmp_path), "")
        reload(server)


def test_signals_that_python_ignores(serve, tmp_path):
    """They are the supervisor's as those of the program's are: it was executed by Python, which ignores these two."""
    place = Place(str(tmp_path / "place"))
    ignored = serve([place.command]).status_mask("SigIgn")
    assert not ignored & (1 << signal.SIGXFSZ - 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_user(tmp_path):
    """As by sudo -u: nothing but the files themselves is asked for."""
    place = Place(str(tmp_path / "place"))
    for path in (tmp_path, *tmp_path.parents):
        if str(path).startswith("/tmp/"):
            os.chmod(path, os.stat(path).st_mode | stat.S_IXOTH | stat.S_IROTH)
    run = tmp_path / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    path = str(run / "app.sock")
    server = Supervised(None, 2, command=[place.command, "-s", path, "--workers", "2", APP], address=path, sockets=False,
                        env={"PYTHONPATH": APPS}, user=65534, group=65534, extra_groups=[])
    try:
        assert os.stat("/proc/%d" % told(server)["pid"]).st_uid == 65534
        reload(server)
    finally:
        server.stop()
