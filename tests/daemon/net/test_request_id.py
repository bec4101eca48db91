"""The label of a request: which one it has, and who is told of it; and its place in a trace."""
import json
import re

import pytest

from fcgi import params, request

OVER_HTTP = True
MADE = re.compile(r"[0-9a-f]{32}\Z")
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def server(protocol):
    import daemon
    running = daemon.Daemon("labelapp", "--log-level", "debug", protocol=protocol)
    yield running
    running.stop()


def shown(server, path="/", **headers):
    answer = server.ask(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status == 200, answer
    return json.loads(answer.body)


def label(server, path="/", **headers):
    return shown(server, path, **headers)["HTTP_X_REQUEST_ID"]


# --- which one

@pytest.mark.parametrize("given", ["a", "f058ebd6-02f7-4d3f-942e-904344e8cde5", "x" * 128, "Az09-._~+/=:@",
                                   "0" * 32])
def test_a_good_one_is_kept(server, given):
    assert label(server, X_Request_ID=given) == given


@pytest.mark.parametrize("given", ["x" * 129, "a b", "a]", 'a"', "a,b", "caf\xe9", "a;b", "<a>"])
def test_another_one_is_replaced(server, given):
    assert MADE.match(label(server, X_Request_ID=given))


def test_one_is_made(server):
    made = [label(server) for _ in range(20)]
    assert all(MADE.match(one) for one in made) and len(set(made)) == 20


def test_on_one_connection(server):
    """Requests that are like each other: what is remembered of one is not shown to the next."""
    given = [None, "b", None, "d" * 32, "e", None, None, "x]", "f" * 32, "g"] * 4
    seen = []
    with server.connect() as connection:
        for one in given:
            headers = {} if one is None else {"X-Request-ID": one}
            connection.send(request(params("/", headers=headers), keep=True))
            seen.append(json.loads(connection.read_response(1).body)["HTTP_X_REQUEST_ID"])
    for one, got in zip(given, seen):
        assert MADE.match(got) if one in (None, "x]") else got == one
    made = [got for one, got in zip(given, seen) if one in (None, "x]")]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("path", ["/keep", "/keep-environ", "/intern"])
def test_what_the_application_keeps(start, protocol, path):
    """Its strings do not change, whatever comes later."""
    server = start("labelapp")
    made = [label(server, path if i % 2 else "/") for i in range(12)]
    assert shown(server, "/kept")["kept"] == made[1::2]
    assert len(set(made)) == 12


def test_hashes_follow(start):
    server = start("labelapp")
    for _ in range(5):
        assert dict(server.ask("/hash").headers)["X-Known"] == "True"


def test_calls_side_by_side(start, gate):
    server = start("labelapp")
    with server.connect() as first, server.connect() as second:
        first.send(request(params("/gate", query=gate.path)))
        visitors = [gate.arrived()]
        others = [label(server) for _ in range(5)]
        second.send(request(params("/gate", query=gate.path)))
        visitors.append(gate.arrived())
        for visitor in visitors:
            visitor.release()
        held = [json.loads(c.read_response(1).body)["HTTP_X_REQUEST_ID"] for c in (first, second)]
    assert len(set(others + held)) == 7


def test_workers_make_others(supervise, protocol):
    """Forked ones too, which have the memory of one process."""
    for options in ([], ["--preload"]):
        server = supervise("labelapp", 2, *options)
        made = [label(server)[:16] for _ in range(40)]
        assert 1 <= len(set(made)) <= 2
        server.stop()


# --- who is told

def test_the_log(server):
    answer = label(server, "/logged", X_Request_ID="to-be-found")
    assert answer == "to-be-found"
    server.wait_log(r"debug: connection \d+: request \d+ ended [^\n]*: GET /logged \[to-be-found\]\n")


def test_tracebacks(server):
    assert server.ask("/fail", headers={"X-Request-ID": "that-failed"}).status == 500
    server.wait_log(r"GET /fail \[that-failed\]: the application raised an exception")


def test_no_line_is_forged(server):
    """What could is no label."""
    label(server, "/forged", X_Request_ID="a] GET /other [b")
    server.wait_log(r"ended [^\n]*: GET /forged \[[0-9a-f]{32}\]\n")


def fields(answer, name):
    return [value for key, value in answer.headers if key.lower() == name]


def test_the_answer_has_none(server):
    assert fields(server.ask("/", headers={"X-Request-ID": "a"}), "x-request-id") == []


def test_echo(start):
    server = start("labelapp", "--request-id", "echo")
    answer = server.ask("/", headers={"X-Request-ID": "mine"})
    assert fields(answer, "x-request-id") == ["mine"]
    answer = server.ask("/")
    assert fields(answer, "x-request-id") == [json.loads(answer.body)["HTTP_X_REQUEST_ID"]]
    assert fields(server.ask("/own"), "x-request-id") == ["of the application"]
    assert fields(server.ask("/fail", headers={"X-Request-ID": "bad-day"}), "x-request-id") == ["bad-day"]


def test_off(start):
    server = start("labelapp", "--request-id", "off", "--log-level", "debug")
    assert shown(server) == {}
    assert label(server, X_Request_ID="as it] came") == "as it] came"
    server.ask("/fail", headers={"X-Request-ID": "a"})
    server.wait_log(r"GET /fail: the application raised an exception")


# --- traces

@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_a_trace_is_passed_on(server, flags):
    parent = f"00-{TRACE}-{PARENT}-{flags}"
    got = shown(server, traceparent=parent, tracestate="a=1,b=2")
    assert got["HTTP_TRACEPARENT"] == parent and got["HTTP_TRACESTATE"] == "a=1,b=2"


@pytest.mark.parametrize("parent", [f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE}-{PARENT}-01-more", f"ff-{TRACE}-{PARENT}-01",
                                    f"00-{TRACE.upper()}-{PARENT}-01", "x"])
def test_one_that_is_not_valid_is_left_out(server, parent):
    for _ in range(4):  # also when such requests are known
        got = shown(server, traceparent=parent, tracestate="a=1")
        assert "HTTP_TRACEPARENT" not in got and "HTTP_TRACESTATE" not in got


def test_a_state_without_a_trace(server):
    assert "HTTP_TRACESTATE" not in shown(server, tracestate="a=1")


def test_none_is_made(server):
    """Nobody would record the parent."""
    assert "HTTP_TRACEPARENT" not in shown(server)
