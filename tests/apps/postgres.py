"""A private PostgreSQL, reached by a Unix socket in a temporary directory."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile

from daemon import clean_environ, until
from fcgi import PATIENCE

# PostgreSQL refuses to run as root.
USER = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}


def program(name):
    """Debian keeps several versions beside each other, outside of PATH."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name), key=lambda path: int(re.findall(r"\d+", path)[0]))
    path = found[-1] if found else shutil.which(name)
    assert path, "PostgreSQL is not installed: apt-get install postgresql"
    return path


class Postgres:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-postgres.")
        if USER:
            shutil.chown(self.dir, USER["user"], USER["group"])
        data = os.path.join(self.dir, "data")
        self.log_path = os.path.join(self.dir, "log")
        self.process = None
        common = {"cwd": self.dir, "env": clean_environ(), "stdin": subprocess.DEVNULL, **USER}
        try:
            with open(self.log_path, "wb") as log:
                subprocess.run([program("initdb"), "--pgdata", data, "--auth=trust", "--username=postgres",
                                "--encoding=UTF8", "--locale=C", "--no-sync"],
                               stdout=log, stderr=log, check=True, **common)
                self.process = subprocess.Popen([program("postgres"), "-D", data, "-k", self.dir,
                                                 "-c", "listen_addresses=", "-c", "fsync=off"],
                                                stdout=log, stderr=log, **common)
            until(self._ready, "PostgreSQL to start", self.log)
        except BaseException:
            self.stop()
            raise

    def _ready(self):
        assert self.process.poll() is None, "PostgreSQL ended\n" + self.log()
        return "database system is ready to accept connections" in self.log()

    def log(self):
        with open(self.log_path, errors="backslashreplace") as log:
            return log.read()

    def stop(self):
        try:
            if self.process:
                self.process.send_signal(signal.SIGINT)
                assert self.process.wait(PATIENCE) == 0, self.log()
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.dir, ignore_errors=True)
