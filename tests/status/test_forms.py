"""What the forms say, and that all say the same."""
import base64
import hashlib
import html.parser
import json
import re

import pytest

VOID = {"meta", "link", "br", "img", "input"}


def load(render, scene, query="format=json"):
    answer = render(scene, query=query)
    assert answer.type == "application/json"
    return json.loads(answer.text)


def test_json(render):
    status = load(render, "shop")
    assert status["version"] == 1
    assert list(status) == ["version", "server", "notes", "workers", "running", "running_more", "totals", "histograms",
                            "history", "paths", "ends", "log"]
    assert status["server"]["application"] == "shop.wsgi:application"
    assert abs(status["server"]["now"] - status["server"]["started_at"] - 90000) < 10
    assert [w["number"] for w in status["workers"]] == [0, 1]
    assert status["workers"][0]["threads"] == {"running": 1, "idle": 0, "stuck": 3, "lost": 0}
    assert status["workers"][0]["queued"] == 19
    first = status["running"][0]
    assert first["line"] == {"file": "/srv/shop/stock.py", "line": 57, "function": "reserve"}
    assert first["stack"][-1] == 'File "/srv/shop/stock.py", line 57, in reserve'
    assert first["method"] == "POST" and first["path"] == "/checkout" and first["state"] == "blocked"
    assert 41 <= first["seconds"] < 60
    totals = status["totals"]
    assert totals["connections_accepted_total"] == {"fastcgi": 0, "http": 240}
    assert totals["requests_total"]["http"]["2xx"] > 1000
    assert sum(totals["requests_ended_total"].values()) == status["histograms"]["request_duration_seconds"]["count"]
    assert sum(n for classes in totals["requests_total"].values() for n in classes.values()) == \
        totals["requests_ended_total"]["answered"]
    longest = status["histograms"]["request_duration_seconds"]["max"]
    assert 14 <= longest < 14 * 1.15
    assert status["history"]["seconds"] == 5 and len(status["history"]["buckets"]) == 120
    times = [b["at"] for b in status["history"]["buckets"]]
    assert all(later - earlier == 5 for earlier, later in zip(times, times[1:]))
    assert status["paths"]["slowest"][0]["path"] == "/report/yearly"
    assert status["ends"][0]["reason"] == "crash" and status["ends"][0]["text"] == "was killed by SIGSEGV"
    assert [line["level"] for line in status["log"]] == ["info", "warning"]


def test_nothing_is_there(render):
    status = load(render, "nothing")
    assert status["workers"] == status["running"] == status["ends"] == status["log"] == []
    assert status["notes"] == ["no worker serves: the log says why"]
    assert status["server"]["workers"] == 2
    for form in "text", "html":
        assert "no worker serves: the log says why" in render("nothing", query="format=" + form).text


def test_without_stacks(render):
    for query in "format=json&stacks=0", "stacks=0&format=json":
        status = load(render, "shop", query)
        assert {call["stack"] for call in status["running"]} == {None}
        assert status["running"][0]["line"]["line"] == 57


def test_unknown_form(render):
    answer = render("nothing", query="format=xml")
    assert answer.text == "?format= is one of: text json html openmetrics prometheus health\n"


def test_hostile_json_is_what_it_was(render):
    """Nothing is lost or added by its escapes, and nothing of it ends a script or a line."""
    answer = render("hostile", query="format=json")
    assert answer.text.count("\n") == 1 and "<" not in answer.text and "\u202e" not in answer.text
    paths = [call["path"] for call in json.loads(answer.text)["running"]]
    assert "/\"><script>document.title='owned'</script>" in paths
    assert "/\u202e txt.exe\x1b]0;owned\x07" in paths
    assert "/\ufffd\ufffd\ufffd(" in paths


@pytest.mark.parametrize("scene", ["nothing", "shop", "hostile", "full"])
def test_text(render, scene):
    text = render(scene, "*/*").text
    assert text.endswith("\n")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    if scene == "shop":
        # What somebody needs to know first comes first.
        order = ["! worker 0: all 4 threads are busy", "RUNNING", "stock.py\", line 57", "WORKERS", "LAST MINUTES", "SLOWEST PATHS",
                 "was killed by SIGSEGV", "LOG"]
        places = [text.index(part) for part in order]
        assert places == sorted(places), text
        wide = [line for line in text.splitlines() if len(line) > 80]
        assert not wide


class Page(html.parser.HTMLParser):
    """Makes sure that all elements end, and gathers what matters of them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.ids, self.tags, self.attributes, self.content = [], [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag == "th":
            assert dict(attributes).get("scope") == "col"
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        for tag in self.stack:
            self.content[tag] = self.content.get(tag, "") + data


@pytest.mark.parametrize("scene", ["nothing", "shop", "hostile", "full"])
def test_html(render, scene):
    answer = render(scene, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
    assert answer.type == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert len(page.ids) == len(set(page.ids))
    assert not [name for name in page.attributes if name.startswith("on") or name in ("style", "src")]
    assert page.tags.count("script") == page.tags.count("style") == page.tags.count("h1") == 1
    # The policy lets the browser run these two, and nothing else.
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    for tag in "script", "style":
        digest = base64.b64encode(hashlib.sha256(page.content[tag].encode()).digest()).decode()
        assert policy[tag + "-src"] == "'sha256-%s'" % digest
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    if scene == "shop":
        assert len(answer.text) < 40000
        for part in "/srv/shop/stock.py:57", "POST /checkout", "was killed by SIGSEGV", "all 4 threads are busy":
            assert part in page.content["body"], part


def test_headers(render):
    for form in "text", "json", "html", "openmetrics", "prometheus", "unknown":
        headers = render("nothing", query="format=" + form).headers
        assert headers["Cache-Control"] == "no-store" and headers["Vary"] == "Accept"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
