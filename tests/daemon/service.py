"""A service manager as far as a service can tell: systemd's end of sd_notify(3), without systemd."""
import os
import select
import signal
import socket
import struct
import time

from daemon import until
from fcgi import PATIENCE


class Message(dict):
    """NAME: VALUE of one datagram, `pid` of who has sent it, and `at`, in microseconds of CLOCK_MONOTONIC."""

    def __init__(self, data, pid):
        super().__init__(line.split("=", 1) for line in data.decode().split("\n") if line)
        self.pid = pid
        self.at = time.monotonic_ns() // 1000


class Manager:
    """`address` is what NOTIFY_SOCKET says; "@..." for one without a file."""

    def __init__(self, address):
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind("\0" + address[1:] if address[0] == "@" else address)
        self.sock.setblocking(False)
        self.messages = []

    def environ(self, watchdog=None, **more):
        """`watchdog`: seconds."""
        env = {"NOTIFY_SOCKET": self.address, **more}
        if watchdog:
            env["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        return env

    def take(self):
        """Takes one datagram, if there is one."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(struct.calcsize("3i")))
        except BlockingIOError:
            return None
        pid, = [struct.unpack("3i", cmsg[2])[0] for cmsg in ancillary if cmsg[1] == socket.SCM_CREDENTIALS]
        self.messages.append(Message(data, pid))
        return self.messages[-1]

    def received(self, name=None):
        """All that has come up to now; those with `name` in them."""
        while self.take():
            pass
        return [message for message in self.messages if name is None or name in message]

    def wait(self, name, count=1, log=lambda: ""):
        """Waits for so many messages with `name` in them, and returns the last."""
        until(lambda: len(self.received(name)) >= count, "%d x %s" % (count, name),
              lambda: "%s\n%s" % (self.messages, log()), 2 * PATIENCE)
        return self.received(name)[count - 1]

    def states(self):
        """The changes of the state, in their order."""
        names = ("READY", "RELOADING", "STOPPING")
        return [name for message in self.received() for name in names if message.get(name) == "1"]

    def status(self):
        """What people are shown."""
        return ([""] + [message["STATUS"] for message in self.received("STATUS")])[-1]

    def main_pid(self):
        """Of the messages alone: None when none names it."""
        return ([None] + [int(message["MAINPID"]) for message in self.received("MAINPID")])[-1]

    def reload(self, log=lambda: ""):
        """What `systemctl reload` does with ExecReload=/bin/kill -HUP $MAINPID; returns when it has ended."""
        ready = len(self.received("READY"))
        os.kill(self.main_pid(), signal.SIGHUP)
        self.wait("READY", ready + 1, log)

    def watch(self, pid, seconds, patience=PATIENCE):
        """Ends the process when it has not been heard of for so long, as WatchdogSec= says; fails if it always is."""
        end = time.monotonic() + patience
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            assert time.monotonic() < end, "the watchdog is fed all the time: %s" % self.messages[-5:]
            if select.select([self.sock], [], [], max(0, due - time.monotonic()))[0] and "WATCHDOG" in self.take():
                due = time.monotonic() + seconds
        os.kill(pid, signal.SIGABRT)

    def close(self):
        self.sock.close()
