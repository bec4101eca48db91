"""wsgi-fcgi-top for tests: documents to show, the program, and a terminal that it runs in."""
import contextlib
import copy
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pyte

import daemon as daemons
from fcgi import PATIENCE

PROGRAM = os.path.join(os.path.dirname(daemons.binary()), "wsgi-fcgi-top")
NOW = 1700000000.0

STACK = ['File "/srv/site/app.py", line 10, in application', 'File "/srv/site/views.py", line 12, in view']

DOCUMENT = {
    "version": 1,
    "server": {"version": "0.1.0", "python": "3.11.2", "pid": 4242, "application": "site:app", "started_at": NOW - 7500,
               "now": NOW, "workers": 2, "threads_max": 8},
    "notes": ["worker 1: 7 calls have run for more than 10 s: see where under \"Running\""],
    "workers": [
        {"number": 0, "pid": 4243, "generation": 1, "state": "serving", "started_at": NOW - 90000,
         "memory_bytes": 52 << 20, "connections": 3, "requests": 1200, "queued": 0,
         "threads": {"running": 2, "idle": 1, "stuck": 0, "lost": 0}, "caught": False, "full": False,
         "lock_waited_seconds": 0.0},
        {"number": 1, "pid": 4244, "generation": 2, "state": "ending", "started_at": NOW - 61,
         "memory_bytes": 1536 << 20, "connections": 1, "requests": 7, "queued": 5,
         "threads": {"running": 8, "idle": 0, "stuck": 7, "lost": 2}, "caught": True, "full": True,
         "lock_waited_seconds": 3.25},
    ],
    "running": [
        {"worker": 0, "pid": 4243, "thread": 4250, "request_id": "aa-1", "trace_id": None, "method": "GET", "path": "/slow",
         "seconds": 12.5, "cpu_seconds": 0.25, "state": "blocked", "phase": "running",
         "line": {"file": "/srv/site/views.py", "line": 12, "function": "view"}, "stack": STACK},
        {"worker": 1, "pid": 4244, "thread": 4260, "request_id": "bb-2", "trace_id": None, "method": "POST",
         "path": "/numbers", "seconds": 1.5, "cpu_seconds": 1.4, "state": "computing", "phase": "overdue",
         "line": {"file": "/srv/site/numbers.py", "line": 77, "function": "crunch"},
         "stack": ['File "/srv/site/numbers.py", line 77, in crunch']},
        {"worker": 1, "pid": 4244, "thread": 4261, "request_id": "cc-3", "trace_id": None, "method": "GET", "path": "/cart",
         "seconds": 0.002, "cpu_seconds": None, "state": "waiting for the lock", "phase": "running", "line": None,
         "stack": []},
    ],
    "running_more": 4,
    "totals": {"connections_accepted_total": {"fastcgi": 10, "http": 2}, "connections": 4, "requests_queued": 5,
               "requests_active": 3,
               "requests_total": {"fastcgi": {"2xx": 1000, "5xx": 10}, "http": {"2xx": 200, "5xx": 0}}},
    "histograms": {"request_duration_seconds": {"count": 1207, "sum": 60.5, "p50": 0.0012, "p90": 0.01, "p99": 0.035,
                                                "max": 12.0}},
    "history": {"seconds": 5, "buckets": [
        {"at": NOW - 15, "requests": 100, "errors": 1, "p50": 0.001, "p99": 0.02},
        {"at": NOW - 10, "requests": 200, "errors": 0, "p50": 0.002, "p99": 0.04},
        {"at": NOW - 5, "requests": 300, "errors": 2, "p50": 0.003, "p99": 0.08},
        {"at": NOW, "requests": 1, "errors": 0, "p50": None, "p99": None}]},
    "paths": {"slowest": [{"method": "GET", "path": "/report", "count": 3, "mean": 2.5, "max": 70.0}],
              "frequent": [{"method": "GET", "path": "/", "count": 900, "mean": 0.0011, "max": 0.2}]},
    "ends": [{"at": NOW - 61, "worker": 1, "pid": 4200, "reason": "crash", "text": "was killed by SIGSEGV"}],
    "log": [{"at": NOW - 61, "pid": 4242, "level": "warning", "text": "worker 1 (process 4200) was killed by SIGSEGV"},
            {"at": NOW - 60, "pid": 4244, "level": "info", "text": "serving"}],
}


def document(change=None):
    """A copy of the document, which `change` may change."""
    made = copy.deepcopy(DOCUMENT)
    if change:
        change(made)
    return made


def environment(**more):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("WSGI_FCGI_", "LC_", "LANG")) and name not in ("COLUMNS", "LINES", "NO_COLOR")}
    return {**env, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **more}


def run(*args, **env):
    """Runs the program to its end."""
    done = subprocess.run([PROGRAM, *map(str, args)], env=environment(**env), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
    done.stdout, done.stderr = done.stdout.decode(errors="backslashreplace"), done.stderr.decode()
    assert not daemons.BAD_LOG.search(done.stderr), done.stderr
    return done


class Page:
    """A server over HTTP, as --status of a server is one. `answer`: what it sends, instead of `document`."""

    def __init__(self, answer=None):
        self.document = document()
        self.answer = answer
        self.step = lambda document: None  # what becomes of the document after each answer
        self.requests = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                request = b""
                while not request.endswith(b"\r\n\r\n") and not request.startswith(b"\1"):
                    data = connection.recv(65536)
                    if not data:
                        break
                    request += data
                with self.changed:
                    self.requests.append(request)
                    self.changed.notify_all()
                connection.sendall(self.bytes())

    def bytes(self):
        if self.answer is not None:
            return self.answer
        body = json.dumps(self.document).encode()
        self.step(self.document)
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def wait_requests(self, more):
        """Waits until `more` further requests have come."""
        with self.changed:
            count = len(self.requests) + more
            assert self.changed.wait_for(lambda: len(self.requests) >= count, PATIENCE)

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


class Terminal(pyte.Screen):
    """With the two sequences that pyte lacks and curses uses: SU and SD."""

    def scroll_up(self, count=None):
        self.scroll(self.margins.bottom if self.margins else self.lines - 1, self.index, count)

    def scroll_down(self, count=None):
        self.scroll(self.margins.top if self.margins else 0, self.reverse_index, count)

    def scroll(self, row, step, count):
        before = self.cursor.y
        self.cursor.y = row
        for _ in range(count or 1):
            step()
        self.cursor.y = before


class Sequences(pyte.ByteStream):
    csi = {**pyte.ByteStream.csi, "S": "scroll_up", "T": "scroll_down"}
    events = pyte.ByteStream.events | {"scroll_up", "scroll_down"}


class Screen:
    """The program in a terminal of its own."""

    def __init__(self, *args, columns=100, rows=40, env=None):
        self.screen = Terminal(columns, rows)
        self.stream = Sequences(self.screen)
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.raw = b""
        self.process = subprocess.Popen([PROGRAM, *map(str, args)], env=environment(**(env or {})), stdin=slave,
                                        stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def read(self):
        """Takes what there is. Returns whether the terminal is still used."""
        if select.select([self.master], [], [], 0.05)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # EIO: nobody has it open
                return False
            self.raw += data
            self.stream.feed(data)
            return bool(data)
        return True

    def wait(self, pattern, but=None):
        """Waits until the screen matches `pattern`, and does not match `but`."""
        end = time.monotonic() + PATIENCE
        while not (re.search(pattern, self.text(), re.M) and not (but and re.search(but, self.text(), re.M))):
            assert time.monotonic() < end, "waited for %r on\n%s" % (pattern, self.text())
            self.read()
        return self.text()

    def press(self, keys):
        os.write(self.master, keys.encode())

    def wait_exit(self):
        end = time.monotonic() + PATIENCE
        while self.read():
            assert time.monotonic() < end, "waited for its end on\n" + self.text()
            if self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]:
                break
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
