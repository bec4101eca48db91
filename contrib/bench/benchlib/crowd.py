"""The load `crowd`: quick requests alone, and then beside slow readers, idle connections and sleeping calls."""

import contextlib
import json
import selectors
import subprocess
import time

from . import proc
from .generator import LoadFailed, keeps, result
from .loads import IDLE, READ_RATE, READERS, RESTING

BEGIN_SECONDS = 15  # fcgi-load says after ten how many readers have begun
CROWD_SECONDS = 60  # at most
RESTING_RAMP = 0.4
RESTING_MARGIN = 0.3  # seconds before and after the quick requests


@contextlib.contextmanager
def held(command):
    """A generator that holds its connections until its standard input ends; ended by its id whatever happens."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process, seconds):
    """The figures once all connections are there."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(seconds) else ""
    if not line:
        process.kill()
        raise LoadFailed(f"a part of the crowd did not come: {process.stderr.read().strip() or 'no answer'}")
    return json.loads(line)


def last_line(process):
    """The figures at the end, or None if there are no others."""
    output, errors = process.communicate(timeout=30)
    if process.returncode not in (0, 1):
        raise LoadFailed(errors.strip() or f"a part of the crowd ended with status {process.returncode}")
    lines = output.splitlines()
    return json.loads(lines[-1]) if lines else None


def measure(generator, instance, load):
    """A sample of the quick requests beside the crowd; "crowd" says what became of that, "alone" is without it. Memory
    is resident bytes: before the crowd, with the readers, with the idle connections too, with all of it under load."""
    seconds = sum(generator.times(load))
    quick = generator.command(instance, load)
    target = generator.target(instance.asked)
    most = ["--max-time", str(CROWD_SECONDS), "--json"]
    alone = generator.run(instance, quick, seconds, None)
    resident = [proc.usage(proc.tree(instance.pid))["rss"]]

    def look():
        resident.append(proc.usage(proc.tree(instance.pid))["rss"])

    readers = [*target, "--slow", str(READERS), "--read-rate", str(READ_RATE), "--uri", "/stream", *most]
    idle = [*target, "--idle", str(IDLE), *most]
    resting = [*target, "--uri", "/sleep1000", "--clients", str(RESTING), "--duration", f"{seconds + RESTING_RAMP + 2 * RESTING_MARGIN:g}", "--ramp",
               str(RESTING_RAMP), *most, *(["--keep"] if keeps(instance) else [])]  # fmt: skip
    with held(readers) as slow:
        begun = first_line(slow, BEGIN_SECONDS)["begun"]
        look()
        with held(idle) as still:
            first_line(still, BEGIN_SECONDS)
            look()
            with held(resting) as asleep:
                time.sleep(RESTING_RAMP + RESTING_MARGIN)
                sample = generator.run(instance, quick, seconds, None)
                resident.append(sample["loaded"]["rss"])
                sleeping = last_line(asleep)
            still.communicate(timeout=30)
        read = last_line(slow)
    instance.check()
    sample["alone"] = {key: alone[key] for key in ("rps", "p50_us", "p99_us", "p999_us", "cpu_us")}
    for key in ("errors", "not200", "bad_length"):
        sample[key] += alone[key]
    sample["crowd"] = {
        "begun": begun, "lost": read["cut"] + read["not200"] + read["stuck"], "whole": read["whole"], "bytes": read["bytes"],
        "reading_seconds": read["seconds"], "idle_lost": bool(still.returncode),
        "sleeping_wrong": sleeping["errors"] + sleeping["not200"],
        "rss": dict(zip(("alone", "readers", "idle", "all"), resident)),
    }  # fmt: skip
    return sample
