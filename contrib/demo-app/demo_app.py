"""The example application of contrib/demo: plain WSGI (PEP 3333), nothing but the standard library."""

import hashlib
import os
import sys
import threading
import time
from html import escape

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} - wsgi-fcgi</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #223 }}
  nav a {{ margin-right: 1rem }}
  h1 {{ font-weight: 600 }}
  table {{ border-collapse: collapse; width: 100% }}
  th, td {{ text-align: left; vertical-align: top; padding: .2rem .6rem; border-bottom: 1px solid #dde;
            font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere }}
  th {{ white-space: nowrap; color: #456 }}
</style>
<nav><a href="{root}/">Environ</a><a href="{root}/slow">Slow</a><a href="{root}/stream">Stream</a><a
  href="{root}/upload">Upload</a></nav>
<h1>{title}</h1>
{content}
"""

UPLOAD_FORM = """<p>The file is sent as it is and comes back as its size and SHA-256.</p>
<p><input type="file" id="file"> <button id="send">Send</button></p>
<pre id="answer"></pre>
<script>
  document.getElementById("send").onclick = async () => {
    const file = document.getElementById("file").files[0], answer = document.getElementById("answer");
    if (!file) return;
    answer.textContent = "sending " + file.size + " bytes ...";
    const response = await fetch(location.href, {method: "POST", body: file});
    answer.textContent = await response.text();
  };
</script>"""


def application(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"])
    if page is None:
        return answer(environ, start_response, "404 Not Found", "Not found", "<p>There is no such page.</p>")
    return page(environ, start_response)


def show_environ(environ, start_response):
    rows = "".join("<tr><th>%s<td>%s" % (escape(name), escape(str(value))) for name, value in sorted(environ.items()))
    about = "<p>Python %s, process %d, thread <code>%s</code>.</p>" % (
        sys.version.split()[0], os.getpid(), escape(threading.current_thread().name))
    return answer(environ, start_response, "200 OK", "It works", about + "<table>" + rows + "</table>")


def slow(environ, start_response):
    """Sleeps as if a database were slow. Other requests are answered meanwhile."""
    time.sleep(3)
    return answer(environ, start_response, "200 OK", "Slow", "<p>This took three seconds; nobody else waited.</p>")


def stream(environ, start_response):
    """Every piece that is yielded reaches the browser at once."""
    start_response("200 OK", [
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-Accel-Buffering", "no"),  # nginx would collect the pieces otherwise
    ])

    def pieces():
        yield render(environ, "Stream", "<p>Ten lines, two a second.</p>")
        for number in range(1, 11):
            time.sleep(0.5)
            yield b"<p>line %d</p>\n" % number
    return pieces()


def upload(environ, start_response):
    if environ["REQUEST_METHOD"] != "POST":
        return answer(environ, start_response, "200 OK", "Upload", UPLOAD_FORM)
    digest, size = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        digest.update(piece)
        size += len(piece)
    body = ("%d bytes\nSHA-256 %s\n" % (size, digest.hexdigest())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def answer(environ, start_response, status, title, content):
    body = render(environ, title, content)
    start_response(status, [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def render(environ, title, content):
    return PAGE.format(title=title, root=escape(environ["SCRIPT_NAME"]), content=content).encode()


PAGES = {"": show_environ, "/": show_environ, "/slow": slow, "/stream": stream, "/upload": upload}
