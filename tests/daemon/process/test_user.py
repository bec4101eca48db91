"""--user, --group and --env: as whom the application runs, and what root does for it before. Every test needs root."""
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import tempfile

import pytest

from daemon import run, until
from fcgi import params, request
from test_cli import refused

EX_UNAVAILABLE, EX_NOUSER, EX_CANTCREAT, EX_NOPERM, EX_USAGE = 69, 67, 73, 77, 64
APP = "userapp"
KINDS = {"single": [], "workers": ["--workers", 2], "preload": ["--workers", 2, "--preload"]}
NOBODY, WEB = pwd.getpwnam("nobody"), pwd.getpwnam("www-data")

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def outside():
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-test.") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@pytest.fixture
def start(start):
    """A single process that is to remove its socket needs a directory that is the user's. A worker may answer before
    its supervisor knows that it serves, and so would end well."""
    def starter(*args, **more):
        server = start(*args, **more)
        if "--log-file" not in args:
            server.wait_log("listening on")
        if "--workers" not in args and "--user" in args:
            os.chown(server.dir, *os.stat("/proc/%d" % server.pid)[4:6])
        return server
    return starter


def told(server, path="/"):
    response = server.ask(path)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def is_user(found, user, group=None, groups=None):
    group = user.pw_gid if group is None else group
    assert found["uid"] == [user.pw_uid] * 3 and found["gid"] == [group] * 3
    assert found["groups"] == sorted(groups or set(os.getgrouplist(user.pw_name, group)))
    assert found["capabilities"] == ["0" * 16] * 4


@pytest.mark.parametrize("name", ["nobody", "www-data", str(WEB.pw_uid)])
def test_application_runs_as_that_user(start, kind, name):
    """With all of its groups and none that root had, and the environment of that user."""
    user = NOBODY if name == "nobody" else WEB
    server = start(APP, "--user", name, *kind, extra_groups=[0, 4, 24])
    found = told(server)
    is_user(found, user)
    assert found["environ"]["HOME"] == user.pw_dir
    assert found["environ"]["USER"] == found["environ"]["LOGNAME"] == user.pw_name


def test_no_way_back(start, kind):
    server = start(APP, "--user", "nobody", *kind)
    assert told(server, "/back") == []
    is_user(told(server), NOBODY)


def test_group(start, kind):
    server = start(APP, "--user", "nobody", "--group", "www-data", *kind)
    is_user(told(server), NOBODY, WEB.pw_gid)


def test_number_without_a_name(start):
    server = start(APP, "--user", 54321, "--group", 12345, env={"HOME": "/root", "USER": "root", "LOGNAME": "root"})
    found = told(server)
    assert found["uid"] == [54321] * 3 and found["gid"] == [12345] * 3 and found["groups"] == [12345]
    assert found["environ"]["HOME"] == "/" and not {"USER", "LOGNAME"} & found["environ"].keys()


def test_group_alone(start):
    server = start(APP, "--group", "www-data", env={"HOME": "/somewhere"})
    found = told(server)
    assert found["uid"] == [0] * 3 and found["gid"] == [WEB.pw_gid] * 3 and found["environ"]["HOME"] == "/somewhere"


def test_supervisor_stays_root(supervise):
    server = supervise(APP, 1, "--user", "nobody")
    assert re.search(r"^Uid:\s+0\s+0\s+0\s+0$", server.proc("status"), re.M)


@pytest.mark.parametrize("args, status, said", [
    (["--user", "no-such"], EX_NOUSER, '--user: there is no user "no-such" on this machine'),
    (["--group", "no-such"], EX_NOUSER, '--group: there is no group "no-such" on this machine'),
    (["--user", "nobody", "--group", "4294967295"], EX_NOUSER, '--group: there is no group "4294967295"'),
    (["--user", "54321"], EX_NOUSER, "--user: user 54321 has no entry in .*: give --group as well"),
    (["--env", "=x"], EX_USAGE, '--env: a value has no name in front of "="'),
    (["--env", "NAME"], EX_USAGE, '--env: a value has no "=": write NAME=VALUE'),
    (["--env", "WSGI_FCGI_STATE=3"], EX_USAGE, "variables that begin with WSGI_FCGI_ are the server's own"),
])
@pytest.mark.parametrize("workers", [[], ["--workers", 1]], ids=["single", "workers"])
def test_mistakes(tmp_path, args, status, said, workers):
    path = tmp_path / "x.sock"
    refused(run("-s", path, *args, *workers, APP), status, said)
    assert not path.exists()


@pytest.mark.parametrize("workers", [[], ["--workers", 1]], ids=["single", "workers"])
@pytest.mark.parametrize("args", [["--user", "www-data"], ["--user", "nobody", "--group", "www-data"], ["--user", "root"],
                                  ["--group", "www-data"]])
def test_only_root_may(args, workers):
    done = run("-s", "/tmp/none.sock", *args, *workers, APP, user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[])
    refused(done, EX_NOPERM, "%s: only root may change to another user or group .*: start the server as root, or leave" % args[0])


def test_root_without_the_capabilities():
    """As in a container that has taken them away."""
    done = run("-s", "/tmp/none.sock", "--user", "nobody", APP, preexec_fn=lambda: drop_capability(7))
    refused(done, EX_NOPERM, "CAP_SETUID and CAP_SETGID")


def drop_capability(number):
    import ctypes
    assert ctypes.CDLL(None).prctl(24, number, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def test_whoever_is_it_already(start, outside, kind):
    """As under systemd with User=, whose groups stay."""
    os.chown(outside, NOBODY.pw_uid, -1)
    server = start(APP, "--user", "nobody", *kind, socket=str(outside / "x.sock"), user=NOBODY.pw_uid,
                   group=NOBODY.pw_gid, extra_groups=[WEB.pw_gid])
    found = told(server)
    assert found["uid"] == [NOBODY.pw_uid] * 3 and found["groups"] == [WEB.pw_gid]


# --- what root opens


def test_socket_belongs_to_the_user(start, kind):
    server = start(APP, "--user", "www-data", *kind)
    st = os.stat(server.path)
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (WEB.pw_uid, WEB.pw_gid, 0o660)


def test_socket_belongs_to_whom_it_is_given(start, kind):
    server = start(APP, "--user", "www-data", "--socket-owner", "root", "--socket-group", "nogroup", *kind)
    st = os.stat(server.path)
    assert (st.st_uid, st.st_gid) == (0, NOBODY.pw_gid)


def test_port_of_root(start, kind):
    """The user may not open it."""
    taken = None
    for port in range(700, 1023):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
        break
    server = start(APP, "--user", "nobody", *kind, socket="127.0.0.1:%d" % port, address=("127.0.0.1", port))
    is_user(told(server), NOBODY)


@pytest.mark.parametrize("name", ["workers", "preload"])
def test_log_file_where_only_root_may_write(start, tmp_path, name):
    """The supervisor opens it, also anew, and workers get it; what is made belongs to the user."""
    os.chmod(tmp_path, 0o700)
    path = tmp_path / "log"
    server = start("logapp", "--user", "www-data", "--log-file", path, *KINDS[name])
    until(lambda: len(re.findall("process \\d+\\) serves", path.read_text())) == 2, "two workers", server.log)
    for number in range(2):
        os.rename(path, tmp_path / ("log.%d" % number))
        server.signal(signal.SIGUSR1)
        wanted = 3 if name == "workers" else 4
        until(lambda: path.exists() and path.read_text().count("was opened anew (SIGUSR1)") == wanted,
              "all processes to have opened it anew", lambda: path.read_text() if path.exists() else "nothing")
        st = os.stat(path)
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (WEB.pw_uid, WEB.pw_gid, 0o640)
    assert server.ask("/write", query="here").status == 200
    until(lambda: re.search("(?m)^descriptor here$", path.read_text()), "the application's line", path.read_text)


def test_log_file_of_a_single_process(start, outside):
    """It opens the first one as root, and later ones as the user."""
    path = outside / "log"
    os.chown(outside, WEB.pw_uid, WEB.pw_gid)
    server = start("logapp", "--user", "www-data", "--log-file", path)
    assert os.stat(path).st_uid == WEB.pw_uid
    os.rename(path, outside / "log.1")
    server.signal(signal.SIGUSR1)
    until(lambda: path.exists() and "was opened anew" in path.read_text(), "the file to be opened anew", server.log)
    os.chown(outside, 0, 0)
    os.rename(path, outside / "log.2")
    server.signal(signal.SIGUSR1)
    until(lambda: re.search("SIGUSR1: cannot open .* anew: Permission denied: the log goes on in the file that was open: let whoever "
                            "rotates it make the new one for the user of this process", (outside / "log.2").read_text()),
          "a line about that", (outside / "log.2").read_text)
    path.touch()
    os.chown(path, WEB.pw_uid, WEB.pw_gid)
    server.signal(signal.SIGUSR1)
    until(lambda: "was opened anew" in path.read_text(), "the file that was made for it to be opened", server.log)


@pytest.mark.parametrize("workers", [[], ["--workers", 1]], ids=["single", "workers"])
def test_links_of_others_are_not_followed(outside, tmp_path, workers):
    """Otherwise whoever has the directory would get any file of the machine."""
    os.chown(outside, WEB.pw_uid, WEB.pw_gid)
    target = tmp_path / "target"
    os.symlink(target, outside / "log")
    done = run("-s", outside / "x.sock", "--user", "www-data", "--log-file", outside / "log", *workers, APP)
    refused(done, EX_CANTCREAT, "a symbolic link on the way could have been made by others than root")
    assert not target.exists()


# --- what the user may do


@pytest.mark.parametrize("workers", [[], ["--workers", 1]], ids=["single", "workers"])
def test_directories_are_for_the_user(tmp_path, workers):
    os.chmod(tmp_path, 0o700)
    path = tmp_path / "x.sock"
    for option, said in (
        ("--spool-dir", "--spool-dir: cannot write to the directory for request bodies"),
        ("--chdir", "--chdir: cannot change to"),
    ):
        done = run("-s", path, "--user", "nobody", option, tmp_path, *workers, APP)
        assert done.returncode == EX_NOPERM and re.search("error: %s.*Permission denied" % said, done.stderr)
        assert not path.exists()


def test_spool_dir_is_used_as_the_user(start, outside, kind):
    os.chown(outside, WEB.pw_uid, -1)
    os.chmod(outside, 0o700)
    server = start(APP, "--user", "www-data", "--spool-dir", outside, *kind)
    body = b"x" * (1 << 20)
    assert json.loads(server.ask("/read", "POST", body=body).body) == len(body)


def server_processes(server):
    """Workers and the zygote."""
    return [int(pid) for pid in re.findall(r"(?:zygote|worker \d+) \(process (\d+)\) is (?:started|forked)", server.log())]


@pytest.mark.parametrize("name", KINDS)
def test_stack_of_a_hanging_call(start, name):
    """Its process has files in /proc that tell what it does; for root alone after the change, unless that is undone."""
    server = start(APP, "--user", "nobody", "--request-timeout", "0.5", "--graceful-timeout", 0, *KINDS[name])
    for pid in [server.pid] if name == "single" else server_processes(server):
        until(lambda pid=pid: os.stat("/proc/%d/syscall" % pid).st_uid == NOBODY.pw_uid, "files of the user", server.log)
    assert server.ask("/sleep").status == 504
    server.wait_log(r'(?s)GET /sleep \[\w+\]; wsgi-fcgi-\d+ sleeps:\n.*File "\S*/userapp\.py", line \d+, in answer')


@pytest.mark.parametrize("name", KINDS)
def test_stacks_at_a_signal(start, name):
    server = start(APP, "--user", "nobody", "--graceful-timeout", 0, *KINDS[name])
    server.expect_status = 79
    with server.connect() as connection:
        connection.send(request(params("/sleep")))
        until(lambda: server.signal(signal.SIGUSR2) or re.search(
            r'(?s)SIGUSR2.*wsgi-fcgi-\d+ sleeps: \S+ s GET /sleep \[\w+\]\n.*File "\S*/userapp\.py", line \d+, in answer', server.log()),
            "the stack", server.log)


def test_workers_are_replaced(supervise):
    """When they die, and at a reload; root signals them, and they have no more rights afterwards."""
    server = supervise(APP, 2, "--user", "nobody")
    first = server.serving()
    os.kill(first[0], signal.SIGKILL)
    until(lambda: server.serving().get(0, first[0]) != first[0], "worker 0 to be replaced", server.log)
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    for pid in first.values():
        server.wait_gone(pid)
    is_user(told(server), NOBODY)
    assert "cannot kill" not in server.log()


def test_supervisor_that_cannot_kill(start):
    server = start(APP, "--user", "nobody", "--workers", 1, preexec_fn=lambda: drop_capability(5))
    server.wait_log("warning: --user: the supervisor cannot kill a worker that hangs.*CAP_KILL")


def test_memory_that_cannot_be_told_apart(start):
    """It counts in full then: the limit is not lost. Without CAP_SYS_PTRACE, and what new kernels take for it."""
    server = start(APP, "--user", "nobody", "--workers", 1, "--preload", "--max-memory", "1M",
                   preexec_fn=lambda: [drop_capability(number) for number in (19, 21, 38)])
    server.wait_log(r"warning: --max-memory counts what workers share in full.*CAP_SYS_PTRACE")
    server.wait_log(r"warning: worker 0 \(process \d+\) has \d+ MiB before its first request, more than --max-memory")


# --- what is said


WARNING = "warning: the application runs as root: .*give --user NAME"


def test_root_is_warned_about_once(start, kind):
    server = start(APP, *kind)
    server.wait_log("listening on")
    assert len(re.findall(WARNING, server.log())) == 1
    if kind:
        server.signal(signal.SIGHUP)
        server.wait_log("the reload is complete")
        assert len(re.findall(WARNING, server.log())) == 1


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_who_has_said_so_is_not_warned(start, kind, user):
    server = start(APP, "--user", user, *kind)
    server.wait_log("listening on")
    assert "runs as root" not in server.log()


# --- the environment


def test_env(start, kind):
    server = start(APP, "--user", "nobody", "--env", "HOME=/home/x", "--env", "A=1=2", "--env", "A=3", "--env", "EMPTY=",
                   *kind, env={"A": "0"})
    environ = told(server)["environ"]
    assert (environ["HOME"], environ["USER"], environ["A"], environ["EMPTY"]) == ("/home/x", "nobody", "3", "")


def test_env_is_gone_before_python(start, kind):
    server = start(APP, "--env", "PYTHONDONTWRITEBYTECODE=", *kind, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert told(server)["writes_bytecode"]


def test_env_is_there_before_python(start, kind):
    server = start(APP, "--env", "PYTHONDONTWRITEBYTECODE=1", *kind)
    assert not told(server)["writes_bytecode"]


def test_check_is_done_as_the_user(outside):
    (outside / "whoapp.py").write_text("import os\nprint(os.getuid())\napplication = print\n")
    done = run("--check", "--user", "nobody", "--chdir", outside, "whoapp")
    assert done.returncode == 0 and "%d\n" % NOBODY.pw_uid in done.stdout + done.stderr


def test_reload(outside, supervise):
    """The supervisor, which is root, watches what the worker of the user tells, and the page is the user's as well."""
    page = outside / "page.py"
    (outside / "app.py").write_text("import os, page\n"
                                    "def app(environ, start_response):\n"
                                    "    start_response('200 OK', [])\n"
                                    "    return [('%s %d' % (page.TEXT, os.getuid())).encode()]\n")
    page.write_text("TEXT = 'one'\n")
    server = supervise("app:app", 1, "--reload", "--user", "nobody", cwd=str(outside))

    def until_says(wanted):
        until(lambda: wanted in server.ask("/").body.decode(), "the answer %r" % wanted, server.log)

    page.write_text("TEXT = 'other'\n")
    until_says("other %d" % NOBODY.pw_uid)
    page.write_text("(")
    until_says("SyntaxError")
    page.write_text("TEXT = 'mended'\n")
    until_says("mended %d" % NOBODY.pw_uid)
