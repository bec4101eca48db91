"""Starts, watches and stops wsgi-fcgi."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import fcgi
import locales
import rawhttp
from fcgi import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
APPS = os.path.join(HERE, "apps")
SANITIZED = os.environ.get("WSGI_FCGI_SANITIZED", "") not in ("", "0")
BAD_LOG = re.compile(r"ERROR: \w+Sanitizer|runtime error:|ERROR: LeakSanitizer|WARNING: ThreadSanitizer"
                     r"|Fatal Python error|Segmentation fault|stack smashing")


LABEL = r" \[[0-9a-f]{32}\]"  # of a request that brought none, behind its path in the log
STATUS_CUT = 79  # requests were cut off after --graceful-timeout


def binary():
    path = os.environ.get("WSGI_FCGI")
    assert path, "set WSGI_FCGI to the path of the wsgi-fcgi binary"
    path = os.path.abspath(path)
    assert os.access(path, os.X_OK), "WSGI_FCGI: %s is not an executable file" % path
    return path


OPTIONS = {"fastcgi": "-s", "http": "--http"}


def build_options():
    """What --version says the program was built with."""
    if not hasattr(build_options, "value"):
        build_options.value = re.search("build options: (.*)", run("--version").stdout).group(1).split()
    return build_options.value


def is_extension():
    """Whether it is a module that a Python imports, and not a program that embeds one."""
    return "extension" in build_options()


def version():
    """What --version says it is."""
    return re.match(r"wsgi-fcgi (\S+)", run("--version").stdout).group(1)


def speaks_http():
    """Whether the program was built with HTTP."""
    return "http" in build_options()


def clean_environ(**more):
    """The environment without what would change how the server or Python starts."""
    drop = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "JOURNAL_STREAM", "NOTIFY_SOCKET",
            "FCGI_WEB_SERVER_ADDRS")
    env = {name: value for name, value in os.environ.items()
           if name not in drop and not name.startswith("WSGI_FCGI_")}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env.update(locales.of_all_servers())
    env.update({name: str(value) for name, value in more.items()})
    return env


def run(*args, **more):
    """Runs the server to its end. Returns the CompletedProcess, output as text."""
    return run_program(binary(), *args, **more)


def run_program(*command, env=None, cwd=APPS, timeout=2 * PATIENCE, **more):
    """The same with another program."""
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean_environ(**(env or {})), text=True,
                          errors="backslashreplace", stdin=more.pop("stdin", subprocess.DEVNULL),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, **more)
    assert not BAD_LOG.search(done.stderr), done.stderr
    return done


def journal_of(file):
    """What JOURNAL_STREAM is when that file is the journal."""
    status = os.fstat(file.fileno())
    return "%d:%d" % (status.st_dev, status.st_ino)


@contextlib.contextmanager
def traced(server, trace, calls):
    """Meanwhile the system calls `calls` of the server go to the file `trace`."""
    strace = subprocess.Popen(["strace", "-f", "-e", "trace=" + calls, "-o", trace, "-p", str(server.pid)],
                              stderr=subprocess.PIPE)
    try:
        until(lambda: b"attached" in strace.stderr.readline(), "strace to attach", server.log)
        yield
    finally:
        strace.terminate()
        strace.wait()


def resident(pid):
    """Bytes of memory that the process has."""
    with open("/proc/%d/statm" % pid) as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def until(condition, what, log=lambda: "", patience=PATIENCE):
    """Waits until condition() is true; fails after `patience` seconds. Returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %d s for %s\n%s" % (patience, what, log()))
        time.sleep(0.01)


class Daemon:
    """A running server. `address` is where it is reached: sockets[0], as fcgi.connect takes it.

    `protocol` is what connect() and ask() speak with it; `both` lets it speak HTTP on a TCP port besides FastCGI.
    `journal`: it takes its log for the journal of systemd."""

    def __init__(self, app="wsgiapp", *args, socket=None, address=None, env=None, cwd=APPS, stdin=None, command=None,
                 wait=True, sockets=True, protocol="fastcgi", both=False, journal=False, **more):
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-test.")
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "app.sock")
        socket = socket or self.path
        self.address = address or socket
        self.log_path = os.path.join(self.dir, "log")
        self.http_address = None
        self.expect_status = 0
        self.stopped = False
        self.only_http = protocol == "http" and not both
        given = [OPTIONS["fastcgi" if both else protocol], socket] if sockets else []
        if both:
            given += ["--http", "127.0.0.1:0", "--forwarded-allow", "127.0.0.1"]
        command = command or [binary(), *given, *map(str, args), *([app] if app else [])]
        with open(self.log_path, "wb") as log:
            if journal:
                env = {"JOURNAL_STREAM": journal_of(log), **(env or {})}
            self.process = subprocess.Popen(command, cwd=cwd, env=clean_environ(**(env or {})), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL if stdin is None else stdin, **more)
        self.pid = self.process.pid
        if wait:
            try:
                self.wait_ready()
                if both:
                    self.http_address = ("127.0.0.1", int(self.wait_log(r"127\.0\.0\.1:(\d+) \(HTTP\)").group(1)))
                    self.address = self.http_address if protocol == "http" else self.address
            except BaseException:
                self.kill()
                raise

    # --- waiting

    def wait_ready(self):
        """Waits until the loop answers something. On a busy machine a short time-out may end the connection before."""
        def answers():
            if self.process.poll() is not None:
                raise AssertionError("the server ended with status %s\n%s" % (self.process.returncode, self.log()))
            try:
                with self.connect() as connection:
                    return "FCGI_MPXS_CONNS" in connection.get_values()
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError, FileNotFoundError, fcgi.Closed):
                return False
        until(answers, "the server to answer", self.log, 2 * PATIENCE)

    def wait_log(self, pattern):
        """Waits until the log matches; returns the match."""
        return until(lambda: re.search(pattern, self.log()), "%r in the log" % pattern, self.log)

    def wait_cut(self):
        """The end of a stop that has cut requests off."""
        self.expect_status = STATUS_CUT
        assert self.wait_exit() == STATUS_CUT, self.log()

    def wait_exit(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError("the server does not end\n" + self.log()) from None

    # --- asking

    def log(self):
        """What was logged up to now."""
        until(lambda: self.log_writer_state() not in ("R", "D"), "the writer of the log to sleep")
        with open(self.log_path, encoding="utf-8", errors="backslashreplace") as log:
            return log.read()

    def connect(self, address=None):
        return (rawhttp if self.speaks_http else fcgi).Connection(address or self.address)

    def ask(self, *args, **more):
        return (rawhttp if self.speaks_http else fcgi).ask(self.address, *args, **more)

    @property
    def speaks_http(self):
        """Whether `address` does: with both, it is that of FastCGI until the port of the other is known."""
        return self.only_http or self.address == self.http_address

    def proc(self, name):
        with open("/proc/%d/%s" % (self.pid, name)) as file:
            return file.read()

    def status_kib(self, field):
        return int(re.search(r"^%s:\s+(\d+)" % field, self.proc("status"), re.M).group(1))

    def status_mask(self, field):
        """A set of signals in /proc/PID/status, as a number."""
        return int(re.search(r"^%s:\s+(\w+)" % field, self.proc("status"), re.M).group(1), 16)

    def rss(self):
        """Resident memory in bytes."""
        return self.status_kib("VmRSS") * 1024

    def reset_peak(self):
        with open("/proc/%d/clear_refs" % self.pid, "w") as file:
            file.write("5")

    def peak(self):
        """Largest resident memory in bytes since reset_peak."""
        return self.status_kib("VmHWM") * 1024

    def threads(self):
        """How many it has, but for those that write the log, watch, tell what runs, and the one that ThreadSanitizer
        starts."""
        count = len(os.listdir("/proc/%d/task" % self.pid)) - sum(
            bool(self.thread_state(name)) for name in ("wsgi-fcgi-log", "wsgi-fcgi-watch", "wsgi-fcgi-look"))
        return count - ("sanitizer=thread" in build_options())

    def log_writer_state(self):
        """Of the thread that writes the log: S when nothing is left to write."""
        return self.thread_state("wsgi-fcgi-log")

    def thread_names(self):
        """Of all its threads, as proc(5) has them."""
        names = set()
        for task in os.listdir("/proc/%d/task" % self.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
                with open("/proc/%d/task/%s/comm" % (self.pid, task)) as file:
                    names.add(file.read().rstrip("\n"))
        return names

    def thread_state(self, wanted):
        """In which state (proc(5)) the thread of this name is. "": there is none."""
        try:
            for task in os.listdir("/proc/%d/task" % self.pid):
                with open("/proc/%d/task/%s/stat" % (self.pid, task)) as file:
                    name, state = re.search(r"\((.*)\) (.)", file.read(), re.S).groups()
                if name == wanted:
                    return state
        except (FileNotFoundError, ProcessLookupError):
            pass  # ended meanwhile
        return ""

    def fds(self):
        """Open descriptors, but for the one in /proc by which each thread is watched."""
        count = 0
        for name in os.listdir("/proc/%d/fd" % self.pid):
            try:
                count += not os.readlink("/proc/%d/fd/%s" % (self.pid, name)).startswith("/proc/")
            except FileNotFoundError:
                pass  # closed meanwhile
        return count

    def cpu(self):
        """Seconds of user and system time."""
        fields = self.proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- ending

    def signal(self, number):
        os.kill(self.pid, number)

    def signal_again(self, number):
        """The second signal, which ends the process at once. It is sent until it does: right after the first, it is none."""
        def ended():
            with contextlib.suppress(ProcessLookupError):
                self.signal(number)
            return self.process.poll() is not None
        until(ended, "the server to end at once", self.log)
        self.expect_status = 128 + number
        assert self.process.returncode == self.expect_status, self.log()

    def stop(self):
        """SIGTERM, and the server must end as a healthy one does. Once is enough."""
        if self.stopped:
            return
        self.stopped = True
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            status = self.wait_exit()
            log = self.log()
            assert status == self.expect_status, "exit status %d\n%s" % (status, log)
            assert not BAD_LOG.search(log), log
            if self.address in (self.path, self.http_address):
                assert not os.path.exists(self.path), "the socket file was left behind\n" + log
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
