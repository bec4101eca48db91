"""An extension in C reads what is not there."""
import ctypes


def thumbnail():
    return ctypes.string_at(8)  # at fault


def application(environ, start_response):
    answer = thumbnail() if environ["PATH_INFO"] == "/thumbnail" else b"fine\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
