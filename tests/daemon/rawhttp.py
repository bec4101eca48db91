"""A raw HTTP/1.1 client (RFC 9112) that is used like that of fcgi.py, so that a test can be run over either: it sends the
requests that fcgi.request() makes as HTTP, or any bytes that a test wants, and reads what comes back byte for byte.

It shares no code with the server, on purpose.
"""
import re
import urllib.parse

import fcgi
from fcgi import PATIENCE, Closed, Record

CAPITALS = {"CONTENT_TYPE": "Content-Type"}


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def chunked(body, size=65536, last=b"0\r\n\r\n"):
    """The body in the chunked coding (RFC 9112, 7.1)."""
    parts = (body[i:i + size] for i in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + last


def encode(whole):
    """The HTTP form of what fcgi.request() has made."""
    given, body = dict(whole.params), whole.body
    path = urllib.parse.quote(_bytes(given["SCRIPT_NAME"]), safe="/~!$&'()*+,;=:@")
    query = given.get("QUERY_STRING")
    lines = ["%s %s %s" % (given["REQUEST_METHOD"], path + ("?" + query if query else ""), given["SERVER_PROTOCOL"])]
    for name, value in given.items():
        if name.startswith("HTTP_"):
            lines.append("%s: %s" % (name[5:].replace("_", "-").title(), value))
    if given.get("CONTENT_TYPE"):
        lines.append("Content-Type: " + given["CONTENT_TYPE"])
    length = given.get("CONTENT_LENGTH", "")
    if length:
        lines.append("Content-Length: " + length)
    elif body or not whole.end:
        lines.append("Transfer-Encoding: chunked")
        body = chunked(body, last=b"0\r\n\r\n" if whole.end else b"")
    if not whole.keep:
        lines.append("Connection: close")
    return "\r\n".join(lines + ["", ""]).encode("latin-1") + body


class Response:
    """What came in answer to one request."""
    app_status = protocol_status = fcgi.REQUEST_COMPLETE
    stderr = b""

    def __init__(self):
        self.broken = True      # the connection ended before the end of the answer
        self.head = b""         # of the answer, without the empty line
        self.body = b""
        self.chunks = []        # of a chunked answer, else the body
        self.interim = []       # status lines of 1xx answers
        self.framing = None     # how its end was found: "none", "length", "chunked", "close"

    @property
    def complete(self):
        return not self.broken

    @property
    def lines(self):
        return self.head.decode("latin-1").split("\r\n")

    @property
    def status_line(self):
        return self.lines[0].partition(" ")[2]

    @property
    def status(self):
        return int(self.status_line[:3]) if self.head else None

    @property
    def headers(self):
        return [tuple(line.split(": ", 1)) for line in self.lines[1:]]

    def header(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def check(self):
        """The form that every complete answer has."""
        assert self.complete, self
        assert re.fullmatch(r"HTTP/1\.1 [2-9]\d\d [\t\x20-\x7e\x80-\xff]*", self.lines[0]), self
        for line in self.lines[1:]:
            assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*", line), self
        assert len(self.header("Date")) == 1 and len(self.header("Server")) <= 1, self
        assert len(self.header("Content-Length") + self.header("Transfer-Encoding")) <= 1, self
        if self.status == 204:
            assert not self.header("Content-Length") and not self.header("Transfer-Encoding"), self
        if self.status == 205:
            assert self.header("Content-Length") == ["0"] and not self.header("Transfer-Encoding"), self
        return self

    def __repr__(self):
        return "<Response %r %r complete=%r>" % (self.head, bytes(self.body[:2000]), self.complete)


class Connection:
    def __init__(self, address, timeout=PATIENCE):
        self.address = address
        self.sock = fcgi.connect(address, timeout)
        self.held = bytearray()
        self.seen = 0       # bytes of `held` that read_and_keep has shown
        self.methods = []   # of the requests whose answers are to come

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    @staticmethod
    def wire(whole):
        """The bytes of a request."""
        return encode(whole)

    def send(self, *data):
        parts = []
        for part in data:
            if isinstance(part, fcgi.Whole):
                self.methods.append(part.params["REQUEST_METHOD"])
                part = encode(part)
            parts.append(part)
        self.sock.sendall(b"".join(parts))

    def _more(self):
        """Receives something; False at the end."""
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            return False
        self.held += data
        return bool(data)

    def _take(self, n):
        out = bytes(self.held[:n])
        del self.held[:n]
        self.seen = max(0, self.seen - n)
        return out

    def _read(self, n):
        while len(self.held) < n:
            if not self._more():
                raise Closed
        return self._take(n)

    def _read_until(self, mark):
        start = 0
        while True:
            at = self.held.find(mark, start)
            if at >= 0:
                return self._take(at + len(mark))
            start = max(0, len(self.held) - len(mark))
            if not self._more():
                raise Closed

    def read_and_keep(self):
        """Waits for bytes of an answer's body that were not seen before; read_response gets them as well."""
        while True:
            head = self.held.find(b"\r\n\r\n")
            if head >= 0 and len(self.held) > max(head + 4, self.seen):
                content = bytes(self.held[self.seen:])
                self.seen = len(self.held)
                return Record(fcgi.STDOUT, 1, content, b"")
            if not self._more():
                raise Closed

    read_record = read_and_keep

    def _read_chunks(self, response):
        while True:
            size = self._read_until(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+\r\n", size), size
            if int(size, 16) == 0:
                assert self._read(2) == b"\r\n", "no trailers"
                return
            part = self._read(int(size, 16))
            response.chunks.append(part)
            response.body += part
            assert self._read(2) == b"\r\n"

    def _read_plain(self, response, length):
        """Keeps what there is when the connection ends early."""
        body = bytearray()
        while length is None or len(body) < length:
            if not self.held and not self._more():
                break
            body += self._take(len(self.held) if length is None else min(len(self.held), length - len(body)))
        response.body = bytes(body)
        response.chunks = [response.body] if body else []
        if length is not None and len(body) < length:
            raise Closed

    def _read_body(self, response, method):
        lengths, codings = response.header("Content-Length"), response.header("Transfer-Encoding")
        if method == "HEAD" or response.status in (204, 304):
            response.framing = "none"
        elif codings:
            assert codings == ["chunked"] and not lengths, response
            response.framing = "chunked"
            self._read_chunks(response)
        elif lengths:
            response.framing = "length"
            self._read_plain(response, int(lengths[0]))
        else:
            assert response.header("Connection") == ["close"], response
            response.framing = "close"
            self._read_plain(response, None)

    def read_response(self, id=None):
        """Reads the next answer; less of it when the connection ends."""
        response = Response()
        method = self.methods.pop(0) if self.methods else "GET"
        try:
            while True:
                response.head = self._read_until(b"\r\n\r\n")[:-4]
                if not response.head.startswith(b"HTTP/1.1 1"):
                    break
                response.interim.append(response.head)
                response.head = b""
            self._read_body(response, method)
            response.broken = False
        except Closed:
            pass
        return response

    def at_eof(self):
        """True when the peer ends the connection without a further byte."""
        assert not self.held, "bytes left: %r" % bytes(self.held[:64])
        try:
            data = self.sock.recv(1)
        except ConnectionResetError:
            return True
        assert data == b"", "unexpected byte %r" % data
        return True

    def get_values(self):
        """What GET_VALUES is for FastCGI: a sign of life from the loop, without the application."""
        assert alive(self.address)
        return {"FCGI_MPXS_CONNS": "0"}

    def ask(self, *args, body=None, id=1, keep=True, **more):
        """One request and its answer. Arguments as those of fcgi.params()."""
        self.send(fcgi.request(fcgi.params(*args, body=body, **more), body or b"", id, keep))
        return self.read_response(id)


def alive(address):
    """Whether the server answers what is no request."""
    with Connection(address) as connection:
        connection.send(b"\0")
        response = connection.read_response()
        return response.status == 400 and connection.at_eof()


def ask(address, *args, **more):
    """One request on a connection of its own, which the server ends."""
    with Connection(address) as connection:
        return connection.ask(*args, keep=False, **more)
