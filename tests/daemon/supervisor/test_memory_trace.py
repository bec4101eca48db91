"""--trace-memory: what the log says about the memory of a worker that comes near --max-memory."""
import os
import re

import pytest

import daemon
from daemon import SANITIZED, resident, until

APP, MIB = "growapp", 1 << 20
LIMIT = 800 if SANITIZED else 200
BEGUN = r"info: memory is traced for up to \S+ s \(--trace-memory\), as the process has (\d+) MiB, most of what --max-memory allows"
GROWN = r"memory has grown by (\d+)\.\d MiB in \d+(\.\d+)? s \(--trace-memory\), to \d+\.\d MiB; "
pytestmark = pytest.mark.once


def line_of(mark):
    path = os.path.join(daemon.APPS, "growapp.py")
    with open(path) as file:
        number, = (number for number, line in enumerate(file, 1) if line.endswith("  # %s\n" % mark))
    return r'  File "%s", line %d: ' % (re.escape(path), number)


def proportional(pid):
    """Bytes of memory, of what is shared with the zygote half."""
    with open("/proc/%d/smaps_rollup" % pid) as file:
        return int(re.search(r"^Pss: +(\d+) kB$", file.read(), re.M)[1]) << 10


@pytest.fixture
def near(supervise):
    """A worker that has most of what it may have: its memory is traced."""
    def starter(*options, path="/python", wait=BEGUN, **more):
        server = supervise(APP, 1, "--max-memory", "%dM" % LIMIT, *options, **more)
        pid = server.serving()[0]
        first = resident(pid)
        while resident(pid) < first + (LIMIT * MIB - first) * 0.78:
            server.ask(path, query="8")
        if wait:
            server.wait_log(wait)
        return server
    return starter


def grow(server, path, times=8):
    """Beyond its limit."""
    for _ in range(times):
        server.ask(path, query="8")


@pytest.mark.parametrize("options", [(), ("--preload",), ("--threads", "1")], ids=["", "preload", "one-thread"])
def test_the_line(near, options):
    server = near(*options)
    grow(server, "/python")
    server.wait_log(r"warning: " + GROWN + r"of what came since Python holds \d+\.\d MiB.*; most at:\n"
                    + line_of("python") + r"\d+\.\d MiB in \d+ block")
    server.wait_log(r"worker 0 .* has ended with status 0")
    assert "error:" not in server.log()


def test_what_is_shared_does_not_count(supervise):
    """With --preload the line has what is compared with --max-memory, and not what is there in all."""
    held = LIMIT + 100
    server = supervise(APP, 1, "--max-memory", "%dM" % LIMIT, "--preload", env={"HOLD": str(held)})
    pid = server.serving()[0]
    while proportional(pid) < LIMIT * MIB * 0.97:
        server.ask("/python", query="1")
    server.wait_log(BEGUN)
    assert int(re.search(BEGUN, server.log())[1]) < held < resident(pid) / MIB, server.log()


def test_small_pieces(near):
    """There are too many of them to go on."""
    server = near()
    server.ask("/small", query="10")
    server.wait_log(GROWN + r".*most at:\n" + line_of("small"))
    until(lambda: server.ask("/tracing").body == b"0", "the end of it", server.log)


def test_not_by_python(near):
    server = near()
    grow(server, "/elsewhere")
    server.wait_log(GROWN + r"none of it by Python; \d+\.\d MiB were allocated elsewhere \(C extensions, libraries\)")


def test_the_application_traces(near):
    """That is left alone."""
    server = near(path="/own", wait=BEGUN + "; the application does so already")
    grow(server, "/own")
    server.wait_log(GROWN + r"since the application has begun to trace memory itself, Python holds \d+\.\d MiB; most at:\n"
                    + line_of("own"))


def test_the_application_ends_it(near):
    server = near()
    server.ask("/stop")
    grow(server, "/python")
    server.wait_log(GROWN + "which lines have allocated it cannot be told")


def test_the_time_is_over(near):
    """The worker goes on, and is not traced a second time; its children never were."""
    server = near("--trace-memory", "3")
    assert server.ask("/tracing").body == b"1"
    assert server.ask("/child").body == b"0"
    server.wait_log(r"info: " + GROWN + r".*that is little, .*: let --trace-memory be longer")
    until(lambda: server.ask("/tracing").body == b"0", "the end of it", server.log)
    grow(server, "/python")
    server.wait_log(r"worker 0 .* has ended with status 0")
    assert len(re.findall(BEGUN, server.log())) == 1


def test_off(near):
    server = near("--trace-memory", "0", wait=None)
    grow(server, "/python")
    server.wait_log(r"worker 0 .* has ended with status 0")
    assert "memory is traced" not in server.log()


def test_without_a_limit(tmp_path):
    done = daemon.run("-s", tmp_path / "s", "--workers", 1, "--trace-memory", "5", APP)
    assert done.returncode == os.EX_USAGE and "--trace-memory is for workers that come near --max-memory" in done.stderr, done
