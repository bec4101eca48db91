"""SIGHUP: the application and the program are loaded anew, by the same process, and nobody notices."""
import os
import re
import shutil
import signal
import socket
import stat
import threading
import time

import pytest

import daemon as daemons
from daemon import until

APPLICATION = """
import os, time
%s
def application(environ, start_response):
    body = b"%s %%d" %% os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    environ["wsgi.input"].read()
    return [body]
"""


class Site:
    """A server with workers, and the application that it serves."""

    def __init__(self, start, directory, *options, version="first", workers=2, **more):
        self.file = os.path.join(directory, "site.py")
        self.write(version)
        self.server = start(self.file, "--workers", workers, *options, **more)
        until(lambda: self.count("serves, ") == workers, "all workers to serve", self.server.log)

    def write(self, version, line=""):
        with open(self.file + ".new", "w") as file:
            file.write(APPLICATION % (line, version))
        os.rename(self.file + ".new", self.file)

    def ask(self):
        """The version and the process that answers."""
        response = self.server.ask()
        assert response.status == 200, response
        version, pid = response.body.decode().split()
        return version, int(pid)

    def version(self):
        return self.ask()[0]

    def wait_log(self, pattern):
        return self.server.wait_log(pattern)

    def count(self, pattern):
        return len(re.findall(pattern, self.server.log()))

    def hup(self):
        self.server.signal(signal.SIGHUP)

    def reload(self):
        """Returns when all workers of the next generation serve, and the others are told to retire."""
        done = self.count("the reload is complete")
        self.hup()
        until(lambda: self.count("the reload is complete") > done, "the reload", self.server.log)

    def fail(self):
        """Returns the reason why a reload fails."""
        failed = self.count("the reload has failed")
        self.hup()
        until(lambda: self.count("the reload has failed") > failed, "the reload to fail", self.server.log)
        return re.findall("the reload has failed, the old application goes on: (.*)", self.server.log())[-1]

    def workers(self):
        """The processes of the workers."""
        with open("/proc/%d/task/%d/children" % (self.server.pid, self.server.pid)) as file:
            return {int(word) for word in file.read().split()}


@pytest.fixture
def site(start, tmp_path):
    def make(*args, options=(), **more):
        return Site(start, str(tmp_path), *options, *args, **more)
    return make


def test_new_code(site):
    served = site()
    old = served.workers()
    assert served.version() == "first"
    served.write("second")
    assert served.version() == "first"
    served.reload()
    until(lambda: not served.workers() & old, "the old workers to end", served.server.log)
    assert served.server.process.poll() is None
    version, pid = served.ask()
    assert version == "second"
    assert pid in served.workers() and len(served.workers()) == 2
    assert not served.count("killed by")
    assert daemons.SANITIZED or served.server.rss() <= 2 << 20


def test_one_worker(site):
    served = site(workers=1)
    for version in ("second", "third"):
        served.write(version)
        served.reload()
        until(lambda: len(served.workers()) == 1, "the old worker to end", served.server.log)
        assert served.version() == version


def settles(server):
    until(lambda: daemons.SANITIZED or server.rss() <= 2 << 20, "memory to be given back", lambda: server.proc("smaps"))


def test_memory_of_the_supervisor(site):
    """Also when what was executed last did not start from nothing."""
    served = site()
    served.reload()
    settles(served.server)
    served.write("second", "raise RuntimeError")
    served.fail()
    settles(served.server)


def test_kept_connection_goes_on(site):
    served = site()
    with served.server.connect() as connection:
        assert connection.ask().body.startswith(b"first")
        served.write("second")
        served.reload()
        until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
        assert connection.ask().body.startswith(b"second")


def test_socket_file_stays_and_goes(site):
    served = site()
    before = os.stat(served.server.path)
    for _ in range(2):
        served.reload()
    after = os.stat(served.server.path)
    assert stat.S_ISSOCK(after.st_mode) and after.st_ino == before.st_ino
    served.server.stop()
    assert not os.path.exists(served.server.path)


def test_port_of_the_system_stays(site):
    """Port 0 means any free port: the one that was found at the start."""
    served = site("--http", "127.0.0.1:0")
    port = served.wait_log(r"listening on 127\.0\.0\.1:(\d+)").group(1)
    served.reload()
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    served.server.only_http = True
    served.server.address = ("127.0.0.1", int(port))
    assert served.version() == "first"


def check_inherited(site, address, **more):
    """A socket that the parent process has opened is not there under its number after the execution."""
    served = site(sockets=False, address=address, **more)
    for version in ("second", "third"):
        served.write(version)
        served.reload()
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert served.version() == "third"


def test_inherited_socket(site):
    with socket.create_server(("127.0.0.1", 0)) as opened:
        check_inherited(site, opened.getsockname(), pass_fds=[opened.fileno()], options=["-s", "fd:%d" % opened.fileno()])


def test_socket_at_descriptor_0(site):
    with socket.create_server(("127.0.0.1", 0)) as opened:
        check_inherited(site, opened.getsockname(), stdin=opened)


def check_goes_on(served, old):
    assert served.workers() == old
    assert served.version() == "first"


def check_recovers(served):
    served.write("repaired")
    served.reload()
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert served.version() == "repaired"


@pytest.mark.parametrize("line, reason", [
    ("this is no Python", "SyntaxError"),
    ("import no_such_module", "No module named 'no_such_module'"),
    ("raise SystemExit(3)", "SystemExit"),
    ("os._exit(5)", "has ended with status 5 before it served"),
    ("os.kill(os.getpid(), 9)", "was killed by SIGKILL before it served"),
])
def test_broken_application(site, line, reason):
    served = site()
    old = served.workers()
    served.write("broken", line)
    served.fail()
    assert re.search(reason, served.server.log())
    until(lambda: served.workers() == old, "nobody but the old workers", served.server.log)
    check_goes_on(served, old)
    check_recovers(served)


def test_missing_application(site):
    served = site()
    old = served.workers()
    os.unlink(served.file)
    served.fail()
    until(lambda: served.workers() == old, "nobody but the old workers", served.server.log)
    check_goes_on(served, old)
    check_recovers(served)


def test_old_worker_that_dies_after_a_failure_is_replaced(site):
    served = site()
    served.write("broken", "this is no Python")
    served.fail()
    served.write("repaired")
    os.kill(served.ask()[1], signal.SIGKILL)
    until(lambda: served.count("serves, ") == 3, "the replacement", served.server.log)
    assert {served.version() for _ in range(40)} <= {"first", "repaired"}
    check_recovers(served)


def children_of(pids):
    found = set()
    for pid in pids:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            found |= {int(word) for word in file.read().split()}
    return found


def test_preload(site):
    """Each generation has a zygote of its own, which loads the application as it is then."""
    served = site("--preload")
    zygotes = served.workers()
    served.write("second")
    served.reload()
    until(lambda: not served.workers() & zygotes, "the old zygote to end", served.server.log)
    assert len(children_of(served.workers())) == 2
    assert served.version() == "second"
    zygotes = served.workers()
    served.write("broken", "import no_such_module")
    served.fail()
    until(lambda: served.workers() == zygotes, "nobody but the old zygote", served.server.log)
    assert served.version() == "second"
    served.write("repaired")
    served.reload()
    until(lambda: not served.workers() & zygotes, "the old zygote to end", served.server.log)
    assert served.version() == "repaired"


# --- the program

@pytest.fixture
def program(tmp_path):
    """A copy of both programs, to be replaced while they run. Returns the path of the first."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("wsgi-fcgi", "wsgi-fcgi-supervisor"):
        shutil.copy(os.path.join(os.path.dirname(daemons.binary()), name), directory / name)
    return str(directory / "wsgi-fcgi")


def install(path, content=None):
    """Replaces a program by another file: by its copy, or by a script."""
    if content is None:
        shutil.copy(path, path + ".new")
    else:
        with open(path + ".new", "w") as file:
            file.write(content)
        os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


@pytest.fixture
def installed(start, tmp_path, program):
    def starter(app, *args, **more):
        path = str(tmp_path / "served.sock")
        return start(app, socket=path, command=[program, "-s", path, *map(str, args), app], **more)
    return Site(starter, str(tmp_path))


def executable(pid):
    return os.readlink("/proc/%d/exe" % pid)


def test_new_program(installed, program):
    """What runs then are the new files, under the same process number."""
    supervisor = os.path.join(os.path.dirname(program), "wsgi-fcgi-supervisor")
    install(program)
    install(supervisor)
    assert executable(installed.server.pid) == supervisor + " (deleted)"
    installed.reload()
    until(lambda: len(installed.workers()) == 2, "the old workers to end", installed.server.log)
    assert executable(installed.server.pid) == supervisor
    assert {executable(pid) for pid in installed.workers()} == {program}
    assert installed.version() == "first"


@pytest.mark.parametrize("content, reason", [
    ("#!/bin/sh\nexit 7\n", "ended with status 7"),
    ("#!/bin/sh\nkill -SEGV $$\n", "was killed by SIGSEGV"),
    ("no program at all", "Exec format error|status 127|No such file"),
    (None, "No such file or directory"),
])
@pytest.mark.parametrize("name", ["wsgi-fcgi", "wsgi-fcgi-supervisor"])
def test_broken_program(installed, program, name, content, reason):
    path = os.path.join(os.path.dirname(program), name)
    shutil.copy(path, path + ".good")
    old = installed.workers()
    os.unlink(path) if content is None else install(path, content)
    why = installed.fail()
    if name == "wsgi-fcgi":
        assert re.search(reason, why)
    check_goes_on(installed, old)
    os.rename(path + ".good", path)
    check_recovers(installed)


def test_program_that_knows_another_state(installed, program):
    """One that is older and has no reload, or another version of the state, refuses in the check."""
    old = installed.workers()
    shutil.copy(program, program + ".good")
    install(program, "#!/bin/sh\necho 'wsgi-fcgi: error: unknown option --workers' >&2; exit 64\n")
    assert "status 64" in installed.fail()
    assert "unknown option --workers" in installed.server.log()
    check_goes_on(installed, old)
    os.rename(program + ".good", program)
    check_recovers(installed)


# --- options that say something else: a script in the place of the program gives more, or fewer

def shift_program(program, name, script):
    """Gives the program another name, and puts the script in its place."""
    os.rename(program, os.path.join(os.path.dirname(program), name))
    install(program, "#!/bin/sh\n" + script)


def test_address_comes_and_goes(installed, program, tmp_path):
    directory, second = os.path.dirname(program), str(tmp_path / "second.sock")
    shift_program(program, "real", 'exec %s/real -s %s "$@"\n' % (directory, second))
    installed.reload()
    with installed.server.connect(second) as connection:
        assert connection.ask(keep=False).body.startswith(b"first")
    assert installed.version() == "first"
    shift_program(directory + "/real", "other", 'shift 2; exec %s/other "$@"\n' % directory)
    installed.reload()
    until(lambda: len(installed.workers()) == 2, "the old workers to end", installed.server.log)
    until(lambda: not os.path.exists(second), "the file of the address that is gone", installed.server.log)
    assert installed.version() == "first"


def test_address_in_use(installed, program):
    directory, old = os.path.dirname(program), installed.workers()
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        shift_program(program, "real", 'exec %s/real -s 127.0.0.1:%d "$@"\n' % (directory, port))
        assert "status 69" in installed.fail()
        assert re.search(r"127\.0\.0\.1:%d.* in use" % port, installed.server.log())
        check_goes_on(installed, old)
    check_recovers(installed)


def test_wrong_option(installed, program):
    directory, old = os.path.dirname(program), installed.workers()
    shift_program(program, "real", 'exec %s/real --threads many "$@"\n' % directory)
    assert "status 64" in installed.fail()
    assert "--threads" in installed.server.log()
    check_goes_on(installed, old)
    os.rename(directory + "/real", program)
    check_recovers(installed)


# --- signals in all orders

SLOW = "while not os.path.exists(%r): time.sleep(0.01)"


def test_signals_that_come_meanwhile_are_one_more(site, tmp_path):
    served = site()
    go = str(tmp_path / "go")
    served.write("second", SLOW % go)
    served.hup()
    until(lambda: served.count("is started") == 3, "the first new worker", served.server.log)
    for _ in range(5):
        served.hup()
    until(lambda: served.count("SIGHUP: ") == 2, "the signals to be taken", served.server.log)
    served.write("third")
    open(go, "w").close()
    until(lambda: served.count("the reload is complete") == 2, "both reloads", served.server.log)
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert served.version() == "third"
    assert served.count("the reload is complete") == 2


def test_stop_during_a_reload(site, tmp_path):
    served = site()
    served.write("second", SLOW % str(tmp_path / "never"))
    served.hup()
    until(lambda: served.count("is started") == 3, "the first new worker", served.server.log)
    children = served.workers()
    served.server.stop()
    assert not any(os.path.exists("/proc/%d" % pid) for pid in children)


def test_old_worker_dies_during_a_reload(site, tmp_path):
    """The new generation takes its place: nobody starts one of the old."""
    served = site()
    go = str(tmp_path / "go")
    served.write("second", SLOW % go)
    served.hup()
    until(lambda: served.count("is started") == 3, "the first new worker", served.server.log)
    os.kill(served.ask()[1], signal.SIGKILL)
    until(lambda: served.count("was killed by SIGKILL") == 1, "its end to be noticed", served.server.log)
    assert served.version() == "first"
    assert served.count("is started") == 3
    open(go, "w").close()
    until(lambda: served.count("the reload is complete"), "the reload", served.server.log)
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert served.version() == "second"


def test_an_old_worker_that_does_not_hear(site):
    """The reload is not complete as long as one of the old may accept connections: a client could meet it."""
    served = site()
    old = served.workers()
    stopped = min(old)
    served.write("second")
    os.kill(stopped, signal.SIGSTOP)
    try:
        served.hup()
        for pid in old:
            served.wait_log(r"\(process %d\) retires" % pid)
        late = served.count(r"\(process %d\) has not ceased to accept connections within 10 s" % stopped)
        assert served.count("the reload is complete") <= late
    finally:
        os.kill(stopped, signal.SIGCONT)
    until(lambda: served.count("the reload is complete"), "the reload", served.server.log)
    assert served.version() == "second"
    until(lambda: not served.workers() & old, "the old workers to end", served.server.log)


def test_an_old_worker_that_never_hears(site):
    """It is not waited for for ever."""
    served = site(options=["--graceful-timeout", 0])
    stopped = min(served.workers())
    served.write("second")
    os.kill(stopped, signal.SIGSTOP)
    served.reload()
    served.wait_log(r"\(process %d\) has not ceased to accept connections within 10 s" % stopped)
    assert served.version() == "second"
    os.kill(stopped, signal.SIGKILL)
    until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)


def test_count_stays_as_it_was_changed(site):
    served = site()
    served.server.signal(signal.SIGTTIN)
    until(lambda: served.count("serves, ") == 3, "one more worker", served.server.log)
    served.reload()
    until(lambda: len(served.workers()) == 3, "the old workers to end", served.server.log)
    assert served.count("with 3 workers of generation 2") == 1


def test_state_is_not_for_users():
    done = daemons.run("--workers", 1, "-s", "127.0.0.1:0", "wsgiapp", env={"WSGI_FCGI_STATE": "x"})
    assert done.returncode == 64
    assert "WSGI_FCGI_STATE" in done.stderr
    done = daemons.run("--workers", 1, "-s", "127.0.0.1:0", "wsgiapp", env={"WSGI_FCGI_STATE": "0"})
    assert done.returncode == 70
    assert "state" in done.stderr


# --- nobody notices

PROTOCOLS = ["fastcgi", "http"] if daemons.speaks_http() else ["fastcgi"]


class Clients:
    """Ask without end, on kept connections and on new ones, and count what goes wrong."""

    def __init__(self, server, kept=4, fresh=2):
        self.server = server
        self.answers, self.errors, self.over = 0, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(self.keep,)) for _ in range(kept)]
        self.threads += [threading.Thread(target=self.run, args=(self.connect,)) for _ in range(fresh)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.over = True
        for thread in self.threads:
            thread.join()

    def run(self, ask):
        try:
            ask()
        except Exception as error:
            self.errors.append(repr(error))

    def note(self, response):
        with self.lock:
            self.answers += 1
        if response.status != 200 or response.broken:
            self.errors.append(repr(response))

    def keep(self):
        with self.server.connect() as connection:
            post = False
            while not self.over:
                post = not post
                self.note(connection.ask("/", "POST", body=b"x" * 100) if post else connection.ask())

    def connect(self):
        while not self.over:
            self.note(self.server.ask())


@pytest.mark.parametrize("spoken", PROTOCOLS)
def test_reloads_under_load(site, spoken):
    served = site(protocol=spoken)
    with Clients(served.server) as clients:
        for i in range(20):
            served.write("version%d" % i)
            served.reload()
        until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert not clients.errors
    assert clients.answers > 100
    assert served.version() == "version19"


@pytest.mark.parametrize("spoken", PROTOCOLS)
def test_storm(site, spoken):
    """However many signals: at least one reload follows the last, and nobody notices."""
    served = site(protocol=spoken)
    with Clients(served.server) as clients:
        for _ in range(100):
            served.hup()
            time.sleep(0.005)  # it is the rate that matters here, not a moment
        served.write("last")
        served.hup()
        until(lambda: served.version() == "last", "the last reload", served.server.log, 3 * daemons.PATIENCE)
        until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
    assert not clients.errors
    assert clients.answers > 100


def test_failures_under_load(site):
    served = site()
    with Clients(served.server) as clients:
        for _ in range(5):
            served.write("broken", "import no_such_module")
            served.fail()
    assert not clients.errors
    assert served.version() == "first"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_process_1(start, tmp_path):
    """In a namespace of its own, as in a container."""
    def starter(app, *args, **more):
        path = str(tmp_path / "served.sock")
        return start(app, socket=path, command=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                                                daemons.binary(), "-s", path, *map(str, args), app], **more)
    served = Site(starter, str(tmp_path))
    unshare = served.server.pid
    with open("/proc/%d/task/%d/children" % (unshare, unshare)) as file:
        served.server.pid = int(file.read())
    try:
        for version in ("second", "third"):
            served.write(version)
            served.reload()
            until(lambda: len(served.workers()) == 2, "the old workers to end", served.server.log)
            assert served.version() == version
        served.server.signal(signal.SIGTERM)
        assert served.server.process.wait(daemons.PATIENCE) == 0
    finally:
        served.server.pid = unshare
