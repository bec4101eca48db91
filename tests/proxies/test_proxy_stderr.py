"""What the application writes to wsgi.errors, with each value of --app-stderr: in the server's log, the proxy's, or both;
the answer is the same."""
import itertools
from urllib.parse import quote

import pytest

import proxies
from bench import Bench
from daemon import until
from deviations import expected

# One variant of each proxy, and one more where connections are kept and shared.
VARIANTS = [*proxies.KINDS, "nginx-kept", "apache-kept", "haproxy-mpxs", "h2o-kept"]
WHERE = {"log": (True, False), "fastcgi": (False, True), "both": (True, True)}
tokens = map("token-%d-of-the-text".__mod__, itertools.count())


@pytest.fixture(scope="module", params=[(variant, where) for variant in VARIANTS for where in WHERE], ids="-".join)
def told(request):
    variant, where = request.param
    bench = Bench(variant, "--app-stderr", where, stderr=True)
    bench.to_log, bench.to_proxy = WHERE[where]
    yield bench
    bench.close()


def test_text_of_the_application(told):
    for number in range(3):
        token = next(tokens)
        response = told.ask("/errors?text=" + quote(token), keep=True)
        assert (response.status, response.body) == (200, b"ok\n")
        assert (token in told.server.log()) == told.to_log
        if told.to_proxy and expected("stderr", told, True):
            until(lambda: token in told.proxy.log(), "the text in the log of " + told.kind, told.proxy.log)
        else:
            assert token not in without_requests(told.proxy.log())


def without_requests(log):
    """A proxy's log without the lines that quote a request."""
    return "\n".join(line for line in log.splitlines() if "GET /errors" not in line)


def test_text_and_a_large_answer(told):
    """More than any buffer holds, on both streams."""
    right = expected("much on stderr", told, 200) if told.to_proxy else 200
    response = told.ask("/errors-and-answer?lines=2000&mib=3")
    assert response.status == right
    assert right != 200 or response.body == b"x" * (3 << 20) and not response.cut
    assert told.ask("/hello").body == b"Hello, world\n"


def test_text_of_an_error(told):
    """In front of a 500 it must not become a part of the answer, nor a 502."""
    response = told.ask("/errors-and-fail")
    assert response.status == 500 and b"about to fail" not in response.body
    assert told.ask("/hello").body == b"Hello, world\n"
