"""Writes to the log in every way, for --log-file."""
import os
import sys

import wsgiapp


def application(environ, start_response):
    text = environ["QUERY_STRING"]
    if environ["PATH_INFO"] == "/errors":
        environ["wsgi.errors"].write("errors %s\n" % text)
        return wsgiapp.text(start_response, b"written\n")
    if environ["PATH_INFO"] != "/write":
        return wsgiapp.application(environ, start_response)
    print("printed " + text, file=sys.stderr)
    environ["wsgi.errors"].write("errors %s\n" % text)
    os.write(2, b"descriptor %s\n" % text.encode())
    return wsgiapp.text(start_response, b"written\n")


print("imported", file=sys.stderr)
