"""Makes what is measured: builds the project, installs the peers at their pinned versions."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .peers import SetupError

SOURCE = Path(__file__).resolve().parent.parent.parent.parent
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PROGRAMS = ("fcgi-load", "c-responder", "libfcgi-responder", "null-responder", "pybase")

# What PyPI's peers are compiled with where there is no wheel (uWSGI, bjoern), and what is taken from Debian itself.
DEBIAN = {
    "": ("python3-venv", "python3-dev", "libev-dev", "gcc", "libc6-dev", "python3-matplotlib"),
    "nginx": ("nginx",),
    "mod_wsgi": ("apache2-bin", "libapache2-mod-wsgi-py3"),
}


def step(command, directory, environment=None):
    if subprocess.run(command, cwd=directory, stdout=sys.stderr, env=environment, check=False).returncode:
        raise SetupError(f"this failed, in {directory}: {' '.join(map(str, command))}")


def build(directory):
    """Makes what is missing or older than its source."""
    if not (directory / "Makefile").exists():
        directory.mkdir(parents=True, exist_ok=True)
        if not (SOURCE / "configure").exists():
            step(["./autogen.sh"], SOURCE)
        step([str(SOURCE / "configure"), "--quiet"], directory)
    jobs = f"-j{len(os.sched_getaffinity(0))}"
    step(["make", "--quiet", jobs, "all"], directory)
    step(["make", "--quiet", jobs, "bench-programs"], directory)


def check_programs(build_directory, server):
    for name in PROGRAMS:
        if not os.access(build_directory / "contrib/bench" / name, os.X_OK):
            raise SetupError(f"{name} is not in {build_directory}/contrib/bench: make bench-programs")
    if not os.access(server, os.X_OK):
        raise SetupError(f"{server} is not there")


def embedded_python(build_directory):
    """The interpreter that wsgi-fcgi was configured with: every peer has to run the same."""
    log = build_directory / "config.log"
    found = re.findall(r"^configure: Python [\d.]+\S* \((\S+)\)", log.read_text() if log.exists() else "", re.M)
    return found[-1] if found else "/usr/bin/python3"


def install_debian(names, paths):
    """The packages that these peers and paths need. contrib/lib.sh sees to it that no service starts."""
    packages = [p for key, some in DEBIAN.items() if not key or key in names or key in paths for p in some]
    script = '. "$1/contrib/lib.sh"; shift; install_packages "$@"'
    step(["bash", "-euc", script, "contrib/bench/run", str(SOURCE), *packages], SOURCE)


def install_pypi(venv, python):
    """Everything of requirements.txt, at its version; only when the file or the interpreter changed. A package that
    cannot be installed is named and left out: its peer fails when it is started, and is listed as failed."""
    stamp = venv / "installed.txt"
    wanted = f"{python}\n{REQUIREMENTS.read_text()}"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    step([python, "-m", "venv", "--clear", str(venv)], SOURCE, clean)
    pip = [str(venv / "bin/pip"), "--disable-pip-version-check", "install", "--quiet"]
    try:
        step([*pip, "--requirement", str(REQUIREMENTS)], SOURCE, clean)
    except SetupError:
        for line in REQUIREMENTS.read_text().splitlines():
            if line and not line.startswith("#"):
                try:
                    step([*pip, "--no-deps", line], SOURCE, clean)
                except SetupError as error:
                    print(f"contrib/bench/run: {error}", file=sys.stderr)
        return
    stamp.write_text(wanted)
