"""Uploads are kept in a directory that has no room left."""
import os


def store(body):
    with open(os.path.join(os.environ["UPLOADS"], "upload"), "wb") as file:
        file.write(body.read(1 << 20))  # at fault
    return b"kept\n"


def application(environ, start_response):
    answer = store(environ["wsgi.input"]) if environ["PATH_INFO"] == "/store" else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
