"""Calls of a stream, one after the other, and what they give, in a form that JSON has: the application runs them on
wsgi.input, and its test on a model."""
import io

SHAPES = {"bytearray": bytearray, "bytes": bytes, "memoryview": lambda size: memoryview(bytearray(size)),
          "words": lambda size: memoryview(bytearray(4 * size)).cast("i"),
          "striped": lambda size: memoryview(bytearray(2 * size))[::2],
          "readonly": lambda size: memoryview(bytes(size)), "number": int}


def attempt(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return type(error).__name__


def text_of(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("latin-1")
    return [text_of(item) for item in value] if isinstance(value, (list, tuple)) else value


def into(stream, name, shape, size):
    buffer = SHAPES[shape](size)
    count = attempt(getattr(stream, name), buffer)
    return [count, text_of(buffer)]


def inside(stream):
    """As the context of a with statement."""
    with stream as same:
        return [same is stream, stream.closed]


def call(stream, name, *args):
    if name == "list":
        return attempt(list, stream)
    if name == "next":
        return attempt(next, stream)
    if name == "closed":
        return stream.closed
    if name == "with":
        return attempt(inside, stream)
    if name in ("readinto", "readinto1") and len(args) == 2:
        return into(stream, name, *args)
    return attempt(getattr(stream, name), *args)


def results(stream, calls):
    values = [call(stream, name, *args) for name, *args in calls]
    return [[type(value).__name__, text_of(value)] for value in values]


class Input(io.BytesIO):
    """What wsgi.input has to be: a stream of bytes that can neither be written nor positioned."""

    def seekable(self):
        return super().seekable() and False

    def writable(self):
        return super().writable() and False

    def unsupported(self, *args):
        self.flush()  # ValueError when it is closed
        raise io.UnsupportedOperation

    seek = tell = truncate = write = writelines = unsupported
