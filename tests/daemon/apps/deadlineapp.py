"""A call that does what the test says, step by step, at a gate of its own: for tests of calls whose time is over."""
import itertools

import wsgi_fcgi
from gateway import visit
from wsgiapp import application, route, text  # noqa: F401


class Steps:
    def __init__(self, environ, start_response):
        self.environ, self.start_response = environ, start_response
        self.write = None

    def over(self):
        """The time is over from now on."""
        wsgi_fcgi.set_timeout(0)
        return "over"

    def timeout(self, seconds):
        wsgi_fcgi.set_timeout(None if seconds == "None" else float(seconds))
        return str(wsgi_fcgi.time_left() is not None)

    def head(self, *headers):
        """Headers as Name:value."""
        fields = [("Content-Type", "text/plain")] + [tuple(header.split(":")) for header in headers]
        self.write = self.start_response("200 OK", fields)
        return "head"

    def send(self, size, letter="a"):
        self.write(letter.encode() * int(size))
        return "sent"

    def read(self, size="-1"):
        return str(len(self.environ["wsgi.input"].read(int(size))))

    def error(self, words):
        self.environ["wsgi.errors"].write(words + "\n")
        return "said"

    def connected(self):
        return str(self.environ["wsgi_fcgi.client_connected"]())


@route
def steps(environ, start_response, query):
    """Comes to the gate with what the last step has given, or the name of the exception that it has raised."""
    does, told = Steps(environ, start_response), "begun"
    while True:
        name, *arguments = (visit(query["gate"], told) or "end").split()
        if name == "end":
            break
        try:
            told = getattr(does, name)(*arguments)
        except Exception as error:
            told = type(error).__name__
    if does.write:
        return [b"end"]
    return text(start_response, b"end")


@route
def floods(environ, start_response, query):
    """Sends pieces of all lengths until that fails, with so much time."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    wsgi_fcgi.set_timeout(float(query["seconds"]))
    for size in itertools.cycle([1, 10, 100, 8192, 8193, 70000]):
        write(b"x" * size)
