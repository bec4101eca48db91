"""The command line, what it refuses and why, and where the application is found."""
import os
import re
import subprocess

import pytest

import daemon
from daemon import APPS, run

EX_USAGE, EX_NOINPUT, EX_SOFTWARE, EX_CANTCREAT, EX_CONFIG = 64, 66, 70, 73, 78
# Of this process: others that run tests have sockets of the same name space.
UNUSED = "@wsgi-fcgi-test-unused-%d" % os.getpid()

pytestmark = pytest.mark.once


def refused(done, status, *patterns):
    """It has ended with this status, and said on standard error what each of the patterns matches."""
    assert done.returncode == status, done.stderr
    for pattern in patterns:
        assert re.search(pattern, done.stderr), "%r is not in:\n%s" % (pattern, done.stderr)
    assert re.match(r"\S+Z wsgi-fcgi\[\d+\] error: ", done.stderr), done.stderr


# --- information

def test_help():
    done = run("--help")
    assert done.returncode == 0 and not done.stderr
    assert re.search(r"(?i)^usage: wsgi-fcgi \[OPTIONS\] MODULE:CALLABLE", done.stdout)
    for option in ("socket", "socket-mode", "socket-owner", "socket-group", "backlog", "threads", "chdir", "pythonpath",
                   "venv", "script-name", "limit-request-body", "limit-params", "idle-timeout", "graceful-timeout",
                   "log-level", "check", "version", "help"):
        assert "--" + option in done.stdout
    assert "0660" in done.stdout and re.search(r"--threads.*(\n.*)?32", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_version():
    for option in ("--version", "-V"):
        done = run(option)
        assert done.returncode == 0 and not done.stderr
        assert re.search(r"wsgi-fcgi \d+\.\d+", done.stdout)
        assert re.search(r"Python 3\.\d+\.\d+", done.stdout)
        assert re.search(r"libev.*(epoll|poll|select|kqueue|linuxaio|iouring)", done.stdout)
        assert re.search("build options: .*(static-python|shared-python|extension)", done.stdout)


def embedded_python():
    """The program that belongs to the embedded Python, as the server found it."""
    return re.search(r"Python 3\.[^(]*\((/\S+)\)", run("--check", "wsgiapp").stdout).group(1)


def test_gil_is_kept():
    """PYTHON_GIL=0 means nothing before 3.13, and from then on asks for what the server does not do."""
    done = run("--check", "wsgiapp", env={"PYTHON_GIL": 0})
    if int(re.search(r"Python 3\.(\d+)", run("--version").stdout).group(1)) < 13:
        assert done.returncode == 0, done.stderr
    else:
        refused(done, EX_CONFIG, "PYTHON_GIL=0")


def test_check():
    done = run("--check", "wsgiapp")
    assert done.returncode == 0, done.stderr
    found = done.stdout + done.stderr
    assert "application" in found and os.path.join(APPS, "wsgiapp.py") in found and "Python 3." in found


def test_check_makes_no_socket(tmp_path):
    path = tmp_path / "app.sock"
    assert run("--check", "-s", path, "wsgiapp").returncode == 0
    assert not path.exists()


def test_check_fails_as_a_start_does():
    refused(run("--check", "no_such_module"), EX_NOINPUT, "no_such_module")


@pytest.mark.parametrize("args, pattern", [
    (["--sokcet", "x", "hello"], "--sokcet.*did you mean --socket"),
    (["--thread-count", "3", "hello"], "--thread-count"),
    (["-Z", "hello"], "-Z"),
    (["--threads", "abc", "hello"], '--threads.*"abc".*number'),
    (["--threads", "0", "hello"], "--threads"),
    (["--threads", "99999", "hello"], "--threads"),
    (["--socket-mode", "999", "hello"], "--socket-mode"),
    (["--script-name", "app", "hello"], '--script-name.*"?/'),
    (["--script-name", "/app/", "hello"], "--script-name"),
    (["--limit-params", "lots", "hello"], "--limit-params"),
    (["--log-level", "loud", "hello"], "--log-level.*(error|warning|info|debug)"),
    (["--socket"], "--socket"),
    (["hello", "forms"], "forms"),
])
def test_usage_errors(args, pattern):
    done = run(*args)
    refused(done, EX_USAGE, pattern)
    assert done.stderr.count("\n") <= 4, "short"


@pytest.mark.parametrize("args, pattern", [
    ([], "no application given"),
    (["hello"], "no socket to listen on"),
])
def test_too_little(args, pattern):
    """A whole command stands first, one that this build understands."""
    done = run(*args)
    assert done.returncode == EX_USAGE
    first, error = done.stderr.splitlines()
    example = "--http :8000" if daemon.speaks_http() else "-s /run/app.sock"
    assert first == "For example: wsgi-fcgi %s app:app" % example
    assert re.search(pattern, error)


def test_help_is_about_this_build():
    text = run("--help").stdout
    assert text.splitlines()[1].startswith("For example: wsgi-fcgi --http" if daemon.speaks_http()
                                           else "For example: wsgi-fcgi -s")
    assert ("--proxy-protocol" in text) == daemon.speaks_http()
    assert ("not in this build" in text) != daemon.speaks_http()


def test_readme_and_errors_agree_on_other_servers():
    """Each option in the README's table of settings is either one here or one of which the error says what it is here;
    or what it lacks, for a program without HTTP."""
    with open(os.path.join(daemon.HERE, "..", "..", "README.md")) as readme:
        rows = [line.split("|")[1:4] for line in readme.read().split("## Coming from")[1].split("\n## ")[0].splitlines()
                if line.startswith("|")]
    words = set(re.findall(r"`(--?[a-zA-Z][a-z-]*)", " ".join(sum(rows, []))))
    own = set(re.findall(r"(?<= )--?[a-zA-Z][a-z-]*", run("--help").stdout))
    assert len(words) > 40
    for word in sorted(words - own):
        refused(run(word, "hello"), EX_USAGE, "%s(:| is .*: here) " % word)


# --- the scripts

@pytest.mark.parametrize("script, args, said", [
    ("demo", ["--prot", "80"], "unknown option --prot: see contrib/demo --help; options of wsgi-fcgi stand behind --"),
    ("demo", ["--threads=3"],
     "unknown option --threads=3: see contrib/demo --help; options of wsgi-fcgi stand behind --"),
    ("demo", ["app:app"], "\"app:app\" is no option: an application is served with --app app:app"),
    ("demo", ["--port"], "--port needs a value"),
    ("demo", ["--chdir", "/none"], "--chdir: no directory /none"),
    ("test", ["--slow"], "unknown option --slow: see contrib/test --help"),
    ("test", ["--quick", "--apps"], "it takes one option, and not \"--quick --apps\": see contrib/test --help"),
    ("test", ["--python", "2.7"], "--python: \"2.7\" is neither 3.N nor newest"),
    ("test", ["--python"], "--python needs a value"),
])
def test_scripts_name_what_they_do_not_know(script, args, said):
    path = os.path.join(daemon.HERE, "..", "..", "contrib", script)
    done = subprocess.run([path, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (EX_USAGE, "", "%s: error: %s\n" % (script, said))


# --- the application that cannot be used

def run_app(*args, **more):
    """As the server is started; none of these gets as far as using the socket."""
    return run("-s", UNUSED, *args, **more)


@pytest.fixture
def modules(tmp_path):
    """Writes modules that go wrong; returns their directory."""
    for name, text in {
        "raises": "def inner():\n    raise ValueError('this module is broken')\ninner()\n",
        "imports": "import no_such_dependency\n",
        "syntax": "def app(environ start_response):\n    pass\n",
        "exits": "import sys\nsys.exit(3)\n",
        "empty": "",
    }.items():
        (tmp_path / (name + ".py")).write_text(text)
    return tmp_path


@pytest.mark.parametrize("app, status, patterns", [
    ("no_such_module:app", EX_NOINPUT, ["no_such_module", "--chdir|--pythonpath"]),
    ("forms.no_such:app", EX_NOINPUT, ["forms.no_such"]),
    ("forms:aplication", EX_CONFIG, ["aplication", "forms:application"]),
    ("forms:holder.nothing", EX_CONFIG, ["nothing"]),
    ("forms:not_callable", EX_CONFIG, ["not_callable", "int"]),
    ("forms:create_app", EX_CONFIG, [r"forms:create_app\(\)"]),
    ("forms:create_named", EX_CONFIG, [r"\(name, \*, suffix=''\)", "call it as in \"app:make\\("]),
    ("forms:create_nothing()", EX_CONFIG, ["create_nothing", "None"]),
    ("forms:create_broken()", EX_SOFTWARE, ["Traceback", "the factory broke"]),
    ("forms:create_app(1)", EX_CONFIG, [r"create_app\(1\)", "takes 0 positional arguments but 1 was given"]),
    ("forms:create_named()", EX_CONFIG, ["missing 1 required positional argument: 'name'", r"\(name, \*, suffix=''\)"]),
    ("forms:create_named('x', sufix='y')", EX_CONFIG, ["sufix", r"\(name, \*, suffix=''\)"]),
    ("forms:create_mistaken('x')", EX_SOFTWARE, ["Traceback", "TypeError: can only concatenate"]),
    ("forms:create_named(name)", EX_USAGE, ["the argument name is no literal", "quotes"]),
    ("forms:create_named(1 + len('x'))", EX_USAGE, [r"the argument 1 \+ len\('x'\) is no literal"]),
    ("forms:create_named({[]: 1})", EX_USAGE, [r"the argument \{\[\]: 1\} is no literal"]),
    ("forms:create_named(*[1])", EX_USAGE, [r"the argument \*\[1\] is no literal"]),
    ("forms:create_named(**{'name': 'x'})", EX_USAGE, [r"\*\* is not possible", "NAME=VALUE"]),
    ("forms:create_named(name='x', name='y')", EX_USAGE, ["the argument name is given twice"]),
    ("forms:create_named('x'", EX_USAGE, [r"was never closed, at character 13 of \"create_named\('x'", "FACTORY"]),
    ("forms:create_named('x', , 'y')", EX_USAGE, ["invalid syntax, at character 19 of \"create_named"]),
    ("forms:create_named(" + 10000 * "-" + "1)", EX_USAGE, ["cannot read|is no literal"]),
    ("forms:create_app()()", EX_USAGE, [r"create_app\(\)\(\)", "MODULE:FACTORY"]),
    ("forms:create_app().x", EX_USAGE, ["MODULE:FACTORY"]),
    ("forms:holder['inner']", EX_USAGE, ["MODULE:FACTORY"]),
    ("forms:create_app()\nno", EX_USAGE, [r"create_app\(\)\\x0ano"]),
    ("forms:not_callable('x')", EX_CONFIG, ["not_callable", "int", "forms:not_callable$"]),
    ("forms:asgi", EX_CONFIG, ["ASGI"]),
    ("forms:Holder", EX_CONFIG, [r"cannot be called with"]),
    ("forms:Framework", EX_CONFIG, [r"forms:Framework is a class and its instances are not iterable", "PEP 3333",
                                    "name that; it could be forms:application, forms:app"]),
    ("forms:create_class()", EX_CONFIG, [r"result of forms:create_class\(\) is a class and its instances are not iterable"]),
    (":app", EX_USAGE, [":app"]),
    ("forms:", EX_USAGE, ["forms:"]),
    ("forms:a b", EX_USAGE, ["a b"]),
])
def test_wrong_applications(app, status, patterns):
    refused(run_app(app), status, *patterns)


def test_application_that_is_no_text():
    refused(run_app(os.fsdecode(b"forms:create_named('\xff')")), EX_USAGE, r"create_named\('\\xff'\)", "FACTORY")


@pytest.mark.parametrize("app, status, patterns", [
    ("raises", EX_SOFTWARE, ["Traceback", "raises.py.*line 2", "ValueError: this module is broken"]),
    ("imports", EX_SOFTWARE, ["Traceback", "imports.py.*line 1", "No module named 'no_such_dependency'"]),
    ("syntax", EX_SOFTWARE, ["syntax.py.*line 1", "SyntaxError"]),
    ("exits", EX_SOFTWARE, ["exit"]),
    ("empty", EX_CONFIG, ["application", "app"]),
])
def test_modules_that_go_wrong(modules, app, status, patterns):
    refused(run_app("--chdir", modules, app), status, *patterns)


def test_wrong_directories(tmp_path):
    refused(run_app("--chdir", tmp_path / "missing", "hello"), EX_NOINPUT, "--chdir", "missing")
    refused(run_app("--venv", tmp_path / "missing", "hello"), EX_NOINPUT, "--venv|virtual environment", "missing")
    refused(run_app("--venv", tmp_path, "hello"), EX_CONFIG, "pyvenv.cfg", "-m venv")
    refused(run_app("hello", env={"VIRTUAL_ENV": tmp_path}), EX_CONFIG, "VIRTUAL_ENV", "pyvenv.cfg")


def test_nothing_can_be_spooled(tmp_path):
    """Neither where there is no such directory nor on a read-only root: another one that will do is named."""
    hint = "give another one with --spool-dir, such as /dev/shm, which is memory, or mount a tmpfs there"
    missing = tmp_path / "missing"
    refused(run_app("hello", env={"TMPDIR": missing}), EX_CANTCREAT, "%s: No such file.*: %s" % (missing, hint))

    unshare = ["unshare", "--mount"] + ([] if os.getuid() == 0 else ["--map-root-user"])
    done = subprocess.run([*unshare, "sh", "-c", 'mount -t tmpfs -o ro tmpfs "$0" && TMPDIR=$0 exec "$@"', str(tmp_path),
                           daemon.binary(), "-s", UNUSED, "hello"], cwd=APPS, env=daemon.clean_environ(),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    refused(done, EX_CANTCREAT, "%s: Read-only file system: %s" % (tmp_path, hint))
    # That one, should it be the one that is wanting.
    done = subprocess.run([*unshare, "sh", "-c", 'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$@"', "sh",
                           daemon.binary(), "-s", UNUSED, "--spool-dir", "/dev/shm", "hello"], cwd=APPS,
                          env=daemon.clean_environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    refused(done, EX_CANTCREAT, "/dev/shm: Read-only file system: give another one with --spool-dir, or mount a tmpfs there")


@pytest.mark.parametrize("key", ["version", "version_info"])
def test_virtual_environment_of_another_python(tmp_path, key):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/usr/bin/python3")
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n%s = 3.99.1\n" % key)
    refused(run_app("--venv", tmp_path, "hello"), EX_CONFIG, "3\\.99", r"Python 3\.1\d", "-m venv")


# --- where the application is found

def body(server, path="/"):
    response = server.ask(path)
    assert response.status == 200, response
    return response.body.decode()


@pytest.mark.parametrize("app", ["forms:application", "forms:app", "forms:holder.inner", "forms:create_app()",
                                 "forms:Klass", "forms:Items", "forms:New", "forms:Meta", "package.inner.web:site.wsgi"])
def test_application_forms(start, app):
    assert body(start(app)) == app


WARNED = "warning: %s can be called without arguments: if it returns the application, write %s()\n"


@pytest.mark.parametrize("name, warned", [
    ("create_default", True),
    ("create_default_with", True),
    ("holder.create_default", True),
    ("create_default()", False),
    ("application", False),
    ("passes_on", False),
    ("environ_and_start_response", False),
    ("holder", False),
    ("Klass", False),
])
def test_factory_that_could_be_an_application(modules, name, warned):
    """As far as its signature goes, so that it is not refused; each request would fail."""
    (modules / "factories.py").write_text("""
from forms import Klass, application

def create_default(name="x", debug=False):
    return application

def create_default_with(name="x", debug=False, *, testing=False):
    return application

def passes_on(*args, **kwargs):
    return application(*args, **kwargs)

def environ_and_start_response(environ=None, start_response=None):
    return application(environ, start_response)

class Holder:
    def __call__(self, one=None, two=None):
        return application(one, two)

    def create_default(self, name="x", debug=False):
        return application

holder = Holder()
""")
    app = "factories:" + name
    done = run("--check", "--chdir", modules, "--pythonpath", APPS, app)
    assert done.returncode == 0, done.stderr
    assert (WARNED % (app, app) in done.stderr) == warned, done.stderr
    assert warned or not done.stderr


@pytest.mark.parametrize("call, expected", [
    ("create_named('x')", "x"),
    ('create_named("x", suffix="é")', "xé"),
    ("create_named(name='x', suffix='\\n')", "x\n"),
    ("create_named(['a', ('b', -1.5)], suffix={'c': None})", "['a', ('b', -1.5)]{'c': None}"),
    ("create_named ( 'x:/()' , )", "x:/()"),
    ("create_named(\n    'x',\n)", "x"),
    ("holder.create('x')", "x"),
    ("holder . create('x')", "x"),
])
def test_factory_with_arguments(start, call, expected):
    assert body(start("forms:" + call)) == expected


@pytest.mark.parametrize("text, expected", [
    ("from forms import application, app", "forms:application"),
    ("from forms import app", "forms:app"),
    ("app = __import__('forms').app\nother = 1", "forms:app"),
])
def test_module_alone(start, tmp_path, text, expected):
    (tmp_path / "alone.py").write_text(text)
    assert body(start("alone", "--chdir", tmp_path, "--pythonpath", APPS)) == expected


def test_current_directory_is_on_the_path(start):
    assert body(start("forms:paths", cwd=APPS)).split("\n")[2] == APPS


def test_order_of_sys_path(start, tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    server = start("forms:paths", "--chdir", tmp_path / "one", "--pythonpath", tmp_path / "two", "--pythonpath", APPS,
                   cwd="/", env={"PYTHONPATH": tmp_path / "three"})
    path = body(server).split("\n")[2:]
    assert path[:4] == [str(tmp_path / "two"), APPS, str(tmp_path / "one"), str(tmp_path / "three")]


def test_relative_directories(start, tmp_path):
    """They count from where the server was started."""
    (tmp_path / "one").mkdir()
    assert body(start("forms", "--chdir", os.path.basename(APPS), cwd=os.path.dirname(APPS))) == "forms:application"
    path = body(start("forms:paths", "--chdir", APPS, "--pythonpath", "one", cwd=tmp_path)).split("\n")[2:]
    assert path[:2] == [str(tmp_path / "one"), APPS]


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """A virtual environment of the embedded Python with a module that is only there."""
    import subprocess
    directory = tmp_path_factory.mktemp("v") / "venv"
    subprocess.run([embedded_python(), "-m", "venv", "--without-pip", directory], check=True, env=daemon.clean_environ())
    site, = directory.glob("lib/python3*/site-packages")
    (site / "only_in_venv.py").write_text("from forms import app, paths\n")
    return directory


@pytest.mark.parametrize("how", ["option", "environment"])
def test_virtual_environment(start, venv, how):
    refused(run_app("only_in_venv"), EX_NOINPUT)
    args, env = (["--venv", venv], {}) if how == "option" else ([], {"VIRTUAL_ENV": venv})
    lines = body(start("only_in_venv:paths", *args, env=env)).split("\n")
    assert lines[0] == str(venv / "bin" / "python") and lines[1] == str(venv)
    assert any(line.startswith(str(venv)) for line in lines[2:])


@pytest.mark.parametrize("how", ["option", "environment"])
@pytest.mark.parametrize("path", ["", "bin", "bin/", "bin/python", "bin/python3", "bin/activate", "bin//python",
                                  "pyvenv.cfg"])
def test_virtual_environment_by_what_is_in_it(start, venv, how, path):
    """What shells, editors and unit files name is understood as the environment it is in."""
    given = os.path.join(venv, path)
    args, env = (["--venv", given], {}) if how == "option" else ([], {"VIRTUAL_ENV": given})
    lines = body(start("only_in_venv:paths", *args, env=env)).split("\n")
    assert lines[:2] == [str(venv / "bin" / "python"), str(venv)]


def test_virtual_environment_by_a_relative_path(start, venv):
    server = start("only_in_venv:paths", "--venv", "bin/python", "--pythonpath", APPS, cwd=venv)
    assert body(server).split("\n")[1] == str(venv)


def test_what_is_in_no_virtual_environment(venv, tmp_path):
    """Only what is there is understood, and the error names what was given."""
    refused(run_app("--venv", venv / "bin" / "missing", "hello"), EX_NOINPUT, "no file or directory .*bin/missing")
    refused(run_app("--venv", "/usr/bin/python3", "hello"), EX_NOINPUT,
            "/usr/bin/python3 is not in a virtual environment")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".venv").symlink_to(venv)
    refused(run_app("--venv", tmp_path / "project", "hello"), EX_CONFIG, "pyvenv.cfg",
            r"did you mean /.*/project/\.venv\?")
    refused(run_app("hello", env={"VIRTUAL_ENV": tmp_path / "project"}), EX_CONFIG, "VIRTUAL_ENV",
            r"did you mean /.*/project/\.venv\?")


def test_option_wins_over_environment(start, venv, tmp_path):
    assert body(start("only_in_venv", "--venv", venv, env={"VIRTUAL_ENV": tmp_path})) == "forms:app"


def test_identity(start):
    """sys.executable is a Python, so that an application may start it."""
    import json
    server = start("wsgiapp")
    identity = json.loads(body(server, "/identity"))
    assert identity["pid"] == server.pid
    assert re.fullmatch(r"python3(\.\d+t?)?", os.path.basename(identity["executable"]))
    assert len(identity["argv"]) == 1, "an application that parses its arguments when imported sees none"


# --- --pythonpath

def searched(start, tmp_path, *values):
    """What stands at the front of sys.path, below tmp_path where the server runs; and what the log says."""
    (tmp_path / "front.py").write_text(
        "import sys\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr(sys.path).encode()]\n")
    server = start("front", *[word for value in values for word in ("--pythonpath", value)], cwd=tmp_path)
    path = eval(body(server))
    return [os.path.relpath(name, tmp_path) for name in path[:path.index(str(tmp_path))]], server.log()


def test_pythonpath_with_colons(start, tmp_path):
    """As the variable PYTHONPATH has them, relative ones and empty ones too; and given several times."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    path, log = searched(start, tmp_path, "%s/a:b" % tmp_path, ":c:")
    assert path == ["a", "b", "c"]
    assert "--pythonpath" not in log


def test_pythonpath_with_a_colon_in_a_name(start, tmp_path):
    (tmp_path / "a:b").mkdir()
    path, log = searched(start, tmp_path, "a:b")
    assert path == ["a:b"]
    assert "--pythonpath" not in log


def test_pythonpath_that_is_not_there(start, tmp_path):
    (tmp_path / "a").mkdir()
    path, log = searched(start, tmp_path, "a:none", "a,other")
    assert path == ["a", "none", "a,other"]
    assert "--pythonpath: nothing is imported from %s/none: No such file or directory\n" % tmp_path in log
    assert ("--pythonpath: nothing is imported from %s/a,other: No such file or directory: between directories stands a "
            "colon\n" % tmp_path) in log
