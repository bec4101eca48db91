"""The page of a real server in a real browser: a request that stands still is there with its line, until it goes on."""
import http.client
import os
import re
import subprocess
import threading

import pytest

from test_browser import PATIENCE, browser, chromium, no_complaints, text, unfold, wait  # noqa: F401 (fixtures)

APP = """
import os

def hold(path):
    with open(path) as pipe:  # until somebody writes
        return pipe.read()

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [hold(os.environ["HELD_BY"]).encode()]
"""


@pytest.fixture(params=[[], ["--workers", "2"]], ids=["single", "workers"])
def server(request, tmp_path):
    """Yields (port of the application, port of the page, pipe that holds it)."""
    (tmp_path / "held.py").write_text(APP)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen([os.environ["WSGI_FCGI"], "--chdir", str(tmp_path), "--http", "127.0.0.1:0", "--status",
                                "127.0.0.1:0", *request.param, "held:application"], stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "HELD_BY": str(pipe)})
    ports = []
    while len(ports) < 2:
        line = process.stderr.readline()
        assert line, "it has ended"
        ports += re.findall(r"listening on 127\.0\.0\.1:(\d+)", line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    yield (*map(int, ports), pipe)
    process.terminate()
    assert process.wait(PATIENCE) == 0


def test_held(browser, server):  # noqa: F811
    port, page, pipe = server
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    client.request("GET", "/held?secret=1")
    browser.get("http://127.0.0.1:%d/" % page)
    wait(browser).until(lambda b: "GET /held" in text(b, "running-rows"))
    wait(browser).until(lambda b: re.search(r"held\.py:\d+ in hold", text(b, "running-rows")))
    assert "secret" not in browser.page_source

    def unfolded(browser):
        # A machine that is busy may not find the stack in time, and the next refresh tells it.
        unfold(browser)
        return re.search(r'held\.py", line \d+, in application\nFile .*held\.py", line 5, in hold', text(browser, "running-rows"))

    wait(browser).until(unfolded)
    with open(pipe, "w") as file:
        file.write("goes on")
    assert client.getresponse().read() == b"goes on"
    wait(browser).until(lambda b: "GET /held" not in text(b, "running-rows"))
    no_complaints(browser)
