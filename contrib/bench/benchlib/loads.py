"""The loads, and what one run of each measures."""

import json
import subprocess
from dataclasses import dataclass

from . import proc
from .peers import SetupError

CLIENTS = 16
SLEEPERS = 4
SLEEP_CLIENTS = 64
SLEEP_SECONDS = 0.05
SLEEP_WARMUP = 2
IDLE = 1000


@dataclass(frozen=True)
class Load:
    name: str
    title: str
    role: str  # loads of one role share an instance of the peer
    kept: bool  # peers that do not keep connections are asked over new ones, or left out if `kept_only`
    kept_only: bool = False
    python_only: bool = False
    threads: int | None = None


CLOSE = Load("close", f"hello, a connection per request, {CLIENTS} clients", "hello", kept=False)
KEPT = Load("kept", f"hello, kept connections, {CLIENTS} clients", "hello", kept=True, kept_only=True)
SLEEP = Load("sleep", f"50 ms of sleep, {SLEEP_CLIENTS} clients, {SLEEP_CLIENTS} threads", "sleep", kept=True,
             python_only=True, threads=SLEEP_CLIENTS)  # fmt: skip
MIXED = Load("mixed", f"{CLIENTS} hello clients beside {SLEEPERS} sleeping ones, 32 threads", "mixed", kept=True,
             python_only=True, threads=32)  # fmt: skip
LOADS = (CLOSE, KEPT, SLEEP, MIXED)


class Generator:
    """Runs fcgi-load."""

    def __init__(self, program, seconds, warmup):
        self.program = str(program)
        self.seconds = seconds
        self.warmup = warmup

    def command(self, instance, kept, clients, seconds, warmup, uri="/"):
        keep = ["--keep"] if kept and instance.peer.kept else []
        return [self.program, "--socket", instance.socket, "--clients", str(clients), "--duration", str(seconds),
                "--warm-up", str(warmup), "--uri", uri, "--json", *keep]  # fmt: skip

    def run(self, command, seconds):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 60, check=False)
        return result(command, done.returncode, done.stdout)

    def ask(self, instance, uri):
        """The body of one answer."""
        command = [self.program, "--socket", instance.socket, "--uri", uri, "--once"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise SetupError(f"{instance.peer.name} did not answer {uri}:\n{instance.tail()}")
        return done.stdout.partition(b"\r\n\r\n")[2]

    def measure(self, instance, load):
        if load is MIXED:
            return self.measure_mixed(instance)
        sleeping = load is SLEEP
        warmup = SLEEP_WARMUP if sleeping else self.warmup
        clients = SLEEP_CLIENTS if sleeping else CLIENTS
        uri = "/sleep50" if sleeping else "/"
        return self.measured(
            instance, self.command(instance, load.kept, clients, self.seconds, warmup, uri), self.seconds + warmup
        )

    def measured(self, instance, command, seconds):
        before = proc.cpu_seconds(instance.pid)
        sample = self.run(command, seconds)
        instance.check()
        spent = proc.cpu_seconds(instance.pid) - before
        # The processor time is the whole run's, so are the requests it is divided by.
        sample["cpu_us"] = spent / max(1, sample["requests_all"]) * 1e6
        sample["threads"] = proc.thread_count(instance.pid)
        return sample

    def measure_mixed(self, instance):
        fast = self.command(instance, True, CLIENTS, self.seconds, self.warmup)
        alone = self.measured(instance, fast, self.seconds + self.warmup)
        # The sleeping clients begin before the fast ones and end after them.
        total = self.seconds + self.warmup + 2
        slow = self.command(instance, True, SLEEPERS, total, 0, "/sleep50")
        with subprocess.Popen(slow, stdout=subprocess.PIPE, text=True) as process:
            try:
                sample = self.measured(instance, fast, self.seconds + self.warmup)
                beside = process.poll() is None
                output = process.communicate(timeout=total + 60)[0]
            finally:
                process.kill()
        sleeping = result(slow, process.returncode, output)
        if not beside:
            sample["errors"] += 1
        sample["errors"] += alone["errors"] + alone["not200"] + sleeping["errors"] + sleeping["not200"]
        sample["undisturbed_rps"] = alone["rps"]
        sample["sleeping_rps"] = sleeping["rps"]
        return sample

    def measure_idle(self, instance):
        """Memory before and while IDLE kept connections are open that have had one request each."""
        command = [self.program, "--socket", instance.socket, "--idle", str(IDLE), "--json"]
        before = proc.memory(instance.pid)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                sample = json.loads(process.stdout.readline())
                after = proc.memory(instance.pid)
                process.communicate(timeout=60)
            finally:
                process.kill()
        instance.check()
        if process.returncode:
            sample["errors"] += 1
        return {"before": before, "after": after, "errors": sample["errors"] + sample["not200"]}


def result(command, status, output):
    # Status 1 says that answers were wrong or missing, which the figures tell; above that nothing was measured.
    if status not in (0, 1):
        raise SetupError(f"the load generator failed with status {status}: {' '.join(command)}")
    sample = json.loads(output)
    if status and not sample["errors"] and not sample["not200"]:
        sample["errors"] = 1  # it stalled
    return sample
