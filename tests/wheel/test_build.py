"""The sources, installed as pip does it: from the source distribution, and editable. Nothing is fetched."""
import calendar
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import zipfile

import pytest

import installed
from installed import BACKEND, ROOT, version


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.fixture(scope="module")
def source(sdist, tmp_path_factory):
    """The source distribution, unpacked: without git, and built by nobody yet."""
    directory = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory)
    return directory / ("wsgi_fcgi-" + version())


def hooks(source, text, status=0, **more):
    """Calls the backend as pip does: in a process of its own, in the source directory."""
    code = "import sys; sys.path.insert(0, 'contrib/wheel'); sys.dont_write_bytecode = True; import backend; " + text
    return installed.run(os.environ["WHEEL_PYTHON"], "-c", code, cwd=source, status=status, **more)


def test_pip_compiles_the_same_wheel_from_the_source_distribution(fresh, sdist, tmp_path):
    """Without a network, in another folder, and from files that were unpacked: byte for byte what was built here."""
    built = installed.only(installed.symbols(), "*.whl")
    with zipfile.ZipFile(built) as archive:
        date = calendar.timegm((*archive.infolist()[0].date_time, 0, 0, 0))
    venv = fresh()
    venv.pip("wheel", "--no-index", "--no-cache-dir", "--wheel-dir", tmp_path, sdist, env={"SOURCE_DATE_EPOCH": str(date)})
    made = installed.only(tmp_path, "*.whl")
    assert os.path.basename(made) == os.path.basename(built)
    assert sha256(made) == sha256(built)
    venv.install(made)
    assert installed.run(venv.command, "--version").startswith("wsgi-fcgi %s\n" % version())


def test_the_source_distribution_of_the_source_distribution_is_itself(sdist, tmp_path):
    """From any folder: no shell takes its name for anything but a name."""
    folder = tmp_path / "it's $(a); new\\folder"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
        date = str(archive.getmembers()[0].mtime)
    source = folder / ("wsgi_fcgi-" + version())
    hooks(source, "backend.build_sdist(%r)" % str(tmp_path), env={"SOURCE_DATE_EPOCH": date})
    with tarfile.open(sdist) as one, tarfile.open(installed.only(tmp_path, "*.tar.gz")) as other:
        assert one.getnames() == other.getnames()
    assert sha256(sdist) == sha256(installed.only(tmp_path, "*.tar.gz"))


@pytest.fixture(scope="module")
def editable(source, tmp_path_factory):
    """A virtual environment into which the sources are installed as editable, with less than there could be."""
    venv = installed.Venv(tmp_path_factory.mktemp("editable") / "venv")
    venv.before = venv.files()
    # Whoever waits here does not wait for an optimiser.
    venv.pip("install", "--no-index", "--config-settings", "configure=--without-otlp --without-top", "--editable", source,
             env={"CFLAGS": "-O0"})
    return venv


def test_arguments_reach_configure(editable):
    said = installed.run(editable.command, "--version")
    assert said.startswith("wsgi-fcgi %s\n" % version()) and " http" in said and "otlp" not in said, said
    assert (editable.path / "share/man/man8/wsgi-fcgi.8").exists()
    assert not (editable.path / "share/man/man1/wsgi-fcgi-top.1").exists()
    told = installed.run(editable.path / "bin" / "wsgi-fcgi-top", "--version", status=69)
    assert "built without it" in told and "apt-get install" in told


def test_editable_is_what_the_sources_are(editable, source):
    where = installed.run(editable.python, "-c", "import wsgi_fcgi; print(wsgi_fcgi.__file__)")
    assert where.startswith(str(source / "build" / "editable"))
    # The folder in sys.path has nothing else that could be imported.
    assert os.listdir(os.path.dirname(os.path.dirname(where))) == ["wsgi_fcgi"]
    module = source / "src/package/wsgi_fcgi/__init__.py"
    text = module.read_text()
    module.write_text(text + "edited = True\n")
    try:
        installed.run("make", "-C", installed.only(source / "build" / "editable", "cp*"))
        installed.run(editable.python, "-c", "import wsgi_fcgi; assert wsgi_fcgi.edited")
    finally:
        module.write_text(text)


def test_editable_leaves_nothing_when_it_is_taken_away(editable):
    editable.pip("uninstall", "--yes", "wsgi-fcgi")
    assert {name for name in editable.files() - editable.before if not (editable.path / name).is_dir()} == set()


def test_metadata_is_told_without_compiling(source, tmp_path, wheel):
    asked = "print(backend.prepare_metadata_for_build_wheel(%r), backend.get_requires_for_build_wheel())"
    said = hooks(source, asked % str(tmp_path), env={"PATH": "/nonexistent"})
    assert said == "wsgi_fcgi-%s.dist-info []\n" % version()
    files = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file())
    assert [name for name in files if "/third-party/" not in name] == [
        said.split()[0] + "/" + name for name in ("METADATA", "WHEEL", "entry_points.txt", "licenses/LICENSE")]


@pytest.mark.parametrize("tool, package", [("gcc", "gcc"), ("make", "make"), ("pkg-config", "pkg-config")])
def test_a_tool_that_is_missing_is_named_with_all_packages(source, tmp_path, tool, package):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in {"gcc", "make", "pkg-config", "ar"} - {tool}:
        (tools / name).symlink_to(shutil.which(name))
    said = hooks(source, "backend.build_wheel(%r)" % str(tmp_path), status=1, env={"PATH": str(tools)})
    assert said.count("\n") == 1 and said.startswith("wsgi-fcgi: error: missing: %s. " % tool), said
    assert package in said.partition("apt-get install ")[2].split() and "libev-dev" in said, said


def test_a_library_that_is_missing_is_named_with_its_package(source, tmp_path):
    include = tmp_path / "include"
    include.mkdir()
    (include / "ev.h").write_text("#error hidden by a test\n")
    said = hooks(source, "backend.build_wheel(%r)" % str(tmp_path), status=1, env={"CPPFLAGS": "-I%s" % include})
    last = said.splitlines()[-1]
    assert last.startswith("wsgi-fcgi: error: configure failed: ") and "libev-dev" in last, said


@pytest.mark.parametrize("settings, why", [
    ({"config": "--without-otlp"}, "-C config: there is no such setting"),
    ({"configure": "--enable-no-such"}, "--enable-no-such"),
    ({"configure": ["--without-otlp", "PYTHON=/nonexistent"]}, "/nonexistent"),
])
def test_settings_that_are_wrong(source, tmp_path, settings, why):
    said = hooks(source, "backend.build_wheel(%r, %r)" % (str(tmp_path), settings), status=1)
    assert said.splitlines()[-1].startswith("wsgi-fcgi: error: ") and why in said, said


@pytest.mark.parametrize("name, sign", [("a space", " "), ("it's", "'"), ("$(a)", "$")])
def test_a_build_in_a_folder_whose_name_make_would_split(source, tmp_path, name, sign):
    folder = tmp_path / name
    folder.mkdir()
    said = hooks(source, "backend.build_wheel(%r)" % str(tmp_path), status=1, env={"TMPDIR": str(folder)})
    assert said.startswith("wsgi-fcgi: error: %s/" % folder) and "make takes no path with %r in it" % sign in said, said
    assert said.count("\n") == 1 and os.listdir(folder) == []


def test_what_fails_leaves_nothing_in_the_temporary_folder(source, tmp_path):
    hooks(source, "backend.build_wheel(%r, {'configure': 'PYTHON=/nonexistent'})" % str(tmp_path), status=1,
          env={"TMPDIR": str(tmp_path)})
    assert os.listdir(tmp_path) == []


def test_the_usage(tmp_path):
    said = installed.run(os.environ["WHEEL_PYTHON"], "-B", BACKEND, status=1)
    assert re.match(r"usage: backend\.py wheel\|sdist ", said), said
    script = subprocess.run([str(ROOT / "contrib" / "wheels"), "--no-such"], capture_output=True, text=True)
    assert script.returncode == 64 and "contrib/wheels --help" in script.stderr
    script = subprocess.run([str(ROOT / "contrib" / "wheels"), "/nonexistent"], capture_output=True, text=True)
    assert script.returncode == 64 and "no such Python" in script.stderr
