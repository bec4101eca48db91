"""klaus, which serves git by dulwich, and git itself as its client."""
import concurrent.futures
import hashlib
import os
import re
import urllib.request

import pytest

import commands
from fcgi import PATIENCE

APP = "klaus.contrib.wsgi:application"
USER = ("me", "project", "sesame")


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    who = {"GIT_%s_%s" % (role, kind): "%s@example.org" % kind.lower()
           for role in ("AUTHOR", "COMMITTER") for kind in ("NAME", "EMAIL")}
    return commands.Command("git", tmp_path_factory.mktemp("git"), GIT_CONFIG_SYSTEM="/dev/null",
                            GIT_TERMINAL_PROMPT=0, GIT_TRACE_CURL_NO_DATA=1, **who)


@pytest.fixture(scope="module")
def bare(git):
    """The repository that is served: 300 files and 30 commits."""
    work = git.cwd / "first"
    git("init", "-q", "-b", "main", work)
    for number in range(300):
        (work / ("file-%d" % number)).write_text("%d\n" % number * 100)
    (work / "caf\xe9 \u20ac.txt").write_text("\u0416\n")
    (work / "large").write_bytes(os.urandom(2 << 20))
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "First \u20ac", cwd=work)
    for number in range(30):
        git("commit", "-q", "--allow-empty", "-m", "Commit %d" % number, cwd=work)
    git("clone", "-q", "--bare", work, git.cwd / "project.git")
    return git.cwd / "project.git"


@pytest.fixture(scope="module")
def environment(git, bare):
    users = git.cwd / "users"
    users.write_text("%s:%s:%s\n" % (*USER[:2], hashlib.md5(":".join(USER).encode()).hexdigest()))
    return {"KLAUS_REPOS": bare, "KLAUS_SITE_NAME": "caf\xe9", "KLAUS_USE_SMARTHTTP": 1, "KLAUS_HTDIGEST_FILE": users}


@pytest.fixture
def clone(site, git, tmp_path):
    """A clone that may push."""
    git("clone", "-q", "--single-branch", site.url("/project", "%s:%s" % (USER[0], USER[2])), tmp_path / "clone")
    return tmp_path / "clone"


def commit(git, work, name, content):
    (work / name).write_bytes(content)
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", name, cwd=work)
    return git("rev-parse", "HEAD", cwd=work)


def traced(git, *args, cwd):
    """Runs git and returns the headers that it sent."""
    git.env["GIT_TRACE_CURL"] = "1"
    try:
        return set(re.findall("=> Send header: (.*)", git(*args, cwd=cwd)))
    finally:
        del git.env["GIT_TRACE_CURL"]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_clone(site, git, bare, tmp_path, version):
    git("-c", "protocol.version=%d" % version, "clone", "-q", site.url("/project"), tmp_path / "c")
    git("fsck", "--strict", cwd=tmp_path / "c")
    assert (git("rev-parse", "HEAD", "HEAD^{tree}", cwd=tmp_path / "c")
            == git("rev-parse", "main", "main^{tree}", cwd=bare))
    assert (tmp_path / "c" / "caf\xe9 \u20ac.txt").read_text() == "\u0416\n"


def test_push(site, git, bare, clone):
    """Several MB: above http.postBuffer git sends a chunked body."""
    branch = "push-" + site.name
    made = commit(git, clone, "pushed", os.urandom(6 << 20))
    said = traced(git, "push", "-q", "origin", "HEAD:refs/heads/" + branch, cwd=clone)
    assert "Transfer-Encoding: chunked" in said
    assert git("rev-parse", branch, cwd=bare) == made
    git("fsck", "--strict", cwd=bare)
    git("tag", "-a", "-m", "tagged", branch, cwd=clone)
    git("push", "-q", "origin", "refs/tags/" + branch, cwd=clone)
    assert git("rev-parse", branch + "^{commit}", cwd=bare).endswith(made)
    git("push", "-q", "origin", ":refs/heads/" + branch, cwd=clone)
    assert git("for-each-ref", "refs/heads/" + branch, cwd=bare) == ""


def test_push_unbuffered(unbuffered, git, bare, tmp_path):
    """nginx passes on what comes, and no length with it."""
    url = unbuffered.url("/project", "%s:%s" % (USER[0], USER[2]))
    git("clone", "-q", "--single-branch", url, tmp_path / "clone")
    made = commit(git, tmp_path / "clone", "pushed", os.urandom(3 << 20))
    assert "Transfer-Encoding: chunked" in traced(git, "push", "-q", "origin", "HEAD:refs/heads/unbuffered",
                                                  cwd=tmp_path / "clone")
    assert git("rev-parse", "unbuffered", cwd=bare) == made


def test_push_of_small_buffer(site, git, bare, clone):
    """The same body with its length announced."""
    made = commit(git, clone, "pushed", os.urandom(3 << 20))
    said = traced(git, "-c", "http.postBuffer=16M", "push", "-q", "origin", "HEAD:refs/heads/whole-" + site.name,
                  cwd=clone)
    assert "Transfer-Encoding: chunked" not in said
    assert git("rev-parse", "whole-" + site.name, cwd=bare) == made


def test_fetch(site, git, bare, clone):
    """The names of fifty commits are a body that git compresses."""
    wanted = ["other-%s-%d" % (site.name, number) for number in range(50)]
    for name in wanted:
        git("update-ref", "refs/heads/" + name, git("commit-tree", "-p", "main", "-m", name, "main^{tree}", cwd=bare),
            cwd=bare)
    # Where both sides have to find out what they have in common, dulwich 1.2 now and then answers what git refuses.
    said = traced(git, "-c", "fetch.negotiationAlgorithm=noop", "fetch", "-q", "origin",
                  "refs/heads/*:refs/remotes/origin/*", cwd=clone)
    assert "Content-Encoding: gzip" in said
    for name in wanted:
        assert git("rev-parse", "origin/" + name, cwd=clone) == git("rev-parse", name, cwd=bare)


def test_shallow(site, git, tmp_path):
    git("clone", "-q", "--depth", "3", site.url("/project"), tmp_path / "c")
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "c") == "3"


def test_push_is_refused(site, git, clone):
    commit(git, clone, "mine", b"x")
    for url in (site.url("/project"), site.url("/project", "me:wrong")):
        done = git.run("push", "-q", url, "HEAD:refs/heads/refused", cwd=clone)
        assert done.returncode != 0 and ("Authentication failed" in done.stdout or "could not read" in done.stdout)


def test_missing(site, git, tmp_path):
    done = git.run("clone", site.url("/elsewhere"), tmp_path / "c")
    assert done.returncode != 0 and "not found" in done.stdout


def test_clones_at_a_time(site, git, bare, tmp_path):
    def clone(number):
        git("clone", "-q", "--single-branch", site.url("/project"), tmp_path / str(number))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(clone, range(8)))
    for number in range(8):
        assert git("rev-parse", "HEAD", cwd=tmp_path / str(number)) == git("rev-parse", "main", cwd=bare)


def test_pages(site, git, bare, tmp_path):
    assert "caf\xe9" in site.ask("/").body.decode() and b"project" in site.ask("/").body
    assert b"Commit 29" in site.ask("/project/").body
    assert site.ask("/project/blob/main/caf%C3%A9%20%E2%82%AC.txt").status == 200
    raw = site.ask("/project/raw/main/large")
    assert raw.body == (git.cwd / "first" / "large").read_bytes()
    assert site.ask("/project/blob/main/no-such-file").status == 404
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(urllib.request.urlopen(site.url("/project/tarball/main/"), timeout=PATIENCE).read())
    listed = commands.Command("tar", tmp_path)("-tzf", archive).splitlines()
    assert len([name for name in listed if "/file-" in name]) == 300
