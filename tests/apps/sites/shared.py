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


def chunks(gate, count):
    """Yields `count` chunks; the second and the third wait at the gate, which also hears when it is all over."""
    done = 0
    try:
        for number in range(count):
            if number in (1, 2):
                visit(gate, "chunk %d" % number)
            yield b"chunk %d\n" % number
            done += 1
    finally:
        knock(gate, "closed after %d" % done).close()


def broken():
    """Fails when the answer has begun."""
    yield b"x" * 100000
    raise RuntimeError("broken stream")
