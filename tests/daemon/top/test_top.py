"""wsgi-fcgi-top as text: what is shown, how it finds the page, what it says when it cannot."""
import json
import re
import signal
import socket
import subprocess

import pytest

import daemon as daemons
import fcgi
import ports
from fcgi import PATIENCE
from looking import DOCUMENT, PROGRAM, Page, document, environment, run


@pytest.fixture
def page():
    made = Page()
    yield made
    made.close()


def once(page, *args, **env):
    done = run("--once", *args, page.address, **env)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout


def complaint(*args, status=69, **env):
    """What is said on standard error: one line, and nothing on standard output."""
    done = run(*args, **env)
    assert done.returncode == status and not done.stdout, done
    assert re.fullmatch(r"wsgi-fcgi-top: [^\n]+\n", done.stderr), done
    return done.stderr


# What is shown.


def test_running_requests_are_shown_with_their_lines_the_longest_first(page):
    text = once(page)
    assert re.search(r"^RUNNING 3 and 4 more$", text, re.M)
    assert re.search(r"^ +13 s +250 ms +blocked +0 GET /slow\n +/srv/site/views\.py:12 view$", text, re.M)
    assert re.search(r"^ +1\.5 s +1\.4 s +computing +1 overdue POST /numbers\n +/srv/site/numbers\.py:77 crunch$", text, re.M)
    assert re.search(r"^ +2 ms +- +waiting for the lock +1 GET /cart\n +\(its line of Python is not known\)$", text, re.M)
    assert text.index("/slow") < text.index("/numbers") < text.index("/cart")


def test_what_the_server_notes_comes_first(page):
    assert re.search(r'^wsgi-fcgi 0\.1\.0 .*\n! worker 1: 7 calls have run for more than 10 s: see where under "Running"\n',
                     once(page))


def test_stacks_are_shown_whole_when_asked_for(page):
    text = once(page, "--stacks")
    assert re.search(r'^ +File "/srv/site/app\.py", line 10, in application\n +File "/srv/site/views\.py", line 12, in view$',
                     text, re.M)
    assert "in application" not in once(page)


def test_rates_are_those_of_the_last_minute(page):
    # 600 requests and 3 errors in three buckets of 5 s; the one that is being filled does not count.
    assert re.search(r"^40 requests/s, 0\.20 errors/s, p50 3 ms, p99 80 ms, 4 connections, 5 queued$", once(page), re.M)
    page.document["history"]["buckets"] = []
    assert re.search(r"^- requests/s, - errors/s, p50 1\.2 ms, p99 35 ms, ", once(page), re.M)


def test_plots_have_a_bar_for_each_bucket(page):
    assert re.search(r"^requests/s  ▃▆█▁ to 60$", once(page), re.M)
    assert re.search(r"^requests/s  -\*@_ to 60$", once(page, LC_ALL="C"), re.M)


def test_workers_are_shown_with_age_memory_and_threads(page):
    text = once(page)
    assert re.search(r"^  0    4243 serving     1 d 1 h   52 MiB     3      0       2    1     0    0$", text, re.M)
    assert re.search(r"^  1    4244 ending      1 m 1 s  1\.5 GiB     1      5       8    0     7    2\n"
                     r" +the interpreter lock is held for 3\.3 s, --max-connections is reached$", text, re.M)


def test_paths_ends_of_workers_and_the_log_are_shown(page):
    text = once(page)
    assert re.search(r"^SLOWEST PATHS.*\n +1 m 10 s +2\.5 s +3  GET /report$", text, re.M)
    assert re.search(r"^MOST FREQUENT.*\n +200 ms +1\.1 ms +900  GET /$", text, re.M)
    assert re.search(r"^22:12:19  worker 1 \(process 4200\): crash  was killed by SIGSEGV$", text, re.M)
    assert re.search(r"^22:12:20 4244 serving$", text, re.M)


def test_what_is_unknown_is_left_out(page):
    page.document = {"version": 1, "server": {}, "running": [{}, None, 3, []], "workers": [None, {"threads": 1}],
                     "totals": [], "log": {}, "history": {"buckets": [1, {}]}, "paths": {"slowest": [None]}, "ends": [{}]}
    text = once(page)
    assert re.search(r"^RUNNING 4$", text, re.M) and re.search(r"^WORKERS 2,", text, re.M)


def test_values_at_their_limits_are_shown(page):
    huge = 1.7e308

    def change(made):
        made["running"] = [{"seconds": value, "cpu_seconds": value, "worker": value, "thread": value, "pid": value,
                            "line": {"file": "x.py", "line": value, "function": "f"}} for value in (huge, -huge, 2**63 - 1)]
        made["workers"][0].update(number=huge, pid=-huge, memory_bytes=huge, started_at=-huge, lock_waited_seconds=huge)
        made["running_more"] = made["totals"]["connections"] = made["server"]["now"] = huge
        made["history"]["seconds"] = 0
        made["history"]["buckets"][0].update(requests=huge, p99=-huge)
        made["log"][0].update(at=-huge, pid=huge)
    page.document = document(change)
    assert "RUNNING 3" in once(page)


@pytest.mark.parametrize("columns", [1, 20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(page, columns):
    def change(made):
        made["running"][0]["path"] = "/" + "x" * 4000
        made["running"][1]["line"]["file"] = "/srv" + "/deep" * 1000 + "/file.py"
        made["log"][0]["text"] = "漢字" * 500
    page.document = document(change)
    lines = once(page, COLUMNS=str(columns)).splitlines()
    for line in lines:
        assert sum(2 if char in "漢字" else 1 for char in line) <= max(columns, 20), line
    if columns >= 60:
        assert any("/file.py:77 crunch" in line for line in lines), "the end of a long path, where the file is"


HOSTILE = "\x1b[2J\x1b]0;title\x07\r\n\x00\x7f\x9b31m\u202egnp.exe\u2028 \u200f\ufdd0\u0301</script>"


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "tr_TR.UTF-8"])
def test_what_others_have_sent_does_nothing_to_the_terminal(page, locale):
    def spoil(value):
        if isinstance(value, dict):
            return {key: spoil(member) for key, member in value.items()}
        if isinstance(value, list):
            return [spoil(member) for member in value]
        return value + HOSTILE if isinstance(value, str) else value
    page.document = spoil(DOCUMENT)
    text = once(page, LC_ALL=locale, COLUMNS="400")
    assert "/slow?[2J?]0;title???" in text
    bad = [char for char in text if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160
           or char in "\u202e\u2028\u200f"]
    assert not bad, bad
    assert locale != "C" or text.isascii()


def test_json_is_the_document_as_it_came(page):
    page.document["new"] = ["what this program does not know", 1.50]
    done = run("--json", page.address)
    assert done.returncode == 0 and done.stdout == json.dumps(page.document) + "\n"


# Where the page is.


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The application that has the document, over both protocols."""
    path = tmp_path_factory.mktemp("d") / "document"
    path.write_text(json.dumps(document()))
    server = daemons.Daemon("statuspageapp", env={"DOCUMENT": path}, both=daemons.speaks_http())
    yield server
    server.stop()


def test_a_unix_socket_is_asked_over_fastcgi(app):
    for address in (app.path, "unix:" + app.path, "fcgi://" + app.path, "fcgi://%s?path=/status" % app.path):
        done = run("--once", address)
        assert done.returncode == 0 and "RUNNING 3" in done.stdout, (address, done)


def test_http_is_found_by_trying_and_by_its_scheme(app):
    if not daemons.speaks_http():
        return
    at = "127.0.0.1:%d" % app.http_address[1]
    for address in (at, "http://" + at, "http://%s/status" % at):
        done = run("--once", "--path", "/elsewhere" if address.endswith("/status") else "/status", address)
        assert done.returncode == 0 and "RUNNING 3" in done.stdout, (address, done)


def test_the_other_protocol_is_tried_when_the_first_one_is_wrong(start, tmp_path):
    path = tmp_path / "document"
    path.write_text(json.dumps(document()))
    port = ports.free_port()
    start("statuspageapp", socket="127.0.0.1:%d" % port, address=("127.0.0.1", port), env={"DOCUMENT": path})
    done = run("--once", ":%d" % port)  # TCP: HTTP comes first
    assert done.returncode == 0 and "RUNNING 3" in done.stdout, done
    if daemons.speaks_http():
        server = start("statuspageapp", env={"DOCUMENT": path}, protocol="http")
        done = run("--once", server.path)  # Unix: FastCGI comes first
        assert done.returncode == 0 and "RUNNING 3" in done.stdout, done


def test_a_scheme_leaves_no_other_protocol(app):
    assert "closed the connection without an answer" in complaint("--once", "http://" + app.path)
    if daemons.speaks_http():
        at = "127.0.0.1:%d" % app.http_address[1]
        assert "and does the socket speak FastCGI?" in complaint("--once", "fcgi://" + at)
    page = Page(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert "the socket speaks HTTP, and not FastCGI" in complaint("--once", "fcgi://" + page.address)
    page.close()


def test_the_address_may_come_from_the_environment(app):
    assert "RUNNING 3" in run("--once", WSGI_FCGI_TOP=app.path).stdout
    assert "WSGI_FCGI_TOP: nowhere: it names no port" in complaint("--once", WSGI_FCGI_TOP="nowhere", status=64)
    assert "no address: name a socket" in complaint("--once", status=64)


def test_a_chunked_answer_is_read(page):
    body = json.dumps(document()).encode()
    page.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   + b"".join(b"%x;x=y\r\n%b\r\n" % (len(body[at:at + 100]), body[at:at + 100]) for at in range(0, len(body), 100))
                   + b"0\r\n\r\n")
    assert "RUNNING 3" in once(page)


@pytest.fixture
def root(page):
    """A page at / alone, as a socket of --status has it."""
    ask = page.bytes
    page.bytes = lambda: (ask() if page.requests[-1].startswith(b"GET /?format=json HTTP/1.1\r\n")
                          else b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    return page


def test_the_page_of_a_status_socket_is_found(root):
    assert "RUNNING 3" in once(root)
    assert [request.split()[1] for request in root.requests] == [b"/status?format=json", b"/?format=json"]
    assert "RUNNING 3" in run("--once", "http://%s/" % root.address).stdout


def test_a_path_that_was_said_is_the_only_one(root):
    assert "there is no status page at /status (404)" in complaint("--once", "--path", "/status", root.address)
    assert "there is no status page at /x (404)" in complaint("--once", "http://%s/x" % root.address)


def test_what_an_application_has_at_its_root_is_no_page(page):
    page.bytes = lambda: (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>" if b"GET /?" in page.requests[-1]
                          else b"HTTP/1.1 404 Not Found\r\n\r\n")
    assert "there is no status page at /status (404)" in complaint("--once", page.address)


def test_a_real_server_is_shown(supervise):
    server = supervise("wsgiapp", 2, "--status-path", "/look", "--status", "127.0.0.1:0", "--threads", "2")
    port = server.wait_log(r"listening on 127\.0\.0\.1:(\d+) \(status page\)").group(1)
    for args in ["--path", "/look", server.path], ["127.0.0.1:" + port], ["http://127.0.0.1:%s/" % port]:
        text = run("--once", *args).stdout
        assert re.match(r"wsgi-fcgi \d+\.\d+\.\d+  wsgiapp\S*  pid %d  up " % server.pid, text), text
        assert re.search(r"^WORKERS 2, with 2 threads each at most\n.*\n  0 +\d+ serving .*\n  1 +\d+ serving ", text, re.M), text


def test_a_single_process_is_shown(start):
    """Like a worker, and the only one."""
    server = start("wsgiapp", "--status-path", "/look", "--threads", "2")
    text = run("--once", "--path", "/look", server.path).stdout
    assert re.match(r"wsgi-fcgi \d+\.\d+\.\d+  wsgiapp\S*  pid %d  up " % server.pid, text), text
    assert re.search(r"^WORKERS 1, with 2 threads each at most\n.*\n  0 +%d serving .* MiB " % server.pid, text, re.M), text


def test_the_line_of_a_request_is_that_of_a_real_server(supervise, tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    time.sleep(3600)  # here it stands\n"
        "    return [b'']\n")
    server = supervise("slow:application", 1, "--status-path", "/look", "--status", "127.0.0.1:0", "--threads", "2",
                       "--graceful-timeout", "0", cwd=tmp_path)
    port = server.wait_log(r"listening on 127\.0\.0\.1:(\d+) \(status page\)").group(1)
    with server.connect() as connection:
        connection.send(fcgi.request(fcgi.params("/stands", query="token=secret")))
        for args in ["--path", "/look", server.path], ["127.0.0.1:" + port], ["http://127.0.0.1:%s/" % port]:
            text = daemons.until(lambda: (lambda text: "slow.py" in text and text)(run("--once", *args).stdout),
                                 "the line of the request")
            assert re.search(r"GET /stands.*\n +\S*slow\.py:4 application$", text, re.M), text
            assert "slow:application" in text and "secret" not in text
    server.signal(signal.SIGTERM)
    server.wait_cut()


# What is said when it cannot be shown.


@pytest.mark.parametrize("path, expected", [
    ("/nothing", "there is no status page at /nothing (404): start the server with --status-path /nothing, or"),
    ("/forbidden", "does not show its status to this client (403): name this machine's address with --status-allow"),
    ("/broken", "the answer has status 500"),
    ("/busy", "the answer has status 503"),
])
def test_a_status_says_what_to_do(app, path, expected):
    assert expected in complaint("--once", "--path", path, app.path)


def test_no_server_says_so(tmp_path):
    assert "No such file or directory: there is no such socket" in complaint("--once", tmp_path / "none.sock")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        at = "127.0.0.1:%d" % sock.getsockname()[1]
        assert at + ": Connection refused: no server listens there" in complaint("--once", at)


@pytest.mark.parametrize("answer, expected", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "not the status of a wsgi-fcgi: tell the path with --path"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "JSON, but not the status of a wsgi-fcgi"),
    (b'HTTP/1.1 200 OK\r\n\r\n{"version":2,"server":{}}', "has version 2, and this program knows version 1: use"),
    (b'HTTP/1.1 200 OK\r\n\r\n{"version":1,"server":{}', "not the status of a wsgi-fcgi"),
    (b'HTTP/1.1 200 OK\r\n\r\n' + b"[" * 100000, "not the status of a wsgi-fcgi"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "the answer has no end"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "the answer has no end"),
    (b"HTTP/1.1 200 OK\r\n", "the answer has no end"),
    (b"HTTP/1.1 abc\r\n\r\n", "the answer has no status"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "neither FastCGI nor HTTP"),
    (b"", "closed the connection without an answer: may this user or machine connect"),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (17 << 20), "the answer is longer than 16 MiB"),
], ids=lambda value: "-".join(re.findall(r"\w+", value)) if isinstance(value, str) else "answer")
def test_an_answer_that_is_none_is_named(answer, expected):
    page = Page(answer)
    try:
        assert expected in complaint("--once", page.address)
    finally:
        page.close()


def test_a_server_that_stands_still_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        at = "127.0.0.1:%d" % listener.getsockname()[1]
        assert "no answer within 5 s: does the process stand still" in complaint("--once", "http://" + at)


@pytest.mark.parametrize("args, expected", [
    (["https://example.org/status"], "https is not spoken here: name the server's own socket"),
    (["example.org"], "it names no port"),
    (["example.org:0"], "a port is a number from 1 to 65535"),
    (["example.org:http"], "a port is a number from 1 to 65535"),
    (["::1:9000"], "an address of IPv6 is written [ADDRESS]:PORT"),
    (["/" + "x" * 107], "has 107 bytes at most"),
    (["http:///run/x.sock?path=status"], "a path has to begin with a slash"),
    (["http:///run/x.sock?status"], "only ?path=/... is known"),
    (["--path", "status", "x:1"], "--path status: a path has to begin with a slash"),
    (["--path", "/a b", "x:1"], "a path has neither blanks"),
    (["--path"], "--path needs a value"),
    (["--interval", "0", "x:1"], "write seconds from 0.1 to 3600"),
    (["--interval", "1,5", "x:1"], "write seconds from 0.1 to 3600"),
    (["--interval", "1.5s", "x:1"], "write seconds from 0.1 to 3600"),
    (["--twice", "x:1"], "--twice: unknown option"),
    (["x:1", "y:2"], 'one address, and not "y:2" as well'),
    (["--json", "--once", "x:1"], "--json, --once and --health: use one of them"),
    (["--health", "--once", "x:1"], "--json, --once and --health: use one of them"),
    (["--stacks", "x:1"], "--stacks is for --once"),
])
def test_a_mistake_on_the_command_line_is_named(args, expected):
    assert expected in complaint(*args, status=64)


def test_a_host_that_is_unknown_is_named():
    assert "host.invalid:80: the host cannot be found" in complaint("--once", "host.invalid:80")


def test_without_a_terminal_it_says_what_to_use(page):
    assert "use --once or --json" in complaint(page.address, status=64)


def test_output_that_cannot_be_written_is_an_error(page):
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "--once", page.address], env=environment(), stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=PATIENCE)
    assert done.returncode == 74 and "standard output: No space left on device" in done.stderr


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and done.stdout.startswith("Usage: wsgi-fcgi-top [OPTIONS] [ADDRESS]\n")
    assert re.fullmatch(r"wsgi-fcgi-top \d+\.\d+\.\d+\n", run("--version").stdout)
