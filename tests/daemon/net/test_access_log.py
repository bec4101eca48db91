"""--access-log: a line for each request, however it ended, which no peer can forge and no request waits for."""
import json
import os
import re
import select
import signal
import socket
import stat
import threading

import pytest

import fcgi
from daemon import binary, run, until
from fcgi import begin, pairs, params, record, request, stream
from test_cli import refused
from test_fcgi import good
from test_sched import finish, hold

OVER_HTTP = True
EX_USAGE, EX_CANTCREAT = 64, 73
KEYS = ("time client peer user method host target protocol status end bytes bytes_in referer user_agent duration queue "
        "application first_byte cpu worker pid thread request_id trace_id").split()

# What fail2ban and goaccess take for the combined form of Apache: quotes within values have a backslash in front.
QUOTED = r'"((?:[^"\\]|\\.)*)"'
COMBINED = re.compile(r"(\S+) (\S+) (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] " + QUOTED
                      + r" (\d{3}) (\d+|-) " + QUOTED + " " + QUOTED)


class Log:
    def __init__(self, path):
        self.path = str(path)

    def read(self):
        try:
            with open(self.path, newline="\n") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def ready(self, server):
        """Without what the server was asked when it began. Returns the server."""
        if server.speaks_http:
            self.lines(1)
            os.truncate(self.path, 0)
        return server

    def lines(self, count):
        """The first lines, when there are so many, and whole."""
        def whole():
            return self.read().count("\n") >= count
        until(whole, "%d lines in %s" % (count, self.path), self.read)
        return self.read().split("\n")[:-1]

    def objects(self, count):
        return [json.loads(line) for line in self.lines(count)]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "access.log")


@pytest.fixture
def logged(start, log):
    """A server that logs in this form."""
    def starter(form, *options, app="wsgiapp"):
        return log.ready(start(app, "--access-log", log.path, "--access-log-format", form, *options))
    return starter


def combined(line):
    match = COMBINED.fullmatch(line)
    assert match, line
    return match.groups()


# --- fields

def test_combined(start, log):
    server = log.ready(start("wsgiapp", "--access-log", log.path))
    good(server.ask("/hello", query="a=1", headers={"Referer": "http://x/", "User-Agent": "curl/8 \"q\" \\"}))
    server.ask("/echo", "POST", body=b"")
    client, identity, user, _, line, status, size, referer, agent = combined(log.lines(2)[0])
    assert (client, identity, user) == ("-" if server.speaks_http else "127.0.0.1", "-", "-")
    assert (line, status, size) == ("GET /hello?a=1 HTTP/1.1", "200", "13")
    assert (referer, agent) == ("http://x/", r"curl/8 \"q\" \\")
    assert combined(log.lines(2)[1])[4:7] == ("POST /echo HTTP/1.1", "200", "-")
    assert stat.S_IMODE(os.stat(log.path).st_mode) & 0o137 == 0


def test_json(logged, log):
    server = logged("json")
    good(server.ask("/hello", query="a=1", headers={"User-Agent": "\u00e4<"}))
    server.ask("/echo", "POST", body=b"x" * 1000)
    first, second = log.objects(2)
    assert list(first) == list(second) == KEYS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["method"], first["target"], first["protocol"]) == ("GET", "/hello?a=1", "HTTP/1.1")
    assert (first["status"], first["end"], first["bytes"], first["bytes_in"]) == (200, "answered", 13, 0)
    assert (first["peer"], first["host"], first["referer"]) == ("unix", "localhost", None)
    assert (second["bytes"], second["bytes_in"], second["worker"], second["pid"]) == (1000, 1000, None, server.pid)
    assert second["thread"] in map(int, os.listdir("/proc/%d/task" % server.pid))
    assert 0 <= first["application"] <= first["duration"] and first["queue"] == 0
    assert 0 <= first["cpu"] <= first["application"]
    assert 0 <= first["first_byte"] <= first["duration"]


def test_processor_time(logged, log):
    server = logged("{cpu} {application}")
    good(server.ask("/hello"))
    cpu, application = map(float, log.lines(1)[0].split())
    assert 0 <= cpu <= application


def test_label_and_trace(logged, log):
    """Those of the client, also where the loop answers in place of the call; else a label that the server makes."""
    server = logged("{request_id} {trace_id} {status}", "--limit-request-body", 10)
    given = {"X-Request-ID": "abc-1", "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    good(server.ask("/hello", headers=given))
    server.ask("/echo", "POST", body=b"x" * 11, headers=given)
    good(server.ask("/hello"))
    lines = log.lines(3)
    assert lines[:2] == ["abc-1 0af7651916cd43dd8448eb211c80319c 200", "abc-1 0af7651916cd43dd8448eb211c80319c 413"]
    assert re.fullmatch(r"[!-~]{8,} - 200", lines[2]) and not lines[2].startswith("abc")


def test_each_field(logged, log):
    names = ["time_unix", "scheme", "path", "query", "host", "bytes_clf", "header:X-Foo", "header:Content-Type",
             "answer:content-type", "answer:X-None", "environ:SERVER_PROTOCOL", "environ:NONE", "worker"]
    server = logged("{{|" + "|".join("{%s}" % name for name in names) + "|}}")
    server.ask("/hello", "POST", query="a=1", body=b"", headers={"X-Foo": "a|b", "Content-Type": "text/x"})
    values = log.lines(1)[0].split("|")
    assert values[0] == "{" and values[-1] == "}"
    assert re.fullmatch(r"\d{10}\.\d{3}", values[1])
    assert values[2:-1] == ["http", "/hello", "a=1", "localhost", "13", r"a\x7cb", "text/x", "text/plain", "-",
                            "HTTP/1.1", "-", "-"]


@pytest.mark.fastcgi
def test_client_and_user(logged, log):
    server = logged("{client} {user} {status}")
    good(server.ask("/hello", REMOTE_ADDR="203.0.113.9", REMOTE_USER="a b\nc"))
    assert log.lines(1) == [r"203.0.113.9 a\x20b\nc 200"]


# --- ends

def test_refused(logged, log):
    server = logged("{status} {end} {bytes_in} {application} {request}", "--limit-request-body", 10)
    with server.connect() as connection:
        connection.send(request(params("/echo", "POST", body=b"x" * 11), b"x" * 11))
        assert connection.read_response(1).status == 413
    assert re.fullmatch(r"413 refused \d+ - POST /echo HTTP/1.1", log.lines(1)[0])


def test_what_is_no_request(logged, log):
    server = logged("combined")
    with server.connect() as connection:
        if server.speaks_http:
            connection.sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        else:
            connection.send(request(params("/", REQUEST_METHOD="G\0T")))
        assert connection.read_response(1).status == 400
    assert combined(log.lines(1)[0])[4:6] == ("-", "400")


def test_aborted(logged, log, gate):
    server = logged("{status} {end} {target}")
    connections, visitors = hold(server, gate)
    for connection in connections:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    for visitor in visitors:
        visitor.release()
    assert re.fullmatch("(499|200) (aborted|answered) /gate.*", log.lines(1)[0])


def test_overdue(logged, log, gate):
    server = logged("{status} {end} {application} {target}", "--request-timeout", "0.2")
    connections, visitors = hold(server, gate)
    assert connections[0].read_response(1).status == 504
    assert re.fullmatch("504 overdue - /gate.*", log.lines(1)[0])
    visitors[0].release()
    connections[0].close()
    good(server.ask("/hello"))
    assert [line.split()[3] for line in log.lines(2)][1] == "/hello"


def test_places_of_parameters(logged, log):
    """They are remembered of requests that have the same names, which come between those of others."""
    server = logged("{header:X-One}|{user_agent}|{referer}|{header:X-Two}")
    orders = [["X-One", "User-Agent", "Referer", "X-Two"], ["X-Two", "Referer", "User-Agent", "X-One"], ["User-Agent"],
              ["X-Other", "X-Two"], []]
    expected = []
    for turn in range(5):
        for order in orders:
            values = {name: "%s%d" % (name[-3:], turn) * (1 + 50 * turn) for name in order}
            good(server.ask("/hello", query="a" * turn, headers=values))
            expected.append("|".join(values.get(n, "-") for n in ["X-One", "User-Agent", "Referer", "X-Two"]))
    assert log.lines(len(expected)) == expected


@pytest.mark.parametrize("odd", ['"', "\\", "\x80", "\xff", "|"])
def test_each_place_of_a_value(logged, log, odd):
    """What has to be escaped is, wherever it stands in a value of any length."""
    server = logged("{header:X-Foo}|")
    shown = {'"': '\\"', "\\": "\\\\"}.get(odd, "\\x%02x" % ord(odd))
    places = [(at, length - at - 1) for length in (1, 3, 4, 7, 8, 9, 16, 17, 33) for at in range(length)]
    for before, behind in places:
        good(server.ask("/hello", headers={"X-Foo": "a" * before + odd + "b" * behind}))
    assert log.lines(len(places)) == ["a" * before + shown + "b" * behind + "|" for before, behind in places]


def test_warm_up_has_no_line(logged, log):
    server = logged("{target}", "--warm-up", "/hello")
    good(server.ask("/hello", query="second"))
    assert log.lines(1) == ["/hello?second"]


# --- hostile peers

BENT = "\u202e\u2028".encode().decode("latin-1")
HOSTILE = "\x9b\"\\' \t{}%s" + BENT
CONTROLS = "\x1b[2J\x07\"" + HOSTILE  # no request may have that


def test_nobody_forges_a_line(logged, log):
    server = logged('{header:X-Foo} "{header:X-Foo}" <{user_agent}>{target}')
    for text in (HOSTILE, '" 200 "', "> <", "x" * 60000, CONTROLS):
        server.ask("/hello", headers={"X-Foo": text, "User-Agent": text})
    lines = log.lines(5)
    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(r'[!-~]+ "(?:[^"\\]|\\.)*" <[^>]*>(/hello|-)', line) and line.isprintable() and line.isascii()
    assert lines[1].startswith(r'\"\x20200\x20\" "\" 200 \"" <')
    assert len(lines[3]) < 4096 and lines[3].endswith("...>/hello")


def test_json_stays_json(logged, log):
    server = logged("json")
    for text in (HOSTILE, BENT * 5000, CONTROLS):
        server.ask("/hello", query="a", headers={"Referer": text, "User-Agent": text})
    log.lines(3)
    with open(log.path, "rb") as file:
        lines = file.read().splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["/hello?a", "/hello?a", None]
    for line in lines:
        assert len(line) < 4096 and not re.search(rb"[\0-\x1f\x7f]", line)


@pytest.mark.fastcgi
def test_bytes_of_fastcgi(logged, log):
    """Where no rule of HTTP holds, each byte can be there."""
    server = logged("combined")
    for value in range(1, 256):
        server.ask("/", REQUEST_URI=b"/" + bytes([value]), HTTP_USER_AGENT=bytes([value]) * 2)
    for line in log.lines(200):
        assert combined(line)[5] in ("200", "404", "400")


# --- where it goes

def drain(fd, until_closed):
    data = b""
    while select.select([fd], [], [], None if until_closed else 0)[0]:
        part = os.read(fd, 65536)
        if not part:
            break
        data += part
    return data


@pytest.mark.fastcgi
def test_standard_output(start, tmp_path):
    path, pipe = tmp_path / "app.sock", tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    server = start(address=str(path), command=["sh", "-c", 'exec "$@" >"$0"', str(pipe), binary(), "-s", str(path),
                                               "--access-log", "-", "--access-log-format", "{target}", "wsgiapp"])
    good(server.ask("/hello", query="1"))
    assert select.select([reading], [], [], fcgi.PATIENCE)[0]
    assert os.read(reading, 100) == b"/hello?1\n"
    good(server.ask("/hello", query="2"))
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert drain(reading, True) == b"/hello?2\n"
    os.close(reading)


@pytest.mark.fastcgi
def test_a_pipe_that_nobody_reads(start, tmp_path):
    """Requests go on, what is lost is said, and what is read later has whole lines."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = start("wsgiapp", "--access-log", path, "--access-log-format", "{target} {header:X-Long}")
    long = "x" * 2000
    with server.connect() as connection:
        for number in range(2600):
            connection.send(request(params("/hello", query=str(number), headers={"X-Long": long}), keep=True))
            assert connection.read_response(1).status == 200
    lost = int(server.wait_log(r"warning: access log: (\d+) lines? (?:was|were) lost, which came faster").group(1))
    assert lost >= 1
    data = b""
    while b"?after " not in data:
        # Lost as well as long as there is no room.
        good(server.ask("/hello", query="after"))
        if select.select([reading], [], [], 0)[0]:
            data += os.read(reading, 1 << 20)
    lines = data[:data.index(b"/hello?after ")].decode().splitlines()
    assert all(re.fullmatch(r"/hello\?\d+ x+", line) for line in lines)
    numbers = [int(re.search(r"\d+", line).group()) for line in lines]
    # A line is written after the answer: reading may have made room for the last one already.
    if numbers[-1] == 2599:
        numbers.pop()
    assert numbers == list(range(len(numbers)))
    os.close(reading)


@pytest.mark.fastcgi
def test_a_pipe_whose_reader_has_gone(start, tmp_path):
    """It is told, requests go on, and so do lines when another one reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = start("wsgiapp", "--access-log", path, "--access-log-format", "{target}")
    os.close(reading)
    good(server.ask("/hello", query="lost"))
    server.wait_log("error: access log: it cannot be written: Broken pipe: lines are lost until it can: what read it has ended")
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    good(server.ask("/hello", query="again"))
    server.wait_log("info: access log: it is written again; 1 line was lost")
    assert os.read(reading, 1000) == b"/hello?again\n"
    os.close(reading)


@pytest.mark.fastcgi
def test_truncated_in_place(start, log):
    """copytruncate of logrotate(8): no hole where the old lines were."""
    server = start("wsgiapp", "--access-log", log.path, "--access-log-format", "{target}")
    good(server.ask("/hello", query="1"))
    log.lines(1)
    os.truncate(log.path, 0)
    good(server.ask("/hello", query="2"))
    assert log.lines(1) == ["/hello?2"]


def test_a_full_disk(start):
    server = start("wsgiapp", "--access-log", "/dev/full")
    for _ in range(3):
        good(server.ask("/hello"))
    server.wait_log("error: access log: it cannot be written: No space left on device: lines are lost until it can: make room")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(re.findall("cannot be written", server.log())) == 1
    assert re.search(r"access log: \d lines? (was|were) lost", server.log())


@pytest.mark.fastcgi
def test_syslog(start, tmp_path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        daemon.settimeout(fcgi.PATIENCE)
        server = start("wsgiapp", "--access-log", "syslog:" + path, "--access-log-format", "{target}")
        good(server.ask("/hello", query="1"))
        assert daemon.recv(1000) == b"<190>wsgi-fcgi[%d]: /hello?1" % server.pid


def test_no_syslog_daemon(start, tmp_path):
    server = start("wsgiapp", "--access-log", "syslog:" + str(tmp_path / "none"))
    good(server.ask("/hello"))
    server.wait_log("access log: it cannot be written: No such file or directory: [^\n]*when the syslog daemon runs")


def load(server, count, threads=3):
    """Requests by several clients; their numbers."""
    def client(first):
        with server.connect() as connection:
            for number in range(first, count, threads):
                connection.send(request(params("/hello", query=str(number)), keep=True))
                assert connection.read_response(1).status == 200
    clients = [threading.Thread(target=client, args=(first,)) for first in range(threads)]
    for thread in clients:
        thread.start()
    return clients


def numbers(*logs):
    return sorted(int(line.split("?")[1].split()[0]) for log in logs for line in log.read().splitlines())


@pytest.mark.parametrize("workers", [0, 2])
def test_rotation_loses_no_line(start, supervise, log, workers):
    options = ["--access-log", log.path, "--access-log-format", "{target} {worker}"]
    server = log.ready(supervise("wsgiapp", workers, *options) if workers else start("wsgiapp", *options))
    clients = load(server, 3000)
    old = []
    for number in range(5):
        log.lines(1)
        os.rename(log.path, log.path + ".%d" % number)
        old.append(Log(log.path + ".%d" % number))
        server.signal(signal.SIGUSR1)
        until(lambda: len(re.findall("was opened anew", server.log())) == number + 1, "another file", server.log)
    for thread in clients:
        thread.join()
    until(lambda: len(numbers(log, *old)) >= 3000, "all lines", server.log)
    assert numbers(log, *old) == list(range(3000))
    if workers:
        good(server.ask("/hello", query="3000"))
        until(lambda: 3000 in numbers(log), "a line in the new file")


def test_workers_and_their_replacements(supervise, log):
    """Lines of all that there ever were, each once, also when they were about to end."""
    server = log.ready(supervise("wsgiapp", 2, "--access-log", log.path, "--access-log-format", "json", "--max-requests", 20))
    count = 0
    while len({line["pid"] for line in log.objects(count)}) < 3:
        good(server.ask("/hello", query=str(count)))
        count += 1
    assert sorted(int(line["target"].split("?")[1]) for line in log.objects(count)) == list(range(count))
    assert {line["worker"] for line in log.objects(count)} <= {0, 1}


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_workers_of_a_reload(supervise, log, options):
    server = log.ready(supervise("wsgiapp", 1, "--access-log", log.path, "--access-log-format", "{target} {pid}", *options))
    good(server.ask("/hello", query="1"))
    before = server.serving()[0]
    server.signal(signal.SIGHUP)
    until(lambda: server.serving().get(0, before) != before, "another worker", server.log)
    server.wait_gone(before)
    good(server.ask("/hello", query="2"))
    assert log.lines(2) == ["/hello?1 %d" % before, "/hello?2 %d" % server.serving()[0]]


@pytest.mark.skipif(os.geteuid() != 0, reason="a start as root")
@pytest.mark.parametrize("workers", [0, 1])
def test_started_as_root(start, supervise, tmp_path, workers):
    """The directory is root's: workers get the file from the supervisor, also when it is opened anew."""
    directory = tmp_path / "logs"
    directory.mkdir(mode=0o755)
    log = Log(directory / "access.log")
    options = ["--access-log", log.path, "--access-log-format", "{target}", "--user", "nobody"]
    server = supervise("wsgiapp", 1, *options) if workers else start("wsgiapp", *options)
    os.chmod(server.dir, 0o777)  # so that it can remove its socket
    good(server.ask("/hello"))
    log.lines(1)
    if workers:
        os.rename(log.path, log.path + ".1")
        server.signal(signal.SIGUSR1)
        until(lambda: os.path.exists(log.path), "another file", server.log)
        until(lambda: server.ask("/hello").status == 200 and log.read(), "a line in it", server.log)
        assert stat.S_IMODE(os.stat(log.path).st_mode) == 0o640


# --- what an end leaves

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_is_written_at_a_stop(logged, log, number):
    server = logged("{target}")
    for thread in load(server, 500):
        thread.join()
    server.signal(number)
    assert server.wait_exit() == 0
    assert numbers(log) == list(range(500))


def test_a_stop_does_not_wait_for_a_stuck_reader(start, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    server = start("wsgiapp", "--access-log", path, "--access-log-format", "{header:X-Long}")
    for _ in range(100):
        good(server.ask("/hello", headers={"X-Long": "x" * 2000}))
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    os.close(reading)


# --- mistakes

@pytest.mark.parametrize("form, text", [
    ("{clint}", r"there is no field \{clint\}: did you mean \{client\}\?: the fields are [^\n]*\bstatus\b"),
    ("combine", "combine has no field: did you mean combined"),
    ("{client", r"the \{ at character 1 has no \}"),
    ("{header}", r"\{header\} needs a name: write \{header:NAME\}"),
])
def test_mistakes(form, text):
    result = run("--access-log", "-", "--access-log-format", form, "--check", "wsgiapp")
    assert result.returncode == EX_USAGE and re.search("error: --access-log-format: " + text, result.stderr), result.stderr


@pytest.mark.parametrize("kind,why", [("directory", "Is a directory"), ("pipe", "No such device or address")])
def test_what_cannot_be_opened(tmp_path, kind, why):
    """Also a pipe that nobody has opened for reading: a start does not wait for that."""
    path = tmp_path / "log"
    (os.mkdir if kind == "directory" else os.mkfifo)(path)
    result = run("-s", tmp_path / "s", "--access-log", path, "wsgiapp")
    assert result.returncode == EX_CANTCREAT
    assert re.search("error: --access-log: cannot open [^\n]*: " + why, result.stderr), result.stderr


def test_no_such_directory(tmp_path):
    result = run("-s", tmp_path / "s", "--access-log", tmp_path / "none" / "log", "wsgiapp")
    assert result.returncode == EX_CANTCREAT
    assert re.search("error: --access-log: cannot open [^\n]*: No such file", result.stderr)
