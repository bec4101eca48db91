"""What is different where a Python that runs already has imported the server: it begins before, and ends afterwards."""
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest

import fcgi
from daemon import APPS, binary, clean_environ, run
from fcgi import PATIENCE
from place import BUILD, interpreter as python


def module(*options):
    """The command line of `python -m`."""
    return [python(), *options, "-m", "wsgi_fcgi"]


def ran(*words, env=None, cwd=APPS, **more):
    return subprocess.run([str(word) for word in words], cwd=cwd, text=True, stdin=subprocess.DEVNULL, timeout=2 * PATIENCE,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=clean_environ(**{"PYTHONPATH": BUILD, **(env or {})}), **more)


def code(text, **more):
    """What Python says of these lines, which may call main(WORDS)."""
    return ran(python(), "-c", "from wsgi_fcgi import _server\nfrom wsgi_fcgi._command import command\n"
               "def main(words):\n    return _server.main(words, command())\n" + textwrap.dedent(text), **more)


def app(tmp_path, text):
    """An application that does that when it is imported."""
    (tmp_path / "imported.py").write_text(textwrap.dedent(text) + "\ndef app(environ, start_response):\n"
                                          "    start_response('200 OK', [])\n    return [b'']\n")
    return tmp_path


def test_version():
    """It says which Python it is in."""
    said = ran(*module(), "--version").stdout
    executable = ran(python(), "-c", "import sys; print(sys.version.split()[0], '(%s)' % sys.executable)").stdout.strip()
    assert "\nPython %s\n" % executable in said
    assert re.search("^build options: extension", said, re.M)


@pytest.mark.parametrize("options", [[], ["-P"], ["-X", "utf8"], ["-s", "-O"]])
def test_paths_and_arguments(tmp_path, options):
    """Neither what `-m` puts first on sys.path nor the server's options are the application's."""
    app(tmp_path, """
        import sys
        print("path", sys.path[:2], "argv", sys.argv, "orig", sys.orig_argv[-2:])
    """)
    other = tmp_path / "other"
    other.mkdir()
    done = ran(*module(*options), "--check", "--chdir", tmp_path, "imported:app", cwd=other)
    assert done.returncode == 0, done.stderr
    assert "path %r argv ['wsgi-fcgi'] orig [%r, 'imported:app']" % ([str(tmp_path), BUILD], str(tmp_path)) in done.stdout


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing(tmp_path, method):
    """A child that imports __main__ again does not start the server again."""
    (tmp_path / "work.py").write_text("def double(n):\n    return 2 * n\n")
    app(tmp_path, """
        import multiprocessing, sys, work
        if multiprocessing.parent_process() is None:
            with multiprocessing.get_context(%r).Pool(1) as pool:
                print("doubled", pool.map(work.double, [21]))
            main = sys.modules["__main__"]
            print("main", hasattr(main, "main"), main.__spec__.name)
    """ % method)
    for command in (module(), [binary()]):
        done = ran(*command, "--check", "--chdir", tmp_path, "imported:app")
        assert done.returncode == 0, done.stderr
        assert "doubled [42]\nmain False __main__\n" in done.stdout


def test_environment(start, tmp_path):
    """What the server has taken out of the environment the application does not find in os.environ either."""
    app(tmp_path, "import os\nprint('notify', os.environ.get('NOTIFY_SOCKET'))")
    server = start("imported:app", "--chdir", tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    server.wait_log("notify None")


@pytest.mark.parametrize("lines, message", [
    ("main(['wsgi-fcgi', '--version'])\nmain(['wsgi-fcgi', '--version'])", "RuntimeError: main() was called before"),
    ("import threading\nt = threading.Thread(target=main, args=(['wsgi-fcgi', '--version'],))\nt.start()\nt.join()",
     "RuntimeError: main() has to be called by the main thread"),
    ("main([])", "ValueError: argv has the name of the program"),
    ("main(['wsgi-fcgi', 'a\\0b'])", "ValueError: embedded null"),
])
def test_refusals(lines, message):
    done = code(lines)
    assert message in done.stderr, done


WITHOUT_GIL = "import sys\nsys._is_gil_enabled = lambda: False\n"


def test_a_python_without_its_gil_is_refused(tmp_path):
    """-X gil=0 keeps it off in a free-threaded Python, which the tables of the server are not made for."""
    app(tmp_path, "")
    words = ["wsgi-fcgi", "--check", "--chdir", str(tmp_path), "imported:app"]
    assert code("raise SystemExit(main(%r))" % words).returncode == 0
    done = code(WITHOUT_GIL + "raise SystemExit(main(%r))" % words)
    assert done.returncode == os.EX_CONFIG and "this Python runs without its GIL (-X gil=0)" in done.stderr, done


def test_a_python_without_its_gil_has_no_workers(tmp_path):
    """Each of them is told what the first process was told: it says so, and the server ends."""
    app(tmp_path, "")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_GIL)
    done = ran(*module(), "--workers", "2", "-s", tmp_path / "app.sock", "--chdir", tmp_path, "imported:app",
               env={"PYTHONPATH": "%s:%s" % (BUILD, tmp_path)})
    assert done.returncode == os.EX_CONFIG and "this Python runs without its GIL (-X gil=0)" in done.stderr, done


def test_help_and_errors():
    """A status, which the caller may go on with."""
    done = code("print(main(['wsgi-fcgi', '--no-such-option']))")
    assert done.stdout == "64\n" and "--no-such-option" in done.stderr
    assert ran(*module(), "--help").stdout == run("--help").stdout != ""


def test_package():
    """What an application can import is there without a server, too, and names itself as in the program."""
    done = code("""
        import wsgi_fcgi
        print(sorted(wsgi_fcgi.__all__), wsgi_fcgi.worker(), wsgi_fcgi.client_connected())
        print({getattr(wsgi_fcgi, name).__module__ for name in wsgi_fcgi.__all__})
    """)
    assert done.stdout.splitlines() == [
        "['RequestTimeout', 'client_connected', 'on_worker_start', 'on_worker_stop', 'set_timeout', 'time_left', 'worker']"
        " None False", "{'wsgi_fcgi'}"], done.stderr


def test_end(start):
    """Threads are joined and atexit runs after the stop, and before the last line; what a request has left is an error
    to use, and no crash."""
    server = start("ends:app")
    assert server.ask("/").body == b"kept"
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0, server.log()
    log = server.log()
    assert re.search(r"thread ends\n(?s:.*)atexit ran \d+\n(?s:.*)stopped after", log), log
    assert re.search(r"^\w*[Ii]nput\w* ", log, re.M), log


def test_signal_at_the_end(start):
    """While atexit runs, which the server knows nothing about, a second signal ends it at once."""
    server = start("ends:app", env={"SIGNAL_AT_END": "1"})
    server.signal(signal.SIGTERM)
    server.wait_log("signalled")
    server.stopped = True
    server.signal_again(signal.SIGTERM)


def test_exit_status(tmp_path):
    """That of the server becomes Python's."""
    app(tmp_path, "import sys\nsys.exit(3)")
    done = ran(*module(), "-s", tmp_path / "sock", "--chdir", tmp_path, "imported:app")
    assert done.returncode == run("-s", tmp_path / "other", "--chdir", tmp_path, "imported:app").returncode != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_loading(tmp_path, number):
    app(tmp_path, "import os, time\nos.kill(os.getpid(), %d)\ntime.sleep(60)" % number)
    done = ran(*module(), "-s", tmp_path / "sock", "--chdir", tmp_path, "imported:app")
    assert done.returncode == 128 + number, done.stderr
    assert "(SIG%s)" % signal.Signals(number).name[3:] in done.stderr


def test_handler_in_a_child(tmp_path):
    """A child of the application has Python's own handler of SIGINT, which was there before the server's."""
    app(tmp_path, """
        import os, signal, time
        pid = os.fork()
        if not pid:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                os._exit(7)
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    done = ran(*module(), "--check", "--chdir", tmp_path, "imported:app")
    assert "child 7\n" in done.stdout, done


@pytest.mark.parametrize("env, enabled", [({}, "True"), ({"PYTHONFAULTHANDLER": "0"}, "False")])
def test_faulthandler(tmp_path, env, enabled):
    app(tmp_path, "import faulthandler\nprint('enabled', faulthandler.is_enabled())")
    assert "enabled %s\n" % enabled in ran(*module(), "--check", "--chdir", tmp_path, "imported:app", env=env).stdout


def test_closed_descriptors(tmp_path):
    """As daemons are started that have none of the first three."""
    app(tmp_path, "import sys\nopen('said', 'w').write(repr(sys.stdin))")
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    assert ran(*shell, *module(), "--check", "--chdir", tmp_path, "imported:app").returncode == 0
    assert (tmp_path / "said").exists()


# --- virtual environments


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment without the server, with a module."""
    path = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([python(), "-m", "venv", "--without-pip", path], check=True)
    folder = subprocess.run([path / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                            stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with open(os.path.join(folder, "inside.py"), "w", encoding="utf-8") as file:
        file.write("import sys\nprint(sys.prefix, sys.flags.optimize, sys.argv)\n"
                   "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'inside']\n")
    return path


def test_another_environment(start, environment):
    """It is that environment's Python which serves, with the options of the first."""
    server = start(command=[
        python(), "-O", binary(), "-s", "inside.sock", "--venv", str(environment), "inside:app"], wait=False, cwd=str(environment))
    server.address = str(environment / "inside.sock")
    server.wait_ready()
    assert fcgi.ask(server.address, "/").body == b"inside"
    server.wait_log(re.escape("%s 1 ['wsgi-fcgi']" % environment))
    assert os.readlink("/proc/%d/exe" % server.pid) == os.path.realpath(environment / "bin" / "python")


def test_named_by_the_environment(environment):
    done = ran(*module(), "--check", "inside:app", env={"VIRTUAL_ENV": str(environment)})
    assert str(environment) in done.stdout.splitlines()[0], done


def test_the_same_environment(environment):
    """Nothing is executed for the environment that runs already."""
    done = ran("strace", "-f", "-e", "trace=execve", environment / "bin" / "python", "-m", "wsgi_fcgi", "--check", "--venv",
               environment, "inside:app")
    assert done.returncode == 0 and done.stderr.count("execve(") == 1, done.stderr


def test_environment_of_another_version(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("home = /opt/python/bin\nversion = 3.6.1\n")
    done = ran(*module(), "--check", "--venv", tmp_path, "inside:app")
    assert done.returncode == 78, done
    assert "was made by Python 3.6, this wsgi-fcgi is a module of Python" in done.stderr
    assert "or install wsgi-fcgi in it" in done.stderr


def test_environment_of_no_python(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("home = /nowhere\nversion = %d.%d.0\n" % module_version())
    done = ran(*module(), "--check", "--venv", tmp_path, "inside:app")
    assert done.returncode == 78, done
    assert "--venv: cannot execute %s/bin/python" % tmp_path in done.stderr and "No such file" in done.stderr


def module_version():
    said = ran(python(), "-c", "import sys; print(*sys.version_info[:2])").stdout
    return tuple(map(int, said.split()))


def test_python_that_is_none_of_its_environment(tmp_path):
    """It is not executed again and again."""
    (tmp_path / "pyvenv.cfg").write_text("home = /nowhere\nversion = %d.%d.0\n" % module_version())
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text('#!/bin/sh\nexec %s "$@"\n' % python())
    (tmp_path / "bin" / "python").chmod(0o755)
    done = ran(*module(), "--check", "--venv", tmp_path, "inside:app")
    assert done.returncode == 78, done
    assert "is not the Python of its virtual environment: sys.prefix is" in done.stderr


# --- what was built


def test_exports():
    """One symbol, so that no other module finds anything of the server's; hardened as the program is."""
    library = code("import wsgi_fcgi._server as s; print(s.__file__)").stdout.strip()
    names = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert [line.split()[2] for line in names.splitlines()] == ["PyInit__server"]
    dynamic = subprocess.run(["readelf", "-dlW", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "TEXTREL" not in dynamic and "GNU_RELRO" in dynamic
    assert re.search(r"FLAGS_1.*NOW|BIND_NOW", dynamic)
    assert re.search(r"GNU_STACK.* RW ", dynamic)
    assert "libpython" not in dynamic
