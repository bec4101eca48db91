"""The servers that are measured: how each is started, found ready, and stopped."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import proc

APPS = Path(__file__).resolve().parent.parent / "apps"
START_SECONDS = 20
STOP_SECONDS = 10


class SetupError(Exception):
    pass


def backlog():
    """uWSGI refuses to start with a backlog above the kernel's limit, so all peers get what fits."""
    return min(1024, proc.somaxconn())


def environment():
    """Not the caller's: a pyenv or a virtual environment in it could give the peers different Pythons."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Peer:
    """A program. `kept` tells whether it keeps connections; `threads` whether it takes a number of threads."""

    name = ""
    kept = True
    python = True
    threads = True

    def __init__(self, program):
        self.program = str(program)

    def command(self, path, threads):
        raise NotImplementedError

    def version(self):
        return ""

    def output(self, *args):
        done = subprocess.run([self.program, *args], env=environment(), capture_output=True, text=True, check=False)
        lines = (done.stdout or done.stderr).strip().splitlines()
        return lines[0] if lines else ""


class WsgiFcgi(Peer):
    name = "wsgi-fcgi"

    def command(self, path, threads):
        count = ["--threads", str(threads)] if threads else []
        return [self.program, "--socket", path, "--backlog", str(backlog()), *count, "--chdir", str(APPS),
                "bench_app:application"]  # fmt: skip

    def version(self):
        return self.output("--version")


class Uwsgi(Peer):
    """As its manual advises for one process: no request log, a longer backlog, no second interpreter.

    Threads only where a load needs them: without them it does not take the GIL, which is faster.
    """

    name = "uwsgi"
    kept = False

    def command(self, path, threads):
        count = ["--enable-threads", "--threads", str(threads)] if threads else []
        return [self.program, "--strict", "--plugin", "python3", "--fastcgi-socket", path, "--listen", str(backlog()),
                "--processes", "1", *count, "--single-interpreter", "--need-app", "--disable-logging", "--die-on-term",
                "--chdir", str(APPS), "--module", "bench_app:application"]  # fmt: skip

    def version(self):
        return f"uWSGI {self.output('--version')}"


class CResponder(Peer):
    name = "c-responder"
    python = False
    threads = False

    def command(self, path, threads):
        return [self.program, path]


class NullResponder(CResponder):
    """wsgi-fcgi's own layers without its Python layer."""

    name = "null-responder"


class Instance:
    """A running peer, on a socket of its own."""

    def __init__(self, peer, role, directory, threads=None):
        self.peer = peer
        self.socket = str(directory / f"{peer.name}-{role}.sock")
        self.log = directory / f"{peer.name}-{role}.log"
        self.command = peer.command(self.socket, threads)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self.process.pid

    def wait_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                try:
                    s.connect(self.socket)
                    return
                except (FileNotFoundError, ConnectionRefusedError):
                    time.sleep(0.02)
        raise SetupError(f"{self.peer.name} does not listen after {START_SECONDS} s:\n{self.tail()}")

    def check(self):
        if self.process.poll() is not None:
            raise SetupError(f"{self.peer.name} ended with status {self.process.returncode}:\n{self.tail()}")

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([" ".join(self.command), *lines[-15:]])

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"{self.peer.name} (process {self.pid}) did not stop in {STOP_SECONDS} s; killed")
            self.process.kill()
            self.process.wait()


def find(name, package):
    path = shutil.which(name, path=environment()["PATH"])
    if not path:
        raise SetupError(f"{name} is missing (Debian: apt-get install {package})")
    return path
