"""What the views of all frameworks have in common. frameworks.py says what each has to serve."""
import hashlib
import os

from gateway import knock, visit

STATIC = os.environ["STATIC"]
SAMPLE = os.path.join(STATIC, "sample.bin")


def digest(stream):
    """Reads the stream in pieces to its end."""
    sha, length = hashlib.sha256(), 0
    while True:
        block = stream.read(60000)
        if not block:
            return {"length": length, "sha": sha.hexdigest()}
        sha.update(block)
        length += len(block)


class Chunks:
    """Gives `count` chunks; the second and the third wait at the gate, which also hears of close()."""

    def __init__(self, gate, count):
        self.gate, self.count, self.done = gate, count, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.done == self.count:
            raise StopIteration
        chunk = "chunk %d" % self.done
        if self.done in (1, 2):
            visit(self.gate, chunk)
        self.done += 1
        return chunk.encode() + b"\n"

    def close(self):
        knock(self.gate, "closed after %d" % self.done).close()


def broken():
    """Fails when the answer has begun."""
    yield b"x" * 100000
    raise RuntimeError("broken stream")
