"""A server whose time of day steps, whose system calls fail, and whose threads are long in coming, when a test says so
(tamper.c)."""
import mmap
import os
import struct

STEP, EPOLL_ERROR, FAILED, FORBIDDEN, STARTER = (0, "=q"), (8, "=i"), (12, "=i"), (16, "=i"), (20, "=i")


class Tamper:
    """`env` is for the environment of the server."""

    def __init__(self, directory):
        library, path = os.environ["WSGI_FCGI_TAMPER"], os.path.join(directory, "tampered")
        with open(path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        # The run-time library of a sanitizer need not be the first one: what this one replaces is none of its business.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": library, "TAMPER_FILE": path, "ASAN_OPTIONS": sanitizer}

    def put(self, field, value):
        struct.pack_into(field[1], self.map, field[0], value)

    def get(self, field):
        return struct.unpack_from(field[1], self.map, field[0])[0]

    def step(self, seconds):
        """From now on the time of day is so many seconds from the true one."""
        self.put(STEP, seconds)

    def fail_epoll(self, error):
        """From now on no descriptor can be watched, with this errno; 0: it can."""
        self.put(EPOLL_ERROR, error)

    def failed(self):
        """How often that has happened."""
        return self.get(FAILED)

    def forbid_reading(self):
        """From now on nobody may read the memory of a process, not even of its own."""
        self.put(FORBIDDEN, 1)

    def hold_threads(self, starter):
        """From now on no thread begins that this one starts; 0: all do."""
        self.put(STARTER, starter)
