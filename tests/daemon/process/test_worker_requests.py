"""Workers that are replaced after --max-requests, by the true supervisor: no request notices."""
import itertools
import re
import threading

import daemon

OVER_HTTP = True
CONNECTIONS, RETIREMENTS = 6, 8


def ask(server, enough, wrong):
    """A kept connection, half of whose requests have a body. Each must be answered on it."""
    try:
        with server.connect() as connection:
            for number in itertools.count():
                body = b"%d" % number if number % 2 else None
                answer = connection.ask("/echo" if body else "/hello", "POST" if body else "GET", body=body)
                if answer.status != 200 or answer.body != (body or b"Hello, world\n"):
                    wrong.append("request %d: %s %r" % (number, answer.status, answer.body))
                if wrong or enough.is_set():
                    return
    except Exception as error:  # whatever it is, it is not to happen
        wrong.append(repr(error))


def test_no_request_is_lost(start):
    server = start("wsgiapp", "--workers", 2, "--max-requests", 150, "--max-requests-jitter", 50)
    enough, wrong = threading.Event(), []

    def retired():
        return re.findall(r"\[\d+\] info: retired after [\d.]+ s: \d+ requests? finished, 0 cut off\n", server.log())
    clients = [threading.Thread(target=ask, args=(server, enough, wrong)) for _ in range(CONNECTIONS)]
    for client in clients:
        client.start()
    try:
        daemon.until(lambda: wrong or len(retired()) >= RETIREMENTS, "the workers to be replaced", server.log)
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert not wrong, "%s\n%s" % (wrong[:3], server.log())
