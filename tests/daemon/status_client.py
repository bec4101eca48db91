"""Asks the sockets of --status: raw bytes in, what comes back until the end of the connection out."""
import http.client
import io
import json
import socket

import fcgi
from fcgi import PATIENCE


class Socket:
    """Lets http.client read an answer from bytes."""

    def __init__(self, data):
        self.data = data

    def makefile(self, *_):
        return io.BytesIO(self.data)


class Answer:
    def __init__(self, data, method="GET"):
        response = http.client.HTTPResponse(Socket(data), method=method)
        response.begin()
        self.raw, self.status, self.body = data, response.status, response.read()
        self.headers = response.getheaders()

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<Answer %r>" % self.raw[:3000]


def read_all(sock):
    """What comes until the peer ends its side; a reset counts as an end."""
    data = b""
    while True:
        try:
            piece = sock.recv(1 << 16)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece


def send(address, *pieces):
    """All that is answered to these bytes."""
    with fcgi.connect(address, PATIENCE) as sock:
        for piece in pieces:
            try:
                sock.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # answered before
        return read_all(sock)


def head(target="/", method="GET", version="HTTP/1.1", **fields):
    lines = ["%s %s %s" % (method, target, version), "Host: localhost"]
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in fields.items()]
    return "\r\n".join(lines + ["", ""]).encode()


def ask(address, target="/", method="GET", **fields):
    return Answer(send(address, head(target, method, **fields)), method)


def tcp_of(server, text="status page"):
    """Where a server listens for the status page, by its log."""
    return ("127.0.0.1", int(server.wait_log(r"listening on 127\.0\.0\.1:(\d+) \(%s\)" % text).group(1)))


def refused(address):
    """Whether nobody listens there."""
    try:
        fcgi.connect(address, PATIENCE).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def is_cut(sock):
    """Whether the peer has ended the connection without a byte. Waits for either."""
    sock.settimeout(PATIENCE)
    try:
        return not sock.recv(1)
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False
