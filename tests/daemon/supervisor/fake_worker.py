#!/usr/bin/python3 -B
"""Stands in for wsgi-fcgi as a worker, and does what the test wants of it: it speaks the messages of src/ipc/control.h.

FAKE_WORKER names the steps that it takes, with commas between them; behind them it does what it is told. Steps: load
(tells that it has), fail=STATUS (ends), nonsense, close (its socket, and goes on), ignore (whatever it is told), signal
(wants to retire because of a signal), requests (wants to retire because of --max-requests), lost and stuck (because
calls hang in it), call=TEXT (is in a call), cut (one request when it ends), crash, lie (the scoreboard says that a
worker serves which does not exist, and something is in the queue), zygote (which says of a process that has ended that
it has forked that, or process FAKE_FORKED), files=PATH (tells that it has loaded that file), write=PATH (writes to it), bare, unsealed, large
and garbage (tells of files in a wrong way). Those in FAKE_WORKER_N count for the worker of number N instead, and those in FAKE_WORKER_AGAIN for
each that is not the first of its number. FAKE_DIR: each leaves a file pid.NUMBER there.
"""
import array
import fcntl
import mmap
import os
import signal
import socket
import struct
import sys
import time

HELLO, PEER, LISTENER, SERVE, RETIRE, STOP, REOPEN_LOG, PREPARE_TO_FORK, FORK = range(1, 10)
LOADED, SERVING, WANTS_TO_RETIRE, ENDS, FORKED, DIED, FILES = range(32, 39)
FILES_SIZE = 4 << 20
WIRE = struct.Struct("=IIIIQQ")
MAGIC = 0x77666331
BOARD_SLOTS, SLOTS, CALLS, CALL_SIZE = 128, 256, 64, 128


class Worker:
    def __init__(self):
        self.socket = socket.socket(fileno=int(os.environ.pop("WSGI_FCGI_CONTROL")))
        self.socket.setblocking(True)
        self.listeners, self.peers = [], {}
        kind, fds, self.slot, self.number, self.generation, _ = self.receive()
        assert kind == HELLO and len(fds) == 3
        self.board, self.queue = mmap.mmap(fds[0], 0), fds[1]

    def receive(self):
        data, ancillary, _, _ = self.socket.recvmsg(WIRE.size + 512, socket.CMSG_SPACE(16))
        if not data:
            sys.exit(0)
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        magic, kind, slot, length, a, b = WIRE.unpack_from(data)
        assert magic == MAGIC and length == len(data) - WIRE.size
        return kind, list(fds), slot, a, b, data[WIRE.size:].decode()

    def send(self, kind, a=0, b=0, slot=0):
        self.socket.sendall(WIRE.pack(MAGIC, kind, slot, 0, a, b))

    def tell_files(self, content, seals=fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW):
        file = os.memfd_create("fake", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(file, "wb") as out:
            out.write(content)
            out.flush()
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
            socket.send_fds(self.socket, [WIRE.pack(MAGIC, FILES, 0, 0, 1, 0)], [file])

    def state(self, value, slot=None):
        """In the scoreboard."""
        at = BOARD_SLOTS + 64 * (self.slot if slot is None else slot)
        self.board[at:at + 4] = struct.pack("=I", value)

    def call(self, text):
        at = BOARD_SLOTS + 64 * SLOTS + self.slot * CALLS * CALL_SIZE
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - 2 * 10**9
        self.board[at:at + 8 + len(text)] = struct.pack("=Q", now) + text

    def steps(self):
        path = os.path.join(os.environ["FAKE_DIR"], "pid.%d" % self.number)
        again = os.path.exists(path)
        with open(path + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(path + ".new", path)
        steps = os.environ.get("FAKE_WORKER_%d" % self.number, os.environ.get("FAKE_WORKER", "load"))
        return (again and os.environ.get("FAKE_WORKER_AGAIN") or steps).split(",")

    def run(self):
        ignore, cut = False, 0
        for step in self.steps():
            name, _, value = step.partition("=")
            if name == "load":
                self.send(LOADED)
                while not self.obey(0, ignore):
                    pass
            elif name == "fail":
                sys.exit(int(value))
            elif name == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            elif name == "nonsense":
                self.socket.sendall(b"nonsense")
            elif name == "close":
                self.socket.close()
                while True:
                    signal.pause()
            elif name == "ignore":
                ignore = True
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            elif name == "signal":
                self.send(WANTS_TO_RETIRE, 0)
            elif name == "requests":
                self.send(WANTS_TO_RETIRE, 1)
            elif name in ("lost", "stuck"):
                self.send(WANTS_TO_RETIRE, 2 if name == "lost" else 3)
            elif name == "call":
                self.call(os.fsencode(value))
            elif name == "lie":
                self.state(2, SLOTS - 2)
                os.write(self.queue, b"what no worker understands")
            elif name == "files":
                self.tell_files(os.fsencode(value) + b"\0")
            elif name == "write":
                with open(value, "a") as file:
                    file.write("more")
            elif name == "bare":
                self.send(FILES, 1)
            elif name == "unsealed":
                self.tell_files(b"/file\0", 0)
            elif name == "large":
                self.tell_files(b"/" * (FILES_SIZE + 1))
            elif name == "garbage":
                self.tell_files(b"\xff\0\0no path")
            elif name == "zygote":
                self.send(LOADED)
            elif name == "cut":
                cut = 1
        while True:
            self.obey(cut, ignore)

    def obey(self, cut, ignore):
        """Does what a message says. Returns whether it serves from now on."""
        kind, fds, slot, a, b, text = self.receive()
        if kind == PEER:
            self.peers[slot] = fds[0]
        elif kind == LISTENER:
            self.listeners.append(socket.socket(fileno=fds[0]))
        elif kind == SERVE:
            self.state(2)
            self.send(SERVING)
            return True
        elif kind == FORK:
            pid = int(os.environ.get("FAKE_FORKED", 0))
            if not pid:
                pid = os.spawnlp(os.P_NOWAIT, "true", "true")
                os.waitpid(pid, 0)
            self.send(FORKED, pid, slot=slot)
            os.close(fds[0])
        elif kind in (RETIRE, STOP) and not ignore:
            self.state(3)
            self.send(ENDS, 5, cut)
            sys.exit(0)
        return False


Worker().run()
