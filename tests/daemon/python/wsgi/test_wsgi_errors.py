"""What goes wrong in an application: the client sees it, the log says it, the next request is served."""
import json
import urllib.parse

import pytest

from test_wsgi import becomes, get_json, header, spec, still_fine, tokens

OVER_HTTP = True


def is_500(client, response):
    assert response.status == 500 and response.complete, response
    assert b"Traceback" not in response.body, "nothing of the inside is shown to the client"
    assert not header(response, "X-First")
    still_fine(client)


@pytest.mark.parametrize("path, message", [
    ("/raise-before", "RuntimeError: raised before the headers"),
    ("/raise-after-start", "RuntimeError: raised after start_response"),
    ("/raise-first?token=first", "RuntimeError: raised by the first chunk"),
    ("/exits", "SystemExit: exit in a request"),
    ("/interrupts", "KeyboardInterrupt"),
])
def test_exception_before_the_headers(client, server, path, message):
    start = len(server.log())
    is_500(client, client.ask(path))
    server.wait_log("(?s)^.{%d,}Traceback \\(most recent call last\\):.*wsgiapp.py.*%s" % (start, message))


@pytest.mark.parametrize("path", ["/no-start"] + ["/bad-result?kind=" + kind for kind in
                                                  ("none", "int", "strs", "ints")])
def test_wrong_results(client, server, path):
    start = len(server.log())
    is_500(client, client.ask(path))
    assert server.log()[start:].strip(), "the log says why"


def test_str_as_body(client):
    """A str is an iterable of str: still not bytes."""
    is_500(client, client.ask("/bad-result?kind=str"))


@pytest.mark.parametrize("args", [
    '"200 OK", [("X-Split", "a\\r\\nX-Injected: 1")]',
    '"200 OK", [("X-Split", "a\\nX-Injected: 1")]',
    '"200 OK", [("X-Split\\r\\nX-Injected", "1")]',
    '"200 OK\\r\\nX-Injected: 1", []',
    '"200 OK", [("X-Nul", "a\\0b")]',
    '"200 OK", [("X Space", "1")]',
    '"200 OK", [("X-Colon:", "1")]',
    '"200 OK", [("", "1")]',
    '"200 OK", [("X-Wide", "\\u20ac")]',
    '"200 OK", [("X-Bytes", b"1")]',
    '"200 OK", [("X-Number", 1)]',
    '"200 OK", [("X-Short",)]',
    '"200 OK", [("Content-Length", "many")]',
    '"200 OK", ["X-String"]',
    '"200 OK", None',
    '"OK", []',
    '"20", []',
    '"abc OK", []',
    'b"200 OK", []',
    '200, []',
    '"200 OK",',
])
def test_bad_start_response(client, server, args):
    """Checked where the application calls it, so that the traceback shows the line to mend."""
    start = len(server.log())
    response = client.ask("/bad-start?args=" + urllib.parse.quote(args))
    is_500(client, response)
    assert not header(response, "X-Injected")
    server.wait_log("(?s)^.{%d,}bad_start" % start)


def test_start_response_twice(client, server):
    is_500(client, client.ask("/start-twice"))
    server.wait_log("start_twice")


def test_exc_info_before_the_headers_are_sent(client):
    response = client.ask("/exc-info-before")
    assert (response.status, response.body) == (503, b"error page\n")
    assert header(response, "X-Second") == ["2"] and not header(response, "X-First")


def check_cut(client, response):
    """The client can see that something is missing. nginx ends its connection, before it has sent anything if all came
    at once."""
    assert not response.complete
    assert response.status == 200 or (client.name != "direct" and response.status is None)
    assert response.body in (b"", b"first part\n")


def test_exc_info_after_the_headers_are_sent(client, server):
    response = client.ask("/exc-info-after")
    check_cut(client, response)
    server.wait_log("ValueError: too late for an error page")
    still_fine(client)


@pytest.mark.parametrize("length", ["", "&length=100"])
def test_exception_in_mid_body(client, server, length):
    token = next(tokens)
    start = len(server.log())
    response = client.ask("/raise-mid?token=" + token + length)
    check_cut(client, response)
    server.wait_log("(?s)^.{%d,}RuntimeError: raised in mid-body" % start)
    still_fine(client)
    becomes(client, "/state?token=" + token, [1], "closed")


def test_exception_in_close(client, server):
    start = len(server.log())
    response = client.ask("/raise-close")
    assert response.status == 200 and response.body == b"fine\n"
    server.wait_log("(?s)^.{%d,}RuntimeError: raised by close" % start)
    still_fine(client)


# --- close()

@pytest.mark.parametrize("path, method", [
    (spec(kind="closing", chunks=["a", "b"]), "GET"),
    (spec(kind="closing", chunks=[]), "GET"),
    (spec(kind="closing", chunks=["a", "b"]), "HEAD"),
    (spec(kind="closing", status="204 No Content", chunks=["a"]), "GET"),
    (spec(kind="closing", headers=[["Content-Length", "1"]], chunks=["a", "b"]), "GET"),
    ("/raise-first?", "GET"),
    ("/raise-mid?", "GET"),
])
def test_close_is_called_once(client, path, method):
    token = next(tokens)
    client.ask(path + "&token=" + token, method)
    becomes(client, "/state?token=" + token, [1], "closed")


def test_close_when_the_client_is_gone(server, gate):
    token = next(tokens)
    connection = server.connect()
    query = "gate=%s&closegate=%s&count=100000&token=%s" % (gate.path, gate.path, token)
    import fcgi
    connection.send(fcgi.request(fcgi.params("/stream", query=query)))
    visitor = gate.arrived()
    connection.close()
    while visitor.text != "close":
        visitor.release()
        visitor = gate.arrived()
    assert get_json_direct(server, "/state", "token=" + token)["closed"] == 1


def get_json_direct(server, path, query=""):
    return json.loads(server.ask(path, query=query).body)


# --- beyond the request

def test_references_beyond_the_request_are_inert(client, server):
    token = next(tokens)
    assert client.ask("/keep?token=" + token, "POST", body=b"old body").body == b"kept\n"
    response = client.ask("/use-kept", "POST", body=b"new body")
    assert not header(response, "X-Stray"), "not into another request"
    results = json.loads(response.body)
    assert results["path"] == "/keep" and results["own"] == "new body"
    assert "new body" not in results["read"]
    assert results["write"].startswith("raised") and results["start"].startswith("raised"), results
    assert results["alive"] == "False"
    server.wait_log("written by kept errors")
    still_fine(client)


def test_thread_locals_stay_with_their_thread(client, gate):
    """A thread keeps its state from one request to the next: the counts of a thread have no gap."""
    seen = {}
    for number in range(20):
        identity, count = get_json(client, "/thread-local")
        if identity in seen:
            assert count == seen[identity] + 1
        seen[identity] = count


def test_child_processes_start_clean(client):
    signals = get_json(client, "/child-signals")
    assert signals["SigBlk"] == 0, "no signal is blocked in a child"
    assert get_json(client, "/child-fds") in ([0, 1, 2, 3], [0, 1, 2, 3, 4]), "nothing of the server's leaks"
