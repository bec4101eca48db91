"""Uploads over HTTP that are answered without being read, and clients that write behind the end of their request: the
answer is whole, and no reset destroys it (RFC 9112, 9.6)."""
import subprocess

import pytest

import daemon as daemons
import nginx as nginxes
from fcgi import PATIENCE
from test_fcgi import good
from test_fcgi_silence import wait_for_end
from test_http import HELLO, head, protocol  # noqa: F401

MB = 10 ** 6
LIMIT = 50 * MB
# Path, megabytes, status.
EARLY = [("/hello", 3, 200), ("/hello", 40, 200), ("/raise-before", 40, 500), ("/hello", 100, 413)]


@pytest.fixture(scope="module")
def limited():
    server = daemons.Daemon("wsgiapp", "--limit-request-body", LIMIT, "--idle-timeout", 600, protocol="http", both=True)
    yield server
    server.stop()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("path, size, status", EARLY)
def test_client_that_sends_all_before_it_reads(limited, path, size, status, keep):
    body = bytes(1 * MB)
    with limited.connect() as connection:
        lines = ["Content-Length: %d" % (size * MB)] + ["Connection: close"] * (not keep)
        connection.send(head(*lines, path=path, method="POST"))
        for _ in range(size):
            connection.send(body)
        response = connection.read_response().check()
        assert response.status == status and response.header("Connection") == ["close"]
        assert connection.sock.recv(1) == b"", "no reset"


def test_client_that_sends_no_more(limited):
    """It has its answer, and the end of the connection behind it, at once."""
    with limited.connect() as connection:
        connection.send(head("Content-Length: %d" % (20 * MB), path="/hello", method="POST"), bytes(100000))
        assert connection.read_response().check().body == HELLO
        assert connection.sock.recv(1) == b""


@pytest.mark.parametrize("size, status", [(3, 200), (40, 200), (100, 413)])
def test_curl(limited, size, status, tmp_path):
    (tmp_path / "body").write_bytes(bytes(size * MB))
    url = "http://127.0.0.1:%d/hello" % limited.http_address[1]
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), "--noproxy", "*", "-o", "/dev/null",
                           "-w", "%{response_code}", "-H", "Expect:", "--data-binary", "@%s" % (tmp_path / "body"), url],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"%d" % status), done.stderr


@pytest.mark.parametrize("more", ["", "proxy_request_buffering off;", "proxy_request_buffering off; proxy_buffering off;"])
def test_nginx(limited, more):
    backends = {"proxied": ("%s:%d" % limited.http_address, "proxy", "/")}
    running = nginxes.Nginx(backends, more)
    try:
        for path, size, status in EARLY:
            for _ in range(2):
                response = running.ask("proxied", path, "POST", bytes(size * MB))
                assert response.status == status and response.complete
            assert running.ask("proxied", "/hello").body == HELLO
    finally:
        running.stop()


def test_one_more_line(limited):
    """Some clients end the body of a POST with an empty line that belongs to nothing."""
    for _ in range(500):
        with limited.connect() as connection:
            connection.send(head("Content-Length: 5", "Connection: close", path="/echo", method="POST"), b"12345")
            wait_for_end(connection.sock)
            connection.send(b"\r\n")
            connection.send(b"\r\n")
            assert connection.read_response().check().body == b"12345"
            assert connection.sock.recv(1) == b"", "no reset"
    good(limited.ask("/hello"))
