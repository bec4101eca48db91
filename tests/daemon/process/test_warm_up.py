"""--warm-up: requests that are answered before anybody is served."""
import json
import os
import re
import signal

import pytest

import daemon
from daemon import run
from fcgi import params, request

OVER_HTTP = True
APP = "warmapp"
EX_SOFTWARE = 70


def warm(*paths):
    return [word for path in paths for word in ("--warm-up", path)]


@pytest.fixture
def warming(start, gate):
    """Starts a server whose first request of --warm-up is running: warming(*OPTIONS) returns it and the visitor."""
    def starter(*args, **env):
        server = start(APP, *warm("/gate?1"), *args, wait=False, env={"GATE": gate.path, **env})
        visitor = gate.arrived()
        assert visitor.text == "1", server.log()
        return server, visitor
    return starter


def seen(server):
    """What the application was called for, but for this."""
    return json.loads(server.ask("/seen").body)[:-1]


def send(server):
    connection = server.connect()
    connection.send(request(params("/hello")))
    return connection


def ends(server, status):
    assert server.wait_exit() == status, server.log()
    server.expect_status = status
    assert not os.path.exists(server.path), server.log()


def test_requests_are_those_of_a_plain_proxy(start):
    server = start(APP, *warm("/a%20b/c%2525?x=1&y=%20", "/large", "/302"))
    first, large, last = seen(server)
    expected = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a b/c%25", "QUERY_STRING": "x=1&y=%20",
                "REQUEST_URI": "/a%20b/c%2525?x=1&y=%20", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
                "HTTP_USER_AGENT": "wsgi-fcgi warm-up", "wsgi.url_scheme": "http"}
    assert expected.items() <= first.items()
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS"} & set(first)
    assert [large["PATH_INFO"], last["PATH_INFO"]] == ["/large", "/302"]
    assert large["QUERY_STRING"] == "" and large["REQUEST_URI"] == "/large"
    assert re.search(r"info: warm-up: 3 requests answered in [\d.]+ s\n.*info: wsgi-fcgi .* serves ", server.log())
    assert "warning: --warm-up" not in server.log()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert re.search(": [01] requests? finished", server.log()), "of clients: the one by which the test has asked"


def test_path_is_below_the_mount_point(start):
    server = start(APP, *warm("/app/x?y"), "--script-name", "/app")
    assert json.loads(server.ask("/app/seen").body)[0].items() >= {
        "SCRIPT_NAME": "/app", "PATH_INFO": "/app/x", "QUERY_STRING": "y", "REQUEST_URI": "/app/app/x?y"}.items()


@pytest.mark.parametrize("threads", [1, 4])
def test_on_the_thread_of_calls(start, threads):
    server = start(APP, *warm("/x"), "--threads", threads)
    assert [call["main"] for call in seen(server)] == [threads == 1]


def test_nobody_is_served_before(warming, gate):
    """Who comes early waits in the backlog."""
    server, visitor = warming(*warm("/gate?2"))
    client = send(server)
    visitor.release()
    visitor = gate.arrived()  # the loop has turned meanwhile
    client.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.sock.recv(1)
    client.sock.setblocking(True)
    assert "serves" not in server.log()
    visitor.release()
    assert client.read_response(1).body == b"ok"
    assert [call["PATH_INFO"] for call in seen(server)] == ["/gate", "/gate", "/hello"]


@pytest.mark.parametrize("options", [
    ["--keepalive-requests", 1], ["--max-connections", 1], ["--queue-limit", 1, "--threads", 1], ["--stream-body"],
    ["--allow-uid", 12345, "--allow-gid", 12345, "--allow", "192.0.2.1"], ["--forwarded-allow", "any", "--forwarded-allow", "unix"]],
    ids=lambda options: options[0][2:])
def test_limits_and_rules_are_those_of_clients(start, options):
    server = start(APP, *warm("/x", "/large", "/y"), *options, wait=False)
    server.wait_log("warm-up: 3 requests answered")
    server.wait_log("listening on")


@pytest.mark.parametrize("path, says", [("/500", "status 500"), ("/503", "status 503"), ("/raises", "status 500"), ("/cut", "no complete answer")])
def test_failure_ends_the_start(warming, path, says):
    """As that of an application that does not load: who waits learns it."""
    server, visitor = warming(*warm(path, "/gate?never"), ATEXIT="1")
    client = send(server)
    visitor.release()
    assert client.at_eof()
    ends(server, EX_SOFTWARE)
    assert len(re.findall("error: --warm-up", server.log())) == 1
    assert re.search("error: --warm-up %s: .*%s" % (path, says), server.log()), server.log()
    assert "serves" not in server.log() and "never" not in server.log()
    if path in ("/raises", "/cut"):
        assert " on purpose" in server.log() and "Traceback" in server.log()


@pytest.mark.fastcgi
@pytest.mark.parametrize("where", ["log", "fastcgi", "both"])
def test_errors_are_in_the_log(start, where):
    server = start(APP, *warm("/raises"), "--app-stderr", where, wait=False)
    ends(server, EX_SOFTWARE)
    assert server.log().count("written on purpose\n") == server.log().count("RuntimeError: raised on purpose\n") == 1, server.log()


def test_atexit_runs_after_a_failure(start, gate):
    server = start(APP, *warm("/500"), wait=False, env={"GATE": gate.path, "ATEXIT": "1"})
    assert gate.arrived().text == "atexit"
    ends(server, EX_SOFTWARE)


def test_a_login_is_no_failure(start):
    server = start(APP, *warm("/401", "/x"))
    assert [call["PATH_INFO"] for call in seen(server)] == ["/401", "/x"]
    assert len(re.findall("warning: --warm-up /401: answered with status 401", server.log())) == 1
    assert "warm-up: 2 requests answered" in server.log()


@pytest.mark.parametrize("threads", [1, 4], ids=["main", "pool"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_meanwhile(warming, gate, number, threads):
    """The request that runs is finished, no other one is made, and nobody is accepted."""
    server, visitor = warming(*warm("/gate?2"), "--threads", threads)
    client = send(server)
    server.signal(number)
    server.wait_log(r"stopping \(\w+\): 1 request in work")
    assert client.at_eof()
    visitor.release()
    ends(server, 0)
    assert gate.nobody() and "error" not in server.log() and "serves" not in server.log()


def test_request_that_does_not_end_is_cut_off(warming):
    server, _ = warming("--graceful-timeout", 0)
    server.signal(signal.SIGTERM)
    ends(server, daemon.STATUS_CUT)
    assert "error" not in server.log()


@pytest.mark.fastcgi
def test_long_wait_is_told(warming):
    server, visitor = warming()
    server.wait_log(r"info: --warm-up /gate\?1: no answer after 5 s; this process serves when it is there")
    visitor.release()
    server.wait_log("listening on")


@pytest.mark.fastcgi
def test_check_does_not_call(gate):
    done = run("--check", *warm("/gate"), APP, env={"GATE": gate.path})
    assert done.returncode == 0 and gate.nobody(), done.stderr
