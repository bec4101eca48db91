"""--reload: files change, and the application is another one at once; or the page says why it is none."""
import os
import re
import shutil
import signal
import tempfile
import time

import pytest

import daemon
from daemon import until
from fcgi import params, request
from supervised import Supervised

OVER_HTTP = True
EX_USAGE = 64

APP = """
import helper
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [helper.text(environ).encode()]
"""


def helper(text):
    return "def text(environ):\n    return %r\n" % text


@pytest.fixture
def develop(protocol, tmp_path):
    """Starts a server in a directory of its own: develop(*OPTIONS, **more). It must end well."""
    servers = []

    def start(*args, app="app:app", wait=True, **more):
        files = {"app.py": APP, "helper.py": helper("one"), **more.pop("files", {})}
        for name, text in files.items():
            write(tmp_path, name, text)
        env = {"PYTHONDONTWRITEBYTECODE": "", **more.pop("env", {})}
        server = Supervised(app, 1, "--reload", *args, protocol=protocol, cwd=str(tmp_path), wait=False, env=env, **more)
        servers.append(server)
        if wait:
            server.wait_log(r"worker 0 .* serves")
        return server
    yield start
    for server in servers:
        server.stop()


def write(directory, name, text):
    path = os.path.join(str(directory), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def text(server):
    return server.ask("/").body.decode()


def until_says(server, wanted):
    until(lambda: wanted in text(server), "the answer %r" % wanted, server.log)


def replacements(server):
    """Which the log tells of."""
    return re.findall(r"info: (.*) ha(?:s|ve) changed: replacing worker 0", server.log())


def processes(server):
    return len(server.started(0))


# --- what is refused, and what is said

@pytest.mark.parametrize("args,said", [
    (["--reload", "--preload", "--workers", "1"], "leave one of them out"),
    (["--reload-extra", "*.html"], "give --reload as well"),
    (["--reload", "--reload-extra", "a[b"], r'"a[b" has a [ without a ]'),
    (["--reload", "--reload-extra", "templates/**"], "write **/*"),
    (["--reload", "--reload-extra", ""], "--reload-extra"),
])
def test_usage(args, said):
    done = daemon.run(*args, "app:app")
    assert done.returncode == EX_USAGE and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_check(tmp_path):
    """It says that the application is broken as without --reload, and serves no page."""
    write(tmp_path, "app.py", "(")
    broken = daemon.run("--reload", "--check", "app:app", cwd=tmp_path)
    assert broken.returncode == 70 and "SyntaxError" in broken.stderr and "not for production" not in broken.stderr
    write(tmp_path, "app.py", "def app(environ, start_response): pass")
    assert daemon.run("--reload", "--check", "app:app", cwd=tmp_path).returncode == 0


def test_warning(develop):
    server = develop()
    assert "warning: --reload is not for production" in server.log()


# --- changes

def test_saved(develop, tmp_path):
    """In place. The line names the file, and each save is one replacement."""
    server = develop()
    until_says(server, "one")
    for count, name in enumerate(("two", "three"), 1):
        write(tmp_path, "helper.py", helper(name))
        until_says(server, name)
        assert replacements(server) == ["helper.py"] * count and processes(server) == 1 + count


def test_renamed(develop, tmp_path):
    """As most editors save."""
    server = develop()
    write(tmp_path, "helper.py.new", helper("two"))
    os.rename(tmp_path / "helper.py.new", tmp_path / "helper.py")
    until_says(server, "two")
    assert processes(server) == 2


def test_others_do_not_count(develop, tmp_path):
    server = develop()
    for name in ("data.txt", "other.py", "helper.py~", ".helper.py.swp", "new/x.py"):
        write(tmp_path, name, "x")
    with open(tmp_path / "helper.py", "a"):
        pass  # nothing is written
    write(tmp_path, "app.py", APP)  # behind all of these
    until(lambda: processes(server) == 2, "the replacement", server.log)
    assert replacements(server) == ["app.py"]


def test_many_at_once(develop, tmp_path):
    """git checkout: one replacement."""
    names = ["part%d" % number for number in range(30)]
    server = develop(files={"app.py": "import %s\n" % ", ".join(names) + APP, **{name + ".py": "" for name in names}})
    server.signal(signal.SIGSTOP)  # however long it takes to write them
    for name in names:
        write(tmp_path, name + ".py", "# other")
    write(tmp_path, "helper.py", helper("two"))
    server.signal(signal.SIGCONT)
    until_says(server, "two")
    said, = replacements(server)
    assert re.fullmatch(r"\S+ and 30 other files", said) and processes(server) == 2


def test_imported_later(develop, tmp_path):
    """A module that a request has imported counts as soon as it is known."""
    late = "def text(environ):\n    import late\n    return late.TEXT\n"
    server = develop("--log-level", "debug", files={"helper.py": late, "late.py": "TEXT = 'one'"})
    known = int(re.findall(r"has (\d+) files", server.log())[-1])
    until_says(server, "one")
    until(lambda: int(re.findall(r"has (\d+) files", server.log())[-1]) > known, "the module to be known", server.log)
    write(tmp_path, "late.py", "TEXT = 'two'")
    until_says(server, "two")


def test_directory_made_again(develop, tmp_path):
    """A package goes, and comes again as another one."""
    server = develop(files={"helper.py": "from package.text import text", "package/__init__.py": "",
                            "package/text.py": helper("one")})
    shutil.rmtree(tmp_path / "package")
    until_says(server, "No module named")
    write(tmp_path, "package/__init__.py", "")
    write(tmp_path, "package/text.py", helper("two"))
    until_says(server, "two")


def test_link_to_a_file(develop, tmp_path):
    """What it leads to counts."""
    os.mkdir(tmp_path / "elsewhere")
    write(tmp_path, "elsewhere/helper.py", helper("one"))
    os.symlink("elsewhere/helper.py", tmp_path / "helper.py")
    server = develop()
    write(tmp_path, "elsewhere/helper.py", helper("two"))
    until_says(server, "two")


def test_same_size_same_second(develop, tmp_path):
    """For Python the .pyc file of the first would be that of the second."""
    server = develop()
    for number in range(10):
        write(tmp_path, "helper.py", helper("n%02d" % number))
        os.utime(tmp_path / "helper.py", ns=(time.time_ns(), time.time_ns() // 10 ** 9 * 10 ** 9 + number))
        until_says(server, "n%02d" % number)


def test_bytecode_of_old_files_is_written(develop, tmp_path):
    """What has not just changed is loaded as fast as ever."""
    write(tmp_path, "old.py", "")
    os.utime(tmp_path / "old.py", (1000, 1000))
    develop(files={"app.py": "import old\n" + APP})
    assert [name.partition(".")[0] for name in os.listdir(tmp_path / "__pycache__")] == ["old"]


# --- --reload-extra

def test_extra(develop, tmp_path):
    """Also those that are new, in directories that are new; and those that go."""
    server = develop("--reload-extra", "templates/**/*.html", "--reload-extra", "../%s/*.cfg" % tmp_path.name,
                     files={"templates/a.html": "", "templates/a.txt": "", "x.cfg": ""})
    write(tmp_path, "templates/a.txt", "not this one")
    for count, name in enumerate(("templates/a.html", "templates/x/y/b.html", "x.cfg"), 2):
        write(tmp_path, name, "changed")
        until(lambda: processes(server) == count, name, server.log)
        until(lambda: len(server.children()) == 1, "the old one to end", server.log)
    os.unlink(tmp_path / "templates/x/y/b.html")
    until(lambda: processes(server) == 5, "the replacement", server.log)
    assert replacements(server) == ["templates/a.html", "templates/x/y/b.html", "x.cfg", "templates/x/y/b.html"]


def test_extra_in_a_directory_that_is_not_there(develop, tmp_path):
    """Whose name has special characters in front of the pattern."""
    os.makedirs(tmp_path / "[x]")
    server = develop("--chdir", "[x]", "--pythonpath", "..", "--reload-extra", "no/such/*.html")
    os.makedirs(tmp_path / "[x]/no/such")
    write(tmp_path, "[x]/no/such/a.html", "")
    until(lambda: processes(server) == 2, "the replacement", server.log)
    assert replacements(server) == ["no/such/a.html"]


# --- applications that do not load

def test_broken(develop, tmp_path):
    """A page with the traceback, the same in the log; and the fix is found."""
    server = develop()
    write(tmp_path, "helper.py", "def text(environ:\n    <return>\n")
    until_says(server, "SyntaxError")
    answer = server.ask("/any", "POST", body=b"x=1")
    fields = {name.lower(): value for name, value in answer.headers}
    assert answer.status == 500 and fields["content-type"] == "text/html; charset=utf-8"
    assert fields["cache-control"] == "no-store" and "default-src 'none'" in fields["content-security-policy"]
    assert int(fields["content-length"]) == len(answer.body)
    page = answer.body.decode()
    assert "helper.py&quot;, line 1" in page and "import helper" in page and "^" in page
    log = server.log()
    assert "SyntaxError" in log and "every client is shown why" in log
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")
    assert replacements(server) == ["helper.py"] * 2


def test_page_is_escaped_and_bounded(develop, tmp_path):
    """Also chained causes, the end of which is what counts."""
    server = develop()
    write(tmp_path, "helper.py", """
try:
    raise KeyError("<script>alert('&')</script>\\x1b" + "\\n".join("line %d" % n for n in range(50000)))
except KeyError as error:
    raise ValueError("the \\"last\\" of all") from error
""")
    until_says(server, "of all")
    page = text(server)
    assert "<script" not in page and "&lt;script&gt;alert(" in page and "\x1b" not in page
    assert "direct cause" in page and "ValueError: the &quot;last&quot; of all" in page
    assert "bytes are left out here: the log has them" in page and len(page) < 200000


def test_head(develop):
    server = develop(files={"helper.py": "1/0"})
    answer = server.ask("/", "HEAD")
    assert answer.status == 500 and not answer.body


def test_broken_from_the_start(develop, tmp_path):
    """The server does not end."""
    server = develop(files={"helper.py": "raise RuntimeError('at first')"})
    until_says(server, "RuntimeError: at first")
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")


@pytest.mark.parametrize("wrong,said", [
    ({"app.py": "x = 1"}, "has neither"),
    ({"app.py": "app = 1"}, "callable"),
    ({"app.py": "import sys; sys.exit('no')"}, "no"),
    ({"app.py": "import missing\n" + APP}, "No module named &#39;missing&#39;"),
    ({"app.py": "from helper import missing\n" + APP}, "cannot import name"),
])
def test_wrong_in_other_ways(develop, tmp_path, wrong, said):
    server = develop(app="app", files=wrong)
    until_says(server, said)
    write(tmp_path, "missing.py", "")
    write(tmp_path, "helper.py", helper("two") + "missing = 1\n")
    write(tmp_path, "app.py", APP)
    until_says(server, "two")


@pytest.mark.parametrize("name", ["missing.py", "missing/__init__.py"])
def test_missing_module_comes(develop, tmp_path, name):
    """That alone is a change."""
    server = develop(files={"app.py": "import missing\n" + APP})
    until_says(server, "missing")
    write(tmp_path, name, "")
    until_says(server, "one")


def test_imported_beside_a_page(develop, tmp_path):
    """What is imported while the page is shown does not make the files forgotten that can mend it."""
    app = """
import os, threading, time
def later():
    while not os.path.exists("go"):
        if os.path.exists("gone"):
            return
        time.sleep(0.01)
    import late
    os.rename("go", "gone")
threading.Thread(target=later, daemon=True).start()
""" + APP
    server = develop("--log-level", "debug", files={"app.py": app, "helper.py": "(", "late.py": ""})
    until_says(server, "SyntaxError")
    write(tmp_path, "go", "")
    until(lambda: os.path.exists(tmp_path / "gone"), "the import", server.log)
    end = time.monotonic() + 0.5  # nothing is to happen, so there is no event; where this is too short, the test passes
    while time.monotonic() < end:
        text(server)
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")


def test_missing_application_comes(develop, tmp_path):
    server = develop(app="later.py", files={})
    until_says(server, "later.py")
    write(tmp_path, "later.py", APP)
    until_says(server, "one")


def test_failing_hook(develop, tmp_path):
    """It is shown as well."""
    hook = "import wsgi_fcgi\n@wsgi_fcgi.on_worker_start\ndef start():\n    raise OSError('no database')\n"
    server = develop(files={"app.py": hook + APP})
    until_says(server, "OSError: no database")
    write(tmp_path, "app.py", APP)
    until_says(server, "one")


def test_failing_warm_up(develop, tmp_path):
    """The application itself shows what is wrong."""
    server = develop("--warm-up", "/", files={"helper.py": "def text(environ): raise OSError"})
    assert server.ask("/").status == 500
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")


def test_signal_ends_a_broken_one(develop):
    """As any other; the fixture stops it."""
    server = develop(files={"helper.py": "1/0"})
    until_says(server, "ZeroDivisionError")


# --- processes that end, or hang

def test_crash_loop_ends_with_a_change(develop, tmp_path):
    """From the start, where the server would end otherwise. The pause is over at once."""
    server = develop(files={"helper.py": "import os\nos._exit(3)"}, wait=False)
    server.wait_log(r"worker 0 is started again in [1-9]")
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")
    assert "helper.py has changed" in server.log()


def test_crash_keeps_the_old_one(develop, tmp_path):
    server = develop()
    write(tmp_path, "helper.py", "import os\nos._exit(3)")
    server.wait_log("goes on in its old process")
    assert text(server) == "one"
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")


def test_after_a_reload(develop, tmp_path):
    """The supervisor that SIGHUP has executed watches as well."""
    server = develop()
    server.signal(signal.SIGHUP)
    server.wait_log("the reload is complete")
    write(tmp_path, "helper.py", helper("two"))
    until_says(server, "two")


def test_wrong_command_line_ends(develop):
    server = develop(app="app:f(x)", wait=False)
    server.expect_status = server.wait_exit()
    assert server.expect_status == EX_USAGE, server.log()


def test_hanging_request_does_not_hold_up(develop, tmp_path, gate):
    """The old worker answers it, however many new ones there are meanwhile."""
    wait = """
import os
from gateway import visit
def text(environ):
    if environ["PATH_INFO"] == "/wait":
        visit(os.environ["GATE"], "old")
        return "old"
    return "one"
"""
    server = develop("--pythonpath", daemon.APPS, files={"helper.py": wait}, env={"GATE": gate.path})
    held = server.connect()
    held.send(request(params("/wait")))
    visitor = gate.arrived()
    for name in ("two", "three"):
        write(tmp_path, "helper.py", helper(name))
        until_says(server, name)
    visitor.release()
    assert held.read_response().body == b"old"


def test_change_while_one_loads(develop, tmp_path, gate):
    """Another one follows."""
    server = develop("--pythonpath", daemon.APPS, env={"GATE": gate.path})
    slow = "import os\nfrom gateway import visit\nvisit(os.environ['GATE'], 'loads')\n"
    write(tmp_path, "helper.py", slow + helper("two"))
    loading = gate.arrived()
    write(tmp_path, "helper.py", helper("three"))
    loading.release()
    until_says(server, "three")


def test_change_while_one_hangs(develop, tmp_path, gate):
    """It is not waited for any longer."""
    server = develop("--pythonpath", daemon.APPS, env={"GATE": gate.path})
    slow = "import os\nfrom gateway import visit\nvisit(os.environ['GATE'], 'loads')\n"
    write(tmp_path, "helper.py", slow + helper("two"))
    gate.arrived()
    write(tmp_path, "helper.py", helper("three"))
    until_says(server, "three")
    assert "begins anew" in server.log()


# --- users

@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
def test_files_that_the_user_may_not_see(protocol):
    """What an application says is loaded is looked at with its own rights, though the supervisor is root: else the log would
    tell it when files of others change."""
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-test.") as name:
        os.chmod(name, 0o755)
        write(name, "secret/key.py", "")
        os.chmod(os.path.join(name, "secret"), 0o700)
        write(name, "helper.py", helper("one"))
        write(name, "app.py", APP + "helper.__dict__['__file__'] = %r\n" % os.path.join(name, "secret/key.py"))
        server = Supervised("app:app", 1, "--reload", "--user", "nobody", protocol=protocol, cwd=name)
        try:
            server.wait_log("worker 0 .* serves")
            server.wait_log("warning: --reload cannot watch %s/secret: Permission denied" % re.escape(name))
            write(name, "secret/key.py", "# another one\n")
            write(name, "app.py", APP.replace("import helper", "import helper  # saved"))
            until(lambda: replacements(server), "the change", server.log)
            assert replacements(server) == ["app.py"]
        finally:
            server.stop()
