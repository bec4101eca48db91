"""More than a server can do: what is offered, to whom, and for how long.

For each peer the capacity is measured first (a closed loop), right before the samples that offer it parts and multiples
of that in an open loop of visitors who come at random times and leave when they have waited too long (`fcgi-load
--patience`). All peers have one process with the same number of threads.
"""

import contextlib
import json
import os
import subprocess
import time
from dataclasses import dataclass, replace

from . import loads
from .generator import LoadFailed, keeps
from .peers import Need, SetupError, make

PEERS = ("wsgi-fcgi", "uwsgi", "granian", "gunicorn-gthread")
THREADS = 32
FACTORS = (0.5, 0.95, 1.05, 1.5, 2, 3, 10)
LIMITS = (1, 2)  # seconds within which an answer is a good one; the last is the one that counts
PATIENCE = 2  # seconds
CONNECTIONS = (1000, 10000)  # at least and at most
OFFER_MAX = 250000  # requests/s beyond which the generator would be what is measured
SURGE = 2.5  # seconds of work that come at once when an overload begins: more than the patience
STUCK_SECONDS = 10
PRIORITY = -10  # of the generator


@dataclass(frozen=True)
class Overload:
    """`factors` of the capacity are offered; without them `rate` requests/s, or `burst` at once every `every` seconds.
    `connections`: by factor, besides those that all factors have."""

    name: str
    title: str
    uri: str = "/"
    factors: tuple = FACTORS
    clients: int = 2 * THREADS  # of the closed loop that finds the capacity
    seconds: float = 2  # that count, of each sample
    capacity_seconds: float = 2
    connections: tuple = ()
    stuck: int = 0  # threads that are in a deadlock before the load begins
    rate: float = 0
    burst: int = 0
    every: float = 0
    patience: float = PATIENCE


LOADS = (
    Overload("overload-fast", "hello", clients=1000, seconds=1, connections=((1.5, 10), (1.5, 100), (1.5, 1000))),
    Overload("overload-slow", "100 ms of sleep", "/sleep100"),
    Overload("overload-mixed", "nine of ten sleep 2 ms, one of ten 500 ms", "/mixed", capacity_seconds=3),
    Overload("overload-cpu", "5 ms of computing in Python", "/cpu5"),
    Overload("overload-stuck", f"5 ms of sleep, {THREADS - 1} of {THREADS} threads in a deadlock", "/sleep5",
             factors=(0.5, 1.5, 10), stuck=THREADS - 1),
    Overload("overload-all-stuck", f"hello at 100/s, {THREADS} of {THREADS} threads in a deadlock", factors=(),
             stuck=THREADS, rate=100, seconds=6, patience=6),
    Overload("burst", "5,000 kept connections that each ask for hello at once, three times", factors=(), burst=5000,
             every=2, seconds=6),
)  # fmt: skip
BY_NAME = {load.name: load for load in LOADS}
GROUP = "overload"  # stands for all of them


@dataclass(frozen=True)
class Point:
    """One sample. `factor` is None where no capacity is asked for."""

    factor: float | None
    clients: int
    rate: float
    warm_up: float
    extra: bool = False  # besides the one that every factor has

    def key(self):
        return {"factor": self.factor, "clients": self.clients, "rate": self.rate, "extra": self.extra}


def connections(rate, patience=PATIENCE):
    """As many as wait at a time when nobody is answered, within bounds."""
    return int(min(max(rate * patience, CONNECTIONS[0]), CONNECTIONS[1]))


def point(load, factor, capacity, clients=None):
    """The surge of an overload is over, answered or not, when the counting begins."""
    rate = factor * capacity
    warm_up = load.patience if factor > 1 else 0.5
    return Point(factor, clients or connections(rate), rate, warm_up, extra=bool(clients))


def points(load, capacity):
    if not load.factors:
        return [Point(None, load.burst or connections(load.rate, load.patience), load.rate, 0)]
    found = [point(load, factor, capacity) for factor in load.factors]
    return found + [point(load, factor, capacity, clients) for factor, clients in load.connections]


def command(generator, instance, load, where, capacity):
    """Of one sample."""
    words = [*generator.target(instance.asked), "--uri", load.uri, "--length", "13", "--json",
             "--clients", str(where.clients), "--warm-up", f"{where.warm_up:g}", "--duration", f"{load.seconds:g}",
             "--patience", f"{load.patience:g}"]  # fmt: skip
    for limit in LIMITS:
        words += ["--within", f"{limit:g}"]
    words += ["--keep"] if keeps(instance) else []
    words += ["--rate", f"{where.rate:.2f}"] if where.rate else []
    burst = load.burst
    if where.factor and where.factor > 1:
        burst = min(int(SURGE * capacity), where.clients)
    words += ["--burst", str(burst)] if burst else []
    return words + (["--every", f"{load.every:g}"] if load.every else [])


def takes_part(peer, path):
    return peer.name in PEERS and path in loads.DIRECT and path in peer.links


class OverloadRun:
    """Measures with the parts of a session, which it is made of. Each sample has its own server, which is killed when
    the sample is over: what waits in it is nobody's any more."""

    def __init__(self, session):
        self.session = session
        self.generator = session.generator
        self.chosen = [load for load in LOADS if load.name in session.arguments.load]
        http = any("http" in peer.links for peer in session.peers if peer.name == "wsgi-fcgi")
        names = {peer.name for peer in session.peers}
        self.peers = [peer for peer in make(replace(session.tools, processes=1), http) if peer.name in names]
        self.stuck_file = session.directory / "stuck"
        session.variables["BENCH_STUCK"] = str(self.stuck_file)
        self.samples = {}

    def paths(self):
        """HTTP, which all of these peers keep connections in, unless the user wants something else."""
        return [path for path in self.session.arguments.path
                if path == "http" or (self.session.arguments.path_given and path in loads.DIRECT)]  # fmt: skip

    def plan(self):
        for path in self.paths():
            for load in self.chosen:
                fit = [peer for peer in self.peers if takes_part(peer, path)]
                if fit:
                    yield load, path, fit

    def bound(self):
        """Seconds and samples of a round."""
        seconds = count = 0
        for load, _, fit in self.plan():
            for where in points(load, 1000):
                opening = where.clients / 10000
                seconds += len(fit) * (where.warm_up + load.seconds + opening + 0.5 + (0.3 if load.stuck else 0))
            seconds += len(fit) * (load.capacity_seconds + 1.5 if load.factors else 0)
            count += len(fit) * (len(points(load, 1)) + bool(load.factors))
        return seconds, count

    def measure_round(self, tell):
        for load, path, fit in self.plan():
            for peer in fit:
                by_load = self.samples.setdefault(path, {}).setdefault(load.name, {})
                one = {"capacity": None, "points": []}
                by_load.setdefault(peer.name, []).append(one)
                self.measure_peer(load, path, peer, tell, one)

    def measure_peer(self, load, path, peer, tell, one):
        """Fills `one`, so that what has been measured is there when this is interrupted: {"capacity": requests/s or
        None, "points": [figures]}, and in "failed" why there are none."""
        capacity = None
        if load.factors:
            tell(f"{path}, {load.name}, {peer.name}: capacity")
            found = self.sample(load, path, peer, lambda instance: self.capacity(instance, load))
            if "failed" in found:
                one["failed"] = found["failed"]
                return
            one["capacity"] = capacity = found["rps"]
        for where in points(load, capacity):
            tell(f"{path}, {load.name}, {peer.name}: {where.rate:.0f} requests/s, {where.clients} connections")
            if where.rate > OFFER_MAX:
                figures = {"beyond": OFFER_MAX}
            else:
                figures = self.sample(load, path, peer,
                                      lambda instance, where=where: self.offer(instance, load, where, capacity))  # fmt: skip
            one["points"].append({**where.key(), **figures})

    def sample(self, load, path, peer, measure):
        """A peer that has a limit of connections is told the same one for every sample."""
        need = Need(clients=CONNECTIONS[1] + THREADS, threads=THREADS)
        key = peer.name, path, need
        if key in self.session.hopeless:
            return {"failed": self.session.hopeless[key]}
        try:
            instance = self.session.start(peer, path, need)
        except (SetupError, subprocess.TimeoutExpired) as error:
            self.session.hopeless[key] = str(error)
            self.session.tell_failure(peer, path, load, error)
            return {"failed": str(error)}
        try:
            if load.stuck:
                with Stuck(self.generator, instance, load.stuck, self.stuck_file):
                    return measure(instance)
            return measure(instance)
        except (SetupError, LoadFailed, subprocess.TimeoutExpired) as error:
            self.session.tell_failure(peer, path, load, error)
            return {"failed": str(error)}
        finally:
            self.session.end(instance, at_once=True)

    def capacity(self, instance, load):
        words = [*self.generator.target(instance.asked), "--uri", load.uri, "--length", "13", "--json", "--clients",
                 str(load.clients), "--warm-up", "1", "--duration", f"{load.capacity_seconds:g}", "--ramp", "0.3",
                 *(["--keep"] if keeps(instance) else [])]  # fmt: skip
        sample = run(words)
        instance.check()
        if not sample["requests"]:
            raise LoadFailed("no answer came in the seconds that count")
        return sample

    def offer(self, instance, load, where, capacity):
        sample = run(command(self.generator, instance, load, where, capacity))
        instance.check()
        return sample


def go_first():
    """The generator, before the many threads of a server: what it does late it would charge to the server. Who may not
    have that, which takes root, has a generator that says how late it was."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, preexec_fn=go_first)
    if done.returncode not in (0, 1):
        raise LoadFailed(done.stderr.strip() or f"the load generator ended with status {done.returncode}")
    return json.loads(done.stdout)


class Stuck:
    """Calls of the application that never end, of clients that stay as long as this."""

    def __init__(self, generator, instance, count, file):
        self.words = [*generator.target(instance.asked), "--uri", "/stuck", "--clients", str(count), "--requests",
                      str(count), "--max-time", "100", *(["--keep"] if keeps(instance) else [])]  # fmt: skip
        self.count = count
        self.file = file
        self.process = None

    def __enter__(self):
        self.file.write_bytes(b"")
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + STUCK_SECONDS
        while os.path.getsize(self.file) < self.count:
            if time.monotonic() > end:
                got = os.path.getsize(self.file)
                self.__exit__()
                raise LoadFailed(f"{got} of {self.count} calls began in {STUCK_SECONDS} s")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
