"""Loads the shared library EXTENSION, as an extension module is loaded, and says what its functions find."""
import ctypes
import os

own = ctypes.CDLL(os.environ["EXTENSION"]).own


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % own()]
