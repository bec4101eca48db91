"""Runs fcgi-load against an instance, and looks at the instance meanwhile."""

import json
import math
import subprocess
import time

from . import proc
from .loads import IDLE, SLEEPERS
from .peers import SetupError

SLEEPING_URI = "/sleep50"
MIXED_MARGIN = 1.0  # the sleeping clients begin so much before the fast ones


class LoadFailed(Exception):
    """The load could not be carried out: said in the table, and the run goes on."""


class Generator:
    def __init__(self, program, seconds, warm_up, rate):
        self.program = str(program)
        self.seconds = seconds
        self.warm_up = warm_up
        self.rate = rate

    def times(self, load):
        """Seconds of warm-up and seconds that count. A quick run shortens neither below what the load needs: threads that
        are only being started would be another measurement."""
        seconds = max(self.seconds, load.seconds)
        if load.period:
            seconds = math.ceil(seconds / load.period) * load.period
        return max(self.warm_up, load.warm_up), seconds

    def target(self, place):
        return [self.program, "--socket", place.address, *(["--http"] if place.protocol == "http" else [])]

    def command(self, instance, load):
        warm_up, seconds = self.times(load)
        keep = load.keep and keeps(instance)
        command = [*self.target(instance.asked), "--uri", load.uri, "--json", "--max-time", "120"]
        if load.once:
            return [*command, "--clients", "1", "--requests", "1", *self.body(load)]
        command += ["--clients", str(load.clients), "--duration", f"{seconds:g}", "--warm-up", f"{warm_up:g}"]
        command += ["--keep"] if keep else []
        command += ["--multiplex", str(load.multiplex)] if load.multiplex > 1 else []
        rate = load.arrivals or (self.rate if load.rate else 0)
        command += ["--rate", f"{rate:g}", "--histogram"] if rate else []
        command += ["--ramp", f"{min(load.ramp, warm_up):g}"] if load.ramp else []
        return [*command, *self.body(load)]

    def body(self, load):
        length = ["--length", str(load.length)] if load.length is not None else []
        return [*(["--body", str(load.body)] if load.body else []), *length]

    def answers(self, place, uri):
        command = [*self.target(place), "--uri", uri, "--once", "--max-time", "20"]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    def ask(self, place, uri):
        """The body of one answer, which has a Content-Length."""
        command = [*self.target(place), "--uri", uri, "--once"]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise LoadFailed(f"{uri} was not answered: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.partition(b"\r\n\r\n")[2]

    def measure(self, instance, load, nginx=None, way=None):
        """One sample: the generator's figures and what the server took for them. `way`: of measuring, if not the usual."""
        idle = proc.memory(instance.pids)
        if way:
            sample = way(self, instance, load)
        elif load.beside:
            sample = self.measure_beside(instance, load, nginx)
        else:
            sample = self.run(instance, self.command(instance, load), sum(self.times(load)), nginx)
        sample["startup_ms"] = instance.startup_ms
        sample["memory"] = {"idle": idle, "loaded": sample.pop("loaded"), "after": proc.memory(proc.tree(instance.pid))}
        return sample

    def run(self, instance, command, seconds, nginx):
        before = proc.cpu_seconds(instance.pids)
        nginx_pids = proc.tree(nginx.process.pid) if nginx else []
        nginx_before = proc.cpu_seconds(nginx_pids)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                loaded = watch(process, instance, seconds)
                output, errors = process.communicate(timeout=180)
            finally:
                process.kill()
        pids = proc.tree(instance.pid)
        spent = proc.cpu_seconds(pids) - before
        nginx_spent = proc.cpu_seconds(nginx_pids) - nginx_before
        instance.check()
        sample = result(process.returncode, output, errors)
        if not sample["requests"]:
            raise LoadFailed("no answer came in the seconds that count")
        # The processor time is the whole run's, so are the requests it is divided by.
        count = max(1, sample["requests_all"])
        sample["cpu_us"] = spent / count * 1e6
        sample["nginx_cpu_us"] = nginx_spent / count * 1e6 if nginx else None
        end = proc.usage(pids)
        sample["loaded"] = {"rss": max(loaded["rss"], end["rss"])}
        sample["threads"] = max(loaded["threads"], end["threads"])
        sample["processes"] = len(pids)
        return sample

    def measure_beside(self, instance, load, nginx):
        """The fast clients alone, then beside sleeping ones, which begin before them and end after them."""
        seconds = sum(self.times(load))
        fast = self.command(instance, load)
        alone = self.run(instance, fast, seconds, nginx)
        total = seconds + 2 * MIXED_MARGIN
        keep = ["--keep"] if keeps(instance) else []
        slow = [*self.target(instance.asked), "--uri", SLEEPING_URI, "--clients", str(SLEEPERS), "--duration",
                f"{total:g}", "--json", *keep]  # fmt: skip
        with subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                time.sleep(MIXED_MARGIN / 2)
                sample = self.run(instance, fast, seconds, nginx)
                beside = process.poll() is None
                output, errors = process.communicate(timeout=total + 60)
            finally:
                process.kill()
        sleeping = result(process.returncode, output, errors)
        for other in (alone, sleeping):
            for key in ("errors", "not200", "bad_length"):
                sample[key] += other[key]
        if not beside:
            sample["errors"] += 1
        sample["undisturbed_rps"] = alone["rps"]
        sample["sleeping_rps"] = sleeping["rps"]
        return sample

    def measure_idle(self, instance):
        """Memory before and while IDLE kept connections are open that have had one request each."""
        command = [*self.target(instance.asked), "--idle", str(IDLE), "--json"]
        before = proc.memory(instance.pids)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                sample = json.loads(process.stdout.readline())
                after = proc.memory(instance.pids)
                process.communicate(timeout=60)
            finally:
                process.kill()
        instance.check()
        return {"before": before, "after": after, "errors": wrong(sample) + bool(process.returncode)}

    def count_threads(self, instance):
        """In how many threads the application found itself called, asked by all clients at once."""
        command = [*self.target(instance.asked), "--uri", "/counted", "--keep", "--requests", "5000", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        result(done.returncode, done.stdout, done.stderr)
        return self.ask(instance.asked, "/python")


def keeps(instance):
    """Whether whoever is asked keeps connections; nginx does."""
    return instance.asked is not instance.place or instance.peer.keeps(instance.place.protocol)


def watch(process, instance, seconds):
    """The largest resident size and number of threads, looked at while the load runs."""
    most = {"rss": 0, "threads": 0}
    end = time.monotonic() + seconds
    for part in (0.6, 0.9):
        try:
            process.wait(max(0.01, end - seconds * (1 - part) - time.monotonic()))
            break
        except subprocess.TimeoutExpired:
            now = proc.usage(proc.tree(instance.pid))
            most = {key: max(most[key], now[key]) for key in most}
    return most


def wrong(sample):
    return sample["errors"] + sample["not200"] + sample["bad_length"]


def result(status, output, errors):
    # Status 1 says that answers were wrong or missing, which the figures tell; above that nothing was measured.
    if status not in (0, 1):
        raise LoadFailed(errors.strip() or f"the load generator ended with status {status}")
    sample = json.loads(output)
    if status and not wrong(sample):
        sample["errors"] = 1  # it stalled, or was given up
    return sample
