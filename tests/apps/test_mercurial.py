"""Mercurial's hgweb, which sends archives by write(), and hg as its client."""
import concurrent.futures
import hashlib
import io
import os
import re
import sys
import zipfile

import pytest

import commands
from served import header

APP = "hgsite:application"
CONFIG = """\
[paths]
/ = {directory}/served/*
[web]
push_ssl = false
allow_push = *
allow-archive = zip
encoding = utf-8
"""


@pytest.fixture(scope="module")
def hg(tmp_path_factory):
    return commands.Command(os.path.join(sys.prefix, "bin", "hg"), tmp_path_factory.mktemp("hg"), HGRCPATH="",
                            HGPLAIN=1, HGUSER="somebody", HGENCODING="utf-8")


@pytest.fixture(scope="module")
def origin(hg):
    """The repository that is served."""
    work = hg.cwd / "served" / "project"
    hg("init", work)
    for number in range(200):
        (work / ("file-%d" % number)).write_text("%d\n" % number * 100)
    (work / "caf\xe9 \u20ac.txt").write_text("\u0416\n")
    (work / "large").write_bytes(os.urandom(2 << 20))
    hg("commit", "-q", "-A", "-m", "First \u20ac", cwd=work)
    hg("init", hg.cwd / "served" / "heads")
    hg("debugbuilddag", "+1:m" + " *m" * 60, cwd=hg.cwd / "served" / "heads")
    return work


@pytest.fixture(scope="module")
def environment(hg, origin):
    config = hg.cwd / "hgweb.config"
    config.write_text(CONFIG.format(directory=hg.cwd))
    return {"HGWEB_CONFIG": config, "HGENCODING": "utf-8"}


@pytest.fixture
def clone(site, hg, tmp_path):
    hg("clone", "-q", site.url("/project"), tmp_path / "clone")
    return tmp_path / "clone"


def commit(hg, work, name, content):
    (work / name).write_bytes(content)
    hg("commit", "-q", "-A", "-m", name, cwd=work)
    return tip(hg, work)


def tip(hg, work):
    return hg("log", "-r", "tip", "-T", "{node}", cwd=work)


def test_clone(hg, origin, clone):
    hg("verify", "-q", cwd=clone)
    assert tip(hg, clone) == tip(hg, origin)
    assert (clone / "caf\xe9 \u20ac.txt").read_text() == "\u0416\n"


def test_push_and_pull(site, hg, origin, clone, tmp_path):
    hg("clone", "-q", "-r", "0", site.url("/project"), tmp_path / "other")
    made = commit(hg, clone, "pushed-" + site.name, os.urandom(5 << 20))
    hg("push", "-q", cwd=clone)
    assert tip(hg, origin) == made
    hg("verify", "-q", cwd=origin)
    hg("pull", "-q", "-u", cwd=tmp_path / "other")
    assert tip(hg, tmp_path / "other") == made


def test_bookmarks(site, hg, origin, clone):
    name = "m\xe4rz-" + site.name
    hg("bookmark", name, cwd=clone)
    hg.run("push", "-q", "-B", name, cwd=clone)  # status 1: no changes beside the bookmark
    assert name in hg("bookmarks", cwd=origin)


def test_many_heads(site, hg, tmp_path):
    """Discovery names the heads in headers of several KB."""
    hg("clone", "-q", "-U", site.url("/heads"), tmp_path / "clone")
    hg("update", "-q", "0", cwd=tmp_path / "clone")
    made = commit(hg, tmp_path / "clone", "another-" + site.name, b"x")
    said = hg("push", "-f", "--debug", cwd=tmp_path / "clone")
    assert re.search(r"sending \d+ bytes", said) and "query 1; heads" in said
    heads = hg("heads", "-T", "{node}\n", cwd=hg.cwd / "served" / "heads").split()
    assert made in heads and len(heads) > 60
    assert hg.run("incoming", "-q", cwd=tmp_path / "clone").returncode == 1


def test_missing(site, hg, tmp_path):
    assert "404" in hg.run("clone", site.url("/elsewhere"), tmp_path / "c").stdout
    assert site.ask("/project/rev/no-such-revision").status == 404
    assert site.ask("/project/?cmd=no-such-command").status == 400


def test_clones_at_a_time(site, hg, origin, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: hg("clone", "-q", site.url("/project"), tmp_path / str(number)), range(6)))
    assert {tip(hg, tmp_path / str(number)) for number in range(6)} == {tip(hg, origin)}


def test_pages(site, origin):
    first = site.ask("/project/rev/0")
    assert first.status == 200 and "First \u20ac" in first.body.decode()
    assert site.ask("/").status == 200
    raw = site.ask("/project/raw-file/0/large")
    assert hashlib.sha256(raw.body).hexdigest() == hashlib.sha256((origin / "large").read_bytes()).hexdigest()
    assert header(raw, "Content-Length") == [str(2 << 20)]
    page = site.ask("/project/file/0/caf%C3%A9%20%E2%82%AC.txt").body.decode()
    assert "caf\xe9 \u20ac.txt" in page and "\u0416" in page
    head = site.ask("/project/raw-file/0/large", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_not_modified(site):
    page = site.ask("/project/rev/0")
    tag = header(page, "ETag")[0]
    response = site.ask("/project/rev/0", headers={"If-None-Match": tag})
    assert (response.status, response.body, response.complete) == (304, b"", True)


def test_archive(site):
    response = site.ask("/project/archive/0.zip")
    assert response.status == 200 and response.complete
    names = zipfile.ZipFile(io.BytesIO(response.body)).namelist()
    assert len([name for name in names if "/file-" in name]) == 200
