"""Requests that share a connection advance side by side."""
import pytest

import fcgi
from conftest import check_structure
from daemon import until
from fcgi import params, request
from test_fcgi import good
from test_peers import state
from test_wsgi import tokens

MIB = 1 << 20


@pytest.mark.parametrize("kept", [True, False])
def test_large_answers_advance_side_by_side(start, kept):
    """The output of all of them waits for the same peer, and none waits for another one's end."""
    server = start("wsgiapp")
    ids, mib, tickets = [1, 2, 3, 4], 8, {}
    with server.connect() as connection:
        for id in ids:
            tickets[id] = next(tokens)
            connection.send(request(params("/big", query="mib=%d&token=%s" % (mib, tickets[id])), id=id, keep=kept))
        # All have begun, and nobody has read a byte: each is waiting for its turn, or about to.
        until(lambda: all(state(server, tickets[id])["progress"] for id in ids), "all to begin", server.log)
        sent = dict.fromkeys(ids, 0)
        while max(sent.values()) < mib * MIB * 3 // 4:
            got = connection.read_and_keep()
            assert got.type == fcgi.STDOUT
            sent[got.id] += len(got.content)
        assert min(sent.values()) > MIB // 4, sent  # turns to the letter: tests/unit/net/test_conn_transmit.c
        for id in ids:
            response = check_structure(connection.read_response(id))
            assert len(response.body) == mib * MIB


def test_short_answers_overtake_large_ones(server):
    """What a stuck reader has asked for before holds back the application's large answers, not its short ones."""
    token = next(tokens)
    with server.connect() as connection:
        connection.send(request(params("/big", query="mib=8&token=%s" % token), id=1, keep=True))
        until(lambda: state(server, token)["progress"], "it to begin", server.log)
        connection.send(request(params("/hello"), id=2, keep=True))
        good(connection.read_response(2))
        assert 1 in connection.pending and not connection.pending[1].complete
        assert len(connection.read_response(1).body) == 8 * MIB
