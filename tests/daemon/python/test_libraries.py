"""An extension that brings along its own libev, llhttp or libfcgi, or has functions that are named like the server's, calls
its own."""
import os
import shlex
import subprocess

import pytest

OVER_HTTP = True
NAMES = ["ev_run", "ev_version_major", "ev_recommended_backends", "event_init", "llhttp_init", "llhttp_execute",
         "llhttp__internal_execute", "OS_IsFcgi", "FCGX_Accept_r", "buf_append", "log_printf", "sched_watch", "main"]


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    """A library in which own() calls each of the functions, and counts those that are its own."""
    directory = tmp_path_factory.mktemp("extension")
    source, library = str(directory / "extension.c"), str(directory / "extension.so")
    with open(source, "w") as file:
        file.writelines("int %s(void);\nint %s(void) { return 1; }\n" % (name, name) for name in NAMES)
        file.write("int own(void);\nint own(void) { return %s; }\n" % " + ".join("%s()" % name for name in NAMES))
    # -O0: what is called is looked up, and not put in its place.
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-O0", "-fPIC", "-shared", "-o", library, source], check=True)
    return library


def test_extension_finds_its_own(start, extension):
    server = start("libraryapp", env={"EXTENSION": extension})
    assert server.ask("/").body == b"%d" % len(NAMES)


def test_epoll_of_the_application(start):
    """The server ends when what its loop polls is gone (test_lost_descriptors.py): epoll(7) of Python is another matter,
    even where Python is a part of the program."""
    server = start("epollapp")
    assert server.ask("/").body == b"EBADF"
    assert server.ask("/").body == b"EBADF"
