"""wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import urllib.parse

import pytest

from conftest import check_structure
from daemon import SANITIZED, until
from fcgi import params, request
from test_wsgi import becomes, get_json, header, still_fine

OVER_HTTP = True
APP = "pepapp"
MIB = 1 << 20
BLOCK = 61440  # bytes of a file that are sent at a time, in a record of their own
CONTENT = bytes(range(251)) * 2000
VALIDATED = ["", "/validated"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def wrap(path, **query):
    return "/wrap?" + urllib.parse.urlencode({"path": path, **query})


def whole(response, body, length=True):
    assert (response.status, response.complete) == (200, True), response
    assert response.body == body
    if length:
        assert header(response, "Content-Length") == [str(len(body))]


@pytest.mark.parametrize("prefix", VALIDATED)
@pytest.mark.parametrize("kind", ["plain", "raw", "random", "bytesio", "reader"])
def test_kinds_of_files(client, file, prefix, kind):
    response = client.ask(prefix + wrap(file, kind=kind))
    whole(response, CONTENT, length=not prefix and kind in ("plain", "raw", "random"))
    if kind != "reader":
        becomes(client, "/wrapped-closed", True)


@pytest.mark.parametrize("kind", ["plain", "bytesio", "reader"])
def test_length_of_a_wrapped_file_is_no_mistake(start, file, kind):
    """It says how much of the file is meant, however that is sent: the log has nothing to say."""
    server = start(APP)
    for length in (0, 10, 8192, 100000):
        response = server.ask("/wrap", query=wrap(file, kind=kind, length=length).partition("?")[2])
        whole(response, CONTENT[:length])
    server.ask("/hello")
    assert "longer than" not in server.log()


@pytest.mark.fastcgi
def test_full_records(server, file):
    """A file goes out in records of whole blocks, the head in front of the first."""
    response = check_structure(server.ask("/wrap", query="path=%s" % file))
    assert response.body == CONTENT
    lengths = [len(chunk) for chunk in response.chunks]
    assert lengths == [BLOCK] * (len(CONTENT) // BLOCK) + [len(CONTENT) % BLOCK]


@pytest.mark.fastcgi
def test_small_file_in_one_piece(server, tmp_path):
    """Head, file and end are one record and its end."""
    (tmp_path / "small").write_bytes(b"small")
    response = check_structure(server.ask("/wrap", query="path=%s" % (tmp_path / "small")))
    assert [record.type for record in response.records] == [6, 6, 3] and response.body == b"small"
    assert ("Content-Length", "5") in response.headers


@pytest.mark.parametrize("size", ["1", "1000", "100000", "zero", "minus"])
@pytest.mark.parametrize("kind", ["plain", "bytesio"])
def test_block_size_is_a_suggestion(client, file, kind, size):
    """None of them loses anything, not even 0."""
    content = CONTENT[:3000] if size == "1" else CONTENT
    file.write_bytes(content)
    whole(client.ask(wrap(file, kind=kind, size=size)), content, length=kind == "plain")


@pytest.mark.parametrize("kind", ["plain", "raw", "random", "bytesio"])
@pytest.mark.parametrize("offset", [0, 1, 70000, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 10])
def test_from_the_current_position(client, file, kind, offset):
    whole(client.ask(wrap(file, kind=kind, offset=offset)), CONTENT[offset:], length=False)


@pytest.mark.parametrize("kind", ["plain", "bytesio"])
@pytest.mark.parametrize("offset, length", [(0, 1), (0, 100), (1000, BLOCK), (10, BLOCK + 1), (0, len(CONTENT)),
                                            (5, len(CONTENT) - 5), (1, 3 * BLOCK), (7, 3 * BLOCK + 1), (0, 0)])
def test_range(client, file, kind, offset, length):
    """seek() and Content-Length: a part of the file, as for a 206."""
    response = client.ask(wrap(file, kind=kind, offset=offset, length=length))
    whole(response, CONTENT[offset:offset + length])


@pytest.mark.parametrize("kind", ["plain", "bytesio"])
def test_shorter_than_its_length(client, server, file, kind):
    start = len(server.log())
    response = client.ask(wrap(file, kind=kind, length=len(CONTENT) + 5))
    assert not response.complete
    server.wait_log("(?s)^.{%d,}sent %d of the %d bytes" % (start, len(CONTENT), len(CONTENT) + 5))
    still_fine(client)


@pytest.mark.parametrize("length", [None, len(CONTENT)])
def test_head_of_a_file(client, file, length):
    response = client.ask(wrap(file, **({"length": length} if length else {})), "HEAD")
    assert (response.status, response.body, response.complete) == (200, b"", True)
    assert header(response, "Content-Length") == [str(len(CONTENT))]
    becomes(client, "/wrapped-closed", True)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_file_with_a_status_without_body(client, file, status):
    response = client.ask(wrap(file, status=status))
    assert (response.status, response.body, response.complete) == (int(status[:3]), b"", True)
    becomes(client, "/wrapped-closed", True)
    still_fine(client)


def test_empty_file(client, tmp_path):
    (tmp_path / "empty").touch()
    whole(client.ask(wrap(tmp_path / "empty")), b"")


# A chroot has /proc, but not always /sys.
KERNEL = ["/proc/self/status", "/proc/cpuinfo", "/proc/self/environ", "/sys/devices/system/cpu/online"]


@pytest.mark.parametrize("path", [path for path in KERNEL if os.path.exists(path)])
def test_files_of_the_kernel(client, path):
    """Regular files whose size says nothing: 0, or a page."""
    response = client.ask(wrap(path))
    assert response.status == 200 and response.complete and response.body
    if path == "/proc/cpuinfo":
        assert response.body.count(b"\n") > 10


def test_after_write(client, file):
    whole(client.ask(wrap(file, write="before ")), b"before " + CONTENT, length=False)
    whole(client.ask(wrap(file, write="before ", length=len(CONTENT) + 7)), b"before " + CONTENT)
    whole(client.ask(wrap(file, write="before ", length=10)), b"before " + CONTENT[:3])


def test_what_was_written_is_sent(client, file):
    """Also while it is in the object's own buffer only."""
    whole(client.ask(wrap(file, kind="dirty")), b"WRITTEN" + CONTENT[7:])


def test_subclass_reads_by_itself(client, file):
    """Its descriptor does not say what its read() gives."""
    file.write_bytes(b"abc" * 100000)
    whole(client.ask(wrap(file, kind="subclass")), b"ABC" * 100000, length=False)


def test_pipe(client, file):
    whole(client.ask(wrap(file, kind="pipe")), CONTENT[:1000], length=False)


@pytest.mark.parametrize("kind, message", [("text", "TypeError: the application's iterable gave str, not bytes"),
                                           ("closed", "ValueError: .*closed file")])
def test_files_that_cannot_be_sent(client, server, file, kind, message):
    file.write_bytes(b"text" * 1000)
    start = len(server.log())
    response = client.ask(wrap(file, kind=kind))
    assert response.status == 500 and response.complete
    server.wait_log("(?s)^.{%d,}%s" % (start, message))
    still_fine(client)


def test_wrapper_by_itself(client):
    """An iterable that reads nothing before it is asked to, and hands close() on: what a middleware makes of it."""
    results = get_json(client, "/wrapper-api")
    assert results == [True, ["abc", "abc"], [7, 7, 7, "close"], None, "TypeError", "TypeError", True]


# --- large files: what is in memory is sent without being read (sendfile)

DIRECTORIES = ["disk"] + ["memory"] * os.path.isdir("/dev/shm")


@pytest.fixture(params=DIRECTORIES)
def directory(request, tmp_path):
    """A directory of an ordinary file system, and of one that cannot tell what is in memory (tmpfs)."""
    if request.param == "disk":
        yield tmp_path
        return
    made = tempfile.mkdtemp(dir="/dev/shm")
    os.chmod(made, 0o755)
    yield made
    shutil.rmtree(made)


def noise(size, seed=0):
    """Bytes that nowhere repeat themselves, without a zero."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\1")


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


@pytest.mark.parametrize("memory", ["hot", "cold"])
def test_large_file(client, directory, memory):
    """Every byte in its place, whether or not it has to come from the disk first."""
    content = noise(8 * MIB + 12345)
    path = write(os.path.join(directory, "large"), content)
    if memory == "cold":
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    whole(client.ask(wrap(path)), content)
    whole(client.ask(wrap(path, offset=4321, length=5 * MIB)), content[4321:4321 + 5 * MIB])
    whole(client.ask(wrap(path, write="before ")), b"before " + content, length=False)
    whole(client.ask(wrap(path, write="before ", length=len(content) + 7)), b"before " + content)


def big_request(server, connection, path, **query):
    query = urllib.parse.urlencode({"path": path, **query})
    connection.send(request(params("/wrap", query=query)))


def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def test_memory_is_bounded(server, tmp_path):
    """A large file to a reader that takes its time: what is kept is a few records."""
    size = 256 * MIB
    path = sparse(tmp_path / "sparse", size)
    check_structure(server.ask("/wrap", query="path=%s&length=300000" % path))
    server.reset_peak()
    before = server.rss()
    with server.connect() as connection:
        big_request(server, connection, path)
        got, buffer = 0, bytearray(MIB)
        while True:
            n = connection.sock.recv_into(buffer)
            if not n:
                break
            got += n
            if got < 20 * MIB and got % 7 == 0:
                server.ask("/hello")
    assert size < got < size + size // 1000
    assert server.peak() - before < (64 if SANITIZED else 2) * MIB


def asleep(server):
    """Whether no thread runs: of one that sends, that it waits for its peer."""
    states = []
    for task in os.listdir("/proc/%d/task" % server.pid):
        try:
            states.append(server.proc("task/%s/stat" % task).rpartition(")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # ended meanwhile
    return set(states) == {"S"}


def until_asleep(server):
    until(lambda: asleep(server), "the server to wait for its peer", server.log)


def test_slow_reader(server, directory):
    """The file goes on where the peer had left off to take it."""
    content = noise(8 * MIB)
    path = write(os.path.join(directory, "slow"), content)
    with server.connect() as connection:
        big_request(server, connection, path)
        for _ in range(40):
            connection.read_and_keep()
            until_asleep(server)
        response = check_structure(connection.read_response(1))
    assert response.body == content


def test_reader_that_takes_nothing(start, tmp_path):
    server = start(APP, "--idle-timeout", "1")
    with server.connect() as connection:
        big_request(server, connection, sparse(tmp_path / "unread", 100 * MIB))
        connection.read_record()
        server.wait_log("the peer took nothing of an answer for --idle-timeout")
        until(lambda: json.loads(server.ask("/wrapped-closed").body), "the file to be closed", server.log)


@pytest.mark.parametrize("blocks", [2, 3, 4, 5, 6, 7, 8, 800])
def test_file_that_is_emptied_meanwhile(server, directory, blocks):
    """The end of a record that was begun is zeros; the announced length is reached with the file's own bytes or not at
    all, so that nobody takes the answer for whole."""
    content = noise(blocks * BLOCK)
    path = write(os.path.join(directory, "emptied"), content)
    with server.connect() as connection:
        big_request(server, connection, path)
        connection.read_and_keep()
        until_asleep(server)
        os.truncate(path, 0)
        response = connection.read_response(1)
    from_file = response.body.rstrip(b"\0")
    assert content.startswith(from_file)
    assert response.broken == (len(response.body) < len(content)) == (response.body != content)
    if response.broken:
        server.wait_log("sent %d of the %d bytes that its Content-Length announced" % (len(from_file), len(content)))
    assert response.broken or blocks < 800, "it was sent before it was emptied"


def test_file_that_is_truncated_meanwhile(server, tmp_path):
    """What was announced does not come: the answer is seen to be cut, and the log says so."""
    path = sparse(tmp_path / "truncated", 50 * MIB)
    with server.connect() as connection:
        big_request(server, connection, path)
        connection.read_and_keep()
        os.truncate(path, MIB)
        response = connection.read_response(1)
    assert response.broken and len(response.body) < 50 * MIB
    server.wait_log("sent \\d+ of the %d bytes that its Content-Length announced" % (50 * MIB))
    check_structure(server.ask("/hello"))


@pytest.mark.parametrize("announced", [False, True])
def test_file_that_grows_meanwhile(server, tmp_path, announced):
    """Without a Content-Length it is sent as long as it was; else up to that length."""
    path = sparse(tmp_path / "growing", 20 * MIB)
    with server.connect() as connection:
        big_request(server, connection, path, **({"length": 21 * MIB} if announced else {}))
        connection.read_and_keep()
        with open(path, "ab") as file:
            file.write(b"x" * 3 * MIB)
        response = check_structure(connection.read_response(1))
    assert len(response.body) == (21 if announced else 20) * MIB
    assert response.body.endswith(b"x" * MIB if announced else b"\0")


def test_peer_that_goes_away(server, tmp_path):
    path = sparse(tmp_path / "unread", 100 * MIB)
    with server.connect() as connection:
        big_request(server, connection, path)
        connection.read_record()
    until(lambda: json.loads(server.ask("/wrapped-closed").body), "the file to be closed", server.log)


def test_peers_that_go_away_when_sigpipe_ends_processes(start, tmp_path):
    """The application has set SIGPIPE back; sendfile has no MSG_NOSIGNAL."""
    server = start(APP, env={"DEFAULT_SIGPIPE": "1"})
    assert not server.status_mask("SigIgn") >> (signal.SIGPIPE - 1) & 1
    path = sparse(tmp_path / "unread", 100 * MIB)
    for records in range(40):
        with server.connect() as connection:
            big_request(server, connection, path)
            for _ in range(records):
                connection.read_record()
    assert server.ask("/hello").body == b"Hello, world\n"


@pytest.mark.fastcgi
def test_files_and_short_answers_on_one_connection(server, directory):
    """Records of the files alternate, short answers come between them, and no record has a byte of another answer."""
    contents = {id: noise(8 * MIB, id) for id in (1, 2)}
    with server.connect() as connection:
        for id, content in contents.items():
            path = write(os.path.join(directory, "shared%d" % id), content)
            connection.send(request(params("/wrap", query="path=%s" % path), id=id, keep=True))
        until_asleep(server)
        for _ in range(5):
            assert connection.ask("/hello", id=3).body == b"Hello, world\n"
            assert not any(response.complete for response in connection.pending.values())
        sent = dict.fromkeys(contents, 0)
        while max(sent.values()) < 4 * MIB:
            got = connection.read_and_keep()
            sent[got.id] += len(got.content)
        assert min(sent.values()) > MIB // 4, sent  # turns to the letter: tests/unit/net/test_conn_transmit.c
        for id, content in contents.items():
            assert check_structure(connection.read_response(id)).body == content


def test_other_requests_while_a_file_is_sent(server, tmp_path):
    path = sparse(tmp_path / "long", 100 * MIB)
    with server.connect() as connection, server.connect() as other:
        big_request(server, connection, path)
        connection.read_and_keep()
        for _ in range(50):
            assert other.ask("/hello").body == b"Hello, world\n"
        response = check_structure(connection.read_response(1))
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(bytes(100 * MIB)).digest()
