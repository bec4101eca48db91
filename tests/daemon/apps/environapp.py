"""Shows the environment of the process and of the call, its number, and which descriptors children have."""
import os
import subprocess
import sys

from gateway import visit

SHOW = "import os; print(','.join(n for n in sorted(os.listdir('/proc/self/fd'), key=int) if os.path.exists('/proc/self/fd/' + n)))"


def fds():
    """Those that are open; the one by which they are listed is not any more."""
    return ",".join(name for name in sorted(os.listdir("/proc/self/fd"), key=int) if os.path.exists("/proc/self/fd/" + name))


def forked():
    read, write = os.pipe()
    if not os.fork():
        os.close(read)
        os.dup2(write, 1)
        os.close(write)
        os.write(1, fds().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.wait()
    return text


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/fds":
        spawned = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, close_fds=False).stdout.strip()
        return [("forked=%s spawned=%s" % (forked(), spawned)).encode()]
    if environ["PATH_INFO"] == "/gate":
        visit(os.environ["GATE"], "call")
        return [b"passed"]
    lines = ["pid=%d" % os.getpid()] + ["%s=%r" % item for item in environ.items()] + ["os.%s=%s" % item for item in os.environ.items()]
    return ["\n".join(lines).encode()]
