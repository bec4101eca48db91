"""A responder whose every answer a test decides: what the load generator says of it can be compared with the truth."""
import itertools
import socket
import threading

import fcgi

HELLO = b"Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
HTTP_HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n"


class Accepted(fcgi.Connection):
    """The server's side of a connection."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = {}
        self.held = bytearray()

    def read_line(self):
        while b"\n" not in self.held:
            data = self.sock.recv(1 << 16)
            if not data:
                raise fcgi.Closed
            self.held += data
        return self._read(self.held.index(b"\n") + 1)


class Request:
    """`number` counts from 0 over all connections; `body` is its length."""

    def __init__(self, number, connection, id=0, keep=False):
        self.number, self.connection, self.id, self.keep, self.body = number, connection, id, keep, 0


class Responder:
    """`answer(request)` returns the bytes of STDOUT (with `http`: of the connection), None to answer nothing, or raises
    fcgi.Closed to end the connection. `reverse` answers the requests of a connection in groups of so many, the last
    first."""

    def __init__(self, path, answer=lambda request: HELLO, http=False, reverse=1, close_after=None):
        self.path = path
        self.answer = answer
        self.http = http
        self.reverse = reverse
        self.close_after = close_after  # answers, then the connection ends without having said so
        self.numbers = itertools.count()
        self.requests = []
        self.connections = 0
        self.open = set()
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for sock in self.open:
                sock.shutdown(socket.SHUT_RDWR)

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        connection = Accepted(sock)
        try:
            (self.serve_http if self.http else self.serve_fcgi)(connection)
        except (fcgi.Closed, OSError, EOFError):
            pass
        finally:
            with self.lock:
                self.open.discard(sock)
                connection.close()

    def next_request(self, *args):
        with self.lock:
            self.requests.append(Request(next(self.numbers), *args))
            return self.requests[-1]

    def serve_fcgi(self, connection):
        requests, whole = {}, []
        while True:
            record = connection.read_record()
            if record.type == fcgi.BEGIN_REQUEST:
                requests[record.id] = self.next_request(connection, record.id, bool(record.content[2] & 1))
            elif record.type == fcgi.STDIN and record.content:
                requests[record.id].body += len(record.content)
            elif record.type == fcgi.STDIN:
                whole.append(requests.pop(record.id))
            if len(whole) == self.reverse:
                for request in reversed(whole):
                    self.give(connection, request)
                if not whole[-1].keep:
                    return
                whole = []

    def give(self, connection, request):
        stdout = self.answer(request)
        if stdout is not None:
            connection.send(fcgi.stream(fcgi.STDOUT, request.id, stdout),
                            fcgi.record(fcgi.END_REQUEST, request.id, bytes(8)))

    def serve_http(self, connection):
        for served in itertools.count(1):
            length = close = 0
            line = connection.read_line()
            request = self.next_request(connection)
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                close = close or line.lower().startswith(b"connection: close")
                line = connection.read_line()
            while request.body < length:
                request.body += len(connection._read(min(65536, length - request.body)))
            answer = self.answer(request)
            if answer is not None:
                connection.send(answer)
            if close or served == self.close_after:
                return
