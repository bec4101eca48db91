"""A raw FastCGI client (FastCGI 1.0): writes any record that a test wants, and reads what comes back, record by record.

It shares no code with the server, on purpose.
"""
import socket
import struct
from typing import NamedTuple

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)

# Seconds that a test waits for something that is sure to come. Never a measure of speed.
PATIENCE = 30


class Record(NamedTuple):
    type: int
    id: int
    content: bytes
    padding: bytes


class Closed(Exception):
    """The peer closed the connection between two records."""


# --- encoding

def record(type, id, content=b"", padding=None, version=1):
    """One record; the padding is that to eight bytes unless a length is given."""
    if padding is None:
        padding = -len(content) % 8
    return struct.pack(">BBHHBx", version, type, id, len(content), padding) + content + b"\xa5" * padding


def stream(type, id, content, size=65528, padding=None, end=True):
    """The records of a stream, cut every `size` bytes, with its empty record at the end."""
    parts = [record(type, id, content[i:i + size], padding) for i in range(0, len(content), size)]
    if end:
        parts.append(record(type, id, b"", padding))
    return b"".join(parts)


def begin(id=1, role=RESPONDER, keep=False, padding=None):
    return record(BEGIN_REQUEST, id, struct.pack(">HB5x", role, int(keep)), padding)


def _length(n, long=False):
    return struct.pack(">I", n | 0x80000000) if long or n > 127 else bytes([n])


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def pairs(params, long=False):
    """The name-value pairs of a dict or a list of pairs; `long` forces four-byte lengths."""
    out = bytearray()
    for name, value in params.items() if isinstance(params, dict) else params:
        name, value = _bytes(name), _bytes(value)
        out += _length(len(name), long) + _length(len(value), long) + name + value
    return bytes(out)


def decode_pairs(data):
    out, pos = [], 0

    def length():
        nonlocal pos
        if data[pos] < 128:
            pos += 1
            return data[pos - 1]
        pos += 4
        return struct.unpack(">I", data[pos - 4:pos])[0] & 0x7fffffff

    while pos < len(data):
        nname, nvalue = length(), length()
        out.append((data[pos:pos + nname], data[pos + nname:pos + nname + nvalue]))
        pos += nname + nvalue
    return out


def params(path="/", method="GET", query="", body=None, headers=(), **more):
    """The parameters that nginx sends with its stock fastcgi_params."""
    length = "" if body is None else str(len(body))
    out = {
        "QUERY_STRING": query, "REQUEST_METHOD": method, "CONTENT_TYPE": "", "CONTENT_LENGTH": length,
        "SCRIPT_NAME": path, "REQUEST_URI": path + ("?" + query if query else ""), "DOCUMENT_URI": path,
        "DOCUMENT_ROOT": "/usr/share/nginx/html", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_SCHEME": "http",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "nginx/1.22.1", "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": "80", "SERVER_NAME": "localhost",
        "REDIRECT_STATUS": "200", "HTTP_HOST": "localhost",
    }
    for name, value in dict(headers).items():
        key = name.upper().replace("-", "_")
        out[key if key == "CONTENT_TYPE" else "HTTP_" + key] = value
    out.update(more)
    return out


class Whole(bytes):
    """The records of a request, and what they were made of: rawhttp.py sends the same request as HTTP."""


def request(params, body=b"", id=1, keep=False, padding=None, size=65528, end=True):
    """A whole request; without `end` there is more of its body to come."""
    whole = Whole(begin(id, keep=keep, padding=padding) + stream(PARAMS, id, pairs(params), size, padding)
                  + stream(STDIN, id, body, size, padding, end))
    whole.params, whole.body, whole.keep, whole.end = params, body, keep, end
    return whole


# --- reading

class Response:
    """What came for one request id."""

    def __init__(self):
        self.records = []       # in the order received
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.app_status = None  # of END_REQUEST
        self.protocol_status = None
        self.broken = False     # the connection ended before END_REQUEST

    def add(self, record):
        self.records.append(record)
        if record.type == STDOUT:
            self.stdout += record.content
        elif record.type == STDERR:
            self.stderr += record.content
        elif record.type == END_REQUEST:
            self.app_status, self.protocol_status = struct.unpack(">IB3x", record.content)

    @property
    def complete(self):
        return self.protocol_status is not None

    @property
    def head(self):
        return bytes(self.stdout).partition(b"\r\n\r\n")[0]

    @property
    def body(self):
        return bytes(self.stdout).partition(b"\r\n\r\n")[2]

    @property
    def headers(self):
        return [tuple(line.decode("latin-1").split(": ", 1)) for line in self.head.split(b"\r\n") if line]

    @property
    def status_line(self):
        return dict(self.headers)["Status"]

    @property
    def status(self):
        return int(self.status_line.split()[0])

    @property
    def chunks(self):
        """The contents of the STDOUT records, headers cut off, empty ones left out."""
        out = [r.content for r in self.records if r.type == STDOUT]
        rest = len(self.head) + 4
        body = []
        for content in out:
            cut = min(rest, len(content))
            rest -= cut
            if content[cut:]:
                body.append(content[cut:])
        return body

    def __repr__(self):
        return "<Response %r stderr=%r app=%r protocol=%r>" % (
            bytes(self.stdout[:2000]), bytes(self.stderr[:500]), self.app_status, self.protocol_status)


def connect(address, timeout=PATIENCE):
    """A connected socket: '/path', '@abstract' or (host, port)."""
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX)
    # Python's own time-out makes the socket non-blocking, and then a full backlog is an error (EAGAIN) and no wait.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", PATIENCE, 0))
    try:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


class Connection:
    def __init__(self, address, timeout=PATIENCE):
        self.sock = connect(address, timeout)
        self.pending = {}  # id -> Response that is not finished
        self.held = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    @staticmethod
    def wire(whole):
        """The bytes of a request."""
        return bytes(whole)

    def send(self, *data):
        self.sock.sendall(b"".join(data))

    def _read(self, n):
        while len(self.held) < n:
            data = self.sock.recv(1 << 16)
            if not data:
                if self.held:
                    raise EOFError("the connection ended inside a record: %r" % bytes(self.held[:64]))
                raise Closed
            self.held += data
        out = bytes(self.held[:n])
        del self.held[:n]
        return out

    def read_record(self):
        header = self._read(8)
        if header == bytes(8):
            # How the server ends a connection in the middle of an answer; nothing may follow.
            assert self.at_eof()
            raise Closed
        version, type, id, length, padding = struct.unpack(">BBHHBx", header)
        assert version == 1, "version byte %d" % version
        return Record(type, id, self._read(length), self._read(padding))

    def read_and_keep(self):
        """Reads one record, and keeps it for read_response as well."""
        got = self.read_record()
        self.pending.setdefault(got.id, Response()).add(got)
        return got

    def read_response(self, id=None):
        """Reads until a request (that with `id`, or whichever is first) is finished or the connection ends."""
        for done, response in self.pending.items():
            if response.complete and id in (None, done):
                return self.pending.pop(done)
        while True:
            try:
                got = self.read_and_keep()
            except (Closed, ConnectionResetError):
                response = self.pending.pop(id, None) if id else None
                response = response or (self.pending.popitem()[1] if self.pending else Response())
                response.broken = True
                return response
            if got.type == END_REQUEST and id in (None, got.id):
                return self.pending.pop(got.id)

    def at_eof(self):
        """True when the peer ends the connection without a further byte."""
        assert not self.held, "bytes left: %r" % bytes(self.held[:64])
        try:
            data = self.sock.recv(1)
        except ConnectionResetError:
            return True
        assert data == b"", "unexpected byte %r" % data
        return True

    def get_values(self, *names):
        """Asks GET_VALUES and returns the answer; records of requests that come first are kept."""
        names = names or ("FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS")
        self.send(record(GET_VALUES, 0, pairs([(name, "") for name in names])))
        while True:
            got = self.read_record()
            if got.type == GET_VALUES_RESULT:
                assert got.id == 0
                return {name.decode(): value.decode() for name, value in decode_pairs(got.content)}
            self.pending.setdefault(got.id, Response()).add(got)

    def ask(self, *args, body=None, id=1, keep=True, **more):
        """One request with nginx's parameters, and its answer. Arguments as those of params()."""
        self.send(request(params(*args, body=body, **more), body or b"", id, keep))
        return self.read_response(id)


def ask(address, *args, **more):
    """One request on a connection of its own, which the server ends."""
    with Connection(address) as connection:
        return connection.ask(*args, keep=False, **more)
