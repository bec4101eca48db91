"""Virtual environments, and what is installed into them."""
import glob
import os
import re
import subprocess
from pathlib import Path

import daemon

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "contrib" / "wheel" / "backend.py"
# A build takes half a minute on a machine that does nothing else.
PATIENCE = 900


def only(directory, pattern):
    found = glob.glob(os.path.join(directory, pattern))
    assert len(found) == 1, "%s in %s: %s" % (pattern, directory, found)
    return found[0]


def run(*command, env=None, status=0, **more):
    """Runs it in an environment that says nothing to Python and pip. Returns its output, both kinds."""
    clean = {name: value for name, value in daemon.clean_environ().items() if name not in ("CC", "MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run([str(word) for word in command], env={**clean, **(env or {})}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, **more)
    assert done.returncode == status, "%s ended with status %d\n%s" % (command, done.returncode, done.stdout)
    return done.stdout


def version():
    """The one place where it stands."""
    return re.search(r"AC_INIT\(\[wsgi-fcgi\], \[([^]]+)\]", (ROOT / "configure.ac").read_text())[1]


def symbols():
    """Where the wheel is that auditwheel has not seen."""
    return os.path.join(os.environ["WHEELS"], "with-symbols")


class Venv:
    def __init__(self, path):
        self.path = path
        run(os.environ["WHEEL_PYTHON"], "-m", "venv", path)

    @property
    def python(self):
        return self.path / "bin" / "python"

    @property
    def command(self):
        return self.path / "bin" / "wsgi-fcgi"

    def package(self):
        """Where it lies, without a symbolic link."""
        return os.path.realpath(run(self.python, "-c", "import wsgi_fcgi; print(wsgi_fcgi.__path__[0])").strip())

    def pip(self, *arguments, **more):
        return run(self.python, "-m", "pip", "--no-input", "--disable-pip-version-check", *arguments, **more)

    def install(self, what, *options, **more):
        """Without the index: nothing may be fetched."""
        return self.pip("install", "--no-index", *options, what, **more)

    def files(self):
        """All that is in it, but for what Python has compiled."""
        return {str(each.relative_to(self.path)) for each in self.path.rglob("*") if "__pycache__" not in each.parts}
