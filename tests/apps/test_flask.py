import http.server
import json
import sys
import threading

import daemon
import frameworks
from served import header

APP = "flaskapp:app"


class TestFlask(frameworks.Common, frameworks.ReadsToTheEnd):
    def test_error_pages(self, site):
        assert site.ask("/forbidden").status == 403
        assert site.ask("/json", "DELETE").status == 405
        assert site.ask("/json", "POST", body="{", headers={"Content-Type": "application/json"}).status == 400

    def test_stream_as_text(self, site):
        """Flask gives wsgi.input to the view, since it ends where the body ends."""
        body = "name,caf\xe9\r\n\"two\nlines\",\u20ac\r\n" * 5000
        answer = site.ask("/csv", "POST", body=body.encode(), headers={"Content-Type": "text/csv"})
        assert answer.status == 200 and json.loads(answer.body) == [["name", "caf\xe9"], ["two\nlines", "\u20ac"]] * 5000

    def test_answer_of_another_server(self, site):
        """It has headers about its own connection, which are left out."""
        class Other(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(203)
                for name, value in [("Connection", "close"), ("Keep-Alive", "timeout=5"), ("Transfer-Encoding", "chunked"),
                                    ("X-Other", "1"), ("Content-Type", "text/x-other")]:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"5\r\nother\r\n0\r\n\r\n")

            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
            threading.Thread(target=other.serve_forever).start()
            try:
                answer = site.ask("/passed-on?url=http://127.0.0.1:%d/" % other.server_port)
            finally:
                other.shutdown()
        assert (answer.status, answer.body) == (203, b"other")
        assert header(answer, "X-Other") == ["1"] and header(answer, "Content-Type") == ["text/x-other"]
        assert not header(answer, "Keep-Alive")
        site.server.wait_log("the application's header Keep-Alive was left out")

    def test_log(self, site):
        """Flask's logger writes to wsgi.errors."""
        site.ask("/logs?token=" + site.name)
        site.server.wait_log("logged by the application: " + site.name)


def test_suggested_application(tmp_path):
    """It is the application, and none of the proxies that can be called as well, nor a view or a command."""
    (tmp_path / "shop.py").write_text("""
import click
from flask import Blueprint, Flask, current_app, g, jsonify, request, session
from flask.cli import with_appcontext

blueprint = Blueprint("blueprint", __name__)
shop_site = Flask(__name__)

@shop_site.route("/<one>/<two>")
def view(one, two):
    return "view"

@click.command()
@with_appcontext
def command():
    pass
""")
    for operand in ("shop", "shop:app", "shop:blueprint", "./shop.py"):
        done = daemon.run("--check", "--venv", sys.prefix, operand, cwd=tmp_path)
        assert done.returncode == 78
        suggested = [word.strip("?,") for word in done.stderr.split() if word.startswith(operand.partition(":")[0] + ":")]
        assert set(suggested) - {"shop:blueprint"} == {operand.partition(":")[0] + ":shop_site"}, done.stderr
