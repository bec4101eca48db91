"""--app-stderr: where wsgi.errors goes, and what FCGI_STDERR records look like (FastCGI 1.0, 5.3 and 6.2)."""
import pytest

import fcgi
from conftest import check_structure
from fcgi import params, request
from test_fcgi import good
from test_wsgi import tokens

APP = "faultapp"
WHERE = {"log": (True, False), "fastcgi": (False, True), "both": (True, True)}


@pytest.fixture(params=WHERE, scope="module")
def told(request):
    """A server for each value, and whether its log and its peer are told."""
    import daemon
    running = daemon.Daemon(APP, "--app-stderr", request.param)
    running.to_log, running.to_peer = WHERE[request.param]
    yield running
    running.stop()


def said(server, response, text):
    """Asserts that each line of the text is where it belongs, and nowhere else. STDERR is exact."""
    assert bytes(response.stderr) == (text.encode() if server.to_peer else b"")
    log = server.log()
    for line in text.splitlines():
        assert (line in log) == server.to_log, (line, log)


def test_lines(told):
    token = next(tokens)
    response = check_structure(told.ask("/errors", query="text=" + token))
    assert response.body == b"ok\n"
    said(told, response, "written to errors: %s\nfirst line\nsecond line\nprinted in parts\n" % token
         if told.to_peer else "written to errors: %s\n" % token)
    kinds = [got.type for got in response.records if got.content]
    assert kinds[-2:] == [fcgi.STDOUT, fcgi.END_REQUEST]
    assert set(kinds[:-2]) == ({fcgi.STDERR} if told.to_peer else set())


def test_on_a_kept_connection(told):
    """Each answer has its own text, and its own end of STDERR; one that says nothing has no STDERR at all."""
    with told.connect() as connection:
        for id in (1, 2, 1):
            token = next(tokens)
            response = check_structure(connection.ask("/errors", query="text=" + token, id=id))
            assert (token.encode() in bytes(response.stderr)) == told.to_peer
            assert {got.id for got in response.records} == {id}
            quiet = good(connection.ask("/hello", id=id))
            assert fcgi.STDERR not in [got.type for got in quiet.records]


def test_line_without_an_end(told):
    """What has no end of line when the request ends is not kept back."""
    token = next(tokens)
    response = good(told.ask("/says", query="text=" + token), b"said\n")
    said(told, response, token)


def test_much(told):
    """More than a record holds, and than is stored before it is sent."""
    token = next(tokens)
    line = "%s %s" % (token, "x" * 500)
    text = "".join("%s %d\n" % (line, number) for number in range(1000))
    response = good(told.ask("/says", "POST", "from=body", body=text.encode()), b"said\n")
    if told.to_peer:
        assert bytes(response.stderr) == text.encode()
    assert (told.log().count(line) == 1000) if told.to_log else (line not in told.log())


def test_between_parts_of_an_answer(told):
    """The order of what an application says and sends is that of the records."""
    response = check_structure(told.ask("/says-between", query="count=3"))
    assert response.body == b"part 0\npart 1\npart 2\n"
    order = [got.content.decode().splitlines()[-1] for got in response.records if got.content and got.type in (
        fcgi.STDOUT, fcgi.STDERR)]
    right = []
    for number in range(3):
        right += ["about part %d" % number] * told.to_peer + ["part %d" % number]
    assert order == right
    assert ("about part 2" in told.log()) == told.to_log


def test_traceback(told):
    """That of an application's exception is for the one who runs it: in the log, whatever is asked for."""
    response = check_structure(told.ask("/raise-before"))
    assert response.status == 500 and b"Traceback" not in response.body
    told.wait_log("(?s)Traceback.*RuntimeError: raised before the headers")
    assert not response.stderr


def test_cut_answer(told):
    """The text is there although the answer is not whole."""
    token = next(tokens)
    with told.connect() as connection:
        connection.send(request(params("/says-and-fails", query="text=" + token)))
        response = connection.read_response(1)
    assert response.broken and response.body == b"part\n"
    assert bytes(response.stderr) == (b"%s\n" % token.encode() if told.to_peer else b"")
    assert ("\n%s\n" % token in told.log()) == told.to_log


def test_outside_of_a_request(told):
    """There is no peer: a thread that outlives its request writes to the log in any case."""
    token = next(tokens)
    good(told.ask("/says-later", query="text=" + token), b"said\n")
    told.wait_log("later: " + token)


def test_peer_that_is_gone(told, gate):
    """Nobody takes the text: that keeps the application from nothing, nor the log."""
    token = next(tokens)
    with told.connect() as connection:
        connection.send(request(params("/says", query="text=%s&gate=%s" % (token, gate.path))))
        visitor = gate.arrived()
    with told.connect() as other:
        other.get_values()
        other.get_values()
    visitor.release()
    good(told.ask("/hello"))
    told.wait_log("(?m)^%s$" % token)
