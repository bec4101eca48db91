"""start_response(), write(), and when what is sent (PEP 3333, "The start_response() Callable" to "Error Handling")."""
import json
import random
import re
import urllib.parse

import pytest

import fcgi
from conftest import check_structure
from daemon import until
from fcgi import params, request
from test_wsgi import becomes, get_json, header, spec, still_fine, tokens

OVER_HTTP = True
APP = "pepapp"
VALIDATED = ["", "/validated"]


def pep(path, **query):
    return path + "?" + urllib.parse.urlencode(query)


# --- what it takes

TOKEN = [ord(c) for c in "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
VALUE = [9, *range(0x20, 0x7f), *range(0x80, 0x100)]


@pytest.mark.parametrize("place, allowed", [("name", TOKEN), ("value", VALUE), ("end", VALUE), ("status", VALUE)])
def test_characters(client, place, allowed):
    """No control character gets through, the tab excepted, which HTTP allows in values; nothing beyond latin-1."""
    taken, raised = get_json(client, pep("/characters", place=place))
    assert taken == sorted(allowed) and raised == ["ValueError"]


def test_values_go_through_unchanged(server):
    response = server.ask("/all-values")
    value = "".join(chr(code) for code in [*range(0x20, 0x7f), *range(0xa0, 0x100)])
    assert header(response, "X-All") == ["x" + value + "x"]


HOP_BY_HOP = ["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers", "Trailer",
              "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Status"]


def hop_spec(name, value="x"):
    return spec(headers=[["X-Before", "1"], [name, value], ["Content-Length", "4"], ["X-After", "2"]], chunks=["body"])


@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_hop_by_hop_headers(client, server, name):
    """They are the web server's, in whatever case they are written: left out, and the rest goes through."""
    for written in (name, name.lower(), name.upper(), name.swapcase()):
        response = client.ask(hop_spec(written, "chunked" if name == "Transfer-Encoding" else "x"))
        assert (response.status, response.body, response.complete) == (200, b"body", True)
        assert header(response, "X-Before") == ["1"] and header(response, "X-After") == ["2"]
        assert "x" not in header(response, name) and "chunked" not in header(response, name), response
    longer = [["X-Pre-" + name, "a"], [name + "-X", "b"]]
    response = client.ask(spec(headers=longer, chunks=["body"]))
    assert header(response, longer[0][0]) == ["a"] and header(response, longer[1][0]) == ["b"]
    server.wait_log("the application's header %s was left out" % name)


def test_hop_by_hop_headers_are_told_once(start):
    """One line for each name: which request it was, and why."""
    server = start("pepapp")
    for name in [*HOP_BY_HOP, *map(str.upper, HOP_BY_HOP)]:
        assert server.ask("/respond", query=hop_spec(name).partition("?")[2]).status == 200
    several = spec(headers=[[name, "x"] for name in HOP_BY_HOP], chunks=["body"])
    assert server.ask("/respond", query=several.partition("?")[2]).body == b"body"
    for name in HOP_BY_HOP:
        lines = re.findall(r"(?m)^.*the application's header %s was left out.*$" % name, server.log())
        assert len(lines) == 1, server.log()
        assert " warning: GET /respond?" in lines[0] and ("RFC 3875" if name == "Status" else "PEP 3333") in lines[0]


@pytest.mark.parametrize("kind", ["tuple", "iterator", "generator", "lists", "set", "old", "subclass"])
def test_headers_of_every_kind(client, kind):
    """The PEP wants a list of tuples: what else gives pairs is taken as well."""
    response = client.ask("/headers-as?kind=" + kind)
    assert (response.status, response.body, response.complete) == (200, b"body", True)
    assert header(response, "X-One") == ["1"] and header(response, "X-Two") == ["2"]


MAPPING = "list\\(headers.items\\(\\)\\)"
WRONG_HEADERS = {
    "dict": "TypeError: the headers are of type dict, not a list of \\(name, value\\): give " + MAPPING,
    "str": "TypeError: the headers are of type str, not a list of \\(name, value\\)",
    "bytes": "TypeError: the headers are of type bytes, not a list of \\(name, value\\)",
    "int": "TypeError: the headers are of type int, not a list of \\(name, value\\)",
    "none": "TypeError: the headers are of type NoneType, not a list of \\(name, value\\)",
    "mapping": "TypeError: a header must be \\(name, value\\), not 'X-One'; of a mapping give " + MAPPING,
    "strs": "TypeError: a header must be \\(name, value\\), not 'ab'",
    "raising": "LookupError: while the headers are made",
}


@pytest.mark.parametrize("kind", WRONG_HEADERS)
def test_wrong_headers_are_named(client, server, kind):
    begin = len(server.log())
    assert client.ask("/headers-as?kind=" + kind).status == 500
    server.wait_log("(?s)^.{%d,}%s" % (begin, WRONG_HEADERS[kind]))
    still_fine(client)


@pytest.mark.parametrize("how, results, answer", [
    ("start", ["AssertionError"], (200, b"body", [])),
    ("replace", ["taken", "AssertionError"], (202, b"body", ["inner"])),
    ("write", ["taken", "AssertionError"], (202, b"writtenbody", ["inner"])),
    ("write late", ["taken", "LookupError"], (202, b"writtenbody", ["inner"])),
])
def test_headers_whose_making_calls_start_response(client, how, results, answer):
    """An iterator of headers is code of the application: what it does to the answer comes first."""
    response = client.ask(pep("/headers-call", how=how))
    assert json.loads(header(response, "X-Results")[0] if how == "start" else response.body.rpartition(b"|")[2]) == results
    body = response.body.partition(b"|")[0]
    assert (response.status, body, header(response, "X-Call")) == answer and response.complete


@pytest.mark.parametrize("blanks", [" ", "\t", "   ", " \t \t"])
def test_blanks_around_values(server, blanks):
    """They are no part of a value (RFC 9112, 5.1), nor of a reason."""
    headers = [["X-Both", blanks + "a b\tc" + blanks], ["X-Before", blanks + "a"], ["X-After", "a" + blanks],
               ["X-Blank", blanks], ["Content-Length", blanks + "4" + blanks]]
    response = server.ask("/respond", query=spec(status="404 Not  Found" + blanks, headers=headers,
                                                 chunks=["body"]).partition("?")[2])
    got = dict(response.headers)
    assert [got[name] for name, value in headers] == ["a b\tc", "a", "a", "", "4"]
    assert response.status_line == "404 Not  Found" and response.body == b"body"
    response = server.ask("/respond", query=spec(status="404" + blanks, chunks=["body"]).partition("?")[2])
    assert response.status_line.rstrip(" ") == "404" and len(response.status_line) <= 4


@pytest.mark.parametrize("status", ["100 Continue", "101 Switching Protocols", "103 Early Hints", "199 x", "100"])
def test_interim_statuses(client, server, status):
    """They are no answers: the server's to send, if anybody's."""
    begin = len(server.log())
    assert client.ask(spec(status=status, chunks=["body"])).status == 500
    server.wait_log("(?s)^.{%d,}ValueError: a status of 1xx, such as '%s', is not the application's to send"
                    % (begin, status))


@pytest.mark.parametrize("args, what", [
    (["200 OK", []], "taken"), (["200", []], "taken"), (["200 ", []], "taken"), (["599 Very Odd Reason", []], "taken"),
    (["999 Message here", []], "taken"), (["", []], "ValueError"), (["OK", []], "ValueError"),
    (["20", []], "ValueError"),
    (["2000 OK", []], "ValueError"), (["200OK", []], "ValueError"), ([" 200 OK", []], "ValueError"),
    (["100 Continue", []], "ValueError"), (["\u0662\u0660\u0660 OK", []], "ValueError"),
    (["\xb2\xb2\xb2 OK", []], "ValueError"), (["-20 OK", []], "ValueError"), (["200 " + "x" * 120, []], "taken"),
    (["200 " + "x" * 200, []], "ValueError"), ([200, []], "TypeError"), ([None, []], "TypeError"),
    (["200 OK", [5]], "TypeError"), (["200 OK", [["X-One"]]], "TypeError"),
    (["200 OK", [["X", "a", "b"]]], "TypeError"),
    (["200 OK", [["X-None", None]]], "TypeError"), (["200 OK", [[None, "x"]]], "TypeError"),
    (["200 OK", ["X-Str"]], "TypeError"), (["200 OK", [["", "x"]]], "ValueError"),
    (["200 OK", [["Content-Length", ""]]], "ValueError"), (["200 OK", [["Content-Length", "-1"]]], "ValueError"),
    (["200 OK", [["Content-Length", "+1"]]], "ValueError"), (["200 OK", [["Content-Length", " 1"]]], "taken"),
    (["200 OK", [["Content-Length", "1 1"]]], "ValueError"), (["200 OK", [["Content-Length", "\xa01"]]], "ValueError"),
    (["200 OK", [["Content-Length", "1,1"]]], "ValueError"), (["200 OK", [["Content-Length", "0x1"]]], "ValueError"),
    (["200 OK", [["Content-Length", "1\xb2"]]], "ValueError"),
    (["200 OK", [["Content-Length", "9" * 30]]], "ValueError"),
    (["200 OK", [["Content-Length", "1"], ["content-length", "2"]]], "ValueError"),
    (["200 OK", [["Content-Length", "1"], ["content-length", "1"]]], "taken"),
])
def test_statuses_and_headers(client, args, what):
    """Checked when start_response is called, so that an error can be raised while the application is running."""
    assert get_json(client, pep("/refused", args=json.dumps([args]))) == [what]


@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "418 I'm a teapot"])
def test_status_goes_through(client, prefix, status):
    response = client.ask(prefix + "/respond?spec=" + urllib.parse.quote(json.dumps(
        {"status": status, "headers": [["Content-Type", "text/plain"]], "chunks": ["body"]})))
    assert (response.status, response.body) == (int(status[:3]), b"body")


def test_status_without_a_reason(client):
    response = client.ask("/respond?spec=" + urllib.parse.quote(json.dumps({"status": "404", "chunks": ["body"]})))
    assert (response.status, response.body) == (404, b"body")


def test_headers_are_taken_when_they_are_given(client):
    response = client.ask("/keep-headers")
    assert header(response, "X-Kept") == ["1"] and not header(response, "X-Changed")


def test_arguments(client):
    *wrong, nothing = get_json_of(client.ask("/arguments"))
    assert wrong == ["TypeError"] * 11 and nothing is None


def get_json_of(response):
    assert response.status in (200, 202, 203) and response.complete, response
    return json.loads(response.body)


# --- again

@pytest.mark.parametrize("calls, results, status", [
    ("good good", ["started", "AssertionError"], 200),
    ("good none", ["started", "AssertionError"], 200),
    ("good empty", ["started", "AssertionError"], 200),
    ("good positional", ["started", "started"], 202),
    ("good named good", ["started", "started", "AssertionError"], 202),
    ("bad positional", ["ValueError", "started"], 202),
    ("bad good positional", ["ValueError", "AssertionError", "started"], 202),
    ("positional", ["started"], 202),
    ("none", ["started"], 203),
    ("empty", ["started"], 203),
    ("wrong good", ["TypeError", "started"], 200),
    ("short good", ["TypeError", "started"], 200),
])
def test_start_response_again(client, calls, results, status):
    """Only with exc_info, also when the first call raised an error; then it replaces what was stored."""
    response = client.ask(pep("/start-again", calls=calls))
    assert response.status == status and get_json_of(response) == results
    assert header(response, "X-Call") == {200: ["good"], 202: ["second"], 203: []}[status]


def test_only_a_failed_start_response(client, server):
    """What it had replaced is gone, so there is nothing left to answer with."""
    response = client.ask(pep("/start-again", calls="good positional bad"))
    assert response.status == 202, "without exc_info the stored answer stays"
    response = client.ask(pep("/start-again", calls="bad"))
    assert response.status == 500
    server.wait_log("AssertionError: a body, but the call of start_response\\(\\) failed")


def test_exc_info_after_the_headers(client):
    """The exception of exc_info itself, with the traceback of exc_info."""
    response = client.ask("/too-late")
    assert response.body == b"sent [true, true]RuntimeError" and response.complete


def test_exc_info_is_not_kept(client):
    assert get_json(client, "/exc-info-is-let-go") == [0, 0]


# --- when what is sent

class Watch:
    """A request whose records are looked at while the application waits at the gate."""

    def __init__(self, server, gate, steps, **query):
        self.connection, self.gate, self.visitor, self.seen = server.connect(), gate, None, b""
        query = urllib.parse.urlencode({"gate": gate.path, "steps": " ".join(steps), **query})
        self.connection.send(request(params("/silent", query=query), keep=True))

    def sent_by(self, step):
        """What is there when the application has done this step: the answer to GET_VALUES comes behind it."""
        if self.visitor:
            self.visitor.release()
        self.visitor = self.gate.arrived()
        assert self.visitor.text == step
        before = len(self.seen)
        self.connection.get_values()
        self.seen = bytes(self.connection.pending[1].stdout) if 1 in self.connection.pending else b""
        return self.seen[before:].rpartition(b"\r\n\r\n")[2] if self.seen else None

    def end(self):
        self.visitor.release()
        response = self.connection.read_response(1)
        self.connection.close()
        return response


@pytest.mark.fastcgi
def test_headers_wait_for_the_first_bytes(server, gate):
    """start_response() does not transmit them, nor does an empty string; each piece goes out before the next is asked
    for."""
    steps = ["start", "yield-", "yield-", "yield-one", "yield-", "yield-two"]
    watch = Watch(server, gate, steps)
    assert [watch.sent_by(step) for step in steps] == [None, None, None, b"one", b"", b"two"]
    response = watch.end()
    assert response.status == 200 and response.body == b"onetwo" and response.complete


@pytest.mark.fastcgi
def test_write_sends_before_it_returns(server, gate):
    steps = ["start", "write-", "write-one", "write-", "write-two", "yield-three"]
    watch = Watch(server, gate, steps)
    assert [watch.sent_by(step) for step in steps] == [None, None, b"one", b"", b"two", b"three"]
    assert watch.end().body == b"onetwothree"


def test_chunks_reach_the_client_one_by_one(nginx, gate):
    """Through nginx as well, when it is told not to buffer."""
    for name in ("nginx", "kept"):
        path = pep("/silent", gate=gate.path, steps="start yield-one yield-two")
        sock = nginx.connection(name)
        sock.request("GET", path)
        for text in ("start", "yield-one"):
            visitor = gate.arrived()
            assert visitor.text == text
            if text == "start":
                visitor.release()
        response = sock.getresponse()
        assert response.read(3) == b"one", "while the application has not made the second piece"
        visitor.release()
        gate.arrived().release()
        assert response.read() == b"two"
        sock.close()


@pytest.mark.parametrize("kind", ["list", "generator", "iterator", "old", "file"])
def test_write_mixed_with_an_iterable(client, kind):
    """What the iterable gives comes behind what was written."""
    response = client.ask("/write-and-iterate?kind=" + kind)
    assert (response.status, response.body, response.complete) == (200, b"12one two", True)


@pytest.mark.parametrize("prefix", VALIDATED)
def test_write_alone(client, prefix):
    spec = {"headers": [["Content-Type", "text/plain"]], "write": ["one ", "two"], "chunks": []}
    response = client.ask(prefix + "/respond?spec=" + urllib.parse.quote(json.dumps(spec)))
    assert (response.status, response.body, response.complete) == (200, b"one two", True)


@pytest.mark.parametrize("started", [True, False])
def test_close_cannot_add_to_the_answer(client, started):
    """Neither to a complete one nor to the error page."""
    response = client.ask("/close-goes-on" + ("?started=1" if started else ""))
    assert response.complete and not response.body.endswith(b"late")
    assert (response.status, response.body) == (200, b"body") if started else response.status == 500
    becomes(client, "/late-attempts", ["RuntimeError"] * (3 if started else 2))
    still_fine(client)


@pytest.mark.parametrize("count, size", [(100000, 1), (3000, 100), (100, 4096), (100, 4097), (20, 8192), (3, 70000)])
def test_list_of_many_pieces(client, count, size):
    response = client.ask(pep("/pieces", count=count, size=size))
    assert response.body == b"".join(b"%0*d" % (size, number) for number in range(count)) and response.complete
    assert header(response, "Content-Length") == [str(len(response.body))]


def test_head_that_is_larger_than_a_record(server):
    response = check_structure(server.ask("/many-headers", query="count=300"))
    assert response.body == b"body" and header(response, "X-Header-299") == ["v" * 1000]
    own = [name for name, value in response.headers if name in ("Date", "Server")]
    assert len(response.headers) - len(own) == 303


# --- Content-Length

@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_exact_length(client, prefix, kind):
    response = client.ask(prefix + pep("/length", length=6, chunks="abc,def", kind=kind, token=next(tokens)))
    assert (response.status, response.body, response.complete) == (200, b"abcdef", True)
    assert header(response, "Content-Length") == ["6"]


def test_same_length_twice(client):
    """A proxy may refuse an answer with two Content-Length lines: one is enough."""
    response = client.ask(pep("/length", length="6,6", chunks="abc,def", kind="list"))
    assert header(response, "Content-Length") == ["6"] and response.body == b"abcdef"


@pytest.mark.parametrize("length, asked", [(3, 1), (4, 2), (5, 2), (0, 1)])
def test_iteration_stops_at_the_length(client, length, asked):
    """No more bytes than announced, and no more pieces asked for; close() comes."""
    token = next(tokens)
    response = client.ask(pep("/length", length=length, chunks="abc,def,ghi", kind="generator", token=token))
    assert (response.status, response.body, response.complete) == (200, b"abcdef"[:length], True)
    becomes(client, "/state?token=" + token, [asked, 1], "progress", "closed")


def test_list_beyond_the_length(client):
    response = client.ask(pep("/length", length=4, chunks="abc,def", kind="list"))
    assert (response.status, response.body, response.complete) == (200, b"abcd", True)


@pytest.mark.parametrize("length, chunks, kind, told", [
    (4, "abc,def", "list", True), (3, "abc,def", "list", True), (0, "abc", "list", True), (2, "abc", "list", True),
    (6, "abc,def", "list", False), (3, "abc,,", "list", False), (0, ",", "list", False),
    (4, "abc,def", "generator", True), (2, "abc,def", "generator", True), (0, "abc", "generator", True),
    (6, "abc,def", "generator", False), (6, "abc,def,", "generator", False),
    (70000, "a" * 70000, "list", False), (69999, "a" * 70000, "list", True), (69999, "a" * 70000, "generator", True),
])
def test_body_beyond_the_length_is_told(start, length, chunks, kind, told):
    """Which request it was, so that somebody finds out why the end is missing."""
    server = start("pepapp")
    response = server.ask("/length", query=urllib.parse.urlencode(
        {"length": length, "kind": kind, "token": "beyond", "repeat": len(chunks) if len(chunks) > 1000 else 1,
         "chunks": "a" if len(chunks) > 1000 else chunks}))
    assert response.status == 200 and response.body == chunks.replace(",", "").encode()[:length] and response.complete
    line = (r"(?m)^.* warning: GET /length\?.*: the application's body is longer than its Content-Length %d: the rest was "
            r"left out$" % length)
    if told:
        server.wait_log(line)
    still_there(server)
    assert len(re.findall(line, server.log())) == int(told)


def still_there(server):
    assert server.ask("/hello").body == b"Hello, world\n"


@pytest.mark.parametrize("method, status", [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content"),
                                            ("GET", "205 Reset Content")])
def test_body_that_is_not_sent_is_not_too_long(start, method, status):
    server = start("pepapp")
    for kind in ("list", "generator"):
        query = spec(status=status, headers=[["Content-Length", "1"]], chunks=["abc"], kind=kind).partition("?")[2]
        assert server.ask("/respond", method, query).status == int(status[:3])
    still_there(server)
    assert "longer than" not in server.log()


def test_many_bodies_beyond_the_length(start):
    """No more than a line a second, with the number of those that were left out."""
    server = start("pepapp")
    for _ in range(200):
        server.ask("/length", query="length=1&chunks=abc&kind=list")
    assert 1 <= server.log().count("longer than its Content-Length") < 100


def test_write_beyond_the_length(client, server):
    """An error where it happens; the answer that was announced is not complete."""
    token = next(tokens)
    response = client.ask(pep("/length", length=4, chunks="abc,def", kind="write", token=token))
    assert not response.complete and response.body in (b"", b"abc")
    assert get_json(client, "/state?token=" + token)["progress"] == 1
    server.wait_log("ValueError: write\\(\\) of more bytes than Content-Length 4 allows")
    still_fine(client)


@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_less_than_the_length(client, server, kind):
    """Logged, and the client can see that something is missing: nginx drops what it has not passed on by then."""
    start = len(server.log())
    response = client.ask(pep("/length", length=7, chunks="abc,def", kind=kind, token=next(tokens)))
    assert not response.complete and b"abcdef".startswith(response.body)
    server.wait_log("(?s)^.{%d,}sent 6 of the 7 bytes that its Content-Length announced" % start)
    still_fine(client)


@pytest.mark.parametrize("method, status", [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")])
def test_body_that_is_not_to_be_sent_is_not_asked_for(client, method, status):
    """Nothing of an endless body is sent, so the application is closed after the first piece."""
    token = next(tokens)
    response = client.ask(pep("/endless", token=token, **({} if method == "HEAD" else {"status": status})), method)
    assert (response.status, response.body, response.complete) == (int(status[:3]), b"", True)
    becomes(client, "/state?token=" + token, [1, 1], "progress", "closed")


@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("kind", ["list", "generator"])
def test_head_has_the_headers_of_get(client, prefix, kind):
    path = prefix + pep("/length", length=6, chunks="abc,def", kind=kind, token=next(tokens))
    get, head = client.ask(path), client.ask(path, "HEAD")
    assert head.body == b"" and head.complete and head.status == 200
    without_date = [[pair for pair in response.headers if pair[0] not in ("Date", "Connection")]
                    for response in (get, head)]
    assert without_date[0] == without_date[1]


# --- close()



def test_validator_sees_close_in_every_outcome(client, server):
    """It complains about an iterator that is freed without having been closed."""
    start, token = len(server.log()), next(tokens)
    for path, method in [("/endless?token=" + token, "HEAD"), ("/result?kind=generator", "GET"),
                         ("/raises?kind=RuntimeError&place=second&token=" + token, "GET"),
                         ("/raises?kind=RuntimeError&place=first&token=" + token, "GET"),
                         (pep("/length", length=3, chunks="abc,def", kind="generator", token=token), "GET")]:
        client.ask("/validated" + path, method)
    becomes(client, "/state?token=" + token, [4], "closed")
    server.ask("/objects")
    assert "closed" not in server.log()[start:]


def test_close_when_the_client_is_gone_in_write(server, gate):
    """write() raises an OSError; an application that traps it has its iterable closed once, and not iterated."""
    token = next(tokens)
    connection = server.connect()
    connection.send(request(params("/write-until-gone", query="gate=%s&token=%s" % (gate.path, token))))
    connection.read_record()
    connection.close()
    assert gate.arrived().text == "BrokenPipeError False"
    assert gate.arrived().text == "close"
    assert json.loads(server.ask("/state", query="token=" + token).body)["closed"] == 1


def test_close_when_the_client_is_gone_while_iterating(server):
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(params("/endless", query="token=" + token)))
        connection.read_record()
    until(lambda: json.loads(server.ask("/state", query="token=" + token).body)["closed"] == 1, "close()", server.log)
    with server.connect() as connection:
        connection.get_values()
    assert json.loads(server.ask("/state", query="token=" + token).body)["closed"] == 1


def test_peer_that_ends_does_not_call_close_twice(server):
    """An answer that is complete before the peer goes."""
    token = next(tokens)
    with server.connect() as connection:
        assert connection.ask("/big", query="mib=1&token=" + token).complete
    assert json.loads(server.ask("/state", query="token=" + token).body)["closed"] == 1


# --- all of it, in any order

class Gateway:
    """The rules of PEP 3333 in a few lines: what a client has to see of the steps that an application takes."""

    def __init__(self, length):
        self.length, self.body, self.status = length, b"", None
        self.called = self.started = self.failed = self.full = self.closed = False

    def start(self, status, replaces):
        if (self.called and not replaces) or self.body:
            self.failed = True
        else:
            self.called = self.started = True
            self.status = status
            self.length = None if replaces else self.length

    def take(self, name, text):
        data = text.encode()
        if name in ("start", "replace"):
            self.start(text, name == "replace")
        elif name == "bad" and not self.called:
            self.called = True  # it failed, and what comes next has to say that it replaces it
        elif name == "raise":
            self.failed = True
        elif name == "write" and self.status and data:
            # An application has no write() before start_response has returned one.
            if not self.started or (self.length is not None and len(self.body + data) > self.length):
                self.failed = True
            else:
                self.body += data
        elif name == "yield" and data:
            if not self.started:
                self.failed = True
            else:
                self.body = (self.body + data)[:self.length]
                self.full = self.length is not None and len(self.body) == self.length

    def run(self, call, iterate):
        for step in call:
            self.take(*step)
            if self.failed:
                return
        self.closed = True
        for step in iterate:
            self.take(*step)
            if self.failed or self.full:
                return

    def check(self, response):
        wanting = self.length is not None and len(self.body) < self.length
        if self.body and (self.failed or wanting):
            # What was announced may have come when the application fails: then the client misses nothing.
            assert self.body.startswith(response.body)
            assert not response.complete or len(response.body) == self.length
        elif self.failed or not self.started or wanting:
            assert response.status == 500 and response.complete
        else:
            assert (response.status, response.body) == (int(self.status[:3]), self.body) and response.complete


def a_program(chance):
    steps = [("start", "200 OK"), ("start", "201 Created"), ("replace", "503 Busy"), ("bad", ""),
             ("raise", "on purpose"), ("write", ""), ("write", "abc"), ("write", "defgh")]
    yields = [("yield", ""), ("yield", "abc"), ("yield", "defgh")]
    weights = [3, 1, 2, 1, 1, 2, 3, 3]
    call = chance.choices(steps, weights, k=chance.randrange(4))
    if chance.random() < 0.7:
        call.insert(0, ("start", "200 OK"))
    iterate = chance.choices(steps + yields, [1, 0, 1, 0, 1, 1, 1, 1, 4, 6, 6], k=chance.randrange(5))
    return call, iterate, chance.choice([None, None, None, 1, 3, 6, 8])


@pytest.mark.parametrize("seed", range(6))
def test_random_programs(client, seed):
    """start_response, write, yield and exceptions in any order, with and without Content-Length; close() once."""
    chance = random.Random(seed)
    for _ in range(60):
        call, iterate, length = a_program(chance)
        gateway, token = Gateway(length), next(tokens)
        gateway.run(call, iterate)
        response = client.ask(pep("/program", call=json.dumps(call), iterate=json.dumps(iterate), token=token,
                                  length="" if length is None else length))
        try:
            gateway.check(response)
            becomes(client, "/state?token=" + token, [int(gateway.closed)], "closed")
        except AssertionError:
            print(call, iterate, length, response)
            raise
