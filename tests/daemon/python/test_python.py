"""The embedded interpreter is a Python like any other: what a view does has the effect that it has under python3."""
import json
import os
import re
import shlex
import signal
import subprocess

import pytest

import daemon
from daemon import APPS, SANITIZED
from fcgi import PATIENCE, params, request

OVER_HTTP = True
APP = "pythonapp"
EX_SOFTWARE = 70
# An interpreter that is instrumented throughout takes its time to fork and to start.
SLOW = {"timeout": 4 * PATIENCE}


def view(server, name):
    """What a function returns in a view."""
    with server.connect() as connection:
        connection.sock.settimeout(4 * PATIENCE)
        response = connection.ask("/" + name, keep=False)
    assert response.status == 200, server.log()
    return json.loads(response.body)


def plain(server, name, **env):
    """What it returns in a thread of python3, the one that the server names as its own."""
    python = view(server, "interpreter")["executable"]
    done = subprocess.run([python, "-c", "import pythonapp, json, sys, threading; result = [];"
                           "t = threading.Thread(target=lambda: result.append(getattr(pythonapp, sys.argv[1])()));"
                           "t.start(); t.join(); print(json.dumps(result[0]))", name],
                          cwd=APPS, env=daemon.clean_environ(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=True, **SLOW)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("env", [{}, {"PYTHONDEVMODE": "1"}, {"PYTHONHASHSEED": "7", "PYTHONUTF8": "1"},
                                 {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
                                 {"PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "ignore"}, {"PYTHONDONTWRITEBYTECODE": ""}])
def test_interpreter(start, env):
    """Version, prefixes, flags, encodings, streams, __main__: as those of python3 in the same environment."""
    server = start(APP, env=env)
    assert view(server, "interpreter") == plain(server, "interpreter", **env)


def test_search_path(start, tmp_path):
    """--pythonpath, --chdir, then what python3 has; PYTHONPATH as well."""
    env = {"PYTHONPATH": str(tmp_path / "from-environment")}
    server = start(APP, "--pythonpath", tmp_path / "option", env=env)
    ours, theirs = view(server, "search_path"), plain(server, "search_path", **env)
    assert theirs[0] == ""  # python3 -c: the current directory
    assert ours == [str(tmp_path / "option"), APPS, *theirs[1:]]


def test_main_module(server):
    """A program's, and no interactive session; what spawns a child finds nothing to import again."""
    name, file, spec, origin = view(server, "main_module")
    program = daemon.binary() if daemon.is_extension() else os.readlink("/proc/%d/exe" % server.pid)
    assert [name, spec] == ["__main__", "__main__"] and file == origin == program


def cmdline(server):
    with open("/proc/%d/cmdline" % server.pid, "rb") as file:
        return file.read().split(b"\0")[:-1]


def test_arguments(start):
    """An application that parses its arguments sees none; tools see what the system shows."""
    server = start("wsgiapp", "--chdir", APPS, "--pythonpath", "caf\udce9")
    told = json.loads(server.ask("/identity").body)
    assert told["argv"] == [daemon.binary()]
    assert [os.fsencode(word) for word in told["orig_argv"]] == cmdline(server)


@pytest.mark.parametrize("name", ["threads", "coroutines", "context_variables", "signals", "plain_fork", "programs"])
def test_as_under_python(server, name):
    ours, theirs = view(server, name), plain(server, name)
    assert ours == theirs


@pytest.mark.parametrize("where", ["call", "iteration", "write"])
@pytest.mark.parametrize("how, status", [("returns", 0), ("exits", 3), ("raises", 1), ("says", 1)])
def test_forked_child_ends(server, where, how, status):
    """However a child ends, it ends: it neither answers its parent's request nor becomes a second server."""
    if where == "write":
        status = 7
    before = children(server.pid)
    with server.connect() as connection:
        response = connection.ask("/forks/%s/%s" % (where, how), keep=False)
    pid = server.pid
    found = json.loads(response.body)
    assert response.status == 200 and (found[0] if where == "iteration" else found) == [status, pid]
    assert children(pid) == before
    for _ in range(20):
        assert view(server, "process_id") == pid
    if how == "raises" and where != "write":
        server.wait_log("ValueError: in the child")
    if how == "says" and where != "write":
        server.wait_log("(?m)^the child says$")


def children(pid):
    """Processes that were started by any thread of it and are still there."""
    found = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, task)) as file:
            found += file.read().split()
    return found


@pytest.mark.parametrize("name", ["fork", "spawn", "forkserver"])
def test_multiprocessing(start, name):
    """Processes, pools, exit statuses; the children are Python, and not servers."""
    server = start(APP)
    told, *others = view(server, name)
    assert others == [0, 7, -signal.SIGTERM, [0, 1, 4, 9, 16], [0, 1, 4, 9, 16]]
    assert told == plain(server, name)[0]
    assert server.ask("/search_path").status == 200
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "Traceback" not in server.log() and "resource_tracker" not in server.log()


def runs(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_children_end_with_the_server(start):
    """Those that the multiprocessing module has left (the fork server, the resource tracker) go as under python3."""
    server = start(APP)
    view(server, "forkserver")
    children = [int(pid) for pid in server.proc("task/%d/children" % server.pid).split()]
    threads = os.listdir("/proc/%d/task" % server.pid)
    for thread in threads:
        children += [int(pid) for pid in server.proc("task/%s/children" % thread).split()]
    assert children
    server.stop()
    daemon.until(lambda: not any(map(runs, children)), "the children to end")


def test_logging(start):
    """logging, warnings, print() and the exceptions of threads go to the log."""
    server = start(APP)
    view(server, "logs")
    for pattern in ["INFO:pythonapp:MainProcess:an information\n",
                    "WARNING:py.warnings:.*UserWarning: a warning that is",
                    "ERROR:root:MainProcess:an exception\nTraceback .*\n.*\n.*\nKeyError: 'a logged exception'\n",
                    "printed to standard output\n", "printed to standard error\n",
                    "Exception in thread failing:\nTraceback (.*\n)+ZeroDivisionError: division by zero"]:
        server.wait_log(pattern)


def test_context_variables_of_a_view_do_not_reach_other_threads(start, gate):
    """Two views at once have two threads, each with its own context and its own thread-locals."""
    server = start("wsgiapp")
    connections = [server.connect() for _ in range(3)]
    for connection in connections:
        connection.send(request(params("/thread-local", query="gate=" + gate.path)))
    for visitor in [gate.arrived() for _ in connections]:
        visitor.release()
    answers = [json.loads(connection.read_response(1).body) for connection in connections]
    assert len({identity for identity, count in answers}) == 3 and [count for identity, count in answers] == [1, 1, 1]
    for connection in connections:
        connection.close()


# --- signals

def test_alarm_while_a_view_waits(start, gate):
    """A handler that was set when the application was loaded runs in the main thread, while the view is in a call."""
    server = start(APP, env={"GATE": gate.path, "ON_SIGALRM": "1"})
    with server.connect() as connection:
        connection.send(request(params("/set_alarm")))
        visitors = {visitor.text: visitor for visitor in (gate.arrived(), gate.arrived())}
        assert set(visitors) == {"alarm", "waiting"}
        visitors["waiting"].release("released")
        assert json.loads(connection.read_response(1).body) == "released"


# --- the end

@pytest.mark.parametrize("threads", ["daemon", "computing", "daemon daemon computing computing"])
def test_daemon_threads_do_not_hold_up_the_end(start, gate, threads):
    # What such a thread has at the end of the process is never freed: no leak of the server's.
    server = start(APP, env={"THREADS": threads, "ASAN_OPTIONS": "detect_leaks=0"})
    view(server, "background")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "did not end in time" not in server.log()


@pytest.mark.parametrize("threads", ["short", "inheriting"])
def test_other_threads_are_waited_for(start, gate, threads):
    """Those that are no daemons, as at the end of a python3."""
    server = start(APP, env={"THREADS": threads, "GATE": gate.path})
    view(server, "background")
    visitor = gate.arrived()
    server.signal(signal.SIGTERM)
    server.wait_log("stopping")
    assert server.process.poll() is None
    visitor.release()
    assert server.wait_exit() == 0
    assert "the short thread has ended" in server.log()


def test_but_not_for_ever(start, gate):
    server = start(APP, env={"THREADS": "endless"})
    view(server, "background")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    server.wait_log("the interpreter did not end in time: ending without it")


def test_nor_without_a_server(tmp_path):
    """--check, and an application that cannot be loaded, end with what they found."""
    cases = {0: ("threads", ["--check"]), EX_SOFTWARE: ("fail", ["-s", tmp_path / "one"])}
    running = {status: subprocess.Popen([daemon.binary(), *map(str, args), APP], cwd=APPS, stderr=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=daemon.clean_environ(
                                            THREADS="endless", ON_IMPORT=how))
               for status, (how, args) in cases.items()}
    for status, process in running.items():
        output = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == status, output
        assert "the interpreter did not end in time: ending without it" in output[1]
    assert os.listdir(tmp_path) == [], "no socket file is left"


# --- faulthandler

def test_fault_handler_on_demand(start):
    """A signal shows where every thread is."""
    server = start(APP, env={"ON_SIGUSR1": "faulthandler"})
    view(server, "search_path")
    server.signal(signal.SIGUSR1)
    server.wait_log(r"(Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):")
    assert view(server, "faults") is True
    server.wait_log(r'Timeout \(0:00:00.01\d*\)!\n(.*\n)*.*File ".*pythonapp.py", line \d+ in faults')


@pytest.fixture(scope="module")
def recursion(tmp_path_factory):
    """A library with a function that calls itself without end."""
    directory = tmp_path_factory.mktemp("recursion")
    source, library = str(directory / "recursion.c"), str(directory / "recursion.so")
    with open(source, "w") as file:
        file.write("int recurse(int n);\n"
                   "int recurse(int n) { volatile char page[1000]; page[0] = 1; return recurse(n + 1) + page[0]; }\n")
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-O0", "-w", "-fPIC", "-shared", "-o", library, source],
                   check=True)
    return library


def crashes(path, function, log=daemon.Daemon.log, **more):
    """The server ends by a signal in this request, and faulthandler says in which function."""
    server = daemon.Daemon(APP, **more)
    try:
        with server.connect() as connection:
            connection.send(request(params(path)))
            assert connection.read_response(1).broken
        status = server.wait_exit()
        assert status == -signal.SIGSEGV or (SANITIZED and status != 0)
        assert bool(re.search(r'Segmentation fault\n(.*\n)*.*File ".*pythonapp.py", line \d+ in %s' % function,
                              log(server))) == bool(function), log(server)[-2000:]
    finally:
        server.kill()


@pytest.mark.parametrize("enabled", ["start", "view"])
def test_fault_handler_when_the_stack_runs_over(recursion, enabled):
    crashes("/overflow", "overflow", env={"EXTENSION": recursion, "PYTHONFAULTHANDLER": str(int(enabled == "start"))})


def test_fault_handler_at_a_crash():
    crashes("/crash", "crash")


def test_fault_handler_of_the_application(tmp_path):
    faults = tmp_path / "faults"
    crashes("/crash_into_file", "crash", log=lambda server: faults.read_text(), env={"FAULTS": str(faults)})


def test_no_fault_handler():
    crashes("/crash", "", env={"PYTHONFAULTHANDLER": "0"})
