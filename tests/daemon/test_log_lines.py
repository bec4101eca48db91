"""What a line of the log shows of what others sent."""
import urllib.parse

import pytest

from daemon import until
from test_fcgi import good


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
        assert "GET /raise-before?%s: the application" % shown in server.log()


def test_text_of_the_application(server):
    """Its own colours and characters are left as they are."""
    said = "gr\u00fc\u00dfe \U0001f40d \x1b[32mgreen\x1b[0m"
    good(server.ask("/errors", query="text=" + urllib.parse.quote(said)), b"ok\n")
    until(lambda: "written to errors: " + said in server.log(), "the text", server.log)
