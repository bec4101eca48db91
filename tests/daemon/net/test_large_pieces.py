"""Answers in pieces that are larger than what may wait for a peer that sends requests and reads no answers."""
import pytest

from fcgi import params, request
from test_fcgi import good

OVER_HTTP = True
APP = "faultapp"
SIZES = ["33554432 5", "33554432 33554432 100000", "5 33554432"]


@pytest.mark.parametrize("kind", ["list", "iterator"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("slow", [False, True])
def test_large_pieces_come_whole(server, kind, sizes, slow):
    """Also to a client that reads nothing while another one is served."""
    with server.connect() as connection:
        for _ in range(2):
            connection.send(request(params("/large-pieces", query="kind=%s&sizes=%s" % (kind, sizes.replace(" ", "+"))),
                                    keep=True))
            if slow:
                good(server.ask("/hello"))
            response = connection.read_response(1)
            assert response.complete and response.status == 200
            assert len(response.body) == sum(int(size) for size in sizes.split())
