"""What Python programs do, in a view of the server or in a thread of a plain python3: each function returns what JSON
can hold."""
import asyncio
import concurrent.futures
import contextvars
import ctypes
import faulthandler
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

from gateway import knock, visit

variable = contextvars.ContextVar("variable", default="default")
local = threading.local()


def attempt(function, *args):
    try:
        return function(*args)
    except BaseException as error:
        return type(error).__name__


def interpreter():
    """What tells an interpreter from another."""
    main = sys.modules["__main__"]
    return {
        "executable": sys.executable, "prefix": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
        "version": sys.version, "flags": {name: getattr(sys.flags, name) for name in dir(sys.flags)
                                            if not name.startswith(("_", "n_")) and name not in ("count", "index")},
        "encodings": [sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()],
        "main": [main.__name__, main.__package__, type(main).__name__],
        "warnings": [len(sys.warnoptions), len(sys._xoptions)],
        "hooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__,
                  sys.unraisablehook is sys.__unraisablehook__, sys.gettrace() is None, sys.getprofile() is None],
        "streams": [[stream.name, stream.encoding, stream.errors, stream.mode, stream.fileno()]
                    for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "stdin": sys.stdin.read(), "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
        "gc": __import__("gc").isenabled() and __import__("gc").get_threshold(),
        "site": [name for name in ("exit", "quit", "help") if name in vars(__import__("builtins"))],
        "dont_write_bytecode": sys.dont_write_bytecode, "hash": os.environ.get("PYTHONHASHSEED") and hash("text"),
        "locale": __import__("locale").setlocale(__import__("locale").LC_CTYPE),
    }


def main_module():
    main = sys.modules["__main__"]
    return [main.__name__, main.__file__, main.__spec__.name, main.__spec__.origin]


def search_path():
    return sys.path


def threads():
    done, event = [], threading.Event()
    thread = threading.Thread(target=lambda: (event.wait(), done.append(threading.current_thread().name)), name="own")
    thread.start()
    timer = threading.Timer(0, event.set)
    timer.start()
    thread.join()
    timer.join()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        numbers = list(pool.map(lambda number: number * 2, range(10)))
    main = threading.main_thread()
    return [done, numbers, main.name, main.is_alive(), main.ident == threading.main_thread().native_id
            or main.native_id == os.getpid(), threading.current_thread() in threading.enumerate()]


def coroutines():
    async def program():
        process = await asyncio.create_subprocess_exec("echo", "child", stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        token = variable.set("in the program")
        several = await asyncio.gather(asyncio.sleep(0, 1), asyncio.to_thread(variable.get), inner())
        variable.reset(token)
        try:
            await asyncio.wait_for(asyncio.sleep(1000), 0.01)
        except asyncio.TimeoutError:
            several.append("timeout")
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        several.append((await reader.read()).decode())
        writer.close()
        server.close()
        return [output.decode(), process.returncode, several, asyncio.get_running_loop().is_running()]

    async def inner():
        return variable.get()
    return [asyncio.run(program()), asyncio.run(program()), variable.get(), attempt(asyncio.get_running_loop)]


def context_variables():
    before = variable.get()
    copy = contextvars.copy_context()
    copy.run(variable.set, "in the copy")
    return [before, variable.get(), copy[variable], threads_see()]


def threads_see():
    token, seen = variable.set("set in the view"), []
    thread = threading.Thread(target=lambda: seen.append(variable.get()))
    thread.start()
    thread.join()
    variable.reset(token)
    return seen


def signals():
    """In another than the main thread, as a view is."""
    found = []

    def look():
        found.extend([attempt(signal.signal, signal.SIGUSR1, signal.SIG_DFL), attempt(signal.set_wakeup_fd, -1),
                      sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
                      [str(signal.getsignal(number)).split(" at ")[0] for number in
                       (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP, signal.SIGALRM)],
                      signal.getitimer(signal.ITIMER_REAL)])
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


def square(number):
    return number * number


def child(queue):
    queue.put([os.getpid() != os.getppid(), sys.executable, multiprocessing.current_process().name,
               threading.current_thread() is threading.main_thread(), __name__,
               str(signal.getsignal(signal.SIGINT)).split(" at ")[0]])


def fail():
    sys.exit(7)


def processes(method):
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue,), name="the child")
    process.start()
    told = queue.get()
    process.join()
    failing = context.Process(target=fail)
    failing.start()
    failing.join()
    stuck = context.Process(target=time.sleep, args=(1000,))
    stuck.start()
    stuck.terminate()
    stuck.join()
    with context.Pool(2) as pool:
        squares = pool.map(square, range(5))
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        more = list(pool.map(square, range(5)))
    return [told, process.exitcode, failing.exitcode, stuck.exitcode, squares, more]


def fork():
    return processes("fork")


def spawn():
    return processes("spawn")


def forkserver():
    return processes("forkserver")


def process_id():
    return os.getpid()


def plain_fork():
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, b"from the child")
        os._exit(3)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read().decode()
    return [text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]


class Forks:
    """Forks while the answer is made, and ends the child in the way that is asked for; the parent waits for it."""

    def __init__(self, where, how):
        self.where, self.how = where, how

    def fork(self, write=None):
        pid = os.fork()
        if pid:
            return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.getpid()]
        if write:
            try:
                write(b"from the child")
            except OSError:
                os._exit(7)
        if self.how == "exits":
            sys.exit(3)
        if self.how == "raises":
            raise ValueError("in the child")
        if self.how == "says":
            sys.exit("the child says")
        return None

    def answer(self, environ, start_response):
        if self.where == "call":
            body = [json.dumps(self.fork()).encode()]
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if self.where == "write":
            body = [json.dumps(self.fork(write)).encode()]
        return self.pieces() if self.where == "iteration" else body

    def pieces(self):
        yield b"["
        yield json.dumps(self.fork()).encode()
        yield b"]"


def programs():
    shell = subprocess.run("cat; echo error >&2; exit 3", shell=True, input=b"input", capture_output=True)
    python = subprocess.run([sys.executable, "-c", "import sys; print(sys.version, sys.argv[1:])", "argument"],
                            capture_output=True, text=True, check=True).stdout
    module = subprocess.run([sys.executable, "-m", "json.tool"], input="[1]", capture_output=True, text=True).stdout
    masks = subprocess.run(["grep", "Sig[BIC]", "/proc/self/status"], capture_output=True, text=True).stdout
    signalled = subprocess.Popen(["sleep", "1000"])
    signalled.send_signal(signal.SIGINT)
    return [shell.stdout.decode(), shell.stderr.decode(), shell.returncode, python, module, masks, signalled.wait(),
            os.popen("echo popen").read(), os.system("exit 5")]


def logs():
    """Written to standard error; the test looks there."""
    logging.basicConfig(format="%(levelname)s:%(name)s:%(processName)s:%(message)s", level=logging.INFO)
    logging.captureWarnings(True)
    logging.getLogger("pythonapp").info("an information")
    warnings.warn("a warning that is shown")
    try:
        raise KeyError("a logged exception")
    except KeyError:
        logging.exception("an exception")
    print("printed to standard output", flush=True)
    print("printed to standard error", file=sys.stderr)
    thread = threading.Thread(target=lambda: 1 / 0, name="failing")
    thread.start()
    thread.join()
    return None


def faults():
    faulthandler.dump_traceback_later(0.01, exit=False)
    time.sleep(0.2)
    faulthandler.cancel_dump_traceback_later()
    return faulthandler.is_enabled()


def crash():
    ctypes.string_at(0)


def crash_into_file():
    """The application's own call of enable() wins."""
    with open(os.environ["FAULTS"], "w") as file:
        faulthandler.enable(file)
        crash()


def overflow():
    """Of the stack of the view's thread, in C, with faulthandler enabled on another one or from the start."""
    enabling = threading.Thread(target=faulthandler.enable)
    if not faulthandler.is_enabled():
        enabling.start()
        enabling.join()
    ctypes.CDLL(os.environ["EXTENSION"]).recurse(0)


def background():
    """What is left running at the exit, as the environment says."""
    def daemon_thread():
        while True:
            time.sleep(0.001)

    def computing_thread():
        while True:
            pass

    def short_thread():
        visit(os.environ["GATE"], "short thread")
        print("the short thread has ended", flush=True)

    def endless_thread():
        threading.Event().wait()

    # None: as the thread that starts it, as most are.
    kinds = {"daemon": (daemon_thread, True), "computing": (computing_thread, True), "short": (short_thread, False),
             "inheriting": (short_thread, None), "endless": (endless_thread, False)}
    for name in os.environ["THREADS"].split():
        target, is_daemon = kinds[name]
        threading.Thread(target=target, daemon=is_daemon).start()
    return os.environ["THREADS"]


def set_alarm():
    """A handler of the main thread while a view of another one waits."""
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    return visit(os.environ["GATE"], "waiting")


def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/forks/"):
        return Forks(*environ["PATH_INFO"].split("/")[2:]).answer(environ, start_response)
    value = globals()[environ["PATH_INFO"].lstrip("/")]()
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if os.environ.get("ON_SIGUSR1") == "faulthandler":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
if os.environ.get("ON_SIGALRM"):
    signal.signal(signal.SIGALRM, lambda number, frame: knock(os.environ["GATE"], "alarm").close())
if os.environ.get("ON_IMPORT") in ("threads", "fail"):
    background()
if os.environ.get("ON_IMPORT") == "fail":
    raise RuntimeError("failed on purpose")
