"""Management records (FastCGI 1.0, 4): they come at any moment, each gets one bounded answer, and requests go on."""
import pytest

import fcgi
from fcgi import begin, pairs, params, record, request, stream
from test_fcgi import good

CONNS, REQS, MPXS = NAMES = "FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"
ASK = record(fcgi.GET_VALUES, 0, pairs([(name, "") for name in NAMES]))
QUESTION = record(200, 0, b"question")


def answer(connection):
    """The next record, which answers a management record."""
    got = connection.read_record()
    assert got.id == 0 and len(got.content) <= 120 and (len(got.content) + len(got.padding)) % 8 == 0
    assert not any(got.padding)
    return got


def values(connection):
    got = answer(connection)
    assert got.type == fcgi.GET_VALUES_RESULT
    return {name.decode(): value.decode() for name, value in fcgi.decode_pairs(got.content)}


def unknown(connection, kind):
    got = answer(connection)
    assert (got.type, got.content) == (fcgi.UNKNOWN_TYPE, bytes([kind]) + bytes(7))


def test_values(start):
    server = start("wsgiapp", "--max-connections", 77)
    with server.connect() as connection:
        found = connection.get_values()
        assert found[CONNS] == "77" and found[MPXS] == "1"
        # The promise is kept: so many requests are served at a time.
        count = int(found[REQS])
        connection.send(*(begin(id, keep=True) + stream(fcgi.PARAMS, id, pairs(params("/hello")))
                          for id in range(1, count + 1)))
        connection.send(*(record(fcgi.STDIN, id) for id in range(1, count + 1)))
        for _ in range(count):
            good(connection.read_response())


LONG = pairs([(CONNS, "")], long=True)
QUERIES = {
    "nothing": (b"", set()),
    "one": (pairs({MPXS: ""}), {MPXS}),
    "four-byte lengths": (LONG, {CONNS}),
    "unknown names": (pairs({"FCGI_MAX": "", "FCGI_MAX_CONNSS": "", "": "", "fcgi_max_conns": ""}), set()),
    "known behind unknown": (pairs([("X" * 300, "v" * 300), (REQS, "")]), {REQS}),
    "repeated": (pairs([(CONNS, ""), (REQS, "")] * 500), {CONNS, REQS}),
    "with values": (pairs([(CONNS, "9"), (REQS, "9" * 200)]), {CONNS, REQS}),
    "cut in a name": (pairs({REQS: "", CONNS: ""})[:-1], {REQS}),
    "cut in a value": (pairs([(REQS, ""), (CONNS, "12345")])[:-1], {REQS}),
    "cut in a length": (pairs({REQS: ""}) + LONG[:3], {REQS}),
    "a length beyond any record": (pairs({REQS: ""}) + b"\xff\xff\xff\xff\x00" + b"x" * 100, {REQS}),
    "zeros": (bytes(1000), set()),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries(server, name):
    """Known names are answered once, all others are left out; a pair that is cut off does not reach the next query."""
    query, right = QUERIES[name]
    with server.connect() as connection:
        everything = connection.get_values()
        for padding in (None, 0, 1, 255):
            connection.send(record(fcgi.GET_VALUES, 0, query, padding))
            assert values(connection) == {key: everything[key] for key in right}
        assert connection.get_values() == everything
        good(connection.ask("/hello"))


def test_largest_query(server):
    query = (pairs({CONNS: "", "OTHER": "value"}) * 3000)[:65535]
    assert len(query) == 65535
    with server.connect() as connection:
        connection.send(record(fcgi.GET_VALUES, 0, query, 255))
        assert set(values(connection)) == {CONNS}
        good(connection.ask("/hello"))


def test_query_byte_by_byte(server):
    with server.connect() as connection:
        everything = connection.get_values()
        for byte in ASK + record(fcgi.GET_VALUES, 0, LONG) + QUESTION:
            connection.send(bytes([byte]))
        assert values(connection) == everything
        assert values(connection) == {CONNS: everything[CONNS]}
        unknown(connection, 200)


def records_of(data):
    """The records of some bytes, one by one."""
    while data:
        length = 8 + int.from_bytes(data[4:6], "big") + data[6]
        yield data[:length]
        data = data[length:]


def test_between_any_two_records(server):
    """In front of BEGIN_REQUEST, between the records of PARAMS and of STDIN, behind the last one: nothing of a request
    mixes with it."""
    body = b"body of the request"
    given = params("/echo", "POST", body=body, headers={"X-Long": "v" * 200})
    data = (begin(3, keep=True) + stream(fcgi.PARAMS, 3, pairs(given), 61) + stream(fcgi.STDIN, 3, body, 7))
    parts = list(records_of(data))
    with server.connect() as connection:
        everything = connection.get_values()
        for part in parts[:-1]:
            connection.send(ASK, QUESTION)
            assert values(connection) == everything
            unknown(connection, 200)
            connection.send(part)
        connection.send(ASK, parts[-1], QUESTION)
        good_and_questions(connection, everything, body)


def good_and_questions(connection, everything, body):
    """The answer of request 3, with those of two questions somewhere between its records."""
    seen = []
    while len(seen) < 2 or 3 not in connection.pending or not connection.pending[3].complete:
        got = connection.read_record()
        if got.id:
            connection.pending.setdefault(got.id, fcgi.Response()).add(got)
        else:
            seen.append(got.type)
    assert seen == [fcgi.GET_VALUES_RESULT, fcgi.UNKNOWN_TYPE]
    good(connection.read_response(3), body)
    assert connection.get_values() == everything


def test_inside_a_stream_of_another_request(server):
    """A query whose content is cut where records of a request follow is still one query."""
    with server.connect() as connection:
        everything = connection.get_values()
        connection.send(begin(1, keep=True), ASK[:20])
        connection.send(ASK[20:], stream(fcgi.PARAMS, 1, pairs(params("/hello"))), record(fcgi.STDIN, 1))
        assert values(connection) == everything
        good(connection.read_response(1))


def test_while_requests_run(server, gate):
    with server.connect() as connection:
        connection.send(request(params("/gate", query="gate=" + gate.path), keep=True))
        visitor = gate.arrived()
        for _ in range(10):
            assert connection.get_values()[MPXS] == "1"
        visitor.release()
        good(connection.read_response(1), b"passed\n")


def test_while_an_answer_is_sent(server):
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=20&token=values"), keep=True))
        connection.read_and_keep()
        assert connection.get_values()[MPXS] == "1"
        assert not connection.pending[1].complete
        assert len(connection.read_response(1).body) == 20 << 20


@pytest.mark.parametrize("size, padding", [(0, 0), (8, 0), (0, 255), (65535, 255)])
def test_every_other_type(server, size, padding):
    """FastCGI 1.0, 4.2: UNKNOWN_TYPE, also for the types of requests, which have no business with id 0."""
    kinds = [kind for kind in range(256) if kind != fcgi.GET_VALUES]
    with server.connect() as connection:
        for kind in kinds if size < 1000 else kinds[::20]:
            connection.send(record(kind, 0, b"x" * size, padding))
            unknown(connection, kind)
        good(connection.ask("/hello"))


def test_types_that_only_requests_have(server):
    """With the id of a request or of none, a management type or an unknown one is ignored."""
    body = b"x" * 10
    given = pairs(params("/echo", "POST", body=body))
    others = [fcgi.END_REQUEST, fcgi.STDOUT, fcgi.STDERR, fcgi.DATA, fcgi.GET_VALUES, fcgi.GET_VALUES_RESULT,
              fcgi.UNKNOWN_TYPE, 0, 12, 255]
    noise = b"".join(record(kind, id, content, padding) for kind in others for id in (1, 2)
                     for content, padding in ((b"", 0), (b"12345678", 9)))
    with server.connect() as connection:
        connection.send(noise, begin(1, keep=True), noise, stream(fcgi.PARAMS, 1, given), noise,
                        stream(fcgi.STDIN, 1, body), noise)
        good(connection.read_response(1), body)
        good(connection.ask("/hello", id=2))
