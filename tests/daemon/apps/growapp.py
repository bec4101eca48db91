"""Memory that grows, by the path: in Python, behind its back, in small pieces, in a child; or for a moment only."""
import mmap
import os
import tracemalloc

KEPT = [b"x" * (int(os.environ.get("HOLD", "0")) << 20)]  # from the beginning, which workers may share
HEADERS = [("Content-Type", "text/plain")]


def python(size):
    KEPT.append(bytearray(b"x" * size))  # python


def small(size):
    KEPT.append([str(n) for n in range(size // 64)])  # small


def elsewhere(size):
    piece = mmap.mmap(-1, size)
    piece.write(b"x" * size)
    KEPT.append(piece)


def moment(size):
    bytes(bytearray(b"x" * size))


def own(size):
    tracemalloc.start()
    KEPT.append(bytearray(b"x" * size))  # own


def stop(size):
    tracemalloc.stop()


def application(environ, start_response):
    name, size = environ["PATH_INFO"][1:], int(environ["QUERY_STRING"] or 0) << 20
    start_response("200 OK", HEADERS)
    if name == "child":
        pid = os.fork()
        if not pid:
            os._exit(tracemalloc.is_tracing())
        return [b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
    if name == "tracing":
        return [b"%d" % tracemalloc.is_tracing()]
    globals()[name](size)
    return [b"grown"]
