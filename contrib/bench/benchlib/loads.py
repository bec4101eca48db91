"""The loads: what is asked, of whom, and for how long."""

from dataclasses import dataclass, replace

MIB = 1024 * 1024
CLIENTS = 16
SLEEPERS = 4
MANY = 1000
IDLE = 1000
FILE_BYTES = 1024 * MIB
UPLOAD_BYTES = 200 * 1000 * 1000
DIRECT = ("fastcgi", "http")
ALL = ("fastcgi", "http", "nginx")


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

    def on(self, path):
        """The differences that a path makes: nginx keeps the clients' connections whatever the peer does."""
        return replace(self, kept_only=False) if path == "nginx" else self


LIMITS = ("libfcgi-responder", "c-responder", "null-responder")
MULTIPLEXERS = ("wsgi-fcgi", "c-responder", "null-responder")

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
)  # fmt: skip
BY_NAME = {load.name: load for load in LOADS}
PARTS = (*BY_NAME, "memory")


def takes_part(load, peer, path):
    """Whether this peer is measured with this load on this path."""
    load = load.on(path)
    if path not in peer.links or path not in load.possible:
        return False
    if load.only and peer.name not in load.only:
        return False
    if not peer.python and peer.name not in load.limits:
        return False
    return not load.kept_only or peer.keeps(peer.links[path][0])
