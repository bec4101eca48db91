"""The speed guard: counts that noise cannot change, against a record in the tree.

A count per request is the difference between a run of 2N requests and one of N, by N: start-up and end are the same in
both. Instructions are those that callgrind counts in the server, which has one thread at work for requests that never
block; allocations are calls of malloc and its kin.
"""

import json
import os
import platform
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import strangers
from .setup import compiler_flags

BENCH = Path(__file__).resolve().parent.parent
BUDGET = BENCH / "speed-budget.json"
SLACK = 0.03  # of instructions
AGAINST_SLACK = 0.01  # of instructions: what a request may cost more than in another build
DEADLINE_SLACK = 0.01  # of instructions: what a request may cost more where it has a deadline
DEADLINE = ("--request-timeout", "30")
ACCESS_LOG = {"combined": 0.13, "json": 0.24}  # of instructions: what a line may cost more
LOG_THREAD = ") writer_main"  # a function that only the thread which writes the access log has
ALLOCATION_SLACK = 0.01  # calls for each request: pools that grow once
INSTRUCTION_REQUESTS = 5000
ALLOCATION_REQUESTS = 10000
STRANGE_NAMES = 100000
START_SECONDS = 120
LOAD_SECONDS = 120
STOP_SECONDS = 60
MODES = {"kept": ["--keep"], "close": []}
KEY = ("form", "compiler", "flags", "python", "machine")


class GuardError(Exception):
    """The counts could not be taken."""


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GuardError(f"this failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def module(build):
    """The extension module, where the build is one, and its command a script; or None."""
    return next((build / "wsgi_fcgi").glob("_server.*.so"), None)


def identify(build):
    """What the counts depend on."""
    server = build / "wsgi-fcgi"
    code = module(build) or server
    about = run([str(server), "--version"])
    options = re.search(r"^build options: (.*)$", about, re.M).group(1)
    for word in ("sanitizer", "coverage", "fuzzer", "static-python"):
        if word in options:
            raise GuardError(f"{server} was built with {options}, which changes its counts")
    comment = re.search(r"\]\s+(\S.*)$", run(["readelf", "--string-dump=.comment", str(code)]), re.M)
    return {
        "form": "module" if code != server else "program",
        "compiler": comment.group(1).strip() if comment else "unknown",
        "flags": compiler_flags(build),
        "python": re.search(r"^Python (.*?)(?: \(/.*\))?$", about, re.M).group(1),
        "machine": platform.machine(),
    }


def environment(more):
    # The same seed in both runs: it decides where dicts collide.
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1", **more}  # fmt: skip


def serve(build, directory, count, mode, before=(), variables=None, strange_names=0, options=()):
    """Runs the server, with these options besides, for so many requests of one client, one after the other, behind so many
    names of strangers."""
    path = directory / "guard.sock"
    log = directory / "guard.log"
    command = [*before, str(build / "wsgi-fcgi"), "--socket", str(path), "--chdir", str(BENCH / "apps"), *options,
               "bench_app:application"]  # fmt: skip
    surroundings = environment(variables or {})
    with open(log, "wb") as out, subprocess.Popen(command, env=surroundings, stdout=out, stderr=out) as p:
        try:
            wait_for_server(p, path, log)
            strangers.send(path, strange_names)
            run([str(build / "contrib/bench/fcgi-load"), "--socket", str(path), "--clients", "1", "--requests",
                 str(count), "--max-time", str(LOAD_SECONDS), *MODES[mode]])  # fmt: skip
            p.send_signal(signal.SIGTERM)
            if p.wait(STOP_SECONDS):
                raise GuardError(f"the server ended with status {p.returncode}\n{log.read_text(errors='replace')}")
        finally:
            p.kill()
    return log.read_text(errors="replace")


def takes_connections(path):
    """Its file is there a moment before it listens."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(str(path)) == 0


def serves(log):
    """It listens before Python starts, and under callgrind that takes long on a busy machine."""
    return b": listening on " in log.read_bytes()


def wait_for_server(process, path, log):
    deadline = time.monotonic() + START_SECONDS
    while not (serves(log) and takes_connections(path)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise GuardError(f"the server did not start\n{log.read_text(errors='replace')}")
        time.sleep(0.01)


def instructions(build, directory, mode, **more):
    """`more`: of `serve`. Not those of the thread that writes the access log: it writes what came in ten milliseconds, so
    that a line costs it the less the quicker the machine is."""

    def total(count):
        out = directory / "callgrind.out"
        before = ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"]
        serve(build, directory, count, mode, before, **more)
        threads = [thread.read_text() for thread in out.parent.glob(f"{out.name}-*")]
        for thread in out.parent.glob(f"{out.name}*"):
            thread.unlink()
        counts = [re.search(r"^(?:totals|summary): (\d+)", thread, re.M) for thread in threads]
        if not threads or not all(counts):
            raise GuardError("callgrind did not write what it collected")
        return sum(int(count.group(1)) for count, thread in zip(counts, threads) if LOG_THREAD not in thread)

    return difference(total, INSTRUCTION_REQUESTS)


def difference(total, count):
    return (total(2 * count) - total(count)) / count


def allocations(build, directory, mode):
    """By who asked for them."""
    out = directory / "allocations.json"

    def counts(count):
        # A module is there as well before anything runs: malloc-count.c looks then where it is.
        preload = [build / "contrib/bench/malloc-count.so", module(build)]
        variables = {"LD_PRELOAD": " ".join(str(each) for each in preload if each), "MALLOC_COUNT_FILE": str(out)}
        serve(build, directory, count, mode, variables=variables)
        if not out.exists():
            raise GuardError("malloc-count.so wrote nothing")
        found = json.loads(out.read_text())
        out.unlink()
        if not found["own"]:
            raise GuardError("malloc-count.so saw no allocation of the server, not even at its start")
        return found

    few, many = counts(ALLOCATION_REQUESTS), counts(2 * ALLOCATION_REQUESTS)
    return {owner: (many[owner] - few[owner]) / ALLOCATION_REQUESTS for owner in few}


def own(counted):
    """Of what `allocations` has counted, what is judged: libev is a part of the program, or a library beside a module."""
    return counted["own"] + counted["libev"]


def compare(key, other):
    """Of two builds, so that what differs between them is what they are: an error when something else does."""
    for part in KEY:
        if part != "form" and key[part] != other[part]:
            raise GuardError(f"the builds have different {part}, which is what a comparison would show: "
                             f"{key[part]}, and {other[part]}")  # fmt: skip


def find_record(records, key):
    return next((r for r in records if all(r[part] == key[part] for part in KEY)), None)


def judge_instructions(measured, recorded):
    """None when it is within the slack, else what is to be said."""
    if abs(measured - recorded) <= SLACK * recorded:
        return None
    change = measured / recorded - 1
    if change > 0:
        return f"{change * 100:.1f} % more than the budget of {recorded:.0f}"
    return f"{-change * 100:.1f} % less than the budget of {recorded:.0f}: record the gain, so that it stays"


def judge_after_strangers(measured, before):
    """None when requests cost no more than without them, but for the slack, else what is to be said."""
    if measured <= before * (1 + SLACK):
        return None
    return f"{(measured / before - 1) * 100:.1f} % more than the {before:.0f} without them: they cost others something"


def judge_deadline(measured, before):
    """None when a deadline makes requests cost no more than it may, else what is to be said."""
    if measured <= before * (1 + DEADLINE_SLACK):
        return None
    return f"{(measured / before - 1) * 100:.1f} % more than the {before:.0f} without it"


def judge_against(measured, other):
    """None when it costs no more than in the other build, but for the slack, else what is to be said."""
    if measured <= other * (1 + AGAINST_SLACK):
        return None
    return (f"{(measured / other - 1) * 100:.1f} % more than the {other:.0f} of the other build, and "
            f"{AGAINST_SLACK * 100:.0f} % is allowed")  # fmt: skip


def is_clearly_less(measured, other):
    """By more than what else happens in a process, of which one count of each may have had its part."""
    return measured < other * (1 - AGAINST_SLACK)


def judge_allocations_against(measured, other):
    if measured <= other + ALLOCATION_SLACK:
        return None
    return f"more than the {other:.2f} of the other build"


def access_log(directory, form):
    """Options for such lines."""
    return ("--access-log", str(directory / "access.log"), "--access-log-format", form)


def judge_access_log(measured, before, form):
    """None when a line for each request makes it cost no more than it may, else what is to be said."""
    if measured <= before * (1 + ACCESS_LOG[form]):
        return None
    return (f"{(measured / before - 1) * 100:.1f} % more than the {before:.0f} without it, and "
            f"{ACCESS_LOG[form] * 100:.0f} % are allowed")  # fmt: skip


def judge_allocations(measured, recorded):
    if abs(measured - recorded) <= ALLOCATION_SLACK:
        return None
    if measured > recorded:
        return f"recorded are {recorded:g}: the request path allocates what it did not"
    return f"recorded are {recorded:g}: record the gain, so that it stays"


HOW_TO_RECORD = """\
If the change is worth it: contrib/bench/speed-guard --record --build {build}
writes the new budget into contrib/bench/speed-budget.json; commit it with the change, and let the commit say why a
request costs more, or what made it cost less. To find where: callgrind_annotate, with the command in
contrib/bench/README.md."""


def load_budget(path=BUDGET):
    return json.loads(path.read_text()) if path.exists() else []


def save_record(key, instruction_counts, allocation_counts, path=BUDGET):
    """Replaces the record of this key, or adds it."""
    records = [r for r in load_budget(path) if any(r[part] != key[part] for part in KEY)]
    records.append(
        {
            **key,
            "instructions": {mode: round(count) for mode, count in instruction_counts.items()},
            "allocations": {mode: round(own(count), 2) for mode, count in allocation_counts.items()},
        }
    )
    records.sort(key=lambda r: [r[part] for part in KEY])
    temporary = Path(f"{path}.new")
    temporary.write_text(json.dumps(records, indent=2) + "\n")
    os.replace(temporary, path)
