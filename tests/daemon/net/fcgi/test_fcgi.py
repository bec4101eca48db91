"""The protocol, record by record (FastCGI 1.0)."""
import json
import select
import struct
import urllib.parse

import pytest

import fcgi
from conftest import check_structure
from daemon import until
from fcgi import begin, pairs, params, record, request, stream
from test_wsgi import tokens

HELLO = b"Hello, world\n"
IDS = [1, 2, 255, 256, 4660, 65535]


def good(response, body=HELLO, status=200):
    check_structure(response)
    assert (response.status, response.body) == (status, body), response
    assert (response.app_status, response.protocol_status) == (0, fcgi.REQUEST_COMPLETE)
    return response


# --- connections

def test_kept_connection_serves_many(server):
    with server.connect() as connection:
        for number in range(50):
            body = b"body %d" % number
            good(connection.ask("/echo", "POST", body=body), body)


def test_connection_that_is_not_kept_ends(server):
    with server.connect() as connection:
        good(connection.ask("/hello", keep=False))
        assert connection.at_eof()


def test_kept_connection_ends_with_a_request_that_does_not_keep_it(server):
    with server.connect() as connection:
        good(connection.ask("/hello", keep=True))
        good(connection.ask("/hello", keep=False))
        assert connection.at_eof()


def test_pipelined_requests(server):
    """Several requests in one write, one id after the other and the same id again: all answered in full."""
    with server.connect() as connection:
        connection.send(*(request(params("/echo", "POST", body=b"%d" % id), b"%d" % id, id, True) for id in IDS))
        for _ in IDS:
            response = connection.read_response()
            good(response, b"%d" % response.records[0].id)
    with server.connect() as connection:
        for number in range(20):
            connection.send(request(params("/hello"), keep=True), request(params("/hello"), id=2, keep=True))
            good(connection.read_response())
            good(connection.read_response())


@pytest.mark.parametrize("id", IDS)
def test_request_ids(server, id):
    with server.connect() as connection:
        good(connection.ask("/hello", id=id))
        response = connection.ask("/echo", "POST", body=b"x" * 100, id=id)
        good(response, b"x" * 100)
        assert {record.id for record in response.records} == {id}


def test_nothing_is_sent_unasked(server):
    """nginx and Apache end a request whose answer begins with a record that they do not expect."""
    with server.connect() as connection:
        for part in (b"", begin(5, keep=True), stream(fcgi.PARAMS, 5, pairs(params("/echo", "POST", body=b"12")))):
            connection.send(part)
            with server.connect() as other:
                good(other.ask("/hello"))
                other.get_values()
            assert not select.select([connection.sock], [], [], 0)[0]
        connection.send(stream(fcgi.STDIN, 5, b"12"))
        assert connection.read_and_keep().type == fcgi.STDOUT
        good(connection.read_response(5), b"12")


STATUSES = ["200 OK", "201 Created", "204 No Content", "205 Reset Content", "301 Moved Permanently", "302 Found",
            "302", "303 See Other", "304 Not Modified", "307 Temporary Redirect", "308 Permanent Redirect", "404 Not Found",
            "502 Bad Gateway"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("filling", [0, 100, 65528])
def test_place_of_the_status(server, status, filling):
    """The first line, which is all that some clients look at; but behind a Location, as HAProxy makes a 302 of every answer
    in which that comes behind the status. Also in a head that takes several records."""
    more = [["X-Later", "v" * (filling // 10)]] * 10 if filling else []
    for headers in ([], more, [["Location", "/there"]], [*more, ["location", "/there"]], [["LOCATION", "/there"], *more],
                    [["Locations", "/there"], ["X-Location", "/there"]]):
        located = any(name.lower() == "location" for name, value in headers)
        path = "/place-of-status"
        response = check_structure(server.ask(path, "POST", body=json.dumps([status, headers]).encode()))
        names = [name for name, value in response.headers if name != "Content-Length"]
        place = -1 if located and not status.startswith("302") else 0
        assert response.headers[place] == ("Status", status) and names.count("Status") == 1
        names.remove("Status")
        assert names == [name for name, value in headers]


def test_status_of_the_servers_own_answers(start):
    """Those have no Location, whatever the application had set before."""
    server = start("wsgiapp", "--limit-request-body", "10")
    for ask in (lambda: server.ask("/located-and-broken"), lambda: server.ask("/echo", "POST", body=b"x" * 11)):
        response = check_structure(ask())
        assert response.status in (500, 413) and response.headers[0][0] == "Status"


def test_status_of_an_answer_that_replaces_another(server):
    """The Location of the one that is not sent does not count."""
    response = check_structure(server.ask("/located-and-replaced"))
    assert [name for name, value in response.headers] == ["Status", "X-Own", "Content-Length"]


# --- cutting

def a_request(padding=None):
    body = b"body of the request"
    given = params("/echo", "POST", body=body, headers={"X-Long": "v" * 200})
    encoded = pairs(given)
    return (begin(3, keep=True, padding=padding) + stream(fcgi.PARAMS, 3, encoded, 61, padding)
            + stream(fcgi.STDIN, 3, body, 7, padding)), body


def test_every_split_point(server):
    data, body = a_request()
    with server.connect() as connection:
        for cut in range(1, len(data)):
            connection.send(data[:cut])
            # The answer proves that the first part was read on its own. Cuts inside a record cannot be proved so.
            if cut % 8 == 0 and at_record_boundary(data, cut):
                connection.get_values("FCGI_MPXS_CONNS")
            connection.send(data[cut:])
            good(connection.read_response(3), body)


def at_record_boundary(data, cut):
    pos = 0
    while pos < cut:
        length, padding = struct.unpack(">HB", data[pos + 4:pos + 7])
        pos += 8 + length + padding
    return pos == cut


def test_byte_by_byte(server):
    data, body = a_request()
    with server.connect() as connection:
        for byte in data:
            connection.send(bytes([byte]))
        good(connection.read_response(3), body)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 127, 128, 255, 256, 4096])
def test_params_cut_into_records(server, size):
    """Pairs and four-byte lengths may straddle records."""
    given = params("/environ", headers={"X-A": "a" * 127, "X-B": "b" * 128, "X-C": "c" * 5000})
    for long in (False, True):
        with server.connect() as connection:
            connection.send(begin(), stream(fcgi.PARAMS, 1, pairs(given, long), size), stream(fcgi.STDIN, 1, b""))
            environ = json.loads(connection.read_response(1).body)
            assert [environ["HTTP_X_" + name][1] for name in "ABC"] == ["a" * 127, "b" * 128, "c" * 5000]


def test_params_cut_where_h2o_does(server):
    given = params("/environ", headers={"X-Pad%d" % i: "p" * 1000 for i in range(70)})
    with server.connect() as connection:
        connection.send(begin(), stream(fcgi.PARAMS, 1, pairs(given), 65535), stream(fcgi.STDIN, 1, b""))
        assert len(json.loads(connection.read_response(1).body)) > 70


def test_padding_of_every_length(server):
    with server.connect() as connection:
        for padding in range(256):
            data, body = a_request(padding)
            connection.send(data)
            good(connection.read_response(3), body)


def test_largest_record(server):
    body = bytes(range(255)) * 257
    assert len(body) == 65535
    with server.connect() as connection:
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(params("/echo", "POST", body=body))),
                        stream(fcgi.STDIN, 1, body, 65535, 255))
        good(connection.read_response(1), body)


# --- roles, wrong bytes, ids that are not active

@pytest.mark.parametrize("role", [fcgi.FILTER, 0, 4, 65535])
def test_unknown_role(server, role):
    with server.connect() as connection:
        connection.send(begin(9, role, keep=True))
        end = connection.read_record()
        assert (end.type, end.id) == (fcgi.END_REQUEST, 9)
        assert end.content == struct.pack(">IB3x", 0, fcgi.UNKNOWN_ROLE)
        # What the peer has sent for it in the meantime is swallowed.
        connection.send(stream(fcgi.PARAMS, 9, pairs(params("/hello"))), stream(fcgi.STDIN, 9, b"late"))
        good(connection.ask("/hello"))


@pytest.mark.parametrize("data", [b"\x02" + begin()[1:], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 64,
                                  record(fcgi.BEGIN_REQUEST, 1, b"\0\1\0")])
def test_bad_bytes_end_one_connection(server, data):
    with server.connect() as other, server.connect() as connection:
        good(other.ask("/hello"))
        connection.send(data)
        assert connection.at_eof()
        good(other.ask("/hello"))


def test_bad_bytes_in_the_middle_of_a_request(server):
    with server.connect() as other, server.connect() as connection:
        connection.send(begin(), b"\xff" * 100)
        assert connection.at_eof()
        good(other.ask("/hello"))


def test_records_of_unknown_ids_are_ignored(server):
    with server.connect() as connection:
        connection.send(stream(fcgi.PARAMS, 7, b"never begun"), stream(fcgi.STDIN, 7, b"x"),
                        record(fcgi.ABORT_REQUEST, 7), record(fcgi.DATA, 7, b"x"))
        good(connection.ask("/hello"))
        connection.send(stream(fcgi.STDIN, 1, b"late"))
        good(connection.ask("/hello"))


def test_malformed_params(server):
    """A pair that is cut off: an answer that says 400, and the connection goes on."""
    for bad in (b"\x05", b"\x80", b"\x05\x05abc", b"\xff\xff\xff\xff\xff\xff\xff\xffx", b"\x00\x01", b"\x03\x00a\0b"):
        with server.connect() as connection:
            connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, bad), stream(fcgi.STDIN, 1, b""))
            response = connection.read_response(1)
            assert response.status == 400 and response.complete, (bad, response)
            good(connection.ask("/hello"))


def test_empty_params(server):
    with server.connect() as connection:
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, b""), stream(fcgi.STDIN, 1, b""))
        response = check_structure(connection.read_response(1))
        assert response.status == 404 and response.body == b"no such route\n"


def test_authorizer(server):
    """FastCGI 1.0, 6.3: a request without STDIN, whose Variable- headers the web server keeps."""
    spec = json.dumps({"status": "200 OK", "headers": [["Variable-USER", "me"]], "chunks": []})
    with server.connect() as connection:
        connection.send(begin(1, fcgi.AUTHORIZER, keep=True),
                        stream(fcgi.PARAMS, 1, pairs(params("/respond", query="spec=" + urllib.parse.quote(spec)))))
        response = good(connection.read_response(1), b"")
        assert ("Variable-USER", "me") in response.headers
        # Web servers should not, but some do, tell it of a body that it does not get.
        given = pairs(params("/environ", "POST", CONTENT_LENGTH="5000"))
        connection.send(begin(1, fcgi.AUTHORIZER, keep=True), stream(fcgi.PARAMS, 1, given))
        environ = json.loads(connection.read_response(1).body)
        assert environ["FCGI_ROLE"] == ["str", "AUTHORIZER"] and "CONTENT_LENGTH" not in environ
        good(connection.ask("/hello"))


# --- the body's length

@pytest.mark.parametrize("length", ["", "-1", "garbage", None, "99999999999999999999999"])
def test_body_of_unknown_length(server, length):
    body = b"as long as it is" * 10000
    given = params("/echo", "POST", body=body)
    given["CONTENT_LENGTH"] = length
    if length is None:
        del given["CONTENT_LENGTH"]
    with server.connect() as connection:
        connection.send(request(given, body, keep=True))
        good(connection.read_response(1), body)
        given["SCRIPT_NAME"] = "/environ"
        connection.send(request(given, body, keep=True))
        environ = json.loads(connection.read_response(1).body)
        assert environ["CONTENT_LENGTH"] == ["str", str(len(body))] and environ["wsgi.input_terminated"] == ["bool", True]


def test_length_zero_does_not_wait_for_stdin(server):
    with server.connect() as connection:
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(params("/echo", "POST", body=b""))))
        assert connection.read_and_keep().type == fcgi.STDOUT
        connection.send(stream(fcgi.STDIN, 1, b""))  # END_REQUEST may wait for this
        good(connection.read_response(1), b"")
        good(connection.ask("/hello"))


def test_body_longer_than_declared(server):
    """The application sees no more than was declared; the rest does no harm to the next request."""
    given = params("/echo", "POST", body=b"12345")
    for body in (b"12345678", b"12345" + b"x" * 200000):
        with server.connect() as connection:
            connection.send(request(given, body, keep=True))
            good(connection.read_response(1), b"12345")
            good(connection.ask("/hello"))


def test_body_shorter_than_declared(server):
    """A body that ends early must not look like a whole one: before the application is started it never is..."""
    token = next(tokens)
    given = params("/echo", "POST", "token=" + token, CONTENT_LENGTH="1000000")
    for body in (b"1", b"12345", b"x" * 65535):
        with server.connect() as connection:
            connection.send(request(given, body, keep=True))
            response = check_structure(connection.read_response(1))
            assert response.status == 400
            good(connection.ask("/hello"))
    assert json.loads(server.ask("/state", query="token=" + token).body)["calls"] == 0


def test_body_that_ends_early_while_it_is_read(server, gate):
    """...and afterwards its reading fails."""
    given = params("/read-error", "POST", "gate=" + gate.path, CONTENT_LENGTH="1000000")
    with server.connect() as connection:
        connection.send(begin(keep=True), stream(fcgi.PARAMS, 1, pairs(given)),
                        stream(fcgi.STDIN, 1, b"x" * 65536, end=False))
        gate.arrived().release()
        connection.send(stream(fcgi.STDIN, 1, b"x" * 1000))
        assert gate.arrived().text == "raised ConnectionAbortedError"
        assert check_structure(connection.read_response(1)).status == 500
        good(connection.ask("/hello"))


# --- several requests on one connection

def test_multiplexed_requests(server, gate):
    """A call that waits does not hold up another one on the same connection, nor the loop."""
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), id=1, keep=True))
        visitor = gate.arrived()
        for id in (2, 300, 2):
            good(connection.ask("/hello", id=id))
        connection.get_values()
        visitor.release()
        good(connection.read_response(1), b"passed\n")


def test_multiplexed_bodies(server):
    """STDIN records of two requests interleave."""
    one, two = b"1" * 100000, b"2" * 100000
    with server.connect() as connection:
        for id, body in ((1, one), (2, two)):
            connection.send(begin(id, keep=True),
                            stream(fcgi.PARAMS, id, pairs(params("/echo", "POST", body=body))))
        for pos in range(0, 100000, 5000):
            connection.send(record(fcgi.STDIN, 1, one[pos:pos + 5000]), record(fcgi.STDIN, 2, two[pos:pos + 5000]))
        connection.send(record(fcgi.STDIN, 2), record(fcgi.STDIN, 1))
        good(connection.read_response(1), one)
        good(connection.read_response(2), two)


def test_one_connection_at_a_time_stays_small(server):
    """Connections leave nothing behind. The server closes the last ones in its own time."""
    for _ in range(20):
        server.ask("/hello")
    before = server.fds()
    for _ in range(300):
        good(server.ask("/hello"))
    until(lambda: server.fds() <= before + 1, "the connections to be closed", server.log)
