"""Lines about what peers do name them, and their clients, so that a program can ban these; and nobody hides another one."""
import os
import re
import subprocess
import time

import pytest

import fcgi
from daemon import HERE, LABEL, until
from fcgi import begin, pairs, params, record, request, stream
from ports import free_port
from test_sched import finish, hold

CLIENT, OTHER, V6 = "203.0.113.9", "203.0.113.10", "2001:db8::9"
# What fail2ban puts in the place of <HOST>, but for names.
HOST = r"(?:(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|\[?(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))\]?)"
POST = ("/echo", "POST")


def failregex():
    """The one that the manual page gives."""
    page = os.path.join(HERE, "../../man/wsgi-fcgi.8")
    shown = subprocess.run(["mandoc", "-Tascii", "-Owidth=500", page], check=True, stdout=subprocess.PIPE, text=True).stdout
    text = re.sub(".\b", "", shown)
    return re.search(r"^ *failregex = (.*)$", text, re.M).group(1).replace("<HOST>", HOST)


def banned(log):
    """Whom fail2ban would count: it takes the date out of each line first."""
    lines = (re.sub(r"^[\d-]+T[\d:.]+Z", "", line) for line in log.split("\n"))
    found = (re.search(failregex(), line) for line in lines)
    return [match.group("ip4") or match.group("ip6") for match in found if match]


def from_client(address, *args, **more):
    return params(*args, REMOTE_ADDR=address, **more)


def asked(server, *sent, status=None, address=None):
    with server.connect(address) as connection:
        connection.send(*sent)
        response = connection.read_response(1)
    assert response.status == status
    return response


def line(server, status, who, text=""):
    return server.wait_log(r"connection \d+: request \d+: %d [\w -]+ \(%s\)[^\n]*: [^\n]*%s" % (status, who, text))


# --- FastCGI

PEER = r"peer process \d+ of user \d+"
WHO = r"client 203\.0\.113\.9, " + PEER


@pytest.fixture
def fast(start):
    def starter(*options, **more):
        return start("wsgiapp", *options, **more)
    return starter


def test_status_by_status(fast):
    server = fast("--limit-request-body", "1K", "--limit-params", "4K", "--limit-param-count", 50, "--script-name", "/echo",
                  "--header-timeout", 1)
    given = from_client(CLIENT, *POST)
    asked(server, request(from_client(CLIENT, *POST, body=b"x" * 2000), b"x" * 2000), status=413)
    line(server, 413, WHO, "--limit-request-body: POST /echo" + LABEL + "\n")
    asked(server, request(from_client(CLIENT, *POST, headers={"X-Large": "x" * 5000})), status=431)
    line(server, 431, WHO, "--limit-params\n")
    asked(server, request(from_client(CLIENT, *POST, headers={"X-%d" % n: "x" for n in range(60)})), status=431)
    line(server, 431, WHO, "--limit-param-count: POST /echo" + LABEL + "\n")
    asked(server, request(from_client(CLIENT, "/apple")), status=404)
    line(server, 404, WHO, "--script-name: GET /apple" + LABEL + "\n")
    asked(server, request(from_client(CLIENT, *POST, CONTENT_LENGTH="10"), b"short"), status=400)
    line(server, 400, WHO, "CONTENT_LENGTH: POST /echo" + LABEL + "\n")
    asked(server, begin() + stream(fcgi.PARAMS, 1, pairs(given) + b"\x04\x7fNAME"), status=400)
    line(server, 400, WHO, "malformed\n")
    asked(server, begin() + stream(fcgi.PARAMS, 1, pairs(given), end=False), status=408)
    line(server, 408, WHO, "--header-timeout\n")
    assert banned(server.log()) == [CLIENT] * 6, server.log()  # 404 is for the operator to add


@pytest.mark.parametrize("options", [["--queue-limit", 1, "--queue-timeout", 0], ["--queue-timeout", "0.1"]])
def test_overload(fast, gate, options):
    server = fast("-t", 1, *options)
    held = hold(server, gate)
    waiting = [server.connect() for _ in range(2)]
    waiting[0].send(request(from_client(OTHER, "/hello")))
    waiting[0].get_values()
    waiting[1].send(request(from_client(CLIENT, "/hello")))
    assert waiting[1].read_response(1).status == 503
    line(server, 503, WHO, "--queue-[^\n]*: GET /hello" + LABEL + "\n")
    finish(*held)
    for connection in waiting:
        connection.close()
    assert banned(server.log()) == []


def test_ipv6_and_no_address(fast):
    server = fast("--limit-request-body", "1K")
    asked(server, request(from_client(V6, *POST, body=b"x" * 2000), b"x" * 2000), status=413)
    line(server, 413, r"client 2001:db8::9, " + PEER)
    assert banned(server.log()) == [V6]
    for address in ("unix:", "", "a.example", "6.6.6.6, 7.7.7.7", "203.0.113.9\n connection 1: request 1: 400 B (client "):
        asked(server, request(from_client(address, *POST, body=b"x" * 2000), b"x" * 2000), status=413)
    line(server, 413, PEER)
    assert banned(server.log()) == [V6]


def test_trusted_proxies(fast):
    """The client is whom they tell of. A proxy is never named for one whose parameters did not all come, or are broken."""
    server = fast("--limit-request-body", "1K", "--limit-params", "4K", "--forwarded-allow", "unix", "--forwarded-allow",
                  "10.0.0.0/8")
    told = {"X-Forwarded-For": "6.6.6.6, " + CLIENT}
    asked(server, request(from_client("10.0.0.1", *POST, body=b"x" * 2000, headers=told), b"x" * 2000), status=413)
    line(server, 413, WHO)
    asked(server, request(from_client("10.0.0.1", *POST, headers={**told, "X-Large": "x" * 5000})), status=431)
    line(server, 431, PEER)
    broken = pairs(from_client("10.0.0.1", "/", HTTP_X="a\0b"))
    asked(server, begin() + stream(fcgi.PARAMS, 1, broken), status=400)
    line(server, 400, PEER)
    broken = pairs(from_client("10.0.0.1", "/", headers=told, HTTP_X="a\0b"))
    asked(server, begin() + stream(fcgi.PARAMS, 1, broken), status=400)
    line(server, 400, WHO)
    assert banned(server.log()) == [CLIENT] * 2


# What a peer can choose: a path, and the name of a parameter that is malformed.
FORGED = "connection 1: request 1: 400 Bad Request (client 6.6.6.6, peer 6.6.6.6:1): x"


@pytest.mark.parametrize("begins", ["", "\n", "\r\n", "\n2030-01-01T00:00:00.000Z wsgi-fcgi[1] warning: ", "wsgi-fcgi[1] warning: ",
                                    ": wsgi-fcgi[1] warning: ", "x wsgi-fcgi[1]: wsgi-fcgi[1] warning: "])
def test_nobody_writes_in_the_name_of_another(fast, begins):
    server = fast("--limit-request-body", "1K", "--script-name", "/app")
    forged = begins + FORGED
    asked(server, request(from_client(CLIENT, "/app", **{"HTTP_" + forged: "a\0b"})), status=400)
    assert banned(server.log()) == [CLIENT], server.log()
    if "\n" in forged:  # in a path that is malformed as well
        return
    asked(server, request(from_client(CLIENT, "/app/" + forged, "POST", body=b"x" * 2000), b"x" * 2000), status=413)
    asked(server, request(from_client(CLIENT, "/" + forged)), status=404)
    with server.connect() as connection:
        connection.send(begin(), stream(fcgi.PARAMS, 1, pairs(from_client(CLIENT, "/app/" + forged, "POST", body=b"12345"))),
                        record(fcgi.STDIN, 1, b"123"))
    server.wait_log("dropped")
    assert banned(server.log()) == [CLIENT] * 2, server.log()


# --- the limit

def test_a_noisy_peer_hides_nobody(fast):
    """In the middle of a thousand lines about one, each other one has a line of its own, and those left out are counted."""
    server = fast("--script-name", "/app")
    others = ["203.0.113.%d" % n for n in range(1, 8)]
    count = 0
    for address in others:
        for _ in range(50):
            asked(server, request(from_client("198.51.100.1", "/noise")), status=404)
            count += 1
        asked(server, request(from_client(address, "/hello")), status=404)
    for address in others:
        server.wait_log(r"404 Not Found \(client %s, [^\n]*: GET /hello" % address + LABEL + "\n")

    def told():
        nonlocal count
        asked(server, request(from_client("198.51.100.1", "/noise")), status=404)
        count += 1
        return re.search(r"client 198\.51\.100\.1, [^\n]* \(and (\d+) more since the last line about this\): GET /noise", server.log())
    assert 1 <= int(until(told, "the number of those left out", server.log).group(1)) < count


def test_many_peers_do_not_fill_the_log(fast):
    """Whoever comes, there are ten lines a second about the same thing, and all are counted."""
    server, began, sent = fast("--script-name", "/app"), time.monotonic(), 0

    def lines():
        return re.findall(r"404 Not Found \(client [\da-f:.]+, [^\n]*?( \(and [^\n]*\))?: GET /x" + LABEL + "\n", server.log())

    def left_out():
        return sum(int(n) for more in lines() for n in re.findall(r"and (\d+) (?:more|of others)", more))
    while not left_out():
        for _ in range(100):
            asked(server, request(from_client("2001:db8:%x::1" % sent, "/x")), status=404)
            sent += 1
    assert len(lines()) <= 10 * (2 + time.monotonic() - began)
    assert len(lines()) + left_out() <= sent


def test_a_network_of_ipv6_is_one_peer(fast):
    """Who has one has 2^64 addresses."""
    server, began = fast("--script-name", "/app"), time.monotonic()
    for n in range(50):
        asked(server, request(from_client("2001:db8:1:2:%x::1" % n, "/x")), status=404)
    assert len(re.findall("404 Not Found", server.log())) <= 2 + time.monotonic() - began


# --- connections

def test_the_end_of_a_connection_names_the_peer(fast):
    port = free_port()
    server = fast(socket="127.0.0.1:%d" % port, address=("127.0.0.1", port))
    with server.connect() as connection:
        name = "127.0.0.1:%d" % connection.sock.getsockname()[1]
        connection.send(begin(1, keep=True), begin(1, keep=True))
        assert connection.at_eof()
    server.wait_log(r"warning: connection \d+: BEGIN_REQUEST for an id whose request is not complete \(peer %s\)\n" % name)
    with server.connect() as connection:
        name = "127.0.0.1:%d" % connection.sock.getsockname()[1]
        connection.send(begin(1, role=7))
    server.wait_log(r"info: connection \d+: request 1: role 7 is not served \(peer %s\)\n" % name)


def test_the_process_of_a_unix_socket_is_named(fast):
    server = fast()
    with server.connect() as connection:
        connection.send(begin(1, keep=True), begin(1, keep=True))
        assert connection.at_eof()
    server.wait_log(r"is not complete \(peer process %d of user %d\)\n" % (os.getpid(), os.geteuid()))
