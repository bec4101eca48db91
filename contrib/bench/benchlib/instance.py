"""A running peer: started, found ready, measured, and ended by its process id."""

import os
import signal
import socket
import subprocess
import time

from . import proc
from .peers import APPS, SetupError

START_SECONDS = 20
STOP_SECONDS = 8
ASK_SECONDS = 30


def environment(more=()):
    """Not the caller's: a pyenv or a virtual environment in it could give the peers different Pythons."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict(more),
    }


class Instance:
    """`place` is where it listens, `asked` where the load goes: the same, or nginx in front of it."""

    def __init__(self, peer, place, asked, need, directory, variables):
        self.peer = peer
        self.need = need
        self.place = place
        self.asked = asked
        self.log = directory / f"{peer.name}.log"
        self.command = peer.command(place, need, directory)
        self.pids = []
        self.startup_ms = None
        for path in place.sockets:
            if path and os.path.exists(path):
                os.unlink(path)
        self.started = time.monotonic()
        with open(self.log, "wb") as log:
            try:
                self.process = subprocess.Popen(
                    self.command, env=environment(variables), cwd=APPS, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            except OSError as error:
                raise SetupError(f"cannot start {self.command[0]}: {error.strerror}") from error
        self.pid = self.process.pid

    def wait_ready(self, generator):
        """Until the first answer, which is the start-up time. Whoever asks through nginx gets 502 before that."""
        deadline = self.started + START_SECONDS
        while not self.accepts():
            self.wait_or_fail(deadline)
        while not generator.answers(self.asked, "/"):
            self.wait_or_fail(deadline)
        self.startup_ms = (time.monotonic() - self.started) * 1000
        self.pids = proc.tree(self.pid)

    def accepts(self):
        if not self.place.socket:
            return connects(socket.AF_INET, ("127.0.0.1", self.place.port))
        return all(connects(socket.AF_UNIX, path) for path in self.place.sockets)

    def wait_or_fail(self, deadline):
        self.check()
        if time.monotonic() > deadline:
            raise SetupError(f"no answer {START_SECONDS} s after its start\n{self.tail()}")
        time.sleep(0.002)

    def check(self):
        if self.process.poll() is not None:
            raise SetupError(f"it ended with status {self.process.returncode}\n{self.tail()}")

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def stop(self, at_once=False):
        """Ends the process and whatever it leaves behind. Returns a note when that took force. `at_once`: by force, as what
        it still works at is nobody's any more."""
        children = {pid: proc.start_time(pid) for pid in proc.tree(self.pid)[1:]}
        note = ""
        if self.process.poll() is None and at_once:
            self.process.kill()
        elif self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            note = f"did not stop in {STOP_SECONDS} s and was killed"
            self.process.kill()
            self.process.wait()
        for pid, started in children.items():
            if started and proc.start_time(pid) == started:
                os.kill(pid, signal.SIGKILL)
        self.wait_for(children)
        return note

    def wait_for(self, children):
        """Until those that were killed are gone: what one of them listens on is not free before."""
        deadline = time.monotonic() + STOP_SECONDS
        for pid, started in children.items():
            while started and proc.start_time(pid) == started and not proc.has_ended(pid) and time.monotonic() < deadline:
                time.sleep(0.002)


def connects(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        try:
            s.connect(address)
        except OSError:
            return False
    return True
