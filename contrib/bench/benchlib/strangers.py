"""Requests of strangers: each with parameter names that no other has, over FastCGI.

A proxy passes every header field of a client on, so anybody can send them.
"""

import socket
import struct

BEGIN, END, PARAMS, STDIN = 1, 3, 4, 5
KEEP = struct.pack(">HB5x", 1, 1)  # a responder's request, on a connection that stays
NAMES = 100  # in one request
COMMON = [
    ("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", ""), ("PATH_INFO", "/"), ("QUERY_STRING", ""), ("SERVER_NAME", "localhost"),
    ("SERVER_PORT", "80"), ("SERVER_PROTOCOL", "HTTP/1.1"),
]  # fmt: skip


def record(kind, content=b""):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def pair(name, value):
    return bytes([len(name), len(value)]) + name.encode() + value.encode()


def request(pairs):
    params = b"".join(pair(name, value) for name, value in pairs)
    return record(BEGIN, KEEP) + record(PARAMS, params) + record(PARAMS) + record(STDIN)


def names(first, count):
    return [f"HTTP_X_STRANGER_{number}" for number in range(first, first + count)]


def send(path, count):
    """So many names, NAMES at a time. Each request is answered before the next one is sent."""
    if not count:
        return
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        stream = peer.makefile("rb")
        for first in range(0, count, NAMES):
            peer.sendall(request(COMMON + [(name, "x") for name in names(first, min(NAMES, count - first))]))
            read_answer(stream)


def read_answer(stream):
    kind = None
    while kind != END:
        header = stream.read(8)
        if len(header) < 8:
            raise ConnectionError("the server has ended the connection of a stranger")
        _, kind, _, length, padding = struct.unpack(">BBHHBx", header)
        stream.read(length + padding)
