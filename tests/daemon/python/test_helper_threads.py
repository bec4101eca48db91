"""Threads that the application starts use their request while the loop, calls and the ends of other requests go on."""
import socket
import struct

import pytest

from fcgi import params, request
from test_fcgi import good

OVER_HTTP = True
BODY = b"0123456789abcdef" * 40000


@pytest.fixture(params=["64K", "10M"])
def server(start, request):
    """A server whose bodies go to a file, or stay in memory."""
    return start("faultapp", "--stream-body", "--body-memory", request.param, "-t", 3, "--queue-timeout", 0)


def copy(server, gate):
    connection = server.connect()
    connection.send(request(params("/copied-by-helpers", "POST", "gate=" + gate.path, body=BODY), BODY))
    return connection


def test_helpers_read_and_write(server, gate):
    for _ in range(3):
        connections = [copy(server, gate) for _ in range(6)]
        for connection in connections:
            response = connection.read_response()
            assert response.status == 200 and response.body == BODY
            connection.close()
        for _ in connections:
            assert gate.arrived().text == "closed"


def test_peers_that_leave_while_helpers_read_and_write(server, gate):
    """close() is called for each, and others are answered as ever."""
    for _ in range(3):
        connections = [copy(server, gate) for _ in range(6)]
        for connection in connections[::2]:
            connection.close()
        for connection in connections[1::2]:
            response = connection.read_response()
            assert response.status == 200 and response.body == BODY
            connection.close()
        for _ in connections:
            assert gate.arrived().text == "closed"


@pytest.mark.parametrize("leaves", [False, True])
def test_helper_that_waits_for_room_ends_with_its_call(start, gate, leaves):
    """Whether the client goes, or stays and reads nothing, for which there is no limit here."""
    server = start("faultapp", "--idle-timeout", 0)
    with server.connect() as connection:
        # Over HTTP a first piece of any size is kept.
        first = 64 << 20 if server.speaks_http else 1
        connection.send(request(params("/return-while-waiting", query="gate=%s&first=%d" % (gate.path, first))))
        gate.arrived().release()
        if leaves:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        # The latter when it came too late to wait.
        text = gate.arrived().text
        assert text in ("BrokenPipeError", "RuntimeError")
        if not leaves and text == "BrokenPipeError":
            assert not connection.read_response(1).complete
    good(server.ask("/hello"))


def test_helpers_that_wait_for_the_body_end_with_their_call(start, gate):
    """The call waits for the last of them to leave its request; the client, which sends the rest, notices nothing."""
    server = start("faultapp", "--idle-timeout", 0)
    body = b"x" * 200000
    with server.connect() as connection:
        whole = connection.wire(request(params("/return-while-reading", "POST", "gate=" + gate.path, body=body), body,
                                        keep=True))
        connection.send(whole[:100000])
        assert [gate.arrived().text for _ in range(3)] == ["ConnectionResetError"] * 3
        connection.send(whole[100000:])
        good(connection.read_response(1), b"returned\n")
        good(connection.ask("/hello"))
    server.stop()
