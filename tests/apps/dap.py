"""A client of the Debug Adapter Protocol: JSON behind a Content-Length, over a socket."""
import json
import socket

from fcgi import PATIENCE


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.sock.makefile("rb")
        self.number = 0
        self.seen = []  # events and responses that nobody has asked for yet

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()

    def send(self, command, **arguments):
        """Returns the number of the request."""
        self.number += 1
        body = json.dumps({"seq": self.number, "type": "request", "command": command, "arguments": arguments}).encode()
        self.sock.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return self.number

    def _read(self):
        length = 0
        while True:
            line = self.file.readline()
            assert line, "the debugger has closed its connection"
            if not line.strip():
                return json.loads(self.file.read(length))
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)

    def _wait(self, wanted):
        while True:
            for message in self.seen:
                if wanted(message):
                    self.seen.remove(message)
                    return message
            self.seen.append(self._read())

    def event(self, name):
        """Waits for it; returns its body."""
        return self._wait(lambda m: m["type"] == "event" and m["event"] == name).get("body", {})

    def response(self, number):
        """Waits for the response to the request of that number; returns its body."""
        found = self._wait(lambda m: m["type"] == "response" and m["request_seq"] == number)
        assert found["success"], found
        return found.get("body", {})

    def ask(self, command, **arguments):
        return self.response(self.send(command, **arguments))
