"""--config, options in the environment, and --print-config."""
import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import subprocess
import tempfile

import pytest

import daemon
from daemon import Daemon
from supervised import Supervised

EX_USAGE, EX_CONFIG = 64, 78

# A value for each kind of argument, that is the default of no option.
VALUES = {"DIR": "/srv/some where", "PREFIX": "/a;b", "PATH": "/p#q", "ADDR": "@some;thing", "MODE": "0604",
          "USER": "somebody", "GROUP": "some-group", "KIND": "x-real-ip", "TEXT": 'a "quoted" \\ text', "SIZE": "70K",
          "N": "7", "SECONDS": "0.25", "ACTION": "interrupt", "LEVEL": "debug", "WHERE": "both", "GLOB": "a/**/*.x",
          "NAME=VALUE": "A=b c=d", "FORMAT": "json", "URL": "http://host:1"}
# Where these will not do.
OF_OPTION = {"warm-up": "/p?q=%20", "allow": "10.0.0.0/8", "forwarded-allow": "unix", "umask": "027",
             "status-path": "/p;q", "request-id": "echo"}
# Options that are a mistake without others.
WITH = {"max-requests-jitter": {"workers": "2", "max-requests": "9"}, "stuck-timeout": {"request-timeout": "5"},
        "trace-memory": {"workers": "2", "max-memory": "1G"}, "request-timeout-action": {"request-timeout": "5"},
        "reload-extra": {"reload": "yes"}}
SECRETS = {"env"}
COMMANDS = ("config", "print-config", "check", "version", "help")

pytestmark = pytest.mark.once


def table():
    """{name: argument or None} of all options that a file can have."""
    found = re.findall(r"^  (?:-\w,|   ) --([a-z-]+)(?: ([A-Z=]+))?", daemon.run("--help").stdout, re.M)
    return {name: arg or None for name, arg in found if name not in COMMANDS}


TABLE = table()
LISTS = {re.match(r" +(?:-\w, )?--([a-z-]+)", text).group(1)
         for text in re.split(r"\n(?=  (?:-\w,|   ) --)", daemon.run("--help").stdout)[1:]
         if "may be repeated" in " ".join(text.split())}
GROUPS = dict(re.findall(r"^(\w[\w -]*):\n((?: .*\n)+)", daemon.run("--help").stdout, re.M))
OF_WORKERS = set(re.findall(r"^      --([a-z-]+)", GROUPS["Workers"], re.M))


@contextlib.contextmanager
def running(server):
    try:
        yield server
        server.stop()
    finally:
        server.kill()


def value_of(name):
    if TABLE[name] is None:
        return "yes"
    return OF_OPTION.get(name) or VALUES[TABLE[name]]


def settings_for(name):
    """The option, and what it cannot be without, as {name: value}."""
    more = dict(WITH.get(name, {}))
    if name in OF_WORKERS and name != "workers":
        more.setdefault("workers", "2")
    return {**more, name: value_of(name)}


def write(path, text):
    path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
    path.chmod(0o644)
    return str(path)


def as_file(settings, app="wsgiapp"):
    lines = ["application = %s" % app] if app else []
    return "\n".join(lines + ["%s = %s" % item for item in settings.items()]) + "\n"


def variable(name):
    return "WSGI_FCGI_" + name.upper().replace("-", "_")


def quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"')


def as_environment(settings):
    return {variable(name): quoted(value) if " " in value and name in LISTS else value
            for name, value in settings.items()}


def as_words(settings):
    return ["--" + name if TABLE[name] is None else "--%s=%s" % (name, value) for name, value in settings.items()]


def printed(*words, env=None, cwd=daemon.APPS):
    """What --print-config prints, as [(key, value, source)], and as text."""
    done = daemon.run("--print-config", *words, env=env, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = []
    source = None
    for line in done.stdout.splitlines():
        if line.startswith("#"):
            source = line[2:]
        elif " = " in line:
            found.append((*line.split(" = ", 1), source))
    return found, done.stdout


def without_sources(found):
    return [(key, value) for key, value, _ in found]


# --- every option, in every layer


@pytest.mark.parametrize("name", TABLE)
def test_every_option(name, tmp_path):
    """The same value by each of the three ways, and by the file that --print-config prints of it."""
    settings = settings_for(name)
    path = write(tmp_path / "a.ini", as_file(settings))
    by_file, text = printed("--config", path)
    by_environment, _ = printed(env={**as_environment(settings), "WSGI_FCGI_APPLICATION": "wsgiapp"})
    by_words, _ = printed(*as_words(settings), "wsgiapp")
    assert without_sources(by_file) == without_sources(by_environment) == without_sources(by_words)
    if name in SECRETS:
        assert "\n# %s = A=... (the value is not shown)\n" % name in text and value_of(name) not in text
        return
    again, _ = printed("--config", write(tmp_path / "b.ini", text))
    assert without_sources(again) == without_sources(by_file)

    line = list(settings).index(name) + 2
    assert [source for key, _, source in by_file if key == name] == ["%s:%d" % (path, line)]
    assert [source for key, _, source in by_environment if key == name] == ["environment: " + variable(name)]
    assert [source for key, _, source in by_words if key == name] == ["command line"]
    default = dict(without_sources(printed("wsgiapp")[0]))
    assert dict(without_sources(by_file))[name] != default.get(name), "the test's value is the default"


@pytest.mark.parametrize("name", sorted(set(TABLE) - SECRETS))
def test_later_layers_win(name, tmp_path):
    """The command line, then the environment, then the file. Of a list, all of the later layer count, and no other."""
    settings = settings_for(name)
    value = value_of(name)
    others = {"yes": ("no", "yes", "no"), "7": ("8", "9", "10"), "0604": ("0600", "0601", "0602"),
              "027": ("022", "077", "007"), "70K": ("71K", "72K", "73K"), "0.25": ("1", "2", "3"),
              "interrupt": ("answer", "interrupt", "answer"), "debug": ("error", "warning", "debug"),
              "both": ("fastcgi", "both", "fastcgi"), "x-real-ip": ("forwarded", "x-real-ip", "forwarded"),
              "unix": ("any", "unix", "any"), "10.0.0.0/8": ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
              "echo": ("off", "echo", "off"), "json": ("combined", "json", "combined")}
    first, second, third = others.get(value) or (value + "1", value + "2", value + "3")
    repeated = name in LISTS
    shared = {key: text for key, text in settings.items() if key != name}
    path = write(tmp_path / "a.ini", as_file({**shared, name: first}) + (as_file({name: value}, None) if repeated else ""))

    def values(*words, env=None):
        return [re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
                for key, text, _ in printed("--config", path, *words, env=env)[0] if key == name]
    env = as_environment({name: second})
    assert values() == ([first, value] if repeated else [first])
    assert values(env=env) == [second]
    assert values("--%s=%s" % (name, third), env=env) == [third]
    assert values("--%s=%s" % (name, third)) == [third]


def test_variables_of_the_application(tmp_path):
    """--env of a later layer replaces those of an earlier one; the values reach the application whole."""
    write(tmp_path / "app.py", "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
          "    return [repr([os.environ.get(name) for name in 'ABC']).encode()]\n")
    path = write(tmp_path / "a.ini", "application = app\nchdir = %s\nsocket = %s/s\nenv = A=1\nenv = B=2\n"
                 % (tmp_path, tmp_path))
    for env, expected in (({}, b"['1', '2', None]"), ({"WSGI_FCGI_ENV": '"B=x \\"y\\" z" C='}, b"[None, 'x \"y\" z', '']")):
        with running(Daemon(None, "--config", path, sockets=False, address=str(tmp_path / "s"), env=env)) as server:
            assert server.ask("/").body == expected


def test_it_serves_what_the_file_says(tmp_path):
    path = write(tmp_path / "shop.ini", "# A comment\n; another\n[wsgi-fcgi]\napplication = wsgiapp\nchdir = %s\n"
                 "socket = %s/a.sock\nsocket : %s/b.sock\nsocket-mode = 0606\n" % (daemon.APPS, tmp_path, tmp_path))
    with running(Daemon(None, "--config", path, sockets=False, address=str(tmp_path / "a.sock"), cwd=str(tmp_path))) as server:
        assert server.ask("/hello").status == 200
        server.address = str(tmp_path / "b.sock")
        assert server.ask("/hello").status == 200
        assert os.stat(tmp_path / "b.sock").st_mode & 0o777 == 0o606


def test_a_relative_path_starts_where_the_server_does(tmp_path):
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc" / "shop.ini", "socket = ./here.sock\nchdir = /\npythonpath = .\n")
    for name in ("wsgiapp.py",):
        write(tmp_path / name, "def application(environ, start_response):\n"
                               "    start_response('200 OK', [])\n    return [b'here']\n")
    with running(Daemon("wsgiapp", "--config", "etc/shop.ini", sockets=False, address=str(tmp_path / "here.sock"),
                cwd=str(tmp_path))) as server:
        assert server.ask("/").body == b"here"


@pytest.mark.parametrize("text", ["yes", "true", "on", "1", "YES", "True"])
def test_words_for_yes(text):
    found, _ = printed("a", env={"WSGI_FCGI_DROP_ABANDONED": text})
    assert ("drop-abandoned", "yes", "environment: WSGI_FCGI_DROP_ABANDONED") in found


@pytest.mark.parametrize("text", ["no", "false", "off", "0", "OFF"])
def test_words_for_no(text, tmp_path):
    """A flag of the file can be switched off again, and is not missed then by what would complain of it."""
    path = write(tmp_path / "a.ini", "application = a\npreload = yes\nworkers = 2\n")
    found, _ = printed("--config", path, "--preload=" + text)
    assert ("preload", "no", "command line") in found
    path = write(tmp_path / "b.ini", "application = a\npreload = yes\n")
    assert ("preload", "no", "command line") in printed("--config", path, "--preload=" + text)[0]


@pytest.mark.parametrize("written, value", [
    ("/a b", "/a b"), ('"/a b "', "/a b "), ("/a;b # c ; d", "/a;b # c ; d"), ('"/\\"x\\\\\\n\\x41"', '/"x\\\nA'),
    ("/" + "x" * 5000, "/" + "x" * 5000), ("/ü", "/ü"), ('/x"y"', '/x"y"'), ("/a = b : c", "/a = b : c"),
], ids=range(8))
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_values_as_they_are(written, value, end, tmp_path):
    """Whole, however long, with whatever is in them."""
    path = write(tmp_path / "a.ini", ("\ufeff  chdir  =  %s  %s" % (written, end)).encode())
    done = daemon.run("--config", path, "-s", tmp_path / "s", "wsgiapp")
    assert done.returncode == 66, done.stderr
    assert "%s:1: chdir: cannot change to %s" % (path, value[:500].replace("\\", "\\x5c").replace("\n", "\\x0a")) in done.stderr
    _, text = printed("--config", path, "a")
    plain = value == value.strip() and "\n" not in value
    assert "\nchdir = %s\n" % (value if plain else quoted(value).replace("\n", "\\n")) in text


# --- mistakes

MISTAKES = [  # a line, and what is said of it
    ("thread = 4", 'unknown key "thread": did you mean threads?'),
    ("Threads = 4", 'unknown key "Threads": did you mean threads?'),
    ("max_requests = 4", 'unknown key "max_requests": did you mean max-requests?'),
    ("aplication = x", 'unknown key "aplication": did you mean application?'),
    ("nothing-like-it = 4", 'unknown key "nothing-like-it": the keys are the long options'),
    ("= 4", 'unknown key "": the keys are'),
    ("bind = :8000", "bind is gunicorn's: here --"),
    ("http-socket = :8000", "http-socket is uWSGI's: here --"),
    ("worker_class = gevent", "worker_class is granian's, gunicorn's, uWSGI's and uvicorn's: here "),
    ("check = yes", "check is for the command line alone"),
    ("config = /x", "config is for the command line alone"),
    ("version = 1", "version is for the command line alone"),
    ("help = 1", "help is for the command line alone"),
    ("threads 4", '"threads 4" is not KEY = VALUE'),
    ("threads", '"threads" is not KEY = VALUE'),
    ("    - 4", '"- 4" is not KEY = VALUE'),
    ("x" * 300 + " = 1", "is not KEY = VALUE"),
    ("threads = x", 'threads: "x" is not a number from 1 to 1024'),
    ("threads =", 'threads: "" is not a number'),
    ("threads = 4 ; four", 'threads: "4 ; four" is not a number'),
    ("chdir =", 'chdir: "" is empty where DIR is needed'),
    ("log-level = inof", 'log-level: "inof" is not error, warning, info or debug: did you mean info?'),
    ("app-stderr = log-file", 'app-stderr: "log-file" is not log, fastcgi or both'),
    ("app-stderr = fastcig", "did you mean fastcgi?"),
    ("forwarded-fields = x-forward", "did you mean x-forwarded?"),
    ("request-timeout-action = interupt", "did you mean interrupt?"),
    ("preload = yse", 'preload: "yse" is not yes or no: did you mean yes?'),
    ("preload =", 'preload: "" is not yes or no'),
    ("header-timeout = 1M", 'header-timeout: "1M" is not a time'),
    ("body-memory = 1", 'body-memory: "1" is not a size from 64K to 1G'),
    ("socket-mode = 0999", 'socket-mode: "0999" is not an octal mode'),
    ("script-name = app", 'script-name: "app" does not start with "/"'),
    ("application = app:", 'application: "app:" has nothing behind the colon'),
    ('chdir = "/a', 'chdir: "/a has a quote at its begin and none at its end'),
    ('chdir = "/a" b', 'chdir: "/a" b goes on behind the quote that ends it'),
    ('chdir = "\\q"', "has a backslash that means nothing"),
    ('chdir = "\\x00"', "has a backslash that means nothing"),
    ("[uwsgi]", "[uwsgi] is no section of this file: write [wsgi-fcgi], or none"),
    ("[wsgi-fcgi", '"[wsgi-fcgi" is no section'),
    ("[" + "x" * 60 + "]", "is no section"),
    ("chdir = /a\0b", "has a null byte"),
    ("chdir = /a\nchdir = /b", "chdir: line 3 gives it already: leave one of them out"),
]


def lines_of(stderr, level):
    """The lines of the log, which are all of this level, without what is in front of the text."""
    found = [re.fullmatch(r"\S+ wsgi-fcgi\[\d+\] %s: (.*)" % level, line) for line in stderr.splitlines()]
    assert all(found), stderr
    return [match.group(1) for match in found]


def errors(done):
    return lines_of(done.stderr, "error")


@pytest.mark.parametrize("line, said", MISTAKES, ids=[line[:30] for line, _ in MISTAKES])
def test_mistakes(line, said, tmp_path):
    """One line that names file and line, says what is wrong, and what may have been meant."""
    path = write(tmp_path / "a.ini", ("# a\nidle-timeout = 7\n%s\n" % line).encode())
    done = daemon.run("--config", path, "a")
    assert done.returncode == EX_CONFIG, done.stderr
    (error,) = errors(done)
    assert error.startswith("%s:%d: " % (path, 3 + line.count("\n"))), error
    assert said in error


def test_all_mistakes_at_once(tmp_path):
    path = write(tmp_path / "a.ini", "threads = x\nfoo = 1\n[b]\nbacklog = 0\n")
    done = daemon.run("--config", path, "a")
    assert done.returncode == EX_CONFIG
    assert [error.split(":")[1] for error in errors(done)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("line", [
    "hunter2", "=hunter2", "WSGI_FCGI_STATE=hunter2", '"A=hunter2', '"A=hunter2" x', '"A=hunter2\\q"',
])
def test_no_mistake_shows_a_secret(line, tmp_path):
    """What is wrong with a value of --env is said without the value, which may be a password."""
    path = write(tmp_path / "a.ini", "env = %s\n" % line)
    done = daemon.run("--config", path, "a")
    (error,) = errors(done)
    assert error.startswith("%s:1: env: " % path) and "hunter2" not in error
    (error,) = errors(daemon.run("a", env={"WSGI_FCGI_ENV": line}))
    assert error.startswith("WSGI_FCGI_ENV: ") and "hunter2" not in error


def test_twenty_of_many_mistakes(tmp_path):
    path = write(tmp_path / "a.ini", "foo = 1\n" * 33)
    lines = errors(daemon.run("--config", path, "a"))
    assert len(lines) == 21 and lines[-1] == "%s: and 13 more mistakes" % path


def test_no_mistake_is_forgiven_for_a_later_layer(tmp_path):
    path = write(tmp_path / "a.ini", "threads = x\n")
    assert daemon.run("--config", path, "--threads", "4", "a").returncode == EX_CONFIG


@pytest.mark.parametrize("name, text, said", [
    ("WSGI_FCGI_THREADS", "x", 'WSGI_FCGI_THREADS: "x" is not a number from 1 to 1024'),
    ("WSGI_FCGI_LOG_LEVEL", "inof", "did you mean info?"),
    ("WSGI_FCGI_PRELOAD", "yse", 'WSGI_FCGI_PRELOAD: "yse" is not yes or no: did you mean yes?'),
    ("WSGI_FCGI_PYTHONPATH", '/a "/b', 'WSGI_FCGI_PYTHONPATH: "/b has a quote at its begin and none at its end'),
    ("WSGI_FCGI_PYTHONPATH", '"/a"/b', "put a blank between two values"),
    ("WSGI_FCGI_APPLICATION", "app:", 'WSGI_FCGI_APPLICATION: "app:" has nothing behind the colon'),
    ("WSGI_FCGI_CONFIG_FD", "7", "the environment variable WSGI_FCGI_CONFIG_FD is for the server itself: remove it"),
])
def test_mistakes_in_the_environment(name, text, said, tmp_path):
    path = write(tmp_path / "a.ini", "")
    done = daemon.run("--config", path, "a", env={name: text})
    assert done.returncode == (EX_CONFIG if name.endswith("_FD") else EX_USAGE)
    (error,) = errors(done)
    assert said in error


@pytest.mark.parametrize("words, said", [
    (["--log-level", "inof"], '--log-level: "inof" is not error, warning, info or debug: did you mean info?'),
    (["--preload=yse"], '--preload: "yse" is not yes or no: did you mean yes?'),
    (["--print-confg"], "unknown option --print-confg: did you mean --print-config?"),
    (["--application", "a"], "unknown option --application"),
])
def test_mistakes_on_the_command_line(words, said):
    done = daemon.run(*words, "a")
    assert done.returncode == EX_USAGE
    assert said in errors(done)[0]


@pytest.mark.parametrize("line, status, said", [
    ("socket = host", EX_CONFIG, ": socket host: "),
    ("allow = host", EX_CONFIG, ': allow: "host" is not an IP address'),
    ("forwarded-allow = host", EX_CONFIG, ': forwarded-allow: "host" is not an IP address'),
    ("allow-uid = no-such-user", 67, ': allow-uid: there is no user "no-such-user"'),
    ("allow-gid = no-such-group", 67, ': allow-gid: there is no group "no-such-group"'),
    ("socket-owner = no-such-user", 67, ': socket-owner: there is no user "no-such-user"'),
    ("max-requests = 5", EX_CONFIG, ": max-requests is for workers, and there are none"),
    ("request-timeout-action = interrupt", EX_CONFIG, ": request-timeout-action is about calls beyond"),
    ("proxy-protocol = yes", EX_CONFIG, ": proxy-protocol: name the proxies"),
    ("venv = /nowhere", 66, ": venv: there is no file or directory /nowhere"),
    ("venv = /etc", EX_CONFIG, ": venv: /etc is not a virtual environment"),
    ("spool-dir = /nowhere", 73, ": spool-dir: cannot write to the directory for request bodies, /nowhere"),
    ("pidfile = /nowhere/x", 73, ": pidfile: /nowhere/x cannot be written"),
    ("pythonpath = /usr:/nowhere\nspool-dir = /nowhere", 73, ": pythonpath: nothing is imported from /nowhere"),
    ("warm-up = /raises", 70, ": warm-up /raises: answered with status 500"),
    ("warm-up = /401\nwarm-up = /cut", 70, ": warm-up /401: answered with status 401"),
])
def test_mistakes_that_show_later(line, status, said, tmp_path):
    path = write(tmp_path / "a.ini", "# a\nsocket = %s/s\n%s\n" % (tmp_path, line))
    done = daemon.run("--config", path, "warmapp" if line.startswith("warm-up") else "wsgiapp")
    assert done.returncode == status, done.stderr
    assert path + ":3" + said in done.stderr


@pytest.mark.parametrize("make, said", [
    (lambda path: None, "cannot open the configuration file: No such file or directory"),
    (lambda path: path.mkdir(), "is no file"),
    (lambda path: os.mkfifo(path), "is no file"),
    (lambda path: path.write_bytes(b"#" * (1 << 20) + b"\n"), "is larger than 1 MiB"),
], ids=["none", "directory", "fifo", "large"])
def test_files_that_are_none(make, said, tmp_path):
    path = tmp_path / "a.ini"
    make(path)
    done = daemon.run("--config", path, "a")
    assert done.returncode == EX_CONFIG
    (error,) = errors(done)
    assert error.startswith("%s: " % path) and said in error


def test_the_largest_file(tmp_path):
    path = write(tmp_path / "a.ini", b"threads = 9\n" + b"#" * ((1 << 20) - 12))
    assert ("threads", "9", path + ":1") in printed("--config", path, "a")[0]


@pytest.mark.parametrize("mode, warned", [(0o600, False), (0o644, False), (0o664, True), (0o646, True)])
def test_a_file_that_others_may_write(mode, warned, tmp_path):
    path = tmp_path / "a.ini"
    write(path, "threads = 4\n")
    path.chmod(mode)
    done = daemon.run("--config", path, "--print-config", "a")
    assert done.returncode == 0
    said = "%s: others than its owner may write it, and so decide what this server runs: chmod go-w" % path
    assert lines_of(done.stderr, "warning") == ([said] if warned else [])


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can give files away; CI is root")
@pytest.mark.parametrize("owner, as_root, warned", [("nobody", True, True), ("nobody", False, False),
                                                    ("root", True, False), ("www-data", False, True)])
def test_a_file_of_somebody_else(owner, as_root, warned):
    """Its owner decides what the server runs, so it is to be root's or that of whoever starts the server."""
    with tempfile.TemporaryDirectory(prefix="wsgi-fcgi-test.") as name:
        os.chmod(name, 0o755)
        path = pathlib.Path(name) / "a.ini"
        write(path, "threads = 4\n")
        os.chown(path, pwd.getpwnam(owner).pw_uid, -1)
        done = daemon.run("--config", path, "--print-config", "a", **({} if as_root else {"user": "nobody"}))
    assert done.returncode == 0, done.stderr
    said = ("%s: belongs to user %d, who decides what this server runs: make it root's, or that of whom the server is "
            "started as" % (path, pwd.getpwnam(owner).pw_uid))
    assert lines_of(done.stderr, "warning") == ([said] if warned else [])


# --- the environment


def test_unknown_variables_are_warned_about():
    done = daemon.run("--print-config", "a", env={"WSGI_FCGI_THREAD": "4", "WSGI_FCGI_PORT": "8000",
                                                  "WSGI_FCGI_VERSION": "1", "WSGI_FCGI_": "x"})
    assert done.returncode == 0
    lines = sorted(lines_of(done.stderr, "warning"))
    begin = "environment: WSGI_FCGI_%s is no option of this program, and has no effect"
    assert [line.partition(": did")[0] for line in lines] == [begin % name for name in ("", "PORT", "THREAD", "VERSION")]
    assert lines[2].endswith(": did you mean WSGI_FCGI_THREADS?")


def test_names_of_kubernetes_are_not():
    """A service called wsgi-fcgi makes these in each container of its namespace; so does wsgi-fcgi-http."""
    env = {}
    for name in ("WSGI_FCGI", "WSGI_FCGI_HTTP", "WSGI_FCGI_A_B"):
        env.update({name + "_SERVICE_HOST": "10.0.0.1", name + "_SERVICE_PORT": "80", name + "_SERVICE_PORT_WEB": "80",
                    name + "_PORT": "tcp://10.0.0.1:80", name + "_PORT_80_TCP": "tcp://10.0.0.1:80",
                    name + "_PORT_80_TCP_PROTO": "tcp", name + "_PORT_80_TCP_PORT": "80",
                    name + "_PORT_80_TCP_ADDR": "10.0.0.1"})
    found, _ = printed("a", env=env)
    assert all(source == "default" for key, _, source in found if key != "application")


def test_the_file_can_be_named_by_the_environment(tmp_path):
    first, second = (write(tmp_path / name, "threads = %d\n" % n) for name, n in (("a.ini", 3), ("b.ini", 4)))
    env = {"WSGI_FCGI_CONFIG": first}
    assert ("threads", "3", first + ":1") in printed("a", env=env)[0]
    assert ("threads", "4", second + ":1") in printed("a", "--config", second, env=env)[0]
    assert ("threads", "32", "default") in printed("a", env={"WSGI_FCGI_CONFIG": ""})[0]


def test_several_values_in_a_variable():
    found, _ = printed("a", env={"WSGI_FCGI_PYTHONPATH": ' /a\t"/b c"  "/\\"d"\n'})
    assert [value for key, value, _ in found if key == "pythonpath"] == ["/a", "/b c", '/"d']


def test_print_config_needs_no_application():
    assert "# default: none\n# application =\n" in printed()[1]


def test_print_config_is_complete():
    """Each key that a file can have is there, as a value or in a comment."""
    _, text = printed("a")
    assert set(re.findall(r"^(?:# )?([a-z-]+) =", text, re.M)) == {"application", *TABLE}


def test_print_config_to_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run([daemon.binary(), "--print-config", "a"], stdout=full, stderr=subprocess.PIPE, text=True,
                              env=daemon.clean_environ())
    assert done.returncode == 71
    assert errors(done) == ["--print-config: standard output cannot be written"]


# --- workers and reload


def reload(server, pattern):
    os.kill(server.pid, signal.SIGHUP)
    return server.wait_log(pattern)


class Shop(Supervised):
    """A server whose file says how many workers there are: one at the start."""

    def __init__(self, app, *args, **more):
        self.preload = True  # a reload may bring it about
        super(Supervised, self).__init__(app, *args, **more)
        self.wait_worker(self.pid)

    def wait_worker(self, old):
        """Waits for a worker 0 that serves and is not the process `old`."""
        return daemon.until(lambda: self.serving().get(0, old) != old and self.serving()[0], "a worker", self.log)

    def replace_worker(self):
        old = self.serving()[0]
        os.kill(old, signal.SIGKILL)
        self.wait_worker(old)


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.ini"
    write(path, "workers = 1\nscript-name = /old\n")
    with running(Shop("wsgiapp", "--config", path)) as server:
        yield server, path


def wait_for(server, path):
    """Waits until it is served there: workers of the generation before accept until they retire."""
    daemon.until(lambda: server.ask(path).status == 200, "an answer to " + path, server.log)


def test_workers_use_the_file_of_the_start(shop):
    """One that is started later, as a replacement, does not see what has become of the file."""
    server, path = shop
    wait_for(server, "/old/hello")
    write(path, "nonsense\n")
    server.replace_worker()
    wait_for(server, "/old/hello")


def test_a_reload_reads_the_file_anew(shop):
    server, path = shop
    write(path, "workers = 2\nscript-name = /new\n")
    reload(server, r"the reload is complete: .* 2 workers of generation 2")
    wait_for(server, "/new/hello")
    daemon.until(lambda: server.ask("/old/hello").status == 404, "the old one to be gone", server.log)


def test_a_reload_warns_of_others_too(shop):
    server, path = shop
    path.chmod(0o664)
    reload(server, r"warning: %s: others than its owner may write it" % re.escape(str(path)))
    server.wait_log("the reload is complete")


@pytest.mark.parametrize("text, said", [
    ("workers = 1\nscript-name = new\n", r':2: script-name: "new" does not start with "/"'),
    ("workers = x\n", r':1: workers: "x" is neither auto nor a number'),
    ("workers = 1\nallow = host\n", r':2: allow: "host" is not an IP address'),
    ("script-name = /new\n", "a reload cannot turn a server with --workers into one without"),
    (None, r": cannot open the configuration file: No such file"),
], ids=["value", "workers", "late", "none", "gone"])
def test_a_reload_with_mistakes_is_refused(shop, text, said):
    """The log says where the mistake is, the old service goes on, also in workers that are replaced; and when it was
    corrected, the next reload succeeds."""
    server, path = shop
    path.unlink()
    if text:
        write(path, text)
    reload(server, r"the reload has failed, the old application goes on")
    assert re.search(said, server.log())
    server.replace_worker()
    wait_for(server, "/old/hello")
    write(path, "workers = 1\nscript-name = /new\n")
    reload(server, r"the reload is complete")
    wait_for(server, "/new/hello")


def test_a_reload_can_preload(shop):
    server, path = shop
    write(path, "workers = 2\nscript-name = /new\npreload = yes\n")
    reload(server, r"the reload is complete: .* generation 2")
    wait_for(server, "/new/hello")
    write(path, "workers = 1\nscript-name = /newer\n")
    reload(server, r"the reload is complete: .* generation 3")
    wait_for(server, "/newer/hello")


def test_the_application_does_not_see_the_descriptor(tmp_path):
    """Neither the variable, nor what it names."""
    write(tmp_path / "app.py", "import os\n\ndef application(environ, start_response):\n"
          "    start_response('200 OK', [])\n"
          "    fds = [os.readlink('/proc/self/fd/%s' % fd) for fd in os.listdir('/proc/self/fd')\n"
          "           if os.path.exists('/proc/self/fd/%s' % fd)]\n"
          "    return [repr((sorted(n for n in os.environ if n.startswith('WSGI_FCGI_')),\n"
          "                  [fd for fd in fds if 'config' in fd])).encode()]\n")
    path = write(tmp_path / "a.ini", "workers = 1\napplication = app\nchdir = %s\n" % tmp_path)
    with running(Shop(None, "--config", path, env={"WSGI_FCGI_THREADS": "4"})) as server:
        assert server.ask("/").body == b"(['WSGI_FCGI_THREADS'], [])"


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
def test_a_file_that_root_alone_may_read(tmp_path):
    """With --user, whose workers could not open it: neither the first one, nor a replacement, nor one after a reload."""
    path = tmp_path / "shop.ini"
    write(path, "workers = 1\nuser = nobody\nscript-name = /old\n")
    path.chmod(0o600)
    with running(Shop("userapp", "--config", path)) as server:
        for prefix in ("/old", "/new"):
            wait_for(server, prefix + "/")
            server.replace_worker()
            wait_for(server, prefix + "/")
            uid = json.loads(server.ask(prefix + "/").body)["uid"]
            assert set(uid) == {pwd.getpwnam("nobody").pw_uid}
            if prefix == "/old":
                path.write_text("workers = 1\nuser = nobody\nscript-name = /new\n")
                reload(server, r"the reload is complete")
                daemon.until(lambda: server.ask("/old/").status == 404, "the old one to be gone", server.log)


@pytest.mark.skipif(os.getuid() != 0, reason="root alone can become another user; CI is root")
def test_a_reload_changes_what_is_around_the_application(tmp_path):
    """As whom it runs, with which mask and variables; and the pid file."""
    path = tmp_path / "shop.ini"
    text = "workers = 1\nscript-name = /%s\nuser = %s\numask = %s\nenv = A=%s\npidfile = %s/%s.pid\n"
    write(path, text % ("old", "nobody", "022", "1", tmp_path, "old"))
    with running(Shop("userapp", "--config", path)) as server:
        wait_for(server, "/old/")
        write(path, text % ("new", "www-data", "077", "2", tmp_path, "new"))
        reload(server, r"the reload is complete")
        wait_for(server, "/new/")
        daemon.until(lambda: server.ask("/old/").status == 404, "the old one to be gone", server.log)
        found = json.loads(server.ask("/new/").body)
        assert set(found["uid"]) == {pwd.getpwnam("www-data").pw_uid}
        assert (found["umask"], found["environ"]["A"]) == (0o077, "2")
        assert (tmp_path / "new.pid").read_text() == "%d\n" % server.pid
        assert not (tmp_path / "old.pid").exists()


def test_a_file_for_development(tmp_path):
    """--reload from the file: workers that changes of the application bring about use the file of the start, until
    SIGHUP reads it anew."""
    def say(text):
        write(tmp_path / "app.py", "def application(environ, start_response):\n    start_response('200 OK', [])\n"
              "    return [environ['SCRIPT_NAME'].encode() + b%r]\n" % text)
    say(" one")
    settings = "application = app\nchdir = %s\nreload = yes\nreload-extra = *.html\nscript-name = " % tmp_path
    path = write(tmp_path / "shop.ini", settings + "/old\n")
    with running(Shop(None, "--config", path, env={"PYTHONDONTWRITEBYTECODE": ""})) as server:
        assert server.ask("/old/").body == b"/old one"
        write(tmp_path / "shop.ini", "nonsense\n")
        say(" two!")
        daemon.until(lambda: server.ask("/old/").body == b"/old two!", "the change", server.log)
        write(tmp_path / "a.html", "x")
        server.wait_log(r"a.html has changed")
        reload(server, r"the reload has failed.*")
        write(tmp_path / "shop.ini", settings + "/new\n")
        reload(server, r"the reload is complete")
        daemon.until(lambda: server.ask("/new/").body == b"/new two!", "the new file", server.log)
