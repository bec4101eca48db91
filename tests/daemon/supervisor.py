"""Plays the supervisor to one worker: the other end of what src/ipc/control.h describes."""
import contextlib
import mmap
import os
import select
import socket
import struct
import tempfile

import daemon
from daemon import OPTIONS, Daemon
from fcgi import PATIENCE

ENV = "WSGI_FCGI_CONTROL"
MAGIC = 0x77666331
WIRE = struct.Struct("=IIIIQQ")

# enum control_type
HELLO, PEER, LISTENER, SERVE, RETIRE, STOP, REOPEN_LOG, PREPARE_TO_FORK, FORK = range(1, 10)
LOADED, SERVING, WANTS_TO_RETIRE, ENDS, FORKED, DIED = range(32, 38)
LISTENER_UNIX, LISTENER_INHERITED = 1, 2
REASON_SIGNAL, REASON_REQUESTS, REASON_LOST, REASON_STUCK = range(4)
PROTOCOLS = {"fastcgi": 0, "http": 1}

# struct scoreboard
SLOTS, SLOT_SIZE, SLOTS_AT, CALLS, CALL_SIZE = 256, 64, 128, 64, 128
BOARD_SIZE = SLOTS_AT + SLOTS * SLOT_SIZE + SLOTS * CALLS * CALL_SIZE
FREE, STARTING, SERVES, ENDING = range(4)


class Message:
    def __init__(self, data, fds):
        magic, self.type, self.slot, length, self.a, self.b = WIRE.unpack_from(data)
        self.text = data[WIRE.size:].decode()
        assert magic == MAGIC and length == len(self.text)
        assert not fds


class Scoreboard:
    """A memfd with one, all slots free."""

    def __init__(self):
        self.fd = os.memfd_create("scoreboard")
        os.ftruncate(self.fd, BOARD_SIZE)
        self.map = mmap.mmap(self.fd, BOARD_SIZE)
        struct.pack_into("=IIII", self.map, 0, 0x77667362, 1, BOARD_SIZE, SLOTS)

    def state(self, slot):
        return struct.unpack_from("=I", self.map, SLOTS_AT + slot * SLOT_SIZE)[0]

    def set_state(self, slot, state):
        struct.pack_into("=I", self.map, SLOTS_AT + slot * SLOT_SIZE, state)

    def close(self):
        self.map.close()
        os.close(self.fd)


class Supervisor:
    """Starts one worker and talks to it, step by step: `worker` is its process. It listens in the worker's place.

    What a test does not say itself: greet() says who the worker is, and serve() waits until it serves. `beside` is the
    supervisor of another worker of the same server, which has everything in common with this one."""

    def __init__(self, app="wsgiapp", *args, protocol="fastcgi", number=0, slot=3, beside=None, **more):
        self.slot, self.number = slot, number
        self.protocol = protocol
        self.beside = beside
        if beside:
            self.listener, self.path = beside.listener, beside.path
            self.board, self.queue, self.wakes = beside.board, beside.queue, beside.wakes
        else:
            self.make_common()
        self.board.set_state(slot, STARTING)
        self.wakes[slot] = os.eventfd(0, os.EFD_NONBLOCK)
        self.end, given = self.pair()
        self.end.settimeout(PATIENCE)
        command = [daemon.binary(), OPTIONS[protocol], self.path, *map(str, args), *([app] if app else [])]
        self.worker = Daemon(None, command=command, sockets=False, wait=False, address=self.path, protocol=protocol,
                             pass_fds=[given.fileno()], **{**more, "env": {**more.get("env", {}), ENV: given.fileno()}})
        given.close()

    def make_common(self):
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-test.")
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "listen")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.setblocking(False)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.board = Scoreboard()
        self.queue = self.pair()
        self.wakes = {}

    @staticmethod
    def pair():
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    # --- saying

    def say(self, kind, *fds, slot=0, a=0, b=0, text=""):
        data = WIRE.pack(MAGIC, kind, slot, len(text), a, b) + text.encode()
        socket.send_fds(self.end, [data], [fd if isinstance(fd, int) else fd.fileno() for fd in fds])

    def greet(self):
        self.say(HELLO, self.board.fd, *self.queue, slot=self.slot, a=self.number, b=1)
        for slot, wake in self.wakes.items():
            self.say(PEER, wake, slot=slot)

    def order_to_serve(self):
        self.say(LISTENER, self.listener, a=PROTOCOLS[self.protocol], b=LISTENER_UNIX, text="unix:" + self.path)
        self.say(SERVE)

    def meet(self):
        """Tells both workers how to wake the other one, as when a new one is started."""
        self.beside.say(PEER, self.wakes[self.slot], slot=self.slot)

    def serve(self):
        """Everything up to a worker that serves."""
        self.greet()
        assert self.hear().type == LOADED
        self.order_to_serve()
        assert self.hear().type == SERVING
        return self

    # --- hearing

    def hear(self):
        """The next message of the worker; None when it has closed its end."""
        try:
            data, fds, _, _ = socket.recv_fds(self.end, 2048, 4)
        except TimeoutError:
            raise AssertionError("the worker says nothing\n" + self.worker.log()) from None
        except ConnectionResetError:  # with something unread
            return None
        return Message(data, fds) if data else None

    def hear_nothing_more(self):
        assert self.hear() is None, self.worker.log()

    def has_said(self):
        """Whether there is a message of the worker."""
        return bool(select.select([self.end], [], [], 0)[0])

    def has_listener(self):
        """Whether the worker has the listening socket open."""
        wanted = "socket:[%d]" % os.fstat(self.listener.fileno()).st_ino
        directory = "/proc/%d/fd" % self.worker.pid
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(os.path.join(directory, name)) == wanted:
                    return True
        return False

    def state(self):
        """What the worker says of itself in the scoreboard."""
        return self.board.state(self.slot)

    # --- ending

    def leave(self):
        """As a supervisor that has died."""
        self.end.close()

    def close(self):
        """The worker must end well, if it has not ended yet."""
        try:
            if self.worker.process.poll() is None and self.end.fileno() >= 0:
                with contextlib.suppress(OSError):
                    self.say(STOP, a=15)
            self.worker.stopped = True
            status = self.worker.wait_exit()
            log = self.worker.log()
            assert status == self.worker.expect_status, "exit status %d\n%s" % (status, log)
            assert not daemon.BAD_LOG.search(log), log
            assert os.path.exists(self.path), "a worker has removed the supervisor's socket\n" + log
        finally:
            self.worker.kill()
            self.end.close()
            if not self.beside:
                self.close_common()

    def close_common(self):
        for each in (self.listener, *self.queue, self.board):
            each.close()
        for wake in self.wakes.values():
            os.close(wake)
        os.unlink(self.path)
        os.rmdir(self.dir)
