"""One server behind one proxy, or none, while its workers are replaced and every answer is compared."""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import proc
from .instance import Instance
from .peers import Need, Place, SetupError
from .session import free_port
from .soak_servers import BEGUN, ENDED, FRONTS, LEAK, MEMORY_LIMIT, OURS, SERVERS, TWICE, WAITING, Limits

POLL_SECONDS = 0.02
EVENT_SECONDS = 90  # for which a reload or a replacement is waited for
START_SECONDS = 30
SILENCE_SECONDS = 60  # without an answer: the run ends there
CALLS_MIN = 1_000_000
PROGRAMS = ("wsgi-fcgi", "wsgi-fcgi-supervisor")
MODES = ("events", "kill", "broken", "binary")


@dataclass(frozen=True)
class Plan:
    """How much of what happens to a server."""

    mode: str = "events"
    requests: int = 1_000_000
    reloads: int = 100
    retirements: int = 100
    memory: int = 20
    kills: int = 20
    clients: int = 64
    workers: int = 2

    def scaled(self, requests):
        """For fewer requests, as many events in each."""

        def part(count):
            return -(-count * requests // self.requests)

        return Plan(self.mode, requests, part(self.reloads), part(self.retirements), part(self.memory), part(self.kills),
                    self.clients, self.workers)  # fmt: skip

    @property
    def limits(self):
        """Each worker begins to count anew at a reload: several retirements fit between two of those."""
        if self.mode != "events":
            return Limits()
        requests = max(20, self.requests // max(1, self.reloads, self.retirements) // self.workers // 3)
        memory = MEMORY_LIMIT if self.memory else 0
        return Limits(requests, requests // 10, memory) if self.retirements else Limits(memory=memory)


@dataclass
class Done:
    """What has happened."""

    reloads: int = 0
    retirements: int = 0
    memory: int = 0
    kills: int = 0
    missing: list = field(default_factory=list)  # what did not happen in time


class Over(Exception):
    """The server has ended, or does not answer any more: what there was is reported."""


class Client:
    """soak-client, whose lines a thread reads."""

    def __init__(self, program, place, plan):
        self.answered = self.errors = 0
        self.workers = {}  # pid: when it was started, of all that have answered
        self.result = None
        self.process = subprocess.Popen(
            [str(program), "--socket", place.address, "--clients", str(plan.clients), "--requests", str(plan.requests)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.result = json.loads(line)
            elif line.startswith("worker "):
                pid = int(line.split()[1])
                self.workers[pid] = proc.start_time(pid)
            else:
                self.answered, self.errors = map(int, line.split())

    def alive(self):
        """Of those that have answered, the ones that are there."""
        return {pid for pid, begun in list(self.workers.items()) if is_there(pid, begun)}

    def finish(self, at_once):
        self.process.stdin.close()
        if at_once:
            self.process.terminate()
        self.process.wait(300)
        self.thread.join(10)
        if self.result is None:
            raise SetupError(f"soak-client ended with status {self.process.returncode}")
        return self.result

    def kill(self):
        self.process.kill()
        self.process.wait()


def is_there(pid, begun):
    return begun is not None and proc.start_time(pid) == begun and not proc.has_ended(pid)


class Run:
    """A server, what is in front of it, and the client; `measure` returns what is reported."""

    def __init__(self, name, path, plan, tools, directory):
        self.plan = plan
        self.tools = tools
        self.directory = directory
        self.done = Done()
        self.server = SERVERS[name](tools, plan.limits)
        self.path = path
        protocol, kind = self.server.links[path]
        unix = str(directory / "server.sock")
        self.place = Place(protocol, socket=unix) if kind == "unix" else Place(protocol, port=free_port())
        self.front = None
        self.asked = Place("http", port=free_port()) if path in FRONTS else self.place
        self.broken = directory / "broken"
        self.calls = directory / "calls"
        with open(self.calls, "wb") as file:
            file.truncate(max(CALLS_MIN, 4 * plan.requests))
        self.instance = self.client = None
        self.accounted = set()  # workers whose end was caused by something that is counted already

    # --- start and end

    def measure(self):
        begin = time.monotonic()
        with contextlib.ExitStack() as stack:
            variables = {"SOAK_DIRECTORY": str(self.directory)}
            self.instance = Instance(self.server, self.place, self.asked, Need("soak_app:application", waiting=WAITING),
                                     self.directory, variables)  # fmt: skip
            stack.callback(self.instance.stop)
            if self.asked is not self.place:
                self.front = FRONTS[self.path](self.directory, self.server, self.place, self.asked.port)
                stack.callback(self.front.stop)
            self.instance.wait_ready(self)
            self.client = Client(self.tools.program("soak-client"), self.asked, self.plan)
            stack.callback(self.client.kill)
            over = False
            try:
                self.wait(lambda: self.client.answered, "a first answer", START_SECONDS)
                getattr(self, f"do_{self.plan.mode}")()
                self.wait_for_answers(self.plan.requests)
            except Over as error:
                over = True
                self.done.missing.append(f"{error}, and with it the rest of the run")
            result = self.client.finish(over)
            self.count_ended()
        return {
            "server": self.server.name, "path": self.path, "mode": self.plan.mode, "command": self.instance.command,
            "limits": vars(self.plan.limits), "wanted": {"requests": self.plan.requests, **self.wanted()},
            **{key: value for key, value in result.items() if key != "lost"},
            **vars(self.done), "lost": self.fates(result["lost"]), "twice": self.calls.read_bytes().count(bytes([TWICE])),
            "proxy": self.front.faults() if self.front else None, "minutes": round((time.monotonic() - begin) / 60, 2),
        }  # fmt: skip

    def answers(self, place, uri):
        """As an Instance asks for it; by a path that has no number."""
        return bool(self.leak(0))

    def wanted(self):
        events = {
            "events": {"reloads": self.plan.reloads, "retirements": self.plan.retirements, "memory": self.plan.memory},
            "kill": {"kills": self.plan.kills},
        }.get(self.plan.mode, {"reloads": self.plan.reloads})
        names = {"reloads": "reload", "retirements": "retirement", "memory": "memory", "kills": "kill"}
        return {key: value for key, value in events.items() if key == "kills" or names[key] in self.server.can}

    def fates(self, lost):
        """Of requests that were lost: whether their calls had begun, and ended."""
        calls = self.calls.read_bytes()
        marks = [calls[number] if number < len(calls) else 0 for number in lost]
        return {"not called": marks.count(0), "in their calls": marks.count(BEGUN), "after their calls": marks.count(ENDED),
                "called twice": marks.count(TWICE)}  # fmt: skip

    # --- waiting

    def look(self):
        if self.instance.process.poll() is not None:
            raise Over(f"the server ended with status {self.instance.process.returncode}")
        if self.client.process.poll() is not None:
            raise SetupError(f"soak-client ended with status {self.client.process.returncode}")
        self.count_ended()

    def wait(self, event, what, seconds=EVENT_SECONDS):
        """Whether it came; else it is noted."""
        deadline = time.monotonic() + seconds
        while not event():
            self.look()
            if time.monotonic() > deadline:
                self.done.missing.append(f"{what}: not in {seconds:g} s")
                return False
            time.sleep(POLL_SECONDS)
        self.count_ended()
        return True

    def count_ended(self):
        """Workers that ended and that nobody told to: they have retired."""
        for pid in set(self.client.workers) - self.client.alive() - self.accounted:
            self.accounted.add(pid)
            self.done.retirements += 1

    def wait_for_share(self, number, count):
        """Until the client has so many parts of its answers."""
        self.wait_for_answers(self.plan.requests * number // (count + 1))

    def wait_for_answers(self, count):
        """Answered or lost."""
        answered, since = self.client.answered, time.monotonic()
        while self.client.answered + self.client.errors < count:
            self.look()
            if self.client.answered > answered:
                answered, since = self.client.answered, time.monotonic()
            elif time.monotonic() > since + SILENCE_SECONDS:
                raise Over(f"the server gave no answer for {SILENCE_SECONDS} s")
            time.sleep(POLL_SECONDS)

    # --- events

    def reload(self):
        """Until none of the workers that there were is left, and another one has answered. Returns whether that came."""
        self.count_ended()
        before = self.client.alive()
        self.accounted |= before
        known = set(self.client.workers)
        os.kill(self.instance.pid, signal.SIGHUP)
        return self.wait(lambda: not before & self.client.alive() and set(self.client.workers) - known, "a reload")

    def leak(self, mebibytes):
        """Lets a worker have so much more memory. Returns its pid, or None if nobody answered."""
        place = self.asked
        connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=30)
        try:
            connection.request("GET", f"/leak/{mebibytes}")
            answer = connection.getresponse()
            body = answer.read()
            return int(body.split()[1]) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def do_memory(self):
        pid = self.leak(LEAK)
        if pid is None:
            self.done.missing.append("a leak: not answered")
            return
        self.accounted.add(pid)
        begun = self.client.workers.get(pid) or proc.start_time(pid)
        if self.wait(lambda: not is_there(pid, begun), f"a replacement of a worker with {LEAK} MiB more"):
            self.done.memory += 1

    def do_events(self):
        """Reloads and leaks by turns, while workers retire by themselves."""
        wanted = self.wanted()
        reloads, leaks = wanted.get("reloads", 0), wanted.get("memory", 0)
        order = sorted([((i + 0.5) / reloads, "reload") for i in range(reloads)] + [((i + 0.7) / leaks, "leak") for i in range(leaks)])
        for number, (_, what) in enumerate(order, 1):
            self.wait_for_share(number, len(order))
            if what == "leak":
                self.do_memory()
            elif self.reload():
                self.done.reloads += 1
        goal = wanted.get("retirements", 0)
        self.wait(lambda: self.done.retirements >= goal, f"{goal} retirements", EVENT_SECONDS if goal else 0)

    def do_kill(self):
        """kill -9 of a worker, again and again."""
        for number in range(1, self.plan.kills + 1):
            self.wait_for_share(number, self.plan.kills)
            self.wait(self.client.alive, "an answer of a worker that is there")
            pid = max(self.client.alive(), default=None)
            count = len(proc.tree(self.instance.pid))
            if pid is None:
                self.done.missing.append("a worker to kill: none is left")
                continue
            self.accounted.add(pid)
            os.kill(pid, signal.SIGKILL)
            self.done.kills += 1
            # It need not have answered: kept connections may all be with the others.
            self.wait(lambda pid=pid, count=count: self.is_made_up_for(pid, count), "a new worker after a kill -9")

    def is_made_up_for(self, pid, count):
        """Whether there are as many processes as there were, without that one."""
        found = proc.tree(self.instance.pid)
        return pid not in found and len(found) >= count

    @contextlib.contextmanager
    def broken_application(self):
        self.broken.touch()
        yield
        self.broken.unlink()

    @contextlib.contextmanager
    def broken_programs(self):
        """A new version that does not take its options any more."""
        programs, whole = self.tools.server.parent, self.directory / "whole"
        whole.mkdir(exist_ok=True)
        install(programs, whole)
        for name in PROGRAMS:
            (programs / f"{name}.new").write_text(f"#!/bin/sh\nprintf x >> {self.directory}/broken.tried\nexit 64\n")
            (programs / f"{name}.new").chmod(0o755)
            os.replace(programs / f"{name}.new", programs / name)
        yield
        install(whole, programs)

    def do_broken(self):
        """Reloads of an application that does not load, by turns with such of a program that does not start, and at the end
        one of both as they were."""
        ways = [self.broken_application, *([self.broken_programs] if self.server.name in OURS else [])]
        tried = self.directory / "broken.tried"
        for number, way in zip(range(1, self.plan.reloads + 1), itertools.cycle(ways)):
            self.wait_for_share(number, self.plan.reloads)
            before = self.client.alive()
            tried.unlink(missing_ok=True)
            with way():
                os.kill(self.instance.pid, signal.SIGHUP)
                if self.wait(tried.exists, "a try to load what is broken"):
                    self.done.reloads += 1
                # What serves goes on for a while after it.
                self.wait_for_answers(self.client.answered + self.client.errors + self.plan.clients)
                if not before & self.client.alive():
                    self.done.missing.append("the workers that served: all ended")
        self.reload()

    def do_binary(self):
        """Reloads, each with other files in the place of the programs'."""
        for number in range(1, self.plan.reloads + 1):
            self.wait_for_share(number, self.plan.reloads)
            inodes = install(self.tools.server.parent, self.tools.server.parent)
            if not self.reload():
                continue
            if os.stat(f"/proc/{self.instance.pid}/exe").st_ino in inodes:
                self.done.reloads += 1
            else:
                self.done.missing.append("the new program: the process still runs the old one")


def install(source, directory):
    """Copies of the programs in `source`, each of which replaces what was there at once. Returns their inodes."""
    for name in PROGRAMS:
        if (source / name).exists():
            shutil.copy(source / name, directory / f"{name}.new")
            os.replace(directory / f"{name}.new", directory / name)
    return {os.stat(directory / name).st_ino for name in PROGRAMS if (directory / name).exists()}


def good(record):
    """Whether nothing was lost, sent twice or left out."""
    proxy = record["proxy"] or {"repeated": 0, "errors": 0}
    return not (sum(record["errors"].values()) or record["twice"] or record["missing"] or proxy["repeated"] or proxy["errors"]
                or any(record[key] < count for key, count in record["wanted"].items()))  # fmt: skip


def good_kill(record):
    """Requests that a killed worker had are lost; that is all that may happen."""
    return not (record["twice"] or record["missing"] or record["errors"]["wrong"] or record["errors"]["refused"])


def passed(record):
    return (good_kill if record["mode"] == "kill" else good)(record) if record["server"] in OURS else True


def names_of(servers, mode):
    """Who can do that: a new program is taken over at a reload by this project's server alone."""
    return [name for name in servers if mode != "binary" or name in OURS]


def pairs(servers, paths, modes):
    return [(name, path, mode) for mode in modes for path, name in itertools.product(paths, servers) if name in names_of(servers, mode)]
