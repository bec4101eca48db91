"""The same requests to wsgi-fcgi and to a responder written with libfcgi: the same answers.

And the other way round: libfcgi's own client, cgi-fcgi, asks wsgi-fcgi.
"""
import os
import shutil
import signal
import subprocess

import pytest

import fcgi
from daemon import HERE, clean_environ, until
from fcgi import PATIENCE, begin, pairs, params, record, request, stream

APP = "referenceapp"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The path of the responder's socket. WSGI_FCGI_REFERENCE names a binary that is built already."""
    directory = tmp_path_factory.mktemp("r")
    binary = os.environ.get("WSGI_FCGI_REFERENCE")
    if not binary:
        binary = directory / "reference"
        subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-o", binary, os.path.join(HERE, "reference.c"),
                        "-lfcgi"], check=True)
    path = str(directory / "reference.sock")
    process = subprocess.Popen([binary, path], stdin=subprocess.DEVNULL)

    def answers():
        assert process.poll() is None, "the reference has ended"
        try:
            return fcgi.ask(path, "/hello").status == 200
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    until(answers, "the reference to answer")
    yield path
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)


def essence(response):
    """What must be the same: libfcgi leaves the order of headers and the cut of records to itself."""
    return {"headers": sorted(response.headers), "body": response.body, "stderr": bytes(response.stderr),
            "end": (response.app_status, response.protocol_status), "ids": {r.id for r in response.records},
            "last": response.records[-1].type, "empty": [r.type for r in response.records if not r.content]}


REQUESTS = {
    "hello": params("/hello"),
    "missing": params("/nothing"),
    "query": params("/query", query="a=1&b=%20&c=\xe9"),
    "header": params("/header", headers={"X-Name": "caf\xe9 " + "x" * 300}),
    "no header": params("/header"),
    "cookies": params("/cookies"),
    "empty answer": params("/empty"),
    "empty body": params("/echo", "POST", body=b""),
    "no parameters": {},
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
def test_same_answer(server, reference, name, keep):
    answers = []
    for address in (server.path, reference):
        with fcgi.Connection(address) as connection:
            for id in (1, 7) if keep else (1,):
                connection.send(request(REQUESTS[name], id=id, keep=keep))
                answers.append(essence(connection.read_response(id)))
            if not keep:
                assert connection.at_eof()
    half = len(answers) // 2
    assert answers[:half] == answers[half:]


@pytest.mark.parametrize("path", ["/echo", "/created", "/hello"])
@pytest.mark.parametrize("size", [1, 1000, 65535, 65536, 500000])
def test_same_answer_to_a_body(server, reference, path, size):
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    answers = []
    for address in (server.path, reference):
        with fcgi.Connection(address) as connection:
            connection.send(request(params(path, "POST", body=body), body, size=30000))
            answers.append(essence(connection.read_response(1)))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size, padding", [(1, 0), (7, 0), (100, 0), (7, None), (100, None), (7, 3), (100, 255)])
def test_same_answer_however_it_is_cut(server, reference, size, padding):
    answers = []
    for address in (server.path, reference):
        with fcgi.Connection(address) as connection:
            encoded = pairs(params("/echo", "POST", body=b"cut body"), True)
            # libfcgi understands padding only behind the content of a stream.
            connection.send(begin(5),
                            stream(fcgi.PARAMS, 5, encoded, size, padding, end=False), record(fcgi.PARAMS, 5),
                            stream(fcgi.STDIN, 5, b"cut body", size, padding, end=False), record(fcgi.STDIN, 5))
            answers.append(essence(connection.read_response(5)))
    assert answers[0] == answers[1]


def test_same_answer_to_management_records(server, reference):
    answers = []
    for address in (server.path, reference):
        with fcgi.Connection(address) as connection:
            connection.send(record(100, 0, b"unknown"))
            unknown = connection.read_record()
        with fcgi.Connection(address) as connection:
            # libfcgi answers only when more than this record is there.
            asked = pairs({"FCGI_MAX_REQS": "", "FCGI_MPXS_CONNS": "", "OTHER": ""})
            connection.send(record(fcgi.GET_VALUES, 0, asked), request(params("/hello")))
            values = connection.read_record()
            names = {name for name, value in fcgi.decode_pairs(values.content)}
            answers.append((unknown[:3], values.type, values.id, names, essence(connection.read_response(1))))
    assert answers[0] == answers[1]


def cgi_fcgi(address, path, body=b"", **env):
    assert shutil.which("cgi-fcgi"), "cgi-fcgi is not installed: apt-get install libfcgi-bin"
    given = params(path, "POST" if body else "GET", body=body, **env)
    done = subprocess.run(["cgi-fcgi", "-bind", "-connect", address], input=body, stdout=subprocess.PIPE,
                          env={"PATH": clean_environ()["PATH"], **given}, timeout=PATIENCE)
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    return done.returncode, sorted(head.split(b"\r\n")), rest


@pytest.mark.parametrize("path, size", [("/hello", 0), ("/query", 0), ("/echo", 1), ("/echo", 300000), ("/nothing", 0),
                                        ("/cookies", 0)])
def test_libfcgis_client(server, reference, path, size):
    body = b"x" * size
    got = cgi_fcgi(server.path, path, body)
    assert got == cgi_fcgi(reference, path, body)
    assert got[0] == 0 and any(line.startswith(b"Status: ") for line in got[1])
