"""What a line of the log looks like: when it was, whose it is, and what it shows of what others sent."""
import os
import pty
import re
import signal
import subprocess
import urllib.parse

import pytest

import daemon as daemons
from daemon import LABEL, run, until
from fcgi import params, request
from test_fcgi import good

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z wsgi-fcgi\[%s\] (error|warning|info|debug): \S.*"


def all_are_lines(text, pid=r"\d+"):
    lines = text.splitlines()
    assert lines and all(re.fullmatch(LINE % pid, line) for line in lines), text


@pytest.mark.parametrize("args", [["--no-such-option", "wsgiapp"], ["wsgiapp"], ["-s", "/nowhere/socket", "wsgiapp"],
                                  ["--check", "/no/such/app"]], ids=["option", "no socket", "socket", "application"])
def test_refused_start(args):
    done = run(*args)
    assert done.returncode
    # Who typed too little is shown what to type, and that is no event.
    all_are_lines(re.sub(r"\AFor example: .*\n", "", done.stderr))


def test_life(start):
    server = start("wsgiapp")
    good(server.ask("/hello"))
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(server.log().splitlines()) >= 3
    all_are_lines(server.log(), server.pid)


def test_second_signal(start, gate):
    server = start("faultapp")
    with server.connect() as connection:
        connection.send(request(params("/says", query="text=x&gate=" + gate.path)))
        gate.arrived()
        server.signal(signal.SIGTERM)
        server.wait_log("stopping")
        server.signal_again(signal.SIGTERM)
    all_are_lines(server.log(), server.pid)
    assert server.log().endswith("second signal: ending at once\n")


def test_terminal():
    """Whoever sits there knows what time it is."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        try:
            process = subprocess.run([daemons.binary(), "--no-such-option"], stdin=subprocess.DEVNULL, stderr=slave)
        finally:
            os.close(slave)
        assert process.returncode == 64
        assert re.match(rb"wsgi-fcgi: error: .*\r\n$", terminal.read(4096))


def test_journal(tmp_path):
    """It notes the time by itself."""
    with open(tmp_path / "journal", "w+b") as journal:
        status = subprocess.call([daemons.binary(), "--no-such-option"], stderr=journal,
                                 env=daemons.clean_environ(JOURNAL_STREAM=daemons.journal_of(journal)))
        journal.seek(0)
        assert status == 64 and re.fullmatch(rb"<3>wsgi-fcgi\[\d+\] error: .*\n", journal.read())


def priorities(text):
    """What the journal takes of each line: its priority, and the rest."""
    return [(int(number), rest) for number, rest in re.findall(r"^<(\d)>(.*)\n", text, re.M)]


def test_journal_lines(start):
    """Each line has its priority, and what a client sent has no say in that (an emergency goes to all terminals)."""
    server = start("faultapp", journal=True)
    good(server.ask("/says", query="text=" + urllib.parse.quote("<0>one\n<1>two\0<0>three\n")), b"said\n")
    assert server.ask("/raise-before", query="<0>").status == 500
    until(lambda: "Traceback" in server.log(), "the traceback", server.log)
    lines = priorities(server.log())
    assert len(lines) == server.log().count("\n"), server.log()
    assert [line for line in lines if re.match("<.>", line[1])] == [(4, "<0>one"), (4, "<1>two"), (4, "<0>three")]
    at = [number for number, line in enumerate(lines) if line[1].startswith("Traceback")][0]
    assert len(lines) > at + 2 and all(number == 3 for number, _ in lines[at - 1:]), server.log()
    assert (6, "listening on " + server.path) in [(number, line.partition("info: ")[2]) for number, line in lines]


def test_journal_traceback(tmp_path):
    """So do the lines about an application that cannot be loaded."""
    with open(tmp_path / "journal", "w+b") as journal:
        subprocess.call([daemons.binary(), "-s", str(tmp_path / "socket"), "startapp"], stderr=journal,
                        cwd=daemons.APPS,
                        env=daemons.clean_environ(DO="fail", JOURNAL_STREAM=daemons.journal_of(journal)))
        journal.seek(0)
        lines = journal.read().decode().splitlines()
    assert "RuntimeError: failed on purpose" in lines[-1] and len(lines) > 3
    assert all(line.startswith("<3>") for line in lines), lines


SHOWN = {
    "UTF-8": ("gr\u00fc\u00dfe/\u65e5\u672c/\U0001f40d".encode(), "gr\u00fc\u00dfe/\u65e5\u672c/\U0001f40d"),
    "Latin-1": (b"gr\xfc\xdfe", r"gr\xfc\xdfe"),
    "broken": (b"\xe2\x82x\xc0\x80\xed\xa0\x80", r"\xe2\x82x\xc0\x80\xed\xa0\x80"),
    "controls": (b"\xc2\x9b31m", r"\xc2\x9b31m"),
    "ends of lines": ("a\u2028b\u2029c\u0085d".encode(), r"a\xe2\x80\xa8b\xe2\x80\xa9c\xc2\x85d"),
    "direction": ("\u202egnp.exe\u2066".encode(), r"\xe2\x80\xaegnp.exe\xe2\x81\xa6"),
}


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_a_client_sends(start, locale):
    server = start("faultapp", env={"LC_ALL": locale})
    for sent, shown in SHOWN.values():
        assert server.ask("/raise-before", REQUEST_URI=b"/raise-before?" + sent).status == 500
        assert re.search(re.escape("GET /raise-before?%s" % shown) + LABEL + ": the application", server.log())


def test_text_of_the_application(server):
    """Its own colours and characters are left as they are."""
    said = "gr\u00fc\u00dfe \U0001f40d \x1b[32mgreen\x1b[0m"
    good(server.ask("/errors", query="text=" + urllib.parse.quote(said)), b"ok\n")
    until(lambda: "written to errors: " + said in server.log(), "the text", server.log)
