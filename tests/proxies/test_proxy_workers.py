"""Workers that end behind each proxy: nobody notices."""
import os
import re
import signal
import threading

import pytest

import proxies
from bench import Bench
from daemon import until

CLIENTS, RETIREMENTS, OPTIONS = 4, 4, ("--workers", 2)


class Workers:
    """The server's, as its log and /proc show them."""

    def __init__(self, server):
        self.server = server
        self.pid = server.pid

    def serving(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as file:
            children = set(map(int, file.read().split()))
        found = re.findall(r"worker \d+ \(process (\d+)\) serves", self.server.log())
        return [int(pid) for pid in found if int(pid) in children]

    def wait(self):
        until(lambda: len(self.serving()) == 2, "both workers to serve", self.server.log)

    def retire(self):
        """The one that has served for longest."""
        pid = self.serving()[0]
        os.kill(pid, signal.SIGTERM)
        until(lambda: pid not in self.serving(), "worker %d to end" % pid, self.server.log)
        self.wait()


def visit(bench, enough, wrong):
    """Half of the requests have a body: a proxy must not send these twice."""
    number = 0
    while not (wrong or enough.is_set()):
        number += 1
        body = b"%d" % number if number % 2 else None
        try:
            answer = bench.ask("/echo" if body else "/hello", "POST" if body else "GET", body=body, keep=True)
            if answer.status != 200 or answer.cut or answer.body != (body or b"Hello, world\n"):
                wrong.append("request %d: %s %r" % (number, answer.status, answer.body))
        except Exception as error:  # whatever it is, it is not to happen
            wrong.append("request %d: %r" % (number, error))


@pytest.mark.parametrize("variant", proxies.VARIANTS)
def test_nobody_notices(variant):
    bench = Bench(variant, *OPTIONS)
    enough, wrong = threading.Event(), []
    clients = [threading.Thread(target=visit, args=(bench, enough, wrong)) for _ in range(CLIENTS)]
    try:
        workers = Workers(bench.server)
        workers.wait()
        for client in clients:
            client.start()
        for _ in range(RETIREMENTS):
            if not wrong:
                workers.retire()
        enough.set()
        for client in clients:
            client.join()
        assert not wrong, "%s\n%s" % (wrong[:3], bench.server.log())
    finally:
        enough.set()
        bench.close()
