"""--stop-delay: after SIGTERM the server goes on, so that balancers can notice first, and stops then."""
import os
import signal
import time

import pytest

import fcgi
from daemon import until
from status_client import ask, tcp_of

OVER_HTTP = True
FOREVER = "3600"
LEAVING = (503, b"not fit: the server is about to stop (--stop-delay)\n")
HOW = [[], ["--workers", "2"], ["--workers", "2", "--preload"]]


def start_leaving(start, delay, *args):
    server = start("hello", "--status", "127.0.0.1:0", "--stop-delay", delay, *args)
    address = tcp_of(server)
    server.ask("/")
    assert health(address) == (200, b"ok\n")
    server.signal(signal.SIGTERM)
    server.wait_log(r"SIGTERM: stopping in %s s \(--stop-delay\)" % delay)
    return server, address


def health(address):
    answer = ask(address, "/?format=health")
    return answer.status, answer.body


def ends_at_once(server):
    server.signal_again(signal.SIGTERM)
    assert "second signal: ending at once" in server.log()


@pytest.mark.parametrize("how", HOW)
def test_it_goes_on(start, how):
    server, address = start_leaving(start, FOREVER, *how)
    assert health(address) == LEAVING
    for _ in range(20):
        assert server.ask("/").status == 200
    text = ask(address).body.decode()
    assert "\n! the server has got SIGTERM, and goes on for --stop-delay\n" in text
    ends_at_once(server)


def test_kept_connections_end_with_an_answer(start):
    """Whoever has one sends the next request to another server. FastCGI cannot say so."""
    server = start("hello", "--stop-delay", FOREVER)
    with server.connect() as connection:
        connection.send(fcgi.request(fcgi.params("/"), keep=True))
        assert connection.read_response(1).status == 200
        server.signal(signal.SIGTERM)
        server.wait_log(r"SIGTERM: stopping in")
        connection.send(fcgi.request(fcgi.params("/"), keep=True))
        assert connection.read_response(1).status == 200
        if server.speaks_http:
            assert connection.at_eof()
        else:
            connection.send(fcgi.request(fcgi.params("/"), keep=True))
            assert connection.read_response(1).status == 200
    ends_at_once(server)


@pytest.mark.parametrize("how", HOW)
def test_it_stops_then(start, how):
    begin = time.monotonic()
    server, _ = start_leaving(start, "1", *how)
    assert server.wait_exit() == 0
    assert time.monotonic() - begin >= 1
    lines = server.log()
    assert lines.index("stopping in 1 s") < lines.index("stopping (TERM): ") < lines.index("stopped after "), lines


@pytest.mark.parametrize("how", HOW[:2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_other_signals_stop_at_once(start, number, how):
    server = start("hello", "--stop-delay", FOREVER, *how)
    server.ask("/")
    server.signal(number)
    assert server.wait_exit() == 0
    assert "stopping in" not in server.log()


def test_a_worker_that_dies_is_replaced(start):
    server, address = start_leaving(start, FOREVER, "--workers", "1")
    def pids():
        return [w["pid"] for w in ask(address, "/?format=json").json()["workers"] if w["state"] == "serving"]
    before = pids()
    os.kill(before[0], signal.SIGKILL)
    until(lambda: pids() and pids() != before, "another worker", server.log)
    assert server.ask("/").status == 200
    assert health(address) == LEAVING
    ends_at_once(server)


def test_there_is_no_reload_any_more(start):
    """The program that it executes would not know of the stop."""
    server, address = start_leaving(start, "2", "--workers", "1")
    server.signal(signal.SIGHUP)
    assert server.wait_exit() == 0
    assert "loading the application anew" not in server.log()


def test_a_start_is_not_waited_for(start, gate):
    """Nobody is served yet who could be sent elsewhere."""
    server = start("hangapp", "--stop-delay", FOREVER, "--warm-up", "/sleep?gate=" + gate.path, wait=False)
    visitor = gate.arrived()
    server.signal(signal.SIGTERM)
    server.wait_log(r"stopping \(TERM\)")
    visitor.release()
    assert server.wait_exit() == 0
    assert "stopping in" not in server.log()
