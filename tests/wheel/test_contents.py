"""What is in the wheel and in the source distribution, and that it is true."""
import base64
import csv
import email
import hashlib
import io
import re
import subprocess
import tarfile
import zipfile

import pytest

import installed
from installed import ROOT, version


@pytest.fixture(scope="module")
def archive(wheel):
    with zipfile.ZipFile(wheel) as opened:
        yield opened


@pytest.fixture(scope="module")
def unpacked(archive, tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    archive.extractall(directory)
    return directory


def info(archive, name):
    return archive.read("wsgi_fcgi-%s.dist-info/%s" % (version(), name)).decode()


def is_program(data):
    return data[:4] == b"\x7fELF"


def test_all_that_belongs_to_it_is_there_and_nothing_else(archive):
    names = {name for name in archive.namelist() if not name.endswith("/")}
    data = {"wsgi_fcgi-%s.data/data/share/man/%s" % (version(), page)
            for page in ("man8/wsgi-fcgi.8", "man7/wsgi-fcgi-migrate.7", "man1/wsgi-fcgi-top.1")}
    package = {name for name in names if name.startswith("wsgi_fcgi/") and "/libs/" not in name}
    module = {name for name in package if re.fullmatch(r"wsgi_fcgi/_server\.cpython-\d+t?-.*\.so", name)}
    assert len(module) == 1, package
    assert package - module == {"wsgi_fcgi/" + name for name in (
        "__init__.py", "__init__.pyi", "__main__.py", "_command.py", "_elsewhere.py", "_top.py", "py.typed",
        "wsgi-fcgi-supervisor", "wsgi-fcgi-top")}
    rest = names - package - data
    assert all(re.match(r"wsgi_fcgi/libs/lib\w+-\w+\.so[.\d]*$|wsgi_fcgi-%s\.dist-info/" % re.escape(version()), name)
               for name in rest), rest
    assert data < names


def test_every_file_is_recorded_with_its_hash(archive):
    record = list(csv.reader(io.StringIO(info(archive, "RECORD"))))
    assert {row[0] for row in record} == {name for name in archive.namelist() if not name.endswith("/")}
    for name, digest, size in record:
        if name.endswith("/RECORD"):
            continue
        data = archive.read(name)
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode(), name
        assert int(size) == len(data), name


def test_programs_can_be_executed(archive):
    modes = {each.filename: each.external_attr >> 16 & 0o777 for each in archive.infolist()}
    assert modes["wsgi_fcgi/wsgi-fcgi-supervisor"] == modes["wsgi_fcgi/wsgi-fcgi-top"] == 0o755
    assert modes["wsgi_fcgi/__init__.py"] == 0o644


def test_terms_of_what_it_contains(archive):
    """Other people's libraries, as the distribution says on which terms, and the server's own."""
    about = email.message_from_string(info(archive, "METADATA"))
    names = about.get_all("License-File")
    assert names[0] == "LICENSE"
    assert {"third-party/libev-dev", "third-party/libfcgi-dev", "third-party/libinih-dev"} < set(names)
    assert any("llhttp" in name for name in names)
    for name in names:
        assert "copyright" in info(archive, "licenses/" + name).lower()


def test_metadata(archive):
    about = email.message_from_string(info(archive, "METADATA"))
    assert (about["Name"], about["Version"], about["License-Expression"], about["Requires-Python"]) == (
        "wsgi-fcgi", version(), "MIT", ">=3.11")
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload() == (ROOT / "README.md").read_text()
    assert about.get_all("Requires-Dist") is None
    assert info(archive, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert "wsgi-fcgi = wsgi_fcgi.__main__:main" in info(archive, "entry_points.txt")


def test_the_source_distribution_tells_the_same(archive, sdist):
    """But for the terms of what only the wheel contains."""
    with tarfile.open(sdist) as source:
        told = source.extractfile("wsgi_fcgi-%s/PKG-INFO" % version()).read().decode()
    lines = info(archive, "METADATA").splitlines(keepends=True)
    assert told == "".join(line for line in lines if not line.startswith("License-File: third-party/"))


def test_the_source_distribution_has_what_was_made_for_it_and_no_rest_of_a_build(sdist):
    with tarfile.open(sdist) as source:
        members = {member.name.partition("/")[2]: member for member in source.getmembers()}
    for name in ("configure", "Makefile.in", "pyproject.toml", "contrib/wheel/backend.py", "man/wsgi-fcgi.8", "NEWS",
                 "README.md", "src/package/wsgi_fcgi/__init__.pyi", "src/extension/module.c", "LICENSE",
                 "tests/wheel/test_contents.py"):
        assert name in members, name
    assert not [name for name in members if "__pycache__" in name or name.endswith((".o", ".so", ".a", ".pyc"))]
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}
    assert members["configure"].mode == 0o755 and members["NEWS"].mode == 0o644


# Of glibc: what every system with the version in the wheel's name has (PEP 600).
SYSTEM = re.compile(r"(lib(c|m|pthread|dl|rt|resolv)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)$")


def needed(path):
    out = subprocess.run(["readelf", "--dynamic", str(path)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", out)


def test_it_needs_glibc_alone_of_the_system(wheel, unpacked):
    assert re.search(r"-manylinux_2_\d+_\w+\.whl$", wheel), wheel
    programs = [path for path in unpacked.rglob("*") if path.is_file() and is_program(path.read_bytes())]
    assert len(programs) > 3
    own = {path.name for path in unpacked.glob("wsgi_fcgi/libs/*")}
    for path in programs:
        others = [name for name in needed(path) if not SYSTEM.match(name) and name not in own]
        assert not others, "%s needs %s" % (path.name, others)
        assert ".debug_info" not in subprocess.run(["readelf", "--sections", "--wide", str(path)], capture_output=True,
                                                   text=True, check=True).stdout, path


def test_without_symbols_it_is_what_was_built(wheel, archive):
    """Beside the wheel lies the one with symbols, as it was before auditwheel."""
    built = installed.only(installed.symbols(), "*.whl")
    with zipfile.ZipFile(built) as other:
        assert ".debug_info" in str(other.read("wsgi_fcgi/wsgi-fcgi-supervisor"))
        assert other.read("wsgi_fcgi/__main__.py") == archive.read("wsgi_fcgi/__main__.py")


def test_the_module_shows_one_name_to_others(unpacked):
    module = installed.only(unpacked / "wsgi_fcgi", "_server*.so")
    out = subprocess.run(["nm", "--dynamic", "--defined-only", module], capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in out.splitlines()] == ["PyInit__server"]
