"""What a worker that ends has read of a request moves with the connection."""
import json

from rawhttp import Connection
from test_handover import APP, begin_to_retire, retire, who


def test_half_a_header(supervise):
    server = supervise(APP, 2, protocol="http")
    with Connection(server.address) as connection:
        pid = who(connection)
        whole = b"GET /who HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sock.sendall(whole[:-9])
        retire(server, pid)
        connection.sock.sendall(whole[-9:])
        assert json.loads(connection.read_response().body)[0] != pid


def test_request_behind_another(supervise, gate):
    """It was sent while the one before it was in work, and is for the next worker."""
    server = supervise(APP, 2, "--log-level", "debug", protocol="http", env={"GATE": gate.path})
    with Connection(server.address) as connection:
        connection.sock.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /who HTTP/1.1\r\nHost: x\r\n\r\n")
        visitor = gate.arrived()
        pid = int(visitor.text)
        begin_to_retire(server, pid)
        visitor.release()
        assert connection.read_response().body == b'"waited"'
        assert json.loads(connection.read_response().body)[0] != pid
