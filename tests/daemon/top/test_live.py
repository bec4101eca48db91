"""wsgi-fcgi-top in a terminal."""
import os
import re
import signal

import pytest

from looking import Page, Screen


@pytest.fixture
def page():
    made = Page()
    yield made
    made.close()


@pytest.fixture
def look(page):
    """Starts the program in a terminal: look(*OPTIONS, **more)."""
    screens = []

    def starter(*args, **more):
        screens.append(Screen(*args, page.address, **more))
        return screens[-1]
    yield starter
    for screen in screens:
        screen.close()


def quits(screen):
    screen.press("q")
    assert screen.wait_exit() == 0
    # The terminal is as it was: the cursor shows, and the other screen is left.
    assert b"\x1b[?1049l" in screen.raw[-200:] and b"\x1b[?12l\x1b[?25h" in screen.raw[-300:], screen.raw[-300:]


def test_it_shows_the_page_and_quits(look):
    screen = look()
    text = screen.wait(r"^RUNNING 3 and 4 more, by time$")
    assert re.search(r"^> +13 s .* GET /slow\n +/srv/site/views\.py:12 view$", text, re.M), text
    assert "LOG" in text and "WORKERS 2" in text
    quits(screen)


def test_it_looks_again_after_the_interval(look, page):
    screen = look("--interval", "0.1")
    screen.wait("GET /slow")
    page.document["running"] = []
    screen.wait(r"^RUNNING 0 and 4 more", but="/slow")
    quits(screen)


def test_rates_are_those_since_the_last_look(look, page):
    def step(document):
        document["server"]["now"] += 2
        document["totals"]["requests_total"]["fastcgi"]["2xx"] += 20
        document["totals"]["requests_total"]["http"]["5xx"] += 4
    page.step = step
    screen = look("--interval", "0.1")
    screen.wait("^12 requests/s, 2 errors/s, ")
    page.document["server"]["started_at"] += 1000  # another server: its own history counts
    page.document["totals"]["requests_total"] = {"fastcgi": {"2xx": 0}, "http": {"5xx": 0}}
    page.step = lambda document: None
    screen.wait("^40 requests/s, 0.20 errors/s, ")
    quits(screen)


def test_a_request_is_selected_and_its_stack_is_shown(look):
    screen = look()
    screen.wait("RUNNING")
    screen.press("s")
    text = screen.wait(r"^STACK of thread 4250 in process 4243, innermost last, request aa-1$", but="WORKERS")
    assert re.search(r'File "/srv/site/app\.py", line 10, in application\n +File "/srv/site/views\.py", line 12, in view', text)
    screen.press("\x1b[B" if b"\x1b[?1h" not in screen.raw else "\x1bOB")
    screen.wait(r"^STACK of thread 4260[^\n]*\n +File \"/srv/site/numbers.py\", line 77, in crunch")
    screen.press("k")
    screen.wait(r"^STACK of thread 4250")
    screen.press("jj")
    screen.wait(r"^STACK of thread 4261[^\n]*\n +\(its stack is not known\)")
    screen.press("j")
    screen.press("s")
    screen.wait("WORKERS", but="STACK of")
    assert re.search(r"^> .*/cart$", screen.text(), re.M)
    quits(screen)


def test_a_long_stack_moves(look, page):
    page.document["running"][0]["stack"] = ["line %d of the stack" % number for number in range(100)]
    screen = look(rows=24)
    screen.wait("RUNNING")
    screen.press("s")
    screen.wait("line 0 of the stack", but="line 50 of")
    screen.press("\x1b[6~" * 20)
    screen.wait("line 99 of the stack", but="line 0 of")
    screen.press("\x1b[5~" * 20)
    screen.wait("line 0 of the stack")
    quits(screen)


def test_the_selection_follows_its_request(look, page):
    screen = look("--interval", "0.1")
    screen.wait("RUNNING")
    screen.press("j")
    screen.wait(r"^> .*/numbers$")
    del page.document["running"][0]
    screen.wait(r"^> .*/numbers$", but="/slow")
    page.document["running"] = page.document["running"][1:]
    screen.wait(r"^> .*/cart$", but="/numbers")  # it has ended: the first
    quits(screen)


def test_the_order_changes(look):
    screen = look()
    screen.wait("by time$")
    screen.press("o")
    text = screen.wait("by CPU time$")
    assert text.index("/numbers") < text.index("/slow") < text.index("/cart")
    screen.press("o")
    text = screen.wait("by path$")
    assert text.index("/cart") < text.index("/numbers") < text.index("/slow")
    screen.press("o")
    screen.wait("by time$")
    quits(screen)


def test_a_pause_keeps_what_is_shown(look, page):
    screen = look("--interval", "0.1")
    screen.wait("/slow")
    screen.press("p")
    screen.wait("^PAUSED")
    page.document["running"] = []
    count = len(page.requests)
    screen.press("??")  # two keys later it has not asked
    screen.wait("^PAUSED")
    assert len(page.requests) <= count + 1 and "/slow" in screen.text()
    screen.press(" ")  # but it does when told to
    screen.wait(r"^RUNNING 0 and", but="/slow")
    screen.press("p")
    screen.wait("^q quit", but="PAUSED")
    quits(screen)


def test_the_help_is_shown(look):
    screen = look()
    screen.wait("RUNNING")
    screen.press("?")
    screen.wait("^s +the stack of the selected request", but="RUNNING")
    screen.press("\x1b")
    screen.wait("RUNNING")
    quits(screen)


def test_a_server_that_is_gone_is_waited_for(look, page):
    screen = look("--interval", "0.1", columns=120)
    screen.wait("RUNNING")
    page.answer = b"HTTP/1.1 200 OK\r\n"
    first = re.search(r"since (\d\d:\d\d:\d\d) no answer, trying again: the answer has no end",
                      screen.wait("since .* no answer")).group(1)
    page.wait_requests(12)
    assert "since %s no answer" % first in screen.wait("since .* no answer"), "the first time counts"
    assert "/slow" in screen.text(), "what was seen last stays"
    page.answer = None
    screen.wait("^q quit", but="no answer")
    quits(screen)


def test_a_server_whose_socket_is_gone_is_waited_for(look, page):
    screen = look("--interval", "0.1", columns=120)
    screen.wait("RUNNING")
    page.close()
    screen.wait("no answer, trying again: Connection refused: no server listens there")
    quits(screen)


def test_keys_work_while_the_server_does_not_answer(look, page):
    screen = look("--interval", "0.1")
    screen.wait("RUNNING")
    lock = page.changed
    lock.acquire()  # the server takes the next request, and does not get on
    try:
        screen.press("o")
        screen.wait("by CPU time$")
        quits(screen)
    finally:
        lock.release()


@pytest.mark.parametrize("columns, rows", [(20, 3), (10, 10), (21, 4), (40, 12), (60, 24), (200, 60), (80, 8)])
def test_every_size_of_a_terminal_will_do(look, columns, rows):
    screen = look(columns=columns, rows=rows)
    screen.wait("wsgi-fcgi|too small")
    for key in "sjk?" "?os":
        screen.press(key)
    quits(screen)


def test_a_change_of_the_size_is_noticed(look):
    screen = look(columns=100, rows=40)
    screen.wait("LOG")
    screen.resize(50, 12)
    screen.wait(r"^q quit  up/down select  s stack  o order", but="LOG")
    screen.resize(15, 3)
    screen.wait("too small")
    screen.resize(100, 40)
    screen.wait("LOG")
    quits(screen)


def test_colours_can_be_left_out(look):
    screen = look()
    screen.wait("LOG")
    assert re.search(rb"\x1b\[[\d;]*3[0-7]m", screen.raw)
    quits(screen)
    screen = look(env={"NO_COLOR": "1"})
    screen.wait("LOG")
    assert not re.search(rb"\x1b\[[\d;]*3[0-7]m", screen.raw)
    quits(screen)


@pytest.mark.parametrize("term", ["vt100", "linux", "xterm", "screen"])
def test_other_terminals_will_do(look, term):
    screen = look(env={"TERM": term})
    screen.wait("RUNNING")
    screen.press("q")
    assert screen.wait_exit() == 0


def test_a_terminal_that_is_unknown_is_named(look):
    for term in ("", "no-such-terminal", "dumb"):
        screen = look(env={"TERM": term})
        assert screen.wait_exit() == 69
        assert 'this terminal cannot show it (TERM is "%s"): use --once' % term in screen.text()


def test_what_others_have_sent_does_nothing_to_the_terminal(look, page):
    page.document["running"][0]["path"] = "/slow\x1b[2J\x1b]0;title\x07\x9b2J\r\n\u202e"
    page.document["log"][0]["text"] = "\x1b[31mred\x1b[?25h"
    screen = look(columns=120)
    screen.wait(r"GET /slow\?\[2J\?\]0;title\?\?2J\?\?\?$")
    assert b"\x1b]0;title" not in screen.raw and b"\x1b[31mred" not in screen.raw and not screen.screen.title
    quits(screen)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_locale_decides_what_can_be_shown(look, page, locale):
    page.document["running"][0]["path"] = "/漢字"
    screen = look(env={"LC_ALL": locale})
    text = screen.wait("GET /")
    assert ("/漢 字" in text.replace("漢字", "漢 字")) == (locale != "C")
    assert ("▃▆█▁" in text) == (locale != "C")
    quits(screen)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_before(look, number):
    screen = look()
    screen.wait("RUNNING")
    screen.press("p")
    screen.wait("PAUSED")
    os.kill(screen.process.pid, number)
    assert screen.wait_exit() == 0
    assert b"\x1b[?1049l" in screen.raw[-200:]


def test_a_terminal_that_is_gone_ends_it(look):
    screen = look()
    screen.wait("RUNNING")
    os.close(screen.master)
    try:
        assert screen.process.wait(20) in (0, 129)
    finally:
        screen.master = os.open("/dev/null", os.O_RDWR)


def test_what_is_no_status_page_is_said_at_once(look, page):
    page.answer = b"HTTP/1.1 404 Not Found\r\n\r\n"
    screen = look()
    assert screen.wait_exit() == 69
    assert "there is no status page at /status (404)" in screen.text().replace("\n", " ")
