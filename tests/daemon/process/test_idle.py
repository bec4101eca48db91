"""An idle server sleeps."""
import os
import shutil
import signal
import subprocess
import time

from daemon import until
from fcgi import PATIENCE

OVER_HTTP = True
SETTLE = 1   # seconds after strace's own disturbance
WINDOW = 10  # seconds without a system call


def test_idle_server_makes_no_system_call(start, tmp_path):
    assert shutil.which("strace"), "strace is not installed: apt-get install strace"
    server = start("wsgiapp", "-t", 4)
    connections = [server.connect() for _ in range(5)]
    for connection in connections:
        assert connection.ask("/hello").status == 200
    trace = tmp_path / "trace"
    threads = server.threads()
    strace = subprocess.Popen(["strace", "-f", "-ttt", "-o", trace, "-p", str(server.pid)], stderr=subprocess.PIPE)
    try:
        os.set_blocking(strace.stderr.fileno(), False)
        attached = b""

        def all_attached():
            nonlocal attached
            attached += strace.stderr.read() or b""
            assert strace.poll() is None, attached.decode()
            return attached.count(b"attached") >= (1 if b"with" in attached else threads)
        until(all_attached, "strace to attach", server.log)
        begin = time.time() + SETTLE
        time.sleep(SETTLE + WINDOW)
        end = time.time()
        assert connections[0].ask("/hello").status == 200
        until(lambda: calls(trace, end, float("inf")), "strace to see the request", server.log)
        assert calls(trace, begin, end) == []
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(PATIENCE)
        for connection in connections:
            connection.close()


def calls(trace, begin, end):
    """The lines of the trace from that time."""
    return [line for line in trace.read_text().splitlines() if begin <= float(line.split()[1]) < end]
