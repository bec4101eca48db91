"""The loads `deadlines-*`: what becomes of calls that do not end, and of quick requests beside them.

Each of a few calls is asked for over a connection of its own, and waited for. Beside them two generators ask for quick
ones at random times, over kept connections and over new ones (fcgi-load as visitors, which tells apart how requests are
lost); the same two have done so alone before.
"""

import contextlib
import json
import os
import socket
import subprocess
import threading
import time

from . import proc
from .generator import LoadFailed, keeps
from .overload import PRIORITY, go_first

WAYS = {"kept": (200, 16), "new": (100, 16)}  # of quick requests: so many a second, over so many connections at a time
ALONE_SECONDS = 3
BESIDE_SECONDS = 6
WARM_UP = 0.5
EVERY = 0.2  # seconds from one call that does not end to the next
BEYOND = 5  # seconds beyond its time after which a call is not waited for any longer
PATIENCE = 2  # seconds for which a quick request is waited for
LOOK_SECONDS = 0.2  # processes
EARLY = 0.05  # seconds before its time: whoever gets an answer then gets another one's
GRACE_SECONDS = 60  # for generators to end


class Endless(threading.Thread):
    """Asks for a call that does not end. `answer` is a status, or how the connection ended without one: "refused",
    "reset", "closed", "cut" (behind the begin of an answer), "none" (nothing came); `seconds` until then."""

    def __init__(self, port, uri, patience):
        super().__init__(daemon=True)
        self.port = port
        self.patience = patience
        self.request = f"GET {uri} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self.answer, self.seconds = "none", patience

    def run(self):
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
        begin = time.monotonic()
        self.answer = self.ask(begin + self.patience)
        self.seconds = time.monotonic() - begin

    def ask(self, end):
        data = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), self.patience) as s:
                s.sendall(self.request)
                while b"\r\n" not in data:
                    s.settimeout(max(0.001, end - time.monotonic()))
                    piece = s.recv(65536)
                    if not piece:
                        return "cut" if data else "closed"
                    data += piece
        except TimeoutError:
            return "none"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "cut" if data else "reset"
        return status(data)


def status(data):
    """The code in the first line of an answer."""
    words = data.split(b"\r\n", 1)[0].split()
    good = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return words[1].decode() if good else "not HTTP"


class Processes(threading.Thread):
    """Watches those of a server: `ended` counts the ones that were there once and are there no more."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.known = self.look()
        self.count = len(self.known)
        self.over = threading.Event()

    def look(self):
        """Not those that have ended and were not waited for yet."""
        return {(pid, started) for pid in proc.tree(self.pid)
                if (started := proc.start_time(pid)) and not proc.has_ended(pid)}  # fmt: skip

    def run(self):
        while not self.over.wait(LOOK_SECONDS):
            self.known |= self.look()

    def stop(self):
        self.over.set()
        self.join()
        self.ended = len(self.known - self.look())


def quick(generator, instance, way, seconds):
    """The command of a generator."""
    rate, clients = WAYS[way]
    return [*generator.target(instance.asked), "--uri", "/", "--length", "13", "--json", "--clients", str(clients), "--rate",
            str(rate), "--warm-up", f"{WARM_UP:g}", "--duration", f"{seconds:g}", "--patience", str(PATIENCE),
            *(["--keep"] if way == "kept" else [])]  # fmt: skip


@contextlib.contextmanager
def generators(commands):
    """By way: processes, which are ended by their ids whatever happens."""
    with contextlib.ExitStack() as stack:
        running = {}
        for way, command in commands.items():
            running[way] = stack.enter_context(subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=go_first))  # fmt: skip
            stack.callback(running[way].kill)
        yield running


def figures(process):
    output, errors = process.communicate(timeout=GRACE_SECONDS)
    if process.returncode not in (0, 1):
        raise LoadFailed(errors.strip() or f"the load generator ended with status {process.returncode}")
    return json.loads(output)


LOSSES = ("errors", "not200", "bad_length", "refused_all", "unreachable_all", "given_up_all", "unsent_all", "retried")


def summary(sample):
    """What a generator says of the quick requests. `lost`: what got no answer, or another one than the call's; also what
    was asked again because a kept connection ended without an answer: a POST may not be."""
    return {
        "due": sample["due_all"], "good": sample["good_all"], "p50_us": sample["p50_us"], "p99_us": sample["p99_us"],
        "lost": {key.removesuffix("_all"): sample[key] for key in LOSSES if sample[key]},
    }  # fmt: skip


def run_endless(port, load):
    """The calls, one behind the other; returns when each has an answer or is not waited for any longer."""
    calls = []
    begin = time.monotonic()
    for number in range(load.endless):
        time.sleep(max(0, begin + number * EVERY - time.monotonic()))
        calls.append(Endless(port, load.uri, load.timeout + BEYOND))
        calls[-1].start()
    for call in calls:
        call.join()
    return calls


def endings(calls, timeout):
    """`late_ms`: by how much those came late that did not come early. Of what did not come at all it is known that it is
    later than that. `first`: of the first call, which had none beside it when it began."""
    answers = {}
    for call in calls:
        answers[call.answer] = answers.get(call.answer, 0) + 1
    early = [call for call in calls if call.seconds < timeout - EARLY]
    return {
        "asked": len(calls), "answers": answers, "early": len(early),
        "first": calls[0].answer, "first_ms": round((calls[0].seconds - timeout) * 1000, 1),
        "late_ms": [round((call.seconds - timeout) * 1000, 1) for call in calls if call not in early],
    }  # fmt: skip


def measure(generator, instance, load):
    """A sample: the figures of quick requests beside the others, and in "deadlines" all that is about those."""
    ways = [way for way in WAYS if way == "new" or keeps(instance)]
    with generators({way: quick(generator, instance, way, ALONE_SECONDS) for way in ways}) as running:
        alone = {way: figures(process) for way, process in running.items()}
    spent, begin = proc.cpu_seconds(instance.pids), time.monotonic()
    processes = Processes(instance.pid)
    with generators({way: quick(generator, instance, way, BESIDE_SECONDS) for way in ways}) as running:
        processes.start()
        try:
            time.sleep(WARM_UP)
            calls = run_endless(instance.asked.port, load)
            beside = {way: figures(process) for way, process in running.items()}
        finally:
            processes.stop()
    instance.check()
    if not all(sample["good"] for sample in alone.values()):
        raise LoadFailed("no quick request was answered, without any other")
    pids = proc.tree(instance.pid)
    usage = proc.usage(pids)
    count = max(1, sum(sample["good_all"] for sample in beside.values()))
    first = beside[ways[0]]
    return {
        "requests": first["good"], "requests_all": count, "errors": 0, "not200": 0, "bad_length": 0,
        "rps": sum(sample["good"] / sample["seconds"] for sample in beside.values()),
        **{key: first[key] for key in ("p50_us", "p99_us", "p999_us", "max_us")},
        "cpu_us": max(0, proc.cpu_seconds(pids) - spent) / count * 1e6, "nginx_cpu_us": None,
        "threads": usage["threads"], "processes": len(pids), "loaded": {"rss": usage["rss"]},
        "deadlines": {
            **endings(calls, load.timeout), "seconds": round(time.monotonic() - begin, 1),
            "alone": {way: summary(sample) for way, sample in alone.items()},
            "beside": {way: summary(sample) for way, sample in beside.items()},
            "processes": processes.count, "ended": processes.ended,
        },
    }  # fmt: skip
