"""A relay between a proxy and the server, which keeps the records that the proxy sends."""
import os
import shutil
import socket
import struct
import tempfile
import threading

import fcgi


class Link:
    """One connection of the proxy."""

    def __init__(self):
        self.begun = []         # (request id, KEEP_CONN) of each BEGIN_REQUEST
        self.first = None       # type of the first record
        self.open = set()       # ids of requests that are not answered
        self.most_open = 0
        self.ended = 0          # END_REQUEST records

    @staticmethod
    def feed(held, data, handle):
        held += data
        while len(held) >= 8:
            version, type, id, length, padding = struct.unpack(">BBHHBx", held[:8])
            if len(held) < 8 + length + padding:
                break
            handle(type, id, bytes(held[8:8 + length]))
            del held[:8 + length + padding]

    def sent(self, type, id, content):
        self.first = self.first or type
        if type == fcgi.BEGIN_REQUEST:
            self.begun.append((id, bool(content[2] & 1)))
            self.open.add(id)
            self.most_open = max(self.most_open, len(self.open))

    def answered(self, type, id, content):
        if type == fcgi.END_REQUEST:
            self.open.discard(id)
            self.ended += 1


class Relay:
    def __init__(self, target):
        self.target = target
        self.dir = tempfile.mkdtemp(prefix="wsgi-fcgi-relay.")
        os.chmod(self.dir, 0o755)
        self.path = os.path.join(self.dir, "app.sock")
        self.links = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(1024)
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self):
        self.links = []

    def _accept(self):
        while True:
            try:
                front = self.listener.accept()[0]
            except OSError:
                return
            link = Link()
            self.links.append(link)
            back = socket.socket(socket.AF_UNIX)
            try:
                back.connect(self.target)
            except OSError:
                front.close()
                continue
            threading.Thread(target=self._serve, args=(front, back, link), daemon=True).start()

    def _serve(self, front, back, link):
        with front, back:
            answers = threading.Thread(target=self._copy, args=(back, front, link, link.answered), daemon=True)
            answers.start()
            self._copy(front, back, link, link.sent)
            answers.join()

    @staticmethod
    def _copy(source, sink, link, handle):
        held = bytearray()
        try:
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                link.feed(held, data, handle)
                sink.sendall(data)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def log(self):
        return ""

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)
