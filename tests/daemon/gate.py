"""Rendezvous between a test and a call of the application, so that no test needs a sleep.

The application connects to the gate's socket, says one line, and waits for the answer; the test sees it arrive and
decides when it goes on. apps/gateway.py is the application's end.
"""
import os
import select
import socket

from fcgi import PATIENCE


class Visitor:
    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(PATIENCE)
        self.file = sock.makefile("rb")
        self.text = self.line()

    def line(self):
        """The next line that the application says; '' when it is gone."""
        return self.file.readline().decode().rstrip("\n")

    def release(self, text="go"):
        """Lets the application go on."""
        self.sock.sendall(text.encode() + b"\n")

    def close(self):
        self.file.close()
        self.sock.close()


class Gate:
    def __init__(self, directory, name="gate"):
        self.path = os.path.join(str(directory), name)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o666)
        self.sock.listen(512)
        self.sock.settimeout(PATIENCE)
        self.visitors = []

    def arrived(self, client=None):
        """Waits for the next call of the application that comes to the gate; fails if `client`, the socket that asked for
        it, gets an answer before."""
        if client:
            ready = select.select([self.sock, client], [], [], PATIENCE)[0]
            assert ready, "neither a call of the application nor an answer"
            assert self.sock in ready, "answered before a call: %r" % client.recv(4096)
        visitor = Visitor(self.sock.accept()[0])
        self.visitors.append(visitor)
        return visitor

    def check_stream(self, response, count):
        """The client has each of the lines "chunk N" before the application, which comes here, makes the next one."""
        assert response.readline() == b"chunk 0\n"
        for number in range(1, count):
            visitor = self.arrived()
            assert visitor.text == "chunk %d" % number
            visitor.release()
            assert response.readline() == b"chunk %d\n" % number
        assert response.read() == b""

    def nobody(self):
        """True when no visitor is waiting to be let in."""
        self.sock.setblocking(False)
        try:
            self.visitors.append(Visitor(self.sock.accept()[0]))
            return False
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)

    def close(self):
        self.sock.close()
        for visitor in self.visitors:
            visitor.close()
        os.unlink(self.path)
