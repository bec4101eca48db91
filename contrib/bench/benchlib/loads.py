"""The loads: what is asked, of whom, and for how long."""

from dataclasses import dataclass, replace

MIB = 1024 * 1024
CLIENTS = 16
SLEEPERS = 4
MANY = 1000
IDLE = 1000
COMPANY = 32  # threads of every peer's one process in the loads `lock-*`
READERS = 1000  # slow ones of the load `crowd`,
READ_RATE = 500  # bytes a second for each of them,
RESTING = 100  # and calls that sleep meanwhile
FILE_BYTES = 1024 * MIB
UPLOAD_BYTES = 200 * 1000 * 1000
DIRECT = ("fastcgi", "http")
ALL = ("fastcgi", "http", "nginx")
EVERY_CPU = -1
LEVEL_RATE = 2000  # requests a second beside a computing call
LEVEL_CLIENTS = 64
TIMEOUT = 1  # seconds, in the loads `deadlines-*`
ENDLESS = 20  # calls there that do not end by themselves


@dataclass(frozen=True)
class Load:
    """`paths`: measured on these unless the user names others of `possible`."""

    name: str
    title: str
    paths: tuple
    possible: tuple = ALL
    uri: str = "/"
    clients: int = CLIENTS
    keep: bool = True  # a peer that does not keep connections is asked over new ones
    kept_only: bool = False  # and is left out of this load
    multiplex: int = 1
    body: int = 0
    length: int | None = 13  # of the answer's body
    application: str = "bench_app:application"
    limits: tuple = ()  # the responders without Python that can do this, and take part
    only: tuple = ()  # peers that can do this at all; () means all
    waiting: int = 0  # calls that wait in the application at a time
    warm_up: float = 0  # seconds, at least
    seconds: float = 0  # that count, at least
    period: float = 0  # of the clients' answers: whole ones are counted, or a wave more or less would be
    ramp: float = 0.3  # seconds, of the warm-up, in which the clients begin one after the other
    once: bool = False  # one request by one client
    rate: bool = False  # open loop at the run's rate
    beside: bool = False  # again while SLEEPERS clients ask for the sleeping handler
    ideal: float = 0  # requests/s that cannot be passed
    arrivals: float = 0  # open loop at this rate
    threads: int = 0  # every peer has one process with so many
    readers: int = 0  # calls that wait for their peer to read
    others: int = 0  # connections that are open besides those of `clients`
    company: tuple = ()  # what so many other clients ask for meanwhile: URI, clients
    way: str = ""  # it is measured in a way of its own, which session.WAYS names
    each: int = 0  # so many processes of every peer; EVERY_CPU: as many as there are processors
    preload: bool = False  # which share what the application has loaded, where the peer can do that
    endless: int = 0  # calls that do not end by themselves
    timeout: int = 0  # seconds after which the server is to end a call
    more: float = 0  # seconds, about, that this takes beyond warm-up and seconds that count

    def on(self, path):
        """The differences that a path makes: nginx keeps the clients' connections whatever the peer does."""
        return replace(self, kept_only=False) if path == "nginx" else self

    @property
    def group(self):
        """Loads of a group are measured when it is asked for by its name."""
        return next((group for group in GROUPS if self.name == group or self.name.startswith(group + "-")), "")


LIMITS = ("libfcgi-responder", "c-responder", "null-responder")
MULTIPLEXERS = ("wsgi-fcgi", "c-responder", "null-responder")

GROUPS = ("lock", "crowd", "processes", "deadlines")

# One process each, of those with threads: what threads of one interpreter do to each other shows in a ratio of equals.
THREADED = ("wsgi-fcgi", "gunicorn-gthread", "granian", "uwsgi")


def lock(name, title, possible=DIRECT, **more):
    """HTTP, which all of them speak and keep connections by."""
    return Load(f"lock-{name}", title, ("http",), possible, application="lock_app:application", only=THREADED,
                threads=COMPANY, **more)  # fmt: skip


def beside(name, title, uri, clients):
    """About as often as a client asks that waits for 15 ms. That fits into no call's time, or all would come at the same
    moment of one."""
    return lock(f"beside-{name}", f"quick requests beside {title}", arrivals=67, seconds=1.5, ramp=0, way="company",
                company=(uri, clients), others=clients)  # fmt: skip


LOCK = (
    lock("behind", "a quick request 4 ms behind one that hashes a password (pbkdf2, 400,000 rounds)", ("http",),
         uri="/login", way="behind", clients=1, seconds=2),
    lock("hash1", "10 ms of pbkdf2, 1 client", uri="/hash", clients=1),
    lock("hash4", "10 ms of pbkdf2, 4 clients", uri="/hash", clients=4),
    lock("zlib4", "zlib of 1 MB, 4 clients", uri="/zlib", clients=4),
    lock("mix4", "10 times sha256 of 64 KiB and 0.5 ms of Python, 4 clients", uri="/mix", clients=4),
    lock("python16", "5 ms of Python, 16 clients", uri="/python5"),
    beside("python50", "a client of 50 ms of Python", "/python50", 1),
    beside("python5", "2 clients of 5 ms of Python", "/python5", 2),
    beside("mix", "2 clients of the mix", "/mix", 2),
    beside("hash1", "a client of 10 ms of pbkdf2", "/hash", 1),
    beside("hash16", "16 clients of 10 ms of pbkdf2", "/hash", 16),
)  # fmt: skip
CROWD = (
    Load("crowd", f"quick requests beside {READERS} slow readers, {IDLE} idle connections and {RESTING} sleeping calls",
         DIRECT, DIRECT, way="crowd", only=THREADED, kept_only=True, arrivals=500, ramp=0, seconds=1.5, more=4,
         readers=READERS, others=READERS + IDLE + RESTING, threads=RESTING + 2 * CLIENTS),
)  # fmt: skip


def hello(name, title, paths=("nginx",), **more):
    """A framework's hello from as many processes of each as there are processors, or as the load says."""
    return Load(f"processes-{name}", title, paths, application=f"{name.partition('-')[0]}_app:application",
                only=(*SEVERAL, *FORMS), **{"each": EVERY_CPU, **more})  # fmt: skip


WORKERS = "wsgi-fcgi-workers"
MODULE = "wsgi-fcgi-module"
FORMS = (MODULE, "wsgi-fcgi-static")
SEVERAL = (WORKERS, "uwsgi", "bjoern", "granian", "gunicorn-gthread", "fastwsgi", "pyvoy")
PROCESSES = (
    hello("flask", f"Flask's hello, {CLIENTS} clients, a process for each processor"),
    hello("django", f"Django's hello, {CLIENTS} clients, a process for each processor"),
    hello("django-one", "Django in one process", each=1, preload=True),
    hello("django-four", "Django in four processes, loaded before they fork", each=4, preload=True),
    Load("processes-level", f"{LEVEL_RATE} quick requests a second over {LEVEL_CLIENTS} connections to two processes, beside "
         "one call of 50 ms of Python", ALL, application="lock_app:application", only=SEVERAL, kept_only=True, each=2,
         arrivals=LEVEL_RATE, clients=LEVEL_CLIENTS, ramp=0, seconds=3, way="company", company=("/python50", 1), others=1),
)  # fmt: skip

INTERRUPT = "wsgi-fcgi-interrupt"
ENDING = ("wsgi-fcgi", INTERRUPT, WORKERS, "gunicorn-gthread", "gunicorn-sync", "uwsgi", "uwsgi-processes")


def endless(name, count, what, kind="", more=()):
    """Room for 32 calls everywhere: in two processes, in one, or in as many processes as calls."""
    return Load(f"deadlines-{name}", f"quick requests beside {count} call{'s' * (count > 1)} {what} for ever, and a time-out "
                f"of {TIMEOUT} s", ("http", "nginx"), ("http", "nginx"), application="deadline_app:application",
                only=(*ENDING, *more), limits=more, uri=f"/{kind or name}", endless=count, way="deadlines", each=2, threads=16,
                timeout=TIMEOUT, more=10)  # fmt: skip


PHP = ("php-fpm",)
DEADLINES = (
    endless("sleep", ENDLESS, "asleep", more=PHP),
    endless("loop1", 1, "in a loop", "loop", PHP),
    endless("loop", ENDLESS, "in a loop", more=PHP),
    endless("lock1", 1, "with the interpreter lock held", "lock"),
    endless("lock", ENDLESS, "with the interpreter lock held"),
)  # fmt: skip

LOADS = (
    Load("close", f"hello, a connection per request, {CLIENTS} clients", DIRECT, DIRECT, keep=False, limits=LIMITS),
    Load("kept", f"hello, kept connections, {CLIENTS} clients", ALL, kept_only=True, limits=LIMITS),
    Load("mux", f"hello, {CLIENTS} connections with 4 requests at a time", ("fastcgi",), ("fastcgi",), multiplex=4,
         limits=LIMITS, only=MULTIPLEXERS),
    Load("mux4", f"hello, {CLIENTS // 4} connections with 4 requests at a time", ("fastcgi",), ("fastcgi",),
         clients=CLIENTS // 4, multiplex=4, limits=LIMITS, only=MULTIPLEXERS),
    Load("rate", f"hello at a fixed rate of arrivals, up to {CLIENTS * 4} at a time", ALL, clients=CLIENTS * 4,
         rate=True, seconds=3, ramp=0, limits=LIMITS),
    Load("answer10k", f"answers of 10 KiB, {CLIENTS} clients", ALL, uri="/10k", length=10240,
         limits=LIMITS[:1]),
    Load("echo10k", f"bodies of 10 KiB sent and returned, {CLIENTS} clients", ALL, uri="/echo", body=10240,
         length=10240, limits=LIMITS[:1]),
    Load("echo100k", f"bodies of 100 KiB sent and returned, {CLIENTS} clients", ALL, uri="/echo", body=102400,
         length=102400, limits=LIMITS[:1]),
    Load("flask", f"Flask's hello, {CLIENTS} clients", ("nginx",), application="flask_app:application"),
    Load("django", f"Django's hello, {CLIENTS} clients", ("nginx",), application="django_app:application"),
    Load("cpu5", f"5 ms of computing in Python, {CLIENTS} clients", ("nginx",), uri="/cpu5"),
    Load("sleep50", "50 ms of sleep, 64 clients", DIRECT, uri="/sleep50", clients=64, waiting=64, warm_up=2,
         ideal=64 / 0.05),
    Load("sleep50x1000", f"50 ms of sleep, {MANY} clients", DIRECT, uri="/sleep50", clients=MANY, waiting=MANY,
         warm_up=3, ramp=0.5, ideal=MANY / 0.05),
    Load("sleep1s", f"1 s of sleep, {MANY} clients", DIRECT, uri="/sleep1000", clients=MANY, waiting=MANY, warm_up=3,
         seconds=6, period=1, ramp=1, ideal=MANY / 1),
    Load("mixed", f"{CLIENTS} hello clients beside {SLEEPERS} that wait 50 ms", DIRECT, waiting=32, beside=True),
    Load("file", "one file of 1 GiB", DIRECT, uri="/file", length=FILE_BYTES, once=True),
    Load("upload", "one upload of 200 MB", DIRECT, uri="/upload", body=UPLOAD_BYTES, length=5, once=True),
    *LOCK,
    *CROWD,
    *PROCESSES,
    *DEADLINES,
)  # fmt: skip
BY_NAME = {load.name: load for load in LOADS}
PARTS = (*BY_NAME, "memory")
USUAL = tuple(name for name in PARTS if name not in BY_NAME or not BY_NAME[name].group)


def expand(text):
    """Names of loads; that of a group stands for all of it."""
    found = []
    for word in text.split(","):
        found += [name for name in BY_NAME if word in GROUPS and BY_NAME[name].group == word] or [word]
    return ",".join(found)


def takes_part(load, peer, path):
    """Whether this peer is measured with this load on this path."""
    load = load.on(path)
    if path not in peer.links or path not in load.possible:
        return False
    if load.only and peer.name not in load.only:
        return False
    if peer.groups and load.group not in peer.groups:
        return False
    if not peer.python and peer.name not in load.limits:
        return False
    return not load.kept_only or peer.keeps(peer.links[path][0])
