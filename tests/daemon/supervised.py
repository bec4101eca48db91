"""A server with workers, as its log and /proc show them."""
import os
import re

import daemon
from daemon import Daemon, until

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = os.path.join(HERE, "supervisor", "fake_worker.py")


def supervisor_binary():
    """The supervisor of the build."""
    if daemon.is_extension():
        return os.path.join(os.path.dirname(daemon.binary()), "wsgi_fcgi", "wsgi-fcgi-supervisor")
    return daemon.binary() + "-supervisor"


def children_of(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
            return set(map(int, file.read().split()))
    except (FileNotFoundError, ProcessLookupError):
        return set()


class Supervised(Daemon):
    """`pid` is the supervisor's. Waits until all workers serve, unless wait=False."""

    def __init__(self, app, count, *args, wait=True, **more):
        self.preload = "--preload" in args
        super().__init__(app, "--workers", count, *args, wait=wait, **more)
        if wait:
            try:
                until(lambda: len(self.serving()) >= int(count), "all workers to serve", self.log, 2 * daemon.PATIENCE)
            except BaseException:
                self.kill()
                raise

    def zygotes(self):
        """With --preload: those that have not ended, and workers whose zygote is gone."""
        return children_of(self.pid)

    def children(self):
        """With --preload those of zygotes as well."""
        own = children_of(self.pid)
        return own.union(*map(children_of, own)) if self.preload else own

    def serving(self):
        """{number: process} of those that live and serve, as the log has it; the latest of each number."""
        children = self.children()
        found = re.findall(r"worker (\d+) \(process (\d+)\) serves", self.log())
        return {int(number): int(pid) for number, pid in found if int(pid) in children}

    def started(self, number):
        """The processes of the workers of this number so far."""
        return [int(pid) for pid in re.findall(r"worker %d \(process (\d+)\) is started" % number, self.log())]

    def wait_gone(self, pid):
        until(lambda: not os.path.exists("/proc/%d" % pid), "process %d to be gone" % pid, self.log)

    def stop(self):
        left = self.children() if self.process.poll() is None else set()
        super().stop()
        for pid in left:
            self.wait_gone(pid)

    def kill(self):
        """The workers end when they notice that it is gone; a test that has failed does not wait for that."""
        left = []
        if self.process.poll() is None:
            left = self.children()
        super().kill()
        for pid in left:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


class Faked(Supervised):
    """A supervisor whose workers are fake_worker.py: `steps` for each, and as FAKE_WORKER_* otherwise in `env`."""

    def __init__(self, directory, count, *args, steps="load", env=None, wait=True, **more):
        path = os.path.join(str(directory), "fake.sock")
        self.fakes = str(directory)
        command = [supervisor_binary(), "--workers", str(count), "-s", path, *map(str, args), "app"]
        env = {"WSGI_FCGI_PROGRAM": FAKE, "FAKE_WORKER": steps, "FAKE_DIR": str(directory), **(env or {})}
        super().__init__(None, count, command=command, sockets=False, wait=False, address=path, env=env, **more)
        if wait:
            self.wait_log("worker 0 .* serves")

    def pid_of(self, number):
        """The latest fake worker of this number."""
        with open(os.path.join(self.fakes, "pid.%d" % number)) as file:
            return int(file.read())
