"""--pidfile: the file says who the server is, and its lock that there is one."""
import fcntl
import os
import re
import signal
import stat

import pytest

from daemon import run, until
from test_cli import refused
from test_ends import asks

EX_UNAVAILABLE, EX_CANTCREAT = 69, 73
KINDS = {"single": [], "workers": ["--workers", 1], "preload": ["--workers", 1, "--preload"]}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pid"


@pytest.fixture
def begin(start):
    """A server that is known to serve by its supervisor as well."""
    def starter(*args, **more):
        server = start("hello", *args, **more)
        server.wait_log("listening on")
        return server
    return starter


def is_free(file):
    """If so, the caller has the lock from now on."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path):
    with open(path, "rb") as file:
        return not is_free(file)


def is_held(path, server):
    return path.read_text() == "%d\n" % server.pid and is_locked(path)


def test_file_is_written_locked_and_removed(begin, kind, path):
    previous = os.umask(0o077)
    try:
        server = begin("--pidfile", path, *kind)
    finally:
        os.umask(previous)
    assert is_held(path, server) and stat.S_IMODE(os.stat(path).st_mode) == 0o644
    server.stop()
    assert not path.exists()


def test_second_start_is_refused(begin, kind, path, tmp_path):
    server = begin("--pidfile", path, *kind)
    other = tmp_path / "other.sock"
    for more in KINDS.values():
        done = run("-s", other, "--pidfile", path, *more, "hello")
        refused(done, EX_UNAVAILABLE, "--pidfile: %s belongs to another server that runs \\(pid %d\\): stop that one, or choose"
                % (re.escape(str(path)), server.pid))
        assert not other.exists()
    assert is_held(path, server)


@pytest.mark.parametrize("text", ["", "1\n", "4711\n", "99999999"])
def test_stale_file_is_taken_over(begin, kind, path, text):
    """Also with the number of a process that runs."""
    path.write_text(text)
    server = begin("--pidfile", path, *kind)
    assert is_held(path, server)


def test_killed_server_leaves_a_file_without_a_lock(begin, path):
    server = begin("--pidfile", path)
    server.process.kill()
    server.process.wait()
    server.stopped = True
    assert path.read_text() == "%d\n" % server.pid and not is_locked(path)
    assert is_held(path, begin("--pidfile", path))


@pytest.mark.parametrize("kind", [[], ["--workers", 1]], ids=["single", "workers"])
def test_other_files_are_left_alone(path, kind):
    for text in ("a = 1\n", "4711\n4712\n", "-5\n", "1" * 40):
        path.write_text(text)
        done = run("-s", path.parent / "x.sock", "--pidfile", path, *kind, "hello")
        refused(done, EX_CANTCREAT, "has something else in it than the number of a process, and was left alone")
        assert path.read_text() == text


def test_mistakes(path):
    def fails(where, said):
        refused(run("-s", path.parent / "x.sock", "--pidfile", where, "hello"), EX_CANTCREAT, "--pidfile: %s %s" % (re.escape(str(where)), said))
    fails(path / "none", "cannot be written: No such file or directory: its directory must be there")
    fails(path.parent, "is no file: choose another path" if os.getuid() == 0 else "cannot be written: Is a directory")
    fails("/dev/null", "is no file: choose another path")
    refused(run("--pidfile", "", "hello"), os.EX_USAGE, "--pidfile: \"\" is empty")


def test_start_that_fails_removes_it(path, kind):
    done = run("-s", path.parent / "x.sock", "--pidfile", path, *kind, "no_such_module")
    assert done.returncode == 66 and not path.exists()


def test_check_leaves_it_alone(path):
    assert run("--check", "--pidfile", path, "hello").returncode == 0
    assert not path.exists()


def test_children_of_the_application_do_not_have_it(start, path):
    server = start("environapp", "--pidfile", path)
    assert sorted(server.ask("/fds").body.decode().split()) == ["forked=0,1,2", "spawned=0,1,2"]


def test_application_that_ends_the_process(start, path):
    """By os._exit, behind which nothing of the server comes."""
    server = start("endsapp", "--pidfile", path)
    asks(server, "/ends", "exit")
    assert server.expect_status == 5 and not path.exists()


# --- reloads


def test_lock_passes_through_reloads(supervise, path):
    """Nobody gets it meanwhile, and no worker has it afterwards."""
    server = supervise("hello", 1, "--pidfile", path)
    inode = os.stat(path).st_ino
    with open(path, "rb") as file:
        for count in range(1, 3):
            server.signal(signal.SIGHUP)
            until(lambda: is_free(file) or server.log().count("the reload is complete") == count, "the reload", server.log)
            assert not is_free(file)
    assert is_held(path, server) and os.stat(path).st_ino == inode
    for pid in server.children():
        for fd in os.listdir("/proc/%d/fd" % pid):
            try:
                assert os.readlink("/proc/%d/fd/%s" % (pid, fd)) != str(path)
            except FileNotFoundError:
                pass
    server.stop()
    assert not path.exists()


def test_reload_with_another_path(supervise, path, tmp_path):
    """The old file goes when the new one is there, and stays when that cannot be had."""
    config, other = tmp_path / "config", tmp_path / "other"
    config.write_text("pidfile = %s\n" % path)
    server = supervise("hello", 1, "--config", config)
    assert is_held(path, server)
    config.write_text("pidfile = %s\n" % (tmp_path / "none" / "pid"))
    server.signal(signal.SIGHUP)
    server.wait_log("the reload has failed, the old application goes on: the pid file cannot be had")
    assert is_held(path, server)
    config.write_text("pidfile = %s\n" % other)
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    assert is_held(other, server) and not path.exists()
    config.write_text("")
    server.signal(signal.SIGHUP)
    until(lambda: server.log().count("the reload is complete") == 2, "another reload", server.log)
    assert not other.exists()


def test_file_that_was_removed_meanwhile(begin, path, kind):
    """Another server may have made a new one: that is not removed."""
    server = begin("--pidfile", path, *kind)
    path.unlink()
    other = begin("--pidfile", path)
    server.stop()
    assert is_held(path, other)


# --- users


def access_modes(pid, path):
    """Of each descriptor of the file that the process has."""
    fds = [fd for fd in os.listdir("/proc/%d/fd" % pid) if os.readlink("/proc/%d/fd/%s" % (pid, fd)) == str(path)]
    found = []
    for fd in fds:
        with open("/proc/%d/fdinfo/%s" % (pid, fd)) as info:
            found.append(int(re.search(r"flags:\s+(\d+)", info.read())[1], 8) & os.O_ACCMODE)
    return found


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
@pytest.mark.parametrize("name", KINDS)
def test_with_another_user(begin, path, name):
    """The file is root's. A single process, in which the application runs, can neither write nor remove it any more."""
    server = begin("--pidfile", path, "--user", "nobody", *KINDS[name])
    os.chown(server.dir, 65534, -1)
    assert is_held(path, server) and os.stat(path).st_uid == 0
    if name == "single":
        assert access_modes(server.pid, path) == [os.O_RDONLY]
    server.stop()
    if name == "single":
        assert path.read_text() == "%d\n" % server.pid and not is_locked(path)
    else:
        assert not path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
def test_links_of_others_are_not_followed(path, tmp_path):
    """Root would write over any file of the machine."""
    directory = tmp_path / "of-nobody"
    directory.mkdir()
    os.chown(directory, 65534, -1)
    path.write_text("")
    os.symlink(path, directory / "link")
    done = run("-s", tmp_path / "x.sock", "--pidfile", directory / "link", "--user", "nobody", "hello")
    refused(done, EX_CANTCREAT, "a symbolic link on the way could have been made by others than root")
    assert path.read_text() == ""
