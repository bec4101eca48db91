"""Builds wheels and the source distribution: what pip, build and uv call (PEP 517, PEP 660), and contrib/wheels.

There is one list of sources and of what they need, that of configure and make, which run outside of the source
directory for the Python that runs this. Nothing but Python's own library is imported, so that a build needs no network.
A wheel is the same, byte for byte, wherever it is built by the same compiler and Python; $SOURCE_DATE_EPOCH is the date
in it.

The version is configure.ac's, all else that is told of the package pyproject.toml's.

usage: backend.py wheel|sdist DIRECTORY [ARGUMENT OF CONFIGURE...]
"""
import base64
import gzip
import hashlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "wsgi_fcgi"
# What a zip archive can tell at least: the beginning of 1980.
EARLIEST = 315532800
# The programs that a build runs, and the Debian packages that have them.
TOOLS = {"make": "make", "pkg-config": "pkg-config", "ar": "binutils"}
TOOLS_OF_CHECKOUT = {"autoreconf": "autoconf", "automake": "automake"}
LIBRARIES = "libc6-dev libev-dev libfcgi-dev libinih-dev"
# Debian's packages whose code is put into the wheel, by the build or by auditwheel, and where each says on which terms.
CONTAINED = ("libev-dev", "libfcgi-dev", "libinih-dev", "node-llhttp", "libllhttp-dev", "libjansson-dev", "libncurses-dev")
NOTICE = "/usr/share/doc/%s/copyright"
# Put into the wheel where they were built: name, folder of the manual.
PAGES = {"wsgi-fcgi.8": "man8", "wsgi-fcgi-migrate.7": "man7", "wsgi-fcgi-top.1": "man1"}
PAGE_NEEDS = {"wsgi-fcgi-top.1": "wsgi-fcgi-top"}
# Of the output of a command that fails, so many lines are shown.
TAIL = 25
# Beside the build, what the sources are called there: configure takes no blank in their path, and this has none.
SOURCE = "source"
# What make and its shell take for what it is, in the path of a build; in that of Python, which is in quotes, a blank too.
PLAIN = re.compile(r"[-\w./+:@%,~=]*")
QUOTED = re.compile(r"[-\w./+:@%,~= ]*")


class Refused(Exception):
    """What keeps it from being built, in a line for the person who builds."""


# --- the hooks ---


def hook(function):
    """A mistake of the machine or of the caller ends with a line, and not with a traceback of this file."""
    def call(*args, **more):
        try:
            return function(*args, **more)
        except Refused as refused:
            sys.exit("wsgi-fcgi: error: %s" % refused)
    return call


def no_requirements(config_settings=None):
    return []


get_requires_for_build_wheel = get_requires_for_build_sdist = get_requires_for_build_editable = no_requirements


@hook
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    configure_arguments(config_settings)
    directory = Path(metadata_directory, dist_info())
    for name, data in metadata_files():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory.name


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


@hook
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-") as directory:
        build = Path(directory).resolve()
        compile_in(build, configure_arguments(config_settings))
        return write_wheel(wheel_directory, [*package_files(build), *manual_files(build)])


@hook
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    """The package stays where it is built, and is what `make` there makes of the sources the next time."""
    build = ROOT / "build" / "editable" / abi()
    build.mkdir(parents=True, exist_ok=True)
    compile_in(build, configure_arguments(config_settings))
    # A folder with nothing else to import in it.
    folder = build / "editable"
    folder.mkdir(exist_ok=True)
    link(folder / PACKAGE, Path("..", PACKAGE))
    for program in programs(build):
        link(build / PACKAGE / program.name, Path("..", program.name))
    pth = ("%s.pth" % PACKAGE, ("%s\n" % folder).encode(), 0o644)
    return write_wheel(wheel_directory, [pth, *manual_files(build)])


def link(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


@hook
def build_sdist(sdist_directory, config_settings=None):
    name = "%s-%s" % (PACKAGE, version())
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-") as directory:
        build = Path(directory).resolve()
        configure(build, configure_arguments(config_settings))
        run(["make", "-s", "--no-print-directory", "-C", build, "distdir", "distdir=" + name])
        (build / name / "PKG-INFO").write_bytes(metadata())
        write_tar(Path(sdist_directory, name + ".tar.gz"), build / name)
    return name + ".tar.gz"


# --- configure and make ---


def configure_arguments(config_settings):
    """Those of `-C configure=ARGUMENT`, which may be given more than once and have several each."""
    settings = dict(config_settings or {})
    given = settings.pop("configure", [])
    if settings:
        raise Refused("-C %s: there is no such setting; there is -C configure=\"ARGUMENT...\"" % next(iter(settings)))
    return [word for text in ([given] if isinstance(given, str) else given) for word in shlex.split(text)]


def compile_in(build, arguments):
    configure(build, arguments)
    run(["make", "-s", "--no-print-directory", "-C", build, "-j%d" % len(os.sched_getaffinity(0))])


def configure(build, arguments):
    """HTTP is always there, unless the arguments, which come last, say otherwise."""
    if sys.implementation.name != "cpython" or sys.platform != "linux":
        raise Refused("it needs CPython on Linux, and this is %s on %s" % (sys.implementation.name, sys.platform))
    check_paths(build)
    check_tools()
    if must_autogen():
        run([ROOT / "autogen.sh"])
    link(build / SOURCE, ROOT)
    run([Path(SOURCE, "configure"), "--quiet", "--enable-python-module", "--enable-http", "--disable-maintainer-mode",
         "--enable-option-checking=fatal", "PYTHON=" + sys.executable, "CFLAGS=" + flags(build), *arguments], cwd=build)


def check_paths(build):
    """Neither make nor a shell may see anything but a name in them."""
    for path, plain in ((str(build), PLAIN), (sys.executable, QUOTED)):
        if not plain.fullmatch(path):
            raise Refused("%s: make takes no path with %r in it: it has to be elsewhere" %
                          (path, plain.sub("", path, count=1)[:1]))


def flags(build):
    """The compiler is told to forget where it was, which is another place each time. The sources are in it."""
    return "%s -ffile-prefix-map=%s=%s" % (os.environ.get("CFLAGS", "-g -O2"), build, PACKAGE)


def check_tools():
    compiler = shlex.split(os.environ.get("CC", ""))[:1] or ["gcc"]
    tools = {compiler[0]: "gcc", **TOOLS, **(TOOLS_OF_CHECKOUT if must_autogen() else {})}
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        packages = " ".join(dict.fromkeys(tools.values()))
        raise Refused("missing: %s. Debian has all that a build needs: apt-get install %s %s %s" %
                      (", ".join(missing), packages, LIBRARIES, parser_package()))


def parser_package():
    """The HTTP parser: sources in Debian 12, a library later."""
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        release = ""
    return "node-llhttp" if re.search(r'^VERSION_ID="?12"?$', release, re.MULTILINE) else "libllhttp-dev"


def must_autogen():
    """Whether this is a checkout whose configure is not there, or is older than what it is made of. In a source
    distribution it never is, whatever the dates of the files have become."""
    made = ROOT / "configure"
    if not made.exists():
        return True
    parts = [ROOT / "configure.ac", ROOT / "Makefile.am", *ROOT.glob("m4/*.m4"), *ROOT.glob("*/local.mk")]
    return (ROOT / ".git").exists() and any(part.stat().st_mtime > made.stat().st_mtime for part in parts)


def run(command, **more):
    """Its output is shown when it fails. What is wrong is in its last line, or in the last before those of make."""
    command = [str(word) for word in command]
    # Those of a make that has called this are not for ours.
    of_make = ("MAKEFLAGS", "MAKELEVEL", "DESTDIR")
    environment = {name: value for name, value in os.environ.items() if name not in of_make}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", env=environment, **more)
    except OSError as error:
        raise Refused("%s: %s" % (command[0], error.strerror)) from error
    if done.returncode:
        lines = done.stdout.splitlines() or ["it said nothing"]
        errors = [line for line in lines if "error: " in line] or lines
        sys.stderr.write("".join("%s\n" % line for line in lines[-TAIL:]))
        raise Refused("%s failed: %s" % (os.path.basename(command[0]), errors[-1]))


# --- what it is made of ---


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version():
    text = (ROOT / "configure.ac").read_text(encoding="utf-8")
    found = re.search(r"^AC_INIT\(\[wsgi-fcgi\], \[([^]]+)\]", text, re.MULTILINE)
    if not found:
        raise Refused("configure.ac names no version")
    return found[1]


def metadata(notices=()):
    """METADATA of a wheel, and PKG-INFO of a source distribution: core metadata 2.4."""
    about = project()
    fields = [("Metadata-Version", "2.4"), ("Name", about["name"]), ("Version", version()),
              ("Summary", about["description"]), ("Keywords", ",".join(about["keywords"])),
              ("Author", ", ".join(author["name"] for author in about["authors"])),
              ("License-Expression", about["license"])]
    fields += [("License-File", name) for name in [*about["license-files"], *notices]]
    fields += [("Classifier", name) for name in about["classifiers"]]
    fields += [("Project-URL", "%s, %s" % pair) for pair in about.get("urls", {}).items()]
    fields += [("Requires-Python", about["requires-python"]), ("Description-Content-Type", "text/markdown")]
    text = "".join("%s: %s\n" % field for field in fields)
    return (text + "\n" + (ROOT / about["readme"]).read_text(encoding="utf-8")).encode()


def notices_found():
    """The terms of what a wheel has in it that is not the server's, as the distribution tells them: {name below licenses/:
    file}. They ask for that. Elsewhere than on Debian whoever hands a wheel on has to add them."""
    paths = {"third-party/" + name: Path(NOTICE % name) for name in CONTAINED}
    return {name: path for name, path in paths.items() if path.is_file()}


def metadata_files():
    about = project()
    notices = notices_found()
    scripts = "[console_scripts]\n" + "".join("%s = %s\n" % script for script in about["scripts"].items())
    about_wheel = "Wheel-Version: 1.0\nGenerator: wsgi-fcgi %s\nRoot-Is-Purelib: false\nTag: %s\n" % (version(), tag())
    yield "METADATA", metadata(notices)
    yield "WHEEL", about_wheel.encode()
    yield "entry_points.txt", scripts.encode()
    for name in about["license-files"]:
        yield "licenses/" + name, (ROOT / name).read_bytes()
    for name, path in notices.items():
        yield "licenses/" + name, path.read_bytes()


def package_files(build):
    """Name, contents and mode of each file of the package, as it lies in the build, and of the programs beside it."""
    files = [path for path in (build / PACKAGE).iterdir()
             if path.is_file() and not path.is_symlink() and not path.name.startswith(".")]
    for path in sorted([*files, *programs(build)], key=lambda path: path.name):
        yield "%s/%s" % (PACKAGE, path.name), path.read_bytes(), 0o755 if is_program(path) else 0o644


def programs(build):
    """What was built for people who look, if configure found what it needs."""
    return [path for path in [build / "wsgi-fcgi-top"] if path.exists()]


def is_program(path):
    """Not a module, which the linker makes executable as well."""
    return os.access(path, os.X_OK) and path.suffix != ".so"


def manual_files(build):
    for name, folder in PAGES.items():
        if name not in PAGE_NEEDS or (build / PAGE_NEEDS[name]).exists():
            yield ("%s-%s.data/data/share/man/%s/%s" % (PACKAGE, version(), folder, name),
                   (ROOT / "man" / name).read_bytes(), 0o644)


# --- archives ---


def abi():
    """ "cp313t" for example, as the interpreter names the files of extension modules."""
    return "cp" + sysconfig.get_config_var("SOABI").split("-")[1]


def tag():
    return "cp%d%d-%s-%s" % (*sys.version_info[:2], abi(), re.sub("[-.]", "_", sysconfig.get_platform()))


def dist_info():
    return "%s-%s.dist-info" % (PACKAGE, version())


def date():
    return max(EARLIEST, int(os.environ.get("SOURCE_DATE_EPOCH", EARLIEST)))


def write_wheel(directory, files):
    """What is told of the package comes last, and the list of all with it (PEP 427)."""
    files = [*files, *(("%s/%s" % (dist_info(), name), data, 0o644) for name, data in metadata_files())]
    record = "%s/RECORD" % dist_info()
    lines = []
    for name, data, _ in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append("%s,sha256=%s,%d\n" % (name, digest, len(data)))
    files.append((record, "".join([*lines, record + ",,\n"]).encode(), 0o644))
    wheel = "%s-%s-%s.whl" % (PACKAGE, version(), tag())
    when = time.gmtime(date())[:6]
    with zipfile.ZipFile(Path(directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, mode in files:
            entry = zipfile.ZipInfo(name, when)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whose modes these are
            entry.external_attr = (0o100000 | mode) << 16
            archive.writestr(entry, data)
    return wheel


def write_tar(path, folder):
    """A folder with all that is in it, in the order of the names, and nobody's."""
    def plain(member):
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = date()
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(folder, folder.name, recursive=False, filter=plain)
        for each in sorted(folder.rglob("*")):
            archive.add(each, str(Path(folder.name, each.relative_to(folder))), recursive=False, filter=plain)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=date()) as packed:
        packed.write(data.getvalue())


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("wheel", "sdist"):
        sys.exit(__doc__.strip().splitlines()[-1])
    build = build_wheel if sys.argv[1] == "wheel" else build_sdist
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    print(Path(sys.argv[2], build(sys.argv[2], {"configure": [shlex.quote(word) for word in sys.argv[3:]]})))


if __name__ == "__main__":
    main()
