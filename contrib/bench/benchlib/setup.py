"""Makes what is measured: builds the project, installs the peers at their pinned versions."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .peers import FORMS, SetupError

SOURCE = Path(__file__).resolve().parent.parent.parent.parent
REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
PROGRAMS = ("fcgi-load", "c-responder", "libfcgi-responder", "null-responder", "pybase")

# Besides what the build needs, which is also what PyPI's uWSGI and bjoern are compiled with.
DEBIAN = {
    "": ("python3-venv",),
    "plots": ("python3-matplotlib",),
    "nginx": ("nginx",),
    "php-fpm": ("php-fpm",),
    "mod_wsgi": ("apache2-bin", "libapache2-mod-wsgi-py3"),
}


def step(command, directory, environment=None):
    if subprocess.run(command, cwd=directory, stdout=sys.stderr, env=environment, check=False).returncode:
        raise SetupError(f"this failed, in {directory}: {' '.join(map(str, command))}")


def speaks_http(directory):
    config = directory / "config.h"
    return config.exists() and "#define WSGI_FCGI_HTTP 1" in config.read_text()


def configure(directory, *options):
    directory.mkdir(parents=True, exist_ok=True)
    step([str(SOURCE / "configure"), "--quiet", *options], directory)
    if not speaks_http(directory):
        print("contrib/bench/run: without wsgi-fcgi's own HTTP, as there is no llhttp", file=sys.stderr)


def make(directory, target):
    step(["make", "--quiet", f"-j{len(os.sched_getaffinity(0))}", target], directory)


def build(directory):
    """Makes what is missing or older than its source, with the HTTP front end where llhttp is there."""
    if not (SOURCE / "configure").exists():
        step(["./autogen.sh"], SOURCE)
    if not speaks_http(directory):  # llhttp may have come since
        configure(directory)
    make(directory, "all")
    make(directory, "bench-programs")


def build_form(directory, form):
    """The same in another form, below it, for the same Python."""
    if not speaks_http(directory / form):
        configure(directory / form, FORMS[form], f"PYTHON={embedded_python(directory)}")
    make(directory / form, "all")


def compiler_flags(build_directory):
    """The CFLAGS that it was configured with."""
    makefile = build_directory / "Makefile"
    found = re.search(r"^CFLAGS = (.*)$", makefile.read_text() if makefile.exists() else "", re.M)
    return found[1].strip() if found else ""


def check_programs(build_directory, server, names=PROGRAMS):
    for name in names:
        if not os.access(build_directory / "contrib/bench" / name, os.X_OK):
            raise SetupError(f"{name} is not in {build_directory}/contrib/bench: make bench-programs")
    if not os.access(server, os.X_OK):
        raise SetupError(f"{server} is not there")


def embedded_python(build_directory):
    """The interpreter that wsgi-fcgi was configured with: every peer has to run the same."""
    log = build_directory / "config.log"
    found = re.findall(r"^configure: Python [\d.]+\S* \((\S+)\)", log.read_text() if log.exists() else "", re.M)
    return found[-1] if found else "/usr/bin/python3"


INSTALL = """\
. "$1/contrib/lib.sh"
shift
install_packages "$@"
"""
BUILD_PACKAGES = '"${BUILD_PACKAGES[@]}" "$@"'
HTTP_PACKAGES = '"${HTTP_PACKAGES[@]}"'


def install_debian(names, paths):
    """What the build, these peers and these paths need. contrib/lib.sh sees to it that no service starts. Whatever is
    for one peer only is not needed by the others: that peer is listed as failed when it is not there."""
    install(BUILD_PACKAGES, DEBIAN[""])
    for key, packages in DEBIAN.items():
        if key in names or key in paths or key == "plots":
            try_install('"$@"', packages)
    try_install(HTTP_PACKAGES, ())


def install(words, packages):
    step(["bash", "-euc", INSTALL.replace('"$@"', words), "contrib/bench/run", str(SOURCE), *packages], SOURCE)


def try_install(words, packages):
    try:
        install(words, packages)
    except SetupError as error:
        print(f"contrib/bench/run: {error}", file=sys.stderr)


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
