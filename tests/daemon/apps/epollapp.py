"""Wants a descriptor polled that is closed already."""
import errno
import os
import select


def application(environ, start_response):
    with select.epoll() as epoll:
        closed, other = os.pipe()
        os.close(closed)
        try:
            epoll.register(closed)
            name = "nothing"
        except OSError as error:
            name = errno.errorcode[error.errno]
    os.close(other)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [name.encode()]
