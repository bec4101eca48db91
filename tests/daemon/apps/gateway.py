"""The application's end of tests/daemon/gate.py."""
import socket


def knock(path, text=""):
    """Tells the test something without waiting. Returns the connected socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(text.encode() + b"\n")
    return sock


def visit(path, text=""):
    """Tells the test something and waits until it is let go on; returns what the test said ('' when it is gone)."""
    with knock(path, text) as sock:
        try:
            return sock.recv(1024).decode().strip()
        except ConnectionError:
            return ""
