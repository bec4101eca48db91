"""One run: which samples are taken, in which order, and what becomes of those that fail."""

import ast
import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

from . import crowd, deadlines, loads, lock, overload, peers, proc, report
from .generator import Generator, LoadFailed
from .instance import Instance, environment
from .nginx import Nginx
from .peers import Need, Place, SetupError
from .setup import SOURCE, compiler_flags, embedded_python

WAYS = {"behind": lock.measure_behind, "company": lock.measure_company, "crowd": crowd.measure, "deadlines": deadlines.measure}
SETTLE_SECONDS = 1.2  # around a sample: its start, its first answer, its end


@contextlib.contextmanager
def undisturbed():
    """Keeps an interruption back: what is started here is known to who has to stop it before that is told to."""
    came = []
    before = {number: signal.signal(number, lambda number, _: came.append(number))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) != signal.SIG_IGN}  # fmt: skip
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


class Session:
    """`samples[path][load][peer]` is a list with one sample for each round; one that failed says why in "failed"."""

    def __init__(self, arguments, tools, chosen, directory):
        self.arguments = arguments
        self.tools = tools
        self.peers = chosen
        self.directory = directory
        self.generator = Generator(
            tools.program("fcgi-load"), arguments.duration, arguments.warm_up, arguments.rate
        )
        self.places = {}
        self.fronts = {}
        self.nginx = None
        self.nginx_command = []
        self.running = []  # instances that are to be stopped
        self.samples = {}
        self.commands = {}
        self.pythons = {}
        self.memory = {}
        self.hash_rounds = None  # of pbkdf2 that take 10 ms
        self.notes = []
        self.hopeless = {}  # by (peer, path, need): why it could not be started; it is not tried again
        self.variables = {"BENCH_FILE": str(directory / "file")}
        self.overload = overload.OverloadRun(self)

    # --- the plan

    def plan(self):
        """Loads with their paths and the peers that take part, in the order of a round."""
        for load in loads.LOADS:
            if load.name not in self.arguments.load:
                continue
            paths = load.possible if self.arguments.path_given else load.paths
            for path in self.arguments.path:
                if path in paths:
                    fit = [peer for peer in self.peers if loads.takes_part(load, peer, path)]
                    if fit:
                        yield load.on(path), path, fit

    def bound(self):
        """Seconds that a run takes when nothing fails, about; and how many samples it takes."""
        seconds, count = 0, 0
        for load, _, fit in self.plan():
            each = 3 if load.once else sum(self.generator.times(load)) * (2 if load.beside or load.way == "crowd" else 1)
            each += load.more
            seconds += (each + SETTLE_SECONDS) * len(fit)
            count += len(fit)
        more_seconds, more = self.overload.bound()
        return (seconds + more_seconds) * self.arguments.rounds, (count + more) * self.arguments.rounds

    # --- set-up

    def prepare(self):
        """Addresses for all, the large file, and nginx. Addresses stay the same, so that nginx can name them."""
        os.chmod(self.directory, 0o755)  # Apache's processes are another user's when root runs this
        with open(self.variables["BENCH_FILE"], "wb") as file:
            file.truncate(loads.FILE_BYTES)
        if any(load.application.startswith("lock_app") for load, _, _ in self.plan()):
            self.hash_rounds = lock.calibrate(embedded_python(self.arguments.build))
            self.variables["BENCH_ROUNDS"] = str(self.hash_rounds)
        self.overload.stuck_file.touch()
        os.chmod(self.overload.stuck_file, 0o666)
        front = [path for _, path, _ in self.plan() if path == "nginx"]
        if front:
            losing = any(load.way == "deadlines" for load, _, _ in self.plan())
            self.nginx = Nginx(self.directory, self.tools.cpus, self.tools.backlog, repeat=not losing)
        for peer in self.peers:
            for path, (protocol, kind) in peer.links.items():
                unix = str(self.directory / f"{peer.name}-{path}.sock")
                if kind == "unix":
                    place = Place(protocol, socket=unix, several=peer.several)
                else:
                    place = Place(protocol, port=free_port())
                self.places[peer.name, path] = place
                if path == "nginx" and front:
                    self.fronts[peer.name] = Place("http", port=free_port())
                    self.nginx.add(peer, place, self.fronts[peer.name].port)
        if front:
            self.nginx_command = self.nginx.start()

    def start(self, peer, path, need):
        place = self.places[peer.name, path]
        asked = self.fronts[peer.name] if path == "nginx" else place
        with undisturbed():
            instance = Instance(peer, place, asked, need, self.directory, self.variables)
            self.running.append(instance)
        self.commands.setdefault(path, {}).setdefault(peer.name, [])
        command = shlex.join(instance.command)
        if command not in self.commands[path][peer.name]:
            self.commands[path][peer.name].append(command)
        try:
            instance.wait_ready(self.generator)
        except BaseException:
            self.end(instance)
            raise
        return instance

    def end(self, instance, at_once=False):
        note = instance.stop(at_once)
        self.running.remove(instance)
        return note

    # --- measuring

    def measure(self):
        total = self.bound()[1]
        done = 0

        def tell(what):
            nonlocal done
            done += 1
            progress(f"{done} of {total}: round {number}, {what}")

        for number in range(1, self.arguments.rounds + 1):
            for load, path, fit in self.plan():
                for peer in fit:
                    tell(f"{path}, {load.name}, {peer.name}")
                    sample = self.sample(load, path, peer)
                    by_load = self.samples.setdefault(path, {}).setdefault(load.name, {})
                    by_load.setdefault(peer.name, []).append(sample)
            self.overload.measure_round(tell)
            if not sys.stderr.isatty():
                print(f"round {number} of {self.arguments.rounds} is done: {done} of {total}", file=sys.stderr)
        progress("")

    def sample(self, load, path, peer):
        each = self.tools.count(self.tools.cpus) if load.each == loads.EVERY_CPU else load.each
        need = Need(load.application, load.clients + load.others, load.waiting, load.threads, load.readers, each, load.preload,
                    load.timeout)  # fmt: skip
        key = peer.name, path, need
        if key in self.hopeless:
            return {"failed": self.hopeless[key]}
        try:
            instance = self.start(peer, path, need)
        except (SetupError, subprocess.TimeoutExpired) as error:
            self.hopeless[key] = str(error)
            self.tell_failure(peer, path, load, error)
            return {"failed": str(error)}
        try:
            return self.measure_instance(instance, load, path)
        except (SetupError, LoadFailed, subprocess.TimeoutExpired) as error:
            self.tell_failure(peer, path, load, error)
            return {"failed": str(error)}
        finally:
            note = self.end(instance, at_once=load.way == "deadlines")
            if note:
                self.notes.append(f"{peer.name} ({path}, {load.name}) {note}")

    def measure_instance(self, instance, load, path):
        peer = instance.peer
        if load.name == "file":
            self.warm_file()
        if peer.python and not instance.need.framework and peer.name not in self.pythons:
            self.pythons[peer.name] = ast.literal_eval(self.generator.ask(instance.asked, "/python").decode())
        sample = self.generator.measure(instance, load, self.nginx if path == "nginx" else None, WAYS.get(load.way))
        if load.name == "kept" and path == "fastcgi" and peer.name == "wsgi-fcgi":
            about = ast.literal_eval(self.generator.count_threads(instance).decode())
            sample["application_threads"] = about["threads"]
        return sample

    def warm_file(self):
        """Reads the large file through, so that no peer pays for its way into the page cache: a machine may have dropped
        it since the last sample, and filling it costs several times what sending it does."""
        with open(self.variables["BENCH_FILE"], "rb", buffering=0) as file:
            piece = bytearray(1 << 20)
            while file.readinto(piece):
                pass

    def tell_failure(self, peer, path, load, error):
        lines = str(error).splitlines()
        print(f"\n{peer.name}, {path}, {load.name}: FAILED: {lines[0]}")
        for line in lines[1:]:
            print(f"    {line}")

    def measure_memory(self):
        """wsgi-fcgi after a hello load beside an interpreter that does nothing; then with idle connections."""
        if "memory" not in self.arguments.load or not any(peer.name == "wsgi-fcgi" for peer in self.peers):
            return
        progress("memory")
        peer = next(peer for peer in self.peers if peer.name == "wsgi-fcgi")
        try:
            instance = self.start(peer, "fastcgi", Need())
            try:
                for name in ("close", "kept"):
                    self.generator.measure(instance, loads.BY_NAME[name])
                self.memory["wsgi-fcgi"] = proc.memory(instance.pids)
                python = ast.literal_eval(self.generator.ask(instance.asked, "/python").decode())["executable"]
                self.memory["idle"] = self.generator.measure_idle(instance)
            finally:
                self.end(instance)
            self.memory["pybase"] = bare_python(self.tools.program("pybase"), python)
        except (SetupError, LoadFailed, OSError, json.JSONDecodeError, subprocess.TimeoutExpired) as error:
            self.memory.clear()
            self.notes.append(f"memory could not be measured: {error}")
        progress("")

    def stop(self):
        for instance in list(self.running):  # of a run that was interrupted
            self.end(instance)
        if self.nginx:
            self.nginx.stop()
            if report.count_wrong({"samples": {"": self.samples.get("nginx", {})}, "memory": {}})[0]:
                self.notes += [f"nginx: {line}" for line in self.nginx.log()[-10:]]

    # --- what is kept

    def versions(self):
        return {peer.name: first_line(peer.version()) for peer in self.peers}

    def files(self):
        """What is configured by a file: Apache, a file for each of its addresses, and nginx."""
        return {path.name: path.read_text() for path in sorted(self.directory.glob("*.conf"))}

    def record(self, machine):
        """Everything that a report needs. Paths are those of the source tree, and RUN is the run's own directory."""
        return without_paths(self.everything(machine), str(self.directory))

    def everything(self, machine):
        return {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine,
            "arguments": shlex.join(["contrib/bench/run", *sys.argv[1:]]),
            "source": described_source(),
            "flags": compiler_flags(self.arguments.build),
            "versions": {**self.versions(), **({"nginx": first_line(["/usr/sbin/nginx", "-v"])} if self.nginx else {})},
            "pythons": self.pythons,
            "memos": {peer.name: peer.memo for peer in self.peers if peer.memo},
            "commands": self.commands,
            "nginx_command": self.nginx_command,
            "files": self.files(),
            "rounds": self.arguments.rounds,
            "seconds": self.arguments.duration,
            "rate": self.arguments.rate,
            "processes": self.arguments.processes or "as each manual recommends",
            "samples": self.samples,
            "overload": self.overload.samples,
            "memory": self.memory,
            "hash_rounds": self.hash_rounds,
            "notes": self.notes,
        }


def without_paths(value, directory):
    """Results are for others to read, who have these things elsewhere."""
    if isinstance(value, str):
        return value.replace(directory, "RUN").replace(f"{SOURCE}/", "").replace(str(SOURCE), ".")
    if isinstance(value, list):
        return [without_paths(item, directory) for item in value]
    if isinstance(value, dict):
        return {without_paths(key, directory): without_paths(item, directory) for key, item in value.items()}
    return value


def described_source():
    """Which source was measured, as git names it; "" outside of a clone."""
    command = ["git", "-C", str(SOURCE), "describe", "--always", "--dirty"]
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_line(command):
    """Of what a command says."""
    if not command:
        return ""
    if not shutil.which(command[0]):
        return "not installed"
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    return ", ".join((done.stdout or done.stderr).strip().splitlines()[:2])


def bare_python(program, python):
    command = [program, python]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline() != "ready\n":
                raise SetupError(f"this did not start: {' '.join(command)}")
            return proc.memory([process.pid])
        finally:
            process.terminate()


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def make_tools(arguments):
    return peers.Tools(
        build=arguments.build, venv=arguments.build / "venv", server=arguments.wsgi_fcgi, cpus=proc.cpu_count(),
        backlog=min(1024, proc.somaxconn()), processes=arguments.processes)  # fmt: skip
