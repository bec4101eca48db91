"""That a proxy's defect is its own: what deviations.DEFECTS names happens behind a responder that is not ours."""
import socket
import threading

import pytest

import fcgi
from bench import Bench
from daemon import until
from proxies import Proxy
from test_proxy_life import burst

ANSWER = b"Status: 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def early_responder(tmp_path_factory):
    """The path of a socket at which every request is answered and ended as soon as its first bytes are there."""
    path = str(tmp_path_factory.mktemp("r") / "app.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    served = []

    def serve():
        while True:
            try:
                served.append(listener.accept()[0])
            except OSError:
                return
            served[-1].recv(1)
            served[-1].sendall(fcgi.record(fcgi.STDOUT, 1, ANSWER) + fcgi.record(fcgi.STDOUT, 1)
                               + fcgi.record(fcgi.END_REQUEST, 1, bytes(8)))

    thread = threading.Thread(target=serve)
    thread.start()
    yield path
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for sock in served:
        sock.close()


def test_h2o_ends_when_a_kept_connection_is_answered_early(early_responder):
    proxy = Proxy("h2o-kept", early_responder)
    try:
        with proxy.connect() as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n" + bytes(5000000))
            until(lambda: proxy.process.poll() is not None, "H2O to end", proxy.log)
        assert proxy.failed_by_itself(), proxy.log()
        proxy.restart()
        assert proxy.process.poll() is None and not proxy.failed_by_itself()
    finally:
        proxy.stop()


def test_haproxy_has_no_500_when_a_burst_fits_into_its_buffer():
    bench = Bench("haproxy-mpxs", main="    tune.bufsize 131072\n")
    try:
        assert [burst(bench) for turn in range(3)] == [{200}] * 3
    finally:
        bench.close()
