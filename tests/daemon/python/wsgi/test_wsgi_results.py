"""What an application may be and may return (PEP 3333, "The Application/Framework Side", "Specification Details")."""
import json

import pytest

import fcgi
from test_wsgi import becomes, get_json, header, still_fine, tokens
from test_wsgi_errors import is_500

OVER_HTTP = True
APP = "pepapp"
VALIDATED = ["", "/validated"]
OBJECTS = ["Lazy", "generated", "instance", "unknowable", "bound_method", "partial", "positional_only", "any_arguments",
           "more_arguments", "through_builtin", "instance.class_method", "Instance.static_method"]


@pytest.mark.parametrize("name", OBJECTS)
def test_application_objects(start, name):
    """Functions, classes, methods and instances; called with two positional arguments, more than once."""
    server = start("pepapp:" + name)
    for _ in range(2):
        response = server.ask("/")
        assert (response.status, response.body) == (200, b"one two"), response


@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("kind", ["list", "tuple", "iterator", "generator", "subclass", "userlist", "deque", "old",
                                  "dict", "file", "map", "bytessubclass"])
def test_iterables_of_every_kind(client, prefix, kind):
    if prefix and kind == "bytessubclass":
        prefix = ""  # the validator wants the exact type
    response = client.ask("%s/result?kind=%s" % (prefix, kind))
    assert (response.status, response.body, response.complete) == (200, b"one two", True)


@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("path", ["/lazy", "/lazy-generator"])
def test_start_response_in_the_first_iteration(client, prefix, path):
    """Servers must not assume that start_response() has been called before they iterate."""
    response = client.ask(prefix + path)
    assert (response.status, response.body, response.complete) == (200, b"one two", True)


@pytest.mark.parametrize("kind", ["list", "str", "bytes", "generator", "dict"])
def test_empty_results(client, kind):
    """An empty string is an iterable that gives nothing."""
    response = client.ask("/empty-result?kind=" + kind)
    assert (response.status, response.body, response.complete) == (200, b"", True)
    assert header(response, "Content-Length") == ["0"]


def test_called_once_for_each_request(client):
    token = next(tokens)
    for _ in range(3):
        client.ask("/hello?token=" + token)
    assert get_json(client, "/state?token=" + token)["calls"] == 3


def test_only_close_is_looked_up(client):
    """No other attribute of the iterable is used, nor its length asked for."""
    assert client.ask("/watched").body == b"watched"
    becomes(client, "/watched-names", ["close"])


MESSAGES = {
    "none": "the application returned None, not an iterable of bytes objects: does it lack a return",
    "str": "the application returned a str object, not an iterable of bytes objects: put the body, as bytes, into",
    "bytes": "the application returned a bytes object, not an iterable of bytes objects: put the body, as bytes, into",
    "int": "the application returned an object of type int, not an iterable of bytes objects",
    "true": "the application returned an object of type bool, not an iterable of bytes objects",
    "object": "the application returned an object of type object, not an iterable of bytes objects",
    "function": "the application returned an object of type function, not an iterable of bytes objects",
    "coroutine": "the application returned an object of type coroutine, as asynchronous functions and ASGI applications do: wrap it "
                 "\\(a2wsgi.ASGIMiddleware\\), or use an ASGI server",
    "async generator": "the application returned an object of type async_generator, as asynchronous functions and ASGI applications ",
    "awaitable": "the application returned an object of type Awaitable, as asynchronous functions and ASGI applications do",
    "bytearray": "the application's iterable gave bytearray, not bytes",
    "memoryview": "the application's iterable gave memoryview, not bytes",
    "strs": "the application's iterable gave str, not bytes",
    "ints": "the application's iterable gave int, not bytes",
    "nested": "the application's iterable gave list, not bytes",
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("generator", [False, True])
def test_wrong_results_are_named(client, server, kind, generator):
    """Bytestrings must be of type bytes; what else there is, is named in the log."""
    if generator and "iterable gave" not in MESSAGES[kind]:
        kind = "strs"
    begin = len(server.log())
    is_500(client, client.ask("/wrong-result?kind=%s%s" % (kind.replace(" ", "+"), "&generator=1" if generator else "")))
    server.wait_log("(?s)^.{%d,}TypeError: %s" % (begin, MESSAGES[kind]))


def test_asgi_application_that_is_called(client, server):
    """Nothing of it runs, and Python does not complain about a coroutine that nobody awaited."""
    begin = len(server.log())
    is_500(client, client.ask("/asgi"))
    server.wait_log("(?s)^.{%d,}TypeError: the application returned an object of type coroutine, as asynchronous" % begin)
    server.ask("/objects")
    assert "never awaited" not in server.log()


def test_result_that_turns_wrong(client):
    """What was sent before is not followed by anything, and the answer does not look whole."""
    response = client.ask("/wrong-result?kind=mixed&generator=1")
    assert not response.complete and response.body in (b"", b"body")
    still_fine(client)


KINDS = ["RuntimeError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError", "RecursionError",
         "StopIteration", "Broken", "surrogates", "chain", "ExceptionGroup", "BrokenPipeError", "SyntaxError"]
LOGGED = {"Broken": "pepapp.Broken", "surrogates": r"RuntimeError: surrogates \\udc80\\ud800",
          "chain": "ValueError: first", "SyntaxError": "SyntaxError: invalid syntax"}


@pytest.mark.parametrize("place", ["call", "started", "iter", "first", "second", "close"])
@pytest.mark.parametrize("kind", KINDS)
def test_exceptions(client, server, place, kind):
    """Each is trapped and logged; the client sees a 500, a cut answer, or the whole one; close() is called once."""
    if kind == "StopIteration" and place in ("first", "second"):
        return check_stop_iteration(client, place)
    token, start = next(tokens), len(server.log())
    response = client.ask("/raises?kind=%s&place=%s&token=%s" % (kind, place, token))
    if place == "close":
        assert (response.status, response.body, response.complete) == (200, b"part\npart\n", True)
    elif place == "second":
        assert not response.complete and response.body in (b"", b"part\n")
    else:
        assert response.status == 500 and response.complete and b"Traceback" not in response.body
    server.wait_log("(?s)^.{%d,}%s" % (start, LOGGED.get(kind, kind)))
    expected = 0 if place in ("call", "started") else 1
    becomes(client, "/state?token=" + token, [expected], "closed")
    still_fine(client)


def check_stop_iteration(client, place):
    """In __next__ it is the end of the iteration, which comes before Content-Length is reached."""
    response = client.ask("/raises?kind=StopIteration&place=%s&token=%s" % (place, next(tokens)))
    assert response.status == 500 if place == "first" else not response.complete
    still_fine(client)


@pytest.mark.parametrize("how", ["clear", "delete", "replace", "types", "self"])
def test_environ_is_the_applications(client, how):
    """A builtin dict, which the application may change in any way; the next one is whole again."""
    response = client.ask("/spoil?how=" + how, "POST", body=b"body")
    assert (response.status, response.body) == (200, b"body")
    environ = get_json(client, "/environ?" + how)
    assert environ["QUERY_STRING"] == ["str", how] and environ["PATH_INFO"] == ["str", "/environ"]
    assert "1" not in environ and "environ" not in environ


def test_thread_uses_the_request_after_its_end(client, server, gate):
    """write() and start_response() raise, the input is at its end, wsgi.errors still goes to the log."""
    response = client.ask("/late-use?gate=" + gate.path, "POST", body=b"first\nsecond\n")
    assert (response.status, response.body, response.complete) == (200, b"ended", True)
    visitor = gate.arrived()
    still_fine(client)
    visitor.release()
    results = json.loads(gate.arrived().text)
    assert results == [*["RuntimeError"] * 3, False, 10, "/late-use", ["bytes", "bytes", "list"]]
    server.wait_log("late line\n")
    still_fine(client)


def test_one_thread_calls_one_at_a_time(start, gate):
    """--threads 1: the option to run an application that is not thread-safe."""
    server = start(APP, "--threads", "1", "--queue-timeout", 0)
    flags = json.loads(server.ask("/environ").body)
    assert flags["wsgi.multithread"] == ["bool", False]
    first, second = server.connect(), server.connect()
    for number, connection in enumerate((first, second)):
        connection.send(fcgi.request(fcgi.params("/gate", query="gate=%s&token=call%d" % (gate.path, number))))
    for _ in range(2):
        visitor = gate.arrived()
        with server.connect() as third:
            third.get_values()
            third.get_values()
        assert gate.nobody(), "the second call waits for the end of the first"
        visitor.release()
    assert first.read_response(1).body == second.read_response(1).body == b"passed\n"
    first.close()
    second.close()
