"""The servers that are measured, and how each is told to listen and to run an application.

Every peer gets what its manual recommends for a machine of so many processors; README.md says what that is and where
the manual says it. A peer of several processes has all of them counted.
"""

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

APPS = Path(__file__).resolve().parent.parent / "apps"


class SetupError(Exception):
    pass


@dataclass(frozen=True)
class Tools:
    """What peers are made of."""

    build: Path  # directory with the project's programs
    venv: Path  # with the peers of PyPI
    server: Path | None  # wsgi-fcgi
    cpus: int
    backlog: int  # uWSGI refuses to start with one above the kernel's limit, so all peers get what fits
    processes: int | None = None  # of every peer that can have several; None: as its manual recommends

    def program(self, name):
        return str(self.build / "contrib/bench" / name)

    def script(self, name):
        return str(self.venv / "bin" / name)

    def other(self, form):
        """wsgi-fcgi, built in another form: a key of FORMS."""
        return self.build / form / "wsgi-fcgi"

    def count(self, recommended):
        return self.processes or recommended


@dataclass(frozen=True)
class Place:
    """Where an instance listens: a Unix socket, or a port of 127.0.0.1. `several` processes that do not share a socket
    have one each."""

    protocol: str  # fastcgi, uwsgi, http
    socket: str = ""
    port: int = 0
    several: int = 1

    @property
    def address(self):
        return self.socket or f"127.0.0.1:{self.port}"

    @property
    def sockets(self):
        """Paths of the Unix sockets."""
        return [f"{self.socket}.{i}" for i in range(self.several)] if self.several > 1 else [self.socket]


@dataclass(frozen=True)
class Need:
    """What a load asks for: `waiting` is how many calls wait at a time in the application, 0 if none does. `threads`: one
    process with exactly so many, whatever the manual recommends; with `each`, every process has so many. `readers` calls
    wait for their peer to read: threads for these come on top, unless a peer needs none. `each`: so many processes.
    `preload`: these share what the application has loaded, where the peer has a way to do that. `timeout`: whole seconds
    after which a call is to be ended, in the way that the peer has for that."""

    application: str = "bench_app:application"
    clients: int = 16
    waiting: int = 0
    threads: int = 0
    readers: int = 0
    each: int = 0
    preload: bool = False
    timeout: int = 0

    @property
    def framework(self):
        return not self.application.startswith(("bench_app", "lock_app", "soak_app", "deadline_app"))

    @property
    def calls(self):
        """That can run at a time, in all processes together, when `threads` says it."""
        return self.threads * (self.each or 1)

    def processes(self, usual):
        return self.each or (1 if self.threads else usual)


def installed(tools, package):
    """A command that tells the version of a package that does not tell it itself."""
    return [tools.script("python"), "-c", f"from importlib.metadata import version; print('{package}', version('{package}'))"]


class Peer:
    """`links` says by path what the peer listens with: protocol and kind of socket."""

    name = ""
    links: dict = {}
    python = True
    several = 1  # processes that do not share a socket
    groups = ()  # of loads, in which alone it takes part; () means all loads
    memo = ""  # shown beside its version

    def __init__(self, tools):
        self.tools = tools

    def keeps(self, protocol):
        """Whether it keeps connections between requests."""
        return True

    def command(self, place, need, directory):
        raise NotImplementedError

    def version(self):
        """A command that says it in its first line, or the line itself."""
        return ""


class WsgiFcgi(Peer):
    """Its defaults: `--threads` only where the load's calls wait for more than those have."""

    name = "wsgi-fcgi"
    links = {"fastcgi": ("fastcgi", "unix"), "nginx": ("fastcgi", "unix")}
    action = ()  # options, beside that of the time-out

    def __init__(self, tools, http):
        super().__init__(tools)
        if http:
            self.links = {**self.links, "http": ("http", "tcp")}

    def command(self, place, need, directory):
        listen = ["--http" if place.protocol == "http" else "--socket", place.address]
        number = self.threads(need)
        threads = ["--threads", str(number)] if number else []
        timeout = ["--request-timeout", str(need.timeout), *self.action] if need.timeout else []
        venv = ["--venv", str(self.tools.venv)] if need.framework else []
        return [str(self.server()), *listen, "--backlog", str(self.tools.backlog), *threads, *timeout, *venv,
                "--chdir", str(APPS), need.application]  # fmt: skip

    def server(self):
        return self.tools.server

    def threads(self, need):
        """Of the one process, which has to do for all."""
        return need.calls or need.waiting

    def version(self):
        return [str(self.server()), "--version"]


class WsgiFcgiWorkers(WsgiFcgi):
    """With a supervisor and so many workers."""

    name = "wsgi-fcgi-workers"
    groups = ("processes", "deadlines")
    action = ("--stuck-timeout", "1")

    def command(self, place, need, directory):
        workers = ["--workers", str(need.processes(self.tools.count(self.tools.cpus)))]
        preload = ["--preload"] if need.preload else []
        *command, application = super().command(place, need, directory)
        return [*command, *workers, *preload, application]

    def threads(self, need):
        return need.threads or need.waiting


# Other forms in which wsgi-fcgi can be built, and the option of configure for each.
FORMS = {"module": "--enable-python-module", "static": "--with-static-python"}


class WsgiFcgiForm(WsgiFcgiWorkers):
    """The same, built in another form."""

    groups = ("processes",)
    form = ""

    def server(self):
        return self.tools.other(self.form)


class WsgiFcgiModule(WsgiFcgiForm):
    """In the Python of the virtual environment."""

    name = "wsgi-fcgi-module"
    form = "module"


class WsgiFcgiStatic(WsgiFcgiForm):
    """With Python's archive in the program."""

    name = "wsgi-fcgi-static"
    form = "static"


class WsgiFcgiInterrupt(WsgiFcgi):
    """A call whose time is over is also ended, by an exception."""

    name = "wsgi-fcgi-interrupt"
    groups = ("deadlines",)
    action = ("--request-timeout-action", "interrupt")


# The number of a process goes behind its socket's name. A signal ends the first wait only.
SEVERAL = 'pids=; for i in {numbers}; do {command} & pids="$pids $!"; done; trap "kill $pids" TERM; wait; wait'


class WsgiFcgiSeveral(WsgiFcgi):
    """A process for each processor, none of which knows of the others, all in nginx's upstream."""

    name = "wsgi-fcgi-several"
    links = {"nginx": ("fastcgi", "unix")}
    memo = "a shell starts the processes, and is counted with them"

    def __init__(self, tools, http):
        super().__init__(tools, False)
        self.several = tools.count(tools.cpus)

    def command(self, place, need, directory):
        one = Place(place.protocol, socket=f"{place.socket}.$i" if place.several > 1 else place.socket)
        numbers = " ".join(map(str, range(place.several)))
        words = " ".join(f'"{word}"' for word in super().command(one, need, directory))
        return ["/bin/sh", "-c", SEVERAL.format(numbers=numbers, command=words)]


class Uwsgi(Peer):
    """Threads only where calls wait: without them it does not take the GIL, which is faster."""

    name = "uwsgi"
    links = {"fastcgi": ("fastcgi", "unix"), "http": ("http", "tcp"), "nginx": ("uwsgi", "unix")}
    memo = "it closes FastCGI and uwsgi connections after one request; its HTTP router keeps them, and delays answers of "\
           "some kilobytes by 40 ms (its issue 2186)"

    def keeps(self, protocol):
        return protocol == "http"

    def command(self, place, need, directory):
        listen = {
            "fastcgi": ["--fastcgi-socket", place.address],
            "uwsgi": ["--uwsgi-socket", place.address],
            "http": ["--http", place.address, "--http-keepalive"],
        }[place.protocol]
        processes = self.processes(need)
        number = self.threads(need, processes)
        threads = ["--enable-threads", "--threads", str(number)] if number else []
        threads += ["--harakiri", str(need.timeout)] if need.timeout else []
        # Its own times would cut off whoever reads slowly, after 4 s.
        threads += ["--socket-timeout", "120", "--http-timeout", "120"] if need.readers else []
        venv = ["--virtualenv", str(self.tools.venv)] if need.framework else []
        return [self.tools.script("uwsgi"), "--strict", *listen, "--listen", str(self.tools.backlog),
                "--master", "--processes", str(processes), "--thunder-lock", *threads, "--single-interpreter",
                "--need-app", "--disable-logging", "--die-on-term", *venv, "--chdir", str(APPS),
                "--module", need.application]  # fmt: skip

    def processes(self, need):
        return need.processes(self.tools.count(self.tools.cpus))

    def threads(self, need, processes):
        return need.threads + need.readers or -(-need.waiting // processes)

    def version(self):
        return [self.tools.script("uwsgi"), "--version"]


class UwsgiProcesses(Uwsgi):
    """A process for every call that is to run at a time: harakiri ends a process."""

    name = "uwsgi-processes"
    groups = ("deadlines",)

    def processes(self, need):
        return need.calls

    def threads(self, need, processes):
        return 0


# Connections spread unevenly over workers that have a pool of threads each: without slack some of them would be full, and
# others idle.
SLACK = 2

# Where all connections are in one process: beyond those of the load, for whoever asks whether it is there.
SPARE = 64


class Gunicorn(Peer):
    memo = "connections may spread unevenly over its workers; the column of threads tells how many had work"
    links = {"http": ("http", "tcp"), "nginx": ("http", "unix")}

    def command(self, place, need, directory):
        bind = f"unix:{place.socket}" if place.socket else place.address
        workers = self.processes(need)
        preload = ["--preload"] if need.preload else []
        preload += ["--timeout", str(need.timeout)] if need.timeout else []
        return [self.tools.script("gunicorn"), "--bind", bind, "--backlog", str(self.tools.backlog),
                "--workers", str(workers), *self.worker(need, workers), *preload, "--keep-alive", "75",
                "--graceful-timeout", "2", "--no-control-socket", "--chdir", str(APPS), need.application]  # fmt: skip

    def processes(self, need):
        return need.processes(self.tools.count(2 * self.tools.cpus + 1))

    def worker(self, need, workers):
        raise NotImplementedError

    def version(self):
        return [self.tools.script("gunicorn"), "--version"]


class GunicornThreads(Gunicorn):
    name = "gunicorn-gthread"

    def worker(self, need, workers):
        threads = need.threads + need.readers or max(2 * self.tools.cpus, -(-SLACK * need.waiting // workers))
        more = ["--worker-connections", str(need.clients + SPARE)] if need.threads else []
        return ["--worker-class", "gthread", "--threads", str(threads), *more]


class GunicornSync(Gunicorn):
    """One call at a time in each process."""

    name = "gunicorn-sync"
    groups = ("deadlines",)
    memo = "it keeps no connections"

    def keeps(self, protocol):
        return False

    def processes(self, need):
        return need.calls

    def worker(self, need, workers):
        return ["--worker-class", "sync"]


class GunicornGevent(Gunicorn):
    name = "gunicorn-gevent"

    def worker(self, need, workers):
        return ["--worker-class", "gevent", "--worker-connections", "1000"]


class Granian(Peer):
    name = "granian"
    links = {"http": ("http", "tcp"), "nginx": ("http", "unix")}

    def command(self, place, need, directory):
        listen = ["--uds", place.socket] if place.socket else ["--host", "127.0.0.1", "--port", str(place.port)]
        workers = need.processes(self.tools.count(self.tools.cpus))
        each = need.threads + need.readers or -(-SLACK * need.waiting // workers)
        backpressure = max(1024, need.clients + SPARE if need.threads else 0)
        threads = ["--blocking-threads", str(each), "--backpressure", str(backpressure)] if each else []
        return [self.tools.script("granian"), "--interface", "wsgi", *listen, "--backlog", str(self.tools.backlog),
                "--workers", str(workers), *threads, "--no-ws", "--working-dir", str(APPS),
                need.application]  # fmt: skip

    def version(self):
        return [self.tools.script("granian"), "--version"]


class Bjoern(Peer):
    name = "bjoern"
    links = {"http": ("http", "tcp"), "nginx": ("http", "unix")}
    memo = "one call at a time in each process: it has no threads"

    def command(self, place, need, directory):
        address, port = (place.socket, 0) if place.socket else ("127.0.0.1", place.port)
        return [self.tools.script("python"), str(APPS / "bjoern_server.py"), address, str(port),
                str(need.processes(self.tools.count(self.tools.cpus))), need.application]  # fmt: skip

    def version(self):
        return installed(self.tools, "bjoern")


class FastWsgi(Peer):
    """Its processes each have a socket of their own on the same port."""

    name = "fastwsgi"
    links = {"http": ("http", "tcp"), "nginx": ("http", "tcp")}
    memo = "one call at a time in each process: it has no threads. It does not call close() of what an application returns"

    def command(self, place, need, directory):
        processes = need.processes(self.tools.count(self.tools.cpus))
        return [self.tools.script("python"), str(APPS / "fastwsgi_server.py"), "127.0.0.1", str(place.port), str(processes),
                need.application]  # fmt: skip

    def version(self):
        return installed(self.tools, "fastwsgi")


class Pyvoy(Peer):
    """It has one process, and its manual tells to start more: Envoy lets them share a port."""

    name = "pyvoy"
    links = {"http": ("http", "tcp"), "nginx": ("http", "tcp")}
    memo = "Envoy, with the interpreter in it; a shell starts its processes, and is counted with them"

    def command(self, place, need, directory):
        threads = need.threads + need.readers or need.waiting
        one = [self.tools.script("pyvoy"), "--interface", "wsgi", "--address", "127.0.0.1", "--port", str(place.port),
               "--log-level", "warning", *(["--worker-threads", str(threads)] if threads else []), need.application]  # fmt: skip
        numbers = " ".join(map(str, range(need.processes(self.tools.count(self.tools.cpus)))))
        return ["/bin/sh", "-c", SEVERAL.format(numbers=numbers, command=shlex.join(one))]

    def version(self):
        return installed(self.tools, "pyvoy")


class Waitress(Peer):
    name = "waitress"
    links = {"http": ("http", "tcp"), "nginx": ("http", "unix")}
    memo = "it has one process"

    def command(self, place, need, directory):
        listen = f"--unix-socket={place.socket}" if place.socket else f"--listen={place.address}"
        return [self.tools.script("waitress-serve"), listen, f"--backlog={self.tools.backlog}",
                f"--threads={max(4, need.waiting)}", "--connection-limit=2000", "--asyncore-use-poll",
                need.application]  # fmt: skip

    def version(self):
        return installed(self.tools, "waitress")


MOD_WSGI = """\
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
{user}
ServerName localhost
Listen 127.0.0.1:{port}
ListenBacklog {backlog}
PidFile {directory}/apache-{port}.pid
DefaultRuntimeDir {directory}
ErrorLog /dev/stderr
LogLevel warn
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 75
{mpm}
WSGISocketPrefix {directory}/wsgi-{port}
WSGIDaemonProcess bench processes={processes} threads={threads} python-home={venv} python-path={apps} \
listen-backlog={backlog}
WSGIProcessGroup bench
WSGIApplicationGroup %{{GLOBAL}}
WSGICallableObject {callable}
WSGIScriptAlias / {apps}/{module}.py
<Directory {apps}>
    Require all granted
</Directory>
"""

# A thread of Apache waits for every call that waits in the application.
MANY_THREADS = """\
ServerLimit {children}
StartServers {children}
ThreadsPerChild 64
MinSpareThreads {workers}
MaxSpareThreads {workers}
MaxRequestWorkers {workers}"""


def check_open(path):
    """Apache's processes are another user's when root runs this."""
    for directory in (path, *path.parents):
        if not directory.stat().st_mode & stat.S_IXOTH:
            raise SetupError(f"Apache runs as nobody, who may not enter {directory}: move the source, or chmod o+x")


class ModWsgi(Peer):
    name = "mod_wsgi"
    links = {"http": ("http", "tcp"), "nginx": ("http", "tcp")}
    memo = "daemon mode, mpm_event; Apache's processes are counted with it"
    MODULES = "/usr/lib/apache2/modules"

    def command(self, place, need, directory):
        processes = self.tools.count(self.tools.cpus)
        root = os.getuid() == 0
        for path in (APPS, self.tools.venv) if root else ():
            check_open(path)
        module, _, name = need.application.partition(":")
        children = -(-need.waiting // 64) + 1
        mpm = MANY_THREADS.format(children=children, workers=64 * children) if need.waiting > 64 else ""
        text = MOD_WSGI.format(
            modules=self.MODULES, port=place.port, backlog=self.tools.backlog, directory=directory, mpm=mpm,
            user="User nobody\nGroup nogroup" if root else "", processes=processes,
            threads=max(15, -(-need.waiting // processes)), venv=self.tools.venv, apps=APPS, module=module,
            callable=name)  # fmt: skip
        path = directory / f"mod_wsgi-{place.port}.conf"
        path.write_text(text)
        return ["/usr/sbin/apache2", "-f", str(path), "-D", "FOREGROUND"]

    def version(self):
        return ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", "libapache2-mod-wsgi-py3",
                "apache2-bin"]  # fmt: skip


PHP_FPM = """\
[global]
daemonize = no
error_log = /dev/stderr
[bench]
{user}
listen = {socket}
listen.backlog = {backlog}
pm = static
pm.max_children = {children}
request_terminate_timeout = {timeout}s
"""


class PhpFpm(Peer):
    """Runs PHP. It has no interpreter lock, and a process for every call."""

    name = "php-fpm"
    links = {"nginx": ("php", "unix")}
    python = False
    groups = ("deadlines",)
    memo = "PHP, with the same calls as the others have in Python"

    def keeps(self, protocol):
        """A connection that is kept would hold a process."""
        return False

    def program(self):
        """Debian has the version of PHP in its name."""
        return next(map(str, sorted(Path("/usr/sbin").glob("php-fpm*"))), "/usr/sbin/php-fpm")

    def command(self, place, need, directory):
        root = os.getuid() == 0
        path = directory / "php-fpm.conf"
        path.write_text(PHP_FPM.format(
            user="user = root\ngroup = root" if root else "", socket=place.socket, backlog=self.tools.backlog,
            children=need.calls, timeout=need.timeout))  # fmt: skip
        return [self.program(), "--nodaemonize", "--fpm-config", str(path), *(["--allow-to-run-as-root"] if root else [])]

    def version(self):
        return [self.program(), "--version"]


class Limit(Peer):
    """A responder with no Python, which bounds what a responder with Python can reach."""

    links = {"fastcgi": ("fastcgi", "unix"), "nginx": ("fastcgi", "unix")}
    python = False

    def command(self, place, need, directory):
        return [self.tools.program(self.name), place.socket]


class LibFcgi(Limit):
    name = "libfcgi-responder"
    memo = "C on libfcgi's own loop, a thread for each client"

    def command(self, place, need, directory):
        return [*super().command(place, need, directory), str(need.clients)]


class CResponder(Limit):
    name = "c-responder"
    memo = "C, one thread, looks at no parameter: the least a responder can cost"


class NullResponder(Limit):
    name = "null-responder"
    memo = "this project without its Python layer, an application in C"


OURS = (WsgiFcgi, WsgiFcgiSeveral, WsgiFcgiWorkers, WsgiFcgiModule, WsgiFcgiStatic, WsgiFcgiInterrupt)
PYTHON_PEERS = (*OURS, Uwsgi, UwsgiProcesses, GunicornThreads, GunicornSync, GunicornGevent, Granian, Bjoern, FastWsgi, Pyvoy,
                Waitress, ModWsgi)  # fmt: skip
LIMITS = (PhpFpm, LibFcgi, CResponder, NullResponder)
NAMES = tuple(kind.name for kind in (*PYTHON_PEERS, *LIMITS))


def make(tools, http):
    ours = [kind(tools, http) for kind in OURS]
    return [*ours, *(kind(tools) for kind in (*PYTHON_PEERS[len(OURS):], *LIMITS))]
