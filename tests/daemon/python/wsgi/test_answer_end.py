"""The last piece of an answer of known length is left to be sent with the end of the answer, as soon as the call ends; and it
does not wait for that when the call goes on: in close(), here."""
import os

import pytest

from fcgi import STDIN, STDOUT, params, request, stream

WAYS = ["sleeps", "computes", "keeps_the_lock"]


def whole(connection):
    """Reads until all that was announced has come; the end of the answer has not."""
    got = connection.read_and_keep()
    assert got.type == STDOUT and got.content.endswith(b"\r\n\r\nall of it\n")


def finish(connection):
    response = connection.read_response(1)
    assert response.complete and response.body == b"all of it\n"


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("way", WAYS)
def test_close_that_takes_long(start, gate, way, threads):
    server = start("endapp", "--threads", threads)
    path = gate.path + ".open"
    os.mkfifo(path) if way == "keeps_the_lock" else None
    for number in range(3):
        with server.connect() as connection:
            connection.send(request(params("/%s/%d" % (way, number), query="file=" + path)))
            whole(connection)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
            finish(connection)
            os.close(descriptor)
        if way != "keeps_the_lock":
            os.unlink(path)


def test_every_thread_in_close(start, gate):
    """With the loop on the last thread."""
    server = start("endapp", "--threads", 3)
    connections = [server.connect() for _ in range(3)]
    for connection in connections:
        connection.send(request(params("/waits_at_the_gate", query="gate=" + gate.path)))
        whole(connection)
    visitors = [gate.arrived() for _ in connections]
    for visitor in visitors:
        visitor.release()
    for connection in connections:
        finish(connection)
        connection.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_close_that_reads_what_has_not_come(start, threads):
    """The call has the loop while it waits."""
    server = start("endapp", "--threads", threads)
    with server.connect() as connection:
        more = b"b" * 100000
        sent = request(params("/reads", "POST", CONTENT_LENGTH="200000"), b"a" * 100000, end=False, keep=True)
        connection.send(sent)
        whole(connection)
        connection.send(stream(STDIN, 1, more))
        finish(connection)


@pytest.mark.parametrize("threads", [1, 4])
def test_body_that_does_not_come(start, threads):
    """It is no part of what the application waits for; the answer does not wait for it."""
    server = start("endapp", "--threads", threads)
    with server.connect() as connection:
        connection.send(request(params("/", "POST", CONTENT_LENGTH="200000"), b"a" * 70000, end=False, keep=True))
        whole(connection)
        finish(connection)


def test_several_on_a_connection(start, gate):
    """What one has left does not wait for others, nor do they change it."""
    server = start("endapp", "--threads", 4)
    with server.connect() as connection:
        connection.send(b"".join(request(params("/waits_at_the_gate", query="gate=" + gate.path), id=id, keep=True)
                                 for id in (1, 2, 3)))
        got = [connection.read_and_keep() for _ in range(3)]
        assert sorted(record.id for record in got) == [1, 2, 3]
        assert all(record.content.endswith(b"\r\n\r\nall of it\n") for record in got)
        visitors = [gate.arrived() for _ in range(3)]
        connection.send(request(params("/"), id=4, keep=True))
        assert connection.read_response(4).body == b"all of it\n"
        for visitor in visitors:
            visitor.release()
        for id in (1, 2, 3):
            response = connection.read_response(id)
            assert response.complete and response.body == b"all of it\n"
